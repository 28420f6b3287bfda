import HadpoBase
import HadpoText
import Testing
import HadpoTestSupport

@Suite("WordPiece, as transformers' BertTokenizer")
struct WordPieceTests {
    @Test("ids are those of transformers 4.31 and 5, from either file", arguments: ["wordpiece", "wordpiece/json"])
    func encoding(_ folder: String) throws {
        let tokenizer = try WordPieceTokenizer.load(directory: Files.fixture(folder))
        let expected = try Files.json("wordpiece/ids.json")
        #expect(tokenizer.vocabularyCount == expected["count"]?.intValue)
        #expect(tokenizer.id(ofPiece: "[DEC]") == expected["dec"]?.intValue.map { Int32($0) })
        let cases = try expected.list("cases")
        #expect(cases.count > 60)
        for item in cases {
            let text = try item.string("text")
            #expect(try tokenizer.encode(text) == item.idList("ids"), "\(text.debugDescription)")
            #expect(try tokenizer.encode(text, addSpecial: false) == item.idList("bare"), "\(text.debugDescription)")
            #expect(try tokenizer.encode(text, limit: 8) == item.idList("left"), "\(text.debugDescription)")
        }
    }

    static func real() throws -> (WordPieceTokenizer, String) {
        let folder = try Files.shared("bert-uncased")
        return (try WordPieceTokenizer.load(directory: File.join(folder, "vocab.txt")), folder)
    }

    @Test("the real bert-base-uncased vocabulary encodes every golden line")
    func goldenLines() throws {
        let (tokenizer, folder) = try Self.real()
        #expect(tokenizer.vocabularyCount == 30523)
        #expect(tokenizer.id(ofPiece: "[DEC]") == 30522)
        #expect(tokenizer.clsID == 101 && tokenizer.sepID == 102 && tokenizer.unkID == 100 && tokenizer.padID == 0)
        let lines = try Files.lines(File.join(folder, "golden.jsonl"))
        #expect(lines.count > 50)
        for line in lines {
            let text = try line.string("text")
            #expect(try tokenizer.encode(text) == line.idList("ids"), "\(text.debugDescription)")
        }
    }

    @Test("truncation drops the beginning and keeps both ends, as measured")
    func truncation() throws {
        let (tokenizer, _) = try Self.real()
        #expect(tokenizer.encode("one two three four five six seven", limit: 5) == [101, 2274, 2416, 2698, 102])
        #expect(tokenizer.encode("one", limit: 5) == [101, 2028, 102])
        #expect(tokenizer.encode("one", limit: 2) == [101, 102])
        #expect(tokenizer.encode("one", limit: -3) == [101, 102])
        #expect(tokenizer.encode("don't", addSpecial: false) == [2123, 1005, 1056])
    }

    @Test("the fingerprint is constant and tells vocabularies apart")
    func fingerprint() throws {
        let one = try WordPieceTokenizer.load(directory: Files.fixture("wordpiece")).fingerprint
        #expect(try WordPieceTokenizer.load(directory: Files.fixture("wordpiece/vocab.txt")).fingerprint == one)
        #expect(try WordPieceTokenizer.load(directory: Files.fixture("wordpiece/json")).fingerprint == one)
        #expect(try vocabulary("[UNK]\n[CLS]\n[SEP]\na\n").fingerprint != vocabulary("[UNK]\n[CLS]\n[SEP]\nb\n").fingerprint)
    }

