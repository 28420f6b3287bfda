import HadpoAutograd
import HadpoBase
import HadpoNN
import HadpoTensor
import HadpoWeights

// Putting a PEFT adapter folder on a model, and taking it off again.

extension VisionLanguageModel {
    /// Puts the folder's low-rank matrices beside the decoder's, and its projector, if it has one, in the projector's place.
    /// Nothing changes when anything in the folder does not fit.
    package func loadAdapter(folder: String, progress: any Progress) throws(HadpoError) -> AdapterFile {
        let arena = device.arena
        // Adapter and projector of the same save.
        let (file, projectorFile) = try SavedFolder.read(folder, progress: progress) {
            (saved) throws(HadpoError) -> (AdapterFile, ProjectorFile?) in
            let adapter = try AdapterFile.read(saved, arena: arena, progress: progress)
            return (adapter, try ProjectorFile.read(saved, arena: arena, progress: progress))
        }
        let places = adaptable
        for target in file.targets where !places.contains(where: { $0.target == target }) {
            throw HadpoError(
                .weights, "the adapter is for another base: the model has no such layer", at: folder,
                found: "layer \(target.layer) \(target.projection)", expected: "layers 0..<\(decoder.config.layers)")
        }
        var adapters: [(Linear, LoRA)] = []
        for (target, linear) in places {
            guard let pair = file.pairs[target] else { continue }
            guard pair.a.columns == linear.inputs, pair.b.rows == linear.outputs else {
                throw HadpoError(
                    .weights, "the adapter is for another base: shapes differ", at: "\(folder): \(target.name)",
                    found: "A \(pair.a.shape), B \(pair.b.shape)",
                    expected: "A [r, \(linear.inputs)], B [\(linear.outputs), r]")
            }
            let lora = LoRA(
                a: Value(try device.float32(pair.a)), b: Value(try device.float32(pair.b)), scaling: Float(file.config.scaling))
            adapters.append((linear, lora))
        }
        let newProjector = try newProjector(projectorFile, folder: folder)
        unloadAdapter()
        for (linear, lora) in adapters { linear.adapter = lora }
        if let newProjector { replaceProjector(newProjector) }
        return file
    }

    /// The model as its checkpoint has it.
    package func unloadAdapter() {
        for (_, linear) in adaptable { linear.adapter = nil }
        replaceProjector(nil)
    }

    /// `non_lora_trainables`: upstream trains the projector beside the adapter and saves it there.
    private func newProjector(_ file: ProjectorFile?, folder: String) throws(HadpoError) -> [Linear]? {
        guard let file else { return nil }
        var layers: [Linear] = []
        for (i, layer) in projector.enumerated() {
            func tensor(_ part: String, _ shape: [Int]) throws(HadpoError) -> Value {
                let name = "\(projectorNames[i]).\(part)"
                guard let tensor = file.tensor(name) else {
                    throw HadpoError(.weights, "the adapter's projector lacks a tensor", at: "\(folder): \(name)")
                }
                guard tensor.shape == shape else {
                    throw HadpoError(
                        .weights, "the adapter's projector is for another base", at: "\(folder): \(name)",
                        found: "\(tensor.shape)",
                        expected: "\(shape)")
                }
                return Value(try device.float32(tensor))
            }
            let weight = try tensor("weight", [layer.outputs, layer.inputs])
            layers.append(Linear(name: layer.name, weight: weight, bias: try tensor("bias", [layer.outputs])))
        }
        return layers
    }

    /// Adapter and projector as PEFT and upstream name them, into a folder.
    /// - Parameter writesProjector: beside the adapter, when it was trained.
    package func saveAdapter(
        folder: String, pairs: [AdapterTarget: AdapterPair], config adapter: AdapterConfig, layout: AdapterLayout,
        writesProjector: Bool,
        progress: any Progress
    ) throws(HadpoError) {
        if !pairs.isEmpty {
            try AdapterFile.write(folder: folder, config: adapter, pairs: pairs, layout: layout, progress: progress)
        }
        guard writesProjector else { return }
        var tensors: [(name: String, tensor: Tensor)] = []
        for (i, layer) in projector.enumerated() {
            tensors.append((projectorNames[i] + ".weight", layer.weight.data))
            if let bias = layer.bias { tensors.append((projectorNames[i] + ".bias", bias.data)) }
        }
        try ProjectorFile.write(folder: folder, tensors, progress: progress)
    }
}

extension AdapterTarget {
    /// "layers.3.self_attn.q_proj"
    package var name: String { "layers.\(layer).\(projection)" }
}
