import HadpoBase

/// POPE's three sets, and answers to all of them in one file.
package enum PopeSets {
    /// In the order of LLaVA's question file.
    package static let names = ["adversarial", "random", "popular"]

    /// LLaVA's scripts ask the three sets as one: ids from 1 are adversarial, from 10,000,001 random, from 20,000,001 popular.
    private static let blockSize = 10_000_000

    /// The set that a name speaks of; nil where it is none or several.
    package static func named(_ name: String) -> String? {
        let lower = name.lowercased()
        let found = names.filter { lower.pythonContains($0) }
        return found.count == 1 ? found[0] : nil
    }

    /// The answers that may belong to these questions: of a file that answers several sets, those of one, numbered as the questions
    /// are. Which set that is, the records' own questions say, else the name of the question file.
    static func own(
        _ answers: [PopeAnswer], _ questions: [PopeQuestion], set: String?, source: String
    ) throws(HadpoError) -> [PopeAnswer] {
        guard questions.allSatisfy({ $0.id < blockSize }) else { return answers }
        let categories = Set(questions.compactMap { $0.category?.lowercased() })
        guard categories.count < 2 else { return answers }
        // Either all records name their split or none does.
        let hasCategories = answers.first?.claims.category != nil
        var sets: [String: [PopeAnswer]] = [:]
        for answer in answers {
            guard hasCategories == (answer.claims.category != nil), let name = name(answer) else { return answers }
            sets[name, default: []].append(answer.id.map { answer.renumbered($0 % blockSize) } ?? answer)
        }
        let isNumbered = answers.contains { ($0.id ?? 0) > blockSize }
        guard sets.count > 1 || isNumbered else { return answers }
        var asked: [Int: PopeQuestion] = [:]
        for question in questions where asked[question.id] == nil { asked[question.id] = question }
        var fitting: [String] = []
        for name in names {
            let fits = sets[name]?.allSatisfy { answer in
                guard let question = answer.id.flatMap({ asked[$0] }), let text = answer.claims.question?.text else {
                    return true
                }
                return PopeClaims.says(text, question.text)
            }
            if fits ?? false { fitting.append(name) }
        }
        let wanted = categories.first ?? set
        if let wanted, fitting.contains(wanted) { return sets[wanted] ?? [] }
        if fitting.count == 1, answers.contains(where: { $0.claims.question != nil }) { return sets[fitting[0]] ?? [] }
        // What was said to be wanted, with its contradictions.
        if let wanted, let own = sets[wanted] { return own }
        throw HadpoError(
            .format, "which answers of the file belong to these questions cannot be told", at: source,
            found: "answers to \(names.filter { sets[$0] != nil }.joined(separator: ", "))",
            expected: "a question file that is called after its set, such as coco_pope_random.json, or the split's \"name\"")
    }

    /// The set that an answer says it is of; nil where it says nothing.
    private static func name(_ answer: PopeAnswer) -> String? {
        if let category = answer.claims.category?.lowercased() { return names.first { $0.hasSameBytes(category) } }
        guard let id = answer.id, id > 0, id / blockSize < names.count else { return nil }
        return names[id / blockSize]
    }
}
