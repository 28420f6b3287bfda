import HadpoBase
import HadpoText
import Testing

@Suite("Text as it is generated")
struct TokenStreamDecoderTests {
    @Test(
        "the pieces put together are the decoded text",
        arguments: LlamaTokenizerTests.folders + FastLlamaTokenizerTests.folders, [true, false])
    func concatenation(_ folder: String, _ skipSpecial: Bool) throws {
        let tokenizer = try TokenizerFile.load(directory: Files.fixture(folder))
        let file = folder.hasPrefix("slow") ? "slow-4.31.json" : "fast.json"
        for item in try Files.json(file).require(folder).list("decoded") {
            let ids = try item.idList("ids")
            var stream = TokenStreamDecoder(tokenizer, skipSpecial: skipSpecial)
            var text = ids.map { stream.push($0) }.joined()
            text += stream.finish()
            #expect(same(text, tokenizer.decode(ids, skipSpecial: skipSpecial)), "\(ids)")
        }
    }

    @Test("a character in byte tokens comes out when it is complete")
    func heldBytes() throws {
        let tokenizer = try TokenizerFile.load(directory: Files.fixture("slow-bare"))
        var stream = TokenStreamDecoder(tokenizer)
        #expect(stream.push(3 + 0xE4) == "")
        #expect(stream.push(3 + 0xB8) == "")
        #expect(stream.push(3 + 0xAD) == "中")
        #expect(stream.push(3 + 0xE4) == "")
        #expect(stream.finish() == "\u{FFFD}")
    }

    @Test("ids outside the vocabulary add nothing")
    func foreignIDs() throws {
        for folder in ["slow-bare", "fast-legacy"] {
            let tokenizer = try TokenizerFile.load(directory: Files.fixture(folder))
            let ids = tokenizer.encode("the dog", addBOS: false)
            let mixed = [-1, .min] + ids + [.max, Int32(tokenizer.vocabularyCount)]
            #expect(tokenizer.decode(mixed, skipSpecial: true) == "the dog")
        }
    }
}
