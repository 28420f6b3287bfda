import HadpoAutograd
import HadpoBase
import HadpoTensor

/// Where a network gets its parameters: a checkpoint, or random numbers for a new one.
package protocol ParameterSource {
    /// A matrix or a table, in the type in which it is stored. [outputs, inputs]
    func matrix(_ name: String, _ shape: [Int]) throws(HadpoError) -> Value
    /// A vector (norm weight, bias, class embedding), always fp32.
    func vector(_ name: String, _ count: Int) throws(HadpoError) -> Value
}

/// y = x W^T + b, and with an adapter + scaling (x A^T) B^T.
package final class Linear {
    /// The checkpoint's name without ".weight".
    package let name: String
    package let weight: Value
    package let bias: Value?
    package var adapter: LoRA? { didSet { startAdapter = nil } }
    /// What `adapter` was before it was trained, for a reference that starts where the policy does; nil: it is not trained.
    package var startAdapter: LoRA?

    package init(_ source: any ParameterSource, _ name: String, inputs: Int, outputs: Int, bias: Bool) throws(HadpoError) {
        self.name = name
        weight = try source.matrix(name + ".weight", [outputs, inputs])
        self.bias = bias ? try source.vector(name + ".bias", outputs) : nil
    }

    /// From values that exist already (the reference's projector).
    package init(name: String, weight: Value, bias: Value?) {
        self.name = name
        self.weight = weight
        self.bias = bias
    }

    package var inputs: Int { weight.data.columns }
    package var outputs: Int { weight.data.rows }

    package func callAsFunction(_ tape: Tape, _ x: Value) throws(HadpoError) -> Value {
        let used = tape.adapters == .start ? startAdapter ?? adapter : adapter
        return try tape.linear(x, weight: weight, bias: bias, adapter: used)
    }
}

/// x -> (x - mean) / sqrt(var + eps) * weight + bias
package struct LayerNorm {
    let weight: Value, bias: Value
    let epsilon: Float

    package init(_ source: any ParameterSource, _ name: String, _ width: Int, epsilon: Float) throws(HadpoError) {
        weight = try source.vector(name + ".weight", width)
        bias = try source.vector(name + ".bias", width)
        self.epsilon = epsilon
    }

    package func callAsFunction(_ tape: Tape, _ x: Value) throws(HadpoError) -> Value {
        try tape.layerNorm(x, weight: weight, bias: bias, epsilon: epsilon)
    }
}

/// x -> x / sqrt(mean(x^2) + eps) * weight
package struct RMSNorm {
    let weight: Value
    let epsilon: Float

    package init(_ source: any ParameterSource, _ name: String, _ width: Int, epsilon: Float) throws(HadpoError) {
        weight = try source.vector(name + ".weight", width)
        self.epsilon = epsilon
    }

    package func callAsFunction(_ tape: Tape, _ x: Value) throws(HadpoError) -> Value {
        try tape.rmsNorm(x, weight: weight, epsilon: epsilon)
    }
}
