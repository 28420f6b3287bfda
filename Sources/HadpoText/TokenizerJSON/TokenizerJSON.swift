import HadpoBase

/// The parts of a `tokenizer.json` (HF tokenizers) of the Llama kind. Everything else in such a file is refused by name: a
/// component that is silently ignored gives wrong ids.
struct TokenizerJSON {
    enum Normalizer: Sendable, Equatable {
        case prepend([UInt8])
        case replace([UInt8], with: [UInt8])
    }

    /// Spaces become `replacement`, one is put in front; the text may be split before each.
    struct Metaspace: Sendable, Equatable {
        enum Prepend: String { case always, first, never }
        var replacement: [UInt8]
        var prepend: Prepend
        var splits: Bool
    }

    struct Decoder: Sendable, Equatable {
        var replacements: [(pattern: [UInt8], content: [UInt8])] = []
        var byteFallback = false
        /// This character comes off the start of the text, at most so many times.
        var strip: (character: [UInt8], count: Int) = ([], 0)

        static func == (a: Decoder, b: Decoder) -> Bool {
            a.byteFallback == b.byteFallback && a.strip == b.strip
                && a.replacements.elementsEqual(b.replacements, by: { $0 == $1 })
        }
    }

    var added: [AddedToken] = []
    var normalizers: [Normalizer] = []
    var metaspace: Metaspace?
    var model: BPEModel
    /// Ids that the template puts around a text; nil without a template.
    var template: (before: [Int32], after: [Int32])?
    var decoder = Decoder()

    private let source: String

    init(_ json: JSON, source: String) throws(HadpoError) {
        self.source = source
        let reader = ComponentReader(source: source)
        model = try BPEModel(try reader.object(json, "", "model"), source: source)
        added = try Self.readAdded(json["added_tokens"] ?? .null, model, reader)
        normalizers = try Self.readNormalizer(json["normalizer"] ?? .null, reader, "/normalizer")
        metaspace = try Self.readPreTokenizer(json["pre_tokenizer"] ?? .null, reader)
        template = try Self.readTemplate(json["post_processor"] ?? .null, reader)
        decoder = try Self.readDecoder(json["decoder"] ?? .null, reader)
    }

    private static func readAdded(_ json: JSON, _ model: BPEModel, _ reader: ComponentReader) throws(HadpoError) -> [AddedToken] {
        if json.isNull { return [] }
        guard let entries = json.arrayValue else { throw reader.wrong("/added_tokens", json.kind, "an array") }
        var result: [AddedToken] = []
        var texts = PieceTable(capacity: 64)
        var ids = Set<Int32>()
        for (index, entry) in entries.enumerated() {
            let place = "/added_tokens/\(index)"
            let text = try reader.string(entry, place, "content")
            let bytes = Array(text.utf8)
            guard !bytes.isEmpty, bytes.count <= PrefixMatcher.longestEntry else {
                throw reader.wrong("\(place)/content", "\(bytes.count) bytes", "1 to \(PrefixMatcher.longestEntry) bytes")
            }
            guard let number = entry["id"]?.intValue, let id = Int32(exactly: number), id >= 0, id < .max else {
                throw reader.wrong("\(place)/id", entry["id"]?.kind ?? "nothing", "an id from 0 to 2^31 - 2")
            }
            if try reader.flag(entry, place, "single_word", default: false) {
                throw reader.unsupported("\(place)/single_word", "an added token that matches whole words", "true", "false")
            }
            if let known = model.ids.id(of: bytes), known != id {
                throw reader.wrong("\(place)/id", "\(id)", "\(known), the id in the vocabulary")
            }
            if let piece = model.pieces[id], Array(piece) != bytes {
                throw reader.wrong("\(place)/id", "\(id), which is another piece", "an id of its own")
            }
            guard texts.insert(bytes, id: id), ids.insert(id).inserted else {
                throw reader.wrong(place, "'\(text)' or its id \(id) again", "each added token once")
            }
            result.append(
                AddedToken(
                    text, id: id,
                    stripsLeft: try reader.flag(entry, place, "lstrip", default: false),
                    stripsRight: try reader.flag(entry, place, "rstrip", default: false),
                    special: try reader.flag(entry, place, "special", default: false),
                    normalized: try reader.flag(entry, place, "normalized", default: true)))
        }
        return result
    }

