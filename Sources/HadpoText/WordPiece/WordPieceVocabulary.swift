import HadpoBase

/// What the files of a WordPiece tokenizer say: `vocab.txt` (a piece a line) or `tokenizer.json`. A setting under which another
/// text would come out of the normaliser is refused by name.
struct WordPieceVocabulary {
    let source: String
    /// By id.
    private(set) var pieces: [[UInt8]] = []
    private(set) var ids = PieceTable(capacity: 1 << 15)
    private(set) var added: [AddedToken] = []
    private(set) var unknown = "[UNK]"

    /// Published files are 232 kB.
    private static let textLimit = 16 << 20

    static func load(_ path: String) throws(HadpoError) -> WordPieceVocabulary {
        let jsonPath = File.join(path, "tokenizer.json")
        let textPath = File.join(path, "vocab.txt")
        if File.isFile(path) { return try WordPieceVocabulary(text: try File.read(path, limit: textLimit), source: path) }
        if File.exists(jsonPath) {
            return try WordPieceVocabulary(try File.readJSON(jsonPath, limits: TokenizerFile.limits), source: jsonPath)
        }
        guard File.exists(textPath) else {
            throw HadpoError(
                .io, "no WordPiece tokenizer in the folder", at: path, found: "neither file",
                expected: "tokenizer.json or vocab.txt")
        }
        var vocabulary = try WordPieceVocabulary(text: try File.read(textPath, limit: textLimit), source: textPath)
        try vocabulary.readSettings(beside: path)
        return vocabulary
    }

    // MARK: vocab.txt

    init(text: [UInt8], source: String) throws(HadpoError) {
        self.source = source
        var lines = text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        if lines.last?.isEmpty == true { lines.removeLast() }
        guard !lines.isEmpty else {
            throw HadpoError(.format, "the vocabulary is empty", at: source, expected: "a piece on each line")
        }
        if let error = ForeignContent.error(text, at: source, expected: "a piece on each line") { throw error }
        for (index, line) in lines.enumerated() {
            let piece = line.last == UInt8(ascii: "\r") ? line.dropLast() : line
            try append(piece, at: "line \(index + 1)")
        }
    }

    private mutating func append(_ piece: some RandomAccessCollection<UInt8>, at place: String) throws(HadpoError) {
        func wrong(_ message: String, _ found: String, _ expected: String) -> HadpoError {
            HadpoError(.format, message, at: "\(source), \(place)", found: found, expected: expected)
        }
        guard (1...PrefixMatcher.longestEntry).contains(piece.count) else {
            throw wrong(
                "a piece of the vocabulary has no usable length", "\(piece.count) bytes",
                "1 to \(PrefixMatcher.longestEntry) bytes")
        }
        guard isValidUTF8(piece) else {
            throw wrong("a piece of the vocabulary is not UTF-8", String(decoding: piece, as: UTF8.self), "UTF-8")
        }
        // The same piece again would take its first id away.
        guard ids.insert(piece, id: Int32(truncatingIfNeeded: pieces.count)) else {
            throw wrong("a piece stands in the vocabulary twice", String(decoding: piece, as: UTF8.self), "each piece once")
        }
        pieces.append(Array(piece))
    }

    /// tokenizer_config.json and added_tokens.json of the folder; each may be absent.
    private mutating func readSettings(beside folder: String) throws(HadpoError) {
        let configPath = File.join(folder, "tokenizer_config.json")
        if File.exists(configPath) {
            let reader = ComponentReader(source: configPath)
            let config = try File.readJSON(configPath, limits: TokenizerFile.limits)
            try Self.require(true, "do_lower_case", in: config, "", reader)
            try Self.require(true, "strip_accents", in: config, "", reader)
            try Self.require(true, "tokenize_chinese_chars", in: config, "", reader)
        }
        let addedPath = File.join(folder, "added_tokens.json")
        guard File.exists(addedPath) else { return }
        let reader = ComponentReader(source: addedPath)
        for member in try File.readJSON(addedPath, limits: TokenizerFile.limits).objectValue ?? [] {
            added.append(try Self.addedToken(member.key, id: member.value, normalized: false, "/\(member.key)", reader))
        }
    }

    // MARK: tokenizer.json

