import HadpoBase

/// In which order samples are trained on, for one of `worldSize` processes. Stateless: a position in an epoch names a sample, so
/// a training resumes from two numbers.
///
/// `shuffled` is the Fisher-Yates permutation (from the last element down) with draws from Philox4x32-10 of this seed and the
/// epoch as stream. Processes take every `worldSize`-th place; the tail is filled from the front, so that all have equally many.
package struct SampleOrder: Sendable, Equatable {
    package enum Kind: String, CaseIterable, Sendable { case file, shuffled }

    package let count: Int
    package let kind: Kind
    package let seed: UInt64
    package let rank: Int
    package let worldSize: Int

    package init(
        count: Int, kind: Kind, seed: UInt64, rank: Int = 0, worldSize: Int = 1
    ) throws(HadpoError) {
        guard (1...1 << 24).contains(worldSize), (0..<worldSize).contains(rank) else {
            throw HadpoError(
                .argument, "no such process", found: "rank \(rank) of \(worldSize)", expected: "0 <= rank < world size")
        }
        self.count = max(0, count)
        self.kind = kind
        self.seed = seed
        self.rank = rank
        self.worldSize = worldSize
    }

    /// Samples per epoch of one process.
    package var countPerProcess: Int { count / worldSize + (count % worldSize == 0 ? 0 : 1) }

    /// The indices of this process in one epoch.
    package func indices(epoch: Int) -> [Int] {
        guard count > 0 else { return [] }
        var order = Array(0..<count)
        if kind == .shuffled {
            var random = Philox(seed: seed, stream: UInt64(bitPattern: Int64(epoch)))
            random.shuffle(&order)
        }
        return (0..<countPerProcess).map { order[($0 * worldSize + rank) % count] }
    }
}
