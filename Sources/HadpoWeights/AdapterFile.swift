import HadpoBase
import HadpoTensor

/// A linear map of the language model: `AdapterTarget(layer: 3, projection: "self_attn.q_proj")`.
package struct AdapterTarget: Hashable, Sendable, Comparable {
    package let layer: Int
    package let projection: String

    package init(layer: Int, projection: String) {
        self.layer = layer
        self.projection = projection
    }

    /// The Llama decoder's linear maps, in the order they are computed.
    package static let projections = [
        "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj",
        "mlp.down_proj",
    ]

    package static func < (one: AdapterTarget, other: AdapterTarget) -> Bool {
        (one.layer, projections.firstIndex(of: one.projection) ?? 0)
            < (other.layer, projections.firstIndex(of: other.projection) ?? 0)
    }
}

/// LoRA's two factors for one linear map: y = W x + scaling * B (A x).
package struct AdapterPair: Sendable {
    /// [rank, inputs]
    package let a: Tensor
    /// [outputs, rank]
    package let b: Tensor

    package init(a: Tensor, b: Tensor) {
        self.a = a
        self.b = b
    }
}

/// Where the language model sits in the model that was wrapped, which is how PEFT names an adapter's tensors.
package enum AdapterLayout: String, Sendable {
    /// Upstream's LLaVA class, and the language model alone (MiniGPT-4, InstructBLIP of LAVIS).
    case original
    /// LLaVA in transformers 4.52 and later.
    case huggingFace
    /// LLaVA in transformers before 4.52; InstructBLIP in all.
    case huggingFaceNested

    /// From the wrapped model to its decoder layers.
    var prefix: String {
        switch self {
        case .original: "model."
        case .huggingFace: "model.language_model."
        case .huggingFaceNested: "language_model.model."
        }
    }
}

