import HadpoBase
import HadpoTensor

// Reverse-mode differentiation. Every operation computes its value at once and, when an input needs a gradient, leaves
// the step that carries the gradient back. `backward` runs those steps from the last to the first.
//
// Dimensions: R rows (tokens or patches of all sequences, packed), C columns, N outputs, K inputs, r LoRA rank.

/// Looks at intermediate values by name ("vision.block.3"). A protocol and not a closure: Swift 6.3.1 miscompiles optional
/// closures with typed throws.
package protocol TapeObserver: AnyObject {
    func observe(_ name: String, _ tensor: Tensor) throws(HadpoError)
}

/// Which LoRA matrices a computation goes through.
package enum AdapterUse: Sendable {
    /// Those that are on the model: the policy's.
    case current
    /// As they were when the training began: a reference that starts where the policy does.
    case start
    /// None, which makes the policy the checkpoint's model.
    case none
}

package final class Tape {
    package let device: Device
    package let progress: any Progress
    /// False: values only, nothing is remembered (inference, the reference model).
    package let isRecording: Bool
    package let adapters: AdapterUse
    /// Told of every value worth looking at from outside.
    package var observer: (any TapeObserver)?

    /// What carries the gradient of one output back to its inputs.
    private struct Step {
        let output: Value
        let carry: (Tensor) throws(HadpoError) -> Void
    }
    private var steps: [Step] = []

    package init(device: Device, progress: any Progress, isRecording: Bool = false, adapters: AdapterUse = .current) {
        self.device = device
        self.progress = progress
        self.isRecording = isRecording
        self.adapters = adapters
    }

    /// A new value computed from `inputs`; recorded when one of them needs a gradient.
    func result(_ data: Tensor, from inputs: [Value?]) -> Value {
        Value(data, needsGradient: isRecording && inputs.contains { $0?.needsGradient ?? false })
    }

    /// `carry` receives the gradient of `output` and hands parts of it to the inputs. Skipped when no gradient arrived.
    func record(_ output: Value, _ carry: @escaping (Tensor) throws(HadpoError) -> Void) {
        guard output.needsGradient else { return }
        steps.append(Step(output: output, carry: carry))
    }

    /// Gradients of everything `output` was computed from, given that of `output` itself. The tape is empty afterwards.
    package func backward(from output: Value, gradient: Tensor) throws(HadpoError) {
        try output.receive(gradient, owned: false, on: device)
        while let step = steps.popLast() {
            try progress.tick()
            if let gradient = step.output.takeGradient() { try step.carry(gradient) }
        }
    }

    // MARK: products

    /// y[R,N] = x[R,K] W[N,K]^T + bias, and with LoRA + scaling (x A^T) B^T with A[r,K], B[N,r] (Hu et al., eq. 3).
    package func linear(_ x: Value, weight: Value, bias: Value? = nil, adapter: LoRA? = nil) throws(HadpoError) -> Value {
        try progress.tick()
        let adapter = adapters == .none ? nil : adapter
        let device = device
        let progress = progress
        let y = try device.allocate([x.rows, weight.data.rows])
        try device.matmul(x.data, aTransposed: false, weight.data, bTransposed: true, into: y, accumulate: false)
        if let bias { try device.addBias(bias.data, to: y) }
        var thin: Tensor?  // scaling x A^T, [R,r]
        if let adapter {
            let h = try device.allocate([x.rows, adapter.rank])
            try device.matmul(x.data, aTransposed: false, adapter.a.data, bTransposed: true, into: h, accumulate: false)
            try device.scale(h, by: adapter.scaling)
            try device.matmul(h, aTransposed: false, adapter.b.data, bTransposed: true, into: y, accumulate: true)
            thin = h
        }
        let output = result(y, from: [x, weight, bias, adapter?.a, adapter?.b])
        record(output) { [thin] dy throws(HadpoError) in
            if x.needsGradient {
                let (dx, accumulate) = try x.gradientTarget(on: device)
                try device.matmul(dy, aTransposed: false, weight.data, bTransposed: false, into: dx, accumulate: accumulate)
            }
            if weight.needsGradient {
                let (dw, accumulate) = try weight.gradientTarget(on: device)
                try device.matmul(dy, aTransposed: true, x.data, bTransposed: false, into: dw, accumulate: accumulate)
            }
            if let bias, bias.needsGradient { try device.columnSum(dy, into: try bias.gradientSum(on: device)) }
            guard let adapter, let thin else { return }
            try progress.tick()
            if adapter.b.needsGradient {
                let (db, accumulate) = try adapter.b.gradientTarget(on: device)
                try device.matmul(dy, aTransposed: true, thin, bTransposed: false, into: db, accumulate: accumulate)
            }
            let dh = try device.allocate([dy.rows, adapter.rank])
            try device.matmul(dy, aTransposed: false, adapter.b.data, bTransposed: false, into: dh, accumulate: false)
            try device.scale(dh, by: adapter.scaling)
            if adapter.a.needsGradient {
                let (da, accumulate) = try adapter.a.gradientTarget(on: device)
                try device.matmul(dh, aTransposed: true, x.data, bTransposed: false, into: da, accumulate: accumulate)
            }
            if x.needsGradient {
                let (dx, accumulate) = try x.gradientTarget(on: device)
                try device.matmul(dh, aTransposed: false, adapter.a.data, bTransposed: false, into: dx, accumulate: accumulate)
            }
        }
        return output
    }

    // MARK: attention and positions

    /// Rotary positions, in place: x's numbers are used up (the product before it does not need them again).
    package func rope(_ x: Value, heads: Int, positions: [Int32], inverseFrequencies: [Float]) throws(HadpoError) -> Value {
        let device = device
        try device.rope(x.data, heads: heads, positions: positions, inverseFrequencies: inverseFrequencies, inverse: false)
        let output = result(x.data, from: [x])
        record(output) { dy throws(HadpoError) in
            // dy came from the attention's backward pass alone, so it may be turned back where it lies.
            try device.rope(dy, heads: heads, positions: positions, inverseFrequencies: inverseFrequencies, inverse: true)
            try x.receive(dy, owned: true, on: device)
        }
        return output
    }

    package func attention(_ shape: AttentionShape, _ segments: [AttentionSegment], q: Value, k: Value, v: Value)
        throws(HadpoError) -> Value
    {
        try progress.tick()
        let device = device
        let out = try device.allocate([q.rows, q.columns])
        let needs = isRecording && (q.needsGradient || k.needsGradient || v.needsGradient)
        let lse = needs ? try device.allocate([q.rows, shape.heads]) : nil
        try device.attention(shape, segments, q: q.data, k: k.data, v: v.data, into: out, lse: lse)
        let output = result(out, from: [q, k, v])
        record(output) { dout throws(HadpoError) in
            guard let lse else { return }
            let dq = try device.allocate(q.shape)
            let dk = try device.zeros(k.shape)
            let dv = try device.zeros(v.shape)
            try device.attentionBackward(
                shape, segments, q: q.data, k: k.data, v: v.data, out: out, lse: lse, dout: dout, dq: dq, dk: dk, dv: dv)
            try q.receive(dq, owned: true, on: device)
            try k.receive(dk, owned: true, on: device)
            try v.receive(dv, owned: true, on: device)
        }
        return output
    }

    // MARK: norms and activations

    package func rmsNorm(_ x: Value, weight: Value, epsilon: Float) throws(HadpoError) -> Value {
        let device = device
        let y = try device.allocate(x.shape)
        let rstd = isRecording ? try device.allocate([x.rows]) : nil
        try device.rmsNorm(x.data, weight: weight.data, epsilon: epsilon, into: y, rstd: rstd)
        let output = result(y, from: [x, weight])
        record(output) { dy throws(HadpoError) in
            guard let rstd else { return }
            let dx = try device.allocate(x.shape)
            let dw = weight.needsGradient ? try weight.gradientSum(on: device) : nil
            try device.rmsNormBackward(x.data, weight: weight.data, rstd: rstd, dy: dy, dx: dx, dweight: dw)
            try x.receive(dx, owned: true, on: device)
        }
        return output
    }

    package func layerNorm(_ x: Value, weight: Value, bias: Value, epsilon: Float) throws(HadpoError) -> Value {
        let device = device
        let y = try device.allocate(x.shape)
        let mean = isRecording ? try device.allocate([x.rows]) : nil
        let rstd = isRecording ? try device.allocate([x.rows]) : nil
        try device.layerNorm(x.data, weight: weight.data, bias: bias.data, epsilon: epsilon, into: y, mean: mean, rstd: rstd)
        let output = result(y, from: [x, weight, bias])
        record(output) { dy throws(HadpoError) in
            guard let mean, let rstd else { return }
            let dx = try device.allocate(x.shape)
            let dw = weight.needsGradient ? try weight.gradientSum(on: device) : nil
            let db = bias.needsGradient ? try bias.gradientSum(on: device) : nil
            try device.layerNormBackward(
                x.data, weight: weight.data, mean: mean, rstd: rstd, dy: dy, dx: dx, dweight: dw, dbias: db)
            try x.receive(dx, owned: true, on: device)
        }
        return output
    }

    package func activation(_ kind: Activation, _ x: Value) throws(HadpoError) -> Value {
        let device = device
        let y = try device.allocate(x.shape)
        try device.activation(kind, x.data, into: y)
        let output = result(y, from: [x])
        record(output) { dy throws(HadpoError) in
            let dx = try device.allocate(x.shape)
            try device.activationBackward(kind, x.data, dy: dy, dx: dx)
            try x.receive(dx, owned: true, on: device)
        }
        return output
    }

    /// silu(gate) * up
    package func swiGLU(gate: Value, up: Value) throws(HadpoError) -> Value {
        let device = device
        let y = try device.allocate(gate.shape)
        try device.swiGLU(gate: gate.data, up: up.data, into: y)
        let output = result(y, from: [gate, up])
        record(output) { dy throws(HadpoError) in
            let dgate = try device.allocate(gate.shape)
            let dup = try device.allocate(up.shape)
            try device.swiGLUBackward(gate: gate.data, up: up.data, dy: dy, dgate: dgate, dup: dup)
            try gate.receive(dgate, owned: true, on: device)
            try up.receive(dup, owned: true, on: device)
        }
        return output
    }

    package func add(_ a: Value, _ b: Value) throws(HadpoError) -> Value {
        let device = device
        let y = try device.allocate(a.shape)
        try device.add(a.data, b.data, into: y)
        let output = result(y, from: [a, b])
        record(output) { dy throws(HadpoError) in
            try a.receive(dy, owned: false, on: device)
            try b.receive(dy, owned: false, on: device)
        }
        return output
    }
}
