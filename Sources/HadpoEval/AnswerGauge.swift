import HadpoBase
import HadpoModels
import HadpoVision

/// A small POPE and a few descriptions, for a training that watches itself: what the model answers as it stands, nothing kept.
package final class AnswerGauge: ModelGauge {
    /// Pictures to describe, greedily.
    package struct Descriptions: Sendable {
        let paths: [String]
        let question: String
        let maxNewTokens: Int

        /// - Parameter images: a folder, whose pictures are taken in the order of their names.
        package init(images: String, limit: Int, question: String, maxNewTokens: Int) throws(HadpoError) {
            let names = try File.list(images).filter { name in
                [".png", ".jpg", ".jpeg"].contains { name.lowercased().hasSuffix($0) }
            }
            guard !names.isEmpty else {
                throw HadpoError(.io, "no pictures to describe", at: images, expected: "files ending in .png, .jpg or .jpeg")
            }
            let folder = PictureFolder(images, outside: nil)
            var paths: [String] = []
            for name in names.sorted().prefix(limit) { paths.append(try folder.file(name, at: images)) }
            self.paths = paths
            self.question = question
            self.maxNewTokens = maxNewTokens
        }
    }

    private let model: any VisionLanguageModel
    private let pope: PopeRunConfig?
    private let descriptions: Descriptions?

    /// Looks at every file once, so that what is missing is found before a training begins.
    package init(
        _ model: any VisionLanguageModel, pope: PopeRunConfig?, descriptions: Descriptions?, progress: any Progress
    ) throws(HadpoError) {
        self.model = model
        self.pope = pope
        self.descriptions = descriptions
        if let pope {
            try PopeRun.check(model: model, config: pope, progress: progress)
            try checkPictures(pope, progress: progress)
        }
        for path in descriptions?.paths ?? [] { _ = try pixels(path) }
    }

    private func checkPictures(_ pope: PopeRunConfig, progress: any Progress) throws(HadpoError) {
        let questions = try File.bytes(pope.questions).withBytes { (raw) throws(HadpoError) in
            try PopeQuestion.read(raw, source: pope.questions)
        }
        var seen: Set<String> = []
        for question in pope.limit > 0 ? questions.prefix(pope.limit) : questions[...] where seen.insert(question.image).inserted
        {
            try progress.tick()
            let path = try pope.pictures.file(question.image, at: "question \(question.id) of \(pope.questions)")
            guard let reason = try PictureCheck.reason(path, decoding: false, budget: model.device.arena) else { continue }
            throw HadpoError(
                .format, "a picture of the guard cannot be read", at: path, found: reason, expected: "a PNG or JPEG file")
        }
    }

    /// `repetition` is the part of four-word sequences that a description had before: near 1 when it goes round in circles.
    package var figures: [String] {
        (pope == nil ? [] : Self.popeFigures.map { "pope." + $0 })
            + (descriptions == nil ? [] : ["describe.words", "describe.repetition"])
    }

    private static let popeFigures = ["accuracy", "precision", "recall", "f1", "yes_ratio", "roc_area"]

    package func measure(progress: any Progress) throws(HadpoError) -> [Double?] {
        var values: [Double?] = []
        if let pope {
            let report = try PopeRun.run(model: model, config: pope, progress: progress)
            values += Self.popeFigures.map { report[$0]?.doubleValue }
        }
        if let descriptions {
            let texts = try describe(descriptions, progress: progress)
            let words = texts.reduce(0) { $0 + $1.pythonWords.count }
            let distinct = texts.compactMap { SHRText.distinctGrams($0, 4) }
            values.append(Double(words) / Double(texts.count))
            values.append(distinct.isEmpty ? nil : 1 - distinct.reduce(0, +) / Double(distinct.count))
        }
        return values
    }

    private func describe(_ wanted: Descriptions, progress: any Progress) throws(HadpoError) -> [String] {
        let prompt = try model.conversation.prompt(question: wanted.question, template: .hadpoEval, sample: "guard.describe")
        let rows = PromptSession.rows(prompt.prefix, model) + prompt.after.count + wanted.maxNewTokens
        var prompts: [PromptSession.Prefix] = []
        for path in wanted.paths { prompts.append(PromptSession.Prefix(prompt.pieces, pixels: [try pixels(path)])) }
        return try Generation.generate(
            model, prompts: prompts, maxNewTokens: wanted.maxNewTokens, batch: PromptSession.picturesAtOnce(model, rows: rows),
            progress: progress
        ).map(\.text)
    }

    private func pixels(_ path: String) throws(HadpoError) -> Block<Float> {
        do throws(HadpoError) {
            return try model.pipeline.pixelValues(try RGBImage.read(path, budget: model.device.arena))
        } catch {
            var failure = error
            failure.place = failure.place ?? path
            throw failure
        }
    }
}
