/// Turns ids into text one at a time, as SentencePieceProcessor::Decode does for a whole list. The outputs put together are
/// the decoded text; bytes of a character that is not complete are held back.
struct SentencePieceTextDecoder: Sendable {
    private let model: SentencePieceModel
    /// The space that encoding put before the text has not been taken off yet.
    private var expectsPrefix = true
    private var sawPrefix = false
    private var wroteText = false
    private var heldBytes: [UInt8] = []

    init(_ model: SentencePieceModel) { self.model = model }

    /// Ids outside the vocabulary add nothing.
    mutating func append(_ id: Int32, to text: inout [UInt8]) {
        guard let type = model.type(of: id) else { return }
        if let value = model.byteValues[id] {
            heldBytes.append(value)
            releaseBytes(to: &text, all: false)
            return
        }
        releaseBytes(to: &text, all: true)
        if sawPrefix || wroteText { expectsPrefix = false }
        sawPrefix = false
        switch type {
        case .control: break
        case .unknown: write(model.unknownSurface, to: &text)
        case .normal, .userDefined, .unused, .byte:
            var piece = model.bytes(of: id)
            if expectsPrefix, model.addDummyPrefix || model.removeExtraWhitespaces, piece.starts(with: spaceSymbol) {
                piece = piece.dropFirst(spaceSymbol.count)
                // without extra spaces in the text, every leading one goes, not only the prefix
                sawPrefix = !model.removeExtraWhitespaces
            }
            write(unescapingSpaces(piece), to: &text)
        }
    }

    /// What is still held back; the end of the text.
    mutating func finish(to text: inout [UInt8]) { releaseBytes(to: &text, all: true) }

    private mutating func write(_ bytes: some Collection<UInt8>, to text: inout [UInt8]) {
        if !bytes.isEmpty { wroteText = true }
        text.append(contentsOf: bytes)
    }

    /// Every byte that is not part of a character becomes U+FFFD.
    private mutating func releaseBytes(to text: inout [UInt8], all: Bool) {
        var position = 0
        scan: while position < heldBytes.count {
            switch utf8Step(heldBytes, at: position) {
            case .scalar(let length):
                write(heldBytes[position..<position &+ length], to: &text)
                position &+= length
            case .incomplete where !all: break scan
            case .incomplete, .invalid:
                write(replacementCharacter, to: &text)
                position &+= 1
            }
        }
        heldBytes.removeFirst(position)
    }
}

extension SentencePieceModel {
    /// The text of `ids`, as sentencepiece decodes it.
    package func decode(_ ids: some Sequence<Int32>) -> String {
        var decoder = SentencePieceTextDecoder(self)
        var text: [UInt8] = []
        for id in ids { decoder.append(id, to: &text) }
        decoder.finish(to: &text)
        return String(decoding: text, as: UTF8.self)
    }
}
