import HadpoBase

/// "hadpo.pope-score/1": answers files to score, by which rules, against what.
package struct PopeEvaluationConfig: Sendable {
    package struct Split: Sendable {
        package let name: String?
        package let questions: String
        package let answers: String
        package let baseline: String?

        init(_ r: inout ConfigReader) throws(HadpoError) {
            name = try r.optionalString("name", help: "in the report; default: the published set's, else the file's")
            questions = try r.string("questions", help: "POPE question file")
            answers = try r.string("answers", help: "answers of a model: question_id, answer (or text), one a line")
            baseline = try r.optionalString("baseline", help: "answers of another model, to compare with")
        }
    }

    /// `automatic`: by id when the answers have ids, else by position.
    package enum Match: String, CaseIterable, Sendable { case automatic, id, position }

    package let splits: [Split]
    package let rules: [PopeRule]
    package let match: Match
    /// A report's key of this name holds for its parts too.
    package var partial: Bool
    package let records: String?
    package let resamples: Int
    package let seed: Int

    package init(_ r: inout ConfigReader) throws(HadpoError) {
        splits = try r.objects("splits", help: "question files with their answers", Split.init)
        let names = try r.strings(
            "rules", default: [PopeRule.official.rawValue],
            help: "how an answer becomes yes or no: \(PopeRule.allCases.map(\.rawValue).joined(separator: " "))")
        var rules: [PopeRule] = []
        for name in names {
            guard let rule = PopeRule(rawValue: name) else {
                throw HadpoError(
                    .config, "unknown name", at: "/rules", found: "'\(name)'",
                    expected: "one of \(PopeRule.allCases.map(\.rawValue).joined(separator: ", "))")
            }
            if !rules.contains(rule) { rules.append(rule) }
        }
        self.rules = rules
        match = try r.choice(
            "match", default: Match.automatic,
            help: """
                how an answer finds its question; by position a record's own id must be its question's, or a running number of \
                another base beside the question or the picture
                """)
        partial = try r.bool(
            "partial", default: false, help: "also score a part of what was asked; else what is missing is an error")
        records = try r.optionalString("records", help: "file for one line a question: answer and verdict under every rule")
        resamples = try r.int(
            "resamples", default: 10_000, in: 0...1_000_000, help: "of the bootstrap over pictures; 0: no bootstrap")
        seed = try r.int("seed", default: 0, in: 0...Int.max, help: "of the bootstrap")
        try r.refuse(["seed"], unless: resamples > 0, because: "resamples is 0: nothing is drawn")
        try r.check(!splits.isEmpty, "splits", "nothing to score", found: "no split", expected: "one or more")
        try r.check(!rules.isEmpty, "rules", "nothing to score by", found: "no rule", expected: "one or more")
    }

    /// The files that are read.
    package var inputs: [OutputPlace.Named] {
        splits.enumerated().flatMap { index, split -> [OutputPlace.Named] in
            [
                ("/splits/\(index)/questions", split.questions), ("/splits/\(index)/answers", split.answers),
                ("/splits/\(index)/baseline", split.baseline),
            ]
        }
    }
}

