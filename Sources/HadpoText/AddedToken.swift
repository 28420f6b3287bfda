/// A token that text is split at before anything else: special tokens and those added to the vocabulary.
package struct AddedToken: Sendable, Equatable {
    package var text: String
    package var id: Int32
    /// Takes white space away from the text before and after it.
    package var stripsLeft: Bool
    package var stripsRight: Bool
    package var special: Bool
    /// Matched in the normalised text instead of the raw one (tokenizer.json only).
    package var normalized: Bool

    package init(
        _ text: String, id: Int32, stripsLeft: Bool = false, stripsRight: Bool = false, special: Bool = true,
        normalized: Bool = false
    ) {
        self.text = text
        self.id = id
        self.stripsLeft = stripsLeft
        self.stripsRight = stripsRight
        self.special = special
        self.normalized = normalized
    }
}

/// A stretch of text between added tokens, or one of them.
enum TextPart: Equatable {
    case text(Range<Int>)
    case token(AddedToken)
}

/// Finds added tokens in text: leftmost first, the longest at each place.
struct AddedTokenSplitter: Sendable {
    private let tokens: [AddedToken]
    private let matcher: PrefixMatcher

    /// `pattern` gives the bytes a token is looked for by.
    init(_ tokens: [AddedToken], pattern: (AddedToken) -> [UInt8] = { Array($0.text.utf8) }) {
        self.tokens = tokens
        matcher = PrefixMatcher(tokens.enumerated().map { (pattern($1), Int32(truncatingIfNeeded: $0)) })
    }

    func split(_ text: [UInt8], _ range: Range<Int>) -> [TextPart] {
        var parts: [TextPart] = []
        var position = range.lowerBound
        func appendText(_ piece: Range<Int>) {
            if !piece.isEmpty { parts.append(.text(piece)) }
        }
        for match in matcher.matches(in: text, range) {
            let token = tokens[Int(match.value)]
            var start = match.range.lowerBound
            // the white space a token on the left has taken may reach past the start of this one's text, never into it
            if token.stripsLeft { start = trimmedEnd(text, min(position, start)..<start) }
            appendText(min(position, start)..<start)
            parts.append(.token(token))
            position = max(position, match.range.upperBound)
            if token.stripsRight { position = trimmedStart(text, position..<range.upperBound) }
        }
        appendText(min(position, range.upperBound)..<range.upperBound)
        return parts
    }
}

/// Where `range` begins without its leading white space.
private func trimmedStart(_ text: [UInt8], _ range: Range<Int>) -> Int {
    var position = range.lowerBound
    while position < range.upperBound, case .scalar(let length) = utf8Step(text[range], at: position &- range.lowerBound),
        isWhitespace(text[position..<position &+ length])
    {
        position &+= length
    }
    return position
}

/// Where `range` ends without its trailing white space.
private func trimmedEnd(_ text: [UInt8], _ range: Range<Int>) -> Int {
    var end = range.upperBound
    while end > range.lowerBound {
        var start = end &- 1
        while start > range.lowerBound, text[start] & 0xC0 == 0x80 { start &-= 1 }
        guard isWhitespace(text[start..<end]) else { break }
        end = start
    }
    return end
}

/// Unicode white space, and the four separators that Python's `str.strip` takes as well.
private func isWhitespace(_ scalar: ArraySlice<UInt8>) -> Bool {
    let scalars = String(decoding: scalar, as: UTF8.self).unicodeScalars
    guard let first = scalars.first else { return false }
    return first.properties.isWhitespace || (0x1C...0x1F).contains(first.value)
}
