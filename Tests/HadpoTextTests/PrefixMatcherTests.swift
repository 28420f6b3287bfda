import HadpoBase
import HadpoText
import Testing

@Suite("strings that begin at a place of a text")
struct PrefixMatcherTests {
    private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }
    private func matcher(_ entry: [UInt8], _ value: Int32) -> PrefixMatcher {
        let entries: [(bytes: [UInt8], value: Int32)] = [(entry, value)]
        return PrefixMatcher(entries)
    }

    @Test("the longest at each position, as trying all of them finds it") func longest() {
        var random = MT19937(seed: 2)
        for _ in 0..<300 {
            let entries = (0..<6).map { i in
                ((0..<1 + random.below(5)).map { _ in UInt8(ascii: "a") + UInt8(random.below(2)) }, Int32(i))
            }
            let matcher = PrefixMatcher(entries.map { (bytes: $0.0, value: $0.1) })
            let text = (0..<30).map { _ in UInt8(ascii: "a") + UInt8(random.below(3)) }
            let range = 3..<27
            let matches = matcher.longestMatches(in: text, range)
            for position in range {
                var best: (value: Int32, length: Int)?
                for (entry, value) in entries where position + entry.count <= range.upperBound {
                    if text[position..<position + entry.count].elementsEqual(entry), entry.count >= best?.length ?? 0 {
                        best = (value, entry.count)
                    }
                }
                #expect(matches[position]?.value == best?.value && matches[position]?.length == best?.length)
            }
        }
    }

    @Test("no strings match nothing, and neither do empty ones") func none() {
        #expect(PrefixMatcher().matches(in: bytes("abc"), 0..<3).isEmpty)
        #expect(matcher([], 1).matches(in: bytes("abc"), 0..<3).isEmpty)
    }

    @Test("a text that begins a long string at every position is read once") func alike() {
        let entry = [UInt8](repeating: UInt8(ascii: "a"), count: PrefixMatcher.longestEntry) + bytes("b")
        let text = [UInt8](repeating: UInt8(ascii: "a"), count: 300_000) + bytes("b")
        let found = matcher(entry, 7).matches(in: text, 0..<text.count)
        #expect(found.count == 1 && found.first?.range == (300_000 - 4096)..<300_001 && found.first?.value == 7)
    }
}
