import HadpoBase

/// The `model` of a `tokenizer.json`: byte pair encoding by a list of merges (HF tokenizers models/bpe).
struct BPEModel: Sendable {
    struct Merge: Sendable {
        let rank: Int32
        let result: Int32
    }

    let ids: PieceTable
    /// Bytes of a piece by its id. Ids may have gaps.
    let pieces: [Int32: ArraySlice<UInt8>]
    let merges: [UInt64: Merge]
    let unknownID: Int32?
    let fusesUnknown: Bool
    let ignoresMerges: Bool
    /// Id of the piece `<0xNN>` for each byte; -1 where the vocabulary has none. Empty without byte fallback.
    let byteIDs: [Int32]

    init(_ json: JSON, source: String) throws(HadpoError) {
        let reader = ComponentReader(source: source, base: "/model")
        if let type = json["type"], type.stringValue != "BPE" {
            throw reader.unsupported("/type", "this tokenizer model", type.stringValue ?? type.kind, "BPE")
        }
        if let dropout = json["dropout"], !dropout.isNull, dropout.doubleValue != 0 {
            throw reader.unsupported("/dropout", "random merging", dropout.kind, "null")
        }
        for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
            if let value = json[key], !value.isNull, value.stringValue != "" {
                throw reader.unsupported("/\(key)", "a mark inside words", value.stringValue ?? value.kind, "null")
            }
        }
        fusesUnknown = try reader.flag(json, "", "fuse_unk", default: false)
        ignoresMerges = try reader.flag(json, "", "ignore_merges", default: false)

        guard let vocabulary = json["vocab"]?.objectValue else {
            throw reader.wrong("/vocab", json["vocab"]?.kind ?? "nothing", "an object of ids")
        }
        var ids = PieceTable(capacity: vocabulary.count)
        var pieces: [Int32: ArraySlice<UInt8>] = [:]
        pieces.reserveCapacity(vocabulary.count)
        for member in vocabulary {
            let bytes = Array(member.key.utf8)
            guard let number = member.value.intValue, let id = Int32(exactly: number), id >= 0, id < .max else {
                throw reader.wrong("/vocab/\(member.key)", member.value.kind, "an id from 0 to 2^31 - 2")
            }
            guard bytes.count <= PrefixMatcher.longestEntry else {
                throw reader.wrong("/vocab", "a piece of \(bytes.count) bytes", "at most \(PrefixMatcher.longestEntry)")
            }
            guard ids.insert(bytes, id: id) else {
                throw reader.wrong("/vocab/\(member.key)", "a piece twice", "each piece once")
            }
            guard pieces.updateValue(bytes[...], forKey: id) == nil else {
                throw reader.wrong("/vocab/\(member.key)", "the id \(id) again", "each id once")
            }
        }
        self.ids = ids
        self.pieces = pieces

