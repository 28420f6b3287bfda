import HadpoBase

/// A `tokenizer.json` of the Llama kind, with the behaviour of HF tokenizers.
package struct FastLlamaTokenizer: Tokenizer {
    /// What tokenizer_config.json and special_tokens_map.json name; the file itself does not say which token is which.
    package struct Settings: Sendable {
        package var bos: String?
        package var eos: String?
        package var unk: String?
        package var pad: String?
        /// Only where the file has no template of its own.
        package var addsBOS = true
        package init() {}
    }

    package let vocabularyCount: Int
    package let bosID: Int32?
    package let eosID: Int32?
    package let padID: Int32?
    package let unkID: Int32?
    package let fingerprint: String
    private let file: TokenizerJSON
    private let before: [Int32]
    private let after: [Int32]
    private let added: [Int32: AddedToken]
    private let addedIDs: PieceTable
    private let rawSplitter: AddedTokenSplitter
    private let normalizedSplitter: AddedTokenSplitter

    package init(_ json: JSON, settings: Settings = Settings(), source: String) throws(HadpoError) {
        let file = try TokenizerJSON(json, source: source)
        self.file = file
        var added: [Int32: AddedToken] = [:]
        var addedIDs = PieceTable(capacity: file.added.count)
        for token in file.added {
            added[token.id] = token
            _ = addedIDs.insert(Array(token.text.utf8), id: token.id)
        }
        self.added = added
        self.addedIDs = addedIDs
        rawSplitter = AddedTokenSplitter(file.added.filter { !$0.normalized })
        // tokens of this kind are looked for by their own normalised text
        normalizedSplitter = AddedTokenSplitter(
            file.added.filter(\.normalized), pattern: { Self.normalize(Array($0.text.utf8), file.normalizers) })
        vocabularyCount = Int(max(file.model.pieces.keys.max() ?? -1, added.keys.max() ?? -1)) + 1

        func id(_ name: String?, usual: String?) -> Int32? {
            guard let text = name ?? usual else { return nil }
            return addedIDs.id(of: Array(text.utf8)) ?? (name == nil ? nil : file.model.ids.id(of: Array(text.utf8)))
        }
        bosID = id(settings.bos, usual: "<s>")
        eosID = id(settings.eos, usual: "</s>")
        padID = id(settings.pad, usual: "<pad>")
        unkID = file.model.unknownID ?? id(settings.unk, usual: "<unk>")
        if let template = file.template {
            (before, after) = template
        } else if settings.addsBOS, let bosID {
            (before, after) = ([bosID], [])
        } else {
            (before, after) = ([], [])
        }
        for id in before + after where Int(id) >= vocabularyCount {
            throw HadpoError(
                .format, "the template adds a token that is not in the vocabulary", at: "\(source)#/post_processor",
                found: "\(id)",
                expected: "an id below \(vocabularyCount)")
        }

        var hash = Fingerprint()
        hash.add("fast \(before) \(after) \(file.normalizers) \(String(describing: file.metaspace)) \(file.decoder)")
        hash.add("\(bosID ?? -1) \(eosID ?? -1) \(padID ?? -1) \(unkID ?? -1)")
        for token in file.added.sorted(by: { $0.id < $1.id }) {
            hash.add("\(token.id) \(token.stripsLeft) \(token.stripsRight) \(token.special) \(token.normalized) \(token.text)")
        }
        hash.add("\(file.model.fusesUnknown) \(file.model.ignoresMerges) \(file.model.byteIDs.isEmpty)")
        for (id, piece) in file.model.pieces.sorted(by: { $0.key < $1.key }) {
            hash.add("\(id)")
            hash.add(piece)
        }
        for (pair, merge) in file.model.merges.sorted(by: { $0.value.rank < $1.value.rank }) {
            hash.add("\(pair) \(merge.result)")
        }
        fingerprint = hash.text
    }

    package func id(ofPiece piece: String) -> Int32? {
        let bytes = Array(piece.utf8)
        return addedIDs.id(of: bytes) ?? file.model.ids.id(of: bytes)
    }

    package func isAdded(_ id: Int32) -> Bool { added[id] != nil }

    // MARK: encoding

    package func encode(_ text: String, addBOS: Bool) -> [Int32] {
        let bytes = Array(text.utf8)
        var result = addBOS ? before : []
        for part in rawSplitter.split(bytes, 0..<bytes.count) {
            switch part {
            case .token(let token): result.append(token.id)
            case .text(let range):
                let normalized = Self.normalize(Array(bytes[range]), file.normalizers)
                for part in normalizedSplitter.split(normalized, 0..<normalized.count) {
                    switch part {
                    case .token(let token): result.append(token.id)
                    case .text(let inner):
                        let isStart = range.lowerBound == 0 && inner.lowerBound == 0
                        encodeSegment(Array(normalized[inner]), isStart: isStart, to: &result)
                    }
                }
            }
        }
        return addBOS ? result + after : result
    }

    private static func normalize(_ text: [UInt8], _ normalizers: [TokenizerJSON.Normalizer]) -> [UInt8] {
        var text = text
        for step in normalizers {
            switch step {
            case .prepend(let prefix): if !text.isEmpty { text = prefix + text }
            case .replace(let pattern, let content): text = replacing(pattern, with: content, in: text)
            }
        }
        return text
    }

    private func encodeSegment(_ segment: [UInt8], isStart: Bool, to result: inout [Int32]) {
        guard let metaspace = file.metaspace else {
            result.append(contentsOf: file.model.encode(segment[...]))
            return
        }
        let mark = metaspace.replacement
        var text = replacing([0x20], with: mark, in: segment)
        if metaspace.prepend == .always || (metaspace.prepend == .first && isStart), !text.starts(with: mark) {
            text = mark + text
        }
        guard metaspace.splits else {
            result.append(contentsOf: file.model.encode(text[...]))
            return
        }
        var start = 0
        var position = 0
        while position < text.count {
            if position > start, text[position] == mark.first, text[position...].starts(with: mark) {
                result.append(contentsOf: file.model.encode(text[start..<position]))
                start = position
            }
            position &+= 1
        }
        result.append(contentsOf: file.model.encode(text[start...]))
    }

    // MARK: decoding

    package func makeTextDecoder(skipSpecial: Bool) -> any TextDecoding { Decoder(self, skipSpecial: skipSpecial) }

    /// Replace, ByteFallback, Fuse, Strip of HF tokenizers, one token at a time.
    private struct Decoder: TextDecoding {
        private let tokenizer: FastLlamaTokenizer
        private let skipSpecial: Bool
        /// A run of byte tokens is text only if the whole run is well-formed; otherwise each byte is U+FFFD.
        private var heldBytes: [UInt8] = []
        private var stripsLeft: Int

        init(_ tokenizer: FastLlamaTokenizer, skipSpecial: Bool) {
            self.tokenizer = tokenizer
            self.skipSpecial = skipSpecial
            stripsLeft = tokenizer.file.decoder.strip.count
        }

        mutating func append(_ id: Int32, to text: inout [UInt8]) {
            var piece: [UInt8]
            if let token = tokenizer.added[id] {
                if token.special, skipSpecial { return }
                piece = Array(token.text.utf8)
            } else if let bytes = tokenizer.file.model.pieces[id] {
                piece = Array(bytes)
            } else {
                return
            }
            let decoder = tokenizer.file.decoder
            for (pattern, content) in decoder.replacements { piece = replacing(pattern, with: content, in: piece) }
            if decoder.byteFallback, let value = SentencePieceModel.byteValue(ofPiece: piece) {
                heldBytes.append(value)
                return
            }
            releaseBytes(to: &text)
            write(piece[...], to: &text)
        }

        mutating func finish(to text: inout [UInt8]) { releaseBytes(to: &text) }

        private mutating func releaseBytes(to text: inout [UInt8]) {
            if isValidUTF8(heldBytes) {
                write(heldBytes[...], to: &text)
            } else {
                for _ in heldBytes { write(replacementCharacter[...], to: &text) }
            }
            heldBytes = []
        }

        private mutating func write(_ bytes: ArraySlice<UInt8>, to text: inout [UInt8]) {
            var bytes = bytes
            while stripsLeft > 0, !bytes.isEmpty {
                if bytes.starts(with: tokenizer.file.decoder.strip.character) {
                    bytes = bytes.dropFirst(tokenizer.file.decoder.strip.character.count)
                    stripsLeft -= 1
                } else {
                    stripsLeft = 0
                }
            }
            text.append(contentsOf: bytes)
        }
    }
}