    private static func readNormalizer(
        _ json: JSON, _ reader: ComponentReader, _ place: String
    ) throws(HadpoError) -> [Normalizer] {
        if json.isNull { return [] }
        let type = try reader.string(json, place, "type")
        switch type {
        case "Sequence":
            guard let steps = json["normalizers"]?.arrayValue else {
                throw reader.wrong("\(place)/normalizers", json["normalizers"]?.kind ?? "nothing", "an array")
            }
            guard steps.count <= 4 else { throw reader.wrong("\(place)/normalizers", "\(steps.count) steps", "at most 4") }
            var result: [Normalizer] = []
            for (index, step) in steps.enumerated() {
                guard step["type"]?.stringValue != "Sequence" else {
                    throw reader.unsupported(
                        "\(place)/normalizers/\(index)", "a sequence in a sequence", "Sequence", "Prepend or Replace")
                }
                result += try readNormalizer(step, reader, "\(place)/normalizers/\(index)")
            }
            return result
        case "Prepend":
            let prefix = Array(try reader.string(json, place, "prepend").utf8)
            guard prefix.count <= ComponentReader.longestReplacement else {
                throw reader.wrong("\(place)/prepend", "\(prefix.count) bytes", "at most \(ComponentReader.longestReplacement)")
            }
            return [.prepend(prefix)]
        case "Replace":
            let (pattern, content) = try reader.replacement(json, place)
            return [.replace(pattern, with: content)]
        default: throw reader.unsupported(place, "this normalizer", type, "Sequence, Prepend, Replace or null")
        }
    }

    private static func readPreTokenizer(_ json: JSON, _ reader: ComponentReader) throws(HadpoError) -> Metaspace? {
        let place = "/pre_tokenizer"
        if json.isNull { return nil }
        let type = try reader.string(json, place, "type")
        guard type == "Metaspace" else { throw reader.unsupported(place, "this pre-tokenizer", type, "Metaspace or null") }
        let replacement = Array(try reader.string(json, place, "replacement").utf8)
        guard utf8Step(replacement, at: 0) == .scalar(replacement.count) else {
            throw reader.wrong("\(place)/replacement", "\(replacement.count) bytes", "one character")
        }
        let scheme = json["prepend_scheme"]?.stringValue ?? "always"
        guard var prepend = Metaspace.Prepend(rawValue: scheme) else {
            throw reader.unsupported("\(place)/prepend_scheme", "this scheme", scheme, "always, first or never")
        }
        // files of tokenizers before 0.15 have only this flag
        if try !reader.flag(json, place, "add_prefix_space", default: true) { prepend = .never }
        return Metaspace(replacement: replacement, prepend: prepend, splits: try reader.flag(json, place, "split", default: true))
    }

    private static let longestTemplate = 1024

    private static func readTemplate(
        _ json: JSON, _ reader: ComponentReader
    ) throws(HadpoError) -> (before: [Int32], after: [Int32])? {
        let place = "/post_processor"
        if json.isNull { return nil }
        let type = try reader.string(json, place, "type")
        guard type == "TemplateProcessing" else {
            throw reader.unsupported(place, "this post-processor", type, "TemplateProcessing or null")
        }
        guard let single = json["single"]?.arrayValue else {
            throw reader.wrong("\(place)/single", json["single"]?.kind ?? "nothing", "an array")
        }
        var special: [String: JSON] = [:]
        for member in json["special_tokens"]?.objectValue ?? [] { special[member.key] = member.value }
        var sides: [[Int32]] = [[]]
        var count = 0
        for (index, item) in single.enumerated() {
            let itemPlace = "\(place)/single/\(index)"
            if item["Sequence"] != nil {
                sides.append([])
            } else {
                let name = try reader.string(
                    try reader.object(item, itemPlace, "SpecialToken"), itemPlace + "/SpecialToken", "id")
                guard let entry = special[name], entry.objectValue != nil else {
                    _ = try reader.object(json, place, "special_tokens")
                    throw reader.wrong("\(place)/special_tokens/\(name)", special[name]?.kind ?? "nothing", "an object")
                }
                guard let ids = entry["ids"]?.arrayValue else {
                    throw reader.wrong("\(place)/special_tokens", "no ids for '\(name)'", "ids of each special token")
                }
                // Items may name one token again and again, and each writes out all of its ids.
                count += ids.count
                guard count <= longestTemplate else {
                    throw reader.wrong("\(place)/single", "more than \(longestTemplate) ids", "a few special tokens")
                }
                for value in ids {
                    guard let number = value.intValue, let id = Int32(exactly: number), id >= 0 else {
                        throw reader.wrong("\(place)/special_tokens", "\(value.kind) as an id of '\(name)'", "an id")
                    }
                    sides[sides.count - 1].append(id)
                }
            }
        }
        guard sides.count == 2 else {
            throw reader.wrong("\(place)/single", "\(sides.count - 1) sequences", "one sequence, special tokens around it")
        }
        return (sides[0], sides[1])
    }

