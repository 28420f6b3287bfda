import HadpoBase
import HadpoTensor

/// The projector's weights beside an adapter: what upstream's LLaVA training calls non-LoRA trainables. Names here are those of
/// the original code: `mm_projector.0.weight` (LLaVA), `llama_proj.weight` (MiniGPT-4), `llm_proj.weight` (InstructBLIP).
package struct ProjectorFile: Sendable {
    package let tensors: [(name: String, tensor: Tensor)]

    package static let safetensorsName = "non_lora_trainables.safetensors"
    /// Upstream's.
    package static let torchName = "non_lora_trainables.bin"

    package func tensor(_ name: String) -> Tensor? { tensors.first { $0.name == name }?.tensor }

    /// nil when the folder has none: the projector was frozen.
    package static func read(
        folder: String, load: LoadMode = .map, arena: Arena, progress: any Progress
    ) throws(HadpoError) -> ProjectorFile? {
        try SavedFolder.read(folder, progress: progress) { (saved) throws(HadpoError) in
            try read(saved, load: load, arena: arena, progress: progress)
        }
    }

    package static func read(
        _ saved: SavedFolder, load: LoadMode = .map, arena: Arena, progress: any Progress
    ) throws(HadpoError) -> ProjectorFile? {
        for name in [safetensorsName, torchName] {
            guard let path = try saved.path(name) else { continue }
            try saved.check([name], progress: progress)
            return try ProjectorFile(Checkpoint.open(path, load: load, arena: arena, progress: progress))
        }
        return nil
    }

    package init(_ checkpoint: Checkpoint) throws(HadpoError) {
        var tensors: [(name: String, tensor: Tensor)] = []
        var names = Set<String>()
        for key in checkpoint.names {
            guard let name = ProjectorFile.canonicalName(key) else {
                throw HadpoError(
                    .weights, "projector: a tensor that is not the projector's", at: checkpoint.path, found: key,
                    expected: "mm_projector.N, llama_proj or llm_proj, with .weight or .bias")
            }
            guard names.insert(name).inserted else {
                throw HadpoError(.format, "projector: two tensors for \(name)", at: checkpoint.path)
            }
            tensors.append((name, try ProjectorFile.numbers(checkpoint, key)))
        }
        self.tensors = tensors
    }

    static func numbers(_ checkpoint: Checkpoint, _ key: String) throws(HadpoError) -> Tensor {
        let tensor = try checkpoint.tensor(key)
        guard [.f32, .f16, .bf16].contains(tensor.dtype) else {
            throw HadpoError(
                .weights, "projector: \(key) does not hold numbers", at: checkpoint.path, found: tensor.dtype.rawValue,
                expected: "F32, F16 or BF16")
        }
        return tensor
    }

    /// Upstream strips `base_model.` and then one `model.`; a bare `mm_projector.bin` has fewer of them, an HF model other names.
    static func canonicalName(_ key: String) -> String? {
        var rest = key[...]
        for prefix in ["base_model.", "model.", "model."] where rest.hasPrefix(prefix) { rest = rest.dropFirst(prefix.count) }
        let parts = rest.split(separator: ".", omittingEmptySubsequences: false)
        if parts.count == 2, parts[1] == "weight" || parts[1] == "bias" {
            switch parts[0] {
            case "llama_proj", "llm_proj": return String(rest)
            case "language_projection": return "llm_proj.\(parts[1])"
            default: return nil
            }
        }
        guard parts.count == 3, parts[2] == "weight" || parts[2] == "bias" else { return nil }
        switch (parts[0], parts[1]) {
        case ("multi_modal_projector", "linear_1"): return "mm_projector.0.\(parts[2])"
        case ("multi_modal_projector", "linear_2"): return "mm_projector.2.\(parts[2])"
        case ("mm_projector", let index):
            guard let number = Int(index), number >= 0, String(number) == index else { return nil }
            return String(rest)
        default: return nil
        }
    }

    /// - Parameter tensors: under the original layout's names.
    package static func write(
        folder: String, _ tensors: [(name: String, tensor: Tensor)], progress: any Progress
    ) throws(HadpoError) {
        try File.makeDirectories(folder)
        let named = tensors.map { (name: "base_model.model.model." + $0.name, tensor: $0.tensor) }
        let writer = try SafetensorsWriter(
            File.join(folder, safetensorsName), named.map { TensorPlan($0.name, $0.tensor.dtype, $0.tensor.shape) },
            progress: progress)
        for (name, tensor) in named { try writer.write(name, tensor) }
        try writer.finish()
    }
}
