import Glibc
import HadpoBase

/// Beam search over one prompt, apart from any model: log-probabilities in, the next tokens of the beams out.
///
///     var search = try BeamSearch(prompt: ids, settings)
///     while !search.isDone {
///         logProbs = log softmax of each beam's logits, then ScoreProcessing with search.beams[i] as history
///         let next = try search.step(logProbs: logProbs)       // reorder caches by next.parents, feed next.tokens
///     }
///     let best = search.finish(count: 1)
///
/// B beams, V token ids. The rules are those of transformers 4.31 (generation/beam_search.py) and 4.57 (generation/utils.py): they
/// differ in the length that a score is divided by, in what happens at the length limit, and in when the search is over.
package struct BeamSearch: Sendable {
    package enum EarlyStopping: String, Sendable {
        /// Over when the best open beam could not beat the worst finished one at its present length.
        case heuristic = "false"
        /// Over as soon as B are finished.
        case whenFull = "true"
        /// As `heuristic`, at the length that favours the open beam most.
        case never
    }

    package struct Settings: Sendable {
        package var beamCount = 5
        package var lengthPenalty = 1.0
        package var earlyStopping = EarlyStopping.heuristic
        /// Prompt ids included.
        package var maximumLength = 20
        /// Ids of the prompt not included; no end before.
        package var minimumNewTokens = 0
        package var eosIDs: [Int32] = [2]
        package var rule = TransformersRule.v431
        package init() {}
    }

    /// A finished sequence: the prompt's ids, the generated ones, EOS where it fits.
    package struct Hypothesis: Sendable, Equatable {
        package var ids: [Int32]
        package var score: Double
    }

    /// The ids of the open beams, prompt included.
    package private(set) var beams: [[Int32]]
    package private(set) var isDone = false
    private let promptCount: Int
    private let settings: Settings
    /// Sums of log-probabilities of the open beams.
    private var scores: [Float]
    private var finished: FinishedBeams

    /// `prompt` holds what counts as a sequence's ids: BOS alone where embeddings are fed, the prompt with one id for the picture
    /// for LLaVA.
    package init(prompt: [Int32], _ settings: Settings) throws(HadpoError) {
        guard settings.beamCount >= 1, settings.beamCount <= 1024 else {
            throw HadpoError(
                .argument, "the number of beams is out of range", found: "\(settings.beamCount)", expected: "1 to 1024")
        }
        guard settings.maximumLength > prompt.count else {
            throw HadpoError(
                .argument, "the length limit leaves no room for a token", found: "\(settings.maximumLength)",
                expected: "more than the prompt's \(prompt.count)")
        }
        guard !prompt.isEmpty || settings.rule == .v457 else {
            throw HadpoError(
                .argument, "hf-4.31 divides by a length that counts the prompt", found: "no prompt ids", expected: "at least BOS")
        }
        guard settings.lengthPenalty.isFinite else {
            throw HadpoError(
                .argument, "the length penalty is not finite", found: "\(settings.lengthPenalty)", expected: "a number")
        }
        self.settings = settings
        promptCount = prompt.count
        beams = Array(repeating: prompt, count: settings.beamCount)
        // All beams begin alike: only the first may continue, or B copies of one sequence would.
        scores = [0] + Array(repeating: -1e9, count: settings.beamCount - 1)
        switch settings.rule {
        case .v431: finished = .list(FinishedList(capacity: settings.beamCount))
        case .v457: finished = .slots(FinishedSlots(capacity: settings.beamCount, prompt: prompt))
        }
    }

    private enum FinishedBeams: Sendable {
        case list(FinishedList)
        case slots(FinishedSlots)
    }

    struct Candidate {
        let score: Float
        let parent: Int
        let token: Int32
    }

    /// One token further. `logProbs[i]` are the processed log-probabilities after `beams[i]`, V each. `parents[i]` says which beam
    /// the new beam i continues.
    package mutating func step(logProbs: [[Float]]) throws(HadpoError) -> (parents: [Int], tokens: [Int32]) {
        guard !isDone else { throw HadpoError(.state, "the beam search is over", found: "another step", expected: "finish") }
        guard logProbs.count == beams.count, let size = logProbs.first?.count, logProbs.allSatisfy({ $0.count == size }) else {
            throw HadpoError(
                .internal, "beam search needs one row for each beam", found: "\(logProbs.map(\.count))",
                expected: "\(beams.count) rows of one length")
        }
        let next: [Candidate]
        switch finished {
        case .list(var list):
            next = try step431(logProbs, &list)
            finished = .list(list)
        case .slots(var slots):
            next = try step457(logProbs, &slots)
            finished = .slots(slots)
        }
        beams = next.map { beams[$0.parent] + [$0.token] }
        scores = next.map(\.score)
        return (next.map(\.parent), next.map(\.token))
    }

    /// The best `count` hypotheses, best first; at most B.
    package func finish(count: Int = 1) -> [Hypothesis] {
        switch finished {
        case .list(var list):
            if !list.isDone {
                for (ids, score) in zip(beams, scores) { list.add(ids, sum: Double(score), settings.lengthPenalty) }
            }
            let best = list.best(count)
            // EOS is written where the longest of the returned leaves room for it, whether or not the beam had chosen it
            let longest = best.map(\.ids.count).max() ?? 0
            let limit = min(longest + 1, settings.maximumLength)
            return best.map { hypothesis in
                guard hypothesis.ids.count < limit, let eos = settings.eosIDs.first else { return hypothesis }
                return Hypothesis(ids: hypothesis.ids + [eos], score: hypothesis.score)
            }
        case .slots(let slots):
            return slots.slots.prefix(max(0, count)).map { Hypothesis(ids: $0.ids, score: Double($0.score)) }
        }
    }

    /// The best `count` continuations over all beams, best first; lower beam, then lower id among equals.
    private func candidates(_ logProbs: [[Float]], _ count: Int) throws(HadpoError) -> [Candidate] {
        var best: [Candidate] = []
        let mayEnd = (beams.first?.count ?? 0) - promptCount >= settings.minimumNewTokens
        for (parent, row) in logProbs.enumerated() {
            var row = row
            if !mayEnd { for id in settings.eosIDs where row.indices.contains(Int(id)) { row[Int(id)] = -.infinity } }
            let base = scores[parent]
            for (token, logProb) in row.enumerated() {
                let score = logProb + base
                guard !score.isNaN else { throw TokenChoice.notANumber(token) }
                if best.count == count, let worst = best.last, score <= worst.score { continue }
                var place = best.count
                while place > 0, best[place - 1].score < score { place -= 1 }
                best.insert(Candidate(score: score, parent: parent, token: Int32(truncatingIfNeeded: token)), at: place)
                if best.count > count { best.removeLast() }
            }
        }
        guard best.count == count else {
            throw HadpoError(
                .argument, "the vocabulary is too small for so many beams", found: "\(best.count) continuations",
                expected: "at least \(count)")
        }
        return best
    }

    // MARK: transformers 4.31

    /// BeamSearchScorer.process. A sequence that ends is divided by the length it had before EOS, prompt included.
    private mutating func step431(_ logProbs: [[Float]], _ list: inout FinishedList) throws(HadpoError) -> [Candidate] {
        let count = settings.beamCount
        let best = try candidates(logProbs, 2 * count)
        var next: [Candidate] = []
        for (rank, candidate) in best.enumerated() {
            if settings.eosIDs.contains(candidate.token) {
                if rank < count { list.add(beams[candidate.parent], sum: Double(candidate.score), settings.lengthPenalty) }
            } else {
                next.append(candidate)
            }
            if next.count == count { break }
        }
        guard next.count == count else {
            throw HadpoError(
                .unsupported, "too many of the best continuations end the sequence",
                found: "\(2 * count - next.count) of \(2 * count)",
                expected: "at most \(count): one EOS id, or the rule hf-4.57")
        }
        let length = (beams.first?.count ?? 0) + 1
        list.isDone = list.isDone || isOver(list, bestSum: Double(best[0].score), length: length)
        isDone = list.isDone || length >= settings.maximumLength
        return next
    }

    /// BeamHypotheses.is_done
    private func isOver(_ list: FinishedList, bestSum: Double, length: Int) -> Bool {
        guard list.isFull else { return false }
        switch settings.earlyStopping {
        case .whenFull: return true
        case .heuristic: return list.worst >= bestSum / pow(Double(length), settings.lengthPenalty)
        case .never:
            let reached = settings.lengthPenalty > 0 ? settings.maximumLength : length
            return list.worst >= bestSum / pow(Double(reached), settings.lengthPenalty)
        }
    }

    // MARK: transformers 4.57

    /// `_beam_search`. A sequence that ends, also at the length limit, is divided by its number of generated tokens, EOS
    /// included. Everything is single precision there.
    private mutating func step457(_ logProbs: [[Float]], _ slots: inout FinishedSlots) throws(HadpoError) -> [Candidate] {
        let count = settings.beamCount
        let best = try candidates(logProbs, max(2, 1 + settings.eosIDs.count) * count)
        let length = (beams.first?.count ?? 0) + 1
        let ends = best.map { settings.eosIDs.contains($0.token) || length >= settings.maximumLength }

        // the open beams of the next step: ended ones only where there are too few others
        let open = zip(best, ends).map { candidate, ends in
            Candidate(score: candidate.score + (ends ? -1e9 : 0), parent: candidate.parent, token: candidate.token)
        }
        let order = open.indices.sorted { open[$0].score > open[$1].score || (open[$0].score == open[$1].score && $0 < $1) }
        let next = order.prefix(count).map { open[$0] }

        let divisor = Float(pow(Double(length - promptCount), settings.lengthPenalty))
        let isClosed = slots.isFull && settings.earlyStopping == .whenFull
        for (rank, candidate) in best.enumerated() where ends[rank] && rank < count {
            var score = candidate.score / divisor
            if isClosed { score += -1e9 }
            if !slots.canImprove { score += -1e9 }
            slots.add(beams[candidate.parent] + [candidate.token], score: score)
        }

        let reached = settings.earlyStopping == .never && settings.lengthPenalty > 0 ? settings.maximumLength : length
        let possible = next[0].score / Float(pow(Double(reached - promptCount), settings.lengthPenalty))
        slots.canImprove = slots.canImprove && possible > slots.worst
        isDone = !slots.canImprove || (slots.isFull && settings.earlyStopping == .whenFull) || ends.allSatisfy { $0 }
        return next
    }
}
