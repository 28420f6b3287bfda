import HadpoBase

/// The fields of a `tokenizer.model` that encoding depends on, as they stand in the file.
struct SentencePieceFile {
    var text: [UInt8] = []
    var starts: [Int] = [0]
    var types: [SentencePieceModel.PieceType] = []
    var scores: [Float] = []
    var byteFallback = false
    var unknownSurface: [UInt8] = Array(" \u{2047} ".utf8)
    var addDummyPrefix = true
    var removeExtraWhitespaces = true
    var escapeWhitespaces = true

    private let source: String
    private let data: [UInt8]
    /// proto default of trainer_spec.model_type: UNIGRAM
    private var modelType: UInt64 = 1

    init(_ data: [UInt8], source: String) throws(HadpoError) {
        self.data = data
        self.source = source
        guard !data.isEmpty else {
            throw HadpoError(
                .format, "the tokenizer model is empty", at: source, found: "0 bytes", expected: "a SentencePiece model")
        }
        var reader = ProtobufReader(data, 0..<data.count, source: source)
        while let field = try reader.next() {
            switch field.number {
            case 1: try readPiece(try message(field, "pieces"))
            case 2: try readTrainer(try message(field, "trainer_spec"))
            case 3: try readNormalizer(try message(field, "normalizer_spec"), "normalizer_spec")
            case 5: try refuseCharacterMap(try message(field, "denormalizer_spec"), "denormalizer_spec")
            default: break
            }
        }
        guard modelType == 2 else {
            let names: [UInt64: String] = [1: "UNIGRAM", 3: "WORD", 4: "CHAR"]
            throw HadpoError(
                .unsupported, "the SentencePiece model is not a BPE model", at: "\(source), trainer_spec.model_type",
                found: names[modelType] ?? "\(modelType)", expected: "BPE")
        }
    }

    private mutating func readPiece(_ range: Range<Int>) throws(HadpoError) {
        let place = "\(source), piece \(types.count)"
        guard types.count < Int(Int32.max) else {
            throw HadpoError(.format, "too many pieces", at: source, found: "\(types.count)", expected: "fewer than 2^31")
        }
        var bytes = 0..<0
        var score: Float = 0
        var type = SentencePieceModel.PieceType.normal
        var reader = ProtobufReader(data, range, source: place)
        while let field = try reader.next() {
            switch (field.number, field.value) {
            case (1, .bytes(let value)): bytes = value
            case (2, .fixed32(let value)): score = Float(bitPattern: value)
            case (3, .varint(let value)):
                guard let raw = UInt8(exactly: value), let known = SentencePieceModel.PieceType(rawValue: raw) else {
                    throw HadpoError(.format, "unknown piece type", at: place, found: "\(value)", expected: "1 to 6")
                }
                type = known
            case (1...3, _): throw wrongWireType(place, field)
            default: break
            }
        }
        guard !bytes.isEmpty else {
            throw HadpoError(.format, "a piece is empty", at: place, found: "0 bytes", expected: "at least one character")
        }
        guard isValidUTF8(data[bytes]) else {
            throw HadpoError(.format, "a piece is not UTF-8", at: place, found: "ill-formed bytes", expected: "UTF-8")
        }
        guard bytes.count <= PrefixMatcher.longestEntry else {
            throw HadpoError(
                .format, "a piece is too long", at: place, found: "\(bytes.count) bytes",
                expected: "at most \(PrefixMatcher.longestEntry)")
        }
        guard !score.isNaN else {
            throw HadpoError(.format, "the score of a piece is not a number", at: place, found: "NaN", expected: "a number")
        }
        text.append(contentsOf: data[bytes])
        starts.append(text.count)
        types.append(type)
        scores.append(score)
    }

    private mutating func readTrainer(_ range: Range<Int>) throws(HadpoError) {
        let place = "\(source), trainer_spec"
        var reader = ProtobufReader(data, range, source: place)
        while let field = try reader.next() {
            switch (field.number, field.value) {
            case (3, .varint(let value)): modelType = value
            case (24, .varint(let value)):
                guard value == 0 else {
                    throw HadpoError(
                        .unsupported, "white space as a suffix is not supported", at: "\(place).treat_whitespace_as_suffix",
                        found: "true", expected: "false")
                }
            case (35, .varint(let value)): byteFallback = value != 0
            case (44, .bytes(let value)):
                guard isValidUTF8(data[value]) else {
                    throw HadpoError(
                        .format, "unk_surface is not UTF-8", at: place, found: "ill-formed bytes", expected: "UTF-8")
                }
                unknownSurface = Array(data[value])
            case (3, _), (24, _), (35, _), (44, _): throw wrongWireType(place, field)
            default: break
            }
        }
    }

    private mutating func readNormalizer(_ range: Range<Int>, _ name: String) throws(HadpoError) {
        let place = "\(source), \(name)"
        try refuseCharacterMap(range, name)
        var reader = ProtobufReader(data, range, source: place)
        while let field = try reader.next() {
            switch (field.number, field.value) {
            case (3, .varint(let value)): addDummyPrefix = value != 0
            case (4, .varint(let value)): removeExtraWhitespaces = value != 0
            case (5, .varint(let value)): escapeWhitespaces = value != 0
            case (3...5, _): throw wrongWireType(place, field)
            default: break
            }
        }
    }

    /// Only the identity normaliser is known here: Llama and Vicuna models have an empty character map.
    private func refuseCharacterMap(_ range: Range<Int>, _ name: String) throws(HadpoError) {
        let place = "\(source), \(name).precompiled_charsmap"
        var reader = ProtobufReader(data, range, source: place)
        while let field = try reader.next() {
            guard field.number == 2 else { continue }
            guard case .bytes(let map) = field.value else { throw wrongWireType(place, field) }
            guard map.isEmpty else {
                throw HadpoError(
                    .unsupported, "the SentencePiece model normalises characters", at: place, found: "\(map.count) bytes",
                    expected: "an empty map (identity)")
            }
        }
    }

    private func message(_ field: ProtobufReader.Field, _ name: String) throws(HadpoError) -> Range<Int> {
        guard case .bytes(let range) = field.value else { throw wrongWireType("\(source), \(name)", field) }
        return range
    }

    private func wrongWireType(_ place: String, _ field: ProtobufReader.Field) -> HadpoError {
        HadpoError(
            .format, "a protobuf field has the wrong wire type", at: "\(place), byte \(field.offset)",
            found: "field \(field.number) as \(field.value)", expected: "the type of sentencepiece_model.proto")
    }
}
