import HadpoBase

/// Which answer belongs to which question, and what becomes of those that belong nowhere. Nothing leaves a denominator unnamed:
/// every question is paired or missing, every answer paired or in one of the lists.
package struct PopePairing: Sendable {
    package let match: PopeScore.Match
    package private(set) var pairs: [(question: PopeQuestion, answer: PopeAnswer)] = []
    package let questionCount: Int
    package let answerCount: Int
    /// Ids of questions without an answer, and by position the ids behind the end of the answers.
    package private(set) var missing: [Int] = []
    /// Ids that several questions share; their answers are taken in the order of the file.
    package private(set) var sharedIDs: [Int] = []
    /// Ids answered more often than asked: the first answers count.
    package private(set) var answeredTwice: [Int] = []
    /// Ids of answers to questions that are not in the file.
    package private(set) var unknown: [Int] = []
    /// Places, from 1, of answers that cannot be matched because they have no id; by position those behind the last question.
    package private(set) var surplus: [Int] = []
    /// Ids whose answer names another question: such an answer is not scored, its question is missing.
    package private(set) var otherQuestion: [Int] = []
    /// The texts of the first of them.
    private var otherTexts: (found: String, expected: String)?

    package init(questions: [PopeQuestion], answers: [PopeAnswer], match: PopeScore.Match) {
        self.match = match
        questionCount = questions.count
        answerCount = answers.count
        switch match {
        case .position: pairByPosition(questions, answers)
        case .id: pairByID(questions, answers)
        }
    }

    /// By id when any answer has one, by position when none has.
    package static func automaticMatch(_ answers: [PopeAnswer]) -> PopeScore.Match {
        answers.isEmpty || answers.contains { $0.id != nil } ? .id : .position
    }

    private mutating func pairByPosition(_ questions: [PopeQuestion], _ answers: [PopeAnswer]) {
        pairs = Array(zip(questions, answers))
        missing = questions.dropFirst(answers.count).map(\.id)
        surplus = Array(answers.indices.dropFirst(questions.count)).map { $0 + 1 }
    }

    private mutating func pairByID(_ questions: [PopeQuestion], _ answers: [PopeAnswer]) {
        var asked: [Int: Int] = [:]
        for question in questions {
            asked[question.id, default: 0] += 1
            if asked[question.id] == 2 { sharedIDs.append(question.id) }
        }
        var byID: [Int: [PopeAnswer]] = [:]
        for (index, answer) in answers.enumerated() {
            guard let id = answer.id else {
                surplus.append(index + 1)
                continue
            }
            guard let times = asked[id] else {
                unknown.append(id)
                continue
            }
            if byID[id, default: []].count == times {
                answeredTwice.append(id)
            } else {
                byID[id, default: []].append(answer)
            }
        }
        var taken: [Int: Int] = [:]
        for question in questions {
            let place = taken[question.id, default: 0]
            taken[question.id] = place + 1
            guard let given = byID[question.id], place < given.count else {
                missing.append(question.id)
                continue
            }
            if let text = given[place].question, text != question.text {
                otherQuestion.append(question.id)
                missing.append(question.id)
                if otherTexts == nil { otherTexts = (text, question.text) }
            } else {
                pairs.append((question, given[place]))
            }
        }
    }

    package var isComplete: Bool {
        missing.isEmpty && sharedIDs.isEmpty && answeredTwice.isEmpty && unknown.isEmpty && surplus.isEmpty
    }

    /// The first thing that is wrong as an error, for callers that take complete files only.
    package func requireComplete() throws(HadpoError) {
        if !sharedIDs.isEmpty { throw mismatch("a question id is used twice in the questions", sharedIDs) }
        if match == .id, let place = surplus.first {
            throw HadpoError(
                .format, "an answer without question_id", at: "answer \(place)", found: "\(surplus.count) of them",
                expected: "'question_id', or matching by position")
        }
        if !answeredTwice.isEmpty { throw mismatch("questions answered twice", answeredTwice) }
        if !unknown.isEmpty { throw mismatch("answers to unknown questions", unknown) }
        if let id = otherQuestion.first, let otherTexts {
            throw HadpoError(
                .format, "an answer to another question", at: "question_id \(id)", found: "'\(otherTexts.found)'",
                expected: "'\(otherTexts.expected)'")
        }
        if !missing.isEmpty { throw mismatch("questions without an answer", missing) }
    }

    private func mismatch(_ message: String, _ ids: [Int]) -> HadpoError {
        let first = ids.prefix(5).map(String.init).joined(separator: ", ")
        return HadpoError(
            .format, message, at: "question_id \(first)", found: "\(ids.count): \(first)\(ids.count > 5 ? ", ..." : "")",
            expected: "one answer for each question")
    }

    /// Counts by outcome, with the first ids of each kind that is not "scored".
    package var outcomes: JSON {
        var record: JSON = ["scored": JSON(pairs.count)]
        let kinds = [
            ("missing_answer", missing), ("question_id_shared", sharedIDs), ("answered_twice", answeredTwice),
            ("unknown_question", unknown), (match == .id ? "answer_without_id" : "surplus_answer", surplus),
            ("other_question", otherQuestion),
        ]
        for (name, ids) in kinds {
            record[name] = ["count": JSON(ids.count), "first": JSON(Array(ids.prefix(10)))]
        }
        return record
    }
}