/// The tensors of a PEFT LoRA adapter, by what they adapt.
package struct AdapterFile: Sendable {
    package let config: AdapterConfig
    package let pairs: [AdapterTarget: AdapterPair]

    package var targets: [AdapterTarget] { pairs.keys.sorted() }

    package static let safetensorsName = "adapter_model.safetensors"
    /// Of older PEFT versions.
    package static let torchName = "adapter_model.bin"

    /// - Parameter folder: with `adapter_config.json` and `adapter_model.safetensors` or `adapter_model.bin`.
    package static func read(
        folder: String, load: LoadMode = .map, arena: Arena, progress: any Progress
    ) throws(HadpoError) -> AdapterFile {
        try SavedFolder.read(folder, progress: progress) { (saved) throws(HadpoError) in
            try read(saved, load: load, arena: arena, progress: progress)
        }
    }

    package static func read(
        _ saved: SavedFolder, load: LoadMode = .map, arena: Arena, progress: any Progress
    ) throws(HadpoError) -> AdapterFile {
        let config = try AdapterConfig.read(
            saved.path(AdapterConfig.fileName) ?? File.join(saved.folder, AdapterConfig.fileName))
        // PEFT's own order.
        for name in [safetensorsName, torchName] {
            guard let path = try saved.path(name) else { continue }
            try saved.check([AdapterConfig.fileName, name], progress: progress)
            return try AdapterFile(config, Checkpoint.open(path, load: load, arena: arena, progress: progress))
        }
        throw HadpoError(
            .io, "the adapter's folder holds no weights", at: saved.folder,
            expected: "\(safetensorsName) or \(torchName)")
    }

    package init(_ config: AdapterConfig, _ checkpoint: Checkpoint) throws(HadpoError) {
        var halves: [AdapterTarget: (a: String?, b: String?)] = [:]
        var strangers: [String] = []
        for name in checkpoint.names {
            guard let (target, isA) = AdapterFile.parse(name) else {
                strangers.append(name)
                continue
            }
            let known = isA ? halves[target]?.a : halves[target]?.b
            if let known {
                throw HadpoError(
                    .format, "adapter: two tensors for the same matrix", at: checkpoint.path, found: "\(known) and \(name)")
            }
            if isA { halves[target, default: (nil, nil)].a = name } else { halves[target, default: (nil, nil)].b = name }
        }
        guard strangers.isEmpty else {
            let shown = strangers.prefix(5).joined(separator: ", ") + (strangers.count > 5 ? ", ..." : "")
            throw HadpoError(
                .weights, "adapter: \(strangers.count) tensors do not belong to a linear map of the language model",
                at: checkpoint.path, found: shown,
                expected: "base_model.model.[model. | model.language_model. | language_model.model.]layers.N."
                    + "(self_attn.q_proj ... mlp.down_proj).lora_(A|B).weight")
        }
        guard !halves.isEmpty else { throw HadpoError(.weights, "adapter: it holds no tensors", at: checkpoint.path) }
        var pairs: [AdapterTarget: AdapterPair] = [:]
        for target in halves.keys.sorted() {
            guard let aName = halves[target]?.a, let bName = halves[target]?.b else {
                let half = halves[target]?.a ?? halves[target]?.b ?? ""
                throw HadpoError(
                    .weights, "adapter: a tensor without its other half", at: checkpoint.path, found: half,
                    expected: "lora_A and lora_B of \(target.projection) in layer \(target.layer)")
            }
            let a = try AdapterFile.matrix(checkpoint, aName)
            let b = try AdapterFile.matrix(checkpoint, bName)
            for (name, tensor, rank) in [(aName, a, a.shape[0]), (bName, b, b.shape[1])] where rank != config.rank {
                throw HadpoError(
                    .weights, "adapter: \(name) has another rank than adapter_config.json says", at: checkpoint.path,
                    found: "\(tensor.shape)", expected: "r = \(config.rank)")
            }
            pairs[target] = AdapterPair(a: a, b: b)
        }
        self.config = config
        self.pairs = pairs
    }

    private static func matrix(_ checkpoint: Checkpoint, _ name: String) throws(HadpoError) -> Tensor {
        let tensor = try checkpoint.tensor(name)
        guard tensor.shape.count == 2, tensor.count > 0, [.f32, .f16, .bf16].contains(tensor.dtype) else {
            throw HadpoError(
                .weights, "adapter: \(name) is not a matrix of numbers", at: checkpoint.path,
                found: "\(tensor.dtype.rawValue) \(tensor.shape)", expected: "two dimensions of F32, F16 or BF16")
        }
        return tensor
    }

    /// Prefixes that hold the language model's decoder; others (a vision tower has `layers.N.self_attn.q_proj` too) do not fit.
    private static let prefixes = [
        "model.", "language_model.model.", "model.language_model.", "model.language_model.model.", "llama_model.model.",
        "llm_model.model.",
    ]

    /// `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight`, with or without the adapter's name before `.weight`.
    private static func parse(_ name: String) -> (AdapterTarget, isA: Bool)? {
        let root = "base_model.model."
        guard name.hasPrefix(root) else { return nil }
        let path = name.dropFirst(root.count)
        guard let prefix = prefixes.first(where: { path.hasPrefix($0 + "layers.") }) else { return nil }
        let parts = path.dropFirst(prefix.count).split(separator: ".", omittingEmptySubsequences: false)
        // layers N group projection lora_X [adapter] weight
        guard parts.count == 6 || parts.count == 7, parts.last == "weight", let layer = decimal(parts[1]) else { return nil }
        let projection = "\(parts[2]).\(parts[3])"
        guard AdapterTarget.projections.contains(projection), parts[4] == "lora_A" || parts[4] == "lora_B" else { return nil }
        return (AdapterTarget(layer: layer, projection: projection), parts[4] == "lora_A")
    }

    /// A layer number as Python prints it: no sign, no leading zero, and small.
    private static func decimal(_ text: Substring) -> Int? {
        guard let number = Int(text), (0..<100_000).contains(number), String(number) == text else { return nil }
        return number
    }
}
