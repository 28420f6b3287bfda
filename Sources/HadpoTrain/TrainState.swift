import HadpoBase
import HadpoTensor
import HadpoWeights

/// Everything a training needs to go on to the same bits, in one file that appears whole or not at all: parameters and both
/// moments in fp32, the step, and the configuration it was made under.
package enum TrainState {
    package static let fileName = "trainer_state.safetensors"

    package static func save(
        _ trainer: Trainer, identity: String, guardRecords: String? = nil, to directory: String, progress: any Progress
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
            metadata: [("schema", "hadpo.trainer-state/1"), ("step", "\(trainer.step)"), ("identity", identity)]
                + (guardRecords.map { [("guard", $0)] } ?? []),
            progress: progress)
        for (prefix, tensor) in parts {
            for parameter in trainer.optimizer.parameters { try writer.write(prefix + parameter.name, tensor(parameter)) }
        }
        try writer.finish()
    }

    /// - Returns: what a guard had seen until then; nil without one.
    @discardableResult
    package static func load(_ trainer: Trainer, identity: String, from directory: String, progress: any Progress)
        throws(HadpoError) -> String?
    {
        let device = trainer.model.device
        let path = File.join(directory, fileName)
        guard File.isFile(path) else {
            throw HadpoError(.io, "the folder holds no training to resume", at: directory, expected: fileName)
        }
        let file = try Checkpoint.open(path, load: .map, arena: device.arena, progress: progress)
        let metadata = Dictionary(
            (file.files.first?.metadata ?? []).map { ($0.key, $0.value) }, uniquingKeysWith: { first, _ in first })
        guard metadata["schema"] == "hadpo.trainer-state/1", let step = metadata["step"].flatMap({ Int($0) }), step >= 0 else {
            throw HadpoError(
                .format, "not a training state", at: path, found: metadata["schema"] ?? "no schema",
                expected: "hadpo.trainer-state/1")
        }
        guard metadata["identity"] == identity else {
            throw HadpoError(
                .config, "the saved training was made with another configuration, other data or another model", at: path,
                found: metadata["identity"] ?? "nothing", expected: identity)
        }
        // All shapes are checked before anything is overwritten.
        var pairs: [(from: Tensor, to: Tensor)] = []
        for parameter in trainer.optimizer.parameters {
            for (prefix, tensor) in [("parameter.", parameter.value.data), ("m.", parameter.m), ("v.", parameter.v)] {
                let stored = try file.tensor(prefix + parameter.name, shape: tensor.shape)
                guard stored.dtype == .f32 else {
                    throw HadpoError(
                        .format, "a saved tensor has another type", at: "\(path): \(prefix + parameter.name)",
                        found: stored.dtype.rawValue, expected: "F32")
                }
                pairs.append((stored, tensor))
            }
        }
        for pair in pairs { try device.copy(pair.from, into: pair.to) }
        trainer.step = step
        trainer.optimizer.t = UInt64(step)
        return metadata["guard"]
    }
}
