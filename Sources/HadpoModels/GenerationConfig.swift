import HadpoBase
import HadpoText

/// "hadpo.generate/1": what is asked and how the answer is chosen. Defaults are HA-DPO's.
package struct GenerationConfig: Sendable {
    package let asked: AskedConfig
    package let maxNewTokens: Int
    package let minNewTokens: Int
    package let beamCount: Int
    package let choice: TokenChoice
    package let lengthPenalty: Double
    package let earlyStopping: BeamSearch.EarlyStopping
    package let beamRule: TransformersRule
    package let seed: UInt64
    package let stop: [String]
    package let stream: Bool

    package init(_ r: inout ConfigReader) throws(HadpoError) { try self.init(&r, folder: GenerationSettings()) }

    /// - Parameter folder: the opened model's own settings, which hold where a request says nothing.
    package init(_ r: inout ConfigReader, folder: GenerationSettings) throws(HadpoError) {
        asked = try AskedConfig(&r)
        maxNewTokens = try r.int("max_new_tokens", default: 512, in: 1...1 << 20, help: "at most this many tokens")
        minNewTokens = try r.int(
            "min_new_tokens", default: folder.minNewTokens ?? 0, in: 0...1 << 20,
            help: "no end before this many tokens; left out: as generation_config.json says, else 0")
        beamCount = try r.int("num_beams", default: 1, in: 1...1024, help: "beam search; 1 takes one token after the other")
        var choice = TokenChoice()
        choice.samples = try r.bool("do_sample", default: false, help: "draw tokens instead of taking the most likely")
        choice.temperature = Float(
            try r.double("temperature", default: 1, in: 1e-4...1e4, help: "sampling: logits are divided by it"))
        choice.topK = try r.int("top_k", default: 50, in: 0...1 << 24, help: "sampling: among so many tokens; 0 is all")
        choice.topP = Float(
            try r.double("top_p", default: 1, in: 0...1, help: "sampling: among the likeliest that make up this much"))
        choice.repetitionPenalty = Float(
            try r.double(
                "repetition_penalty", default: folder.repetitionPenalty ?? 1, in: 1e-4...1e4,
                help: "above 1 makes tokens that were there less likely; left out: as generation_config.json says, else 1"))
        self.choice = choice
        lengthPenalty = try r.double(
            "length_penalty", default: 1, in: -100...100, help: "beams: exponent of the length in the score")
        let stopping = try r.choice(
            "early_stopping", default: "false", of: ["false", "true", "never"], help: "beams: when the search is over")
        earlyStopping = BeamSearch.EarlyStopping(rawValue: stopping) ?? .heuristic
        beamRule = try r.choice("beam_rule", default: .v431, help: "beams: which transformers' search")
        seed = UInt64(clamping: try r.int("seed", default: 0, in: 0...Int.max, help: "sampling"))
        stop = try r.strings("stop", default: [], help: "the answer ends before the first of these")
        stream = try r.bool("stream", default: false, help: "token events while the answer is made")
        try r.check(
            minNewTokens <= maxNewTokens, "min_new_tokens", "more tokens are demanded than allowed", found: "\(minNewTokens)",
            expected: "at most max_new_tokens, \(maxNewTokens)")
        let samples = choice.samples
        try r.check(
            !samples || beamCount == 1, "do_sample", "beams are searched, not drawn", found: "num_beams \(beamCount)",
            expected: "num_beams 1 or do_sample false")
        try r.refuse(
            ["temperature", "top_k", "top_p", "seed"], unless: samples, because: "do_sample is false: nothing is drawn",
            expected: "do_sample true, or the request without it")
        try r.refuse(
            ["length_penalty", "early_stopping"], unless: beamCount > 1, because: "num_beams is 1: nothing is searched",
            expected: "num_beams above 1, or the request without it")
        try r.refuse(
            ["beam_rule"], unless: beamCount > 1 || choice.repetitionPenalty != 1,
            because: "num_beams and repetition_penalty are 1: every version of transformers gives the same",
            expected: "num_beams above 1, or the request without it")
    }
}

/// The keys that say what is asked: a question in a template, or a whole prompt.
package struct AskedConfig: Sendable {
    package let question: String?
    package let prompt: String?
    package let template: PromptTemplate

    package init(_ r: inout ConfigReader) throws(HadpoError) {
        question = try r.optionalString("question", help: "put into the template")
        prompt = try r.optionalString("prompt", help: "the whole text, with <image> where the picture stands")
        template = try r.choice("template", default: .hadpoEval, help: "prompt template; for a prompt, how it is cut at <image>")
        try r.check(
            (question == nil) != (prompt == nil), "question", "one of question and prompt says what is asked",
            found: question == nil ? "neither" : "both", expected: "one of them")
    }
}

/// A prompt as token ids, with its picture or without one.
package struct AskedPrompt: Sendable {
    package let pieces: [PromptPiece]
    private let tokens: PromptTokens?
    private let text: String

    package init(_ asked: AskedConfig, hasImage: Bool, conversation: any Conversation) throws(HadpoError) {
        text = asked.prompt ?? conversation.text(question: asked.question ?? "", template: asked.template)
        if !hasImage, asked.prompt != nil, !text.utf8.contains(PromptTemplate.image.utf8) {
            tokens = nil
            pieces = [.tokens(conversation.tokenizer.encode(text, addBOS: true))]
            return
        }
        guard hasImage else {
            throw HadpoError(
                .argument, "the prompt has a picture and none was given", at: asked.prompt == nil ? "/question" : "/prompt",
                expected: "a picture, or a prompt without \(PromptTemplate.image)")
        }
        let tokens: PromptTokens
        if let question = asked.question {
            tokens = try conversation.prompt(question: question, template: asked.template, sample: "/question")
        } else {
            tokens = try conversation.prompt(text: text, template: asked.template, sample: "/prompt")
        }
        self.tokens = tokens
        pieces = tokens.pieces
    }

    /// All ids, the picture as one: what transformers 4.31 counts and penalizes.
    package var ids: [Int32] { pieces.ids }

    /// What a Q-Former reads beside the picture.
    package var instruction: [Int32] { tokens?.instruction ?? [] }

    /// Ids of a completion, EOS included.
    package func completion(_ completion: String, tokenizer: any Tokenizer) throws(HadpoError) -> [Int32] {
        if let tokens { return try tokens.answer(completion, tokenizer: tokenizer, sample: "/completion") }
        let whole = tokenizer.encode(text + " " + completion + PromptTemplate.endOfAnswer, addBOS: true)
        guard whole.starts(with: ids), whole.count > ids.count else {
            throw HadpoError(
                .argument, "the prompt's last token and the completion's first grow together", at: "/completion",
                expected: "a prompt that ends in a word or punctuation, without a space")
        }
        return Array(whole.dropFirst(ids.count))
    }
}
