import HadpoAutograd
import HadpoBase
import HadpoTensor

// EVA ViT-g/14, the tower of BLIP-2, InstructBLIP and MiniGPT-4: patches with a bias, class row, learned positions, pre-norm blocks
// with exact GELU (or what a configuration says); q and v have a bias, k has none; no norm at the end (the model's own ln_vision follows).
//
// Dimensions: I pictures, P patches a picture, S = 1 + P rows a picture, C width, F feed-forward width, p patch side.

package struct EVAVisionConfig: Sendable, Equatable {
    package var width: Int
    package var feedForward: Int
    package var layers: Int
    package var heads: Int
    /// Side of the pictures that are looked at.
    package var imageSize: Int
    package var patchSize: Int
    package var epsilon: Float = 1e-6
    package var activation: Activation = .geluErf
    /// The layout of transformers stores a bias for k too, zeros unless somebody trained it.
    package var hasKeyBias = false
    /// Side of the grid that the stored positions are for.
    package var storedGrid: Int

    package init(
        width: Int, feedForward: Int, layers: Int, heads: Int, imageSize: Int, patchSize: Int, storedGrid: Int
    ) {
        self.width = width
        self.feedForward = feedForward
        self.layers = layers
        self.heads = heads
        self.imageSize = imageSize
        self.patchSize = patchSize
        self.storedGrid = storedGrid
    }

    package var grid: Int { imageSize / patchSize }
    package var patches: Int { grid * grid }
    var attention: AttentionShape { AttentionShape(heads: heads, kvHeads: heads, headWidth: width / heads) }
}

private struct EVABlock {
    let norm1: LayerNorm, norm2: LayerNorm
    let q: Linear, k: Linear, v: Linear, projection: Linear, fc1: Linear, fc2: Linear
    var linears: [Linear] { [q, k, v, projection, fc1, fc2] }

    init(_ source: any ParameterSource, _ name: String, _ config: EVAVisionConfig) throws(HadpoError) {
        let c = config.width
        let f = config.feedForward
        norm1 = try LayerNorm(source, name + ".layer_norm1", c, epsilon: config.epsilon)
        q = try Linear(source, name + ".self_attn.q", inputs: c, outputs: c, bias: true)
        k = try Linear(source, name + ".self_attn.k", inputs: c, outputs: c, bias: config.hasKeyBias)
        v = try Linear(source, name + ".self_attn.v", inputs: c, outputs: c, bias: true)
        projection = try Linear(source, name + ".self_attn.projection", inputs: c, outputs: c, bias: true)
        norm2 = try LayerNorm(source, name + ".layer_norm2", c, epsilon: config.epsilon)
        fc1 = try Linear(source, name + ".mlp.fc1", inputs: c, outputs: f, bias: true)
        fc2 = try Linear(source, name + ".mlp.fc2", inputs: f, outputs: c, bias: true)
    }
}

package final class EVAVision {
    package let config: EVAVisionConfig
    private let classEmbedding: Value
    private let patchEmbedding: Value
    private let patchBias: Value
    /// [S, C]
    private let positions: Value
    private let blocks: [EVABlock]
    package var linears: [Linear] { blocks.flatMap(\.linears) }

    /// - Parameter prefix: what stands before "embeddings", e.g. "vision_model".
    package init(_ source: any ParameterSource, prefix: String, _ config: EVAVisionConfig, device: Device) throws(HadpoError) {
        self.config = config
        let c = config.width
        let p = config.patchSize
        classEmbedding = try source.vector(prefix + ".embeddings.class_embedding", c)
        patchEmbedding = try source.matrix(prefix + ".embeddings.patch_embedding.weight", [c, 3, p, p])
        patchBias = try source.vector(prefix + ".embeddings.patch_embedding.bias", c)
        let stored = try source.matrix(prefix + ".embeddings.position_embedding", [1 + config.storedGrid * config.storedGrid, c])
        if config.grid == config.storedGrid {
            positions = stored
        } else {
            positions = Value(try interpolatedPositions(stored.data, side: config.grid, on: device))
        }
        var blocks: [EVABlock] = []
        for i in 0..<config.layers { blocks.append(try EVABlock(source, "\(prefix).encoder.layers.\(i)", config)) }
        self.blocks = blocks
    }

    /// Class row and patch rows after the last block, [I*S, C], from I pictures of 3*size*size values each.
    package func callAsFunction(_ tape: Tape, _ pixels: [Block<Float>]) throws(HadpoError) -> Value {
        let patches = config.patches
        let rows = 1 + patches
        let inputs = 3 * config.patchSize * config.patchSize
        let unfolded = try CLIPVision.unfolded(pixels, size: config.imageSize, patch: config.patchSize, on: tape.device)
        let embedded = try tape.linear(
            Value(unfolded), weight: tape.reshape(patchEmbedding, [config.width, inputs]), bias: patchBias)
        let classRow = try tape.reshape(classEmbedding, [1, config.width])
        var parts: [(value: Value, rows: Range<Int>)] = []
        for i in pixels.indices {
            parts.append((classRow, 0..<1))
            parts.append((embedded, i * patches..<(i + 1) * patches))
        }
        let ids = pixels.indices.flatMap { _ in (0..<Int32(truncatingIfNeeded: rows)) }
        var x = try tape.add(tape.concatenate(parts), tape.gather(positions, ids: ids))
        let segments = pixels.indices.map {
            AttentionSegment(queries: $0 * rows..<($0 + 1) * rows, context: $0 * rows..<($0 + 1) * rows)
        }
        for (i, block) in blocks.enumerated() {
            let n = try block.norm1(tape, x)
            let attended = try tape.attention(
                config.attention, segments, q: block.q(tape, n), k: block.k(tape, n), v: block.v(tape, n))
            let h = try tape.add(x, block.projection(tape, attended))
            let inner = try tape.activation(config.activation, block.fc1(tape, block.norm2(tape, h)))
            x = try tape.add(h, block.fc2(tape, inner))
            try tape.observer?.observe("vision.block.\(i)", x.data)
        }
        return x
    }
}
