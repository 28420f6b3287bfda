import HadpoBase
import HadpoTensor
import HadpoText
import HadpoVision

/// One finished answer.
package struct Generated: Sendable, Equatable {
    package enum Finish: String, Sendable { case eos, length, stop }

    /// As transformers returns them: EOS included when it came.
    package var ids: [Int32]
    /// Without special tokens, stop strings and white space at the ends.
    package var text: String
    package var finish: Finish
    /// Positions of the prompt, the picture's rows included.
    package var promptCount: Int
    /// Logits of the first token, where they were asked for.
    package var firstLogits: [Float] = []
}

/// Answers of a model: one for a host, many at once for evaluations.
package enum Generation {
    /// How the tokens of a branch are chosen, and when it ends.
    package struct Rule: Sendable {
        package var choice = TokenChoice()
        package var maxNewTokens: Int
        /// nil: as the checkpoint says.
        package var minNewTokens: Int?
        package var stop: [String] = []
        package var seed: UInt64 = 0
        package var keepsFirstLogits = false
        /// Progress records of a single branch.
        package var reports = false

        package init(maxNewTokens: Int) { self.maxNewTokens = maxNewTokens }
    }

    // MARK: one answer

    /// "hadpo.generate/1"
    package static func run(
        model: any VisionLanguageModel, request: GenerationConfig, image: RGBImage?, progress: any Progress
    ) throws(HadpoError) -> JSON {
        let start = Clock.now()
        let prompt = try AskedPrompt(request.asked, hasImage: image != nil, conversation: model.conversation)
        let rows = PromptSession.rows(prompt.pieces, model)
        try PromptSession.check(
            model, prefixes: [rows], branches: Array(repeating: (rows, 0), count: request.beamCount),
            newTokens: request.maxNewTokens, at: "/max_new_tokens")
        var pixels: [Block<Float>] = []
        if let image { pixels = [try model.pipeline.pixelValues(image)] }
        let room = min(request.maxNewTokens, PromptSession.roomStep)
        let session = try PromptSession(
            model, [PromptSession.Prefix(prompt.pieces, pixels: pixels)], room: room * request.beamCount, progress: progress)

        let prefillSeconds = Clock.now() - start

        let history = model.conversation.history(prompt.ids, rule: request.beamRule)
        let generated: Generated
        var score: Double?
        if request.beamCount > 1 {
            var rule = BeamRule(count: request.beamCount, maxNewTokens: request.maxNewTokens)
            rule.lengthPenalty = request.lengthPenalty
            rule.earlyStopping = request.earlyStopping
            rule.transformers = request.beamRule
            rule.repetitionPenalty = request.choice.repetitionPenalty
            rule.minNewTokens = request.minNewTokens
            rule.stop = request.stop
            rule.reports = true
            let found = try beams(session, [PromptSession.Continuation(prefix: 0, ids: [])], rule, histories: [history])[0]
            generated = found.generated
            score = found.score
            if request.stream { try progress.emit(["event": "token", "text": .string(generated.text)]) }
        } else {
            var rule = Rule(maxNewTokens: request.maxNewTokens)
            rule.choice = request.choice
            rule.minNewTokens = request.minNewTokens
            rule.stop = request.stop
            rule.seed = request.seed
            rule.reports = !request.stream
            let branch = PromptSession.Continuation(prefix: 0, ids: [])
            generated = try answers(session, [branch], rule, histories: [history], streams: request.stream)[0]
        }
        let seconds = Clock.now() - start
        var result: JSON = [
            "text": .string(generated.text), "ids": JSON(generated.ids.map(Int.init)),
            "finish_reason": .string(generated.finish.rawValue), "prompt_tokens": JSON(rows),
            "generated_tokens": JSON(generated.ids.count), "seconds": .double(seconds),
            "prefill_seconds": .double(prefillSeconds),
            "tokens_per_second": .double(seconds > 0 ? Double(generated.ids.count) / seconds : 0),
        ]
        if let score { result["score"] = .double(score) }
        return result
    }

    // MARK: many answers

    /// Answers to branches of a session, all of them a token further with every step. Greedy unless `rule` says otherwise.
    /// - Parameters:
    ///   - histories: ids that count for the repetition penalty; empty where there is none.
    ///   - streams: token events, for a single branch.
    package static func answers(
        _ session: PromptSession, _ branches: [PromptSession.Continuation], _ rule: Rule, histories: [[Int32]] = [],
        streams: Bool = false
    ) throws(HadpoError) -> [Generated] {
        guard !branches.isEmpty else { return [] }
        let model = session.model
        let stops = try StopStrings(rule.stop)
        let eosIDs = model.eosIDs
        let bans = model.generation.bans
        let minNewTokens = rule.minNewTokens ?? model.generation.minNewTokens ?? 0
        var choice = rule.choice
        choice.eosIDs = eosIDs
        var states = branches.indices.map { i in
            BranchState(
                text: GenerationText(model.tokenizer, stops: stops), random: Philox(seed: rule.seed, stream: UInt64(i)),
                history: histories.indices.contains(i) ? histories[i] : [])
        }
        var pace = GenerationPace(task: "generate", unit: "tokens")
        var logits = try session.open(branches, room: min(max(0, rule.maxNewTokens - 1), PromptSession.roomStep))
        var active = Array(branches.indices)
        while true {
            var next: [Int] = []
            var tokens: [Int32] = []
            for (row, i) in active.enumerated() {
                var scores = try logits.rows(row..<row + 1).floats()
                if rule.keepsFirstLogits, states[i].ids.isEmpty { states[i].firstLogits = scores }
                let count = states[i].ids.count
                if !bans.isEmpty || count < minNewTokens {
                    scores.withUnsafeMutableBufferPointer {
                        bans.apply($0, history: states[i].history + states[i].ids, isFirst: count == 0)
                        ScoreProcessing.forbidEnd($0, eosIDs: eosIDs, length: count, minimum: minNewTokens)
                    }
                }
                let id = try choice.next(&scores, history: states[i].history + states[i].ids, random: &states[i].random)
                states[i].ids.append(id)
                var piece = ""
                if eosIDs.contains(id) {
                    states[i].finish = .eos
                } else {
                    piece = states[i].text.push(id)
                    if states[i].text.isStopped {
                        states[i].finish = .stop
                    } else if states[i].ids.count >= rule.maxNewTokens {
                        states[i].finish = .length
                    } else {
                        next.append(i)
                        tokens.append(id)
                    }
                }
                if states[i].finish != nil {
                    piece += states[i].text.finish()
                    if states[i].text.isStopped { states[i].finish = .stop }
                }
                if streams, !piece.isEmpty { try session.progress.emit(["event": "token", "text": .string(piece)]) }
            }
            active = next
            if active.isEmpty { break }
            if rule.reports, branches.count == 1 { try pace.report(states[0].ids.count, of: rule.maxNewTokens, session.progress) }
            logits = try session.extend(active, by: tokens)
        }
        return zip(states, branches).map { state, branch in
            Generated(
                ids: state.ids, text: state.text.text, finish: state.finish ?? .length,
                promptCount: session.prefixCount(branch.prefix) + branch.ids.count, firstLogits: state.firstLogits)
        }
    }

    private struct BranchState {
        var text: GenerationText
        var random: Philox
        let history: [Int32]
        var ids: [Int32] = []
        var finish: Generated.Finish?
        var firstLogits: [Float] = []
    }

    /// One question on each of many pictures, greedy, `batch` of them at a time; each answer is what it would be alone.
    package static func generate(
        _ model: any VisionLanguageModel, prompts: [PromptSession.Prefix], maxNewTokens: Int, batch: Int = 32,
        progress: any Progress
    ) throws(HadpoError) -> [Generated] {
        var results: [Generated] = []
        var pace = GenerationPace(task: "generate", unit: "answers")
        for start in stride(from: 0, to: prompts.count, by: max(1, batch)) {
            let group = Array(prompts[start..<min(start + max(1, batch), prompts.count)])
            let rows = group.map { PromptSession.rows($0.pieces, model) }
            try PromptSession.check(
                model, prefixes: rows, branches: rows.map { ($0, 0) }, newTokens: maxNewTokens, at: "prompts from \(start)")
            let room = group.count * min(maxNewTokens, PromptSession.roomStep)
            let session = try PromptSession(model, group, room: room, progress: progress)
            results += try answers(
                session, group.indices.map { PromptSession.Continuation(prefix: $0, ids: []) }, Rule(maxNewTokens: maxNewTokens))
            try pace.report(results.count, of: prompts.count, progress)
        }
        return results
    }
}
