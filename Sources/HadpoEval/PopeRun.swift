import HadpoBase
import HadpoModels
import HadpoTensor
import HadpoText
import HadpoVision

/// "hadpo.pope/1": a POPE file to ask, and how. Defaults are those of HA-DPO for the model's family.
package struct PopeRunConfig: Sendable {
    /// `hadpo` keeps the end token in the answers, as upstream's files have it.
    package enum Compatibility: String, Sendable, CaseIterable { case none, hadpo }

    package let questions: String
    package let images: String
    package let answers: String?
    package let evaluation: EvaluationProtocol
    package let template: PromptTemplate
    package let maxNewTokens: Int
    package let beamCount: Int
    package let repetitionPenalty: Double
    package let lengthPenalty: Double
    package let stop: [String]
    package let batch: Int
    package let scores: Bool
    package let compat: Compatibility

    package init(_ r: inout ConfigReader) throws(HadpoError) { try self.init(&r, family: .llava) }

    /// - Parameter family: the opened model's.
    package init(_ r: inout ConfigReader, family: ModelFamily) throws(HadpoError) {
        questions = try r.string("questions", help: "POPE question file")
        images = try r.string("images", help: "folder that its pictures are in")
        answers = try r.optionalString(
            "answers", help: "answers as JSON Lines, appended as they come; what is there is not asked again")
        evaluation = try r.choice(
            "protocol", default: family.evaluation,
            help: "whose published way of answering the keys below default to; as the model's family when left out")
        let decoding = evaluation.questions
        template = try r.choice("template", default: .hadpoEval, help: "prompt template")
        maxNewTokens = try r.int(
            "max_new_tokens", default: decoding.maxNewTokens, in: 1...1 << 20, help: "at most this many tokens an answer")
        beamCount = try r.int("num_beams", default: decoding.beams, in: 1...1024, help: "beam search; 1 is greedy")
        repetitionPenalty = try r.double(
            "repetition_penalty", default: decoding.repetitionPenalty, in: 1e-4...1e4,
            help: "above 1 makes tokens that were there less likely")
        lengthPenalty = try r.double(
            "length_penalty", default: 1, in: -100...100, help: "beams: exponent of the length in the score")
        stop = try r.strings("stop", default: decoding.stop, help: "an answer ends before the first of these")
        batch = try r.int(
            "batch", default: 0, in: 0...4096, help: "pictures at a time; 0: as many as 512 MiB of keys and values hold")
        scores = try r.bool("scores", default: true, help: "log p(yes) - log p(no) of the first token beside each answer")
        compat = try r.choice("compat", default: PopeRunConfig.Compatibility.none, help: "hadpo: answers keep </s>")
    }
}

