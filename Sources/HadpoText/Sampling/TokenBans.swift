/// Tokens that a checkpoint's generation settings rule out, as transformers' SuppressTokens, SuppressTokensAtBegin and NoBadWords do.
package struct TokenBans: Sendable, Equatable {
    package var always: [Int32] = []
    /// Ruled out as an answer's first token.
    package var first: [Int32] = []
    /// Runs that must not be completed; of more than one token each.
    package var runs: [[Int32]] = []

    package init() {}

    package var isEmpty: Bool { always.isEmpty && first.isEmpty && runs.isEmpty }

    /// - Parameters:
    ///   - history: the ids before the token that is chosen.
    ///   - isFirst: whether it is the answer's first.
    package func apply(_ scores: UnsafeMutableBufferPointer<Float>, history: [Int32], isFirst: Bool) {
        func forbid(_ id: Int32) { if id >= 0, Int(id) < scores.count { scores[Int(id)] = -.infinity } }
        for id in always { forbid(id) }
        if isFirst { for id in first { forbid(id) } }
        for run in runs where history.count >= run.count - 1 && history.suffix(run.count - 1) == run.dropLast() {
            if let id = run.last { forbid(id) }
        }
    }
}
