import HadpoBase

/// "hadpo.shr-score/1": descriptions with a judge's replies, or with annotations as the judge.
package struct SHRScoreConfig: Sendable {
    package enum Judge: String, CaseIterable, Sendable { case replies, annotations }

    package let answers: String
    package let files: SHRFiles
    package let judge: Judge
    package let replies: String?
    package let requests: String?
    package let synonyms: String?
    package let objects: String?
    package let baseline: String?
    package let partial: Bool
    package let output: String?
    package let modelPath: String?
    package let resamples: Int
    package let seed: Int

    package init(_ r: inout ConfigReader) throws(HadpoError) {
        answers = try r.string(
            "answers", help: "descriptions of any model: {\"image id\": text} or lines of image_id, description")
        files = try SHRFiles(&r)
        judge = try r.choice("judge", default: Judge.replies, help: "replies of a model, or the annotations themselves")
        replies = try r.optionalString("replies", help: "the judge's replies: OpenAI batch output, one a line")
        requests = try r.optionalString("requests", help: "the requests, to tell what was never asked and what is stale")
        synonyms = try r.optionalString(
            "synonyms", help: "annotations: CHAIR's synonyms.txt; without it, words of the annotations")
        objects = try r.optionalString("objects", help: "annotations: {\"image id\": [\"object\", ...]} beside the regions")
        baseline = try r.optionalString("baseline", help: "sentences.jsonl of another model's score, to compare with")
        partial = try r.bool(
            "partial", default: false, help: "also score a part of what was asked; else what is missing is an error")
        output = try r.optionalString("output", help: "folder for judgement.json, metrics.json, sentences.jsonl, report.json")
        modelPath = try r.optionalString("model_path", help: "written into metrics.json, as upstream's LLaVA script does")
        resamples = try r.int("resamples", default: 10_000, in: 0...1_000_000, help: "of the bootstrap over images; 0: none")
        seed = try r.int("seed", default: 0, in: 0...Int.max, help: "of the bootstrap")
        let (judge, replies, regions) = (judge, replies, files.regions)
        try r.check(
            judge == .annotations || replies != nil, "replies", "nothing was judged", found: "no replies",
            expected: "replies, or judge: annotations")
        try r.check(
            judge == .replies || regions != nil, "regions", "annotations are to judge and there are none", found: "no regions",
            expected: "vg or regions")
        try r.refuse(
            ["synonyms", "objects", "vg", "image_data", "regions", "factual"], unless: judge == .annotations,
            because: "judge is \"replies\": what they say counts",
            expected: "judge \"annotations\", or the configuration without it")
        try r.refuse(["replies", "requests"], unless: judge == .replies, because: "judge is \"annotations\": nobody was asked")
        try r.refuse(["seed"], unless: resamples > 0, because: "resamples is 0: nothing is drawn")
    }
}

