import HadpoAutograd
import HadpoBase
import HadpoNN
import HadpoTensor
import HadpoWeights

/// An adapter's folder as it was read and found to fit a model: what is put on, what a training starts from, what a save writes again.
package struct LoadedAdapter {
    package let path: String
    package let file: AdapterFile
    /// Layers that replace the checkpoint's, from `non_lora_trainables` or `modules_to_save`; nil leaves all of them.
    let projector: [Linear]?
    fileprivate let decoder: [(linear: Linear, lora: LoRA)]
    /// By module, as fused ones are several layers.
    fileprivate let outer: [String: [(rows: Range<Int>, lora: LoRA)]]
    /// Pairs on the projector.
    private let onProjector: Int
    /// Pairs on blocks that are never computed.
    let uncomputed: [AdapterFile.Entry]
    /// SHA-256 of all that moves a number: matrices, scalings, projector. Names and places of files play no part.
    package let content: String
    /// Whether a training has gone on from it since, so that the numbers on the model are no more the folder's.
    package var isTrainedFurther = false
    /// Whether a training's configuration brought it, and nobody loaded it: the next training does not start from it.
    package var isOfTraining = false

    package var config: AdapterConfig { file.config }
    package var hasProjector: Bool { projector != nil }
    package var trainableCount: Int { decoder.count }
    package var frozenCount: Int { file.entries.count - decoder.count }

    /// Checks the folder against the model; nothing changes on it.
    package static func read(
        _ model: any VisionLanguageModel, folder: String, progress: any Progress
    ) throws(HadpoError) -> LoadedAdapter {
        let arena = model.device.arena
        // Adapter and projector of the same save.
        let (file, projectorFile) = try SavedFolder.read(folder, progress: progress) {
            (saved) throws(HadpoError) -> (AdapterFile, ProjectorFile?) in
            let adapter = try AdapterFile.read(saved, arena: arena, progress: progress)
            return (adapter, try ProjectorFile.read(saved, arena: arena, progress: progress))
        }
        return try LoadedAdapter(model, file, projectorFile, folder)
    }

    private init(
        _ model: any VisionLanguageModel, _ file: AdapterFile, _ projectorFile: ProjectorFile?, _ folder: String
    ) throws(HadpoError) {
        path = folder
        self.file = file
        projector = try LoadedAdapter.projector(model, file, projectorFile, folder)
        let places = Dictionary(model.adaptable.map { ($0.target, $0.linear) }, uniquingKeysWith: { first, _ in first })
        let outers = Dictionary(grouping: model.outerLinears, by: \.module)
        var decoder: [(Linear, LoRA)] = []
        var outer: [String: [(Range<Int>, LoRA)]] = [:]
        var uncomputed: [AdapterFile.Entry] = []
        func check(_ entry: AdapterFile.Entry, _ inputs: Int, _ outputs: Int) throws(HadpoError) {
            let pair = entry.pair
            guard pair.a.columns == inputs, pair.b.rows == outputs else {
                throw HadpoError(
                    .weights, "the adapter is for another base: shapes differ", at: "\(folder): \(entry.place.name)",
                    found: "A \(pair.a.shape), B \(pair.b.shape)", expected: "A [r, \(inputs)], B [\(outputs), r]")
            }
        }
        let device = model.device
        for entry in file.entries {
            for (half, tensor) in [("lora_A", entry.pair.a), ("lora_B", entry.pair.b)] {
                try LoadedAdapter.checkFinite(tensor, "\(folder): \(entry.module).\(half).weight", device)
            }
            switch entry.place {
            case .decoder(let target):
                guard let linear = places[target] else {
                    throw HadpoError(
                        .weights, "the adapter is for another base: the model has no such layer", at: folder,
                        found: "layer \(target.layer) \(target.projection)",
                        expected: "layers 0..<\(model.decoder.config.layers)")
                }
                try check(entry, linear.inputs, linear.outputs)
                let (a, b) = (try device.float32(entry.pair.a), try device.float32(entry.pair.b))
                decoder.append((linear, LoRA(a: Value(a), b: Value(b), scaling: Float(entry.scaling))))
            case .outer(let module):
                if let parts = outers[module], let first = parts.first {
                    try check(entry, first.linear.inputs, first.outputs)
                    let a = Value(try device.float32(entry.pair.a))
                    let b = try device.float32(entry.pair.b)
                    for part in parts {
                        let lora = LoRA(a: a, b: Value(try b.rows(part.rows)), scaling: Float(entry.scaling))
                        outer[module, default: []].append((part.rows, lora))
                    }
                } else if let sizes = model.uncomputed(module) {
                    try check(entry, sizes.inputs, sizes.outputs)
                    uncomputed.append(entry)
                } else {
                    throw HadpoError(
                        .weights, "the adapter is for another base: the model has no such layer", at: folder,
                        found: "\(entry.module), read as \(module)",
                        expected:
                            "layers of this model's vision side: \(outers.keys.sorted().prefix(3).joined(separator: ", ")), ...")
                }
            }
        }
        self.decoder = decoder
        self.outer = outer
        self.uncomputed = uncomputed
        onProjector = model.openedProjector.count { outer[$0.name] != nil }
        content = LoadedAdapter.content(file, projector)
    }

    /// What `non_lora_trainables` and `modules_to_save` hold, in the checkpoint's projector.
    private static func projector(
        _ model: any VisionLanguageModel, _ file: AdapterFile, _ beside: ProjectorFile?, _ folder: String
    ) throws(HadpoError) -> [Linear]? {
        let inside = file.projector
        guard beside != nil || !inside.isEmpty else { return nil }
        var left = Set(inside.map(\.name)).union(beside?.tensors.map(\.name) ?? [])
        var layers: [Linear] = []
        for (name, layer) in zip(model.projectorNames, model.openedProjector) {
            func tensor(_ part: String, _ shape: [Int]) throws(HadpoError) -> Value? {
                let name = "\(name).\(part)"
                left.remove(name)
                let saved = inside.first { $0.name == name }?.tensor
                let other = beside?.tensor(name)
                guard saved == nil || other == nil else {
                    throw HadpoError(
                        .weights, "the adapter holds a part of the projector twice", at: "\(folder): \(name)",
                        found: "in modules_to_save and in \(ProjectorFile.safetensorsName) or .bin", expected: "one of them")
                }
                guard let found = saved ?? other else { return nil }
                guard found.shape == shape else {
                    throw HadpoError(
                        .weights, "the adapter's projector is for another base", at: "\(folder): \(name)",
                        found: "\(found.shape)", expected: "\(shape)")
                }
                try checkFinite(found, "\(folder): \(name)", model.device)
                return Value(try model.device.float32(found))
            }
            let weight = try tensor("weight", [layer.outputs, layer.inputs])
            let bias = try layer.bias == nil ? nil : tensor("bias", [layer.outputs])
            if weight == nil, bias == nil, !inside.isEmpty {
                layers.append(layer)
                continue
            }
            guard let weight, bias != nil || layer.bias == nil else {
                throw HadpoError(
                    .weights, "the adapter's projector lacks a tensor",
                    at: "\(folder): \(name).\(weight == nil ? "weight" : "bias")")
            }
            layers.append(Linear(name: layer.name, weight: weight, bias: bias))
        }
        guard left.isEmpty else {
            throw HadpoError(
                .weights, "the adapter's projector is for another base", at: folder, found: left.sorted().joined(separator: ", "),
                expected: model.projectorNames.joined(separator: ", "))
        }
        return layers
    }

    /// What was trained until it broke says nothing, and every number of the model would be none.
    private static func checkFinite(_ tensor: Tensor, _ name: String, _ device: Device) throws(HadpoError) {
        guard let index = try device.float32(tensor).firstNumber(beyond: .greatestFiniteMagnitude) else { return }
        throw HadpoError(
            .numerics, "the adapter holds what is no finite number", at: name, found: "element \(index) of \(tensor.shape)",
            expected: "a save from before the training broke")
    }

    private static func content(_ file: AdapterFile, _ projector: [Linear]?) -> String {
        var hash = SHA256()
        func add(_ name: String, _ tensor: Tensor) {
            var bytes = XXHash64()
            withExtendedLifetime(tensor.storage) {
                bytes.update(UnsafeRawBufferPointer(start: tensor.pointer, count: tensor.byteCount))
            }
            hash.update("\(name) \(tensor.dtype.rawValue) \(tensor.shape) \(bytes.text);")
        }
        for entry in file.entries {
            add(entry.place.name + ".lora_A", entry.pair.a)
            add("\(entry.place.name).lora_B * \(entry.scaling)", entry.pair.b)
        }
        for layer in projector ?? [] {
            add(layer.name + ".weight", layer.weight.data)
            if let bias = layer.bias { add(layer.name + ".bias", bias.data) }
        }
        return hash.hexDigest()
    }

    /// For results and events.
    package var json: JSON {
        let vision = file.entries.count - decoder.count - onProjector
        return [
            "path": .string(path), "content": .string(content), "rank": JSON(config.rank), "alpha": .double(config.alpha),
            "rslora": .bool(config.usesRankStabilisation),
            "pairs": ["decoder": JSON(decoder.count), "vision": JSON(vision), "projector": JSON(onProjector)],
            "uncomputed": JSON(uncomputed.count), "projector": .bool(hasProjector), "unread": JSON(config.unread),
        ]
    }
}

