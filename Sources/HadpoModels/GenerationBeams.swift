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
        package var minNewTokens = 0
        package var stop: [String] = []
        package var keepsFirstLogits = false
        package var reports = false

        package init(count: Int, maxNewTokens: Int) {
            self.count = count
            self.maxNewTokens = maxNewTokens
        }
    }

    /// Beam search behind one continuation. Each beam is a branch; a beam that goes on in several keeps its branch for the first of
    /// them and is copied into the branches of beams that end.
    /// - Parameter history: the ids of the whole prompt with the picture as one, which transformers 4.31 counts in lengths.
    package static func beams(
        _ session: PromptSession, _ continuation: PromptSession.Continuation, _ rule: BeamRule, history promptIDs: [Int32]
    ) throws(HadpoError) -> (Generated, score: Double) {
        let count = rule.count
        let eosIDs = session.model.eosIDs
        var settings = BeamSearch.Settings()
        settings.beamCount = count
        settings.lengthPenalty = rule.lengthPenalty
        settings.earlyStopping = rule.earlyStopping
        settings.maximumLength = promptIDs.count + rule.maxNewTokens
        settings.eosIDs = eosIDs
        settings.minimumNewTokens = rule.minNewTokens
        settings.rule = rule.transformers
        var search = try BeamSearch(prompt: promptIDs, settings)

        var pace = GenerationPace(task: "generate", unit: "tokens")
        var logits = try session.open(
            Array(repeating: continuation, count: count),
            room: min(max(0, rule.maxNewTokens - 1), PromptSession.roomStep))
        let firstLogits = rule.keepsFirstLogits ? logits.rows(0..<1).floats() : []
        /// The branch that holds each beam.
        var branches = Array(0..<count)
        while true {
            var logProbs: [[Float]] = []
            for beam in 0..<count {
                var scores = logits.rows(beam..<beam + 1).floats()
                scores.withUnsafeMutableBufferPointer { scores in
                    ScoreProcessing.logSoftmax(scores)
                    ScoreProcessing.penalizeRepetition(
                        scores, of: search.beams[beam], penalty: rule.repetitionPenalty)
                }
                logProbs.append(scores)
            }
            let step = try search.step(logProbs: logProbs)
            if search.isDone { break }
            branches = try follow(step.parents, from: branches, session)
            if rule.reports {
                try pace.report((search.beams.first?.count ?? 0) - promptIDs.count, of: rule.maxNewTokens, session.progress)
            }
            logits = try session.extend(branches, by: step.tokens)
        }
        guard let best = search.finish().first else { throw HadpoError(.internal, "a beam search without a result") }
        let ids = Array(best.ids.dropFirst(promptIDs.count))
        var text = GenerationText(session.model.tokenizer, stops: try StopStrings(rule.stop))
        for id in ids where !eosIDs.contains(id) { _ = text.push(id) }
        _ = text.finish()
        let finish: Generated.Finish =
            text.isStopped ? .stop : (ids.last.map(eosIDs.contains) ?? false) ? .eos : .length
        let generated = Generated(
            ids: ids, text: text.text, finish: finish,
            promptCount: session.prefixCount(continuation.prefix) + continuation.ids.count, firstLogits: firstLogits)
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
