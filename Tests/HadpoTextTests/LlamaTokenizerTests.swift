import HadpoBase
import HadpoText
import Testing

@Suite("tokenizer.model with special tokens, as transformers' LlamaTokenizer")
struct LlamaTokenizerTests {
    static let folders = ["slow-bare", "slow-modern", "slow-map", "slow-plain", "slow-stripping"]

    @Test("ids are those of transformers", arguments: folders, TransformersRule.allCases)
    func encoding(_ folder: String, _ rule: TransformersRule) throws {
        let tokenizer = try TokenizerFile.load(directory: Files.fixture(folder), rule: rule)
        let expected = try Files.json("slow-\(rule == .v431 ? "4.31" : "4.57").json").require(folder)
        #expect(tokenizer.vocabularyCount == expected["count"]?.intValue)
        #expect(tokenizer.bosID == expected["bos"]?.intValue.map { Int32($0) })
        #expect(tokenizer.eosID == expected["eos"]?.intValue.map { Int32($0) })
        #expect(tokenizer.padID == expected["pad"]?.intValue.map { Int32($0) })
        let cases = try expected.list("encoded")
        #expect(cases.count > 50)
        for item in cases {
            let text = try item.string("text")
            #expect(try tokenizer.encode(text, addBOS: true) == item.idList("ids"), "\(text.debugDescription)")
            #expect(try tokenizer.encode(text, addBOS: false) == item.idList("bare"), "\(text.debugDescription)")
        }
    }

    @Test("text is that of transformers 4.31, spaces before runs included", arguments: folders)
    func decoding(_ folder: String) throws {
        let tokenizer = try TokenizerFile.load(directory: Files.fixture(folder))
        for item in try Files.json("slow-4.31.json").require(folder).list("decoded") {
            let ids = try item.idList("ids")
            #expect(same(tokenizer.decode(ids, skipSpecial: false), try item.string("text")), "\(ids)")
            #expect(same(tokenizer.decode(ids, skipSpecial: true), try item.string("skipped")), "\(ids), special tokens skipped")
        }
    }

    static func llama(_ change: (inout LlamaTokenizer.Settings) -> Void = { _ in }) throws -> LlamaTokenizer {
        let path = File.join(try Files.shared("llama"), "tokenizer.model")
        var settings = LlamaTokenizer.Settings()
        change(&settings)
        return try LlamaTokenizer(try SentencePieceModel(try File.read(path), source: path), settings: settings)
    }

    /// Measured with transformers 4.31.
    @Test(
        "the real vocabulary gives the ids measured with transformers 4.31",
        arguments: [
            ("Hello world", [1, 15043, 3186]), (" Hello", [1, 29871, 15043]), ("  two  spaces", [1, 259, 1023, 29871, 8162]),
            ("\u{E9}中😀", [1, 904, 30275, 243, 162, 155, 131]), ("\nDescribe", [1, 29871, 13, 4002, 29581]),
            ("Yes</s>", [1, 3869, 2]),
            ("Yes. </s>", [1, 3869, 29889, 29871, 2]), ("[PAD]", [1, 518, 29925, 3035, 29962]), ("   ", [1, 268]),
            ("a\tb\n c", [1, 263, 12, 29890, 13, 274]), ("Yes\n", [1, 3869, 13]), ("$$", [1, 2046]), ("###", [1, 835]),
            ("\n###", [1, 29871, 13, 2277, 29937]),
        ] as [(String, [Int32])])
    func measured(_ text: String, _ ids: [Int32]) throws {
        let tokenizer = try Self.llama()
        #expect(tokenizer.encode(text, addBOS: true) == ids)
    }

    @Test("the three ways to treat text behind a special token differ as measured")
    func legacy() throws {
        let text = "a</s>USER: hi"
        let legacy = try Self.llama()
        #expect(legacy.encode(text, addBOS: true) == [1, 263, 2, 3148, 1001, 29901, 7251])
        let cut = try Self.llama { $0.legacy = false }
        #expect(cut.encode(text, addBOS: true) == [1, 263, 2, 3308, 1001, 29901, 7251])
        let clean = try Self.llama { ($0.legacy, $0.rule) = (false, .v457) }
        #expect(clean.encode(text, addBOS: true) == [1, 263, 2, 11889, 29901, 7251])
        #expect(cut.encode("<s>[INST] hi [/INST] ", addBOS: true).prefix(4) == [1, 1, 29961, 25580])
    }

    @Test("special tokens move spaces as measured")
    func spaces() throws {
        let tokenizer = try Self.llama()
        func text(_ ids: [Int32], _ skip: Bool = false) -> String { tokenizer.decode(ids, skipSpecial: skip) }
        #expect(text([450, 1967, 29889, 2]) == " The image.</s>")
        #expect(text([1, 450, 1967, 2]) == "<s> The image</s>")
        #expect(text([1, 450, 1967]) == "<s>The image")
        #expect(text([450, 1967]) == "The image")
        #expect(text([29871, 450]) == " The")
        #expect(text([450, 1967, 29889, 2], true) == "The image.")
        #expect(text([1, 450, 1967, 2], true) == "The image")
    }

    @Test("InstructBLIP's tokenizer has one special token for three roles and a pad token of its own")
    func instructBLIP() throws {
        let tokenizer = try Self.llama {
            ($0.bos, $0.eos, $0.unk, $0.pad) = ("</s>", "</s>", "</s>", "[PAD]")
            $0.added = [
                AddedToken("</s>", id: -1, stripsLeft: true, stripsRight: true), AddedToken("[PAD]", id: -1),
                AddedToken("<s>", id: -1, special: false), AddedToken("<unk>", id: -1, special: false),
            ]
        }
        #expect(tokenizer.vocabularyCount == 32001)
        #expect(tokenizer.padID == 32000)
        #expect(tokenizer.encode("Yes. </s>", addBOS: true) == [2, 3869, 29889, 2])
        #expect(tokenizer.encode("Describe this image in detail.", addBOS: true).prefix(3) == [2, 20355, 915])
        #expect(tokenizer.decode([2, 1, 450, 0, 32000], skipSpecial: true) == "The \u{2047} ")
    }

    @Test("the fingerprint tells settings and vocabularies apart and is otherwise constant")
    func fingerprint() throws {
        let one = try TokenizerFile.load(directory: Files.fixture("slow-bare")).fingerprint
        #expect(try TokenizerFile.load(directory: Files.fixture("slow-bare")).fingerprint == one)
        #expect(try TokenizerFile.load(directory: Files.fixture("slow-modern")).fingerprint != one)
        #expect(try TokenizerFile.load(directory: Files.fixture("slow-bare"), rule: .v457).fingerprint != one)
        #expect(try TokenizerFile.load(directory: Files.fixture("options")).fingerprint != one)
    }
}
