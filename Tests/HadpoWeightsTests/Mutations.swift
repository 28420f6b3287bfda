import HadpoBase
import HadpoTensor
import HadpoWeights
import Testing

/// Damages a good file in thousands of ways and reads each result to the last tensor. A trap ends the test run; a read outside
/// the file's block is seen under the address sanitizer.
enum Mutations {
    static func run(seed: [UInt8], count: Int, at location: SourceLocation = #_sourceLocation) {
        var random = SplitMix(state: 20_231_116)
        let arena = Arena(limit: 64 << 20)
        var opened = 0
        for round in 0..<count {
            let bytes = mutated(seed, round, &random)
            guard let file = try? WeightFile.open(memoryFile(bytes, arena: arena)) else { continue }
            opened += 1
            for info in file.tensors {
                guard let tensor = try? file.tensor(info) else { continue }
                let end = tensor.byteOffset + tensor.byteCount
                #expect(tensor.byteOffset >= 0 && end <= tensor.storage.byteCount, sourceLocation: location)
                // Looks at every byte.
                _ = tensorBytes(tensor).reduce(0, &+)
            }
        }
        #expect(opened > 0, "no mutation left the file readable: the mutations are too coarse", sourceLocation: location)
    }

    static func mutated(_ seed: [UInt8], _ round: Int, _ random: inout SplitMix) -> [UInt8] {
        var bytes = seed
        for _ in 0..<(1 + round % 4) {
            guard !bytes.isEmpty else { return bytes }
            let place = Int.random(in: 0..<bytes.count, using: &random)
            switch Int.random(in: 0..<7, using: &random) {
            case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
            case 1: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 2: bytes.remove(at: place)
            case 3: bytes.insert(UInt8.random(in: 0...255, using: &random), at: place)
            case 4: bytes.removeLast(bytes.count - place)
            case 5:
                let interesting: [[UInt8]] = [
                    [0xFF, 0xFF, 0xFF, 0xFF], [0xFF, 0xFF, 0xFF, 0x7F], [0, 0, 0, 0x80], [0, 0, 0, 0], Array("99999999".utf8),
                    [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F],
                ]
                let value = interesting[Int.random(in: 0..<interesting.count, using: &random)]
                for (index, byte) in value.enumerated() where place + index < bytes.count { bytes[place + index] = byte }
            default:
                let end = min(bytes.count, place + Int.random(in: 1...24, using: &random))
                bytes.insert(contentsOf: Array(bytes[place..<end]), at: Int.random(in: 0...bytes.count, using: &random))
            }
        }
        return bytes
    }
}

/// Steele, Lea and Flood's SplitMix64: the same mutations in every run.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