// Putting a PEFT adapter folder on a model, and taking it off again.

extension VisionLanguageModel {
    /// Puts the folder's low-rank matrices beside the model's, and its projector, if it has one, in the projector's place.
    /// Nothing changes when anything in the folder does not fit.
    @discardableResult
    package func loadAdapter(folder: String, progress: any Progress) throws(HadpoError) -> LoadedAdapter {
        let adapter = try LoadedAdapter.read(self, folder: folder, progress: progress)
        if !adapter.config.unread.isEmpty {
            try progress.emit([
                "event": "warning",
                "message": .string(
                    "\(File.join(folder, AdapterConfig.fileName)) has fields that are not known here, and the adapter is used as if they "
                        + "were absent: \(adapter.config.unread.joined(separator: ", "))"),
            ])
        }
        putOn(adapter)
        return adapter
    }

    package func putOn(_ adapter: LoadedAdapter) {
        unloadAdapter()
        if let projector = adapter.projector { replaceProjector(projector) }
        for (linear, lora) in adapter.decoder { linear.adapter = lora }
        for place in outerLinears { place.linear.adapter = adapter.outer[place.module]?.first { $0.rows == place.rows }?.lora }
        loadedAdapter = adapter
        loadedAdapter?.isTrainedFurther = false
    }

