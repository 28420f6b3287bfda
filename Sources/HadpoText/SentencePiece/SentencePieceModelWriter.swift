import HadpoBase

extension SentencePieceModel {
    /// The flags of a model that `serialized` writes; the defaults are those of the Llama model.
    package struct Settings: Sendable {
        package var addDummyPrefix = true
        package var removeExtraWhitespaces = false
        package var escapeWhitespaces = true
        package var byteFallback = true
        package init() {}
    }

    /// The bytes of a BPE `tokenizer.model` with these pieces; ids are their positions. `<s>`, `</s>`, `<unk>` and `<pad>` become
    /// the trainer's special ids where they occur as control or unknown pieces. The result is read back before it is returned,
    /// so that a vocabulary that could not be loaded is an error here.
    package static func serialized(
        pieces: [(String, Float, PieceType)], settings: Settings = Settings()
    ) throws(HadpoError) -> [UInt8] {
        var file = ProtobufWriter()
        var special: [String: Int] = [:]
        for (id, (text, score, type)) in pieces.enumerated() {
            var piece = ProtobufWriter()
            piece.bytes(1, Array(text.utf8))
            piece.float(2, score)
            if type != .normal { piece.varint(3, UInt64(type.rawValue)) }
            file.bytes(1, piece.data)
            if type == .control || type == .unknown { special[text] = id }
        }

        func specialID(_ text: String) -> UInt64 { UInt64(bitPattern: Int64(special[text] ?? -1)) }
        var trainer = ProtobufWriter()
        trainer.varint(3, 2)  // model_type BPE
        trainer.varint(4, UInt64(pieces.count))  // vocab_size
        trainer.varint(35, settings.byteFallback ? 1 : 0)
        trainer.varint(40, specialID("<unk>"))
        trainer.varint(41, specialID("<s>"))
        trainer.varint(42, specialID("</s>"))
        trainer.varint(43, specialID("<pad>"))
        trainer.bytes(44, Array(" \u{2047} ".utf8))  // unk_surface
        trainer.bytes(45, Array("<unk>".utf8))
        trainer.bytes(46, Array("<s>".utf8))
        trainer.bytes(47, Array("</s>".utf8))
        trainer.bytes(48, Array("<pad>".utf8))
        file.bytes(2, trainer.data)

        var normalizer = ProtobufWriter()
        normalizer.bytes(1, Array("identity".utf8))
        normalizer.varint(3, settings.addDummyPrefix ? 1 : 0)
        normalizer.varint(4, settings.removeExtraWhitespaces ? 1 : 0)
        normalizer.varint(5, settings.escapeWhitespaces ? 1 : 0)
        file.bytes(3, normalizer.data)

        _ = try SentencePieceModel(file.data, source: "the new tokenizer model")
        return file.data
    }
}

/// Appends protobuf fields.
private struct ProtobufWriter {
    private(set) var data: [UInt8] = []

    mutating func varint(_ field: Int, _ value: UInt64) {
        raw(UInt64(field) << 3)
        raw(value)
    }

    mutating func bytes(_ field: Int, _ value: [UInt8]) {
        raw(UInt64(field) << 3 | 2)
        raw(UInt64(value.count))
        data.append(contentsOf: value)
    }

    mutating func float(_ field: Int, _ value: Float) {
        raw(UInt64(field) << 3 | 5)
        withUnsafeBytes(of: value.bitPattern.littleEndian) { data.append(contentsOf: $0) }
    }

    private mutating func raw(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            data.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        data.append(UInt8(truncatingIfNeeded: rest))
    }
}
