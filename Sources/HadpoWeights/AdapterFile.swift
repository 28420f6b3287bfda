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
    /// One pair with all that the folder says of it.
    package struct Entry: Sendable {
        package let place: AdapterPlace
        /// As the file spells it, without "base_model.model.".
        package let module: String
        package let pair: AdapterPair
        package let scaling: Double
    }

    package let config: AdapterConfig
    /// The language model's first, in the order in which it computes.
    package let entries: [Entry]
    /// What `modules_to_save` holds: parts of the projector, under `ProjectorFile`'s names and under the file's own.
    package let projector: [(name: String, key: String, tensor: Tensor)]

    /// Those on the language model.
    package var pairs: [AdapterTarget: AdapterPair] {
        var pairs: [AdapterTarget: AdapterPair] = [:]
        for entry in entries { if case .decoder(let target) = entry.place { pairs[target] = entry.pair } }
        return pairs
    }

    package var targets: [AdapterTarget] {
        entries.compactMap { if case .decoder(let target) = $0.place { target } else { nil } }
    }

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
        if try isProjectorAlone(saved) { return AdapterFile() }
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

    /// A training of this library without adapters leaves a projector, and no configuration of PEFT's.
    private static func isProjectorAlone(_ saved: SavedFolder) throws(HadpoError) -> Bool {
        func has(_ name: String) throws(HadpoError) -> Bool { try saved.path(name) != nil }
        for name in [AdapterConfig.fileName, safetensorsName, torchName] { if try has(name) { return false } }
        guard try has("train_config.json") else { return false }
        if try has(ProjectorFile.safetensorsName) { return true }
        return try has(ProjectorFile.torchName)
    }

    /// Without pairs.
    private init() {
        config = AdapterConfig(rank: 0, alpha: 0, targets: .names([]))
        entries = []
        projector = []
    }

    /// Nothing is to be written of it but the projector beside it.
    package var isProjectorAlone: Bool { config.rank == 0 }

    package init(_ config: AdapterConfig, _ checkpoint: Checkpoint) throws(HadpoError) {
        var halves: [AdapterPlace: (module: String, a: String?, b: String?)] = [:]
        var strangers: [String] = []
        var projector: [String: (name: String, key: String, tensor: Tensor)] = [:]
        for name in checkpoint.names {
            if let (place, module, isA) = AdapterFile.parse(name) {
                var found = halves[place] ?? (module, nil, nil)
                if let known = isA ? found.a : found.b {
                    throw HadpoError(
                        .format, "adapter: two tensors for the same matrix", at: checkpoint.path, found: "\(known) and \(name)")
                }
                if isA { found.a = name } else { found.b = name }
                halves[place] = found
            } else if let part = ProjectorFile.canonicalName(name), AdapterFile.isSaved(name, config) {
                if let known = projector[part] {
                    throw HadpoError(
                        .format, "adapter: two tensors for the same part of the projector", at: checkpoint.path,
                        found: "\(known.key) and \(name)")
                }
                projector[part] = (part, name, try ProjectorFile.numbers(checkpoint, name))
            } else {
                strangers.append(name)
            }
        }
        guard strangers.isEmpty else {
            let shown = strangers.prefix(5).joined(separator: ", ") + (strangers.count > 5 ? ", ..." : "")
            throw HadpoError(
                .weights,
                "adapter: \(strangers.count) tensors belong to no linear map of the language model, the vision side or the projector",
                at: checkpoint.path, found: shown,
                expected: "base_model.model. + [model. | model.language_model. | language_model.model.]layers.N."
                    + "(self_attn.q_proj ... mlp.down_proj) or a layer of the vision tower or the projector + .lora_(A|B).weight; "
                    + "or a layer of the projector that modules_to_save names")
        }
        guard !halves.isEmpty || !projector.isEmpty else {
            throw HadpoError(.weights, "adapter: it holds no tensors", at: checkpoint.path)
        }
        // What expressions cost grows with the names that they are held against.
        let work = halves.values.reduce(0) { $0 + $1.module.utf8.count }.multipliedReportingOverflow(by: config.stepsPerByte)
        guard !work.overflow, work.partialValue <= 1 << 30 else {
            throw HadpoError(
                .unsupported, "adapter: too long regular expressions for so many pairs", at: checkpoint.path,
                found: "\(halves.count) pairs", expected: "plain names in adapter_config.json")
        }
        var entries: [Entry] = []
        for place in halves.keys.sorted() {
            guard let (module, aName, bName) = halves[place] else { continue }
            guard let aName, let bName else {
                throw HadpoError(
                    .weights, "adapter: a tensor without its other half", at: checkpoint.path, found: aName ?? bName ?? "",
                    expected: "lora_A and lora_B of \(AdapterFile.said(place))")
            }
            guard config.adapts(module) != false else {
                throw HadpoError(
                    .weights, "adapter: a pair on a module that adapter_config.json leaves out; PEFT passes it by",
                    at: checkpoint.path, found: aName,
                    expected: "target_modules, exclude_modules, layers_to_transform and modules_to_save that fit the tensors")
            }
            let a = try AdapterFile.matrix(checkpoint, aName)
            let b = try AdapterFile.matrix(checkpoint, bName)
            let rank = config.rank(of: module)
            for (name, tensor, found) in [(aName, a, a.shape[0]), (bName, b, b.shape[1])] where found != rank {
                throw HadpoError(
                    .weights, "adapter: \(name) has another rank than adapter_config.json says", at: checkpoint.path,
                    found: "\(tensor.shape)", expected: "r = \(rank)")
            }
            let scaling = config.scaling(of: module)
            guard Float(scaling).isFinite else {
                throw HadpoError(
                    .format, "adapter: its scaling is no number of fp32", at: "\(checkpoint.path): \(module)",
                    found: "\(scaling)", expected: "alpha / r that is finite")
            }
            entries.append(Entry(place: place, module: module, pair: AdapterPair(a: a, b: b), scaling: scaling))
        }
        for module in config.modulesToSave
        where !projector.values.contains(where: { (".\($0.key)").contains(".\(module).") }) {
            throw HadpoError(
                .weights, "adapter: modules_to_save names a module whose weights are missing", at: checkpoint.path,
                found: "no tensor of \(module)", expected: "base_model.model. ... \(module) ... weight")
        }
        self.config = config
        self.entries = entries
        self.projector = projector.values.sorted { $0.name < $1.name }
    }

    private static func said(_ place: AdapterPlace) -> String {
        switch place {
        case .decoder(let target): "\(target.projection) in layer \(target.layer)"
        case .outer(let name): name
        }
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

    static let root = "base_model.model."

    /// `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight`, with or without the adapter's name before `.weight`.
    private static func parse(_ name: String) -> (AdapterPlace, module: String, isA: Bool)? {
        guard name.hasPrefix(root), name.hasSuffix(".weight") else { return nil }
        var path = name.dropFirst(root.count).dropLast(".weight".count)
        // A name that somebody gave to the adapter.
        if !path.hasSuffix(".lora_A"), !path.hasSuffix(".lora_B") {
            guard let dot = path.lastIndex(of: ".") else { return nil }
            path = path[..<dot]
        }
        guard path.hasSuffix(".lora_A") || path.hasSuffix(".lora_B") else { return nil }
        let module = path.dropLast(".lora_A".count)
        guard let place = AdapterPlace(module: module) else { return nil }
        return (place, String(module), path.hasSuffix("A"))
    }

    /// Whether a tensor beside the pairs is of a module that `modules_to_save` names.
    private static func isSaved(_ name: String, _ config: AdapterConfig) -> Bool {
        guard name.hasPrefix(root), let dot = name.lastIndex(of: ".") else { return false }
        return config.saves(String(name[..<dot].dropFirst(root.count)))
    }
}
