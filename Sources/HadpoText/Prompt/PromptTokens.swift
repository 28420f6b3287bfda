import HadpoBase

/// One stretch of a prompt.
package enum PromptPiece: Sendable, Hashable {
    case tokens([Int32])
    /// The picture's rows. `instruction`: what a Q-Former reads while it looks, so that the rows depend on it; empty in families
    /// without one.
    case picture(instruction: [Int32])

    /// A picture that is looked at without a question in mind.
    package static let image = PromptPiece.picture(instruction: [])

    package var isPicture: Bool { if case .picture = self { true } else { false } }
}

extension [PromptPiece] {
    /// Stands for a picture in a list of ids, as upstream's IMAGE_TOKEN_INDEX.
    package static var imageID: Int32 { -200 }

    /// All ids, a picture as one.
    package var ids: [Int32] {
        flatMap { piece in
            switch piece {
            case .tokens(let ids): ids
            case .picture: [Self.imageID]
            }
        }
    }
}

/// The ids of a prompt with one picture.
package struct PromptTokens: Sendable, Equatable {
    /// BOS and the text in front of the picture.
    package let before: [Int32]
    package private(set) var after: [Int32]
    /// What a Q-Former reads beside the picture.
    package let instruction: [Int32]
    private let answers: AnswerRule

    /// Where an answer's ids come from.
    private enum AnswerRule: Sendable, Equatable {
        /// What the tokens of the whole text have more than those of the prompt.
        case continued(text: String, splitting: PromptSplitting)
        /// The answer's text is tokenised for itself, as if it stood alone.
        case separate
    }

    /// All that does not depend on what comes behind the picture.
    package var prefix: [PromptPiece] { [.tokens(before), .picture(instruction: instruction)] }
    package var pieces: [PromptPiece] { prefix + [.tokens(after)] }
    package var ids: [Int32] { pieces.ids }
    /// The prompt with only the last ids behind the picture; the first one, BOS where the text begins there, stays.
    package func keepingRight(_ count: Int) -> PromptTokens {
        guard after.count > count, count > 0 else { return self }
        var cut = self
        cut.after = before.isEmpty ? after.prefix(1) + after.suffix(count - 1) : Array(after.suffix(count))
        return cut
    }

    /// Positions when the picture takes `imageCount` of them.
    package func count(imageCount: Int) -> Int { before.count + imageCount + after.count }

    /// `sample` names the prompt in errors.
    package init(
        _ prompt: String, splitting: PromptSplitting, tokenizer: any Tokenizer, sample: String
    ) throws(HadpoError) {
        answers = .continued(text: prompt, splitting: splitting)
        instruction = []
        (before, after) = try Self.tokenize(prompt, splitting, tokenizer, sample)
    }

    /// Ids that a family has put together itself; answers are tokenised apart from them.
    package init(before: [Int32], after: [Int32], instruction: [Int32] = []) {
        (self.before, self.after, self.instruction) = (before, after, instruction)
        answers = .separate
    }

    package init(
        question: String, template: PromptTemplate, tokenizer: any Tokenizer, sample: String
    ) throws(HadpoError) {
        try self.init(
            template.prompt(question: question), splitting: template.splitting, tokenizer: tokenizer, sample: sample)
    }

    /// The ids of an answer as a training or scoring target, EOS last. Behind a continued prompt they are those that the tokens of
    /// "prompt answer</s>" have more than the tokens of the prompt: the answer begins behind one space, which belongs to its first token.
    package func answer(_ answer: String, tokenizer: any Tokenizer, sample: String) throws(HadpoError) -> [Int32] {
        var reserved = [PromptTemplate.endOfAnswer, PromptTemplate.image]
        // Upstream's LLaVA splits the text at this to mask labels, and then masks the wrong part or the whole sample.
        if case .continued = answers { reserved.append(" ASSISTANT: ") }
        for forbidden in reserved where Self.split(answer, at: forbidden).count > 1 {
            throw HadpoError(
                .argument, "an answer contains text that the prompt template uses", at: sample, found: "'\(forbidden)'",
                expected: "an answer without it")
        }
        let result: [Int32]
        switch answers {
        case .separate: result = tokenizer.encode(answer + PromptTemplate.endOfAnswer, addBOS: false)
        case .continued(let text, let splitting):
            let whole = text + " " + answer + PromptTemplate.endOfAnswer
            let (wholeBefore, wholeAfter) = try Self.tokenize(whole, splitting, tokenizer, sample)
            guard wholeBefore == before, wholeAfter.starts(with: after) else {
                throw HadpoError(
                    .argument, "the prompt's last token and the answer's first grow together", at: sample,
                    found: "a prompt that ends '\(String(text.suffix(16)))'",
                    expected: "a prompt that ends in a word or punctuation, without a space")
            }
            result = Array(wholeAfter.dropFirst(after.count))
        }
        guard let eos = tokenizer.eosID, result.last == eos else {
            throw HadpoError(
                .unsupported, "the tokenizer does not read </s> as the end of a sequence", at: sample,
                found: result.last.map { "token \($0) at the end" } ?? "no token",
                expected: tokenizer.eosID.map { "\($0)" } ?? "an EOS token")
        }
        return result
    }

    /// A prompt's text before and after the picture.
    package static func cut(_ text: String, sample: String) throws(HadpoError) -> (before: String, after: String) {
        let parts = split(text, at: PromptTemplate.image)
        guard parts.count == 2 else {
            throw HadpoError(
                .argument, "a prompt must have exactly one picture", at: sample, found: "<image> \(parts.count - 1) times",
                expected: "once")
        }
        return (parts[0], parts[1])
    }

    /// By bytes, as Python's split does; at least one part.
    package static func split(_ text: String, at mark: String) -> [String] {
        let (bytes, mark) = (Array(text.utf8), Array(mark.utf8))
        var parts: [String] = []
        var start = 0
        var place = 0
        while place + mark.count <= bytes.count {
            if bytes[place..<place + mark.count].elementsEqual(mark) {
                parts.append(String(decoding: bytes[start..<place], as: UTF8.self))
                place += mark.count
                start = place
            } else {
                place += 1
            }
        }
        return parts + [String(decoding: bytes[start...], as: UTF8.self)]
    }

    private static func tokenize(
        _ text: String, _ splitting: PromptSplitting, _ tokenizer: any Tokenizer, _ sample: String
    ) throws(HadpoError) -> (before: [Int32], after: [Int32]) {
        let (textBefore, textAfter) = try cut(text, sample: sample)
        if splitting == .imageToken, let id = tokenizer.id(ofPiece: PromptTemplate.image), tokenizer.isAdded(id) {
            let ids = tokenizer.encode(text, addBOS: true)
            guard let place = ids.firstIndex(of: id) else {
                throw HadpoError(.internal, "the image token is lost in tokenising", at: sample)
            }
            return (Array(ids[..<place]), Array(ids[(place + 1)...]))
        }
        let before = tokenizer.encode(textBefore, addBOS: true)
        var after = tokenizer.encode(textAfter, addBOS: true)
        if let bos = tokenizer.bosID, before.first == bos, after.first == bos { after.removeFirst() }
        return (before, after)
    }
}
