import HadpoBase
import HadpoText

/// The world's SentencePiece vocabulary: a real BPE `tokenizer.model` in which every word of the world, and of LLaVA's prompt, is
/// one token. BPE only ever merges two pieces into a third, so each word brings all its beginnings: `▁t ▁th ▁the ▁ther ▁there`.
/// No other piece has more than one character, hence a word can only grow from its start and always grows to its end.
package struct WorldTokenizer: Sendable {
    package typealias Piece = (text: String, score: Float, type: SentencePieceModel.PieceType)

    /// LLaVA-1.5's two conversation openings (training and evaluation) around the roles.
    package static let promptTexts = ["user", "human"].map {
        "A chat between a curious \($0) and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite "
            + "answers to the \($0)'s questions. USER: ASSISTANT:"
    }

    private static let space = "\u{2581}"

    /// Ids are positions: `<unk>`, `<s>`, `</s>`, 256 bytes, beginnings of words, single characters.
    package let pieces: [Piece]

    /// LLaVA's.
    package init() {
        self.init(
            texts: Self.promptTexts, marks: [], lineStarts: WorldLanguage.descriptionRequests + [WorldLanguage.question(.cup)])
    }

    /// - Parameters:
    ///   - texts: what prompts say beside the world's own sentences.
    ///   - marks: what stands in prompts as one token though it is no word, with a space before it or without.
    ///   - lineStarts: texts whose first words also stand without a space before them.
    init(texts promptTexts: [String], marks: [String], lineStarts: [String] = []) {
        var pieces: [Piece] = [("<unk>", 0, .unknown), ("<s>", 0, .control), ("</s>", 0, .control)]
        for byte in 0..<256 {
            let digits = String(byte, radix: 16, uppercase: true)
            pieces.append(("<0x\(digits.count < 2 ? "0" : "")\(digits)>", 0, .byte))
        }
        // A score is the priority of a merge. The order matters in one place: words that also stand directly behind a newline are
        // there without their space too, and must not begin to grow before the space has joined them.
        var seen: Set<String> = []
        var next: Float = 0
        func add(_ text: String) {
            guard seen.insert(text).inserted else { return }
            pieces.append((text, next, .normal))
            next -= 1
        }
        let texts = promptTexts + WorldLanguage.allSentences
        for word in texts.flatMap({ $0.split(separator: " ") }) {
            Self.beginnings(of: Self.space + word.prefix(while: \.isLetter)).forEach(add)
        }
        for text in lineStarts { Self.beginnings(of: text.prefix(while: \.isLetter)).forEach(add) }
        for mark in marks {
            Self.beginnings(of: Self.space + mark).forEach(add)
            Self.beginnings(of: mark).forEach(add)
        }
        add(Self.space)
        for character in Set((texts + marks).joined()).filter({ $0 != " " }).sorted() { add(String(character)) }
        self.pieces = pieces
    }

    private static func beginnings(of word: some StringProtocol) -> [String] {
        word.count < 2 ? [] : (2...word.count).map { String(word.prefix($0)) }
    }

    /// Bytes of `tokenizer.model`.
    package func model() throws(HadpoError) -> [UInt8] {
        try SentencePieceModel.serialized(pieces: pieces.map { ($0.text, $0.score, $0.type) })
    }

    /// The same vocabulary as `tokenizer.json`, which newer versions of transformers want; laid out as llava-hf's.
    func json(added: [(String, Int)]) -> JSON {
        let texts = Set(pieces.map(\.text))
        var merges: [JSON] = []
        for piece in pieces where piece.type == .normal {
            // One way to split each piece into two others: all but its last character, and that.
            let (head, tail) = (String(piece.text.dropLast()), String(piece.text.suffix(1)))
            if texts.contains(head), texts.contains(tail) { merges.append(.string("\(head) \(tail)")) }
        }
        let replace: (String, String) -> JSON = { from, to in
            ["type": "Replace", "pattern": ["String": .string(from)], "content": .string(to)]
        }
        let bos: JSON = ["SpecialToken": ["id": "<s>", "type_id": 0]]
        return [
            "version": "1.0", "truncation": nil, "padding": nil,
            "added_tokens": .array(
                added.map { text, id in
                    [
                        "id": JSON(id), "content": .string(text), "single_word": false, "lstrip": false, "rstrip": false,
                        "normalized": false, "special": true,
                    ]
                }),
            "normalizer": [
                "type": "Sequence",
                "normalizers": [["type": "Prepend", "prepend": .string(Self.space)], replace(" ", Self.space)],
            ],
            "pre_tokenizer": nil,
            "post_processor": [
                "type": "TemplateProcessing", "single": [bos, ["Sequence": ["id": "A", "type_id": 0]]],
                "pair": [
                    bos, ["Sequence": ["id": "A", "type_id": 0]], ["SpecialToken": ["id": "<s>", "type_id": 1]],
                    ["Sequence": ["id": "B", "type_id": 1]],
                ],
                "special_tokens": ["<s>": ["id": "<s>", "ids": [1], "tokens": ["<s>"]]],
            ],
            "decoder": [
                "type": "Sequence",
                "decoders": [
                    replace(Self.space, " "), ["type": "ByteFallback"], ["type": "Fuse"],
                    ["type": "Strip", "content": " ", "start": 1, "stop": 0],
                ],
            ],
            "model": [
                "type": "BPE", "dropout": nil, "unk_token": "<unk>", "continuing_subword_prefix": nil, "end_of_word_suffix": nil,
                "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
                "vocab": .object(pieces.enumerated().map { JSON.Member($0.element.text, JSON($0.offset)) }),
                "merges": .array(merges),
            ],
        ]
    }
}
