import HadpoBase
import HadpoModels
import HadpoTensor
import HadpoText
import HadpoVision

/// "hadpo.pope/1": a POPE file to ask, and how. Defaults are those of HA-DPO for the model's family.
package struct PopeRunConfig: Sendable {
    /// `hadpo` keeps the end token in the answers, as upstream's files have it.
    package enum Compatibility: String, Sendable, CaseIterable { case none, hadpo }

    /// Another question file asked in the same call, with its own answers file.
    package struct Further: Sendable {
        package let questions: String
        package let answers: String?

        init(_ r: inout ConfigReader) throws(HadpoError) {
            questions = try r.string("questions", help: "POPE question file")
            answers = try r.optionalString("answers", help: "its answers")
        }
    }

    package let questions: String
    package let pictures: PictureFolder
    package let answers: String?
    package let further: [Further]
    package let limit: Int
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
    package let mix: Bool

    package init(_ r: inout ConfigReader) throws(HadpoError) { try self.init(&r, family: .llava) }

    /// - Parameters:
    ///   - family: the opened model's.
    ///   - folder: what its folder says of answering.
    package init(
        _ r: inout ConfigReader, family: ModelFamily, folder: GenerationSettings = GenerationSettings()
    ) throws(HadpoError) {
        questions = try r.string("questions", help: "POPE question file")
        let images = try r.string("images", help: "folder that its pictures are in")
        pictures = PictureFolder(
            images,
            outside: try r.bool(
                "outside", default: false,
                help: "also pictures whose names are absolute or have .. in them; else those are refused"))
        answers = try r.optionalString(
            "answers", help: "answers as JSON Lines, appended as they come; what is there is not asked again")
        further = try r.objects(
            "further", help: "more question files on the same pictures: a question that is in several is asked once", Further.init
        )
        limit = try r.int("limit", default: 0, in: 0...1 << 30, help: "only the first so many questions of each file; 0: all")
        evaluation = try r.choice(
            "protocol", default: family.evaluation,
            help: "whose published way of answering the keys below default to; as the model's family when left out")
        let decoding = evaluation.completing(evaluation.questions, from: folder)
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
        mix = try r.bool(
            "mix", default: false,
            help: "continue an answers file of another model, other settings or another tool; else it is refused")
        try r.refuse(["length_penalty"], unless: beamCount > 1, because: "num_beams is 1: nothing is searched")
    }

    /// What decides an answer besides the model and the question. Batches and threads do not.
    func settings(_ model: any VisionLanguageModel) -> JSON {
        [
            "template": .string(template.rawValue),
            "prompt": .string(model.conversation.text(question: "{}", template: template)),
            "max_new_tokens": JSON(maxNewTokens), "min_new_tokens": JSON(model.generation.minNewTokens ?? 0),
            "num_beams": JSON(beamCount), "do_sample": false, "repetition_penalty": JSON(repetitionPenalty),
            "length_penalty": JSON(lengthPenalty), "stop": JSON(stop),
            "scores": JSON(scores), "compat": .string(compat.rawValue),
        ]
    }
}

