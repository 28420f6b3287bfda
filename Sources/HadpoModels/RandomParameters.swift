import HadpoAutograd
import HadpoBase
import HadpoNN
import HadpoTensor

/// Initial values of a new network, all trainable and fp32. The same seed gives the same numbers: each parameter draws from a stream of
/// its own, numbered in the order in which the network asks.
///
/// Matrices have the variance of PyTorch's linear layers, 1 / (3 inputs); tables of embeddings and positions a deviation of 0.1,
/// which is about what such matrices make of a picture. Norms start as the identity, biases at zero.
package final class RandomParameters: ParameterSource {
    private let device: Device
    private let seed: UInt64
    private let isFrozen: (String) -> Bool
    /// In the order in which the network asked for them.
    package private(set) var trainable: [(name: String, value: Value)] = []

    private static let tableDeviation = 0.1

    package init(device: Device, seed: UInt64, isFrozen: @escaping (String) -> Bool = { _ in false }) {
        self.device = device
        self.seed = seed
        self.isFrozen = isFrozen
    }

    package func matrix(_ name: String, _ shape: [Int]) throws(HadpoError) -> Value {
        let tables = [
            "embed_tokens.weight", "position_embedding.weight", "position_embedding", "query_tokens", "word_embeddings.weight",
            "position_embeddings.weight",
        ]
        let isTable = tables.contains { name.hasSuffix($0) }
        let inputs = shape.dropFirst().reduce(1, *)
        // EVA has no norm behind the sum of patches and positions: small positions would drown.
        if name.hasSuffix(".position_embedding") { return try normal(name, shape, deviation: 1) }
        return try normal(name, shape, deviation: isTable ? Self.tableDeviation : 1 / (3 * Double(max(1, inputs))).squareRoot())
    }

    package func vector(_ name: String, _ count: Int) throws(HadpoError) -> Value {
        if name.hasSuffix("class_embedding") { return try normal(name, [count], deviation: Self.tableDeviation) }
        return keep(name, try device.tensor([Float](repeating: name.hasSuffix(".bias") ? 0 : 1, count: count), [count]))
    }

    private func normal(_ name: String, _ shape: [Int], deviation: Double) throws(HadpoError) -> Value {
        var random = Philox(seed: seed, stream: UInt64(trainable.count))
        let count = shape.reduce(1, *)
        return keep(name, try device.tensor((0..<count).map { _ in Float(deviation * random.normal()) }, shape))
    }

    private func keep(_ name: String, _ data: Tensor) -> Value {
        if isFrozen(name) { return Value(data) }
        let value = Value(data, needsGradient: true)
        trainable.append((name, value))
        return value
    }
}
