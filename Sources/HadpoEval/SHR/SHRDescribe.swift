import HadpoBase
import HadpoModels
import HadpoTensor
import HadpoText
import HadpoVision

/// "hadpo.shr-describe/1": pictures to describe, and how. Defaults are those of HA-DPO's SHR script for the model's family.
package struct SHRDescribeConfig: Sendable {
    package let files: SHRFiles
    package let pictures: PictureFolder
    package let output: String
    package let question: String
    package let evaluation: EvaluationProtocol
    package let template: PromptTemplate
    package let maxNewTokens: Int
    package let beamCount: Int
    package let repetitionPenalty: Double
    package let lengthPenalty: Double
    package let stop: [String]
    package let batch: Int
    package let compat: PopeRunConfig.Compatibility
    package let mix: Bool

    package init(_ r: inout ConfigReader) throws(HadpoError) { try self.init(&r, family: .llava) }

    /// - Parameters:
    ///   - family: the opened model's.
    ///   - folder: what its folder says of answering.
    package init(
        _ r: inout ConfigReader, family: ModelFamily, folder: GenerationSettings = GenerationSettings()
    ) throws(HadpoError) {
        files = try SHRFiles(&r)
        let images = try r.string("images", help: "folder of the pictures: Visual Genome's, with VG_100K and VG_100K_2")
        pictures = PictureFolder(
            images,
            outside: try r.bool(
                "outside", default: false,
                help: "also pictures whose names are absolute or have .. in them; else those are refused"))
        output = try r.string(
            "output", help: "descriptions as JSON Lines, appended as they come; what is there is not described again")
        question = try r.string("question", default: "Describe this image in detail.", help: "what is asked")
        evaluation = try r.choice(
            "protocol", default: family.evaluation,
            help: "whose published way of describing the keys below default to; as the model's family when left out")
        let decoding = evaluation.completing(evaluation.descriptions, from: folder)
        template = try r.choice("template", default: .hadpoEval, help: "prompt template")
        maxNewTokens = try r.int(
            "max_new_tokens", default: decoding.maxNewTokens, in: 1...1 << 20, help: "at most this many tokens a description")
        beamCount = try r.int("num_beams", default: decoding.beams, in: 1...1024, help: "beam search; 1 is greedy")
        repetitionPenalty = try r.double(
            "repetition_penalty", default: decoding.repetitionPenalty, in: 1e-4...1e4,
            help: "above 1 makes tokens that were there less likely")
        lengthPenalty = try r.double(
            "length_penalty", default: 1, in: -100...100, help: "beams: exponent of the length in the score")
        stop = try r.strings("stop", default: decoding.stop, help: "a description ends before the first of these")
        batch = try r.int(
            "batch", default: 0, in: 0...4096, help: "pictures at a time; 0: as many as 512 MiB of keys and values hold")
        compat = try r.choice(
            "compat", default: PopeRunConfig.Compatibility.none, help: "hadpo: text as upstream's scripts leave it")
        mix = try r.bool(
            "mix", default: false,
            help: "continue a file of another model, other settings or another tool; else it is refused")
        let files = files
        try r.check(
            files.validation != nil, "val_images", "nothing says which pictures to describe", found: "neither shr nor val_images",
            expected: "one of them")
        try r.refuse(["length_penalty"], unless: beamCount > 1, because: "num_beams is 1: nothing is searched")
        try r.refuse(
            ["regions", "factual"], unless: false, because: "descriptions are made without annotations; the score reads them")
    }
}

