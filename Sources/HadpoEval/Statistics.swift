import Glibc
import HadpoBase

/// Uncertainty of evaluation figures.
package enum Statistics {
    /// 0.975 quantile of the standard normal distribution.
    package static let z95 = 1.959963984540054

    /// Wilson's score interval for `part` of `whole` at 95 % (Wilson 1927). It takes every case as independent of the others, which
    /// questions about one picture are not; the bootstrap over pictures does not assume so.
    package static func wilson(_ part: Int, _ whole: Int) -> ClosedRange<Double>? {
        guard whole > 0, part >= 0, part <= whole else { return nil }
        let n = Double(whole)
        let p = Double(part) / n
        let z2 = z95 * z95
        let centre = (p + z2 / (2 * n)) / (1 + z2 / n)
        let half = z95 * (p * (1 - p) / n + z2 / (4 * n * n)).squareRoot() / (1 + z2 / n)
        return max(0, centre - half)...min(1, centre + half)
    }

    /// McNemar's test in its exact form: of the cases that exactly one of two systems got right, as many or more would fall to one
    /// side by chance with this probability, two-sided.
    package static func mcNemarExact(_ b: Int, _ c: Int) -> Double {
        let n = b + c
        let smaller = min(b, c)
        guard n > 0, smaller >= 0 else { return 1 }
        // log of C(n, k) / 2^n, built up term by term; sums of logarithms do not underflow where 2^-n does.
        var logTerm = -Double(n) * log(2.0)
        var sum = exp(logTerm)
        for k in 0..<smaller {
            logTerm += log(Double(n - k)) - log(Double(k + 1))
            sum += exp(logTerm)
        }
        return min(1, 2 * sum)
    }

    /// The interval between the 2.5 % and 97.5 % quantiles, linear between neighbours (numpy's default). nil when a replicate is
    /// undefined, because an interval over the others would look narrower than it is.
    package static func percentile95(_ replicates: [Double?]) -> ClosedRange<Double>? {
        var values: [Double] = []
        values.reserveCapacity(replicates.count)
        for value in replicates {
            guard let value, value.isFinite else { return nil }
            values.append(value)
        }
        guard !values.isEmpty else { return nil }
        values.sort()
        func quantile(_ q: Double) -> Double {
            let position = q * Double(values.count - 1)
            let low = min(max(0, Int(exactly: position.rounded(.down)) ?? 0), values.count - 1)
            let high = min(low + 1, values.count - 1)
            return values[low] + (position - Double(low)) * (values[high] - values[low])
        }
        let low = quantile(0.025)
        return low...max(low, quantile(0.975))
    }

    package static func json(_ interval: ClosedRange<Double>?) -> JSON {
        interval.map { [.double($0.lowerBound), .double($0.upperBound)] } ?? .null
    }
}

/// Draws of clusters with replacement, the same for everything that is compared: replicate r holds `clusters` numbers below
/// `clusters`, from Philox with the seed, stream r. Pictures are the clusters: what is asked or said about one picture fails
/// together, so that the single question or sentence is not the independent unit.
package struct ClusterBootstrap: Sendable {
    package let clusters: Int
    package let resamples: Int
    package let seed: UInt64

    package init(clusters: Int, resamples: Int, seed: UInt64) {
        self.clusters = clusters
        self.resamples = resamples
        self.seed = seed
    }

    /// For each replicate the sum of `counts` over the drawn clusters, given to `figure` column by column.
    package func replicates<T>(_ counts: [[Int]], _ figure: ([Int]) -> T) -> [T] {
        let columns = counts.first?.count ?? 0
        // One flat array: the sums run through it ten thousand times.
        let flat = counts.flatMap { $0 }
        guard clusters > 0, counts.count == clusters, flat.count == clusters * columns else { return [] }
        return (0..<resamples).map { r in
            var random = Philox(seed: seed, stream: UInt64(r))
            var sums = [Int](repeating: 0, count: columns)
            for _ in 0..<clusters {
                let start = random.below(clusters) * columns
                for column in 0..<columns { sums[column] &+= flat[start + column] }
            }
            return figure(sums)
        }
    }

    package var description: JSON {
        [
            "unit": "image", "units": JSON(clusters), "resamples": JSON(resamples), "seed": JSON(Int(clamping: seed)),
            "interval": "percentile, 95 %", "generator": "Philox4x32-10, stream = number of the resample",
        ]
    }
}
