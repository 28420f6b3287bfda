import HadpoAutograd
import HadpoBase
import HadpoTensor

// Q-Former (BLIP-2, InstructBLIP): BERT whose first rows are learned queries. Queries and instruction attend to each other; in every
// `crossFrequency`-th layer the queries alone also look at the picture; queries and text have feed-forwards of their own. Post-norm.
//
// Dimensions: U uses (a picture with an instruction), Q queries, T tokens of an instruction, W width, F feed-forward width,
// E width of the picture's features, S rows of the picture's features.

package struct QFormerConfig: Sendable, Equatable {
    package var width: Int
    package var feedForward: Int
    package var layers: Int
    package var heads: Int
    package var crossFrequency: Int
    package var featureWidth: Int
    package var queries: Int
    package var vocabulary: Int
    package var maxPositions: Int
    package var epsilon: Float = 1e-12
    package var activation: Activation = .geluErf

    package init(
        width: Int, feedForward: Int, layers: Int, heads: Int, crossFrequency: Int, featureWidth: Int, queries: Int,
        vocabulary: Int,
        maxPositions: Int
    ) {
        self.width = width
        self.feedForward = feedForward
        self.layers = layers
        self.heads = heads
        self.crossFrequency = crossFrequency
        self.featureWidth = featureWidth
        self.queries = queries
        self.vocabulary = vocabulary
        self.maxPositions = maxPositions
    }

    var attention: AttentionShape { AttentionShape(heads: heads, kvHeads: heads, headWidth: width / heads) }
    package func looksAtPicture(_ layer: Int) -> Bool { layer % crossFrequency == 0 }
}

/// LN(dense(attention(q(x), k(y), v(y))) + x)
private struct QFormerAttention {
    let q: Linear, k: Linear, v: Linear, dense: Linear
    let norm: LayerNorm
    var linears: [Linear] { [q, k, v, dense] }

    init(_ source: any ParameterSource, _ name: String, _ config: QFormerConfig, keyWidth: Int) throws(HadpoError) {
        let w = config.width
        q = try Linear(source, name + ".attention.query", inputs: w, outputs: w, bias: true)
        k = try Linear(source, name + ".attention.key", inputs: keyWidth, outputs: w, bias: true)
        v = try Linear(source, name + ".attention.value", inputs: keyWidth, outputs: w, bias: true)
        dense = try Linear(source, name + ".output.dense", inputs: w, outputs: w, bias: true)
        norm = try LayerNorm(source, name + ".output.LayerNorm", w, epsilon: config.epsilon)
    }

    func callAsFunction(_ tape: Tape, _ config: QFormerConfig, _ segments: [AttentionSegment], _ x: Value, _ y: Value)
        throws(HadpoError) -> Value
    {
        let attended = try tape.attention(config.attention, segments, q: q(tape, x), k: k(tape, y), v: v(tape, y))
        return try norm(tape, tape.add(dense(tape, attended), x))
    }
}

/// LN(output(act(intermediate(x))) + x)
private struct QFormerFeedForward {
    let intermediate: Linear, output: Linear
    let norm: LayerNorm
    var linears: [Linear] { [intermediate, output] }

    /// - Parameter suffix: "_query" for the queries' own, "" for the text's.
    init(_ source: any ParameterSource, _ name: String, _ suffix: String, _ config: QFormerConfig) throws(HadpoError) {
        intermediate = try Linear(
            source, "\(name).intermediate\(suffix).dense", inputs: config.width, outputs: config.feedForward, bias: true)
        output = try Linear(
            source, "\(name).output\(suffix).dense", inputs: config.feedForward, outputs: config.width, bias: true)
        norm = try LayerNorm(source, "\(name).output\(suffix).LayerNorm", config.width, epsilon: config.epsilon)
    }

    func callAsFunction(_ tape: Tape, _ config: QFormerConfig, _ x: Value) throws(HadpoError) -> Value {
        let inner = try tape.activation(config.activation, intermediate(tape, x))
        return try norm(tape, tape.add(output(tape, inner), x))
    }
}

private struct QFormerLayer {
    let attention: QFormerAttention
    let cross: QFormerAttention?
    let queries: QFormerFeedForward, text: QFormerFeedForward
    var linears: [Linear] { attention.linears + (cross?.linears ?? []) + queries.linears + text.linears }

    init(_ source: any ParameterSource, _ name: String, _ index: Int, _ config: QFormerConfig) throws(HadpoError) {
        attention = try QFormerAttention(source, name + ".attention", config, keyWidth: config.width)
        cross =
            config.looksAtPicture(index)
            ? try QFormerAttention(source, name + ".crossattention", config, keyWidth: config.featureWidth) : nil
        queries = try QFormerFeedForward(source, name, "_query", config)
        text = try QFormerFeedForward(source, name, "", config)
    }
}

