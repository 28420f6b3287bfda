import HadpoBase
import HadpoText
import Testing

/// Protobuf by hand, so that it can be wrong.
private func field(_ number: Int, _ bytes: [UInt8]) -> [UInt8] { [UInt8(number << 3 | 2)] + varint(UInt64(bytes.count)) + bytes }
private func field(_ number: UInt64, varint value: UInt64) -> [UInt8] { varint(number << 3) + varint(value) }
private func varint(_ value: UInt64) -> [UInt8] {
    var result: [UInt8] = []
    var rest = value
    while rest >= 0x80 {
        result.append(UInt8(truncatingIfNeeded: rest) | 0x80)
        rest >>= 7
    }
    return result + [UInt8(rest)]
}
private func piece(_ text: String, type: UInt64 = 1) -> [UInt8] { field(1, field(1, Array(text.utf8)) + field(3, varint: type)) }

private let bpe = field(2, field(3, varint: 2))
private let unknown = piece("<unk>", type: 2)

private func read(_ bytes: [UInt8]) throws -> HadpoError { try failure { _ = try SentencePieceModel(bytes, source: "m") } }

@Suite("Malformed tokenizer.model files")
struct MalformedModelTests {
    @Test("the pieces these tests are made of give a model")
    func sound() throws {
        let model = try SentencePieceModel(unknown + piece("a") + piece("\u{2581}") + bpe, source: "m")
        #expect(model.encode("a") == [2, 1])
    }

