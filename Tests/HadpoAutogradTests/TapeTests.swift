import HadpoAutograd
import HadpoBase
import HadpoTensor
import Testing

private let quiet = SilentProgress()

/// Deterministic numbers around zero.
private func numbers(_ count: Int, _ seed: UInt64, scale: Double = 0.5) -> [Float] {
    var random = Philox(seed: seed)
    return (0..<count).map { _ in Float((random.uniform() - 0.5) * 2 * scale) }
}

/// Compares the gradients that the tape gives with central differences of sum(weights * f).
private func check(
    _ shapes: [[Int]], seed: UInt64 = 1, tolerance: Double = 2e-2, _ f: (Tape, [Value]) throws -> Value
) throws {
    let device = try Device(threads: 1)
    let inputs = shapes.enumerated().map { i, shape in numbers(shape.reduce(1, *), seed + UInt64(i)) }
    func evaluate(_ inputs: [[Float]], recording: Bool) throws -> (Tape, [Value], Value) {
        let tape = Tape(device: device, progress: quiet, isRecording: recording)
        var values: [Value] = []
        for (numbers, shape) in zip(inputs, shapes) {
            values.append(Value(try device.tensor(numbers, shape), needsGradient: recording))
        }
        return (tape, values, try f(tape, values))
    }
    let (tape, values, output) = try evaluate(inputs, recording: true)
    let weights = numbers(output.data.count, 99)
    func objective(_ inputs: [[Float]]) throws -> Double {
        zip(try evaluate(inputs, recording: false).2.data.floats(), weights).reduce(0) { $0 + Double($1.0) * Double($1.1) }
    }
    try tape.backward(from: output, gradient: device.tensor(weights, output.shape))
    for (i, value) in values.enumerated() {
        let gradient = try #require(value.gradient).floats()
        let scale = gradient.reduce(Float(0)) { max($0, abs($1)) }
        #expect(scale > 0)
        for j in stride(from: 0, to: gradient.count, by: max(1, gradient.count / 7)) {
            // fp32 forward: a step of 1e-2 leaves about three digits.
            let step: Float = 1e-2
            var up = inputs
            var down = inputs
            up[i][j] += step
            down[i][j] -= step
            let slope = (try objective(up) - objective(down)) / Double((inputs[i][j] + step) - (inputs[i][j] - step))
            #expect(
                abs(slope - Double(gradient[j])) < tolerance * Double(scale),
                "input \(i), element \(j): \(gradient[j]) against \(slope)")
        }
    }
}

@Suite struct TapeTests {
    @Test("a linear layer with bias and adapter")
    func linear() throws {
        try check([[5, 6], [4, 6], [4], [2, 6], [4, 2]]) { tape, v in
            try tape.linear(v[0], weight: v[1], bias: v[2], adapter: LoRA(a: v[3], b: v[4], scaling: 2))
        }
    }

    @Test("a value used twice collects both gradients")
    func usedTwice() throws {
        try check([[3, 4], [4, 4]]) { tape, v in
            let sum = try tape.add(v[0], tape.linear(v[0], weight: v[1]))
            return try tape.add(sum, tape.activation(.silu, sum))
        }
    }

    @Test("attention over a shared prefix with grouped heads and rotary positions")
    func attention() throws {
        let segments = [
            AttentionSegment(queries: 0..<3, own: 0..<3), AttentionSegment(queries: 3..<5, context: 0..<3, own: 3..<5),
            AttentionSegment(queries: 5..<8, context: 0..<3, own: 5..<8),
        ]
        try check([[8, 16], [8, 8], [8, 8]]) { tape, v in
            let shape = AttentionShape(heads: 4, kvHeads: 2, headWidth: 4)
            // rope works in place, and the inputs are wanted again
            let q = try tape.rope(
                tape.add(v[0], v[0]), heads: 4, positions: [0, 1, 2, 3, 4, 3, 4, 5], inverseFrequencies: [1, 0.1])
            return try tape.attention(shape, segments, q: q, k: v[1], v: v[2])
        }
    }

    @Test("rows gathered twice, concatenated and reshaped")
    func rows() throws {
        try check([[4, 3], [2, 3]]) { tape, v in
            let gathered = try tape.gather(v[0], ids: [2, 0, 2])
            return try tape.reshape(try tape.concatenate([(gathered, 1..<3), (v[1], 0..<2), (gathered, 0..<1)]), [3, 5])
        }
    }

    @Test("log-probabilities in chunks, with the head's gradient")
    func logProbs() throws {
        try check([[6, 5], [7, 5]]) { tape, v in
            try tape.logProbs(v[0], rows: [0, 5, 3, 3, 1], head: v[1], ids: [6, 0, 2, 3, 1], chunk: 2)
        }
    }

    @Test("norms and SwiGLU")
    func norms() throws {
        try check([[4, 6], [6], [6], [6]]) { tape, v in
            let a = try tape.layerNorm(v[0], weight: v[1], bias: v[2], epsilon: 1e-5)
            return try tape.swiGLU(gate: a, up: tape.rmsNorm(v[0], weight: v[3], epsilon: 1e-5))
        }
    }

    @Test("a checkpointed body leaves the same bits as the plain one")
    func checkpoint() throws {
        let device = try Device(threads: 1)
        func gradients(_ checkpointing: Bool) throws -> [[Float]] {
            let x = Value(try device.tensor(numbers(12, 3), [3, 4]), needsGradient: true)
            let w = Value(try device.tensor(numbers(16, 4), [4, 4]), needsGradient: true)
            let tape = Tape(device: device, progress: quiet, isRecording: true)
            let body: (Tape, Value) throws(HadpoError) -> Value = { tape, x throws(HadpoError) in
                try tape.add(x, tape.activation(.geluErf, tape.linear(x, weight: w)))
            }
            let y = checkpointing ? try tape.checkpoint(x, body) : try body(tape, x)
            try tape.backward(from: y, gradient: device.tensor(numbers(12, 5), [3, 4]))
            return try [x.gradient?.floats() ?? [], w.gradient?.floats() ?? []]
        }
        #expect(try gradients(true) == gradients(false))
    }

    @Test("without recording nothing is kept and adapters can be passed by")
    func plain() throws {
        let device = try Device(threads: 1)
        let x = Value(try device.tensor(numbers(6, 1), [2, 3]))
        let w = Value(try device.tensor(numbers(9, 2), [3, 3]))
        let lora = LoRA(
            a: Value(try device.tensor(numbers(3, 3), [1, 3])), b: Value(try device.tensor(numbers(3, 4), [3, 1])), scaling: 1)
        let base = try Tape(device: device, progress: quiet).linear(x, weight: w).data.floats()
        let off = try Tape(device: device, progress: quiet, adapters: .none).linear(x, weight: w, adapter: lora).data.floats()
        let on = try Tape(device: device, progress: quiet).linear(x, weight: w, adapter: lora).data.floats()
        #expect(off == base)
        #expect(on != base)
    }
}
