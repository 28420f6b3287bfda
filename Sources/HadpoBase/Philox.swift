import Glibc

/// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011). A number depends only on seed, stream and
/// its position, so a training that resumes at a position continues exactly, and streams never meet.
package struct Philox: Sendable, Equatable {
    package let seed: UInt64
    package let stream: UInt64
    /// How many 32-bit numbers were drawn; saving it and setting it again resumes.
    package var position: UInt64

    private var block: SIMD4<UInt32> = .zero
    private var blockIndex: UInt64?

    package init(seed: UInt64, stream: UInt64 = 0, position: UInt64 = 0) {
        self.seed = seed
        self.stream = stream
        self.position = position
    }

    package static func == (a: Philox, b: Philox) -> Bool {
        a.seed == b.seed && a.stream == b.stream && a.position == b.position
    }

    /// The four numbers at one counter.
    package static func numbers(counter: SIMD4<UInt32>, key: SIMD2<UInt32>) -> SIMD4<UInt32> {
        var c = counter
        var k = key
        for _ in 0..<10 {
            let low = UInt64(0xD251_1F53) * UInt64(c[0])
            let high = UInt64(0xCD9E_8D57) * UInt64(c[2])
            c = [
                UInt32(truncatingIfNeeded: high >> 32) ^ c[1] ^ k[0], UInt32(truncatingIfNeeded: high),
                UInt32(truncatingIfNeeded: low >> 32) ^ c[3] ^ k[1], UInt32(truncatingIfNeeded: low),
            ]
            k = k &+ [0x9E37_79B9, 0xBB67_AE85]
        }
        return c
    }

    package mutating func nextUInt32() -> UInt32 {
        let index = position >> 2
        if blockIndex != index {
            func halves(_ x: UInt64) -> (UInt32, UInt32) { (UInt32(truncatingIfNeeded: x), UInt32(truncatingIfNeeded: x >> 32)) }
            let (i0, i1) = halves(index)
            let (s0, s1) = halves(stream)
            let (k0, k1) = halves(seed)
            block = Philox.numbers(counter: [i0, i1, s0, s1], key: [k0, k1])
            blockIndex = index
        }
        defer { position &+= 1 }
        return block[Int(position & 3)]
    }

    package mutating func nextUInt64() -> UInt64 {
        let low = UInt64(nextUInt32())
        return UInt64(nextUInt32()) << 32 | low
    }

    /// Uniform in [0, 1), 53 bits.
    package mutating func uniform() -> Double { Double(nextUInt64() >> 11) * 0x1p-53 }

    /// Two independent standard normal numbers (Box and Muller 1958).
    package mutating func normalPair() -> (Double, Double) {
        let radius = (-2 * log(1 - uniform())).squareRoot()  // 1 - u lies in (0, 1]
        let angle = 2 * Double.pi * uniform()
        return (radius * cos(angle), radius * sin(angle))
    }

    /// One standard normal number; always takes four 32-bit numbers, so that the position alone is the state.
    package mutating func normal() -> Double { normalPair().0 }

    /// Uniform in 0..<n without bias; 0 for n below 2.
    package mutating func below(_ n: Int) -> Int {
        guard n > 1 else { return 0 }
        // The lowest bits that can hold n - 1, drawn again until they fall below n.
        let mask = UInt64.max >> UInt64((n - 1).leadingZeroBitCount)
        while true {
            let candidate = n <= 1 << 32 ? UInt64(nextUInt32()) & mask : nextUInt64() & mask
            if candidate < UInt64(n) { return Int(candidate) }
        }
    }

    /// Fisher and Yates from the end.
    package mutating func shuffle<T>(_ items: inout [T]) {
        for last in stride(from: items.count - 1, to: 0, by: -1) { items.swapAt(last, below(last + 1)) }
    }

    package mutating func permutation(_ n: Int) -> [Int] {
        var order = Array(0..<max(0, n))
        shuffle(&order)
        return order
    }
}
