import HadpoAutograd
import HadpoBase
import HadpoNN
import HadpoTensor
import Testing

private let quiet = SilentProgress()

/// Random parameters for a decoder that no file describes.
private struct Random: ParameterSource {
    let device: Device

    private func value(_ name: String, _ shape: [Int]) throws(HadpoError) -> Value {
        var random = Philox(seed: name.utf8.reduce(7) { ($0 &* 31) &+ UInt64($1) })
        return Value(try device.tensor((0..<shape.reduce(1, *)).map { _ in Float(random.normal() * 0.3) }, shape))
    }
    func matrix(_ name: String, _ shape: [Int]) throws(HadpoError) -> Value { try value(name, shape) }
    func vector(_ name: String, _ count: Int) throws(HadpoError) -> Value { try value(name, [count]) }
}

@Suite struct DecoderTests {
    static let config = LlamaConfig(
        width: 24, feedForward: 40, layers: 2, heads: 4, kvHeads: 2, headWidth: 6, vocabulary: 50, rmsEpsilon: 1e-5,
        ropeTheta: 10000, maxPositions: 128)

    private func decoder(_ device: Device) throws -> LlamaDecoder {
        try LlamaDecoder(Random(device: device), prefix: "model", head: "lm_head", Self.config)
    }

    private func embed(_ device: Device, _ decoder: LlamaDecoder, _ ids: [Int32]) throws -> (Tape, Value) {
        let tape = Tape(device: device, progress: quiet)
        return (tape, try tape.gather(decoder.embedding, ids: ids))
    }

    private func causal(_ count: Int) -> RowPlan {
        RowPlan(positions: (0..<Int32(count)).map { $0 }, segments: [AttentionSegment(queries: 0..<count, own: 0..<count)])
    }

    @Test("two branches on a shared prefix equal two plain sequences in bits", arguments: [1, 2])
    func sharedPrefix(_ threads: Int) throws {
        let device = try Device(threads: threads)
        let decoder = try decoder(device)
        let prefix: [Int32] = [1, 7, 9, 30, 31, 32, 4]
        let a: [Int32] = [11, 12, 13, 14, 15]
        let b: [Int32] = [21, 22, 23]
        let plan = RowPlan(
            positions: (0..<7).map { Int32($0) } + (7..<12).map { Int32($0) } + (7..<10).map { Int32($0) },
            segments: [
                AttentionSegment(queries: 0..<7, own: 0..<7), AttentionSegment(queries: 7..<12, context: 0..<7, own: 7..<12),
                AttentionSegment(queries: 12..<15, context: 0..<7, own: 12..<15),
            ])
        let (tape, x) = try embed(device, decoder, prefix + a + b)
        let packed = try decoder(tape, x, plan).data.floats()
        for (branch, rows) in [(a, 7..<12), (b, 12..<15)] {
            let (tape, x) = try embed(device, decoder, prefix + branch)
            let plain = try decoder(tape, x, causal(7 + branch.count)).data.floats()
            #expect(Array(packed[rows.lowerBound * 24..<rows.upperBound * 24]) == Array(plain[7 * 24..<(7 + branch.count) * 24]))
        }
    }

    @Test("decoding through the cache equals one pass over the whole sequence in bits")
    func cached() throws {
        let device = try Device(threads: 2)
        let decoder = try decoder(device)
        let ids: [Int32] = [1, 5, 6, 7, 8, 9, 40]
        let (tape, x) = try embed(device, decoder, ids)
        let whole = try decoder(tape, x, causal(ids.count)).data.floats()
        let cache = try decoder.makeCache(device: device, capacity: 16)
        var steps: [Float] = []
        for (i, range) in [0..<4, 4..<5, 5..<6, 6..<7].enumerated() {
            let (tape, x) = try embed(device, decoder, Array(ids[range]))
            let plan = RowPlan(
                positions: range.map { Int32($0) },
                segments: [AttentionSegment(queries: 0..<range.count, own: 0..<range.upperBound)],
                cacheRows: [range])
            steps += try decoder(tape, x, plan, cache: cache).data.floats()
            #expect(i < 4)
        }
        #expect(steps == whole)
    }

    @Test("rope bases and scalings change the frequencies as transformers computes them")
    func frequencies() {
        var config = Self.config
        #expect(config.inverseFrequencies[0] == 1)
        // 10000^(-2/6), 10000^(-4/6)
        #expect(abs(config.inverseFrequencies[1] - 0.046415888) < 1e-7)
        #expect(abs(config.inverseFrequencies[2] - 0.0021544347) < 1e-8)
        config.ropeScaling = .linear(factor: 4)
        #expect(abs(config.inverseFrequencies[1] - 0.046415888 / 4) < 1e-8)
        config.ropeScaling = .llama3(factor: 8, lowFrequency: 1, highFrequency: 4, originalPositions: 64)
        // Wavelengths 6.28 (kept), 135 and 2916 (beyond 64: divided by 8).
        #expect(config.inverseFrequencies[0] == 1)
        #expect(abs(config.inverseFrequencies[1] - 0.046415888 / 8) < 1e-8)
    }
}
