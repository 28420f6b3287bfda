import HadpoBase
import HadpoTensor

extension AdapterFile {
    /// Writes what `peft` loads: `adapter_model.safetensors`, then `adapter_config.json`. The configuration's targets are
    /// replaced by those that `pairs` has, in the form the layout needs.
    package static func write(
        folder: String, config: AdapterConfig, pairs: [AdapterTarget: AdapterPair], layout: AdapterLayout, progress: any Progress
    ) throws(HadpoError) {
        try File.makeDirectories(folder)
        let targets = pairs.keys.sorted()
        var plans: [TensorPlan] = []
        var tensors: [(name: String, tensor: Tensor)] = []
        for target in targets {
            guard let pair = pairs[target] else { continue }
            guard pair.a.shape.count == 2, pair.b.shape.count == 2, pair.a.shape[0] == config.rank, pair.b.shape[1] == config.rank
            else {
                throw HadpoError(
                    .internal, "adapter: wrong shapes for \(target.projection) in layer \(target.layer)", at: folder,
                    found: "\(pair.a.shape) and \(pair.b.shape)", expected: "[r, inputs] and [outputs, r], r = \(config.rank)")
            }
            let module = "base_model.model.\(layout.prefix)layers.\(target.layer).\(target.projection)"
            for (half, tensor) in [("lora_A", pair.a), ("lora_B", pair.b)] {
                let name = "\(module).\(half).weight"
                plans.append(TensorPlan(name, tensor.dtype, tensor.shape))
                tensors.append((name, tensor))
            }
        }
        let writer = try SafetensorsWriter(File.join(folder, safetensorsName), plans, progress: progress)
        for (name, tensor) in tensors { try writer.write(name, tensor) }
        try writer.finish()
        var written = config
        written.targets = targetModules(targets, layout)
        try File.writeAtomically(File.join(folder, AdapterConfig.fileName), written.json.text(indent: 2) + "\n")
    }

    /// Whether it is written again as it came. Pairs on the language model alone are written under the names that PEFT has for the base, like
    /// new ones: upstream wraps the language model of a base that transformers opens as a whole. What else there is (pairs before it,
    /// single ranks and alphas, a projector) is bound to its names.
    package func keepsNames(in layout: AdapterLayout) -> Bool {
        let isPlain =
            projector.isEmpty && config.ranks == .none && config.alphas == .none
            && entries.allSatisfy { if case .decoder = $0.place { true } else { false } }
        return !isPlain || entries.allSatisfy { $0.module.hasPrefix(layout.prefix + "layers.") }
    }

    /// Writes again what was read, under the names that it came with and with all that its configuration said: PEFT opens it as it opened
    /// the first.
    /// - Parameters:
    ///   - pairs: of the language model, in the place of those that were read.
    ///   - projector: by `ProjectorFile`'s names, what `modules_to_save` holds.
    package func write(
        folder: String, config: AdapterConfig, pairs: [AdapterTarget: AdapterPair], projector: [(key: String, tensor: Tensor)],
        progress: any Progress
    ) throws(HadpoError) {
        try File.makeDirectories(folder)
        var tensors: [(name: String, tensor: Tensor)] = []
        for entry in entries {
            var pair = entry.pair
            if case .decoder(let target) = entry.place, let trained = pairs[target] { pair = trained }
            tensors.append(("\(AdapterFile.root)\(entry.module).lora_A.weight", pair.a))
            tensors.append(("\(AdapterFile.root)\(entry.module).lora_B.weight", pair.b))
        }
        for (key, tensor) in projector { tensors.append((key, tensor)) }
        let writer = try SafetensorsWriter(
            File.join(folder, AdapterFile.safetensorsName),
            tensors.map { TensorPlan($0.name, $0.tensor.dtype, $0.tensor.shape) }, progress: progress)
        for (name, tensor) in tensors { try writer.write(name, tensor) }
        try writer.finish()
        try File.writeAtomically(File.join(folder, AdapterConfig.fileName), config.json.text(indent: 2) + "\n")
    }

    /// A plain list of names makes PEFT wrap every module that ends so, in the HF models the vision tower's too: there a regular
    /// expression (Python's, matched in full) stays within the language model, under either of its paths.
    static func targetModules(_ targets: [AdapterTarget], _ layout: AdapterLayout) -> AdapterConfig.Targets {
        let used = AdapterTarget.projections.filter { projection in targets.contains { $0.projection == projection } }
        guard layout != .original else {
            return .names(used.map { String($0.drop { $0 != "." }.dropFirst()) })
        }
        let alternatives = used.map { $0.split(separator: ".").joined(separator: "\\.") }.joined(separator: "|")
        return .pattern("(?:.*\\.)?language_model\\.(?:model\\.)?layers\\.\\d+\\.(?:\(alternatives))")
    }
}