/// Asks a model every question of a POPE file and scores the answers by the official rule. All questions of a picture share its
/// prefix; pictures go together in batches; the answers do not depend on either.
package struct PopeRun {
    private struct Asked {
        let question: PopeQuestion
        let prompt: PromptTokens
    }

    /// What questions must have in common to share a prefix; a raw template may put text before the picture, and a Q-Former sees the
    /// picture anew with every question.
    private struct Shared: Hashable {
        let image: String
        let prefix: [PromptPiece]
    }

    private let model: any VisionLanguageModel
    private let config: PopeRunConfig
    private let progress: any Progress
    private let appender: LineAppender?
    /// Lines of the answers file by question, other keys included.
    private var records: [Int: JSON] = [:]

    /// - Returns: `PopeScore`'s report, with what was asked and how.
    package static func run(
        model: any VisionLanguageModel, config: PopeRunConfig, progress: any Progress
    ) throws(HadpoError) -> JSON {
        let start = Clock.now()
        let bytes = try File.read(config.questions)
        let questions = try PopeQuestion.read(bytes, source: config.questions)
        var run = try PopeRun(model, config, questions, progress)
        if let wanted = config.evaluation.weights.dtype, model.decoder.weightType != wanted,
            config.evaluation == model.family.evaluation
        {
            try progress.emit([
                "event": "warning",
                "message": .string(
                    "\(config.evaluation.rawValue)'s published numbers were made with weights \"\(config.evaluation.weights.rawValue)\"; "
                        + "these are \(model.decoder.weightType.rawValue)"),
            ])
        }
        let asked = try run.askMissing(questions)
        let lines = questions.compactMap { run.records[$0.id] }
        try run.sortFile(lines)
        var report = try PopeScore(
            questions: questions,
            answers: PopeAnswer.read(Array(lines.map { $0.text() + "\n" }.joined().utf8), source: config.answers ?? "answers")
        ).report
        let seconds = Clock.now() - start
        report["answers_path"] = JSON(config.answers)
        report["asked"] = JSON(asked)
        report["resumed"] = JSON(questions.count - asked)
        report["seconds"] = .double(seconds)
        report["protocol"] = [
            "questions": .string(config.questions), "questions_sha256": .string(SHA256.hex(bytes)),
            "template": .string(config.template.rawValue),
            "prompt": .string(model.conversation.text(question: "{}", template: config.template)),
            "name": .string(config.evaluation.rawValue), "max_new_tokens": JSON(config.maxNewTokens),
            "num_beams": JSON(config.beamCount), "do_sample": false, "repetition_penalty": JSON(config.repetitionPenalty),
            "length_penalty": JSON(config.lengthPenalty), "stop": JSON(config.stop),
            "compat": .string(config.compat.rawValue), "model": .string(model.fingerprint),
            "weights": .string(model.decoder.weightType.rawValue), "numerics": .string(model.device.numerics.rawValue),
        ]
        return report
    }

    /// Everything that can be wrong with the files and the questions is found here, before any work.
    private init(
        _ model: any VisionLanguageModel, _ config: PopeRunConfig, _ questions: [PopeQuestion], _ progress: any Progress
    ) throws(HadpoError) {
        self.model = model
        self.config = config
        self.progress = progress
        var byID: [Int: PopeQuestion] = [:]
        for question in questions where byID.updateValue(question, forKey: question.id) != nil {
            throw HadpoError(
                .format, "a question id is used twice in the questions", at: config.questions, found: "\(question.id)",
                expected: "each once")
        }
        guard let path = config.answers else {
            appender = nil
            return
        }
        try File.makeDirectories(File.folder(of: path))
        appender = try LineAppender(path)  // removes a torn last line
        for line in try JSONLines.parse(try File.read(path), source: path) {
            let place = "\(path):\(line.number)"
            guard let id = line.value["question_id"]?.intValue, let question = byID[id],
                line.value["question"]?.stringValue == question.text, line.value["answer"]?.stringValue != nil
            else {
                throw HadpoError(
                    .format, "the answers file holds something else than answers to these questions", at: place,
                    found: String(line.value.text().prefix(120)), expected: "answers to \(config.questions), or a new file")
            }
            guard records.updateValue(line.value, forKey: id) == nil else {
                throw HadpoError(.format, "a question is answered twice", at: place, found: "question_id \(id)")
            }
        }
        if !records.isEmpty {
            try progress.emit([
                "event": "warning",
                "message": .string(
                    "\(records.count) of \(questions.count) answers were in \(path) already and are not asked for again"),
            ])
        }
    }

    // MARK: asking

    /// - Returns: how many questions were asked.
    private mutating func askMissing(_ questions: [PopeQuestion]) throws(HadpoError) -> Int {
        let pictures = try missing(questions)
        let total = pictures.reduce(0) { $0 + $1.count }
        let scored = config.scores ? yesAndNo(pictures.first?.first?.prompt) : nil
        if config.scores, total > 0, scored == nil {
            try progress.emit([
                "event": "warning",
                "message": "the tokenizer has no first tokens that tell Yes from No: answers come without yes_minus_no",
            ])
        }
        let batch = batchSize(pictures)
        var pace = GenerationPace(task: "pope", unit: "questions")
        var done = 0
        for start in stride(from: 0, to: pictures.count, by: batch) {
            let group = Array(pictures[start..<min(start + batch, pictures.count)])
            for (asked, generated) in try answer(group) {
                var difference: Double?
                if let scored, generated.firstLogits.count > max(scored.yes, scored.no) {
                    difference = Double(generated.firstLogits[scored.yes]) - Double(generated.firstLogits[scored.no])
                }
                let text = config.compat == .hadpo ? model.conversation.upstreamText(generated.ids) : generated.text
                let record = PopeAnswer(
                    id: asked.question.id, question: asked.question.text, text: text, yesMinusNo: difference
                ).record
                try appender?.append(record)
                records[asked.question.id] = record
                done += 1
            }
            try appender?.sync()
            try pace.report(done, of: total, progress)
        }
        return total
    }

    /// Questions without an answer by picture, in the order of the file.
    private func missing(_ questions: [PopeQuestion]) throws(HadpoError) -> [[Asked]] {
        var places: [Shared: Int] = [:]
        var pictures: [[Asked]] = []
        for question in questions where records[question.id] == nil {
            try progress.tick()
            let name = "question \(question.id) of \(config.questions)"
            let prompt = try model.conversation.prompt(question: question.text, template: config.template, sample: name)
            let rows = prompt.before.count + model.imageRows
            try PromptSession.check(
                model, prefixes: [rows], branches: Array(repeating: (rows, prompt.after.count), count: config.beamCount),
                newTokens: config.maxNewTokens, at: name)
            let shared = Shared(image: question.image, prefix: prompt.prefix)
            if let place = places[shared] {
                pictures[place].append(Asked(question: question, prompt: prompt))
            } else {
                let path = File.join(config.images, question.image)
                guard File.isFile(path) else {
                    throw HadpoError(.io, "a picture is missing", at: name, found: "no file \(path)", expected: "the picture")
                }
                places[shared] = pictures.count
                pictures.append([Asked(question: question, prompt: prompt)])
            }
        }
        return pictures
    }

    /// As many pictures as share 512 MiB of cache, so that a large model takes one at a time and a tiny one many.
    private func batchSize(_ pictures: [[Asked]]) -> Int {
        if config.batch > 0 { return config.batch }
        let decoder = model.decoder.config
        let most = pictures.map { asked in
            asked.reduce(model.imageRows) { $0 + $1.prompt.after.count + PromptSession.roomStep }
                + (asked.first?.prompt.before.count ?? 0)
        }.max()
        let bytes = (most ?? 1) * decoder.layers * decoder.kvHeads * decoder.headWidth * 2 * 4
        return max(1, min(64, (512 << 20) / max(1, bytes)))
    }

    private func answer(_ pictures: [[Asked]]) throws(HadpoError) -> [(Asked, Generated)] {
        var prefixes: [PromptSession.Prefix] = []
        var branches: [PromptSession.Continuation] = []
        var pictured: (name: String, pixels: [Float]) = ("", [])
        for (i, asked) in pictures.enumerated() {
            guard let first = asked.first else { continue }
            // The same array for the same picture: the session encodes it once.
            if pictured.name != first.question.image || pictured.pixels.isEmpty {
                pictured = (first.question.image, try pixels(first.question))
            }
            prefixes.append(PromptSession.Prefix(first.prompt.prefix, pixels: [pictured.pixels]))
            branches += asked.map { PromptSession.Continuation(prefix: i, ids: $0.prompt.after) }
        }
        let all = pictures.flatMap { $0 }
        let room = branches.reduce(0) { $0 + $1.ids.count + min(config.maxNewTokens, PromptSession.roomStep) }
        let session = try PromptSession(model, prefixes, room: room, progress: progress)
        guard config.beamCount > 1 else {
            var rule = Generation.Rule(maxNewTokens: config.maxNewTokens)
            rule.keepsFirstLogits = config.scores
            rule.choice.repetitionPenalty = Float(config.repetitionPenalty)
            rule.stop = config.stop
            let histories = all.map { model.conversation.history($0.prompt.ids, rule: .v431) }
            return Array(zip(all, try Generation.answers(session, branches, rule, histories: histories)))
        }
        var rule = Generation.BeamRule(count: config.beamCount, maxNewTokens: config.maxNewTokens)
        rule.keepsFirstLogits = config.scores
        rule.repetitionPenalty = Float(config.repetitionPenalty)
        rule.lengthPenalty = config.lengthPenalty
        rule.stop = config.stop
        var results: [(Asked, Generated)] = []
        for (asked, branch) in zip(all, branches) {
            let history = model.conversation.history(asked.prompt.ids, rule: rule.transformers)
            results.append((asked, try Generation.beams(session, branch, rule, history: history).0))
        }
        return results
    }

    private func pixels(_ question: PopeQuestion) throws(HadpoError) -> [Float] {
        let path = File.join(config.images, question.image)
        do throws(HadpoError) {
            return try model.pipeline.pixelValues(try RGBImage.decode(try File.read(path)))
        } catch {
            var failure = error
            failure.place = "question \(question.id), picture \(path)"
            throw failure
        }
    }

    /// First tokens of the answers "Yes" and "No"; nil where the tokenizer begins both alike.
    private func yesAndNo(_ prompt: PromptTokens?) -> (yes: Int, no: Int)? {
        func first(_ answer: String) -> Int? {
            do throws(HadpoError) {
                return try prompt?.answer(answer, tokenizer: model.tokenizer, sample: "yes or no").first.map(Int.init)
            } catch {
                return nil
            }
        }
        guard let yes = first("Yes"), let no = first("No"), yes != no, yes >= 0, no >= 0 else { return nil }
        return (yes, no)
    }

    // MARK: the file

    /// In the end the lines stand in the order of their ids, however the run was cut.
    private func sortFile(_ lines: [JSON]) throws(HadpoError) {
        guard let path = config.answers else { return }
        let sorted = lines.sorted { ($0["question_id"]?.intValue ?? 0) < ($1["question_id"]?.intValue ?? 0) }
        let text = sorted.map { $0.text(ascii: true) + "\n" }.joined()
        let bytes = Array(text.utf8)
        if try File.read(path) != bytes { try File.writeAtomically(path, bytes) }
    }
}
