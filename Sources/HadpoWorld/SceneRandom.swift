import HadpoBase

/// Random numbers as a pure function of (seed, split, index, purpose): scene 7 of a split is the same picture whatever was
/// drawn before it.
package struct SceneRandom: Sendable {
    /// What a stream is for; streams of different purposes never share numbers.
    package enum Purpose: UInt64, Sendable {
        case scene = 1
        case caption, questions, answers, preferencePairs
    }

    private var numbers: Philox

    /// Index, split and purpose fill the bits of a Philox stream without overlap (indices below 2^32, stages below 2^15); an
    /// epoch starts 2^32 numbers after the one before it.
    package init(seed: UInt64, split: SceneSplit, index: Int, purpose: Purpose, epoch: Int = 0) {
        let stream = UInt64(truncatingIfNeeded: index) << 32 | (split.number & 0xFFFF) << 16 | purpose.rawValue
        numbers = Philox(seed: seed, stream: stream, position: UInt64(truncatingIfNeeded: epoch) << 32)
    }

    /// Uniform in [0, 1).
    package mutating func unit() -> Double { numbers.uniform() }

    package mutating func uniform(_ range: Range<Double>) -> Double {
        range.lowerBound + unit() * (range.upperBound - range.lowerBound)
    }

    /// Uniform in 0 ..< count; 0 when there is nothing to choose from.
    package mutating func index(below count: Int) -> Int { numbers.below(count) }

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
