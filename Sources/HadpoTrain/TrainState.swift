import HadpoBase
import HadpoModels
import HadpoTensor
import HadpoWeights

/// Everything a training needs to go on to the same bits, in one file that appears whole or not at all: parameters and both
/// moments in fp32, the step, and the configuration it was made under.
package enum TrainState {
    package static let fileName = "trainer_state.safetensors"
    private static let schema = "hadpo.trainer-state/1"

    /// What the policy began as, and what it is compared with.
    package struct Origin: Sendable {
        /// The starting adapter's content, or "base".
        package let start: String
        package let reference: String
    }

    /// What only the state of a training that is the same tells.
    package struct Notes: Sendable {
        /// What a guard had seen until then; nil without one.
        package var guardRecords: String?
        /// The log's record of the last step, without its time; nil before the first step.
        package var lastRecord: String?
    }

    /// A state that was read and checked; nothing has moved yet.
    package struct Stored {
        package let step: Int
        package let notes: Notes
        fileprivate let pairs: [(from: Tensor, to: Tensor)]
    }

    package static func save(
        _ trainer: Trainer, identity: TrainingIdentity, origin: Origin, notes: Notes, to directory: String, progress: any Progress
    )
        throws(HadpoError)
    {
        let parts: [(String, (TrainableParameter) -> Tensor)] = [
            ("parameter.", { $0.value.data }), ("m.", { $0.m }), ("v.", { $0.v }),
        ]
        var plans: [TensorPlan] = []
        for (prefix, tensor) in parts {
            for parameter in trainer.optimizer.parameters {
                plans.append(TensorPlan(prefix + parameter.name, .f32, tensor(parameter).shape))
            }
        }
        let writer = try SafetensorsWriter(
            File.join(directory, fileName), plans,
            metadata: [
                ("schema", schema), ("step", "\(trainer.step)"), ("identity", identity.json.text()), ("start", origin.start),
                ("reference", origin.reference),
            ]
                + (notes.guardRecords.map { [("guard", $0)] } ?? []) + (notes.lastRecord.map { [("last", $0)] } ?? []),
            progress: progress)
        for (prefix, tensor) in parts {
            for parameter in trainer.optimizer.parameters { try writer.write(prefix + parameter.name, tensor(parameter)) }
        }
        try writer.finish()
    }

    package static func read(
        _ trainer: Trainer, identity: TrainingIdentity, origin: Origin, from directory: String, progress: any Progress
    )
        throws(HadpoError) -> Stored
    {
        try SavedFolder.read(directory, progress: progress) { (saved) throws(HadpoError) in
            guard let path = try saved.path(fileName), File.isFile(path) else {
                throw HadpoError(.io, "the folder holds no training to resume", at: directory, expected: fileName)
            }
            // The adapter and the projector too: a folder whose parts are of two steps is no save.
            try saved.check(saved.names, progress: progress)
            return try read(trainer, identity: identity, origin, path, progress)
        }
    }

    private static func read(
        _ trainer: Trainer, identity: TrainingIdentity, _ origin: Origin, _ path: String, _ progress: any Progress
    )
        throws(HadpoError) -> Stored
    {
        let file = try Checkpoint.open(path, load: .map, arena: trainer.model.device.arena, progress: progress)
        let metadata = Dictionary(
            (file.files.first?.metadata ?? []).map { ($0.key, $0.value) }, uniquingKeysWith: { first, _ in first })
        guard metadata["schema"] == schema, let stepText = metadata["step"], let step = Int(stepText), step >= 0 else {
            throw HadpoError(
                .format, "not a training state", at: path, found: metadata["schema"] ?? "no schema", expected: schema)
        }
        if let start = metadata["start"], start != origin.start {
            func said(_ content: String) -> String {
                content == "base" ? "no adapter" : "the adapter of content \(shortened(hash: content))"
            }
            throw HadpoError(
                .config, "the saved training started from another adapter", at: path,
                found: "what the training starts from: \(said(start)) then, now \(said(origin.start))",
                expected: "\(said(start)) to start from, as it was at the beginning")
        }
        if let reference = metadata["reference"], reference != origin.reference {
            throw HadpoError(
                .config, "the saved training compares with another reference", at: path,
                found: "reference.model \"\(origin.reference)\"", expected: "\"\(reference)\"")
        }
        let earlier = try TrainingIdentity(metadata["identity"] ?? "", at: path)
        let differences = identity.differences(from: earlier)
        guard differences.isEmpty else {
            throw HadpoError(
                .config, "the saved training was made with another configuration, other data or another model", at: path,
                found: differences.joined(separator: "; "),
                expected: "the model, the configuration and the data that it was begun with, or a training without resume")
        }
        if let verification = identity.model.verification(from: earlier.model, "its steps") {
            try progress.emit([
                "event": "warning",
                "message": .string("\(path): \(verification); a change between the samples of a tensor would not be seen"),
            ])
        }
        let lastBits = identity.model.lastBits.differences(from: earlier.model.lastBits, "its steps")
        if !lastBits.isEmpty {
            try progress.emit([
                "event": "warning",
                "message": .string("\(lastBits.joined(separator: "; ")): the last bits will not be those of one run"),
            ])
        }
        guard step <= trainer.totalSteps else {
            throw HadpoError(
                .format, "the saved training has taken more steps than there are", at: path, found: "step \(step)",
                expected: "at most \(trainer.totalSteps)")
        }
        // All is checked before anything is overwritten.
        var pairs: [(from: Tensor, to: Tensor)] = []
        for parameter in trainer.optimizer.parameters {
            for (prefix, tensor) in [("parameter.", parameter.value.data), ("m.", parameter.m), ("v.", parameter.v)] {
                try progress.tick()
                let name = prefix + parameter.name
                let stored = try file.tensor(name, shape: tensor.shape)
                guard stored.dtype == .f32 else {
                    throw HadpoError(
                        .format, "a saved tensor has another type", at: "\(path): \(name)", found: stored.dtype.rawValue,
                        expected: "F32")
                }
                // A mean of squares is not negative.
                guard isUsable(stored, from: prefix == "v." ? 0 : -.greatestFiniteMagnitude) else {
                    throw HadpoError(
                        .format, "a saved tensor holds numbers that no training has", at: "\(path): \(name)",
                        expected: prefix == "v." ? "finite numbers, none negative" : "finite numbers")
                }
                pairs.append((stored, tensor))
            }
        }
        return Stored(step: step, notes: Notes(guardRecords: metadata["guard"], lastRecord: metadata["last"]), pairs: pairs)
    }

    /// Whether all numbers are finite and at least `least`.
    private static func isUsable(_ tensor: Tensor, from least: Float) -> Bool {
        withExtendedLifetime(tensor.storage) {
            UnsafeBufferPointer(start: tensor.pointer.assumingMemoryBound(to: Float.self), count: tensor.count)
                .allSatisfy { $0 >= least && $0 <= .greatestFiniteMagnitude }
        }
    }

    package static func restore(_ trainer: Trainer, _ stored: Stored) throws(HadpoError) {
        for pair in stored.pairs { try trainer.model.device.copy(pair.from, into: pair.to) }
        trainer.step = stored.step
        trainer.optimizer.t = UInt64(stored.step)
    }
}
