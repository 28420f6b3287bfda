import Glibc
import HadpoAutograd
import HadpoBase
import HadpoTensor

// Llama / Vicuna decoder: h = x + o(attention(norm(x))), y = h + down(silu(gate(norm h)) * up(norm h)), no biases.
//
// Dimensions: R packed rows, C hidden width, F feed-forward width, H query heads, G key/value heads, D head width, V vocabulary.

package struct LlamaConfig: Sendable, Equatable {
    package var width: Int
    package var feedForward: Int
    package var layers: Int
    package var heads: Int
    package var kvHeads: Int
    package var headWidth: Int
    package var vocabulary: Int
    package var rmsEpsilon: Float
    package var ropeTheta: Double
    package var ropeScaling: RopeScaling = .none
    package var maxPositions: Int
    package var tiedEmbeddings = false

    package enum RopeScaling: Sendable, Equatable {
        case none
        case linear(factor: Double)
        case llama3(factor: Double, lowFrequency: Double, highFrequency: Double, originalPositions: Double)
    }

    package init(
        width: Int, feedForward: Int, layers: Int, heads: Int, kvHeads: Int, headWidth: Int, vocabulary: Int, rmsEpsilon: Float,
        ropeTheta: Double, maxPositions: Int
    ) {
        self.width = width
        self.feedForward = feedForward
        self.layers = layers
        self.heads = heads
        self.kvHeads = kvHeads
        self.headWidth = headWidth
        self.vocabulary = vocabulary
        self.rmsEpsilon = rmsEpsilon
        self.ropeTheta = ropeTheta
        self.maxPositions = maxPositions
    }

    package var attention: AttentionShape { AttentionShape(heads: heads, kvHeads: kvHeads, headWidth: headWidth) }

    /// theta^(-2i/D) for i in 0..<D/2, in fp32 steps as PyTorch computes them, then scaled.
    package var inverseFrequencies: [Float] {
        (0..<headWidth / 2).map { i in
            let frequency = 1 / powf(Float(ropeTheta), Float(2 * i) / Float(headWidth))
            switch ropeScaling {
            case .none: return frequency
            case .linear(let factor): return frequency / Float(factor)
            case .llama3(let factor, let low, let high, let original):
                let wavelength = 2 * Double.pi / Double(frequency)
                if wavelength < original / high { return frequency }
                if wavelength > original / low { return Float(Double(frequency) / factor) }
                let smooth = (original / wavelength - low) / (high - low)
                return Float((1 - smooth) * Double(frequency) / factor + smooth * Double(frequency))
            }
        }
    }
}

/// What the decoder must know about its rows besides their numbers.
package struct RowPlan: Sendable {
    /// Position of each row in its own sequence (rotary angle).
    package var positions: [Int32]
    package var segments: [AttentionSegment]
    /// With a cache: where the rows' keys and values are stored before attention looks (runs, in row order). The
    /// segments' key ranges then index cache rows.
    package var cacheRows: [Range<Int>]

    package init(positions: [Int32], segments: [AttentionSegment], cacheRows: [Range<Int>] = []) {
        self.positions = positions
        self.segments = segments
        self.cacheRows = cacheRows
    }
}

package final class LlamaLayer {
    let inputNorm: RMSNorm, postNorm: RMSNorm
    package let q: Linear, k: Linear, v: Linear, o: Linear
    package let gate: Linear, up: Linear, down: Linear

    /// - Parameter name: "model.layers.3" in whatever spelling the source understands.
    init(_ source: any ParameterSource, _ name: String, _ config: LlamaConfig) throws(HadpoError) {
        let c = config.width
        let f = config.feedForward
        let qWidth = config.heads * config.headWidth
        let kvWidth = config.kvHeads * config.headWidth
        inputNorm = try RMSNorm(source, name + ".input_layernorm", c, epsilon: config.rmsEpsilon)
        q = try Linear(source, name + ".self_attn.q_proj", inputs: c, outputs: qWidth, bias: false)
        k = try Linear(source, name + ".self_attn.k_proj", inputs: c, outputs: kvWidth, bias: false)
        v = try Linear(source, name + ".self_attn.v_proj", inputs: c, outputs: kvWidth, bias: false)
        o = try Linear(source, name + ".self_attn.o_proj", inputs: qWidth, outputs: c, bias: false)
        postNorm = try RMSNorm(source, name + ".post_attention_layernorm", c, epsilon: config.rmsEpsilon)
        gate = try Linear(source, name + ".mlp.gate_proj", inputs: c, outputs: f, bias: false)
        up = try Linear(source, name + ".mlp.up_proj", inputs: c, outputs: f, bias: false)
        down = try Linear(source, name + ".mlp.down_proj", inputs: f, outputs: c, bias: false)
    }

    /// In the order in which PEFT lists them.
    package var linears: [Linear] { [q, k, v, o, gate, up, down] }
}

