import CHadpoFuzz
import Glibc

/// Numbers from a seed that libFuzzer gives: the same seed and input give the same mutation.
struct SeededRandom {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func below(_ count: Int) -> Int { count <= 1 ? 0 : Int(next() % UInt64(count)) }

    mutating func pick<T>(_ choices: [T]) -> T { choices[below(choices.count)] }
}

/// libFuzzer calls this for every new input. Half of them are changed by its own mutations, the others by the reader's grammar.
@_cdecl("LLVMFuzzerCustomMutator")
func mutate(_ data: UnsafeMutablePointer<UInt8>, _ size: Int, _ maxSize: Int, _ seed: UInt32) -> Int {
    var random = SeededRandom(UInt64(seed))
    if chosen.grammar == .bytes || random.below(2) == 0 { return LLVMFuzzerMutate(data, size, maxSize) }
    let input = Array(UnsafeBufferPointer(start: data, count: size))
    let output: [UInt8] =
        switch chosen.grammar {
        case .bytes: input
        case .json: JSONMutation.apply(input, &random)
        case .safetensors: safetensors(input, &random)
        case .pickle: PickleMutation.apply(input, &random)
        }
    let count = min(output.count, maxSize)
    output.withUnsafeBytes { if let base = $0.baseAddress { memcpy(data, base, count) } }
    return count
}

/// The header is changed as JSON and its length with it, mostly.
private func safetensors(_ input: [UInt8], _ random: inout SeededRandom) -> [UInt8] {
    guard input.count > 8 else { return input + JSONMutation.value(&random, depth: 2) }
    let said = input[..<8].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    let length = Int(clamping: min(said, UInt64(input.count - 8)))
    var header = Array(input[8..<8 + length])
    header = JSONMutation.apply(header, &random)
    let wrong = random.below(8) == 0 ? random.below(64) - 32 : 0
    let written = UInt64(clamping: header.count + wrong)
    return (0..<8).map { UInt8(truncatingIfNeeded: written >> (8 * UInt64($0))) } + header + input[(8 + length)...]
}