    @Test("a token that is looked for in normalised text is found whatever its case")
    func normalizedToken() throws {
        let path = Files.fixture("wordpiece/json/tokenizer.json")
        var json = try File.readJSON(path)
        json["added_tokens"] = try JSON.parse(
            #"[{"id":155,"content":"<\u00c9x>","normalized":true},{"id":3,"content":"[CLS]","normalized":false}]"#, source: "")
        let tokenizer = try load(["tokenizer.json": json.text()])
        let token = try #require(tokenizer.id(ofPiece: "<\u{C9}x>"))
        #expect(token == 155 && tokenizer.id(ofPiece: "[DEC]") == 156)
        #expect(tokenizer.encode("dog<e\u{301}X>[CLS]", addSpecial: false) == [15, 155, 3])
    }

    /// The bound is far above what linear time needs and far below what quadratic time would.
    @Test(
        "long text of one unit is encoded in seconds",
        arguments: ["a", "a ", " ", "\u{301}", "a\u{323}\u{307}", "\u{4E2D}", "\u{3A3}'", "[CLS]", "[", "\u{D55C}"])
    func longText(_ unit: String) throws {
        let tokenizer = try WordPieceTokenizer.load(directory: Files.fixture("wordpiece"))
        let text = String(repeating: unit, count: (1 << 18) / unit.utf8.count)
        let start = ContinuousClock.now
        _ = tokenizer.encode(text)
        #expect(ContinuousClock.now - start < .seconds(20))
    }
}

/// A tokenizer from a folder of its own with these files.
private func load(_ files: [String: String]) throws -> WordPieceTokenizer {
    try withTemporaryFolder { folder in
        for (name, text) in files { try File.writeAtomically(File.join(folder, name), text) }
        return try WordPieceTokenizer.load(directory: folder)
    }
}

private func vocabulary(_ bytes: some Sequence<UInt8>) throws -> WordPieceTokenizer {
    try withTemporaryFolder { folder in
        let path = File.join(folder, "vocab.txt")
        try File.writeAtomically(path, Array(bytes))
        return try WordPieceTokenizer.load(directory: path)
    }
}

private func vocabulary(_ text: String) throws -> WordPieceTokenizer { try vocabulary(text.utf8) }

@Suite("Malformed WordPiece files")
struct MalformedWordPieceTests {
    static let specials = "[UNK]\n[CLS]\n[SEP]\n"

    @Test("a missing special token is named", arguments: ["[UNK]", "[CLS]", "[SEP]"])
    func missingSpecial(_ name: String) throws {
        let lines = ["[UNK]", "[CLS]", "[SEP]", "a"].filter { $0 != name }
        let error = try failure { _ = try vocabulary(lines.map { $0 + "\n" }.joined()) }
        #expect(error.status == .format && error.expected == name)
        #expect(error.place?.hasSuffix("vocab.txt") == true)
    }

    @Test(
        "a broken list is an error with its line",
        arguments: [
            ("a\na\n", "line 5", "twice"), ("a\n\nb\n", "line 5", "length"), ("\r\n", "line 4", "length"),

        ])
    func brokenList(_ rest: String, _ line: String, _ words: String) throws {
        let error = try failure { _ = try vocabulary(Self.specials + rest) }
        #expect(error.status == .format && error.message.contains(words), "\(error)")
        #expect(error.place?.hasSuffix(line) == true, "\(error)")
    }

    @Test("empty, not UTF-8, too large, absent")
    func unreadable() throws {
        #expect(try failure { _ = try vocabulary("") }.message.contains("empty"))
        #expect(try failure { _ = try vocabulary("\n") }.status == .format)
        let long = Self.specials + String(repeating: "x", count: 5000)
        #expect(try failure { _ = try vocabulary(long) }.found == "5000 bytes")
        #expect(try failure { _ = try vocabulary(Array(Self.specials.utf8) + [0xC3, 0x28, 0x0A]) }.message.contains("UTF-8"))
        #expect(try failure { _ = try vocabulary([UInt8](repeating: 0x61, count: 17 << 20)) }.message.contains("too large"))
        #expect(try failure { _ = try WordPieceTokenizer.load(directory: Files.fixture("nothing")) }.status == .io)
    }

    @Test("lines may end as on Windows, and the last one not at all")
    func lineEnds() throws {
        let tokenizer = try vocabulary("[UNK]\r\n[CLS]\r\n[SEP]\r\na")
        #expect(tokenizer.encode("a") == [1, 3, 2] && tokenizer.vocabularyCount == 5)
    }