/// Answers files scored under one or more rules, with uncertainty, every outcome by name, and a paired comparison of two runs.
package struct PopeEvaluation {
    private let config: PopeEvaluationConfig
    private var splitReports: [JSON] = []
    private var pooled: [PopeRule: ConfusionMatrix] = [:]
    private var recordLines: [JSON] = []

    package static func run(_ config: PopeEvaluationConfig) throws(HadpoError) -> JSON {
        try OutputPlace.require([("/records", config.records)], apartFrom: config.inputs)
        var evaluation = PopeEvaluation(config: config)
        for split in config.splits { try evaluation.score(split) }
        if let path = config.records {
            try File.makeDirectories(File.folder(of: path))
            try File.writeAtomically(path, evaluation.recordLines.map { $0.text() + "\n" }.joined())
        }
        return evaluation.report
    }

    private init(config: PopeEvaluationConfig) { self.config = config }

    private var report: JSON {
        // All splits as one: what VLMEvalKit calls Overall, where a question in several splits counts in each.
        let all = config.rules.map { rule in
            JSON.Member(rule.rawValue, Self.figures(PopeFigures(pooled[rule] ?? .init(), rule: rule), intervals: false))
        }
        return [
            "schema": "hadpo.pope-report/1", "splits": .array(splitReports), "pooled": .object(all),
            "records": JSON(config.records),
        ]
    }

    private mutating func score(_ given: PopeEvaluationConfig.Split) throws(HadpoError) {
        let split = try PopeSplit(try File.read(given.questions), path: given.questions, name: given.name)
        let scored = try Run(split, given.answers, config)
        var report = split.description
        report["run"] = scored.report(config)
        for rule in config.rules { pooled[rule, default: .init()] = pooled[rule, default: .init()] + scored.counts(rule) }
        var baseline: Run?
        if let path = given.baseline {
            let other = try Run(split, path, config)
            try ScoredOrigin.requireDifferent(scored.origin.json, other.origin.json, at: path)
            try ScoredOrigin.requireTwoFiles(
                (given.answers, scored.sha256, scored.origin.json), (path, other.sha256, other.origin.json))
            report["baseline"] = other.report(config)
            report["comparison"] = scored.comparison(with: other, config)
            baseline = other
        }
        splitReports.append(report)
        if config.records != nil { recordLines += scored.records(baseline, config) }
    }

    fileprivate static func figures(_ figures: PopeFigures, intervals: Bool) -> JSON {
        let counts = figures.counts
        var record: JSON = [
            "n": JSON(counts.total), "tp": JSON(counts.tp), "fp": JSON(counts.fp), "tn": JSON(counts.tn),
            "fn": JSON(counts.fn), "other_yes": JSON(counts.otherYes), "other_no": JSON(counts.otherNo),
        ]
        for figure in PopeFigures.Figure.allCases { record[figure.rawValue] = JSON(figures[figure]) }
        if intervals {
            record["wilson_95"] = .object(
                PopeFigures.Figure.allCases.map { .init($0.rawValue, Statistics.json(figures.wilson($0))) })
        }
        return record
    }
}

extension PopePairing {
    /// A file of answers against a split as the configuration wants it: what is missing is an error unless it may be.
    package init(
        _ split: PopeSplit, _ answers: [PopeAnswer], _ config: PopeEvaluationConfig, source: String
    ) throws(HadpoError) {
        guard !split.questions.isEmpty else {
            throw HadpoError(.format, "no questions", at: split.path, found: "an empty file", expected: "POPE questions")
        }
        let match: PopeScore.Match =
            switch config.match {
            case .automatic: Self.automaticMatch(answers)
            case .id: .id
            case .position: .position
            }
        try self.init(questions: split.questions, answers: answers, match: match, source: source, set: split.set)
        guard !pairs.isEmpty else {
            let ids = answers.lazy.compactMap(\.id).prefix(5).map(String.init)
            let found =
                answers.isEmpty ? "no answers" : ids.isEmpty ? "no question_id" : "question_id \(ids.joined(separator: ", "))"
            throw HadpoError(
                .format, "no answer belongs to a question of this file", at: source,
                found: "\(answers.count) answers: \(found)",
                expected:
                    "answers to \(split.path): question_id \(Coverage.first(split.questions.map { String($0.id) }))")
        }
        // Fewer answers than questions of one id: which of them is answered cannot be told.
        let shared = Set(sharedIDs)
        if match == .id, let id = missing.first(where: shared.contains) {
            throw HadpoError(
                .format, "a question id is used twice in the questions", at: split.path,
                found: "question_id \(id) \(split.questions.count { $0.id == id }) times, answered less often",
                expected: "each id once, or as many answers as questions of the id")
        }
        try coverage.require(
            partial: config.partial, "questions without an answer", at: source, "questions of \(split.path)",
            missing: "question_id \(Coverage.first(missing.map(String.init)))", expected: "an answer to every question")
    }
}

/// One answers file against one split.
private struct Run {
    let split: PopeSplit
    let path: String
    let sha256: String
    let pairing: PopePairing
    let origin: ScoredOrigin
    private let images: [String]
    /// Place of a question's picture, by first appearance: the bootstrap's clusters are the split's pictures, the same for two runs.
    private let places: [String: Int]