    private static func readDecoder(_ json: JSON, _ reader: ComponentReader) throws(HadpoError) -> Decoder {
        let place = "/decoder"
        let expected = "a Sequence of Replace, ByteFallback, Fuse and Strip, in this order"
        guard !json.isNull else { throw reader.unsupported(place, "a tokenizer without a decoder", "null", expected) }
        let type = try reader.string(json, place, "type")
        guard type == "Sequence", let steps = json["decoders"]?.arrayValue else {
            throw reader.unsupported(place, "this decoder", type, expected)
        }
        guard steps.count <= 8 else { throw reader.wrong("\(place)/decoders", "\(steps.count) steps", "at most 8") }
        var result = Decoder()
        var stage = 0
        var fused = false
        for (index, step) in steps.enumerated() {
            let stepPlace = "\(place)/decoders/\(index)"
            let type = try reader.string(step, stepPlace, "type")
            let stages = ["Replace": 0, "ByteFallback": 1, "Fuse": 2, "Strip": 3]
            guard let own = stages[type], own >= stage else {
                throw reader.unsupported(stepPlace, "this decoder", type, expected)
            }
            stage = own
            switch type {
            case "Replace": result.replacements.append(try reader.replacement(step, stepPlace))
            case "ByteFallback": result.byteFallback = true
            case "Fuse": fused = true
            default:
                let content = Array(try reader.string(step, stepPlace, "content").utf8)
                guard fused, result.strip.count == 0, utf8Step(content, at: 0) == .scalar(content.count),
                    step["stop"]?.intValue == 0, let start = step["start"]?.intValue, start >= 0
                else {
                    throw reader.unsupported(
                        stepPlace, "this way to strip", "Strip", "one character at the start, once, behind Fuse")
                }
                result.strip = (content, start)
            }
        }
        return result
    }
}

/// Typed reading of components, with the JSON pointer in every error.
struct ComponentReader {
    static let longestReplacement = 64
    let source: String
    /// JSON pointer of what the other pointers are relative to.
    var base = ""

    func wrong(_ pointer: String, _ found: String, _ expected: String) -> HadpoError {
        HadpoError(
            .format, "the tokenizer file is malformed", at: "\(source)#\(base)\(pointer)", found: found, expected: expected)
    }

    func unsupported(_ pointer: String, _ what: String, _ found: String, _ expected: String) -> HadpoError {
        HadpoError(.unsupported, "\(what) is not supported", at: "\(source)#\(base)\(pointer)", found: found, expected: expected)
    }

    func object(_ json: JSON, _ pointer: String, _ key: String) throws(HadpoError) -> JSON {
        guard let value = json[key], value.objectValue != nil else {
            throw wrong("\(pointer)/\(key)", json[key]?.kind ?? "nothing", "an object")
        }
        return value
    }

    func string(_ json: JSON, _ pointer: String, _ key: String) throws(HadpoError) -> String {
        guard let value = json[key]?.stringValue else {
            throw wrong("\(pointer)/\(key)", json[key]?.kind ?? "nothing", "a string")
        }
        return value
    }

    /// null counts as absent.
    func flag(_ json: JSON, _ pointer: String, _ key: String, default absent: Bool) throws(HadpoError) -> Bool {
        guard let value = json[key], !value.isNull else { return absent }
        guard let flag = value.boolValue else { throw wrong("\(pointer)/\(key)", value.kind, "true or false") }
        return flag
    }

    /// `{"pattern": {"String": a}, "content": b}`
    func replacement(_ json: JSON, _ pointer: String) throws(HadpoError) -> (pattern: [UInt8], content: [UInt8]) {
        guard let pattern = json["pattern"]?["String"]?.stringValue else {
            throw unsupported("\(pointer)/pattern", "this pattern", json["pattern"]?.kind ?? "nothing", "{\"String\": ...}")
        }
        let content = try string(json, pointer, "content")
        // A space becomes U+2581, three bytes. A file that lets text grow without bound is not a Llama tokenizer.
        let (from, to) = (pattern.utf8.count, content.utf8.count)
        guard (1...Self.longestReplacement).contains(from), to <= 3 * from else {
            throw unsupported(
                pointer, "this replacement", "\(from) bytes by \(to)",
                "1 to \(Self.longestReplacement) bytes by at most three times as many")
        }
        return (Array(pattern.utf8), Array(content.utf8))
    }
}

/// `text` with each occurrence of `pattern`, from the left and without overlap, replaced.
func replacing(_ pattern: [UInt8], with content: [UInt8], in text: [UInt8]) -> [UInt8] {
    guard let first = pattern.first else { return text }
    var result: [UInt8] = []
    result.reserveCapacity(text.count)
    var position = 0
    while position < text.count {
        if text[position] == first, text[position...].starts(with: pattern) {
            result.append(contentsOf: content)
            position &+= pattern.count
        } else {
            result.append(text[position])
            position &+= 1
        }
    }
    return result
}