/// Has a model describe the pictures of the evaluation. A killed run is continued; the file is then the same as without the kill.
package struct SHRDescribe {
    private struct Picture {
        let id: String
        /// Below the folder of pictures.
        let name: String
        let path: String
    }

    private let model: any VisionLanguageModel
    private let config: SHRDescribeConfig
    private let progress: any Progress
    private let prompt: PromptTokens
    private let origin: AnswersOrigin
    private var file: AnswersFile<String>
    private var pictureBytes: PictureBytes

    package static func run(
        model: any VisionLanguageModel, config: SHRDescribeConfig, progress: any Progress
    ) throws(HadpoError) -> JSON {
        let start = Clock.now()
        let pictures = try pictures(config)
        var run = try SHRDescribe(model, config, pictures, progress)
        let resumed = run.file.records.count
        let missing = pictures.filter { run.file.records[$0.id] == nil }
        if !missing.isEmpty { try run.file.prepare() }
        try run.describe(missing)
        let ordered = pictures.compactMap { run.file.records[$0.id] }
        let bytes = try run.file.finish(ordered)
        let tokens = ordered.reduce(0) { $0 + ($1["tokens"]?.intValue ?? 0) }
        var report: JSON = [
            "schema": "hadpo.shr-describe-report/1", "output": .string(config.output),
            "sha256": .string(SHA256.hex(bytes)), "images": JSON(pictures.count),
            "described": JSON(pictures.count - resumed), "resumed": JSON(resumed),
            "tokens_per_image": JSON(ratio(tokens, pictures.count)), "seconds": .double(Clock.now() - start),
            "protocol": .object(
                [.init("name", .string(config.evaluation.rawValue))] + (run.origin.settings.objectValue ?? []) + [
                    .init("model", .string(run.origin.identity.digest)),
                    .init("weights", .string(model.decoder.weightType.rawValue)),
                    .init("numerics", .string(model.device.numerics.rawValue)),
                ]),
            "identity": run.origin.identity.json,
        ]
        if let mixture = run.file.mixture { report["mixed_with"] = mixture }
        return report
    }

    /// What decides a description besides the model and the picture.
    private static func settings(_ model: any VisionLanguageModel, _ config: SHRDescribeConfig) -> JSON {
        [
            "question": .string(config.question), "template": .string(config.template.rawValue),
            "prompt": .string(model.conversation.text(question: config.question, template: config.template)),
            "max_new_tokens": JSON(config.maxNewTokens), "min_new_tokens": JSON(model.generation.minNewTokens ?? 0),
            "num_beams": JSON(config.beamCount), "do_sample": false, "repetition_penalty": JSON(config.repetitionPenalty),
            "length_penalty": JSON(config.lengthPenalty),
            "stop": JSON(config.stop), "compat": .string(config.compat.rawValue),
        ]
    }

    /// Every picture of the evaluation with its file, which must be there before any work.
    private static func pictures(_ config: SHRDescribeConfig) throws(HadpoError) -> [Picture] {
        var order: [String] = []
        var files: [String: String] = [:]
        var known: Set<String> = []
        try JSONStream.elements(ofFile: config.files.validation ?? "") { _, element throws(HadpoError) in
            let record = try element.parse()
            let id = record["image_id"] ?? record
            guard let name = id.intValue.map(String.init) ?? id.stringValue else {
                throw HadpoError(
                    .format, "no image of the evaluation", at: element.name, found: record.kind, expected: "'image_id'")
            }
            if known.insert(name).inserted { order.append(name) }
            if let file = record["image"]?.stringValue { files[name] = file }
            return true
        }
        if let path = config.files.imageData {
            try JSONStream.elements(ofFile: path) { _, element throws(HadpoError) in
                if let id = element.firstInteger("image_id"), !known.contains(String(id)) { return true }
                let record = try element.parse()
                guard let id = record["image_id"]?.intValue.map(String.init) ?? record["image_id"]?.stringValue,
                    known.contains(id), let url = record["url"]?.stringValue
                else { return true }
                // Upstream's rule: the last two components of the url.
                files[id] = url.pythonSplit("/").suffix(2).joined(separator: "/")
                return true
            }
        }
        var pictures: [Picture] = []
        for id in order {
            guard let file = files[id] else {
                throw HadpoError(
                    .format, "an image whose file nobody names", at: config.files.validation,
                    found: "image \(PictureFolder.shown(id, quoted: false))",
                    expected: "image_data with its url, or 'image' beside image_id")
            }
            let place = "image \(PictureFolder.shown(id, quoted: false))"
            pictures.append(Picture(id: id, name: file, path: try config.pictures.file(file, at: place)))
        }
        return pictures
    }

    private init(
        _ model: any VisionLanguageModel, _ config: SHRDescribeConfig, _ pictures: [Picture], _ progress: any Progress
    ) throws(HadpoError) {
        self.model = model
        self.config = config
        self.progress = progress
        prompt = try model.conversation.prompt(question: config.question, template: config.template, sample: "/question")
        let rows = PromptSession.rows(prompt.prefix, model)
        try PromptSession.check(
            model, prefixes: [rows], branches: Array(repeating: (rows, prompt.after.count), count: config.beamCount),
            newTokens: config.maxNewTokens, at: "/question")
        try File.makeDirectories(File.folder(of: config.output))
        let byID = Dictionary(pictures.map { ($0.id, $0.path) }, uniquingKeysWith: { first, _ in first })
        origin = AnswersOrigin(model.identity, settings: Self.settings(model, config))
        let words = AnswersFile<String>.Words(
            records: "descriptions", again: "what is missing is described again", opening: "{\"image_id\": ",
            expected: "descriptions of these pictures, or a new file",
            stranger: "the file holds something else than descriptions of this run")
        var bytes = PictureBytes(model)
        file = try AnswersFile<String>(config.output, origin, mixes: config.mix, words) { record in
            let id = record["image_id"]?.intValue.map(String.init) ?? record["image_id"]?.stringValue
            guard let id, byID[id] != nil, record["description"]?.stringValue != nil, record["tokens"]?.intValue ?? -1 >= 0 else {
                return nil
            }
            return (id, "image \(id)")
        } picture: { (id) throws(HadpoError) in
            guard let path = byID[id] else { return nil }
            return try bytes.hash(path)
        }
        pictureBytes = bytes
        for warning in file.warnings { try progress.emit(warning) }
        if !file.records.isEmpty {
            try progress.emit([
                "event": "warning",
                "message": .string(
                    "\(file.records.count) of \(pictures.count) descriptions were in \(config.output) already and are not made again"
                ),
            ])
        }
    }

    private mutating func describe(_ pictures: [Picture]) throws(HadpoError) {
        let batch = batchSize
        var pace = GenerationPace(task: "shr", unit: "pictures")
        var done = 0
        for start in stride(from: 0, to: pictures.count, by: batch) {
            let group = Array(pictures[start..<min(start + batch, pictures.count)])
            var prefixes: [PromptSession.Prefix] = []
            for picture in group { prefixes.append(PromptSession.Prefix(prompt.prefix, pixels: [try pixels(picture)])) }
            let branches = group.indices.map { PromptSession.Continuation(prefix: $0, ids: prompt.after) }
            let room = group.count * (prompt.after.count + min(config.maxNewTokens, PromptSession.roomStep))
            let session = try PromptSession(model, prefixes, room: room, progress: progress)
            if config.beamCount == 1 {
                var rule = Generation.Rule(maxNewTokens: config.maxNewTokens)
                rule.choice.repetitionPenalty = Float(config.repetitionPenalty)
                rule.stop = config.stop
                let history = model.conversation.history(prompt.ids, rule: .v431)
                let answers = try Generation.answers(session, branches, rule, histories: group.map { _ in history })
                for (picture, generated) in zip(group, answers) { try keep(picture, generated) }
                done += group.count
                try pace.report(done, of: pictures.count, progress)
            } else {
                var rule = Generation.BeamRule(count: config.beamCount, maxNewTokens: config.maxNewTokens)
                rule.repetitionPenalty = Float(config.repetitionPenalty)
                rule.lengthPenalty = config.lengthPenalty
                rule.stop = config.stop
                let history = model.conversation.history(prompt.ids, rule: rule.transformers)
                let found = try Generation.beams(session, branches, rule, histories: group.map { _ in history })
                for (picture, beams) in zip(group, found) { try keep(picture, beams.generated) }
                done += group.count
                try pace.report(done, of: pictures.count, progress)
            }
            try file.sync()
        }
    }

    private mutating func keep(_ picture: Picture, _ generated: Generated) throws(HadpoError) {
        let text = config.compat == .hadpo ? model.conversation.upstreamText(generated.ids) : generated.text.pythonStripped
        let line: JSON = [
            "image_id": Int(picture.id).map { JSON($0) } ?? .string(picture.id), "image": .string(picture.name),
            "description": .string(text), "tokens": JSON(generated.ids.count), "key": .string(origin.key),
        ]
        try file.keep(line, picture.id, picture: try pictureBytes.hash(picture.path))
    }

    private var batchSize: Int {
        if config.batch > 0 { return config.batch }
        let rows = PromptSession.rows(prompt.prefix, model) + prompt.after.count + config.maxNewTokens * config.beamCount
        return PromptSession.picturesAtOnce(model, rows: rows)
    }

    private mutating func pixels(_ picture: Picture) throws(HadpoError) -> Block<Float> {
        do throws(HadpoError) {
            return try pictureBytes.pixels(picture.path)
        } catch {
            var failure = error
            failure.place =
                "image \(PictureFolder.shown(picture.id, quoted: false)), picture \(PictureFolder.shown(picture.path, quoted: false))"
            throw failure
        }
    }
}