    init(_ split: PopeSplit, _ path: String, _ config: PopeEvaluationConfig) throws(HadpoError) {
        let bytes = try File.read(path)
        self.split = split
        self.path = path
        sha256 = SHA256.hex(bytes)
        origin = try ScoredOrigin(beside: path)
        pairing = try PopePairing(split, PopeAnswer.read(bytes, source: path), config, source: path)
        var images: [String] = []
        var places: [String: Int] = [:]
        for question in split.questions where places[question.image] == nil {
            places[question.image] = images.count
            images.append(question.image)
        }
        self.images = images
        self.places = places
    }

    func counts(_ rule: PopeRule) -> ConfusionMatrix {
        var counts = ConfusionMatrix()
        for (question, answer) in pairing.pairs { counts.count(rule.verdict(answer.text), isYes: question.isYes) }
        return counts
    }

    private func perImage(_ rule: PopeRule) -> [[Int]] {
        var counts = [ConfusionMatrix](repeating: .init(), count: images.count)
        for (question, answer) in pairing.pairs {
            guard let place = places[question.image] else { continue }
            counts[place].count(rule.verdict(answer.text), isYes: question.isYes)
        }
        return counts.map(\.columns)
    }

    private func bootstrap(_ config: PopeEvaluationConfig) -> ClusterBootstrap {
        ClusterBootstrap(clusters: images.count, resamples: config.resamples, seed: UInt64(config.seed))
    }

    func report(_ config: PopeEvaluationConfig) -> JSON {
        var unparsed = 0
        var ambiguous = 0
        for answer in pairing.answers {
            let leading = PopeRule.leadingWordSaysYes(answer.text)
            if leading == nil { unparsed += 1 }
            if let leading, leading != PopeRule.officialSaysYes(answer.text) { ambiguous += 1 }
        }
        let scored = pairing.pairs.compactMap { pair in pair.answer.yesMinusNo.map { (score: $0, isYes: pair.question.isYes) } }
        let bootstrap = bootstrap(config)
        var rules: [JSON.Member] = []
        for rule in config.rules {
            let counts = counts(rule)
            var record = PopeEvaluation.figures(PopeFigures(counts, rule: rule), intervals: true)
            // Every question that was asked, the unanswered ones as wrong: what a missing answer cannot improve.
            record["accuracy_of_all_questions"] = JSON(ratio(counts.tp + counts.tn, pairing.questionCount))
            if rule == .lmmsEval {
                // lmms-eval prints this as the yes ratio; it is the share of yes among the labels, whatever the model says.
                record["yes_ratio_lmms_eval"] = JSON(ratio(counts.tp + counts.fn + counts.otherYes, counts.total))
            }
            record["bootstrap_95"] = intervals(perImage(rule), bootstrap, rule)
            rules.append(.init(rule.rawValue, record))
        }
        let file: JSON = [
            "answers": .string(path), "sha256": .string(sha256), "answer_count": JSON(pairing.answerCount),
            "match": .string(pairing.match.rawValue),
        ]
        let rest: JSON = [
            "complete": JSON(pairing.isComplete), "outcomes": pairing.outcomes, "unparsed": JSON(unparsed),
            "ambiguous": JSON(ambiguous),
            "roc_area": JSON(scored.count == pairing.pairs.count ? areaUnderROC(scored) : nil),
            "bootstrap": bootstrap.description, "rules": .object(rules), "origin": origin.json,
        ]
        return .object((file.objectValue ?? []) + pairing.coverage.members + (rest.objectValue ?? []))
    }

    private func intervals(_ counts: [[Int]], _ bootstrap: ClusterBootstrap, _ rule: PopeRule) -> JSON {
        let replicates = bootstrap.replicates(counts) { PopeFigures(ConfusionMatrix(columns: $0), rule: rule) }
        return .object(
            PopeFigures.Figure.allCases.map { figure in
                .init(figure.rawValue, Statistics.json(Statistics.percentile95(replicates.map { $0[figure] })))
            })
    }