    init(_ json: JSON, source: String) throws(HadpoError) {
        self.source = source
        let reader = ComponentReader(source: source)
        let model = try reader.object(json, "", "model")
        try Self.require("WordPiece", "type", in: model, "/model", reader, absent: "WordPiece")
        try Self.require("##", "continuing_subword_prefix", in: model, "/model", reader, absent: "##")
        if let longest = model["max_input_chars_per_word"], longest.intValue != 100 {
            throw reader.unsupported(
                "/model/max_input_chars_per_word", "this longest word", longest.intValue.map { "\($0)" } ?? longest.kind, "100")
        }
        if model["unk_token"] != nil { unknown = try reader.string(model, "/model", "unk_token") }

        let normalizer = try reader.object(json, "", "normalizer")
        try Self.require("BertNormalizer", "type", in: normalizer, "/normalizer", reader)
        for key in ["clean_text", "handle_chinese_chars", "strip_accents", "lowercase"] {
            try Self.require(true, key, in: normalizer, "/normalizer", reader)
        }
        try Self.require(
            "BertPreTokenizer", "type", in: try reader.object(json, "", "pre_tokenizer"), "/pre_tokenizer", reader)
        try Self.checkTemplate(json["post_processor"] ?? .null, reader)

        guard let vocabulary = model["vocab"]?.objectValue, !vocabulary.isEmpty else {
            throw reader.wrong("/model/vocab", model["vocab"]?.kind ?? "nothing", "an object of ids, not empty")
        }
        var ordered = [String?](repeating: nil, count: vocabulary.count)
        for member in vocabulary {
            guard let id = member.value.intValue, ordered.indices.contains(id), ordered[id] == nil else {
                throw reader.wrong(
                    "/model/vocab/\(member.key)", member.value.intValue.map { "\($0)" } ?? member.value.kind,
                    "an id of its own from 0 to \(vocabulary.count - 1)")
            }
            ordered[id] = member.key
        }
        for piece in ordered { try append(Array((piece ?? "").utf8), at: "/model/vocab") }

        for (index, entry) in (json["added_tokens"]?.arrayValue ?? []).enumerated() {
            let place = "/added_tokens/\(index)"
            if try reader.flag(entry, place, "single_word", default: false) {
                throw reader.unsupported("\(place)/single_word", "an added token that matches whole words", "true", "false")
            }
            added.append(
                try Self.addedToken(
                    try reader.string(entry, place, "content"), id: entry["id"] ?? .null,
                    normalized: try reader.flag(entry, place, "normalized", default: true), place, reader))
        }
    }

    /// What goes around a text: nothing said, `[CLS]` and `[SEP]`, or BERT's own processor, which means the same.
    private static func checkTemplate(_ json: JSON, _ reader: ComponentReader) throws(HadpoError) {
        let place = "/post_processor"
        if json.isNull { return }
        let type = try reader.string(json, place, "type")
        if type == "BertProcessing" { return }
        let single = json["single"]?.arrayValue ?? []
        guard type == "TemplateProcessing", single.count == 3, single[0]["SpecialToken"]?["id"]?.stringValue == "[CLS]",
            single[1]["Sequence"] != nil, single[2]["SpecialToken"]?["id"]?.stringValue == "[SEP]"
        else { throw reader.unsupported(place, "this post-processor", type, "[CLS], the text, [SEP]") }
    }

    // MARK: parts

    /// White space around a token plays no part: words are split there anyway.
    private static func addedToken(
        _ text: String, id: JSON, normalized: Bool, _ place: String, _ reader: ComponentReader
    ) throws(HadpoError) -> AddedToken {
        guard let number = id.intValue, let value = Int32(exactly: number), value >= 0, value < .max else {
            throw reader.wrong("\(place)/id", id.kind, "an id from 0 to 2^31 - 2")
        }
        guard (1...PrefixMatcher.longestEntry).contains(text.utf8.count) else {
            throw reader.wrong(place, "\(text.utf8.count) bytes", "1 to \(PrefixMatcher.longestEntry) bytes")
        }
        return AddedToken(text, id: value, normalized: normalized)
    }

    /// Absent and null are the uncased model's own settings.
    private static func require(
        _ wanted: Bool, _ key: String, in json: JSON, _ place: String, _ reader: ComponentReader
    ) throws(HadpoError) {
        if try reader.flag(json, place, key, default: wanted) != wanted {
            throw reader.unsupported("\(place)/\(key)", "this setting", "\(!wanted)", "\(wanted)")
        }
    }

    private static func require(
        _ wanted: String, _ key: String, in json: JSON, _ place: String, _ reader: ComponentReader, absent: String? = nil
    ) throws(HadpoError) {
        if json[key] == nil, absent == wanted { return }
        let found = try reader.string(json, place, key)
        if found != wanted { throw reader.unsupported("\(place)/\(key)", "this component", found, wanted) }
    }
}
