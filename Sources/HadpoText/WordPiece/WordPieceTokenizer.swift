import HadpoBase

/// BERT's uncased WordPiece, the tokenizer of the Q-Former's instructions, with the `[DEC]` that HA-DPO and LAVIS add to it.
/// (transformers 4.31, models/bert/tokenization_bert.py.) Character classes are those of Swift's Unicode version, which is newer
/// than any Python's: a character assigned since is unknown here and dropped there.
package struct WordPieceTokenizer: Sendable {
    /// Ids are 0..<vocabularyCount, added tokens included.
    package let vocabularyCount: Int
    package let clsID: Int32
    package let sepID: Int32
    package let unkID: Int32
    package let padID: Int32?
    /// The same for the same files, for cache keys.
    package let fingerprint: String
    private let ids: PieceTable
    private let added: PieceTable
    private let splitter: AddedTokenSplitter
    /// For tokens that are looked for in normalised text (`normalized` in tokenizer.json).
    private let normalizedSplitter: AddedTokenSplitter

    /// Longer words are unknown as a whole.
    private static let longestWord = 100
    private static let continuation: [UInt8] = Array("##".utf8)

    /// `vocab.txt` or `tokenizer.json` of a folder (tokenizer.json first), or the path of a vocab.txt itself.
    package static func load(directory: String) throws(HadpoError) -> WordPieceTokenizer {
        try WordPieceTokenizer(try WordPieceVocabulary.load(directory))
    }

    init(_ vocabulary: WordPieceVocabulary) throws(HadpoError) {
        ids = vocabulary.ids
        let source = vocabulary.source
        func require(_ piece: String) throws(HadpoError) -> Int32 {
            guard let id = vocabulary.ids.id(of: Array(piece.utf8)) else {
                throw HadpoError(.format, "the vocabulary lacks a special token", at: source, expected: piece)
            }
            return id
        }
        unkID = try require(vocabulary.unknown)
        clsID = try require("[CLS]")
        sepID = try require("[SEP]")
        padID = vocabulary.ids.id(of: Array("[PAD]".utf8))

        let tokens = try Self.numbered(vocabulary)
        var added = PieceTable(capacity: tokens.count)
        for token in tokens { _ = added.insert(Array(token.text.utf8), id: token.id) }
        self.added = added
        splitter = AddedTokenSplitter(tokens.filter { !$0.normalized })
        normalizedSplitter = AddedTokenSplitter(tokens.filter(\.normalized)) { BertText.normalized($0.text.utf8) }
        vocabularyCount = max(vocabulary.pieces.count, (tokens.map { Int($0.id) }.max() ?? -1) + 1)

        var hash = Fingerprint()
        hash.add("wordpiece \(unkID) \(clsID) \(sepID) \(padID ?? -1)")
        for token in tokens {
            hash.add("\(token.id) \(token.normalized)")
            hash.add(token.text)
        }
        for piece in vocabulary.pieces { hash.add(piece) }
        fingerprint = hash.text
    }

    /// The special tokens that the vocabulary has, what the files add, and `[DEC]` behind everything when no file has it.
    private static func numbered(_ vocabulary: WordPieceVocabulary) throws(HadpoError) -> [AddedToken] {
        var tokens: [AddedToken] = []
        var texts = PieceTable(capacity: 16)
        var taken = Set<Int32>()
        var next = vocabulary.pieces.count
        func append(_ token: AddedToken) throws(HadpoError) {
            let bytes = Array(token.text.utf8)
            let piece = vocabulary.ids.id(of: bytes)
            guard piece == nil || piece == token.id else {
                throw wrongID(token, vocabulary.source, "\(piece ?? -1), its id in the vocabulary")
            }
            guard piece != nil || Int(token.id) >= vocabulary.pieces.count, texts.insert(bytes, id: token.id),
                taken.insert(token.id).inserted
            else { throw wrongID(token, vocabulary.source, "each added token once, behind the vocabulary") }
            tokens.append(token)
            next = max(next, Int(token.id) + 1)
        }
        for token in vocabulary.added { try append(token) }
        for special in ["[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]", "[DEC]"] where texts.id(of: Array(special.utf8)) == nil {
            if let id = vocabulary.ids.id(of: Array(special.utf8)) {
                try append(AddedToken(special, id: id))
            } else if special == "[DEC]", let id = Int32(exactly: next) {
                try append(AddedToken(special, id: id))
            }
        }
        return tokens.sorted { $0.id < $1.id }
    }

    private static func wrongID(_ token: AddedToken, _ source: String, _ expected: String) -> HadpoError {
        HadpoError(
            .format, "an added token has an id that does not fit the vocabulary", at: "\(source), '\(token.text)'",
            found: "\(token.id)", expected: expected)
    }

    /// The id of a piece or an added token by its exact text.
    package func id(ofPiece piece: String) -> Int32? {
        let bytes = Array(piece.utf8)
        return added.id(of: bytes) ?? ids.id(of: bytes)
    }

    // MARK: encoding

    /// With `addSpecial`, `[CLS]` before and `[SEP]` behind. Special tokens written out in the text become their ids.
    package func encode(_ text: String, addSpecial: Bool = true) -> [Int32] {
        let bytes = Array(text.utf8)
        var result: [Int32] = addSpecial ? [clsID] : []
        for part in splitter.split(bytes, 0..<bytes.count) {
            switch part {
            case .token(let token): result.append(token.id)
            case .text(let range): appendNormalized(BertText.normalized(bytes[range]), to: &result)
            }
        }
        if addSpecial { result.append(sepID) }
        return result
    }

    /// At most `limit` ids, `[CLS]` and `[SEP]` (which always stay) among them: the beginning of a longer text is dropped, as
    /// InstructBLIP's `truncation_side="left"` does.
    package func encode(_ text: String, limit: Int) -> [Int32] {
        [clsID] + encode(text, addSpecial: false).suffix(max(0, limit - 2)) + [sepID]
    }

    private func appendNormalized(_ text: [UInt8], to result: inout [Int32]) {
        for part in normalizedSplitter.split(text, 0..<text.count) {
            switch part {
            case .token(let token): result.append(token.id)
            case .text(let range): for word in BertText.words(text, range) { append(word, to: &result) }
            }
        }
    }

    /// The longest piece from the left, again and again; a word with a rest that no piece begins is unknown as a whole.
    private func append(_ word: BertText.Word, to result: inout [Int32]) {
        guard word.starts.count <= Self.longestWord else { return result.append(unkID) }
        let kept = result.count
        var first = 0
        while first < word.starts.count {
            let start = word.starts[first]
            let prefix = first == 0 ? [] : Self.continuation
            let key = prefix + word.bytes[start...]
            var end = word.starts.count
            var found: Int32?
            while end > first, found == nil {
                let stop = end == word.starts.count ? word.bytes.count : word.starts[end]
                found = ids.id(of: key[..<(prefix.count + stop - start)])
                if found == nil { end -= 1 }
            }
            guard let found else {
                result.removeSubrange(kept...)
                return result.append(unkID)
            }
            result.append(found)
            first = end
        }
    }
}