    /// The model as its checkpoint has it.
    package func unloadAdapter() {
        replaceProjector(nil)
        for (_, linear) in adaptable { linear.adapter = nil }
        for place in outerLinears { place.linear.adapter = nil }
        referenceProjector = openedProjector
        loadedAdapter = nil
    }

    /// What a training that names no other starts from.
    package var startingAdapter: LoadedAdapter? { loadedAdapter.flatMap { $0.isOfTraining ? nil : $0 } }

    /// Every linear layer that has a pair of an adapter or a training, by the network's name.
    package var adaptedLinears: [Linear] {
        (adaptable.map(\.linear) + outerLinears.map(\.linear)).filter { $0.adapter != nil }
    }

    /// Whether `features` depends on an adapter.
    package var hasTowerAdapter: Bool { outerLinears.contains { $0.isTower && $0.linear.adapter != nil } }

    // MARK: saving

    /// Adapter and projector as PEFT and upstream name them, into a folder.
    /// - Parameters:
    ///   - pairs: those that were trained.
    ///   - adapter: the configuration of pairs that started at the base.
    ///   - start: the adapter that was continued: all of it is written, trained or not.
    ///   - writesProjector: beside the adapter, when it was trained.
    package func saveAdapter(
        folder: String, pairs: [AdapterTarget: AdapterPair], config adapter: AdapterConfig, layout: AdapterLayout,
        start: LoadedAdapter?, writesProjector: Bool, progress: any Progress
    ) throws(HadpoError) {
        var tensors: [(name: String, tensor: Tensor)] = []
        for (name, layer) in zip(projectorNames, projector) {
            tensors.append((name + ".weight", layer.weight.data))
            if let bias = layer.bias { tensors.append((name + ".bias", bias.data)) }
        }
        if let start, !start.file.isProjectorAlone, start.file.keepsNames(in: layout) {
            let inside = start.file.projector.compactMap { saved in
                tensors.first { $0.name == saved.name }.map { (key: saved.key, tensor: $0.tensor) }
            }
            let names = Set(start.file.projector.map(\.name))
            tensors.removeAll { names.contains($0.name) }
            try start.file.write(
                folder: folder, config: start.config, pairs: pairs, projector: inside, progress: progress)
        } else if !pairs.isEmpty {
            try AdapterFile.write(
                folder: folder, config: start?.config ?? adapter, pairs: pairs, layout: layout, progress: progress)
        }
        guard writesProjector, !tensors.isEmpty else { return }
        try ProjectorFile.write(folder: folder, tensors, progress: progress)
    }
}
