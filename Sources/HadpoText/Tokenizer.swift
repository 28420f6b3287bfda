import HadpoBase

/// Text to token ids and back, under the rules of one checkpoint's tokenizer files.
package protocol Tokenizer: Sendable {
    /// Ids are 0..<vocabularyCount, added tokens included.
    var vocabularyCount: Int { get }
    var bosID: Int32? { get }
    var eosID: Int32? { get }
    var padID: Int32? { get }
    var unkID: Int32? { get }
    /// The same for the same files and settings, for cache keys.
    var fingerprint: String { get }

    /// Special tokens written out in the text (`</s>`, `<image>` where it is one) become their ids. `addBOS` adds what the
    /// tokenizer's files say belongs around a text: BOS for every Llama.
    func encode(_ text: String, addBOS: Bool) -> [Int32]
    /// The id of a piece or an added token by its exact text.
    func id(ofPiece piece: String) -> Int32?
    /// True for tokens that the files list beside the vocabulary or as special: what text is split at.
    func isAdded(_ id: Int32) -> Bool
    /// Ids outside the vocabulary add nothing.
    func makeTextDecoder(skipSpecial: Bool) -> any TextDecoding
}

extension Tokenizer {
    package func decode(_ ids: some Sequence<Int32>, skipSpecial: Bool) -> String {
        var decoder = makeTextDecoder(skipSpecial: skipSpecial)
        var text: [UInt8] = []
        for id in ids { decoder.append(id, to: &text) }
        decoder.finish(to: &text)
        return String(decoding: text, as: UTF8.self)
    }
}

/// The state of turning ids into text. What the calls append, put together, is the text; each appends whole characters.
package protocol TextDecoding: Sendable {
    mutating func append(_ id: Int32, to text: inout [UInt8])
    mutating func finish(to text: inout [UInt8])
}

/// Text as it is generated: the pieces put together equal `decode` of all ids. A character whose bytes are separate tokens comes
/// out when it is complete. With `skipSpecial` false a slow Llama tokenizer holds a run back until the next special token, because
/// that token puts a space before the run (see `LlamaTokenizer`).
package struct TokenStreamDecoder: Sendable {
    private var decoder: any TextDecoding

    package init(_ tokenizer: any Tokenizer, skipSpecial: Bool = true) {
        decoder = tokenizer.makeTextDecoder(skipSpecial: skipSpecial)
    }

    package mutating func push(_ id: Int32) -> String {
        var text: [UInt8] = []
        decoder.append(id, to: &text)
        return String(decoding: text, as: UTF8.self)
    }

    /// What was held back; after the last id.
    package mutating func finish() -> String {
        var text: [UInt8] = []
        decoder.finish(to: &text)
        return String(decoding: text, as: UTF8.self)
    }
}

/// SHA-256 of the content of tokenizer files, item by item.
struct Fingerprint {
    private var hash = SHA256()

    mutating func add(_ bytes: some Collection<UInt8>) {
        // the length first, so that the borders between items count
        hash.update("\(bytes.count):")
        hash.update(Array(bytes))
    }

    mutating func add(_ text: String) { add(text.utf8) }

    var text: String { hash.hexDigest() }
}
