import HadpoBase
import HadpoText
import Testing

@Suite("SentencePiece BPE models")
struct SentencePieceTests {
    static let models = ["llama", "options", "unescaped"]

    static func model(_ name: String) throws -> SentencePieceModel {
        let path = Files.fixture("\(name)/tokenizer.model")
        return try SentencePieceModel(try File.read(path), source: path)
    }

    @Test("encoding gives the ids of the sentencepiece package", arguments: models)
    func encoding(_ name: String) throws {
        let model = try Self.model(name)
        let cases = try Files.json("sentencepiece.json").require(name).list("encoded")
        #expect(cases.count > 50)
        for item in cases {
            let text = try item.string("text")
            #expect(try model.encode(text) == item.idList("ids"), "\(text)")
            #expect(same(model.decode(try item.idList("ids")), try item.string("decoded")), "\(text)")
        }
    }

    @Test("decoding any ids gives the text of the sentencepiece package", arguments: models)
    func decoding(_ name: String) throws {
        let model = try Self.model(name)
        for item in try Files.json("sentencepiece.json").require(name).list("decoded") {
            let ids = try item.idList("ids")
            #expect(same(model.decode(ids), try item.string("text")), "\(ids)")
        }
    }

    @Test("the real Llama vocabulary encodes and decodes every golden line")
    func golden() throws {
        let folder = try Files.shared("llama")
        let path = File.join(folder, "tokenizer.model")
        let model = try SentencePieceModel(try File.read(path), source: path)
        #expect(model.count == 32000)
        let lines = try Files.lines(File.join(folder, "golden.jsonl"))
        #expect(lines.count > 50)
        for line in lines {
            let text = try line.string("text")
            #expect(try model.encode(text) == line.idList("sentencepiece_ids"), "\(text)")
            #expect(same(model.decode(try line.idList("sentencepiece_ids")), try line.string("decoded")), "\(text)")
        }
    }

    @Test("a written model has the bytes that protobuf writes", arguments: models)
    func writing(_ name: String) throws {
        let pieces = try Files.json("sentencepiece.json").require(name).list("pieces").map { piece in
            (
                try #require(piece[0]?.stringValue), Float(try #require(piece[1]?.doubleValue)),
                try #require(SentencePieceModel.PieceType(rawValue: UInt8(piece[2]?.intValue ?? 0)))
            )
        }
        var settings = SentencePieceModel.Settings()
        if name != "llama" {
            settings.byteFallback = false
            settings.addDummyPrefix = name == "options"
            settings.removeExtraWhitespaces = name == "options"
            settings.escapeWhitespaces = name == "options"
        }
        let written = try SentencePieceModel.serialized(pieces: pieces, settings: settings)
        #expect(try written == File.read(Files.fixture("\(name)/tokenizer.model")))
    }

    @Test("a model that could not be read is not written")
    func refusesToWrite() throws {
        let error = try failure {
            _ = try SentencePieceModel.serialized(pieces: [("<unk>", 0, .unknown), ("a", 0, .normal), ("a", -1, .normal)])
        }
        #expect(error.message == "a piece occurs twice in the vocabulary")
    }

    @Test("ill-formed bytes are encoded as U+FFFD, one for each byte")
    func illFormedText() throws {
        let model = try Self.model("llama")
        #expect(model.encode(utf8: [0x61, 0xFF, 0xE4, 0xB8, 0x62]) == model.encode("a\u{FFFD}\u{FFFD}\u{FFFD}b"))
        #expect(model.encode(utf8: [0xED, 0xA0, 0x80]) == model.encode("\u{FFFD}\u{FFFD}\u{FFFD}"), "a lone surrogate")
    }

    @Test("pieces that are one string to Unicode stay two pieces")
    func canonicalEquivalence() throws {
        let model = try Self.model("llama")
        let composed = try #require(model.id(ofPiece: "\u{E9}"))
        let decomposed = try #require(model.id(ofPiece: "e\u{301}"))
        #expect(composed != decomposed)
        #expect(model.encode("\u{E9}").contains(composed))
        #expect(model.encode("e\u{301}").contains(decomposed))
    }

    /// The bound is far above what linear time needs (well under a second) and far below what quadratic time would (hours).
    @Test(
        "long text of one unit is encoded in seconds, a megabyte of spaces included",
        arguments: [" ", "a", "\u{1F600}", "e\u{301}", "<obj>", "abcd", "\n"])
    func longText(_ unit: String) throws {
        let text = String(repeating: unit, count: (unit == " " ? 1 << 20 : 1 << 17) / unit.utf8.count)
        for name in ["llama", "options"] {
            let model = try Self.model(name)
            let start = ContinuousClock.now
            let ids = model.encode(text)
            #expect(ContinuousClock.now - start < .seconds(20))
            if name == "llama" { #expect(same(model.decode(ids), text)) }
        }
    }
}
