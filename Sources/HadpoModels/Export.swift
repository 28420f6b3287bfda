import HadpoAutograd
import HadpoBase
import HadpoNN
import HadpoTensor
import HadpoWeights

/// "hadpo.export/1"
package struct ExportConfig: Sendable {
    package let output: String
    package let weights: WeightFormat
    package let maxShardBytes: Int

    package init(_ r: inout ConfigReader) throws(HadpoError) {
        output = try r.string("output", help: "folder to write; must not exist or be empty")
        weights = try r.choice(
            "weights", default: .stored,
            help:
                "the decoder's matrices: as the base stores them, or int8 or int4, which this library alone reads, without quantising "
                + "again")
        let weights = weights
        try r.check(
            weights != .bnbFP4, "weights", "this form is not written to files", found: weights.rawValue,
            expected: "stored, int8 or int4")
        maxShardBytes = try r.int("max_shard_bytes", default: 5_000_000_000, in: 1 << 20...1 << 50, help: "largest weight file")
    }
}

/// A checkpoint with the adapter merged in: the base's layout, names and types. W + scaling B A is summed in fp32 from the
/// original weights and rounded once.
package enum Export {
    /// Files of a checkpoint folder that are copied as they are.
    private static let companions = [
        "config.json", "generation_config.json", "tokenizer.model", "tokenizer.json", "tokenizer_config.json",
        "special_tokens_map.json", "added_tokens.json", "preprocessor_config.json", "processor_config.json", "chat_template.json",
        "chat_template.jinja",
    ]
    /// A folder in it whose files are: the second tokenizer of InstructBLIP.
    private static let companionFolder = "qformer_tokenizer"

    /// Numbers that replace a tensor of the file, or some of its rows, or a pair whose product is added to them.
    private struct Patch {
        let rows: Range<Int>?
        let tensor: Tensor?
        let lora: LoRA?
    }

    package static func run(
        _ model: any VisionLanguageModel, _ folder: any ModelFolder, _ config: ExportConfig, progress: any Progress
    ) throws(HadpoError) {
        let save = try FolderSave(intoEmpty: config.output)
        let output = save.workFolder

        // What replaces a tensor of the file, and what is added to one, by the file's name for it.
        var patches: [ObjectIdentifier: [String: [Patch]]] = [:]
        func change(_ name: String, _ tensor: Tensor?, _ lora: LoRA?) throws(HadpoError) {
            let place = folder.locate(name)
            var rows: Range<Int>?
            if case .rows(let run, _) = place.stored { rows = run }
            guard place.checkpoint.contains(place.name) else {
                throw HadpoError(
                    .unsupported,
                    "what an adapter or a training changed does not lie in the files as numbers that could be changed",
                    at: place.checkpoint.path, found: place.name,
                    expected: "the checkpoint that a quantised one was made from, or the adapter folder instead of an export")
            }
            patches[ObjectIdentifier(place.checkpoint), default: [:]][place.name, default: []].append(
                Patch(rows: rows, tensor: tensor, lora: lora))
        }
        func replace(_ name: String, _ tensor: Tensor) throws(HadpoError) { try change(name, tensor, nil) }
        let opened = model.openedProjector
        for (layer, before) in zip(model.projector, opened) where layer !== before {
            try replace(layer.name + ".weight", layer.weight.data)
            if let bias = layer.bias { try replace(layer.name + ".bias", bias.data) }
        }
        for (name, value) in model.trainedParameters { try replace(name, value.data) }
        // Behind what replaces: a trained projector may have a pair too.
        for linear in model.adaptedLinears {
            if let lora = linear.adapter { try change(linear.name + ".weight", nil, lora) }
        }
        let device = model.device
        for entry in model.loadedAdapter?.uncomputed ?? [] {
            let (a, b) = (Value(try device.float32(entry.pair.a)), Value(try device.float32(entry.pair.b)))
            try change(entry.place.name + ".weight", nil, LoRA(a: a, b: b, scaling: Float(entry.scaling)))
        }

        for part in folder.checkpoints where part !== folder.checkpoint {
            guard let changes = patches[ObjectIdentifier(part)] else { continue }
            try write(part, changes, to: output, device, progress)
        }
        let base = folder.checkpoint
        let changed = patches[ObjectIdentifier(base)] ?? [:]
        let quantizable = quantizable(model, folder, config.weights)
        var plans: [TensorPlan] = []
        for name in base.names {
            guard let info = base.info(name) else { continue }
            if let (dtype, bytes) = quantizable[name] {
                plans.append(TensorPlan(name + SavedQuantized.suffix(dtype), .u8, [bytes]))
            } else {
                plans.append(TensorPlan(name, info.dtype, info.shape))
            }
        }
        let writer = try CheckpointWriter(folder: output, plans, maxShardBytes: config.maxShardBytes, progress: progress)
        func put(_ name: String, _ tensor: Tensor, _ stored: DType) throws(HadpoError) {
            if let (dtype, _) = quantizable[name] {
                try SavedQuantized.write(name, tensor, dtype, writer, device)
                base.releasePages(of: name)
            } else {
                try writer.write(name, try rounded(tensor, stored, device))
            }
        }
        for name in base.names {
            try progress.tick()
            let stored = try base.tensor(name)
            if let changes = changed[name] {
                try put(name, try patched(name, stored, changes, device), stored.dtype)
            } else {
                try put(name, stored, stored.dtype)
            }
        }
        try writer.finish()
        try copy(companions, from: folder.path, to: output)
        let inner = File.join(folder.path, companionFolder)
        if File.isDirectory(inner) {
            let place = File.join(output, companionFolder)
            try File.makeDirectories(place)
            try copy(try File.list(inner), from: inner, to: place)
        }
        // Without its configuration nobody opens a folder as a model.
        try save.commit(last: "config.json", progress: progress)
    }

    private static func copy(_ names: [String], from source: String, to output: String) throws(HadpoError) {
        for name in names where File.isFile(File.join(source, name)) {
            try File.writeAtomically(File.join(output, name), try File.read(File.join(source, name)))
        }
    }

    /// The file's names of the matrices that are written quantised, and how many bytes they become.
    private static func quantizable(
        _ model: any VisionLanguageModel, _ folder: any ModelFolder, _ weights: WeightFormat
    ) -> [String: (dtype: DType, bytes: Int)] {
        var found: [String: (dtype: DType, bytes: Int)] = [:]
        for name in model.decoder.layers.flatMap(\.linears).map(\.name) + [LLaVANames.head] {
            let place = folder.locate(name + ".weight")
            guard let dtype = weights.dtype(of: name + ".weight"), case .same = place.stored,
                place.checkpoint === folder.checkpoint,
                let info = place.checkpoint.info(place.name), [.f32, .f16, .bf16].contains(info.dtype),
                let bytes = dtype.byteCount(of: info.shape)
            else { continue }
            found[place.name] = (dtype, bytes)
        }
        return found
    }

    /// The file beside the language model that holds a trained part, MiniGPT-4's projection or LAVIS' InstructBLIP: under its own name, what
    /// was not trained as it is.
    private static func write(
        _ part: Checkpoint, _ changes: [String: [Patch]], to folder: String, _ device: Device, _ progress: any Progress
    ) throws(HadpoError) {
        let name = File.name(of: part.path)
        guard part.files.count == 1, name.hasSuffix(".pth") else {
            throw HadpoError(
                .unsupported, "a part that was trained lies in a file that an export does not write", at: part.path,
                found: changes.keys.sorted().joined(separator: ", "),
                expected: "the adapter folder, which holds it beside the adapter")
        }
        // EVA's file is the tower's state alone; the others hold theirs under "model".
        let key: String? = part.contains("patch_embed.proj.weight") ? nil : "model"
        let plans = part.names.compactMap { name in part.info(name).map { TensorPlan(name, $0.dtype, $0.shape) } }
        let writer = try TorchWriter(File.join(folder, name), plans, under: key, progress: progress)
        for name in part.names {
            try progress.tick()
            let stored = try part.tensor(name)
            guard let patches = changes[name] else {
                try writer.write(name, stored)
                continue
            }
            try writer.write(name, try rounded(patched(name, stored, patches, device), stored.dtype, device))
        }
        try writer.finish()
    }

    private static func patched(
        _ name: String, _ stored: Tensor, _ changes: [Patch], _ device: Device
    ) throws(HadpoError) -> Tensor {
        // In fp32 as long as something is added, so that it is rounded once.
        let isSummed = changes.contains { $0.lora != nil }
        let whole = try device.allocate(stored.shape, isSummed ? .f32 : stored.dtype)
        if isSummed { try device.convert(stored, into: whole) } else { try device.copy(stored, into: whole) }
        // Of a fused bias a row is one number: its tensor has one axis.
        let matrix = try whole.reshaped([stored.shape.first ?? 1, stored.shape.dropFirst().reduce(1, *)])
        for change in changes {
            var target = matrix
            if let rows = change.rows { target = try matrix.rows(rows) }
            if let tensor = change.tensor {
                try checkFinite(tensor, name, stored.dtype)
                let part = try rounded(tensor, target.dtype, device)
                try device.copy(try part.reshaped(target.shape), into: target)
            }
            if let lora = change.lora {
                let scaled = try device.allocate(lora.b.shape)
                try device.copy(lora.b.data, into: scaled)
                try device.scale(scaled, by: lora.scaling)
                try device.matmul(scaled, aTransposed: false, lora.a.data, bTransposed: false, into: target, accumulate: true)
            }
        }
        if isSummed { try checkFinite(whole, name, stored.dtype) }
        return whole
    }

    /// What was trained or merged may be no number, or too large for the format of the file.
    private static func checkFinite(_ tensor: Tensor, _ name: String, _ stored: DType) throws(HadpoError) {
        // The next fp32 number, 65520, would round to infinity.
        let largest: Float = stored == .f16 ? 65519.996 : .greatestFiniteMagnitude
        guard tensor.dtype == .f32, let index = tensor.firstNumber(beyond: largest) else { return }
        throw HadpoError(
            .numerics, "a trained weight is no number that the file can hold", at: "\(name), element \(index)",
            expected: "a finite \(stored.rawValue)")
    }

    private static func rounded(_ tensor: Tensor, _ dtype: DType, _ device: Device) throws(HadpoError) -> Tensor {
        if tensor.dtype == dtype { return tensor }
        let result = try device.allocate(tensor.shape, dtype)
        try device.convert(tensor, into: result)
        return result
    }
}
