import Glibc
import HadpoBase

/// How the next token is chosen from its logits, one sequence at a time. The defaults are transformers'; HA-DPO never samples.
package struct TokenChoice: Sendable, Equatable {
    package var samples = false
    package var temperature: Float = 1
    package var topK = 50
    package var topP: Float = 1
    package var repetitionPenalty: Float = 1
    /// Counted as `history` is: with BOS or the prompt's ids.
    package var minimumLength = 0
    package var eosIDs: [Int32] = []

    package init() {}

    /// Processes `logits` in place and chooses. `history` is what the sequence holds so far: BOS or the prompt's ids, then the
    /// generated ones. The same `random` at the same position gives the same token.
    package func next(
        _ logits: inout [Float], history: [Int32], random: inout Philox
    ) throws(HadpoError) -> Int32 {
        let samples = self.samples
        logits.withUnsafeMutableBufferPointer { scores in
            ScoreProcessing.penalizeRepetition(scores, of: history, penalty: repetitionPenalty)
            ScoreProcessing.forbidEnd(scores, eosIDs: eosIDs, length: history.count, minimum: minimumLength)
            guard samples else { return }
            ScoreProcessing.divide(scores, byTemperature: temperature)
            if topK > 0 { ScoreProcessing.keepTop(scores, k: topK) }
            ScoreProcessing.keepNucleus(scores, p: topP)
        }
        return samples ? try Self.draw(logits, &random) : try Self.greatest(logits)
    }

    /// The id of the largest score; the first among equals.
    package static func greatest(_ scores: [Float]) throws(HadpoError) -> Int32 {
        var best: Int?
        for (index, score) in scores.enumerated() {
            guard !score.isNaN else { throw notANumber(index) }
            if let current = best, score <= scores[current] { continue }
            best = index
        }
        guard let best, let id = Int32(exactly: best) else {
            throw HadpoError(.internal, "no scores to choose from", found: "\(scores.count)", expected: "at least one")
        }
        return id
    }

    /// An id with the probability softmax(scores) gives it.
    package static func draw(_ scores: [Float], _ random: inout Philox) throws(HadpoError) -> Int32 {
        let largest = scores[Int(try greatest(scores))]
        guard largest.isFinite else {
            throw HadpoError(
                .numerics, "no token has a finite score", found: "\(largest) as the largest", expected: "a finite number")
        }
        let weights = scores.map { exp(Double($0 - largest)) }
        var rest = random.uniform() * weights.reduce(0, +)
        var last = 0
        for (index, weight) in weights.enumerated() where weight > 0 {
            last = index
            rest -= weight
            if rest < 0 { break }
        }
        return Int32(truncatingIfNeeded: last)
    }

    static func notANumber(_ index: Int) -> HadpoError {
        HadpoError(.numerics, "a token's score is not a number", at: "token \(index)", found: "NaN", expected: "a number")
    }
}
