import HadpoText

/// Text as tokens come: special tokens left out, cut at stop strings, without white space at its ends. What `push` and `finish`
/// give, put together, is `text`.
struct GenerationText {
    private(set) var text = ""
    private var decoder: TokenStreamDecoder
    private var stops: StopStrings
    /// White space that only counts when something follows.
    private var held = ""

    init(_ tokenizer: any Tokenizer, stops: StopStrings) {
        decoder = TokenStreamDecoder(tokenizer)
        self.stops = stops
    }

    var isStopped: Bool { stops.isStopped }

    mutating func push(_ id: Int32) -> String { give(stops.push(decoder.push(id))) }

    mutating func finish() -> String {
        let rest = stops.push(decoder.finish())
        return give(rest + stops.finish())
    }

    private mutating func give(_ piece: String) -> String {
        var given = ""
        for scalar in piece.unicodeScalars {
            if scalar.properties.isWhitespace {
                if !(text.isEmpty && given.isEmpty) { held.unicodeScalars.append(scalar) }
            } else {
                given += held
                held = ""
                given.unicodeScalars.append(scalar)
            }
        }
        text += given
        return given
    }
}

extension Tokenizer {
    /// All ids as text with their special tokens, without white space at the ends: what upstream's scripts write.
    package func decodeStripped(_ ids: [Int32]) -> String {
        let scalars = decode(ids, skipSpecial: false).unicodeScalars
        guard let first = scalars.firstIndex(where: { !$0.properties.isWhitespace }),
            let last = scalars.lastIndex(where: { !$0.properties.isWhitespace })
        else { return "" }
        return String(scalars[first...last])
    }
}