    @Test("an empty file is refused")
    func empty() throws {
        #expect(
            try read([])
                == HadpoError(
                    .format, "the tokenizer model is empty", at: "m", found: "0 bytes", expected: "a SentencePiece model"))
    }

    @Test("a file cut anywhere inside a field is refused")
    func truncated() throws {
        let whole = bpe + unknown + piece("abc")
        let borders = [bpe.count + unknown.count, whole.count]
        for length in 1..<whole.count where !borders.contains(length) {
            #expect(try read(Array(whole.prefix(length))).status == .format, "\(length) bytes")
        }
    }

    @Test("a length beyond the file is refused", arguments: [100, 1 << 31, 1 << 62, UInt64.max])
    func hugeLength(_ length: UInt64) throws {
        let error = try read([0x0A] + varint(length) + [0])
        #expect(error.message == "a protobuf field is longer than its message")
        #expect(error.found == "\(length) bytes")
        #expect(error.place == "m, byte 0")
    }

    @Test("an integer of more than 64 bits is refused")
    func longInteger() throws {
        #expect(try read([0x08] + [UInt8](repeating: 0xFF, count: 10)).message == "a protobuf integer is too long")
        #expect(try read([0x08] + [UInt8](repeating: 0x80, count: 9) + [0x02]).message == "a protobuf integer is too long")
    }

    @Test("group and unknown wire types are refused", arguments: [3, 4, 6, 7] as [UInt8])
    func wireType(_ type: UInt8) throws {
        #expect(try read([0x08 | type, 0]).message == "a protobuf field has a wire type that is not used here")
    }

    @Test("field number 0 is refused")
    func fieldZero() throws {
        #expect(try read([0x00, 0]).message == "a protobuf field number is out of range")
    }

    @Test("a known field with the wrong wire type is refused")
    func wrongType() throws {
        for bytes in [
            field(1, varint: 5), field(2, varint: 5), field(3, varint: 5), field(1, field(1, varint: 5)),
            field(1, field(2, varint: 5)),
            field(1, field(3, [1])), field(2, field(3, [2])), field(2, field(35, varint: 1) + field(3, [1])),
            field(3, field(4, [1])),
            field(3, field(2, varint: 1)),
        ] {
            #expect(try read(unknown + bytes).message == "a protobuf field has the wrong wire type", "\(bytes)")
        }
    }

    @Test("a unigram model, also by default, is not supported", arguments: [nil, 1, 3, 4, 99])
    func modelType(_ type: UInt64?) throws {
        let error = try read(unknown + (type.map { field(2, field(3, varint: $0)) } ?? []))
        #expect(error.status == .unsupported)
        #expect(error.place == "m, trainer_spec.model_type")
        #expect(error.found == [nil: "UNIGRAM", 1: "UNIGRAM", 3: "WORD", 4: "CHAR", 99: "99"][type])
    }

    @Test("a model that normalises characters is not supported")
    func characterMap() throws {
        for number in [3, 5] {
            let error = try read(unknown + bpe + field(number, field(2, [1, 2, 3])))
            #expect(error.status == .unsupported)
            #expect(error.found == "3 bytes")
        }
    }

    @Test("white space as a suffix is not supported")
    func suffix() throws {
        #expect(try read(unknown + field(2, field(3, varint: 2) + field(24, varint: 1))).status == .unsupported)
    }

    @Test("a piece that occurs twice is refused, whatever its types")
    func duplicate() throws {
        for type in [1, 3, 4, 5] as [UInt64] {
            let error = try read(unknown + piece("a") + piece("a", type: type) + bpe)
            #expect(error.message == "a piece occurs twice in the vocabulary")
            #expect(error.place == "m, piece 2")
            #expect(error.found == "a")
        }
    }

    @Test("a piece that is not UTF-8 is refused")
    func illFormed() throws {
        for bytes in [[0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xE4, 0xB8], [0xF4, 0x90, 0x80, 0x80]] as [[UInt8]] {
            #expect(try read(unknown + field(1, field(1, bytes)) + bpe).message == "a piece is not UTF-8", "\(bytes)")
        }
    }

    @Test("an empty piece is refused")
    func emptyPiece() throws {
        #expect(try read(unknown + field(1, []) + bpe).message == "a piece is empty")
    }

    @Test("a piece of more than 4096 bytes is refused")
    func longPiece() throws {
        #expect(try read(unknown + piece(String(repeating: "a", count: 4097)) + bpe).message == "a piece is too long")
        _ = try SentencePieceModel(unknown + piece(String(repeating: "a", count: 4096)) + bpe, source: "m")
    }

    @Test("a score that is not a number is refused")
    func score() throws {
        let bytes = field(1, field(1, [0x61]) + [0x15, 0, 0, 0xC0, 0x7F])
        #expect(try read(unknown + bytes + bpe).message == "the score of a piece is not a number")
    }

    @Test("an unknown piece type is refused", arguments: [0, 7, 1 << 40] as [UInt64])
    func pieceType(_ type: UInt64) throws {
        #expect(try read(unknown + piece("a", type: type) + bpe).message == "unknown piece type")
    }

    @Test("no unknown piece, or two, are refused")
    func unknownPiece() throws {
        #expect(try read(piece("a") + bpe).message == "the vocabulary has no unknown piece")
        #expect(try read(unknown + piece("<u>", type: 2) + bpe).message == "the vocabulary has two unknown pieces")
    }

    @Test("byte pieces and byte fallback must belong together")
    func bytePieces() throws {
        let fallback = field(2, field(3, varint: 2) + field(35, varint: 1))
        #expect(
            try read(unknown + piece("<0x0A>", type: 6) + bpe).message
                == "the vocabulary has a byte piece but the model has no byte fallback")
        #expect(
            try read(unknown + piece("<0x0A>", type: 6) + fallback).message
                == "the model has byte fallback but not all 256 byte pieces")
        #expect(try read(unknown + piece("<0xGG>", type: 6) + fallback).message == "a piece of type BYTE does not name a byte")
        #expect(try read(unknown + piece("<0x0a>", type: 6) + fallback).message == "a piece of type BYTE does not name a byte")
    }

    @Test("unused pieces nested thousands deep are taken apart without recursion")
    func deepUnused() throws {
        var bytes = unknown + piece("a") + bpe
        for length in 2...3000 { bytes += piece(String(repeating: "a", count: length), type: 5) }
        let model = try SentencePieceModel(bytes + field(3, field(3, varint: 0)), source: "m")
        #expect(model.encode(String(repeating: "a", count: 3000)) == [Int32](repeating: 1, count: 3000))
    }
}
