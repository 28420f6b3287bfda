import HadpoBase
import HadpoModels
import HadpoText

/// Greedy answers of a model about pictures of the world.
enum WorldAnswers {
    /// Pictures computed together.
    private static let batch = 16
    /// Longer than any description of the annotators: four objects, two inventions, two details and the background are 81 tokens.
    static let longestDescription = 128

    struct YesNo: Sendable {
        /// The answer's first word, which decides.
        var text: String
        var yesMinusNo: Double
    }

    /// The questions of each picture share its prompt.
    static func yesNo(
        _ model: any VisionLanguageModel, pixels: [Block<Float>], questions: [[String]], template: PromptTemplate,
        progress: any Progress
    ) throws(HadpoError) -> [[YesNo]] {
        var texts = WorldTexts(model.conversation)
        func first(_ word: String) -> Int { model.tokenizer.encode(word, addBOS: false).first.map(Int.init) ?? 0 }
        let (yes, no) = (first("Yes"), first("No"))
        var rule = Generation.Rule(maxNewTokens: 1)
        rule.keepsFirstLogits = true
        var results: [[YesNo]] = []
        for start in stride(from: 0, to: pixels.count, by: batch) {
            let pictures = start..<min(start + batch, pixels.count)
            var prefixes: [PromptSession.Prefix] = []
            var branches: [PromptSession.Continuation] = []
            for picture in pictures {
                let first = prefixes.count
                for question in questions[picture] {
                    let prompt = try texts.prompt(question, template)
                    // Up to the picture's end all questions are alike, unless a Q-Former reads them while it looks.
                    let place = prefixes[first...].firstIndex { $0.pieces == prompt.prefix } ?? prefixes.count
                    if place == prefixes.count { prefixes.append(PromptSession.Prefix(prompt.prefix, pixels: [pixels[picture]])) }
                    branches.append(PromptSession.Continuation(prefix: place, ids: prompt.after))
                }
            }
            let session = try PromptSession(
                model, prefixes, room: branches.reduce(0) { $0 + $1.ids.count + 1 }, progress: progress)
            var answers = try Generation.answers(session, branches, rule)[...]
            for picture in pictures {
                results.append(
                    answers.prefix(questions[picture].count).map {
                        YesNo(text: $0.text, yesMinusNo: Double($0.firstLogits[yes] - $0.firstLogits[no]))
                    })
                answers = answers.dropFirst(questions[picture].count)
            }
        }
        return results
    }

    static func descriptions(
        _ model: any VisionLanguageModel, pixels: [Block<Float>], template: PromptTemplate, progress: any Progress
    ) throws(HadpoError) -> [String] {
        let asked = try model.conversation.prompt(
            question: WorldLanguage.descriptionRequest, template: template, sample: "description")
        return try Generation.generate(
            model, prompts: pixels.map { PromptSession.Prefix(asked.pieces, pixels: [$0]) }, maxNewTokens: longestDescription,
            progress: progress
        ).map(\.text)
    }
}