/// SHR (Zhao et al. 2023, HA-DPO): the part of a description's sentences that a judge calls hallucinations. Upstream's figures under
/// upstream's names, the same figures mended, and a record for every sentence.
package struct SHRScore {
    private let config: SHRScoreConfig
    private let descriptions: SHRDescriptions
    private let ids: [String]
    /// The description of each image of the evaluation.
    private let texts: [String: String]
    private let pictures: PictureIndex
    /// What names the images of the evaluation.
    private let evaluation: String
    private var records: [SHRRecord] = []
    private var outcomes = SHROutcomes()
    private var runs: [SHRRun] = []
    private var judgeName: JSON = .null

    package static func run(_ config: SHRScoreConfig) throws(HadpoError) -> JSON {
        if let folder = config.output { try requireOwn(folder, config) }
        var score = try SHRScore(config)
        switch config.judge {
        case .replies: try score.judgeByReplies()
        case .annotations: try score.judgeByAnnotations()
        }
        try score.coverage.require(
            partial: config.partial, "descriptions without verdicts", at: config.replies ?? config.answers,
            "descriptions of \(score.evaluation)", missing: score.missing,
            expected: "a verdict on every sentence of every image")
        let report = try score.report()
        if let folder = config.output {
            // Sentences and their figures are of one score, whatever happens while they are written.
            let save = try FolderSave(into: folder)
            let place = save.workFolder
            let upstream = SHRUpstream(runs: score.runs, ids: score.ids, texts: score.texts)
            try File.writeAtomically(File.join(place, "judgement.json"), upstream.judgement.text(ascii: true))
            try File.writeAtomically(
                File.join(place, "metrics.json"), upstream.metrics(modelPath: config.modelPath).text(ascii: true))
            try File.writeAtomically(File.join(place, "sentences.jsonl"), score.sentences)
            try File.writeAtomically(File.join(place, "report.json"), report.text(indent: 2) + "\n")
            try save.commit(progress: SilentProgress())
        }
        return report
    }

    /// Names in the output folder.
    private static let written = ["judgement.json", "metrics.json", "sentences.jsonl", "report.json"]

    /// What lies in the folder under the names of a score is an earlier score, which this one replaces, and nobody else's.
    private static func requireOwn(_ folder: String, _ config: SHRScoreConfig) throws(HadpoError) {
        try OutputPlace.require(
            written.map { ("/output", File.join(folder, $0)) },
            apartFrom: [
                ("/answers", config.answers), ("/replies", config.replies), ("/requests", config.requests),
                ("/synonyms", config.synonyms), ("/objects", config.objects), ("/baseline", config.baseline),
            ] + config.files.inputs)
        let listed = try SaveManifest.read(folder)?.entries.map(\.name) ?? []
        for name in written where !listed.contains(name) {
            let path = File.join(folder, name)
            guard File.exists(path), try !isOfScore(folder) else { continue }
            throw HadpoError(
                .io, "a file that is no score's lies where the score would write", at: path, expected: "a folder of its own")
        }
    }

    /// A score from before folders had a list of their files.
    private static func isOfScore(_ folder: String) throws(HadpoError) -> Bool {
        let path = File.join(folder, "report.json")
        guard File.isFile(path), let report = try? File.readJSON(path) else { return false }
        return report["schema"] == "hadpo.shr-report/1"
    }

    private init(_ config: SHRScoreConfig) throws(HadpoError) {
        self.config = config
        descriptions = try SHRDescriptions(config.answers)
        let (ids, doubled) = try config.files.validationIDs(descriptions)
        self.ids = ids
        let evaluation = config.files.validation ?? config.answers
        self.evaluation = evaluation
        var pictures = PictureIndex(evaluation, mixesCOCO: false)
        var texts: [String: String] = [:]
        var described: Set<String> = []
        for id in ids {
            try pictures.add(id)
            guard let name = try descriptions.id(id, in: evaluation) else { continue }
            described.insert(name)
            texts[id] = descriptions.texts[name]
        }
        guard !described.isEmpty else { throw descriptions.matchNothing(of: ids, in: evaluation) }
        self.pictures = pictures
        self.texts = texts
        for id in doubled { outcomes.add("image_listed_twice", id) }
        for id in descriptions.doubled { outcomes.add("described_twice", id) }
        for id in descriptions.ids where !described.contains(id) { outcomes.add("not_in_the_evaluation", id) }
    }

    /// Every pass of the judge over every image.
    private var coverage: Coverage { Coverage(asked: ids.count * runs.count, scored: outcomes.count("judged")) }

    private var missing: String {
        let unread = records.count { $0.classification == .unrecognised }
        return outcomes.summary(without: Self.notMissing)
            + (unread == 0 ? "" : "; \(unread) of \(records.count) sentences have a verdict that is none of the three")
    }

    /// Outcomes that leave no image of the evaluation without a verdict.
    private static let notMissing: Set<String> = [
        "judged", "image_listed_twice", "described_twice", "judged_twice", "not_in_the_evaluation", "reply_to_an_unknown_image",
    ]

    // MARK: judges

    private mutating func judgeByReplies() throws(HadpoError) {
        let path = config.replies ?? ""
        var asked: [String: SHRAsked]?
        if let requests = config.requests { asked = try byImage(SHRAsked.read(requests), requests).known }
        let (ids, pictures, requested) = (ids, pictures, asked)
        let replies = try SHRReplies(path) { (custom) throws(HadpoError) in
            guard let requested, let place = try pictures.place(Self.imageID(custom), in: path) else { return nil }
            return requested["\(Self.runName(custom))/\(ids[place])"]?.key
        }
        var names = Set(replies.replies.keys.map(Self.runName))
        if let requested { names.formUnion(requested.keys.map(Self.runName)) }
        if names.isEmpty { names = ["run1"] }
        for id in replies.doubled { outcomes.add("judged_twice", id) }
        let given = try byImage(replies.replies, path)
        for id in given.unknown { outcomes.add("reply_to_an_unknown_image", id) }
        guard !given.known.isEmpty else {
            throw HadpoError(
                .format, "no reply is about an image of the evaluation", at: path,
                found: "custom_id \(PictureIndex.examples(given.unknown, of: given.unknown.count))",
                expected: "a run and an image of \(evaluation), such as 'run1/\(ids.first ?? "")'")
        }
        // Every pass has a verdict, or none, on every sentence: names without end would multiply the descriptions.
        guard names.count <= SHRRequestsConfig.mostRuns else {
            throw HadpoError(
                .format, "too many passes of the judge", at: config.replies,
                found: "\(names.count) names before the / of custom_id",
                expected: "at most \(SHRRequestsConfig.mostRuns)")
        }
        // run2 before run10.
        let ordered = names.sorted { ($0.utf8.count, $0) < ($1.utf8.count, $1) }
        var foreign = 0
        for name in ordered {
            for id in ids {
                guard let request = requested?["\(name)/\(id)"], case .text? = given.known["\(name)/\(id)"] else { continue }
                if try !isOf(request, "\(name)/\(id)", id) { foreign += 1 }
            }
            try judge(name, ordered.count) { id in
                let custom = "\(name)/\(id)"
                if let requested, requested[custom] == nil { return .bad("not_requested") }
                return given.known[custom] ?? .bad("no_reply")
            }
        }
        judgeName = [
            "kind": "model", "models": JSON(replies.models), "replies_sha256": .string(replies.sha256),
            "notes": JSON(SHRNotes.replies(replies, hasRequests: requested != nil, foreignPrompts: foreign)),
        ]
    }

    /// Whether a request has the sentences of the description; false where its prompt does not show them.
    private func isOf(_ request: SHRAsked, _ custom: String, _ id: String) throws(HadpoError) -> Bool {
        guard let text = texts[id] else { return true }
        let sentences = SHRText.sentences(text)
        if sentences.isEmpty { return true }
        switch request.match(sentences) {
        case .same: return true
        case .unknown: return false
        case .other(let number, let asked):
            let ours = number <= sentences.count ? "'\(sentences[number - 1].shortened(to: 200))'" : "no sentence \(number)"
            throw HadpoError(
                .format, "the judge was asked about another description",
                at: "\(config.requests ?? ""), custom_id '\(custom)', image \(id), sentence \(number)",
                found: asked.map { "'\($0.shortened(to: 200))'" } ?? "no sentence \(number)",
                expected: "\(ours), as in \(config.answers); ask the judge again, with requests made of these descriptions")
        }
    }

    /// What belongs to "run/image" with the evaluation's name of the image; batch files of other tools may name the image alone.
    private func byImage<Value>(
        _ values: [String: Value], _ path: String
    ) throws(HadpoError) -> (known: [String: Value], unknown: [String]) {
        var known: [String: Value] = [:]
        var unknown: [String] = []
        for (custom, value) in values.sorted(by: { $0.key < $1.key }) {
            guard let place = try pictures.place(Self.imageID(custom), in: path) else {
                unknown.append(custom)
                continue
            }
            guard known.updateValue(value, forKey: "\(Self.runName(custom))/\(ids[place])") == nil else {
                throw HadpoError(
                    .format, "an image has two spellings", at: path, found: "custom_id '\(custom)', and another one",
                    expected: "one custom_id a run and image")
            }
        }
        return (known, unknown)
    }

    private mutating func judgeByAnnotations() throws(HadpoError) {
        let annotations = try SHRAnnotations(config.files, ids: ids)
        let judge = try SHRAnnotationJudge(annotations, synonyms: config.synonyms, objects: config.objects, ids: ids)
        let texts = texts
        try self.judge("run1", 1) { id in
            judge.reply(to: SHRText.sentences(texts[id] ?? ""), image: id).map { .text($0) } ?? .bad("no_regions")
        }
        judgeName = judge.description
    }

    private static func runName(_ custom: String) -> String {
        guard let slash = custom.utf8.firstIndex(of: UInt8(ascii: "/")) else { return "run1" }
        return String(custom[..<slash])
    }

    private static func imageID(_ custom: String) -> String {
        guard let slash = custom.utf8.firstIndex(of: UInt8(ascii: "/")) else { return custom }
        return String(custom[custom.utf8.index(after: slash)...])
    }

    private mutating func judge(_ name: String, _ runCount: Int, _ reply: (String) -> SHRReplies.Reply) throws(HadpoError) {
        var run = SHRRun(name: name)
        let prefix = runCount > 1 ? name + "/" : ""
        for id in ids {
            guard let text = texts[id] else {
                outcomes.add("no_description", prefix + id)
                continue
            }
            let sentences = SHRText.sentences(text)
            if sentences.isEmpty {
                outcomes.add("empty_description", prefix + id)
                continue
            }
            var outcome = "judged"
            var classes = [SHRVerdicts.Class](repeating: .unjudged, count: sentences.count)
            var lines = [String?](repeating: nil, count: sentences.count)
            var upstream = SHRVerdicts.Upstream.noHeader
            switch reply(id) {
            case .bad(let why): outcome = why
            case .text(let answer):
                upstream = SHRVerdicts.upstream(answer, sentences: sentences.count)
                switch SHRVerdicts.corrected(answer, sentences: sentences.count) {
                case .bad(let why): outcome = why
                case .judged(let verdicts):
                    classes = verdicts.map(\.classification)
                    if classes.contains(.unrecognised) { outcome = "unread_verdicts" }
                    lines = verdicts.map(\.line)
                }
                // Upstream keeps asking until the word is there, and stores what it then cannot parse as nulls.
                if upstream != .noHeader {
                    run.stored.append(.init(id: id, reply: answer, description: text, sentences: sentences, verdicts: upstream))
                }
            }
            outcomes.add(outcome, prefix + id)
            for (index, sentence) in sentences.enumerated() {
                var upstreamClass: String?
                if case .judged(let verdicts) = upstream { upstreamClass = verdicts[index].classification }
                records.append(
                    SHRRecord(
                        run: name, image: id, sentence: index + 1, text: sentence, classification: classes[index],
                        judgement: lines[index], upstream: upstreamClass, outcome: outcome))
            }
        }
        runs.append(run)
    }

    // MARK: the report

    private var sentences: String { records.map { $0.json.text(ascii: true) + "\n" }.joined() }

    private func report() throws(HadpoError) -> JSON {
        let upstream = SHRUpstream(runs: runs, ids: ids, texts: texts).metrics(modelPath: config.modelPath)
        let figures = SHRFigures(records: records, resamples: config.resamples, seed: config.seed)
        var report: JSON = [
            "schema": "hadpo.shr-report/1", "answers": .string(config.answers), "answers_sha256": .string(descriptions.sha256),
            "judge": judgeName, "images": JSON(ids.count), "runs": JSON(runs.map(\.name)), "asked": JSON(coverage.asked),
            "scored": JSON(coverage.scored), "missing": JSON(coverage.missing), "outcomes": outcomes.json, "upstream": upstream,
            "corrected": figures.json,
            "repetition": Self.repetition(ids, texts),
            "length_matched": figures.lengthMatched, "differences": differences(upstream, figures),
            "output": JSON(config.output), "origin": try ScoredOrigin(beside: config.answers).json,
        ]
        if let path = config.baseline {
            let baseline = try SHRScored(path, resamples: 0, seed: 0)
            try ScoredOrigin.requireTwoFiles(
                (config.answers, SHA256.hex(Array(sentences.utf8)), report["origin"]),
                (path, baseline.sha256, baseline.report["origin"]))
            let comparison = try SHRComparison(
                run: records, baseline: SHRRecord.named(baseline.records, as: records, in: path, of: config.answers),
                path: path, resamples: config.resamples, seed: config.seed,
                judges: SHRJudges(run: judgeName, baseline: baseline.report["judge"] ?? .null))
            try comparison.requireSame(partial: config.partial)
            report["comparison"] = comparison.json
        }
        return report
    }

    /// The part of n-grams that were there before, the direction that the name promises, over the descriptions that have n words.
    private static func repetition(_ ids: [String], _ texts: [String: String]) -> JSON {
        var report: [JSON.Member] = []
        for n in 1...4 {
            let values = ids.compactMap { texts[$0] }.map { SHRText.distinctGrams($0, n) }
            let defined = values.compactMap { $0 }
            report.append(
                .init(
                    "gram-\(n)",
                    [
                        "repeated": JSON(defined.isEmpty ? nil : 1 - defined.reduce(0, +) / Double(defined.count)),
                        "descriptions": JSON(defined.count), "too_short": JSON(values.count - defined.count),
                    ]))
        }
        return .object(report)
    }

    /// Where the mended figures are not upstream's, and why.
    private func differences(_ upstream: JSON, _ figures: SHRFigures) -> JSON {
        let trimmed = records.count {
            $0.upstream != nil && $0.upstream != $0.classification.rawValue && $0.classification != .unrecognised
        }
        let rescued = records.count { $0.upstream == nil && $0.classification != .unjudged }
        let stored = Dictionary(runs.map { ($0.name, Set($0.stored.map(\.id))) }) { first, _ in first }
        let dropped = Set(records.filter { !(stored[$0.run]?.contains($0.image) ?? false) }.map(\.image)).count
        let unnamed = records.count { $0.classification == .unjudged }
        return [
            "verdicts_read_after_trimming": JSON(trimmed), "verdicts_read_by_number": JSON(rescued),
            "images_that_upstream_leaves_out": JSON(dropped), "sentences_without_verdict": JSON(unnamed),
            "hal_sents_ratio": [
                "upstream": upstream["mean_hal_ratio"] ?? .null, "corrected": JSON(figures.ratio),
                "why": """
                upstream drops a verdict with a blank before its colon and all verdicts of a reply whose lines it miscounts; \
                here they are read by their numbers, and what stays unread is in the bounds
                """,
            ],
            "repetition": [
                "why": """
                upstream's gram-n-repetition is the part of distinct n-grams, which falls as text repeats, and counts \
                descriptions it never judged; here it is the part that repeats, over descriptions of n words or more
                """
            ],
        ]
    }
}
