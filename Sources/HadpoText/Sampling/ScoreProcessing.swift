import Glibc
import HadpoBase

/// Changes to the scores of the next token, in place, as transformers' logits processors and warpers make them
/// (4.31 generation/logits_process.py). V scores, one for each id; -infinity rules an id out.
package enum ScoreProcessing {
    /// Every distinct id in `history` becomes less likely: negative scores are multiplied, others divided. Logits when choosing one
    /// token at a time, log-probabilities in beam search. Ids outside the scores are passed over.
    package static func penalizeRepetition(
        _ scores: UnsafeMutableBufferPointer<Float>, of history: some Sequence<Int32>, penalty: Float
    ) {
        guard penalty != 1 else { return }
        for id in Set(history) where id >= 0 && Int(id) < scores.count {
            let score = scores[Int(id)]
            scores[Int(id)] = score < 0 ? score * penalty : score / penalty
        }
    }

    /// No end before `minimum` ids are there, BOS or prompt ids included.
    package static func forbidEnd(
        _ scores: UnsafeMutableBufferPointer<Float>, eosIDs: [Int32], length: Int, minimum: Int
    ) {
        guard length < minimum else { return }
        for id in eosIDs where id >= 0 && Int(id) < scores.count { scores[Int(id)] = -.infinity }
    }

    package static func divide(_ scores: UnsafeMutableBufferPointer<Float>, byTemperature temperature: Float) {
        guard temperature != 1 else { return }
        for index in scores.indices { scores[index] /= temperature }
    }

    /// Keeps scores that are at least the k-th largest; ties with it stay, so more than k may.
    package static func keepTop(_ scores: UnsafeMutableBufferPointer<Float>, k: Int, atLeast minimum: Int = 1) {
        let kept = min(max(k, minimum), scores.count)
        guard kept > 0, kept < scores.count else { return }
        let threshold = scores.sorted(by: >)[kept - 1]
        for index in scores.indices where scores[index] < threshold { scores[index] = -.infinity }
    }

    /// Removes the least likely ids whose probabilities together are at most 1 - p. Among equal scores the lower id goes first.
    package static func keepNucleus(_ scores: UnsafeMutableBufferPointer<Float>, p: Float, atLeast minimum: Int = 1) {
        guard p < 1, scores.count > minimum else { return }
        let order = scores.indices.sorted { scores[$0] < scores[$1] || (scores[$0] == scores[$1] && $0 < $1) }
        guard let largest = order.last.map({ scores[$0] }), largest.isFinite else { return }
        let exponentials = order.map { expf(scores[$0] - largest) }
        let total = exponentials.reduce(0.0) { $0 + Double($1) }
        let removed = Float(1 - Double(p))
        var cumulative = 0.0
        for (rank, index) in order.dropLast(minimum).enumerated() {
            cumulative += Double(exponentials[rank]) / total
            if Float(cumulative) > removed { break }
            scores[index] = -.infinity
        }
    }

    /// log softmax over all scores, the sum in double precision.
    package static func logSoftmax(_ scores: UnsafeMutableBufferPointer<Float>) {
        guard let largest = scores.max(), largest.isFinite else { return }
        var total = 0.0
        for score in scores { total += exp(Double(score - largest)) }
        let shift = Float(log(total))
        for index in scores.indices { scores[index] = (scores[index] - largest) - shift }
    }
}
