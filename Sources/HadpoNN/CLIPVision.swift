import HadpoAutograd
import HadpoBase
import HadpoTensor

// CLIP ViT: patches, class row, learned positions, pre-norm blocks with quick-GELU.
//
// Dimensions: I pictures, P patches a picture, S = 1 + P rows a picture, C width, F feed-forward width, p patch side.

package struct CLIPVisionConfig: Sendable, Equatable {
    package var width: Int
    package var feedForward: Int
    package var layers: Int
    package var heads: Int
    package var imageSize: Int
    package var patchSize: Int
    package var epsilon: Float
    package var activation: Activation

    package init(
        width: Int, feedForward: Int, layers: Int, heads: Int, imageSize: Int, patchSize: Int, epsilon: Float,
        activation: Activation
    ) {
        self.width = width
        self.feedForward = feedForward
        self.layers = layers
        self.heads = heads
        self.imageSize = imageSize
        self.patchSize = patchSize
        self.epsilon = epsilon
        self.activation = activation
    }

    package var patches: Int { (imageSize / patchSize) * (imageSize / patchSize) }
    var attention: AttentionShape { AttentionShape(heads: heads, kvHeads: heads, headWidth: width / heads) }
}

private struct CLIPBlock {
    let norm1: LayerNorm, norm2: LayerNorm
    let q: Linear, k: Linear, v: Linear, out: Linear, fc1: Linear, fc2: Linear
    var linears: [Linear] { [q, k, v, out, fc1, fc2] }

    init(_ source: any ParameterSource, _ name: String, _ config: CLIPVisionConfig) throws(HadpoError) {
        let c = config.width
        let f = config.feedForward
        norm1 = try LayerNorm(source, name + ".layer_norm1", c, epsilon: config.epsilon)
        q = try Linear(source, name + ".self_attn.q_proj", inputs: c, outputs: c, bias: true)
        k = try Linear(source, name + ".self_attn.k_proj", inputs: c, outputs: c, bias: true)
        v = try Linear(source, name + ".self_attn.v_proj", inputs: c, outputs: c, bias: true)
        out = try Linear(source, name + ".self_attn.out_proj", inputs: c, outputs: c, bias: true)
        norm2 = try LayerNorm(source, name + ".layer_norm2", c, epsilon: config.epsilon)
        fc1 = try Linear(source, name + ".mlp.fc1", inputs: c, outputs: f, bias: true)
        fc2 = try Linear(source, name + ".mlp.fc2", inputs: f, outputs: c, bias: true)
    }
}

package final class CLIPVision {
    package let config: CLIPVisionConfig
    /// How many blocks are evaluated: hidden_states[select_layer] of a tower with L blocks is the output of block L + select_layer.
    package let evaluatedBlocks: Int
    private let classEmbedding: Value
    private let patchEmbedding: Value
    private let positions: Value
    private let preNorm: LayerNorm
    private let blocks: [CLIPBlock]
    /// Of the blocks that are evaluated.
    package var linears: [Linear] { blocks.flatMap(\.linears) }

    /// - Parameters:
    ///   - prefix: what stands before "embeddings", e.g. "vision_tower.vision_model".
    ///   - selectLayer: index into hidden_states as the checkpoint gives it; -2 in LLaVA-1.5.
    package init(_ source: any ParameterSource, prefix: String, _ config: CLIPVisionConfig, selectLayer: Int) throws(HadpoError) {
        self.config = config
        let evaluated = selectLayer < 0 ? config.layers + 1 + selectLayer : selectLayer
        guard evaluated >= 0, evaluated <= config.layers else {
            throw HadpoError(
                .weights, "vision_feature_layer (mm_vision_select_layer) does not exist", found: "\(selectLayer)",
                expected: "-\(config.layers + 1)...\(config.layers)")
        }
        evaluatedBlocks = evaluated
        let c = config.width
        let p = config.patchSize
        classEmbedding = try source.vector(prefix + ".embeddings.class_embedding", c)
        patchEmbedding = try source.matrix(prefix + ".embeddings.patch_embedding.weight", [c, 3, p, p])
        positions = try source.matrix(prefix + ".embeddings.position_embedding.weight", [config.patches + 1, c])
        preNorm = try LayerNorm(source, prefix + ".pre_layrnorm", c, epsilon: config.epsilon)
        var blocks: [CLIPBlock] = []
        for i in 0..<evaluated { blocks.append(try CLIPBlock(source, "\(prefix).encoder.layers.\(i)", config)) }
        self.blocks = blocks
    }

    /// Patch rows (and the class row first, if it is kept) of the selected layer, [I*P, C], from I pictures of 3*size*size values each.
    package func callAsFunction(_ tape: Tape, _ pixels: [Block<Float>], keepsClassRow: Bool = false) throws(HadpoError) -> Value {
        let patches = config.patches
        let rows = patches + 1
        let unfolded = try CLIPVision.unfolded(pixels, size: config.imageSize, patch: config.patchSize, on: tape.device)
        let flat = try tape.reshape(patchEmbedding, [config.width, 3 * config.patchSize * config.patchSize])
        let embedded = try tape.linear(Value(unfolded), weight: flat)
        let classRow = try tape.reshape(classEmbedding, [1, config.width])
        var parts: [(value: Value, rows: Range<Int>)] = []
        for i in pixels.indices {
            parts.append((classRow, 0..<1))
            parts.append((embedded, i * patches..<(i + 1) * patches))
        }
        let ids = pixels.indices.flatMap { _ in (0..<Int32(rows)) }
        var x = try tape.add(tape.concatenate(parts), tape.gather(positions, ids: ids))
        x = try preNorm(tape, x)
        let segments = pixels.indices.map {
            AttentionSegment(queries: $0 * rows..<($0 + 1) * rows, context: $0 * rows..<($0 + 1) * rows)
        }
        for (i, block) in blocks.enumerated() {
            let n = try block.norm1(tape, x)
            let attended = try tape.attention(
                config.attention, segments, q: block.q(tape, n), k: block.k(tape, n), v: block.v(tape, n))
            let h = try tape.add(x, block.out(tape, attended))
            let inner = try tape.activation(config.activation, block.fc1(tape, block.norm2(tape, h)))
            x = try tape.add(h, block.fc2(tape, inner))
            try tape.observer?.observe("vision.block.\(i)", x.data)
        }
        return keepsClassRow ? x : try tape.concatenate(pixels.indices.map { (x, $0 * rows + 1..<($0 + 1) * rows) })
    }

    /// CHW pixels of pictures to one row a patch, (channel, dy, dx) in a row, patches in raster order.
    static func unfolded(
        _ pictures: [Block<Float>], size: Int, patch: Int, on device: Device
    ) throws(HadpoError) -> Tensor {
        let grid = size / patch
        let rows = try device.allocate([pictures.count * grid * grid, 3 * patch * patch])
        var target = rows.pointer.assumingMemoryBound(to: Float.self)
        for pixels in pictures {
            guard pixels.count == 3 * size * size else {
                throw HadpoError(
                    .internal, "a picture does not have the vision tower's size", found: "\(pixels.count) values",
                    expected: "\(3 * size * size)")
            }
            for gy in 0..<grid {
                for gx in 0..<grid {
                    for channel in 0..<3 {
                        for dy in 0..<patch {
                            let start = channel * size * size + (gy * patch + dy) * size + gx * patch
                            target.update(from: pixels.base + start, count: patch)
                            target += patch
                        }
                    }
                }
            }
        }
        withExtendedLifetime(pictures) {}
        return rows
    }
}
