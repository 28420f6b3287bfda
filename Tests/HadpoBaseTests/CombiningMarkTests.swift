import HadpoBase
import Testing

@Suite("combining marks, which Swift's strings put in order by insertion")
struct CombiningMarkTests {
    private func marks(_ text: String, _ count: Int) -> String { String(repeating: text, count: count) }

    @Test("text of any language and a letter with hundreds of marks pass") func ordinary() {
        #expect(CombiningMarks.areOrdered(""))
        #expect(CombiningMarks.areOrdered(marks("e\u{301}\u{316} ", 10_000)))
        #expect(CombiningMarks.areOrdered(marks("\u{6F22}\u{5B57}\u{1F1E6}\u{AC01}", 10_000)))
        #expect(CombiningMarks.areOrdered("a" + marks("\u{301}\u{316}", 300)))
        // One mark again and again is in order already.
        #expect(CombiningMarks.areOrdered("a" + marks("\u{301}", 100_000)))
        #expect(CombiningMarks.areOrdered("a" + marks("\u{316}", 100_000) + marks("\u{301}", 100_000)))
    }

    @Test(
        "a hundred thousand that alternate, or lie in two blocks, or are hidden in a vowel sign, do not",
        arguments: ["\u{301}\u{316}", "\u{F73}", "\u{F75}", "\u{F81}"])
    func disordered(_ pattern: String) {
        #expect(!CombiningMarks.areOrdered("a" + marks(pattern, 50_000)))
        #expect(!CombiningMarks.areOrdered("a" + marks("\u{301}", 50_000) + marks("\u{316}", 50_000)))
    }

    @Test("JSON with such a string or key is refused, escaped or not") func json() {
        let text = "a" + marks("\u{301}\u{316}", 50_000)
        let escaped = "a" + marks("\\u0301\\u0316", 50_000)
        for json in ["[\"\(text)\"]", "{\"\(text)\": 1}", "[\"\(escaped)\"]", "\"\(escaped)\""] {
            let error = #expect(throws: HadpoError.self) { try JSON.parse(json, source: "t") }
            #expect(error?.status == .json && error?.message == "a text of combining marks without order")
        }
    }
}
