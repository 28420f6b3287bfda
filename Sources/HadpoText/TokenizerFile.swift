import HadpoBase

/// Opens the tokenizer of a checkpoint folder.
package enum TokenizerFile {
    package enum Kind: String, Sendable {
        /// tokenizer.json, HF's fast tokenizer.
        case fast
        /// tokenizer.model, HF's slow tokenizer: what HA-DPO uses.
        case slow
    }

    /// tokenizer.json where there is one, otherwise tokenizer.model, unless `kind` says which.
    package static func load(
        directory: String, kind: Kind? = nil, rule: TransformersRule = .v431
    ) throws(HadpoError) -> any Tokenizer {
        let jsonPath = File.join(directory, "tokenizer.json")
        let modelPath = File.join(directory, "tokenizer.model")
        let config = try TokenizerConfig(directory: directory)
        if kind != .slow, File.exists(jsonPath) {
            return try FastLlamaTokenizer(
                try File.readJSON(jsonPath, limits: limits), settings: config.fastSettings(), source: jsonPath)
        }
        if kind != .fast, File.exists(modelPath) {
            let model = try SentencePieceModel(try File.read(modelPath, limit: limits.bytes), source: modelPath)
            return try LlamaTokenizer(model, settings: try config.slowSettings(rule: rule))
        }
        let expected = kind == .fast ? "tokenizer.json" : kind == .slow ? "tokenizer.model" : "tokenizer.json or tokenizer.model"
        throw HadpoError(.io, "no tokenizer in the folder", at: directory, found: "neither file", expected: expected)
    }

    /// tokenizer.model whatever else there is, as code that says `use_fast=False` reads it.
    package static func loadSlow(
        directory: String, rule: TransformersRule = .v431, adjust: (inout LlamaTokenizer.Settings) -> Void = { _ in }
    ) throws(HadpoError) -> any Tokenizer {
        let path = File.join(directory, "tokenizer.model")
        guard File.exists(path) else {
            throw HadpoError(.io, "no SentencePiece tokenizer in the folder", at: directory, expected: "tokenizer.model")
        }
        var settings = try TokenizerConfig(directory: directory).slowSettings(rule: rule)
        adjust(&settings)
        return try LlamaTokenizer(
            try SentencePieceModel(try File.read(path, limit: limits.bytes), source: path), settings: settings)
    }

    /// Published files are below 20 MB.
    static let limits = JSONLimits(depth: 16, bytes: 256 << 20, largeIntegers: .double)
}

/// tokenizer_config.json, special_tokens_map.json and added_tokens.json of a folder; each may be absent.
struct TokenizerConfig {
    private let config: JSON
    private let specialTokens: JSON
    private let addedTokens: JSON
    private let directory: String

    init(directory: String) throws(HadpoError) {
        self.directory = directory
        config = try Self.read(File.join(directory, "tokenizer_config.json"))
        specialTokens = try Self.read(File.join(directory, "special_tokens_map.json"))
        addedTokens = try Self.read(File.join(directory, "added_tokens.json"))
    }

    private static func read(_ path: String) throws(HadpoError) -> JSON {
        guard File.exists(path) else { return .object([]) }
        let json = try File.readJSON(path, limits: TokenizerFile.limits)
        guard json.objectValue != nil else {
            throw HadpoError(.format, "the file is not an object", at: path, found: json.kind, expected: "an object")
        }
        return json
    }

    /// The text of a special token: special_tokens_map.json is read after tokenizer_config.json and wins.
    private func name(_ key: String) -> String? {
        for json in [specialTokens[key], config[key]] {
            if let text = json?.stringValue ?? json?["content"]?.stringValue { return text }
        }
        return nil
    }

    private func flag(_ key: String, default absent: Bool) throws(HadpoError) -> Bool {
        try ComponentReader(source: File.join(directory, "tokenizer_config.json")).flag(config, "", key, default: absent)
    }

