import CHadpo
import HadpoBase
import HadpoText

/// JSON itself, configurations, tokenizers.
enum TextParsers {
    static let all: [Parser] = [json, lines, array, stream, config] + tokenizers

    // MARK: JSON

    /// What was read, written and read again is the same value.
    static let json = Parser("json") { bytes in
        let value = try JSON.parse(bytes, source: "input")
        guard let again = try? JSON.parse(value.text(), source: "again"), again == value else {
            violated("JSON that is read does not survive being written: \(value.text())")
        }
        guard let indented = try? JSON.parse(value.text(indent: 2, ascii: true), source: "again"), indented == value else {
            violated("JSON that is read does not survive being written in ASCII")
        }
    }

    static let lines = Parser("json-lines") { bytes in
        _ = try? JSONLines.parse(bytes, source: "input", dropTornLine: true)
        _ = try JSONLines.parse(bytes, source: "input")
    }

    /// Element by element, the same as the whole.
    static let array = Parser("json-array") { bytes in
        var elements: [JSON] = []
        try JSON.elements(bytes, source: "input") { _, element throws(HadpoError) in
            elements.append(element)
            return true
        }
        guard try JSON.parse(bytes, source: "input").arrayValue == elements else {
            violated("an array's elements are others than its own")
        }
    }

    static let stream = Parser("json-stream", file: "stream.json") { path in
        try JSONStream.elements(ofFile: path, under: ["images", "annotations", "categories"], elementLimit: 1 << 20) {
            key, element throws(HadpoError) in
            _ = element.firstInteger("id")
            _ = element.firstInteger("image_id")
            _ = try element.parse()
            return true
        }
    }

    static let config = Parser("config") { bytes in
        let text = bytes.assumingMemoryBound(to: CChar.self)
        try CInterface.call { hadpo_config_resolve(text.baseAddress, text.count, $0, $1) }
    }

    // MARK: tokenizers

    static let tokenizers: [Parser] = [
        Parser("tokenizer-json") { bytes in
            let file = try JSON.parse(bytes, source: "tokenizer.json", limits: JSONLimits(depth: 16, largeIntegers: .double))
            var settings = FastLlamaTokenizer.Settings()
            settings.bos = "<s>"
            settings.eos = "</s>"
            settings.unk = "<unk>"
            try use(FastLlamaTokenizer(file, settings: settings, source: "tokenizer.json"))
        },
        Parser("sentencepiece", .bytes) { bytes in
            try use(LlamaTokenizer(SentencePieceModel(Array(bytes), source: "tokenizer.model")))
        },
        folder("tokenizer-config", "tokenizer_config.json"),
        folder("special-tokens", "special_tokens_map.json"),
        folder("added-tokens", "added_tokens.json"),
        Parser("vocab-txt", .bytes, file: "vocab.txt") { path in try use(WordPieceTokenizer.load(directory: path)) },
        Parser("wordpiece-json") { bytes in
            try File.makeDirectories(Scratch.path("wordpiece"))
            Scratch.write("wordpiece/tokenizer.json", bytes)
            try use(WordPieceTokenizer.load(directory: Scratch.path("wordpiece")))
        },
    ]

    /// One small file beside a tokenizer.model that is in order.
    private static func folder(_ name: String, _ file: String) -> Parser {
        var isReady = false
        return Parser(name) { bytes in
            if !isReady { Scratch.copy("text/slow-map", to: name) }
            isReady = true
            Scratch.write("\(name)/\(file)", bytes)
            for rule in [TransformersRule.v431, .v457] {
                try use(TokenizerFile.load(directory: Scratch.path(name), kind: .slow, rule: rule) as any Tokenizer)
            }
        }
    }

    private static let text = "A  <s>dog</s>, \u{e9}\u{1F600}\u{2581}<unk><image>\n\t'Isn't it?' \u{0}[DEC]\u{1}"

    /// A tokenizer that opens must also work: ids inside the vocabulary, and text out of any ids.
    private static func use(_ tokenizer: any Tokenizer) throws {
        let ids = tokenizer.encode(text, addBOS: true)
        check(ids, tokenizer.vocabularyCount)
        _ = tokenizer.decode(ids, skipSpecial: true)
        _ = tokenizer.decode([0, -1, 5, 300, .max, .min, Int32(clamping: tokenizer.vocabularyCount)], skipSpecial: false)
    }

    private static func use(_ tokenizer: WordPieceTokenizer) throws {
        check(tokenizer.encode(text), tokenizer.vocabularyCount)
        check(tokenizer.encode(text, limit: 3), tokenizer.vocabularyCount)
    }

    private static func check(_ ids: [Int32], _ count: Int) {
        if let id = ids.first(where: { $0 < 0 || Int($0) >= count }) { violated("id \(id) of a vocabulary of \(count)") }
    }
}
