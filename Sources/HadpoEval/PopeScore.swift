import HadpoBase

/// An answers file scored by the official rule.
package struct PopeScore: Sendable {
    /// How an answer finds its question: by `question_id` with every check, or by place in the file as upstream does, where
    /// the shorter file ends the counting and an id that a record has must be its question's (`PopePairing`).
    package enum Match: String, CaseIterable, Sendable { case id, position }

    package let match: Match
    package private(set) var counts = ConfusionMatrix()
    package let answerCount: Int
    package let questionCount: Int
    package private(set) var predictedYes = 0
    /// Answers that do not begin with yes or no; those whose beginning says the opposite of the official rule.
    package private(set) var unparsed = 0
    package private(set) var ambiguous = 0
    package private(set) var rocArea: Double?
    /// 95 % interval of the accuracy. Questions about one picture fail together, so pictures are the independent units
    /// (Liang and Zeger 1986); nil with fewer than two.
    package private(set) var accuracyInterval: ClosedRange<Double>?

    /// A file that is not complete is an error by id; by position the shorter file ends the counting, as upstream's.
    package init(questions: [PopeQuestion], answers: [PopeAnswer], match: Match = .id) throws(HadpoError) {
        self.match = match
        questionCount = questions.count
        let pairing = try PopePairing(questions: questions, answers: answers, match: match)
        answerCount = pairing.answers.count
        if match == .id { try pairing.requireComplete() }
        let pairs = pairing.pairs
        var perImage: [String: (right: Int, asked: Int)] = [:]
        for (question, answer) in pairs {
            let yes = PopeRule.officialSaysYes(answer.text)
            counts.count(predictedYes: yes, isYes: question.isYes)
            perImage[question.image, default: (0, 0)].asked += 1
            if yes == question.isYes { perImage[question.image, default: (0, 0)].right += 1 }
        }
        if let accuracy = counts.accuracy, perImage.count > 1 {
            // In a fixed order, so that the last bits of the sum do not depend on the dictionary's.
            let deviations = perImage.values.map { Double($0.right) - accuracy * Double($0.asked) }.sorted()
            let images = Double(perImage.count)
            let error = (deviations.reduce(0) { $0 + $1 * $1 } * images / (images - 1)).squareRoot() / Double(counts.total)
            accuracyInterval = max(0, accuracy - Statistics.z95 * error)...min(1, accuracy + Statistics.z95 * error)
        }
        // Upstream divides by all answers, paired or not.
        for answer in pairing.answers {
            let yes = PopeRule.officialSaysYes(answer.text)
            if yes { predictedYes += 1 }
            switch PopeRule.leadingWordSaysYes(answer.text) {
            case nil: unparsed += 1
            case let leading?: if leading != yes { ambiguous += 1 }
            }
        }
        let scored = pairs.compactMap { pair in pair.answer.yesMinusNo.map { (score: $0, isYes: pair.question.isYes) } }
        if scored.count == pairs.count { rocArea = areaUnderROC(scored) }
    }

    package var yesRatio: Double? { answerCount == 0 ? nil : Double(predictedYes) / Double(answerCount) }

    package var report: JSON {
        [
            "rule": "official", "match": .string(match.rawValue), "n": JSON(counts.total), "questions": JSON(questionCount),
            "answers": JSON(answerCount), "tp": JSON(counts.tp), "fp": JSON(counts.fp), "tn": JSON(counts.tn),
            "fn": JSON(counts.fn), "accuracy": JSON(counts.accuracy), "precision": JSON(counts.precision),
            "recall": JSON(counts.recall), "f1": JSON(counts.f1), "yes_ratio": JSON(yesRatio),
            "accuracy_95": accuracyInterval.map { [.double($0.lowerBound), .double($0.upperBound)] } ?? nil,
            "unparsed": JSON(unparsed), "ambiguous": JSON(ambiguous), "roc_area": JSON(rocArea),
        ]
    }
}

/// The chance that a positive case scores above a negative one, ties counting half (Mann and Whitney 1947); nil without both.
package func areaUnderROC(_ cases: [(score: Double, isYes: Bool)]) -> Double? {
    let positives = cases.count { $0.isYes }
    let negatives = cases.count - positives
    guard positives > 0, negatives > 0, cases.allSatisfy({ !$0.score.isNaN }) else { return nil }
    let sorted = cases.sorted { $0.score < $1.score }
    var rankSum = 0.0
    var start = 0
    while start < sorted.count {
        let end = sorted[start...].firstIndex { $0.score != sorted[start].score } ?? sorted.count
        // Ranks start+1 ... end, shared by their mean.
        let rank = Double(start + 1 + end) / 2
        rankSum += rank * Double(sorted[start..<end].count { $0.isYes })
        start = end
    }
    let p = Double(positives)
    return (rankSum - p * (p + 1) / 2) / (p * Double(negatives))
}
