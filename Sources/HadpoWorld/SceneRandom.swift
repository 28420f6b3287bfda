/// Random numbers as a pure function of (seed, split, index, purpose): scene 7 of a split is the same picture whatever was
/// drawn before it. A SplitMix64 stream (Steele, Lea, Flood 2014) whose starting point is a hash of the key.
package struct SceneRandom: Sendable {
    /// What a stream is for; streams of different purposes never share numbers.
    package enum Purpose: UInt64, Sendable {
        case scene = 1
        case caption, questions, answers, preferencePairs
    }

    private var state: UInt64

    package init(seed: UInt64, split: SceneSplit, index: Int, purpose: Purpose, epoch: Int = 0) {
        state = 0
        for word in [seed, split.stream, UInt64(bitPattern: Int64(index)), purpose.rawValue, UInt64(bitPattern: Int64(epoch))] {
            state = Self.mix(state &+ word &+ Self.increment)
        }
    }

    private static let increment: UInt64 = 0x9E37_79B9_7F4A_7C15

    private static func mix(_ value: UInt64) -> UInt64 {
        var z = value
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    package mutating func next() -> UInt64 {
        state &+= Self.increment
        return Self.mix(state)
    }

    /// Uniform in [0, 1) with 53 bits.
    package mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }

    package mutating func uniform(_ range: Range<Double>) -> Double {
        range.lowerBound + unit() * (range.upperBound - range.lowerBound)
    }

    /// Uniform in 0 ..< count; 0 when there is nothing to choose from. The bias of count / 2^64 is far below anything countable.
    package mutating func index(below count: Int) -> Int {
        guard count > 1 else { return 0 }
        return Int(next().multipliedFullWidth(by: UInt64(count)).high)
    }

    package mutating func chance(_ probability: Double) -> Bool { unit() < probability }

    package mutating func element<Element>(of list: [Element]) -> Element? {
        list.isEmpty ? nil : list[index(below: list.count)]
    }

    /// An index with probability proportional to its weight; nil when no weight is positive.
    package mutating func index(weights: [Double]) -> Int? {
        let total = weights.reduce(0, +)
        guard total > 0 else { return nil }
        var rest = unit() * total
        for (index, weight) in weights.enumerated() where weight > 0 {
            rest -= weight
            if rest < 0 { return index }
        }
        return weights.lastIndex { $0 > 0 }
    }

    /// `count` different elements in random order (all of them when there are fewer).
    package mutating func sample<Element>(_ count: Int, of list: [Element]) -> [Element] {
        var pool = list
        let wanted = min(count, pool.count)
        for position in 0..<max(0, wanted) {
            pool.swapAt(position, position + index(below: pool.count - position))
        }
        return Array(pool.prefix(wanted))
    }
}
