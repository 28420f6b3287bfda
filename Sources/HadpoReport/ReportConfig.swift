import HadpoBase
import HadpoEval

/// "hadpo.report/1": which files make up the report. Every part is optional; a baseline makes it one of before and after.
package struct ReportConfig: Sendable {
    package struct SHR: Sendable {
        package let scored: String
        package let baseline: String?

        init(_ r: inout ConfigReader) throws(HadpoError) {
            scored = try r.string(
                "scored", help: "the folder of hadpo.shr-score/1, or sentences.jsonl, or upstream's judgement.json")
            baseline = try r.optionalString("baseline", help: "the same before the training, or of another model")
        }
    }

    package struct CHAIR: Sendable {
        package let records: String
        package let baseline: String?

        init(_ r: inout ConfigReader) throws(HadpoError) {
            records = try r.string("records", help: "the records of hadpo.chair-score/1")
            baseline = try r.optionalString("baseline", help: "the same before the training, or of another model")
        }
    }

    package let output: String
    package let title: String?
    package let name: String
    package let baselineName: String
    package let pope: PopeEvaluationConfig?
    package let shr: SHR?
    package let chair: CHAIR?
    package let training: [String]
    package let pictures: [PictureFolder]
    package let partial: Bool
    package let cards: Int
    package let pictureWidth: Int
    package let pictureBytes: Int
    package let resamples: Int
    package let seed: Int

    package init(_ r: inout ConfigReader) throws(HadpoError) {
        output = try r.string("output", help: "the HTML file")
        title = try r.optionalString("title", help: "of the page")
        name = try r.string("name", default: "after", help: "what the run is called")
        baselineName = try r.string("baseline_name", default: "before", help: "what the baseline is called")
        let partial = try r.bool(
            "partial", default: false,
            help:
                "also report a part of what was asked, and pictures that are not in the folders; else what is missing is an error"
        )
        self.partial = partial
        var pope = try r.optionalObject("pope", help: "as hadpo.pope-score/1", PopeEvaluationConfig.init)
        if partial { pope?.partial = true }
        self.pope = pope
        shr = try r.optionalObject("shr", help: "a score of SHR", SHR.init)
        chair = try r.optionalObject("chair", help: "a score of CHAIR", CHAIR.init)
        training = try r.strings("training", default: [], help: "logs of trainings, one JSON record a step")
        let folders = try r.strings("pictures", default: [], help: "folders with the pictures, for the gallery")
        let outside = try r.bool(
            "outside", default: false, help: "also pictures whose names are absolute or have .. in them; else those are refused")
        pictures = folders.map { PictureFolder($0, outside: outside) }
        cards = try r.int("cards", default: 24, in: 0...1000, help: "pictures in the gallery")
        pictureWidth = try r.int("picture_width", default: 320, in: 16...2048, help: "pixels; wider pictures are scaled down")
        pictureBytes = try r.int(
            "picture_bytes", default: 6 << 20, in: 0...1 << 30,
            help: "of all pictures on the page; those beyond are named, not shown")
        resamples = try r.int("resamples", default: 10_000, in: 0...1_000_000, help: "of SHR's and CHAIR's bootstrap")
        seed = try r.int("seed", default: 0, in: 0...Int.max, help: "of SHR's and CHAIR's bootstrap")
        try r.check(
            pope != nil || shr != nil || chair != nil || !training.isEmpty, "pope", "there is nothing to report",
            found: "no file", expected: "pope, shr, chair or training")
        try r.refuse(["outside", "picture_width", "picture_bytes"], unless: !folders.isEmpty, because: "no folder in pictures")
        try r.refuse(["resamples"], unless: shr != nil || chair != nil, because: "neither shr nor chair is reported")
        try r.refuse(["seed"], unless: resamples > 0 && (shr != nil || chair != nil), because: "no bootstrap: nothing is drawn")
        try r.refuse(["baseline_name"], unless: isPair, because: "no part has a baseline")
    }

    var isPair: Bool {
        pope?.splits.contains { $0.baseline != nil } ?? false || shr?.baseline != nil || chair?.baseline != nil
    }
}
