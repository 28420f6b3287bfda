import HadpoBase
import HadpoText
import Testing

@Suite("tokenizer.json of the Llama kind")
struct FastLlamaTokenizerTests {
    static let folders = ["fast-legacy", "fast-strings", "fast-first", "fast-split", "fast-never", "fast-unfused"]

    /// No template means no BOS from the tokenizers package; transformers adds it, and so does `load`.
    static func load(_ folder: String) throws -> any Tokenizer {
        let path = Files.fixture("\(folder)/tokenizer.json")
        var settings = FastLlamaTokenizer.Settings()
        settings.addsBOS = false
        return try FastLlamaTokenizer(try File.readJSON(path), settings: settings, source: path)
    }

    @Test("ids and text are those of the tokenizers package", arguments: folders)
    func encoding(_ folder: String) throws {
        let tokenizer = try Self.load(folder)
        let cases = try Files.json("fast.json").require(folder).list("encoded")
        #expect(cases.count > 50)
        for item in cases {
            let text = try item.string("text")
            let ids = try item.idList("ids")
            #expect(tokenizer.encode(text, addBOS: true) == ids, "\(text.debugDescription)")
            #expect(try tokenizer.encode(text, addBOS: false) == item.idList("bare"), "\(text.debugDescription)")
            #expect(same(tokenizer.decode(ids, skipSpecial: false), try item.string("decoded")), "\(ids)")
            #expect(same(tokenizer.decode(ids, skipSpecial: true), try item.string("skipped")), "\(ids)")
        }
    }

    @Test("any ids give the text of the tokenizers package", arguments: folders)
    func decoding(_ folder: String) throws {
        let tokenizer = try Self.load(folder)
        for item in try Files.json("fast.json").require(folder).list("decoded") {
            let ids = try item.idList("ids")
            #expect(same(tokenizer.decode(ids, skipSpecial: false), try item.string("text")), "\(ids)")
            #expect(same(tokenizer.decode(ids, skipSpecial: true), try item.string("skipped")), "\(ids)")
        }
    }

    static func golden() throws -> (any Tokenizer, [JSON]) {
        let folder = try Files.shared("llava-hf")
        return (try TokenizerFile.load(directory: folder), try Files.lines(File.join(folder, "golden.jsonl")))
    }

    @Test("the real llava-hf vocabulary encodes and decodes every golden line")
    func goldenLines() throws {
        let (tokenizer, lines) = try Self.golden()
        #expect(lines.count > 50)
        #expect(tokenizer.vocabularyCount == 32002)
        #expect(tokenizer.id(ofPiece: "<image>") == 32000)
        #expect(tokenizer.bosID == 1 && tokenizer.eosID == 2 && tokenizer.padID == 32001)
        for line in lines {
            let text = try line.string("text")
            let ids = try line.idList("ids")
            #expect(tokenizer.encode(text, addBOS: true) == ids, "\(text.debugDescription)")
            #expect(same(tokenizer.decode(ids, skipSpecial: false), try line.string("decoded")), "\(text.debugDescription)")
        }
    }

    @Test("a folder without a template still gets BOS")
    func bosWithoutTemplate() throws {
        let tokenizer = try TokenizerFile.load(directory: Files.fixture("fast-split"))
        #expect(tokenizer.encode("a", addBOS: true).first == 1)
        #expect(tokenizer.encode("a", addBOS: false).first != 1)
    }

    /// The bound is far above what linear time needs and far below what quadratic time would.
    @Test(
        "long text of one unit is encoded in seconds, a megabyte of spaces included",
        arguments: [" ", "a", "\u{1F600}", "<image>", "\u{2581}"])
    func longText(_ unit: String) throws {
        let text = String(repeating: unit, count: (unit == " " ? 1 << 20 : 1 << 17) / unit.utf8.count)
        for folder in ["fast-legacy", "fast-strings", "fast-split"] {
            let tokenizer = try Self.load(folder)
            let start = ContinuousClock.now
            _ = tokenizer.encode(text, addBOS: true)
            #expect(ContinuousClock.now - start < .seconds(20))
        }
    }
}