    @Test("[DEC] keeps the id that a file gives it and otherwise gets the next")
    func decoderToken() throws {
        let vocab = Self.specials + "a\n"
        #expect(try load(["vocab.txt": vocab]).id(ofPiece: "[DEC]") == 4)
        #expect(try load(["vocab.txt": vocab + "[DEC]\nb\n"]).id(ofPiece: "[DEC]") == 4)
        let later = try load(["vocab.txt": vocab, "added_tokens.json": #"{"[DEC]": 6}"#])
        #expect(later.id(ofPiece: "[DEC]") == 6 && later.vocabularyCount == 7)
        for id in ["3", "-1", "2147483647", "1.5", "\"4\""] {
            let files = ["vocab.txt": vocab, "added_tokens.json": "{\"[DEC]\": \(id)}"]
            #expect(try failure { _ = try load(files) }.status == .format, "\(id)")
        }
        let clash = ["vocab.txt": vocab, "added_tokens.json": #"{"x": 4, "y": 4}"#]
        #expect(try failure { _ = try load(clash) }.expected?.contains("once") == true)
        let moved = ["vocab.txt": vocab, "added_tokens.json": #"{"a": 4}"#]
        #expect(try failure { _ = try load(moved) }.expected?.hasPrefix("3") == true)
    }

    @Test("settings of a cased model are refused", arguments: ["do_lower_case", "strip_accents", "tokenize_chinese_chars"])
    func cased(_ key: String) throws {
        let files = ["vocab.txt": Self.specials, "tokenizer_config.json": "{\"\(key)\": false}"]
        let error = try failure { _ = try load(files) }
        #expect(error.status == .unsupported && error.place?.hasSuffix("tokenizer_config.json#/\(key)") == true)
    }

    @Test(
        "a component of another kind in tokenizer.json is named",
        arguments: [
            ("/model/type", #"{"type":"BPE"}"#, "BPE"), ("/model/continuing_subword_prefix", "\"@@\"", "@@"),
            ("/model/max_input_chars_per_word", "5", "5"), ("/normalizer/type", "\"NFKC\"", "NFKC"),
            ("/normalizer/lowercase", "false", "false"), ("/normalizer/clean_text", "false", "false"),
            ("/pre_tokenizer/type", "\"Whitespace\"", "Whitespace"), ("/post_processor", #"{"type":"ByteLevel"}"#, "ByteLevel"),
            ("/added_tokens/0/single_word", "true", "true"),
        ])
    func unsupported(_ pointer: String, _ value: String, _ found: String) throws {
        let error = try failure { _ = try self.changed(pointer, value) }
        #expect(error.status == .unsupported, "\(error)")
        #expect(error.found == found && error.place?.hasSuffix("tokenizer.json#\(pointer)") == true, "\(error)")
    }

    @Test(
        "ids of tokenizer.json that are no row numbers are refused",
        arguments: [
            #"{"[UNK]":0,"[CLS]":1,"[SEP]":3}"#, #"{"[UNK]":0,"[CLS]":1,"[SEP]":1}"#, #"{"[UNK]":0,"[CLS]":1,"[SEP]":-1}"#,
            #"{"[UNK]":0,"[CLS]":1,"[SEP]":"2"}"#, "{}", "[]", "null", #"{"[UNK]":9223372036854775807,"[CLS]":1,"[SEP]":2}"#,
        ])
    func wrongIDs(_ vocab: String) throws {
        let error = try failure { _ = try self.changed("/model/vocab", vocab) }
        #expect(error.status == .format && error.place?.contains("#/model/vocab") == true, "\(error)")
    }

    /// The fixture with one value changed.
    private func changed(_ pointer: String, _ text: String) throws -> WordPieceTokenizer {
        var json = try File.readJSON(Files.fixture("wordpiece/json/tokenizer.json"))
        let value = try JSON.parse(text, source: "")
        let keys = pointer.split(separator: "/").map(String.init)
        if keys[0] == "added_tokens" {
            json["added_tokens"] = [["id": 5, "content": "[MASK]", "single_word": value]]
        } else if keys.count == 1 {
            json[keys[0]] = value
        } else {
            json[keys[0]]?[keys[1]] = value["type"] ?? value
        }
        return try load(["tokenizer.json": json.text()])
    }
}