package final class QFormer {
    package let config: QFormerConfig
    private let queryTokens: Value
    private let words: Value
    private let positions: Value
    private let norm: LayerNorm
    private let layers: [QFormerLayer]
    package var linears: [Linear] { layers.flatMap(\.linears) }

    /// - Parameters:
    ///   - prefix: what stands before "embeddings" and "encoder", e.g. "qformer".
    ///   - queries: name of the learned queries.
    package init(_ source: any ParameterSource, prefix: String, queries: String, _ config: QFormerConfig) throws(HadpoError) {
        self.config = config
        queryTokens = try source.matrix(queries, [config.queries, config.width])
        words = try source.matrix(prefix + ".embeddings.word_embeddings.weight", [config.vocabulary, config.width])
        positions = try source.matrix(prefix + ".embeddings.position_embeddings.weight", [config.maxPositions, config.width])
        norm = try LayerNorm(source, prefix + ".embeddings.layernorm", config.width, epsilon: config.epsilon)
        var layers: [QFormerLayer] = []
        for i in 0..<config.layers { layers.append(try QFormerLayer(source, "\(prefix).encoder.layer.\(i)", i, config)) }
        self.layers = layers
    }

    /// The queries' rows after the last layer, [U*Q, W].
    /// - Parameters:
    ///   - features: [U*S, E], the pictures of the uses one below the other.
    ///   - instructions: of each use, at most `maxPositions` ids below `vocabulary`; the caller has checked.
    package func callAsFunction(_ tape: Tape, _ features: Value, _ instructions: [[Int32]]) throws(HadpoError) -> Value {
        let uses = instructions.count
        let q = config.queries
        let s = features.rows / max(1, uses)

        // Rows: all queries of all uses, then all texts. Queries have no position, and the text's count from 0.
        let textCount = instructions.reduce(0) { $0 + $1.count }
        let queryIDs = (0..<uses).flatMap { _ in 0..<Int32(truncatingIfNeeded: q) }
        var embedded: [(value: Value, rows: Range<Int>)] = [(try tape.gather(queryTokens, ids: queryIDs), 0..<uses * q)]
        if textCount > 0 {
            let ids = instructions.flatMap { $0 }
            let places = instructions.flatMap { (0..<Int32(truncatingIfNeeded: $0.count)) }
            embedded.append((try tape.add(tape.gather(words, ids: ids), tape.gather(positions, ids: places)), 0..<textCount))
        }
        let x = try norm(tape, tape.concatenate(embedded))

        // For self-attention each use's queries and text lie together.
        var own: [(queries: Range<Int>, text: Range<Int>)] = []
        var next = uses * q
        for (use, instruction) in instructions.enumerated() {
            own.append((use * q..<(use + 1) * q, next..<next + instruction.count))
            next += instruction.count
        }
        var h = try tape.concatenate(own.flatMap { [(x, $0.queries), (x, $0.text)] })
        var starts: [Int] = []
        var row = 0
        for use in own {
            starts.append(row)
            row += q + use.text.count
        }
        let together = zip(starts, own).map { start, use in start..<start + q + use.text.count }
        let selfSegments = together.map { AttentionSegment(queries: $0, context: $0) }
        let crossSegments = (0..<uses).map { AttentionSegment(queries: $0 * q..<($0 + 1) * q, context: $0 * s..<($0 + 1) * s) }

        for (i, layer) in layers.enumerated() {
            let attended = try layer.attention(tape, config, selfSegments, h, h)
            var queries = try tape.concatenate(starts.map { (attended, $0..<$0 + q) })
            if let cross = layer.cross { queries = try cross(tape, config, crossSegments, queries, features) }
            queries = try layer.queries(tape, config, queries)
            guard textCount > 0 else {
                h = queries
                try tape.observer?.observe("qformer.block.\(i)", h.data)
                continue
            }
            // The text of the last layer reaches nothing, but whoever looks at the layers wants to see it.
            let isSeen = i + 1 < layers.count || tape.observer != nil
            guard isSeen else { return queries }
            let text = try layer.text(
                tape, config, tape.concatenate(together.map { (attended, $0.lowerBound + q..<$0.upperBound) }))
            var parts: [(value: Value, rows: Range<Int>)] = []
            for (use, rows) in own.enumerated() {
                parts.append((queries, use * q..<(use + 1) * q))
                parts.append((text, rows.text.lowerBound - uses * q..<rows.text.upperBound - uses * q))
            }
            h = try tape.concatenate(parts)
            try tape.observer?.observe("qformer.block.\(i)", h.data)
        }
        return textCount > 0 ? try tape.concatenate(starts.map { (h, $0..<$0 + q) }) : h
    }
}
