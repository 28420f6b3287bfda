import HadpoBase

/// Which release of transformers is followed where releases differ. HA-DPO's published numbers come from 4.31.
package enum TransformersRule: String, Sendable, CaseIterable {
    case v431 = "hf-4.31"
    case v457 = "hf-4.57"
}

/// A `tokenizer.model` with the behaviour of transformers' slow LlamaTokenizer around it: special tokens in the text, BOS, the
/// `legacy` flag. (transformers 4.31 models/llama/tokenization_llama.py and tokenization_utils.py.)
package struct LlamaTokenizer: Tokenizer {
    package struct Settings: Sendable {
        package var bos = "<s>"
        package var eos = "</s>"
        package var unk = "<unk>"
        package var pad: String?
        /// Tokens with their own flags or ids: what added_tokens.json and special_tokens_map.json add. An id of -1 is looked up in
        /// the vocabulary, and a token that is not there gets the next free id. For one text the last entry counts.
        package var added: [AddedToken] = []
        package var addsBOS = true
        package var addsEOS = false
        /// True: every stretch of text between special tokens gets a space in front.
        package var legacy = true
        /// Only read by the 4.57 rule without `legacy`.
        package var addsPrefixSpace = true
        package var rule = TransformersRule.v431
        package init() {}
    }

    package let model: SentencePieceModel
    package let vocabularyCount: Int
    package let bosID: Int32?
    package let eosID: Int32?
    package let padID: Int32?
    package let unkID: Int32?
    package let fingerprint: String
    private let settings: Settings
    private let tokens: [Int32: AddedToken]
    private let ids: PieceTable
    private let splitter: AddedTokenSplitter

    package init(_ model: SentencePieceModel, settings: Settings = Settings()) throws(HadpoError) {
        self.model = model
        self.settings = settings

        // bos, eos and unk are never stripped around unless an entry of `added` says so
        var wanted = [settings.bos, settings.eos, settings.unk].map { AddedToken($0, id: -1) }
        if let pad = settings.pad { wanted.append(AddedToken(pad, id: -1)) }
        var index = PieceTable(capacity: 64)
        var unique: [AddedToken] = []
        for token in wanted + settings.added {
            let bytes = Array(token.text.utf8)
            guard !bytes.isEmpty, bytes.count <= PrefixMatcher.longestEntry else {
                throw HadpoError(
                    .format, "an added token has no usable length", at: "added tokens", found: "\(bytes.count) bytes",
                    expected: "1 to \(PrefixMatcher.longestEntry) bytes")
            }
            if let place = index.id(of: bytes) {
                let known = unique[Int(place)].id
                unique[Int(place)] = token
                if token.id < 0 { unique[Int(place)].id = known }
            } else {
                _ = index.insert(bytes, id: Int32(truncatingIfNeeded: unique.count))
                unique.append(token)
            }
        }

        // Ids: the vocabulary's where the text is a piece, then the file's in order, then the next free ones.
        var next = model.count
        var tokens: [Int32: AddedToken] = [:]
        var ids = PieceTable(capacity: unique.count)
        let numbered = unique.filter { $0.id >= 0 }.sorted { $0.id < $1.id }
        for token in numbered + unique.filter({ $0.id < 0 }) {
            var token = token
            if let piece = model.id(ofPiece: token.text) {
                guard token.id < 0 || token.id == piece else {
                    throw Self.wrongID(token, expected: "\(piece), its id in the vocabulary")
                }
                token.id = piece
            } else {
                guard token.id < 0 || Int(token.id) >= next, let id = Int32(exactly: max(next, Int(token.id))), id < .max else {
                    throw Self.wrongID(token, expected: "at least \(next), after the vocabulary and other added tokens")
                }
                token.id = id
                next = Int(id) + 1
            }
            tokens[token.id] = token
            _ = ids.insert(Array(token.text.utf8), id: token.id)
        }
        self.tokens = tokens
        self.ids = ids
        vocabularyCount = next
        splitter = AddedTokenSplitter(tokens.values.sorted { $0.id < $1.id })

        func id(_ text: String) -> Int32? { ids.id(of: Array(text.utf8)) }
        bosID = id(settings.bos)
        eosID = id(settings.eos)
        padID = settings.pad.flatMap(id)
        unkID = id(settings.unk)

        var hash = Fingerprint()
        hash.add(
            "slow \(settings.rule.rawValue) \(settings.legacy) \(settings.addsBOS) \(settings.addsEOS) \(settings.addsPrefixSpace)"
        )
        hash.add("\(bosID ?? -1) \(eosID ?? -1) \(padID ?? -1) \(unkID ?? -1)")
        for token in tokens.values.sorted(by: { $0.id < $1.id }) {
            hash.add("\(token.id) \(token.stripsLeft) \(token.stripsRight) \(token.special)")
            hash.add(token.text)
        }
        for piece in 0..<Int32(truncatingIfNeeded: model.count) {
            hash.add(model.bytes(of: piece))
            hash.add("\(model.scores[Int(piece)].bitPattern) \(model.types[Int(piece)].rawValue)")
        }
        hash.add("\(model.addDummyPrefix) \(model.removeExtraWhitespaces) \(model.escapeWhitespaces)")
        fingerprint = hash.text
    }

    private static func wrongID(_ token: AddedToken, expected: String) -> HadpoError {
        HadpoError(
            .format, "an added token has an id that does not fit the vocabulary", at: "added token '\(token.text)'",
            found: "\(token.id)", expected: expected)
    }

    package func id(ofPiece piece: String) -> Int32? { ids.id(of: Array(piece.utf8)) ?? model.id(ofPiece: piece) }

    package func isAdded(_ id: Int32) -> Bool { tokens[id] != nil }

    // MARK: encoding

    package func encode(_ text: String, addBOS: Bool) -> [Int32] {
        var result: [Int32] = []
        if addBOS, settings.addsBOS, let bosID { result.append(bosID) }
        var bytes = Array(text.utf8)
        if !settings.legacy, settings.rule == .v431 || !bytes.isEmpty {
            let prefixed = settings.rule == .v431 || settings.addsPrefixSpace
            bytes = (prefixed ? spaceSymbol : []) + unescapingSpaces(bytes)
        }
        let parts = splitter.split(bytes, 0..<bytes.count)
        for (index, part) in parts.enumerated() {
            switch part {
            case .token(let token): result.append(token.id)
            case .text(let range):
                if !settings.legacy, settings.rule == .v457, index == 0, parts.count > 1,
                    isBarePrefix(bytes[range], before: parts[1])
                {
                    continue
                }
                result.append(contentsOf: encodeSegment(Array(bytes[range])))
            }
        }
        if addBOS, settings.addsEOS, let eosID { result.append(eosID) }
        return result
    }

    /// 4.57: the prefix alone before a special token is dropped.
    private func isBarePrefix(_ bytes: ArraySlice<UInt8>, before next: TextPart) -> Bool {
        guard case .token(let token) = next, token.special else { return false }
        return bytes.elementsEqual(spaceSymbol)
    }

    private func encodeSegment(_ bytes: [UInt8]) -> [Int32] {
        if settings.legacy { return model.encode(utf8: bytes) }
        switch settings.rule {
        case .v431: return encodeCuttingPrefix(bytes)
        case .v457: return encodeWithoutPrefix(bytes)
        }
    }

    /// 4.31 without `legacy`: the model always prepends `▁`; where the text did not have it, it is cut off the first token by
    /// slicing, and what remains is looked up. The merges are not done again, so the remainder need not be what they would give.
    private func encodeCuttingPrefix(_ bytes: [UInt8]) -> [Int32] {
        let isFirst = bytes.starts(with: spaceSymbol)
        let (normalized, segments) = model.segments(isFirst ? Array(bytes.dropFirst(spaceSymbol.count)) : bytes)
        var result = segments.map(\.id)
        guard !isFirst, bytes.first != 0x20, let first = segments.first, model.byteValues[first.id] == nil,
            normalized[first.range].starts(with: spaceSymbol)
        else { return result }
        let rest = normalized[first.range].dropFirst(spaceSymbol.count)
        if rest.isEmpty { result.removeFirst() } else { result[0] = model.id(ofPiece: rest) ?? model.unknownID }
        return result
    }

    /// 4.57 without `legacy`: the model's dummy prefix is off. A leading space survives because the unknown token is written in
    /// front and its pieces are dropped again.
    private func encodeWithoutPrefix(_ bytes: [UInt8]) -> [Int32] {
        guard bytes.starts(with: spaceSymbol) || bytes.first == 0x20 else {
            return model.segments(bytes, dummyPrefix: false).segments.map(\.id)
        }
        let unknown = Array(settings.unk.utf8)
        let dropped = model.segments(unknown, dummyPrefix: false).segments.count
        let segments = model.segments(unknown + bytes, dummyPrefix: false).segments
        return (segments.count >= dropped ? segments.dropFirst(dropped) : segments[...]).map(\.id)
    }

    // MARK: decoding

    package func makeTextDecoder(skipSpecial: Bool) -> any TextDecoding { Decoder(self, skipSpecial: skipSpecial) }

    /// transformers 4.31, `_decode` and `convert_tokens_to_string`: tokens outside the model's vocabulary stand between single
    /// spaces; each run between special tokens is decoded for itself and so loses its leading space; a special token that does
    /// not follow another puts one space before the run it ends.
    private struct Decoder: TextDecoding {
        private let tokenizer: LlamaTokenizer
        private let skipSpecial: Bool
        private var run: SentencePieceTextDecoder
        /// The run's text while the token that ends it decides whether a space goes before it; nil when no token can.
        private var heldRun: [UInt8]
        /// Tokens since the last one outside the vocabulary.
        private var countInGroup = 0
        private var previousIsSpecial = false
        private var hasGroupBefore = false

        init(_ tokenizer: LlamaTokenizer, skipSpecial: Bool) {
            self.tokenizer = tokenizer
            self.skipSpecial = skipSpecial
            run = SentencePieceTextDecoder(tokenizer.model)
            heldRun = []
        }

        mutating func append(_ id: Int32, to text: inout [UInt8]) {
            guard id >= 0, Int(id) < tokenizer.vocabularyCount else { return }
            let token = tokenizer.tokens[id]
            let special = token?.special ?? false
            if special, skipSpecial { return }
            if Int(id) >= tokenizer.model.count, let token {
                endGroup(to: &text)
                beginGroup(to: &text)
                text.append(contentsOf: token.text.utf8)
                return
            }
            if countInGroup == 0 { beginGroup(to: &text) }
            if let token, special {
                if !previousIsSpecial, countInGroup > 0 { text.append(0x20) }
                endRun(to: &text)
                text.append(contentsOf: token.text.utf8)
            } else if skipSpecial {
                run.append(id, to: &text)
            } else {
                run.append(id, to: &heldRun)
            }
            previousIsSpecial = special
            countInGroup += 1
        }

        mutating func finish(to text: inout [UInt8]) { endRun(to: &text) }

        private mutating func beginGroup(to text: inout [UInt8]) {
            if hasGroupBefore { text.append(0x20) }
            hasGroupBefore = true
        }

        private mutating func endGroup(to text: inout [UInt8]) {
            endRun(to: &text)
            countInGroup = 0
            previousIsSpecial = false
        }

        private mutating func endRun(to text: inout [UInt8]) {
            if skipSpecial { run.finish(to: &text) } else { run.finish(to: &heldRun) }
            text.append(contentsOf: heldRun)
            heldRun = []
            run = SentencePieceTextDecoder(tokenizer.model)
        }
    }
}
