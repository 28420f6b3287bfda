@_spi(_Unicode) import Swift
import HadpoBase
import HadpoText
import Testing

@Suite("WordPiece drops accents")
struct AccentTests {
    @Test("as the standard library decomposes a whole text") func decomposition() {
        var random = MT19937(seed: 9)
        // Letters, accents of several classes, marks that space themselves, Hangul, a grapheme joiner between marks.
        let scalars = ["a", "\u{E9}", "\u{301}", "\u{316}", "\u{345}", "\u{1B44}", "\u{302E}", "\u{AC01}", "\u{34F}", "\u{1E69}"]
        for _ in 0..<500 {
            let text = (0..<12).map { _ in scalars[random.below(scalars.count)] }.joined()
            var expected: [UInt8] = []
            for scalar in text._nfd where scalar.properties.generalCategory != .nonspacingMark { expected += Array(scalar.utf8) }
            #expect(BertText.normalized(text.utf8) == expected, "\(text.unicodeScalars.map { String($0.value, radix: 16) })")
        }
    }

    @Test("in a time that grows with their number, not with its square") func many() {
        let marks = String(repeating: "\u{301}\u{316}", count: 100_000)
        #expect(BertText.normalized(("a" + marks + "b").utf8) == Array("ab".utf8))
    }
}
