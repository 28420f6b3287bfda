import HadpoBase
import HadpoText
import Testing

@Suite("Beam search")
struct BeamSearchTests {
    /// Runs a search over a toy model: `logits` gives the next token's scores after some ids.
    static func run(
        _ prompt: [Int32], _ settings: BeamSearch.Settings, returned: Int, repetitionPenalty: Float = 1,
        logits: ([Int32]) -> [Float]
    ) throws -> [BeamSearch.Hypothesis] {
        var search = try BeamSearch(prompt: prompt, settings)
        while !search.isDone {
            let rows = search.beams.map { ids in
                var row = logits(ids)
                row.withUnsafeMutableBufferPointer { scores in
                    ScoreProcessing.logSoftmax(scores)
                    ScoreProcessing.penalizeRepetition(scores, of: ids, penalty: repetitionPenalty)
                }
                return row
            }
            let before = search.beams
            let next = try search.step(logProbs: rows)
            #expect(
                search.beams == zip(next.parents, next.tokens).map { before[$0] + [$1] }, "parents and tokens say how beams grow")
        }
        return search.finish(count: returned)
    }

    static let toy: [Int32: [Float]] = [
        1: [-9, -9, 0.5, 2, 1.5, 1], 3: [-9, -9, 1, 0.2, 1.2, 0.9], 4: [-9, -9, 0.8, 1.1, 0.1, 1], 5: [-9, -9, 2, 0.3, 0.6, 0.2],
    ]

    struct Row: Sendable {
        var prompt: [Int32] = [1]
        var lengthPenalty = 1.0
        var early = BeamSearch.EarlyStopping.heuristic
        var repetitionPenalty: Float = 1
        let expected: [([Int32], Double)]
    }

    /// Measured with transformers 4.31.
    static let table = [
        Row(expected: [([3, 5, 2], -0.876045), ([3, 4, 5, 2], -0.882819), ([3, 4, 3, 4, 3, 4], -0.888012)]),
        Row(
            lengthPenalty: 2,
            expected: [([3, 4, 3, 4, 3, 4], -0.126859), ([3, 4, 3, 4, 3, 5], -0.132981), ([4, 3, 4, 3, 4, 3], -0.137655)]),
        Row(lengthPenalty: 0, expected: [([3, 2], -2.061504), ([3, 5, 2], -2.628135), ([3, 4, 5, 2], -3.531276)]),
        Row(early: .whenFull, expected: [([3, 5, 2], -0.876045), ([3, 4, 5, 2], -0.882819), ([3, 2], -1.030752)]),
        Row(
            prompt: [1, 3, 4, 5, 3, 1], expected: [([3, 2], -0.294501), ([3, 5, 2], -0.328517), ([3, 4, 5, 2], -0.392364)]),
        Row(
            prompt: [1, 3, 4, 5, 3, 1], repetitionPenalty: 1.5,
            expected: [([3, 2], -0.350740), ([2], -0.381226), ([5, 2], -0.449666)]),
    ]

    @Test("the measured table of transformers 4.31 is reproduced", arguments: table)
    func measured(_ row: Row) throws {
        var settings = BeamSearch.Settings()
        settings.beamCount = 3
        settings.lengthPenalty = row.lengthPenalty
        settings.earlyStopping = row.early
        settings.maximumLength = row.prompt.count + 6
        let found = try Self.run(row.prompt, settings, returned: 3, repetitionPenalty: row.repetitionPenalty) { ids in
            Self.toy[ids[ids.count - 1]] ?? [Float](repeating: 0, count: 6)
        }
        #expect(found.map { Array($0.ids.dropFirst(row.prompt.count)) } == row.expected.map(\.0))
        for (hypothesis, expected) in zip(found, row.expected) {
            // the table has six decimals
            #expect(abs(hypothesis.score - expected.1) < 1e-6)
        }
    }

    @Test("random toys give the sequences and scores of transformers", arguments: TransformersRule.allCases)
    func random(_ rule: TransformersRule) throws {
        let file = try Files.json("beams-\(rule == .v431 ? "4.31" : "4.57").json")
        let table = try file.list("table").map { step in
            try #require(step.arrayValue).map { row in try #require(row.arrayValue).map { Float($0.doubleValue ?? .nan) } }
        }
        let cases = try file.list("cases")
        #expect(cases.count >= 45)
        for item in cases {
            var settings = BeamSearch.Settings()
            settings.rule = rule
            settings.beamCount = try #require(item["beams"]?.intValue)
            settings.lengthPenalty = try #require(item["length_penalty"]?.doubleValue)
            settings.eosIDs = try item.idList("eos")
            let early = try item.require("early_stopping")
            settings.earlyStopping = try #require(.init(rawValue: early.stringValue ?? "\(early.boolValue ?? false)"))
            let prompt = try item.idList("prompt")
            settings.maximumLength = prompt.count + (item["max_new_tokens"]?.intValue ?? 0)
            let found = try Self.run(
                prompt, settings, returned: try #require(item["returned"]?.intValue),
                repetitionPenalty: Float(try #require(item["repetition_penalty"]?.doubleValue))
            ) { ids in
                table[(ids.count - 1) % table.count][Int(ids[ids.count - 1])]
            }
            let sequences = try item.list("sequences").map { $0.ids ?? [] }
            #expect(found.map(\.ids) == sequences, "\(found) for \(item.text())")
            for (hypothesis, score) in zip(found, try item.list("scores")) {
                // single precision sums of up to 9 log-probabilities of size 10, in another order inside log softmax
                #expect(
                    abs(hypothesis.score - (score.doubleValue ?? .nan)) < 1e-5 * max(1, abs(hypothesis.score)), "\(item.text())")
            }
        }
    }

    @Test("the two rules differ where they are known to: what a score is divided by")
    func rules() throws {
        var settings = BeamSearch.Settings()
        settings.beamCount = 3
        settings.maximumLength = 7
        func best() throws -> BeamSearch.Hypothesis {
            try #require(
                try Self.run([1], settings, returned: 1) { Self.toy[$0[$0.count - 1]] ?? [Float](repeating: 0, count: 6) }.first)
        }
        let old = try best()
        settings.rule = .v457
        let new = try best()
        #expect(old.ids == [1, 3, 5, 2])
        // the sum of [3, 5, 2] over three ids in both: BOS, 3, 5 in the one, 3, 5, EOS in the other
        #expect(new.ids == old.ids && abs(new.score - old.score) < 1e-6)
        settings.lengthPenalty = 2
        #expect(try best().ids.count == 7)
    }

    @Test("what cannot be searched is refused")
    func refusals() throws {
        var settings = BeamSearch.Settings()
        settings.beamCount = 0
        #expect(throws: HadpoError.self) { try BeamSearch(prompt: [1], settings) }
        settings.beamCount = 3
        settings.maximumLength = 1
        #expect(throws: HadpoError.self) { try BeamSearch(prompt: [1], settings) }
        settings.maximumLength = 5
        #expect(throws: HadpoError.self, "the length of nothing") { try BeamSearch(prompt: [], settings) }
        var search = try BeamSearch(prompt: [1], settings)
        #expect(throws: HadpoError.self, "too few rows") { try search.step(logProbs: [[0, 0, 0]]) }
        #expect(throws: HadpoError.self, "too few ids") { try search.step(logProbs: [[0], [0], [0]]) }
        let error = try failure { _ = try search.step(logProbs: [[0, .nan, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]) }
        #expect(error.status == .numerics)
        #expect(search.beams == [[1], [1], [1]], "a refused step changes nothing")
    }

    @Test("a finished search takes no step")
    func finished() throws {
        var settings = BeamSearch.Settings()
        settings.beamCount = 2
        settings.maximumLength = 2
        var search = try BeamSearch(prompt: [1], settings)
        _ = try search.step(logProbs: [[-1, -2, -3, -4], [-1, -2, -3, -4]])
        #expect(search.isDone)
        #expect(throws: HadpoError.self) { try search.step(logProbs: [[-1, -2, -3, -4], [-1, -2, -3, -4]]) }
    }
}
