import HadpoBase
import HadpoNN
import HadpoTensor
import HadpoVision
import HadpoWeights

// What MiniGPT-4 and InstructBLIP share on disk: EVA ViT-g's own file, and the names of its tensors in the two spellings.

package enum EVAFiles {
    /// The network's prefix, as transformers has it.
    package static let prefix = "vision_model"
    /// The norm that follows the tower (`ln_vision`), as transformers names it.
    package static let norm = prefix + ".post_layernorm"

    /// Sizes out of the tensors of `eva_vit_g.pth`: the file has no configuration. Heads are 88 wide (upstream's 1408 // 88), and of
    /// the released tower's 40 blocks upstream builds 39, because BLIP-2 reads the second to last; a smaller tower is used whole.
    package static func config(_ file: Checkpoint, imageSize: Int) throws(HadpoError) -> EVAVisionConfig {
        func shape(_ name: String, _ rank: Int) throws(HadpoError) -> [Int] {
            guard let info = file.info(name) else {
                throw HadpoError(.weights, "not an EVA vision tower: a tensor is missing", at: file.path, found: "no \(name)")
            }
            guard info.shape.count == rank, info.shape.allSatisfy({ (1...1 << 20).contains($0) }) else {
                throw HadpoError(
                    .weights, "tensor \(name) has an impossible shape", at: file.path, found: "\(info.shape)",
                    expected: "\(rank) dimensions")
            }
            return info.shape
        }
        let patches = try shape("patch_embed.proj.weight", 4)
        let positions = try shape("pos_embed", 3)
        let width = patches[0]
        let patch = patches[3]
        let grid = Int(exactly: Double(positions[1] - 1).squareRoot().rounded()) ?? 0
        let feedForward = try shape("blocks.0.mlp.fc1.weight", 2)[0]
        var blocks = 0
        while blocks < 1 << 10, file.contains("blocks.\(blocks).mlp.fc2.weight") { blocks += 1 }
        if width == 1408 { blocks = min(blocks, 39) }
        let size = imageSize > 0 ? imageSize : grid * patch
        guard grid >= 1, grid * grid == positions[1] - 1, patches[1] == 3, patches[2] == patch, width % 88 == 0,
            size % patch == 0, size / patch >= 1
        else {
            throw HadpoError(
                .weights, "the vision tower's sizes do not fit together", at: file.path,
                found: "patch_embed \(patches), pos_embed \(positions), pictures of \(size)",
                expected: "heads of 88, a square grid of positions, pictures of whole patches")
        }
        return EVAVisionConfig(
            width: width, feedForward: feedForward, layers: blocks, heads: width / 88, imageSize: size, patchSize: patch,
            storedGrid: grid)
    }

    /// Where a parameter of the tower lies in its own file. `name` begins with `prefix`.
    package static func place(_ name: String, _ file: Checkpoint, _ config: EVAVisionConfig) -> ParameterPlace {
        let c = config.width
        let rest = String(name.dropFirst(prefix.count + 1))
        switch rest {
        case "embeddings.class_embedding": return ParameterPlace(file, "cls_token", .reshaped([1, 1, c]))
        case "embeddings.position_embedding":
            return ParameterPlace(file, "pos_embed", .reshaped([1, 1 + config.storedGrid * config.storedGrid, c]))
        case "embeddings.patch_embedding.weight": return ParameterPlace(file, "patch_embed.proj.weight")
        case "embeddings.patch_embedding.bias": return ParameterPlace(file, "patch_embed.proj.bias")
        default: break
        }
        let parts = rest.split(separator: ".")
        guard parts.count > 4, parts[0] == "encoder" else { return ParameterPlace(file, rest) }
        let block = "blocks.\(parts[2])."
        switch parts[3...].joined(separator: ".") {
        case "self_attn.q.bias": return ParameterPlace(file, block + "attn.q_bias")
        case "self_attn.v.bias": return ParameterPlace(file, block + "attn.v_bias")
        case "self_attn.q.weight": return ParameterPlace(file, block + "attn.qkv.weight", .rows(0..<c, of: 3 * c))
        case "self_attn.k.weight": return ParameterPlace(file, block + "attn.qkv.weight", .rows(c..<2 * c, of: 3 * c))
        case "self_attn.v.weight": return ParameterPlace(file, block + "attn.qkv.weight", .rows(2 * c..<3 * c, of: 3 * c))
        case "self_attn.projection.weight": return ParameterPlace(file, block + "attn.proj.weight")
        case "self_attn.projection.bias": return ParameterPlace(file, block + "attn.proj.bias")
        case let other:
            return ParameterPlace(
                file, block + (other.hasPrefix("layer_norm") ? "norm" + other.dropFirst("layer_norm".count) : other))
        }
    }

    /// Where a parameter of the tower lies in a folder of transformers: under its own name, but for q, k and v, which are one there.
    package static func huggingFacePlace(_ name: String, _ file: Checkpoint, _ config: EVAVisionConfig) -> ParameterPlace {
        let c = config.width
        if name == prefix + ".embeddings.class_embedding" { return ParameterPlace(file, name, .reshaped([1, 1, c])) }
        if name == prefix + ".embeddings.position_embedding" {
            return ParameterPlace(file, name, .reshaped([1, 1 + config.storedGrid * config.storedGrid, c]))
        }
        for (i, part) in [".self_attn.q.", ".self_attn.k.", ".self_attn.v."].enumerated() {
            for kind in ["weight", "bias"] where name.hasSuffix(part + kind) {
                let fused = name.dropLast(part.count + kind.count) + ".self_attn.qkv." + kind
                return ParameterPlace(file, String(fused), .rows(i * c..<(i + 1) * c, of: 3 * c))
            }
        }
        return ParameterPlace(file, name)
    }

    /// The `.pth` beside a language model that has no tower of its own.
    package static func openTower(_ files: ModelFiles, arena: Arena, progress: any Progress) throws(HadpoError) -> Checkpoint {
        guard let path = files.visionTower else {
            throw HadpoError(
                .weights, "the vision tower is in a file of its own; give it as vision_tower", at: files.path,
                expected: "eva_vit_g.pth")
        }
        return try Checkpoint.open(path, load: files.load, arena: arena, progress: progress)
    }

    /// A sentence on tensors of `file` that no part of the network asked for; nil when there are none.
    package static func unused(_ file: Checkpoint, isUsed: (String) -> Bool) -> String? {
        let extra = file.names.filter { !isUsed($0) }
        if extra.isEmpty { return nil }
        let names = extra.prefix(5).joined(separator: ", ") + (extra.count > 5 ? ", ..." : "")
        return "\(File.name(of: file.path)): \(extra.count) tensors are not used: \(names)"
    }

    /// The same of the tower's file: blocks beyond those that are built, and what its pretraining left.
    package static func unusedOfTower(_ file: Checkpoint, _ config: EVAVisionConfig) -> String? {
        unused(file) { name in
            let parts = name.split(separator: ".")
            if parts.first == "blocks", parts.count > 1 { return (Int(parts[1]) ?? config.layers) < config.layers }
            return ["cls_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias"].contains(name)
        }
    }

    /// What the tower's file holds beside the blocks that are built: later blocks, and what its pretraining left. Upstream reads none of it.
    static func isLeftAlone(_ tensor: String, _ config: EVAVisionConfig) -> Bool {
        let parts = tensor.split(separator: ".")
        if parts.first == "blocks", parts.count > 1 { return (Int(parts[1]) ?? 0) >= config.layers }
        return parts.first != "patch_embed"
    }

    /// Upstream loads the checkpoint beside the language model over all parts: one that holds a part which is taken from elsewhere here is
    /// another model.
    static func refuseForeign(_ file: Checkpoint, _ prefixes: [String]) throws(HadpoError) {
        let foreign = file.names.filter { name in
            prefixes.contains { name.hasPrefix($0) } && !LLaVANames.leftAlone.contains(where: name.hasSuffix)
        }
        guard foreign.isEmpty else {
            throw HadpoError(
                .unsupported, "the checkpoint replaces parts of the model that are read from other files here", at: file.path,
                found: FolderReading.list(foreign), expected: "no tensors of \(prefixes.joined(separator: ", "))")
        }
    }

    /// BLIP's transform is the only one that these families have; another choice is refused, not passed by.
    /// - Parameter own: what the folder's files say, where it has such files.
    static func pipeline(
        _ config: EVAVisionConfig, _ choice: ImageProcessorChoice, own: ImagePipeline? = nil, at place: String
    ) throws(HadpoError) -> ImagePipeline {
        guard choice == .checkpoint else {
            throw HadpoError(
                .unsupported, "this family resizes pictures to a square and has no other processor", at: place,
                found: "processor \"\(choice.rawValue)\"", expected: "\"checkpoint\"")
        }
        guard let own else { return try .blip(size: config.imageSize) }
        let side = config.imageSize
        if own.outputSize == (side, side) { return own }
        // A size that was asked for at opening, as processors take it: everything else stays.
        guard side != config.storedGrid * config.patchSize, case .exact = own.resize, own.crop == nil else {
            throw HadpoError(
                .weights, "the image processor's size does not give what the vision tower looks at", at: place,
                found: "\(own.outputSize.width)x\(own.outputSize.height)", expected: "\(side)x\(side), the tower's image_size")
        }
        return try ImagePipeline(
            pad: own.pad, resize: .exact(height: side, width: side), resample: own.resample, crop: nil, rescale: own.rescale,
            normalization: own.normalization)
    }

    package static func description(_ config: EVAVisionConfig) -> [JSON.Member] {
        [
            .init("width", JSON(config.width)), .init("layers", JSON(config.layers)), .init("heads", JSON(config.heads)),
            .init("image_size", JSON(config.imageSize)), .init("patch_size", JSON(config.patchSize)),
        ]
    }
}
