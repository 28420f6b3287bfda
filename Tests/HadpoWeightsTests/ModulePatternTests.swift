import HadpoWeights
import Testing

@Suite struct ModulePatternTests {
    @Test("names are matched whole, as Python's re.fullmatch does")
    func matches() throws {
        let name = "model.layers.12.self_attn.q_proj"
        for (pattern, expected) in [
            (name, true), ("q_proj", false), (".*q_proj", true), (".*[qk]_proj", true), (".*[^q]_proj", false), (".+", true),
            (".*\\.(q|k|v)_proj", true), (".*\\.(?:k|v)_proj", false), ("model\\.layers\\.\\d{1,2}\\..*", true),
            ("model\\.layers\\.\\d\\..*", false), ("model\\.layers\\.\\d{2,}\\..*", true), ("^model.*proj$", true),
            (".*$x", false),
            ("(model|x)?\\.?(layers).*?proj", true), (".*\\.1[0-5]\\..*", true), (".*\\.1[3-9]\\..*", false),
            ("\\w+(\\.\\w+)*", true),
            ("(a*)*b", false), ("()*.*", true), ("", false), ("[\\w.]+", true), ("[]q.-]+", false),
        ] {
            #expect(try #require(ModulePattern(pattern)).matches(name) == expected, "\(pattern)")
        }
    }

    @Test(
        "what is not understood is no pattern",
        arguments: [
            "(?!x)y", "(?=x)y", "(?i)x", "(?P<a>x)", "\\bx", "(x)\\1", "x**", "x*+", "(x", "x)", "[x", "*x", "x{2", "x{3,2}",
            "\u{E9}", "x{2000}",
            "((((x{1000}){1000}){1000}){1000})", "(((){1000}){1000}){1000}",
        ])
    func refused(_ pattern: String) { #expect(ModulePattern(pattern) == nil) }

    @Test("no expression takes long")
    func bounded() throws {
        let pattern = try #require(ModulePattern("(a|a|a|aa)*(a*a*a*)*b"))
        #expect(!pattern.matches(String(repeating: "a", count: 4000)))
        #expect(ModulePattern(String(repeating: "(", count: 4000)) == nil)
        #expect(ModulePattern(String(repeating: "a?", count: 3000)) == nil)
    }
}
