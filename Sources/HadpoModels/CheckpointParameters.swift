import HadpoAutograd
import HadpoBase
import HadpoNN
import HadpoTensor
import HadpoWeights

/// Parameters out of weight files. Names are those of the network ("language_model.model.layers.0..."); `spell` turns them
/// into the file's. Frozen parameters are views into the mapped file; trainable ones are fp32 copies.
package final class CheckpointParameters: ParameterSource {
    private let device: any Device
    private let lookUp: (String) -> (checkpoint: Checkpoint, name: String)
    private let isTrainable: (String) -> Bool
    /// Trainable parameters in the order in which the network asked for them.
    package private(set) var trainable: [(name: String, value: Value)] = []

    package init(
        device: any Device, isTrainable: @escaping (String) -> Bool = { _ in false },
        lookUp: @escaping (String) -> (checkpoint: Checkpoint, name: String)
    ) {
        self.device = device
        self.lookUp = lookUp
        self.isTrainable = isTrainable
    }

    package func matrix(_ name: String, _ shape: [Int]) throws(HadpoError) -> Value {
        let place = lookUp(name)
        return try wrap(name, try place.checkpoint.tensor(place.name, shape: shape))
    }

    package func vector(_ name: String, _ count: Int) throws(HadpoError) -> Value {
        let place = lookUp(name)
        return try wrap(name, try device.float32(try place.checkpoint.tensor(place.name, shape: [count])))
    }

    private func wrap(_ name: String, _ stored: Tensor) throws(HadpoError) -> Value {
        guard [.f32, .f16, .bf16].contains(stored.dtype) else {
            throw HadpoError(
                .weights, "a weight has a type that cannot be computed with", at: name, found: stored.dtype.rawValue,
                expected: "F32, F16 or BF16")
        }
        guard isTrainable(name) else { return Value(stored) }
        let master = try device.allocate(stored.shape)
        try device.convert(stored, into: master)
        let value = Value(master, needsGradient: true)
        trainable.append((name, value))
        return value
    }
}
