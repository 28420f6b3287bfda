// Encoding: normalise, merge adjacent symbols by score, look the results up.
// The order of operations is that of sentencepiece's normalizer.cc, bpe_model.cc and PopulateSentencePieceText.

extension SentencePieceModel {
    /// One token of a text: its id, and where its characters stand in the normalised text.
    struct Segment {
        var id: Int32
        var range: Range<Int>
    }

    /// Token ids of `text`, without BOS or EOS. Nothing in the text is taken for a control piece.
    package func encode(_ text: String) -> [Int32] { segments(Array(text.utf8)).segments.map(\.id) }

    /// The same for bytes that may be ill-formed UTF-8.
    package func encode(utf8 text: [UInt8]) -> [Int32] { segments(text).segments.map(\.id) }

    /// `dummyPrefix` overrides the model's own setting.
    func segments(_ text: [UInt8], dummyPrefix: Bool? = nil) -> (normalized: [UInt8], segments: [Segment]) {
        let normalized = normalize(text, dummyPrefix: dummyPrefix ?? addDummyPrefix)
        var segments: [Segment] = []
        for range in merge(normalized) {
            let id = self.id(ofPiece: normalized[range]) ?? unknownID
            if id != unknownID {
                segments.append(Segment(id: id, range: range))
            } else if !byteIDs.isEmpty {
                for position in range {
                    segments.append(Segment(id: byteIDs[Int(normalized[position])], range: position..<position &+ 1))
                }
            } else if let last = segments.last, last.id == unknownID {
                // a run of unknown characters is one unknown token
                segments[segments.count &- 1].range = last.range.lowerBound..<range.upperBound
            } else {
                segments.append(Segment(id: id, range: range))
            }
        }
        return (normalized, segments)
    }

    /// Replaces ill-formed bytes, handles white space as the normaliser's flags say. User-defined symbols pass as they are
    /// (a space inside one is still escaped).
    func normalize(_ text: [UInt8], dummyPrefix: Bool) -> [UInt8] {
        let space: [UInt8] = escapeWhitespaces ? spaceSymbol : [0x20]
        let matches = userDefined.longestMatches(in: text, 0..<text.count)
        var position = 0
        if removeExtraWhitespaces {
            while position < text.count, text[position] == 0x20, matches[position] == nil { position &+= 1 }
        }
        guard position < text.count else { return [] }

        var result: [UInt8] = []
        result.reserveCapacity(text.count &+ text.count / 2)
        if dummyPrefix { result.append(contentsOf: space) }
        var previousIsSpace = removeExtraWhitespaces
        while position < text.count {
            var chunk = position..<position
            if let match = matches[position] {
                chunk = position..<position &+ match.length
            } else if case .scalar(let length) = utf8Step(text, at: position) {
                chunk = position..<position &+ length
            } else {
                result.append(contentsOf: replacementCharacter)
                previousIsSpace = false
                position &+= 1
                continue
            }
            position = chunk.upperBound
            while previousIsSpace, let first = chunk.first, text[first] == 0x20 { chunk = first &+ 1..<chunk.upperBound }
            for index in chunk {
                if text[index] == 0x20 { result.append(contentsOf: space) } else { result.append(text[index]) }
            }
            if let last = chunk.last { previousIsSpace = removeExtraWhitespaces && text[last] == 0x20 }
        }
        if removeExtraWhitespaces {
            while result.count >= space.count, result.suffix(space.count).elementsEqual(space) { result.removeLast(space.count) }
        }
        return result
    }

    /// A possible merge: the better score first, the left one among equals.
    private struct Candidate: Comparable {
        let score: Float
        let left: Int
        let right: Int
        let length: Int

        static func < (a: Candidate, b: Candidate) -> Bool { a.score > b.score || (a.score == b.score && a.left < b.left) }
    }

    /// A run of characters that merges so far, in a doubly linked list. A length of 0 means swallowed by its left neighbour.
    private struct Symbol {
        let start: Int
        var length: Int
        var previous: Int
        var next: Int
        /// User-defined symbols never merge.
        let frozen: Bool
    }

    /// Byte pair merging of well-formed text: the ranges of the final symbols, in order.
    private func merge(_ text: [UInt8]) -> [Range<Int>] {
        var symbols: [Symbol] = []
        let matches = userDefined.longestMatches(in: text, 0..<text.count)
        var position = 0
        while position < text.count {
            var length = 1
            var frozen = false
            if let match = matches[position] {
                (length, frozen) = (match.length, true)
            } else if case .scalar(let scalar) = utf8Step(text, at: position) {
                length = scalar
            }
            let index = symbols.count
            symbols.append(Symbol(start: position, length: length, previous: index &- 1, next: index &+ 1, frozen: frozen))
            position &+= length
        }
        guard !symbols.isEmpty else { return [] }
        symbols[symbols.count &- 1].next = -1

        // An unused piece may be passed through while merging but not emitted: the last split that led to it is kept.
        var splits: [Int32: Int] = [:]
        var agenda = BinaryHeap<Candidate>()

        text.withUnsafeBufferPointer { text in
            func consider(_ left: Int, _ right: Int) {
                guard left >= 0, right >= 0, !symbols[left].frozen, !symbols[right].frozen else { return }
                let start = symbols[left].start
                let length = symbols[left].length &+ symbols[right].length
                guard length <= mergeable.longest,
                    let id = mergeable.id(of: UnsafeBufferPointer(rebasing: text[start..<start &+ length]))
                else { return }
                agenda.push(Candidate(score: scores[Int(id)], left: left, right: right, length: length))
                if types[Int(id)] == .unused { splits[id] = symbols[left].length }
            }
            for right in symbols.indices.dropFirst() { consider(right &- 1, right) }
            while let best = agenda.pop() {
                let (left, right) = (best.left, best.right)
                // stale: one side has merged with another neighbour since
                guard symbols[left].length > 0, symbols[right].length > 0,
                    symbols[left].length &+ symbols[right].length == best.length
                else { continue }
                symbols[left].length = best.length
                symbols[right].length = 0
                let next = symbols[right].next
                symbols[left].next = next
                if next >= 0 { symbols[next].previous = left }
                consider(symbols[left].previous, left)
                consider(left, next)
            }
        }

        var result: [Range<Int>] = []
        var index = 0
        while index >= 0 {
            let symbol = symbols[index]
            // taken apart from left to right with an explicit stack: the depth is the file's choice
            var open = [symbol.start..<symbol.start &+ symbol.length]
            while let range = open.popLast() {
                if !splits.isEmpty, let id = id(ofPiece: text[range]), types[Int(id)] == .unused, let left = splits[id] {
                    let middle = range.lowerBound &+ left
                    open.append(middle..<range.upperBound)
                    open.append(range.lowerBound..<middle)
                } else {
                    result.append(range)
                }
            }
            index = symbol.next
        }
        return result
    }
}