    /// This run against `other`, on the questions that both answered: differences with the same resampled pictures for both, and
    /// McNemar's test on right and wrong.
    func comparison(with other: Run, _ config: PopeEvaluationConfig) -> JSON {
        var theirs: [Key: PopeAnswer] = [:]
        for (place, pair) in other.places(of: other.pairing).enumerated() {
            theirs[pair] = other.pairing.pairs[place].answer
        }
        let mine = places(of: pairing)
        var rules: [JSON.Member] = []
        for rule in config.rules {
            var counts = [[Int]](repeating: [Int](repeating: 0, count: 12), count: images.count)
            var bothRight = 0, bothWrong = 0, onlyRun = 0, onlyBaseline = 0
            for (key, pair) in zip(mine, pairing.pairs) {
                guard let answer = theirs[key], let place = places[pair.question.image] else { continue }
                var (first, second) = (ConfusionMatrix(), ConfusionMatrix())
                first.count(rule.verdict(pair.answer.text), isYes: pair.question.isYes)
                second.count(rule.verdict(answer.text), isYes: pair.question.isYes)
                for (column, value) in (first.columns + second.columns).enumerated() { counts[place][column] += value }
                switch (first.tp + first.tn == 1, second.tp + second.tn == 1) {
                case (true, true): bothRight += 1
                case (true, false): onlyRun += 1
                case (false, true): onlyBaseline += 1
                case (false, false): bothWrong += 1
                }
            }
            func difference(_ sums: [Int], _ figure: PopeFigures.Figure) -> Double? {
                let run = PopeFigures(ConfusionMatrix(columns: Array(sums[..<6])), rule: rule)[figure]
                let baseline = PopeFigures(ConfusionMatrix(columns: Array(sums[6...])), rule: rule)[figure]
                guard let run, let baseline else { return nil }
                return run - baseline
            }
            var total = [Int](repeating: 0, count: 12)
            for image in counts { for column in 0..<12 { total[column] += image[column] } }
            let replicates = bootstrap(config).replicates(counts) { $0 }
            let differences = PopeFigures.Figure.allCases.map { figure in
                JSON.Member(
                    figure.rawValue,
                    [
                        "difference": JSON(difference(total, figure)),
                        "bootstrap_95": Statistics.json(
                            Statistics.percentile95(replicates.map { difference($0, figure) })),
                    ])
            }
            rules.append(
                .init(
                    rule.rawValue,
                    [
                        "n": JSON(bothRight + bothWrong + onlyRun + onlyBaseline), "both_right": JSON(bothRight),
                        "only_run_right": JSON(onlyRun), "only_baseline_right": JSON(onlyBaseline), "both_wrong": JSON(bothWrong),
                        "mcnemar_p": .double(Statistics.mcNemarExact(onlyRun, onlyBaseline)),
                        "differences": .object(differences),
                    ]))
        }
        return [
            "of": "run - baseline, on the questions both answered", "mcnemar": "exact, two-sided, on right and wrong answers",
            "bootstrap": bootstrap(config).description, "rules": .object(rules),
        ]
    }

    /// A question within its file: id, and which of those that share it.
    private struct Key: Hashable {
        let id: Int
        let occurrence: Int
        let text: String
    }

    private func places(of pairing: PopePairing) -> [Key] {
        var seen: [Int: Int] = [:]
        return pairing.pairs.map { pair in
            let occurrence = seen[pair.question.id, default: 0]
            seen[pair.question.id] = occurrence + 1
            return Key(id: pair.question.id, occurrence: occurrence, text: pair.question.text)
        }
    }

    func records(_ baseline: Run?, _ config: PopeEvaluationConfig) -> [JSON] {
        var lines: [JSON] = []
        for (role, run) in [("run", self)] + (baseline.map { [("baseline", $0)] } ?? []) {
            for (question, answer) in run.pairing.pairs {
                var line: JSON = [
                    "split": .string(split.name), "of": .string(role), "question_id": JSON(question.id),
                    "image": .string(question.image), "text": .string(question.text), "label": question.isYes ? "yes" : "no",
                    "answer": .string(answer.text),
                ]
                line["verdicts"] = .object(
                    config.rules.map { .init($0.rawValue, .string($0.verdict(answer.text).rawValue)) })
                lines.append(line)
            }
        }
        return lines
    }
}