        if let unknown = json["unk_token"], !unknown.isNull {
            let text = try reader.string(json, "", "unk_token")
            guard let id = ids.id(of: Array(text.utf8)) else {
                throw reader.wrong("/unk_token", "'\(text)', which is not in the vocabulary", "a piece")
            }
            unknownID = id
        } else {
            unknownID = nil
        }
        if try reader.flag(json, "", "byte_fallback", default: false) {
            byteIDs = (0...255).map { ids.id(of: Array(SentencePieceModel.bytePiece($0).utf8)) ?? -1 }
        } else {
            byteIDs = []
        }
        merges = try Self.readMerges(json["merges"] ?? .null, ids, reader)
    }

    /// `"a b"` or `["a", "b"]`; the rank is the place in the list.
    private static func readMerges(
        _ json: JSON, _ ids: PieceTable, _ reader: ComponentReader
    ) throws(HadpoError) -> [UInt64: Merge] {
        guard let entries = json.arrayValue else { throw reader.wrong("/merges", json.kind, "an array") }
        var merges: [UInt64: Merge] = [:]
        merges.reserveCapacity(entries.count)
        for (rank, entry) in entries.enumerated() {
            let place = "/merges/\(rank)"
            let sides: [[UInt8]]
            if let text = entry.stringValue {
                sides = text.utf8.split(separator: 0x20, omittingEmptySubsequences: false).map { Array($0) }
            } else if let pair = entry.arrayValue {
                sides = pair.map { Array(($0.stringValue ?? "").utf8) }
            } else {
                throw reader.wrong(place, entry.kind, "\"a b\" or [\"a\", \"b\"]")
            }
            guard sides.count == 2, !sides[0].isEmpty, !sides[1].isEmpty else {
                throw reader.wrong(place, "\(sides.count) parts or an empty one", "two pieces")
            }
            guard let left = ids.id(of: sides[0]), let right = ids.id(of: sides[1]), let result = ids.id(of: sides[0] + sides[1])
            else {
                throw reader.wrong(
                    place, "'\(String(decoding: sides[0], as: UTF8.self))' + '\(String(decoding: sides[1], as: UTF8.self))'",
                    "pieces whose join is a piece")
            }
            // a pair that occurs again takes the later rank, as in tokenizers
            merges[key(left, right)] = Merge(rank: Int32(truncatingIfNeeded: rank), result: result)
        }
        return merges
    }

    static func key(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }

    // MARK: encoding

    private struct Candidate: Comparable {
        let rank: Int32
        let position: Int
        let result: Int32
        static func < (a: Candidate, b: Candidate) -> Bool { a.rank < b.rank || (a.rank == b.rank && a.position < b.position) }
    }

    private struct Symbol {
        var id: Int32
        var previous: Int
        var next: Int
        var merged = false
    }

    /// Ids of one stretch of text, which must be well-formed UTF-8.
    func encode(_ text: ArraySlice<UInt8>) -> [Int32] {
        if ignoresMerges, let id = ids.id(of: text) { return [id] }
        var symbols = characters(text).map { Symbol(id: $0, previous: 0, next: 0) }
        for index in symbols.indices {
            symbols[index].previous = index &- 1
            symbols[index].next = index &+ 1 < symbols.count ? index &+ 1 : -1
        }
        var agenda = BinaryHeap<Candidate>()
        func consider(_ left: Int, _ right: Int) {
            guard left >= 0, right >= 0, let merge = merges[Self.key(symbols[left].id, symbols[right].id)] else { return }
            agenda.push(Candidate(rank: merge.rank, position: left, result: merge.result))
        }
        for right in symbols.indices.dropFirst() { consider(right &- 1, right) }
        while let best = agenda.pop() {
            let left = best.position
            let right = symbols[left].next
            // stale when a side has merged since; what matters is that the pair now there gives the same piece
            guard !symbols[left].merged, right >= 0,
                merges[Self.key(symbols[left].id, symbols[right].id)]?.result == best.result
            else { continue }
            symbols[left].id = best.result
            symbols[right].merged = true
            let next = symbols[right].next
            symbols[left].next = next
            if next >= 0 { symbols[next].previous = left }
            consider(symbols[left].previous, left)
            consider(left, next)
        }
        return symbols.filter { !$0.merged }.map(\.id)
    }

    /// The ids merging starts from: one per character, or its bytes, or the unknown token.
    private func characters(_ text: ArraySlice<UInt8>) -> [Int32] {
        var result: [Int32] = []
        var pendingUnknown: Int32?
        var position = text.startIndex
        while position < text.endIndex {
            var length = 1
            if case .scalar(let scalar) = utf8Step(text, at: position &- text.startIndex) { length = scalar }
            let character = text[position..<position &+ length]
            position &+= length
            if let id = ids.id(of: character) {
                if let unknown = pendingUnknown { result.append(unknown) }
                pendingUnknown = nil
                result.append(id)
            } else if !byteIDs.isEmpty, character.allSatisfy({ byteIDs[Int($0)] >= 0 }) {
                result.append(contentsOf: character.map { byteIDs[Int($0)] })
            } else if let unknownID {
                if let unknown = pendingUnknown, !fusesUnknown { result.append(unknown) }
                pendingUnknown = unknownID
            }
        }
        if let unknown = pendingUnknown { result.append(unknown) }
        return result
    }
}
