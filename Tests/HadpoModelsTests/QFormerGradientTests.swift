import HadpoAutograd
import HadpoBase
import HadpoModels
import HadpoNN
import HadpoTensor
import Testing

/// The value changes along each parameter's gradient as fast as the gradient is long: preference training keeps the Q-Former, so that no
/// trajectory would show it.
@Test("the Q-Former's gradients are the changes of its queries' rows")
func qformerGradients() throws {
    let device = try Device(threads: 1)
    let config = QFormerConfig(
        width: 16, feedForward: 24, layers: 2, heads: 2, crossFrequency: 2, featureWidth: 12, queries: 3, vocabulary: 9,
        maxPositions: 8)
    let source = RandomParameters(device: device, seed: 5)
    let network = try QFormer(source, prefix: "qformer", queries: "query_tokens", config)
    func numbers(_ count: Int, _ stream: UInt64) -> [Float] {
        var random = Philox(seed: 6, stream: stream)
        return (0..<count).map { _ in Float(random.normal()) }
    }
    // Two pictures of five rows, two questions of different length.
    let features = Value(try device.tensor(numbers(2 * 5 * 12, 0), [2 * 5, 12]), needsGradient: true)
    let weights = numbers(2 * 3 * 16, 1)
    func value() throws -> Double {
        let tape = Tape(device: device, progress: SilentProgress(), isRecording: false)
        let rows = try network(tape, features, [[1, 4, 2], [7, 3, 0, 8, 2]]).data.floats()
        var sum = 0.0
        for (number, weight) in zip(rows, weights) { sum += Double(number) * Double(weight) }
        return sum
    }
    let tape = Tape(device: device, progress: SilentProgress(), isRecording: true)
    let rows = try network(tape, features, [[1, 4, 2], [7, 3, 0, 8, 2]])
    try tape.backward(from: rows, gradient: device.tensor(weights, rows.data.shape))

    var checked = 0
    for (name, parameter) in source.trainable + [("features", features)] {
        guard let gradient = try parameter.gradient?.floats() else {
            // The last layer's text reaches nothing.
            #expect(name.hasPrefix("qformer.encoder.layer.1.") && !name.contains("query"), "\(name) has no gradient")
            continue
        }
        let length = gradient.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
        // Softmax does not see what all keys have in common.
        if name.hasSuffix("attention.key.bias") {
            #expect(length < 1e-4)
            continue
        }
        let old = try parameter.data.floats()
        let step = 0.01
        var found: [Double] = []
        for sign in [1.0, -1.0] {
            let moved = zip(old, gradient).map { Float(Double($0) + sign * step * Double($1) / length) }
            try device.copy(device.tensor(moved, parameter.data.shape), into: parameter.data)
            found.append(try value())
        }
        try device.copy(device.tensor(old, parameter.data.shape), into: parameter.data)
        // Rounding of values near 10 (1e-6 relative) over 2 steps of 0.01, and third derivatives times 1e-4 / 6.
        #expect(abs((found[0] - found[1]) / (2 * step) - length) < 1e-2 * length + 2e-3, "\(name)")
        checked += 1
    }
    #expect(checked > 40)
}
