import HadpoBase

/// Which answer belongs to which question, and what becomes of those that belong nowhere. Nothing leaves a denominator unnamed:
/// every question is paired or missing, every answer paired or in one of the lists. Records that contradict the question they are
/// joined to, or each other, are an error.
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
    /// The answers to these questions: all of the file, but where it holds other splits too.
    package let answers: [PopeAnswer]
    package let ofOtherSplits: Int
    private let source: String
    private let set: String?

    /// - Parameters:
    ///   - source: the answers file, for errors.
    ///   - set: which of POPE's sets the questions are, where that is known.
    package init(
        questions: [PopeQuestion], answers: [PopeAnswer], match: PopeScore.Match, source: String = "answers", set: String? = nil
    ) throws(HadpoError) {
        self.match = match
        self.source = source
        self.set = set
        questionCount = questions.count
        let own = try PopeSets.own(answers, questions, set: set, source: source)
        self.answers = own
        answerCount = answers.count
        ofOtherSplits = answers.count - own.count
        switch match {
        case .position: try pairByPosition(questions, own)
        case .id: try pairByID(questions, own)
        }
    }

    package var coverage: Coverage { Coverage(asked: questionCount, scored: pairs.count) }

    /// By id when any answer has one, by position when none has.
    package static func automaticMatch(_ answers: [PopeAnswer]) -> PopeScore.Match {
        answers.isEmpty || answers.contains { $0.id != nil } ? .id : .position
    }

    private mutating func pairByPosition(_ questions: [PopeQuestion], _ answers: [PopeAnswer]) throws(HadpoError) {
        try requireNumbers(questions, answers)
        for (question, answer) in zip(questions, answers) { try pair(question, answer) }
        missing = questions.dropFirst(answers.count).map(\.id)
        surplus = Array(answers.indices.dropFirst(questions.count)).map { $0 + 1 }
    }

    /// A record that has an id says which question it answers, also where the place decides. A running number of another base is
    /// no such word, where every record names its question or its picture besides.
    private func requireNumbers(_ questions: [PopeQuestion], _ answers: [PopeAnswer]) throws(HadpoError) {
        var wrong: (question: PopeQuestion, answer: PopeAnswer)?
        var isRunning = true
        var last: Int?
        for (question, answer) in zip(questions, answers) {
            guard let id = answer.id, id != question.id else {
                isRunning = false
                continue
            }
            if let last, last == .max || id != last + 1 { isRunning = false }
            last = id
            if !answer.claims.namesQuestion { isRunning = false }
            if wrong == nil { wrong = (question, answer) }
        }
        guard let wrong, !isRunning else { return }
        throw HadpoError(
            .format, "an answer to another question", at: "\(wrong.answer.place(in: source)), key 'question_id'",
            found: "question_id \(wrong.answer.id ?? 0)",
            expected: "question_id \(wrong.question.id), that of the question at this position; or matching by id")
    }

    private mutating func pairByID(_ questions: [PopeQuestion], _ answers: [PopeAnswer]) throws(HadpoError) {
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
            let given = byID[id] ?? []
            if given.count == times {
                if let last = given.last, !last.text.hasSameBytes(answer.text) { throw contradiction(last, answer, id) }
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
            try pair(question, given[place])
        }
    }

    private mutating func pair(_ question: PopeQuestion, _ answer: PopeAnswer) throws(HadpoError) {
        if let wrong = answer.claims.mismatch(question, set: set) {
            throw HadpoError(
                .format, "an answer to another question",
                at: "\(answer.place(in: source)), question_id \(question.id), key '\(wrong.key)'", found: "'\(wrong.found)'",
                expected: "'\(wrong.expected)'")
        }
        pairs.append((question, answer))
    }

    private func contradiction(_ first: PopeAnswer, _ second: PopeAnswer, _ id: Int) -> HadpoError {
        HadpoError(
            .format, "a question is answered twice, and differently",
            at: "\(second.place(in: source)), question_id \(id)",
            found: "'\(second.text)'; \(first.place(in: source)) has '\(first.text)'", expected: "one answer for each question")
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
            ("other_question", []),  // such a file is refused
        ]
        for (name, ids) in kinds {
            record[name] = ["count": JSON(ids.count), "first": JSON(Array(ids.prefix(10)))]
        }
        record["other_split"] = ["count": JSON(ofOtherSplits), "first": []]
        return record
    }
}
