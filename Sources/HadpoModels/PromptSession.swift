import HadpoAutograd
import HadpoBase
import HadpoNN
import HadpoTensor
import HadpoText

/// Prompts in a cache, and continuations that grow behind them.
///
/// A prefix is computed once. Its branches (questions on one picture, beams) see the prefix and themselves; every step takes
/// one token of each of them, of all prefixes together, through the decoder at once.
///
///     cache rows    prefix 0 | prefix 1 | ... | branch 0, room | branch 1, room | ...
///
/// Rows do not know their neighbours (see hadpo_kernels.h): each branch gets the bits it would get alone and without a cache.
///
/// Dimensions: C hidden width, V vocabulary.
package final class PromptSession {
    package struct Prefix: Sendable {
        package let pieces: [PromptPiece]
        /// One entry for each picture piece, as the model's pipeline makes them. Prefixes may show the same picture (a Q-Former looks at
        /// it anew with every question): it goes through the vision tower once.
        package let pixels: [Block<Float>]

        package init(_ pieces: [PromptPiece], pixels: [Block<Float>]) {
            self.pieces = pieces
            self.pixels = pixels
        }
    }

    /// What a branch begins with: token ids behind a prefix, possibly none.
    package struct Continuation: Sendable {
        package let prefix: Int
        package let ids: [Int32]

        package init(prefix: Int, ids: [Int32]) {
            self.prefix = prefix
            self.ids = ids
        }
    }

    private struct Branch {
        let prefix: Int
        var rows: Range<Int>
        /// Rows set aside for it, from `rows.lowerBound`.
        var room: Int
    }

    package let model: any VisionLanguageModel
    package let progress: any Progress
    private let tape: Tape
    private let cache: KVCache
    /// Cache rows of each prefix.
    private let prefixes: [Range<Int>]
    /// The hidden state behind each prefix, [prefixes, C].
    private let lastHidden: Value
    private var branches: [Branch] = []

    /// Positions of a prefix.
    package func prefixCount(_ prefix: Int) -> Int { prefixes.indices.contains(prefix) ? prefixes[prefix].count : 0 }

    /// Rows that go through the network together while prompts are read; more would only take memory.
    private static let rowsAtOnce = 4096
    /// A branch that is full gets this many rows more.
    package static let roomStep = 64

    /// As many pictures of `rows` rows as share 512 MiB of cache, so that a large model takes one at a time and a tiny one many.
    package static func picturesAtOnce(_ model: any VisionLanguageModel, rows: Int) -> Int {
        max(1, min(64, (512 << 20) / max(1, rows * model.decoder.cacheRowBytes)))
    }

    package static func rows(_ pieces: [PromptPiece], _ model: any VisionLanguageModel) -> Int {
        pieces.reduce(0) { count, piece in
            switch piece {
            case .tokens(let ids): count + ids.count
            case .picture: count + model.imageRows
            }
        }
    }

    /// Refuses, before anything is computed, what the model or the memory limit does not allow.
    /// - Parameter branches: rows of a branch's prefix, and its own first tokens.
    package static func check(
        _ model: any VisionLanguageModel, prefixes: [Int], branches: [(prefix: Int, own: Int)], newTokens: Int, at place: String
    ) throws(HadpoError) {
        let config = model.decoder.config
        let rowBytes = model.decoder.cacheRowBytes
        let longest = branches.map { $0.prefix + $0.own }.max() ?? 0
        // The last token is generated and never read.
        guard longest > 0, newTokens > 0, newTokens <= config.maxPositions - longest + 1 else {
            throw HadpoError(
                .argument, "the prompt and its answer do not fit the model", at: place,
                found: "a prompt of \(longest) positions, picture included, and \(newTokens) new tokens",
                expected:
                    "at most \(config.maxPositions) positions: max_new_tokens up to \(max(0, config.maxPositions - longest + 1))")
        }
        let limit = model.device.arena.limit
        guard limit > 0 else { return }
        let rows = prefixes.reduce(0, +) + branches.reduce(0) { $0 + $1.own + newTokens }
        let needed = rows.multipliedReportingOverflow(by: rowBytes)
        let free = limit - model.device.arena.live
        guard !needed.overflow, needed.partialValue <= free else {
            throw HadpoError(
                .noMemory, "the cache of keys and values does not fit the memory limit", at: place,
                found: "\(rows) rows of \(rowBytes) bytes",
                expected: "at most \(max(0, free)) bytes: fewer at a time, or fewer new tokens")
        }
    }

    /// Reads the prefixes. `room`: cache rows to set aside for branches from the start.
    package init(_ model: any VisionLanguageModel, _ wanted: [Prefix], room: Int = 0, progress: any Progress) throws(HadpoError) {
        let vocabulary = model.decoder.config.vocabulary
        var prefixes: [Range<Int>] = []
        for (i, prefix) in wanted.enumerated() {
            let count = PromptSession.rows(prefix.pieces, model)
            let images = prefix.pieces.count { $0.isPicture }
            guard count > 0, images == prefix.pixels.count else {
                throw HadpoError(
                    .argument, "a prompt and its pictures do not fit together", at: "prompt \(i)",
                    found: "\(count) positions, \(images) places for pictures, \(prefix.pixels.count) pictures")
            }
            for case .tokens(let ids) in prefix.pieces { try PromptSession.check(ids, vocabulary) }
            let start = prefixes.last?.upperBound ?? 0
            prefixes.append(start..<start + count)
        }
        guard let end = prefixes.last?.upperBound else { throw HadpoError(.argument, "a session needs a prompt") }
        self.model = model
        self.progress = progress
        self.prefixes = prefixes
        tape = Tape(device: model.device, progress: progress)
        cache = try model.decoder.makeCache(device: model.device, capacity: end + room)

        var hidden: [Value] = []
        var first = 0
        while first < wanted.count {
            var last = first + 1
            while last < wanted.count, prefixes[last].upperBound - prefixes[first].lowerBound <= PromptSession.rowsAtOnce {
                last += 1
            }
            hidden.append(
                try PromptSession.read(model, tape, cache, wanted[first..<last], from: prefixes[first].lowerBound))
            first = last
        }
        lastHidden = try tape.concatenate(hidden.map { ($0, 0..<$0.rows) })
    }

    /// Computes some prefixes into the cache; their last hidden states.
    private static func read(
        _ model: any VisionLanguageModel, _ tape: Tape, _ cache: KVCache, _ prefixes: ArraySlice<Prefix>, from start: Int
    ) throws(HadpoError) -> Value {
        var packed = PackedRows(imageRows: model.imageRows)
        var lastRows: [Int32] = []
        for prefix in prefixes {
            lastRows.append(Int32(truncatingIfNeeded: packed.addPrefix(prefix.pieces).rows.upperBound - 1))
        }
        let pixels = prefixes.flatMap(\.pixels)
        var projected: Value?
        if !pixels.isEmpty {
            projected = try model.project(tape, try features(model, tape, pixels), packed.instructions, reference: false)
        }
        let x = try model.embed(tape, packed, projected: projected)
        var plan = packed.plan
        for i in plan.segments.indices {
            let own = plan.segments[i].own
            plan.segments[i].own = own.lowerBound + start..<own.upperBound + start
        }
        plan.cacheRows = [start..<start + packed.count]
        return try tape.gather(try model.decoder(tape, x, plan, cache: cache), ids: lastRows)
    }

    /// Features of all pictures in order; equal pictures are computed once. (Arrays that share their storage compare at once.)
    private static func features(_ model: any VisionLanguageModel, _ tape: Tape, _ pixels: [Block<Float>]) throws(HadpoError)
        -> Value
    {
        var distinct: [Block<Float>] = []
        let places = pixels.map { picture in
            if let known = distinct.lastIndex(of: picture) { return known }
            distinct.append(picture)
            return distinct.count - 1
        }
        let features = try model.features(tape, distinct)
        if distinct.count == pixels.count { return features }
        let rows = model.featureRows
        return try tape.concatenate(places.map { (features, $0 * rows..<($0 + 1) * rows) })
    }

    /// A row of the embedding table is read for each id, so each must have one.
    private static func check(_ ids: [Int32], _ vocabulary: Int) throws(HadpoError) {
        for id in ids where id < 0 || Int(id) >= vocabulary {
            throw HadpoError(.argument, "no such token", found: "id \(id)", expected: "0..<\(vocabulary)")
        }
    }

    /// Starts branches in the place of any before; each has room for `room` more tokens at first.
    /// - Returns: the logits behind each, [branches, V].
    package func open(_ continuations: [Continuation], room: Int = roomStep) throws(HadpoError) -> Tensor {
        let prefixRows = prefixes.last?.upperBound ?? 0
        var end = prefixRows
        branches = []
        for continuation in continuations {
            guard prefixes.indices.contains(continuation.prefix) else {
                throw HadpoError(.internal, "a branch of no prefix", found: "\(continuation.prefix) of \(prefixes.count)")
            }
            try PromptSession.check(continuation.ids, model.decoder.config.vocabulary)
            let size = continuation.ids.count + max(0, room)
            branches.append(Branch(prefix: continuation.prefix, rows: end..<end, room: size))
            end += size
        }
        if end > cache.capacity { try cache.resize(to: end, keeping: [(0..<prefixRows, 0)]) }

        let read = continuations.indices.filter { !continuations[$0].ids.isEmpty }
        let hidden = read.isEmpty ? nil : try feed(read, read.map { continuations[$0].ids })
        var parts: [(value: Value, rows: Range<Int>)] = []
        var row = 0
        for continuation in continuations {
            if let hidden, !continuation.ids.isEmpty {
                parts.append((hidden, row..<row + 1))
                row += 1
            } else {
                parts.append((lastHidden, continuation.prefix..<continuation.prefix + 1))
            }
        }
        return try logits(try tape.concatenate(parts))
    }

    /// One token more for each of some branches; the others keep still and lose their rows when room is made.
    /// - Returns: the logits behind each, [active, V].
    package func extend(_ active: [Int], by tokens: [Int32]) throws(HadpoError) -> Tensor {
        try PromptSession.check(tokens, model.decoder.config.vocabulary)
        if active.contains(where: { branches[$0].rows.count >= branches[$0].room }) { try makeRoom(active) }
        return try logits(try feed(active, tokens.map { [$0] }))
    }

    /// Branch `destination` becomes a copy of `source`, of the same prefix.
    package func copy(_ source: Int, to destination: Int) throws(HadpoError) {
        let rows = branches[source].rows
        let start = branches[destination].rows.lowerBound
        guard source != destination, branches[destination].room >= rows.count else {
            throw HadpoError(.internal, "a branch cannot be copied", found: "\(source) to \(destination)")
        }
        if !rows.isEmpty { try cache.copyRows(from: rows, to: start..<start + rows.count) }
        branches[destination].rows = start..<start + rows.count
    }

    private func makeRoom(_ active: [Int]) throws(HadpoError) {
        let prefixRows = prefixes.last?.upperBound ?? 0
        var moves: [(from: Range<Int>, to: Int)] = [(0..<prefixRows, 0)]
        var end = prefixRows
        for i in active {
            let rows = branches[i].rows
            moves.append((rows, end))
            branches[i].rows = end..<end + rows.count
            branches[i].room = rows.count + PromptSession.roomStep
            end += branches[i].room
        }
        try cache.resize(to: end, keeping: moves)
    }

    /// Takes tokens of several branches through the decoder; the hidden state behind each branch, [active, C].
    private func feed(_ active: [Int], _ ids: [[Int32]]) throws(HadpoError) -> Value {
        var plan = RowPlan(positions: [], segments: [])
        var lastRows: [Int32] = []
        for (i, ids) in zip(active, ids) {
            let context = prefixes[branches[i].prefix]
            let before = branches[i].rows
            let own = before.lowerBound..<before.upperBound + ids.count
            let start = plan.positions.count
            for k in ids.indices { plan.positions.append(Int32(truncatingIfNeeded: context.count + before.count + k)) }
            plan.segments.append(AttentionSegment(queries: start..<start + ids.count, context: context, own: own))
            plan.cacheRows.append(before.upperBound..<own.upperBound)
            branches[i].rows = own
            lastRows.append(Int32(truncatingIfNeeded: start + ids.count - 1))
        }
        let x = try tape.gather(model.decoder.embedding, ids: ids.flatMap { $0 })
        return try tape.gather(try model.decoder(tape, x, plan, cache: cache), ids: lastRows)
    }

    private func logits(_ hidden: Value) throws(HadpoError) -> Tensor {
        try tape.linear(hidden, weight: model.decoder.head).data
    }
}
