/// Which of a family's prompts a question goes into. What each looks like is the family's business; here are LLaVA-1.5's.
package enum PromptTemplate: String, Sendable, CaseIterable {
    /// What HA-DPO trains with. LLaVA: `vicuna_v1`, a curious user.
    case hadpoTrain = "hadpo-train"
    /// What HA-DPO evaluates with. LLaVA: `llava_v1`, a curious human. The difference is upstream's.
    case hadpoEval = "hadpo-eval"
    /// What transformers' processor makes. LLaVA: no system text.
    case hf
    /// The question is the whole prompt and places `<image>` itself.
    case raw

    /// Where the picture stands in a prompt.
    package static let image = "<image>"
    /// What ends an answer.
    package static let endOfAnswer = "</s>"

    package func prompt(question: String) -> String {
        switch self {
        case .hadpoTrain: Self.system(person: "user") + " USER: <image>\n\(question) ASSISTANT:"
        case .hadpoEval: Self.system(person: "human") + " USER: <image>\n\(question) ASSISTANT:"
        case .hf: "USER: <image>\n\(question) ASSISTANT:"
        case .raw: question
        }
    }

    private static func system(person: String) -> String {
        "A chat between a curious \(person) and an artificial intelligence assistant. "
            + "The assistant gives helpful, detailed, and polite answers to the \(person)'s questions."
    }

    /// HA-DPO's code splits the text, HF's processor knows a token.
    package var splitting: PromptSplitting {
        switch self {
        case .hadpoTrain, .hadpoEval: .chunks
        case .hf, .raw: .imageToken
        }
    }
}

/// How a prompt is cut at the picture.
package enum PromptSplitting: Sendable {
    /// The text is cut at `<image>` and each chunk is tokenised for itself, with BOS before the first alone (LLaVA
    /// mm_utils.tokenizer_image_token). A chunk therefore begins like a text, with the tokenizer's leading space.
    case chunks
    /// The whole text is tokenised and cut at the added token `<image>`; by chunks where the tokenizer has none.
    case imageToken
}