package final class LlamaDecoder {
    package let config: LlamaConfig
    /// [V, C]
    package let embedding: Value
    package let layers: [LlamaLayer]
    let norm: RMSNorm
    /// [V, C]
    package let head: Value
    private let inverseFrequencies: [Float]

    /// - Parameters:
    ///   - prefix: what stands before "embed_tokens" and "layers", e.g. "language_model.model".
    ///   - head: name of the output matrix without ".weight".
    package init(_ source: any ParameterSource, prefix: String, head headName: String, _ config: LlamaConfig) throws(HadpoError) {
        self.config = config
        embedding = try source.matrix(prefix + ".embed_tokens.weight", [config.vocabulary, config.width])
        var layers: [LlamaLayer] = []
        for i in 0..<config.layers { layers.append(try LlamaLayer(source, "\(prefix).layers.\(i)", config)) }
        self.layers = layers
        norm = try RMSNorm(source, prefix + ".norm", config.width, epsilon: config.rmsEpsilon)
        head = config.tiedEmbeddings ? embedding : try source.matrix(headName + ".weight", [config.vocabulary, config.width])
        inverseFrequencies = config.inverseFrequencies
    }

    /// How keys and values are kept in a cache: fp32, bf16 or fp16 for half the memory, or int8 (`i8`) for a quarter.
    package var cacheType = DType.f32
    /// Whether keys and values fall into blocks of 32, which heads begin at the half of at most.
    package var takesInt8Cache: Bool { config.headWidth % 16 == 0 && config.kvHeads * config.headWidth % 32 == 0 }
    /// Bytes of cache that a position takes.
    package var cacheRowBytes: Int { config.layers * 2 * KVCache.rowBytes(config.kvHeads * config.headWidth, cacheType) }

    /// Of the layers' matrices.
    package var weightType: DType { layers.first?.q.weight.data.dtype ?? embedding.data.dtype }

    package func makeCache(device: Device, capacity: Int) throws(HadpoError) -> KVCache {
        try KVCache(
            device: device, layers: config.layers, width: config.kvHeads * config.headWidth, capacity: capacity, dtype: cacheType)
    }

    /// Hidden states after the final norm, [R, C], from embedded rows [R, C].
    /// - Parameter checkpointing: keep only each layer's input and compute the rest again on the way back.
    package func callAsFunction(_ tape: Tape, _ x: Value, _ plan: RowPlan, cache: KVCache? = nil, checkpointing: Bool = false)
        throws(HadpoError) -> Value
    {
        var x = x
        for (i, layer) in layers.enumerated() {
            if checkpointing && cache == nil {
                x = try tape.checkpoint(x) { [self] tape, x throws(HadpoError) in try forward(tape, layer, i, x, plan, nil) }
            } else {
                x = try forward(tape, layer, i, x, plan, cache)
            }
            try tape.observer?.observe("decoder.block.\(i)", x.data)
        }
        return try norm(tape, x)
    }

    private func forward(_ tape: Tape, _ layer: LlamaLayer, _ index: Int, _ x: Value, _ plan: RowPlan, _ cache: KVCache?)
        throws(HadpoError) -> Value
    {
        let n = try layer.inputNorm(tape, x)
        let q = try tape.rope(
            layer.q(tape, n), heads: config.heads, positions: plan.positions, inverseFrequencies: inverseFrequencies)
        var k = try tape.rope(
            layer.k(tape, n), heads: config.kvHeads, positions: plan.positions, inverseFrequencies: inverseFrequencies)
        var v = try layer.v(tape, n)
        if let cache {
            try cache.store(layer: index, k: k.data, v: v.data, at: plan.cacheRows)
            k = Value(cache.layers[index].k)
            v = Value(cache.layers[index].v)
        }
        let attended = try tape.attention(config.attention, plan.segments, q: q, k: k, v: v)
        let h = try tape.add(x, layer.o(tape, attended))
        let m = try layer.postNorm(tape, h)
        let mixed = try tape.swiGLU(gate: layer.gate(tape, m), up: layer.up(tape, m))
        return try tape.add(h, layer.down(tape, mixed))
    }

    /// Logits [rows.count, V] of some rows of the final hidden states.
    package func logits(_ tape: Tape, _ hidden: Value, rows: [Int32]) throws(HadpoError) -> Tensor {
        let picked = try tape.gather(hidden, ids: rows)
        return try tape.linear(picked, weight: head).data
    }
}