/// Asks a model every question of one or more POPE files and scores the answers by the official rule. All questions of a picture
/// share its prefix, those of several files too; pictures go together in batches; the answers do not depend on either.
package struct PopeRun {
    /// One question file with its answers.
    private struct Split {
        let path: String
        let sha256: String
        let questions: [PopeQuestion]
        var file: AnswersFile<Int>?
        /// Lines of the answers by question, other keys included.
        var records: [Int: JSON]
        let resumed: Int

        /// Whether the answer may stand in another file of this run.
        func isOwn(_ record: JSON) -> Bool { file?.isOwn(record) ?? true }
    }

    /// Where an answer belongs.
    private struct Target {
        let split: Int
        let question: PopeQuestion
    }

    private struct Asked {
        let targets: [Target]
        let question: PopeQuestion
        let prompt: PromptTokens
    }

    /// The same question in several files.
    private struct Same: Hashable {
        let image: String
        let text: String
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
    private let identity: ModelIdentity
    private var pictureBytes: PictureBytes
    private var splits: [Split] = []

    /// - Returns: `PopeScore`'s report, with what was asked and how; of several files, one each under "splits".
    package static func run(
        model: any VisionLanguageModel, config: PopeRunConfig, progress: any Progress
    ) throws(HadpoError) -> JSON {
        let start = Clock.now()
        var run = try PopeRun(model, config, progress)
        if let layer = model.decoder.layers.first?.linears.first,
            let wanted = config.evaluation.weights.dtype(of: layer.name + ".weight"), model.decoder.weightType != wanted,
            config.evaluation == model.family.evaluation
        {
            try progress.emit([
                "event": "warning",
                "message": .string(
                    "\(config.evaluation.rawValue)'s published numbers were made with weights \"\(config.evaluation.weights.rawValue)\"; "
                        + "these are \(model.decoder.weightType.rawValue)"),
            ])
        }
        let asked = try run.askMissing()
        var reports: [JSON] = []
        for split in run.splits { reports.append(try run.report(split)) }
        var report: JSON = config.further.isEmpty ? reports[0] : ["splits": .array(reports)]
        report["asked"] = JSON(asked)
        report["resumed"] = JSON(run.splits.reduce(0) { $0 + $1.resumed })
        report["seconds"] = .double(Clock.now() - start)
        report["protocol"] = [
            "questions": .string(config.questions), "questions_sha256": .string(run.splits[0].sha256),
            "template": .string(config.template.rawValue),
            "prompt": .string(model.conversation.text(question: "{}", template: config.template)),
            "name": .string(config.evaluation.rawValue), "max_new_tokens": JSON(config.maxNewTokens),
            "min_new_tokens": JSON(model.generation.minNewTokens ?? 0), "num_beams": JSON(config.beamCount), "do_sample": false,
            "repetition_penalty": JSON(config.repetitionPenalty),
            "length_penalty": JSON(config.lengthPenalty), "stop": JSON(config.stop),
            "compat": .string(config.compat.rawValue), "model": .string(run.identity.digest),
            "weights": .string(model.decoder.weightType.rawValue), "numerics": .string(model.device.numerics.rawValue),
        ]
        report["identity"] = run.identity.json
        return report
    }

    /// Reads the files and looks for every picture, asks nothing.
    package static func check(
        model: any VisionLanguageModel, config: PopeRunConfig, progress: any Progress
    ) throws(HadpoError) {
        var run = try PopeRun(model, config, progress)
        guard try !run.missing().isEmpty || config.answers != nil else {
            throw HadpoError(.format, "no questions", at: config.questions, expected: "POPE questions")
        }
    }

    private func report(_ split: Split) throws(HadpoError) -> JSON {
        let lines = split.questions.compactMap { split.records[$0.id] }
        // In the end the lines stand in the order of their ids, however the run was cut.
        let sorted = lines.sorted { ($0["question_id"]?.intValue ?? 0) < ($1["question_id"]?.intValue ?? 0) }
        _ = try split.file?.finish(sorted)
        let source = split.file?.path ?? "answers"
        var report = try PopeScore(
            questions: split.questions,
            answers: PopeAnswer.read(Array(lines.map { $0.text() + "\n" }.joined().utf8), source: source)
        ).report
        report["answers_path"] = JSON(split.file?.path)
        if let mixture = split.file?.mixture { report["mixed_with"] = mixture }
        if !config.further.isEmpty {
            report["questions_path"] = .string(split.path)
            report["questions_sha256"] = .string(split.sha256)
            report["resumed"] = JSON(split.resumed)
        }
        return report
    }

    /// Everything that can be wrong with the files and the questions is found here, before any work.
    private init(_ model: any VisionLanguageModel, _ config: PopeRunConfig, _ progress: any Progress) throws(HadpoError) {
        self.model = model
        self.config = config
        self.progress = progress
        identity = model.identity
        pictureBytes = PictureBytes(model)
        let files = [(config.questions, config.answers)] + config.further.map { ($0.questions, $0.answers) }
        var known: Set<String> = []
        for (_, answers) in files {
            guard let answers else { continue }
            guard known.insert(File.place(of: answers)).inserted else {
                throw HadpoError(
                    .config, "two question files name one answers file", at: "/further", found: "'\(answers)'",
                    expected: "a file for each")
            }
        }
        for (questions, answers) in files { splits.append(try open(questions, answers)) }
        for split in splits {
            for warning in split.file?.warnings ?? [] { try progress.emit(warning) }
            guard split.resumed > 0 else { continue }
            try progress.emit([
                "event": "warning",
                "message": .string(
                    "\(split.resumed) of \(split.questions.count) answers were in \(split.file?.path ?? "") already and are not asked for "
                        + "again"),
            ])
        }
    }

    private mutating func open(_ path: String, _ answers: String?) throws(HadpoError) -> Split {
        let bytes = try File.read(path)
        var questions = try PopeQuestion.read(bytes, source: path)
        if config.limit > 0 { questions = Array(questions.prefix(config.limit)) }
        var byID: [Int: PopeQuestion] = [:]
        for question in questions where byID.updateValue(question, forKey: question.id) != nil {
            throw HadpoError(
                .format, "a question id is used twice in the questions", at: path, found: "\(question.id)", expected: "each once")
        }
        let sha256 = SHA256.hex(bytes)
        guard let answers else { return Split(path: path, sha256: sha256, questions: questions, records: [:], resumed: 0) }
        try File.makeDirectories(File.folder(of: answers))
        let origin = AnswersOrigin(
            identity, settings: config.settings(model), about: ["questions_sha256": .string(sha256)])
        let words = AnswersFile<Int>.Words(
            records: "answers", again: "what is missing is asked again", opening: PopeAnswer.opening,
            expected: "answers to \(path), or a new file",
            stranger: "the answers file holds something else than answers to these questions")
        let file = try AnswersFile<Int>(answers, origin, mixes: config.mix, words) { record in
            guard let id = record["question_id"]?.intValue, let question = byID[id],
                record["question"]?.stringValue == question.text, record["answer"]?.stringValue != nil
            else { return nil }
            return (id, "question_id \(id)")
        } picture: { (id) throws(HadpoError) in
            guard let question = byID[id] else { return nil }
            return try pictureHash(question, of: path)
        }
        return Split(
            path: path, sha256: sha256, questions: questions, file: file, records: file.records, resumed: file.records.count)
    }

    private mutating func pictureHash(_ question: PopeQuestion, of path: String) throws(HadpoError) -> String {
        let file = try config.pictures.file(question.image, at: "question \(question.id) of \(path)")
        return try pictureBytes.hash(file)
    }

    // MARK: asking

    /// - Returns: how many questions were asked.
    private mutating func askMissing() throws(HadpoError) -> Int {
        let pictures = try missing()
        let total = pictures.reduce(0) { $0 + $1.count }
        if total > 0 { for split in splits { try split.file?.prepare() } }
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
                    let (yes, no) = (Double(generated.firstLogits[scored.yes]), Double(generated.firstLogits[scored.no]))
                    guard (yes - no).isFinite else {
                        throw HadpoError(
                            .numerics, "the scores of Yes and No are not numbers", at: asked.targets.first?.question.image,
                            found: "\(yes) and \(no)", expected: "finite weights and activations")
                    }
                    difference = yes - no
                }
                let text = config.compat == .hadpo ? model.conversation.upstreamText(generated.ids) : generated.text
                for target in asked.targets {
                    let question = target.question
                    try keep(
                        PopeAnswer(id: question.id, question: question.text, text: text, yesMinusNo: difference).record, target)
                }
                done += 1
            }
            for split in splits { try split.file?.sync() }
            try pace.report(done, of: total, progress)
        }
        return total
    }

    private mutating func keep(_ record: JSON, _ target: Target) throws(HadpoError) {
        if splits[target.split].file != nil {
            let picture = try pictureHash(target.question, of: splits[target.split].path)
            try splits[target.split].file?.keep(record, target.question.id, picture: picture)
        }
        splits[target.split].records[target.question.id] = record
    }

    /// Questions without an answer by picture, in the order of the files. What another file has an answer to is copied from there.
    private mutating func missing() throws(HadpoError) -> [[Asked]] {
        var order: [Same] = []
        var targets: [Same: [Target]] = [:]
        for (index, split) in splits.enumerated() {
            for question in split.questions {
                let same = Same(image: question.image, text: question.text)
                if targets[same] == nil { order.append(same) }
                targets[same, default: []].append(Target(split: index, question: question))
            }
        }
        var places: [Shared: Int] = [:]
        var pictures: [[Asked]] = []
        for same in order {
            let all = targets[same] ?? []
            let open = all.filter { splits[$0.split].records[$0.question.id] == nil }
            let known = all.lazy.compactMap { [splits] target -> JSON? in
                guard let record = splits[target.split].records[target.question.id], splits[target.split].isOwn(record) else {
                    return nil
                }
                return record
            }.first
            if let known {
                for target in open {
                    var record = known
                    record["question_id"] = JSON(target.question.id)
                    try keep(record, target)
                }
                continue
            }
            guard let target = open.first else { continue }
            let question = target.question
            try progress.tick()
            let name = "question \(question.id) of \(splits[target.split].path)"
            let prompt = try model.conversation.prompt(question: question.text, template: config.template, sample: name)
            let rows = prompt.before.count + model.imageRows
            try PromptSession.check(
                model, prefixes: [rows], branches: Array(repeating: (rows, prompt.after.count), count: config.beamCount),
                newTokens: config.maxNewTokens, at: name)
            let shared = Shared(image: question.image, prefix: prompt.prefix)
            if let place = places[shared] {
                pictures[place].append(Asked(targets: open, question: question, prompt: prompt))
            } else {
                _ = try config.pictures.file(question.image, at: name)
                places[shared] = pictures.count
                pictures.append([Asked(targets: open, question: question, prompt: prompt)])
            }
        }
        return pictures
    }

    private func batchSize(_ pictures: [[Asked]]) -> Int {
        if config.batch > 0 { return config.batch }
        let most = pictures.map { asked in
            asked.reduce(model.imageRows) { $0 + $1.prompt.after.count + PromptSession.roomStep }
                + (asked.first?.prompt.before.count ?? 0)
        }.max()
        return PromptSession.picturesAtOnce(model, rows: most ?? 1)
    }

    private mutating func answer(_ pictures: [[Asked]]) throws(HadpoError) -> [(Asked, Generated)] {
        var prefixes: [PromptSession.Prefix] = []
        var branches: [PromptSession.Continuation] = []
        var pictured: (name: String, pixels: Block<Float>)?
        for (i, asked) in pictures.enumerated() {
            guard let first = asked.first else { continue }
            // The same values for the same picture: the session encodes it once.
            let values: Block<Float>
            if let pictured, pictured.name == first.question.image {
                values = pictured.pixels
            } else {
                values = try pixels(first.question)
                pictured = (first.question.image, values)
            }
            prefixes.append(PromptSession.Prefix(first.prompt.prefix, pixels: [values]))
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
        let histories = all.map { model.conversation.history($0.prompt.ids, rule: rule.transformers) }
        let found = try Generation.beams(session, branches, rule, histories: histories)
        return zip(all, found).map { ($0, $1.generated) }
    }

    private mutating func pixels(_ question: PopeQuestion) throws(HadpoError) -> Block<Float> {
        let path = try config.pictures.file(question.image, at: "question \(question.id)")
        do throws(HadpoError) {
            return try pictureBytes.pixels(path)
        } catch {
            var failure = error
            failure.place = "question \(question.id), picture \(PictureFolder.shown(path, quoted: false))"
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
}
