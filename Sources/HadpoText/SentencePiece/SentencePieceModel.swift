import HadpoBase

/// A SentencePiece BPE model: the content of a `tokenizer.model` file, checked.
/// Field numbers and defaults are those of sentencepiece_model.proto.
package struct SentencePieceModel: Sendable {
    package enum PieceType: UInt8, Sendable {
        case normal = 1
        case unknown, control, userDefined, unused, byte
    }

    /// Piece i is `text[starts[i]..<starts[i + 1]]`, UTF-8.
    private let text: [UInt8]
    private let starts: [Int]
    let types: [PieceType]
    let scores: [Float]

    /// Pieces that merging may produce: normal, user-defined and unused ones.
    let mergeable: PieceTable
    /// Unknown, control and byte pieces: never produced by merging, but found by name.
    let reserved: PieceTable
    let userDefined: PrefixMatcher
    /// Id of the byte piece of each byte value; empty without byte fallback.
    let byteIDs: [Int32]
    /// Byte value of a byte piece, by id.
    let byteValues: [Int32: UInt8]

    package let unknownID: Int32
    package let addDummyPrefix: Bool
    package let removeExtraWhitespaces: Bool
    package let escapeWhitespaces: Bool
    package let unknownSurface: [UInt8]

    package var count: Int { types.count }

    package func type(of id: Int32) -> PieceType? {
        guard let index = Int(exactly: id), types.indices.contains(index) else { return nil }
        return types[index]
    }

    /// The bytes of a piece; empty for an id outside the vocabulary.
    func bytes(of id: Int32) -> ArraySlice<UInt8> {
        guard let index = Int(exactly: id), types.indices.contains(index) else { return [] }
        return text[starts[index]..<starts[index + 1]]
    }

    package func piece(_ id: Int32) -> String? {
        type(of: id) == nil ? nil : String(decoding: bytes(of: id), as: UTF8.self)
    }

    /// The id of a piece by its text, whatever its type.
    func id(ofPiece piece: some Collection<UInt8>) -> Int32? {
        reserved.id(of: piece) ?? mergeable.id(of: piece)
    }

    package func id(ofPiece piece: String) -> Int32? { id(ofPiece: Array(piece.utf8)) }

    /// Reads the bytes of a `tokenizer.model`; `source` names them in messages.
    package init(_ data: [UInt8], source: String) throws(HadpoError) {
        let file: SentencePieceFile
        do throws(HadpoError) {
            file = try SentencePieceFile(data, source: source)
        } catch {
            throw ForeignContent.error(data, at: source, expected: "a SentencePiece model") ?? error
        }
        var mergeable = PieceTable(capacity: file.types.count)
        var reserved = PieceTable(capacity: 512)
        var userDefined: [(bytes: [UInt8], value: Int32)] = []
        var unknown: Int32?
        var byteIDs = [Int32](repeating: -1, count: 256)
        var byteValues: [Int32: UInt8] = [:]

        for index in file.types.indices {
            let place = "\(source), piece \(index)"
            let bytes = file.text[file.starts[index]..<file.starts[index + 1]]
            let id = Int32(truncatingIfNeeded: index)
            let isNew: Bool
            switch file.types[index] {
            case .normal, .userDefined, .unused: isNew = mergeable.insert(bytes, id: id) && reserved.id(of: bytes) == nil
            case .unknown, .control, .byte: isNew = reserved.insert(bytes, id: id) && mergeable.id(of: bytes) == nil
            }
            guard isNew else {
                throw HadpoError(
                    .format, "a piece occurs twice in the vocabulary", at: place, found: String(decoding: bytes, as: UTF8.self),
                    expected: "each piece once")
            }
            switch file.types[index] {
            case .unknown:
                if let unknown {
                    throw HadpoError(
                        .format, "the vocabulary has two unknown pieces", at: place, found: "ids \(unknown) and \(id)",
                        expected: "one piece of type UNKNOWN")
                }
                unknown = id
            case .userDefined: userDefined.append((Array(bytes), id))
            case .byte:
                guard file.byteFallback else {
                    throw HadpoError(
                        .format, "the vocabulary has a byte piece but the model has no byte fallback", at: place,
                        found: String(decoding: bytes, as: UTF8.self), expected: "trainer_spec.byte_fallback true")
                }
                guard let value = Self.byteValue(ofPiece: bytes) else {
                    throw HadpoError(
                        .format, "a piece of type BYTE does not name a byte", at: place,
                        found: String(decoding: bytes, as: UTF8.self), expected: "<0x00> to <0xFF>")
                }
                byteIDs[Int(value)] = id
                byteValues[id] = value
            case .normal, .control, .unused: break
            }
        }
        guard let unknown else {
            throw HadpoError(
                .format, "the vocabulary has no unknown piece", at: source, found: "\(file.types.count) pieces",
                expected: "one piece of type UNKNOWN")
        }
        if file.byteFallback, let missing = byteIDs.firstIndex(of: -1) {
            throw HadpoError(
                .format, "the model has byte fallback but not all 256 byte pieces", at: source,
                found: "no piece for byte \(missing)", expected: "<0x00> to <0xFF>")
        }

        text = file.text
        starts = file.starts
        types = file.types
        scores = file.scores
        self.mergeable = mergeable
        self.reserved = reserved
        self.userDefined = PrefixMatcher(userDefined)
        self.byteIDs = file.byteFallback ? byteIDs : []
        self.byteValues = byteValues
        unknownID = unknown
        addDummyPrefix = file.addDummyPrefix
        removeExtraWhitespaces = file.removeExtraWhitespaces
        escapeWhitespaces = file.escapeWhitespaces
        unknownSurface = file.unknownSurface
    }

    /// `<0x0A>` -> 10; nil for anything else.
    static func byteValue(ofPiece piece: some RandomAccessCollection<UInt8>) -> UInt8? {
        let bytes = Array(piece)
        guard bytes.count == 6, bytes.starts(with: "<0x".utf8), bytes[5] == UInt8(ascii: ">") else { return nil }
        func digit(_ byte: UInt8) -> UInt8? {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
            case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
            default: nil
            }
        }
        guard let high = digit(bytes[3]), let low = digit(bytes[4]) else { return nil }
        return high << 4 | low
    }

    /// `<0x0A>` for 10.
    static func bytePiece(_ value: UInt8) -> String {
        let digits = Array("0123456789ABCDEF")
        return "<0x\(digits[Int(value >> 4)])\(digits[Int(value & 15)])>"
    }
}
