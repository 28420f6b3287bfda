import Glibc

/// Python's `random.Random`: MT19937 (Matsumoto and Nishimura 1998) with CPython's seeding and derived draws, for everything that
/// must choose what an upstream script chose. Elsewhere: `Philox`.
package struct MT19937: Sendable {
    private var words: [UInt32]
    private var index = 624

    /// `random.seed(int)`: the sign is dropped, the words of the magnitude initialise by array.
    package init(seed: Int) {
        let magnitude = UInt64(seed.magnitude)
        var key = [UInt32(truncatingIfNeeded: magnitude)]
        if magnitude >> 32 != 0 { key.append(UInt32(truncatingIfNeeded: magnitude >> 32)) }
        words = [UInt32](repeating: 0, count: 624)
        words[0] = 19_650_218
        for i in 1..<624 { words[i] = 1_812_433_253 &* (words[i - 1] ^ words[i - 1] >> 30) &+ UInt32(i) }
        var i = 1
        var j = 0
        for _ in 0..<624 {
            words[i] = (words[i] ^ (words[i - 1] ^ words[i - 1] >> 30) &* 1_664_525) &+ key[j] &+ UInt32(j)
            step(&i)
            j = (j + 1) % key.count
        }
        for _ in 0..<623 {
            words[i] = (words[i] ^ (words[i - 1] ^ words[i - 1] >> 30) &* 1_566_083_941) &- UInt32(i)
            step(&i)
        }
        words[0] = 0x8000_0000
    }

    private mutating func step(_ i: inout Int) {
        i += 1
        if i == 624 {
            words[0] = words[623]
            i = 1
        }
    }

    package mutating func nextUInt32() -> UInt32 {
        if index == 624 {
            for k in 0..<624 {
                let y = words[k] & 0x8000_0000 | words[(k + 1) % 624] & 0x7FFF_FFFF
                words[k] = words[(k + 397) % 624] ^ y >> 1 ^ (y & 1 == 0 ? 0 : 0x9908_B0DF)
            }
            index = 0
        }
        var y = words[index]
        index += 1
        y ^= y >> 11
        y ^= y << 7 & 0x9D2C_5680
        y ^= y << 15 & 0xEFC6_0000
        return y ^ y >> 18
    }

    /// `random.getrandbits(k)` for k up to 64: whole words from the lowest, the last one's top bits.
    package mutating func getrandbits(_ k: Int) -> UInt64 {
        switch k {
        case ...0: return 0
        case 1...32: return UInt64(nextUInt32() >> UInt32(32 - k))
        default:
            let low = UInt64(nextUInt32())
            return UInt64(nextUInt32() >> UInt32(max(0, 64 - k))) << 32 | low
        }
    }

    /// `random.random()`: 53 bits in [0, 1).
    package mutating func random() -> Double {
        let a = nextUInt32() >> 5
        let b = nextUInt32() >> 6
        return (Double(a) * 67_108_864 + Double(b)) / 9_007_199_254_740_992
    }

    /// `random.randrange(n)`; the index of `random.choice` in n elements. 0 for n below 1, where Python raises.
    package mutating func below(_ n: Int) -> Int {
        guard n > 0 else { return 0 }
        let bits = Int.bitWidth - n.leadingZeroBitCount
        while true {
            let candidate = getrandbits(bits)
            if candidate < UInt64(n) { return Int(candidate) }
        }
    }

    /// `random.shuffle`.
    package mutating func shuffle<T>(_ items: inout [T]) {
        for last in stride(from: items.count - 1, to: 0, by: -1) { items.swapAt(last, below(last + 1)) }
    }

    /// The indices of `random.sample(population, k)` in a population of n; all of them when k is larger.
    package mutating func sample(_ n: Int, _ k: Int) -> [Int] {
        let k = min(max(0, k), max(0, n))
        // CPython keeps a pool for small populations and a set for large ones; the two draw differently.
        let setSize = 21 + (k > 5 ? Int(exactly: pow(4, ceil(log(Double(k) * 3) / log(4)))) ?? Int.max - 21 : 0)
        if n <= setSize {
            var pool = Array(0..<n)
            return (0..<k).map { i in
                let j = below(n - i)
                defer { pool[j] = pool[n - i - 1] }
                return pool[j]
            }
        }
        var selected: Set<Int> = []
        return (0..<k).map { _ in
            var j = below(n)
            while !selected.insert(j).inserted { j = below(n) }
            return j
        }
    }
}
