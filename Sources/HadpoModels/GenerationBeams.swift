import HadpoBase
import HadpoTensor
import HadpoText

extension Generation {
    /// What beam search is told, with transformers' defaults.
    package struct BeamRule: Sendable {
        package var count: Int
        package var maxNewTokens: Int
        package var lengthPenalty = 1.0
        package var earlyStopping = BeamSearch.EarlyStopping.heuristic
        package var transformers = TransformersRule.v431
        package var repetitionPenalty: Float = 1
        /// nil: as the checkpoint says.
        package var minNewTokens: Int?
        package var stop: [String] = []
        package var keepsFirstLogits = false
        package var reports = false

        package init(count: Int, maxNewTokens: Int) {
            self.count = count
            self.maxNewTokens = maxNewTokens
        }
    }

    /// A search and the branches that hold its beams.
    private struct Searching {
        var search: BeamSearch
        var branches: [Int]
        var firstLogits: [Float] = []
    }

    /// Beam search behind each of some continuations, all of them a token further with every step; each finds what it would alone. Each
    /// beam is a branch; a beam that goes on in several keeps its branch for the first of them and is copied into the branches of beams
    /// that end.
    /// - Parameter histories: the ids of each whole prompt with the picture as one, which transformers 4.31 counts in lengths.
    package static func beams(
        _ session: PromptSession, _ continuations: [PromptSession.Continuation], _ rule: BeamRule, histories: [[Int32]]
    ) throws(HadpoError) -> [(generated: Generated, score: Double)] {
        let count = rule.count
        let eosIDs = session.model.eosIDs
        let bans = session.model.generation.bans
        var all: [Searching] = []
        for (i, history) in histories.enumerated() {
            var settings = BeamSearch.Settings()
            settings.beamCount = count
            settings.lengthPenalty = rule.lengthPenalty
            settings.earlyStopping = rule.earlyStopping
            settings.maximumLength = history.count + rule.maxNewTokens
            settings.eosIDs = eosIDs
            settings.minimumNewTokens = rule.minNewTokens ?? session.model.generation.minNewTokens ?? 0
            settings.rule = rule.transformers
            all.append(
                Searching(search: try BeamSearch(prompt: history, settings), branches: Array(i * count..<(i + 1) * count)))
        }

        var pace = GenerationPace(task: "generate", unit: "tokens")
        var logits = try session.open(
            continuations.flatMap { Array(repeating: $0, count: count) },
            room: min(max(0, rule.maxNewTokens - 1), PromptSession.roomStep))
        if rule.keepsFirstLogits {
            for i in all.indices { all[i].firstLogits = try logits.rows(i * count..<i * count + 1).floats() }
        }
        var active = Array(all.indices)
        while true {
            var next: [Int] = []
            var tokens: [Int32] = []
            for (place, i) in active.enumerated() {
                var logProbs: [[Float]] = []
                for beam in 0..<count {
                    let row = place * count + beam
                    var scores = try logits.rows(row..<row + 1).floats()
                    scores.withUnsafeMutableBufferPointer { scores in
                        ScoreProcessing.logSoftmax(scores)
                        ScoreProcessing.penalizeRepetition(
                            scores, of: all[i].search.beams[beam], penalty: rule.repetitionPenalty)
                        let ids = all[i].search.beams[beam]
                        if !bans.isEmpty { bans.apply(scores, history: ids, isFirst: ids.count == histories[i].count) }
                    }
                    logProbs.append(scores)
                }
                let step = try all[i].search.step(logProbs: logProbs)
                if all[i].search.isDone { continue }
                all[i].branches = try follow(step.parents, from: all[i].branches, session)
                next.append(i)
                tokens += step.tokens
            }
            active = next
            if active.isEmpty { break }
            if rule.reports, all.count == 1 {
                try pace.report(
                    (all[0].search.beams.first?.count ?? 0) - histories[0].count, of: rule.maxNewTokens, session.progress)
            }
            logits = try session.extend(active.flatMap { all[$0].branches }, by: tokens)
        }
        var results: [(generated: Generated, score: Double)] = []
        for (i, continuation) in continuations.enumerated() {
            results.append(try finish(all[i], session, continuation, rule, promptCount: histories[i].count))
        }
        return results
    }

    private static func finish(
        _ searched: Searching, _ session: PromptSession, _ continuation: PromptSession.Continuation, _ rule: BeamRule,
        promptCount: Int
    ) throws(HadpoError) -> (generated: Generated, score: Double) {
        let eosIDs = session.model.eosIDs
        let search = searched.search
        guard let best = search.finish().first else { throw HadpoError(.internal, "a beam search without a result") }
        let ids = Array(best.ids.dropFirst(promptCount))
        var text = GenerationText(session.model.tokenizer, stops: try StopStrings(rule.stop))
        for id in ids where !eosIDs.contains(id) { _ = text.push(id) }
        _ = text.finish()
        let finish: Generated.Finish =
            text.isStopped ? .stop : (ids.last.map(eosIDs.contains) ?? false) ? .eos : .length
        let generated = Generated(
            ids: ids, text: text.text, finish: finish,
            promptCount: session.prefixCount(continuation.prefix) + continuation.ids.count, firstLogits: searched.firstLogits)
        return (generated, best.score)
    }

    /// The branches that hold the new beams. There are as many branches without a successor as there are second successors, and no
    /// branch is both read and overwritten, so nothing needs a place of its own in between.
    private static func follow(
        _ parents: [Int], from branches: [Int], _ session: PromptSession
    ) throws(HadpoError) -> [Int] {
        var free = branches.indices.filter { !parents.contains($0) }.map { branches[$0] }
        var taken: Set<Int> = []
        var next: [Int] = []
        for parent in parents {
            let branch = branches[parent]
            if taken.insert(branch).inserted {
                next.append(branch)
            } else if let place = free.popLast() {
                try session.copy(branch, to: place)
                next.append(place)
            }
        }
        return next
    }
}
