import HadpoBase
import HadpoEval

/// The answers behind POPE's figures, for curves and the gallery.
package struct PopeAnswers {
    struct Split {
        let split: PopeSplit
        let run: [(question: PopeQuestion, answer: PopeAnswer)]
        let baseline: [(question: PopeQuestion, answer: PopeAnswer)]
        /// What lies beside the answers says of their pictures.
        fileprivate(set) var pictures: [(image: String, hash: String, answers: String)] = []
    }

    private(set) var splits: [Split] = []

    init(_ config: PopeEvaluationConfig) throws(HadpoError) {
        for given in config.splits {
            let split = try PopeSplit(try File.read(given.questions), path: given.questions, name: given.name)
            let run = try Self.pairs(split, given.answers, config)
            var baseline: [(question: PopeQuestion, answer: PopeAnswer)] = []
            if let path = given.baseline { baseline = try Self.pairs(split, path, config) }
            var result = Split(split: split, run: run, baseline: baseline)
            for (path, pairs) in [(given.answers, run)] + (given.baseline.map { [($0, baseline)] } ?? []) {
                result.pictures += try Self.pictures(path, pairs)
            }
            splits.append(result)
        }
    }

    private static func pictures(
        _ path: String, _ pairs: [(question: PopeQuestion, answer: PopeAnswer)]
    ) throws(HadpoError) -> [(image: String, hash: String, answers: String)] {
        let hashes = try RecordedPictures.hashes(of: path) { $0["question_id"]?.intValue }
        // An id that several questions carry says nothing of the picture.
        var images: [Int: String?] = [:]
        for (question, _) in pairs {
            if let known = images[question.id] {
                if known != question.image { images[question.id] = .some(nil) }
            } else {
                images[question.id] = .some(question.image)
            }
        }
        var seen: Set<String> = []
        return pairs.compactMap { question, _ in
            guard images[question.id].flatMap({ $0 }) != nil, let hash = hashes[question.id],
                seen.insert(question.image + "\u{0}" + hash).inserted
            else { return nil }
            return (question.image, hash, path)
        }
    }

    private static func pairs(
        _ split: PopeSplit, _ path: String, _ config: PopeEvaluationConfig
    ) throws(HadpoError) -> [(question: PopeQuestion, answer: PopeAnswer)] {
        try PopePairing(split, PopeAnswer.read(try File.read(path), source: path), config, source: path).pairs
    }

    /// Hit rate over false alarms as the threshold on log p(yes) - log p(no) falls; nil unless every answer has its score.
    package static func curve(_ pairs: [(question: PopeQuestion, answer: PopeAnswer)]) -> [(x: Double, y: Double)]? {
        var cases: [(score: Double, isYes: Bool)] = []
        for pair in pairs {
            guard let score = pair.answer.yesMinusNo, !score.isNaN else { return nil }
            cases.append((score, pair.question.isYes))
        }
        let yes = cases.count { $0.isYes }
        let no = cases.count - yes
        guard yes > 0, no > 0 else { return nil }
        cases.sort { $0.score > $1.score }
        var points = [(x: 0.0, y: 0.0)]
        var (hits, alarms, at) = (0, 0, 0)
        while at < cases.count {
            let score = cases[at].score
            // Equal scores pass the threshold together.
            while at < cases.count, cases[at].score == score {
                if cases[at].isYes { hits += 1 } else { alarms += 1 }
                at += 1
            }
            points.append((Double(alarms) / Double(no), Double(hits) / Double(yes)))
        }
        return points
    }
}
