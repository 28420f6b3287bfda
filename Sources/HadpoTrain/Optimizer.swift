import Glibc
import HadpoAutograd
import HadpoBase
import HadpoTensor

/// A value that training changes, with AdamW's two moments. All fp32.
package final class TrainableParameter {
    /// The name under which it is saved.
    package let name: String
    package let value: Value
    let m: Tensor
    let v: Tensor

    package init(_ name: String, _ value: Value, device: Device) throws(HadpoError) {
        self.name = name
        self.value = value
        m = try device.zeros(value.shape)
        v = try device.zeros(value.shape)
    }
}

package struct OptimizerSettings: Sendable, Equatable {
    package var learningRate: Double
    package var beta1 = 0.9
    package var beta2 = 0.999
    package var epsilon = 1e-8
    package var weightDecay = 0.0
    /// Largest Euclidean norm of all gradients together; 0 does not clip.
    package var maxGradNorm = 0.0

    package init(learningRate: Double) { self.learningRate = learningRate }
}

/// AdamW over a list of parameters (Loshchilov & Hutter 2019), with clipping by the global norm as PyTorch does it.
package final class Optimizer {
    package let parameters: [TrainableParameter]
    package let settings: OptimizerSettings
    /// Steps taken.
    package internal(set) var t: UInt64 = 0
    private let device: Device

    package init(_ parameters: [TrainableParameter], _ settings: OptimizerSettings, device: Device) {
        self.parameters = parameters
        self.settings = settings
        self.device = device
    }

    /// Norm of all gradients; not finite when one of them is not.
    package func gradientNorm() throws(HadpoError) -> Double {
        var sum = 0.0
        for parameter in parameters { if let gradient = parameter.value.gradient { sum += try device.sumOfSquares(gradient) } }
        return sum.squareRoot()
    }

    /// One step; gradients are cleared.
    /// - Parameters:
    ///   - learningRate: the schedule's rate now.
    ///   - scales: a factor on the rate by parameter, 1 where absent (the vision tower of the world's base).
    /// - Returns: the norm before clipping.
    @discardableResult
    package func step(learningRate: Double, scale: (TrainableParameter) -> Double = { _ in 1 }) throws(HadpoError) -> Double {
        let norm = try gradientNorm()
        guard norm.isFinite else {
            throw HadpoError(.numerics, "a gradient is not finite", at: "step \(t + 1)", found: "norm \(norm)")
        }
        t += 1
        // torch.nn.utils.clip_grad_norm_: factor max_norm / (norm + 1e-6), at most 1.
        let clip = settings.maxGradNorm > 0 ? min(1, settings.maxGradNorm / (norm + 1e-6)) : 1
        for parameter in parameters {
            guard let gradient = parameter.value.gradient else { continue }
            // Vectors (norms, biases) are not decayed.
            let decay = parameter.value.shape.count > 1 ? settings.weightDecay : 0
            try device.adamW(
                AdamW(
                    learningRate: learningRate * scale(parameter), beta1: settings.beta1, beta2: settings.beta2,
                    epsilon: settings.epsilon, weightDecay: decay, t: t),
                parameter: parameter.value.data, gradient: gradient, m: parameter.m, v: parameter.v, gradientScale: Float(clip))
        }
        clearGradients()
        return norm
    }

    /// What is not finite is good for nothing, and is written nowhere.
    package func requireFinite(at place: String) throws(HadpoError) {
        for parameter in parameters {
            for tensor in [parameter.value.data, parameter.m, parameter.v] where try !device.sumOfSquares(tensor).isFinite {
                throw HadpoError(
                    .numerics, "the trained numbers are not finite", at: place, found: parameter.name,
                    expected: "finite numbers; resume from an earlier save with a lower learning rate, or with max_grad_norm")
            }
        }
    }

    package func clearGradients() { for parameter in parameters { parameter.value.clearGradient() } }
}

/// The factor on the learning rate at a step, as transformers 4.31 computes it.
package struct LearningRateSchedule: Sendable, Equatable {
    package enum Kind: String, Sendable, CaseIterable { case cosine, linear, constant }
    package var kind: Kind
    package var warmupSteps: Int
    package var totalSteps: Int

    package init(_ kind: Kind, warmupSteps: Int, totalSteps: Int) {
        self.kind = kind
        self.warmupSteps = warmupSteps
        self.totalSteps = totalSteps
    }

    /// - Parameter step: optimizer steps already taken; the first step runs at factor(0).
    package func factor(_ step: Int) -> Double {
        if step < warmupSteps { return Double(step) / Double(max(1, warmupSteps)) }
        let progress = Double(step - warmupSteps) / Double(max(1, totalSteps - warmupSteps))
        switch kind {
        case .constant: return 1
        case .linear: return max(0, 1 - progress)
        case .cosine: return max(0, 0.5 * (1 + cos(.pi * progress)))
        }
    }
}
