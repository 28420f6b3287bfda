import HadpoBase
import HadpoModels
import HadpoNN
import HadpoTensor
import HadpoText
import HadpoVision
import HadpoWeights

/// A family's tiny model in the family's real layout on disk.
package protocol WorldLayout: Sendable {
    /// Everything but the weights.
    func write(to folder: String) throws(HadpoError)
    /// The network with parameters from `source`; `folder` is one that `write` has filled.
    func model(_ source: any ParameterSource, folder: String, device: Device) throws(HadpoError) -> any VisionLanguageModel
    /// Parameters that no training changes, because the layout has no place for them.
    func isFrozen(_ parameter: String) -> Bool
    /// The weight files in `folder`, where `weightFiles` says.
    func save(
        _ parameters: [(name: String, tensor: Tensor)], to folder: String, as dtype: DType, device: Device,
        progress: any Progress
    ) throws(HadpoError)
    /// The vocabulary's texts by id.
    var pieces: [String] { get }
    /// Paths below the folder, in the order in which the library carries them.
    var weightFiles: [String] { get }
}

extension ModelFamily {
    /// The world's model of this family.
    package var worldLayout: any WorldLayout {
        switch self {
        case .llava: WorldCheckpoint()
        case .minigpt4: WorldMiniGPT4()
        case .instructBLIP: WorldInstructBLIP()
        }
    }
}

/// What the two models with EVA share: sizes, and the language model's files.
enum WorldParts {
    static let imageSize = 64
    /// Two heads of 88, as wide as those of the real tower.
    static func vision(patch: Int) -> EVAVisionConfig {
        EVAVisionConfig(
            width: 176, feedForward: 512, layers: 3, heads: 2, imageSize: imageSize, patchSize: patch,
            storedGrid: imageSize / patch)
    }

    /// config.json of a language model with `rows` embeddings.
    static func llama(rows: Int) -> JSON {
        [
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 128, "intermediate_size": 352,
            "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 4, "vocab_size": JSON(rows),
            "max_position_embeddings": 1024, "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "hidden_act": "silu",
            "tie_word_embeddings": false, "torch_dtype": "float16", "bos_token_id": 1, "eos_token_id": 2,
        ]
    }

    static func write(_ files: [(name: String, json: JSON)], to folder: String) throws(HadpoError) {
        try File.makeDirectories(folder)
        for (name, json) in files { try File.writeAtomically(File.join(folder, name), json.text(indent: 2) + "\n") }
    }

    /// Tensors of one type into a folder of safetensors.
    static func write(
        _ tensors: [(name: String, tensor: Tensor)], to folder: String, as dtype: DType, device: Device,
        progress: any Progress
    ) throws(HadpoError) {
        let writer = try CheckpointWriter(
            folder: folder, tensors.map { TensorPlan($0.name, dtype, $0.tensor.shape) }, progress: progress)
        for (name, tensor) in tensors { try writer.write(name, try rounded(tensor, dtype, device)) }
        try writer.finish()
    }

    static func rounded(_ tensor: Tensor, _ dtype: DType, _ device: Device) throws(HadpoError) -> Tensor {
        let stored = try device.allocate(tensor.shape, dtype)
        try device.convert(tensor, into: stored)
        return stored
    }

    /// q, k and v of every block as the one tensor that files have; all other tensors stay. `keyBias`: zeros stand for k's bias.
    static func fused(
        _ tensors: [(name: String, tensor: Tensor)], keyBias: Bool, device: Device
    ) throws(HadpoError) -> [(name: String, tensor: Tensor)] {
        var result: [(name: String, tensor: Tensor)] = []
        let byName = Dictionary(tensors.map { ($0.name, $0.tensor) }, uniquingKeysWith: { first, _ in first })
        for (name, tensor) in tensors {
            guard let cut = [".self_attn.q.", ".self_attn.k.", ".self_attn.v."].first(where: { name.contains($0) }) else {
                result.append((name, tensor))
                continue
            }
            let kind = name.hasSuffix("bias") ? "bias" : "weight"
            guard cut == ".self_attn.q." else { continue }
            let base = name.dropLast(cut.count + kind.count)
            if kind == "bias", !keyBias {
                result.append((base + ".self_attn.q_bias", tensor))
                if let v = byName[base + ".self_attn.v.bias"] { result.append((base + ".self_attn.v_bias", v)) }
                continue
            }
            let rows = tensor.shape.first ?? 0
            let whole = try device.zeros([3 * rows] + tensor.shape.dropFirst())
            let flat = try whole.reshaped([3 * rows, tensor.shape.dropFirst().reduce(1, *)])
            for (i, part) in ["q", "k", "v"].enumerated() {
                guard let piece = byName["\(base).self_attn.\(part).\(kind)"] else { continue }
                try device.copy(piece, into: flat.rows(i * rows..<(i + 1) * rows))
            }
            result.append((base + ".self_attn.qkv." + kind, whole))
        }
        return result
    }
}
