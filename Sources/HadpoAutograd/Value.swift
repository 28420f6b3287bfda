import HadpoBase
import HadpoTensor

/// A tensor in a computation, with the gradient that a backward pass leaves on it.
///
/// Weights are values too: frozen ones as stored (fp32, fp16, bf16) with `needsGradient` false, trainable ones fp32.
/// A weight's gradient persists and accumulates until the optimizer clears it; an intermediate's is dropped once used.
package final class Value {
    package let data: Tensor
    package let needsGradient: Bool
    package private(set) var gradient: Tensor?
    /// A gradient that arrived from a sum belongs to somebody else too and must be copied before it is added to.
    private var ownsGradient = false

    package init(_ data: Tensor, needsGradient: Bool = false) {
        self.data = data
        self.needsGradient = needsGradient
    }

    package var shape: [Int] { data.shape }
    package var rows: Int { data.rows }
    package var columns: Int { data.columns }

    /// Adds `part` to the gradient. `owned`: nobody else looks at `part`, it may be kept and written to.
    package func receive(_ part: Tensor, owned: Bool, on device: Device) throws(HadpoError) {
        guard needsGradient else { return }
        guard let gradient else {
            self.gradient = part
            ownsGradient = owned
            return
        }
        if ownsGradient {
            try device.axpy(1, part, into: gradient)
        } else {
            let sum = try device.allocate(data.shape)
            try device.add(gradient, part, into: sum)
            self.gradient = sum
            ownsGradient = true
        }
    }

    /// A tensor to write the next part of the gradient into, and whether to add to what is there (else overwrite).
    package func gradientTarget(on device: Device) throws(HadpoError) -> (tensor: Tensor, accumulate: Bool) {
        if let gradient {
            if ownsGradient { return (gradient, true) }
            let copy = try device.allocate(data.shape)
            try device.copy(gradient, into: copy)
            self.gradient = copy
            ownsGradient = true
            return (copy, true)
        }
        let fresh = try device.allocate(data.shape)
        gradient = fresh
        ownsGradient = true
        return (fresh, false)
    }

    /// Like `gradientTarget`, for kernels that only add: zeros when there was nothing.
    package func gradientSum(on device: Device) throws(HadpoError) -> Tensor {
        let (tensor, accumulate) = try gradientTarget(on: device)
        if !accumulate { try device.zero(tensor) }
        return tensor
    }

    package func takeGradient() -> Tensor? {
        defer { gradient = nil }
        return gradient
    }

    package func clearGradient() { gradient = nil }
}