    func fastSettings() throws(HadpoError) -> FastLlamaTokenizer.Settings {
        var settings = FastLlamaTokenizer.Settings()
        settings.bos = name("bos_token")
        settings.eos = name("eos_token")
        settings.unk = name("unk_token")
        settings.pad = name("pad_token")
        settings.addsBOS = try flag("add_bos_token", default: true)
        return settings
    }

    func slowSettings(rule: TransformersRule) throws(HadpoError) -> LlamaTokenizer.Settings {
        var settings = LlamaTokenizer.Settings()
        settings.rule = rule
        settings.bos = name("bos_token") ?? settings.bos
        settings.eos = name("eos_token") ?? settings.eos
        settings.unk = name("unk_token") ?? settings.unk
        settings.pad = name("pad_token")
        settings.addsBOS = try flag("add_bos_token", default: true)
        settings.addsEOS = try flag("add_eos_token", default: false)
        settings.legacy = try flag("legacy", default: true)
        // null is false here, in transformers 4.57 as well
        settings.addsPrefixSpace = config["add_prefix_space"].map { $0.boolValue ?? false } ?? true
        settings.added = try addedList(rule: rule)
        return settings
    }

    /// Later entries win. In 4.31 a special token that is only written as a plain string in special_tokens_map.json, and any other
    /// added token, takes the white space around it away; objects do as their flags say, and so do the four tokens of
    /// tokenizer_config.json in any form, because LlamaTokenizer makes objects of them.
    private func addedList(rule: TransformersRule) throws(HadpoError) -> [AddedToken] {
        let plainStrips = rule == .v431
        var plain: [AddedToken] = []
        var special: [AddedToken] = []
        for (key, usual) in [
            ("bos_token", "<s>"), ("eos_token", "</s>"), ("unk_token", "<unk>"), ("pad_token", nil),
            ("additional_special_tokens", nil),
        ] {
            let inMap = specialTokens[key].flatMap { $0.isNull ? nil : $0 }
            guard let json = inMap ?? config[key] ?? usual.map(JSON.string) else { continue }
            for entry in json.arrayValue ?? [json] {
                if let text = entry["content"]?.stringValue {
                    special.append(token(entry, text, id: -1, special: true))
                } else if let text = entry.stringValue, !text.isEmpty {
                    if inMap != nil || json.arrayValue != nil {
                        plain.append(AddedToken(text, id: -1, stripsLeft: plainStrips, stripsRight: plainStrips))
                    } else {
                        special.append(AddedToken(text, id: -1))
                    }
                }
            }
        }
        let specialTexts = Set((special + plain).map { Array($0.text.utf8) })

        var result: [AddedToken] = []
        for member in addedTokens.objectValue ?? [] {
            guard let number = member.value.intValue, let id = Int32(exactly: number), id >= 0 else {
                throw HadpoError(
                    .format, "an added token has no usable id",
                    at: "\(File.join(directory, "added_tokens.json")), '\(member.key)'",
                    found: member.value.kind, expected: "an id from 0 to 2^31 - 2")
            }
            result.append(
                AddedToken(
                    member.key, id: id, stripsLeft: plainStrips, stripsRight: plainStrips,
                    special: specialTexts.contains(Array(member.key.utf8))))
        }
        // an object counts more than the same text as a plain string
        result += plain + special
        for member in config["added_tokens_decoder"]?.objectValue ?? [] {
            guard let id = Int32(member.key), id >= 0, let text = member.value["content"]?.stringValue else {
                throw HadpoError(
                    .format, "an entry of added_tokens_decoder is malformed",
                    at: "\(File.join(directory, "tokenizer_config.json"))#/added_tokens_decoder/\(member.key)",
                    found: member.value.kind, expected: "an id with an object that has \"content\"")
            }
            let isSpecial = (member.value["special"]?.boolValue ?? false) || specialTexts.contains(Array(text.utf8))
            result.append(token(member.value, text, id: id, special: isSpecial))
        }
        return result
    }

    private func token(_ json: JSON, _ text: String, id: Int32, special: Bool) -> AddedToken {
        AddedToken(
            text, id: id, stripsLeft: json["lstrip"]?.boolValue ?? false, stripsRight: json["rstrip"]?.boolValue ?? false,
            special: special)
    }
}
