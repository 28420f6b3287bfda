import Glibc
import HadpoBase
import HadpoText
import Testing

@Suite("Choosing tokens")
struct SamplingTests {
    @Test("processors change scores as transformers' do", arguments: ["4.31", "4.57"])
    func processors(_ version: String) throws {
        let cases = try Files.json("beams-\(version).json").list("processed")
        #expect(cases.count == 45)
        for item in cases {
            func floats(_ key: String) throws -> [Float] { try item.list(key).map { Float($0.doubleValue ?? -.infinity) } }
            var scores = try floats("before")
            let value = try #require(item["value"]?.doubleValue)
            let history = try item.idList("history")
            let name = try item.string("name")
            scores.withUnsafeMutableBufferPointer { scores in
                switch name {
                case "repetition_penalty": ScoreProcessing.penalizeRepetition(scores, of: history, penalty: Float(value))
                case "temperature": ScoreProcessing.divide(scores, byTemperature: Float(value))
                case "top_k": ScoreProcessing.keepTop(scores, k: Int(value))
                case "top_k_2": ScoreProcessing.keepTop(scores, k: Int(value), atLeast: 2)
                case "top_p": ScoreProcessing.keepNucleus(scores, p: Float(value))
                default: ScoreProcessing.keepNucleus(scores, p: Float(value), atLeast: 2)
                }
            }
            // one rounding of a product or quotient; kept scores are unchanged
            #expect(try zip(scores, floats("after")).allSatisfy { $0 == $1 || abs($0 - $1) <= 1e-6 * abs($1) }, "\(item.text())")
        }
    }

    @Test("the greatest score wins, the first among equals; NaN is an error")
    func greedy() throws {
        #expect(try TokenChoice.greatest([1, 3, 3, 2]) == 1)
        #expect(try TokenChoice.greatest([-.infinity, -.infinity]) == 0)
        #expect(try failure { _ = try TokenChoice.greatest([0, .nan]) }.status == .numerics)
        #expect(throws: HadpoError.self) { try TokenChoice.greatest([]) }
    }

    @Test("greedy choice sees the repetition penalty and the minimum length, not temperature or top-k")
    func greedyProcessing() throws {
        var choice = TokenChoice()
        var random = Philox(seed: 1)
        choice.repetitionPenalty = 2
        (choice.temperature, choice.topK, choice.topP) = (0.1, 1, 0.1)
        var logits: [Float] = [1, 3, 2]
        #expect(try choice.next(&logits, history: [1, 1], random: &random) == 2)
        #expect(logits == [1, 1.5, 2])
        choice.repetitionPenalty = 1
        (choice.eosIDs, choice.minimumLength) = ([1, 99, -1], 3)
        logits = [1, 3, 2]
        #expect(try choice.next(&logits, history: [5, 5], random: &random) == 2)
        logits = [1, 3, 2]
        #expect(try choice.next(&logits, history: [5, 5, 5], random: &random) == 1)
        #expect(random.position == 0, "greedy choice draws nothing")
    }

    @Test("draws follow the probabilities and depend on seed and position alone")
    func draws() throws {
        var choice = TokenChoice()
        choice.samples = true
        var random = Philox(seed: 3)
        var counts = [0, 0, 0, 0]
        for _ in 0..<20000 {
            var logits: [Float] = [0, logf(2), logf(5), -.infinity]
            counts[Int(try choice.next(&logits, history: [], random: &random))] += 1
        }
        // five standard deviations of a binomial count of 20000 draws are at most 354
        for (count, share) in zip(counts, [1.0 / 8, 2.0 / 8, 5.0 / 8, 0]) { #expect(abs(Double(count) - 20000 * share) < 354) }
        #expect(counts[3] == 0)

        func sequence(_ generator: Philox) throws -> [Int32] {
            var random = generator
            return try (0..<20).map { _ in
                var logits: [Float] = [0, 0, 0, 0, 0, 0, 0, 0]
                return try choice.next(&logits, history: [], random: &random)
            }
        }
        let whole = try sequence(Philox(seed: 7))
        #expect(try sequence(Philox(seed: 7)) == whole)
        #expect(try sequence(Philox(seed: 8)) != whole)
        var moved = Philox(seed: 7)
        var logits: [Float] = [0, 0, 0, 0, 0, 0, 0, 0]
        _ = try choice.next(&logits, history: [], random: &moved)
        #expect(try sequence(Philox(seed: 7, position: moved.position)).dropLast() == whole.dropFirst())
    }

    @Test("nothing left to draw from is an error")
    func nothingLeft() throws {
        var random = Philox(seed: 1)
        #expect(try failure { _ = try TokenChoice.draw([-.infinity, -.infinity], &random) }.status == .numerics)
        #expect(try failure { _ = try TokenChoice.draw([.infinity, 0], &random) }.status == .numerics)
    }

    @Test("log softmax of large scores has probabilities that sum to one")
    func logSoftmax() {
        var scores: [Float] = [1000, 999, -1000, -.infinity]
        scores.withUnsafeMutableBufferPointer { ScoreProcessing.logSoftmax($0) }
        #expect(abs(scores[0] + 0.313262) < 1e-6 && abs(scores[1] + 1.313262) < 1e-6)
        #expect(scores[3] == -.infinity)
    }

    @Test("a sequence of ids ends a generation only as its tail")
    func stopSequences() {
        let stop = StopSequences([[835], [2277, 29937], []])
        #expect(stop.end([1, 835]))
        #expect(stop.end([2277, 29937]))
        #expect(!stop.end([835, 1]) && !stop.end([29937]) && !stop.end([]))
    }

    @Test("text is cut at the first stop string, however it arrives", arguments: 1...9)
    func stopStrings(_ size: Int) throws {
        func run(_ text: String, _ strings: [String]) throws -> String {
            var stop = try StopStrings(strings)
            var result = ""
            let characters = Array(text)
            for start in stride(from: 0, to: characters.count, by: size) {
                result += stop.push(String(characters[start..<min(start + size, characters.count)]))
            }
            return result + stop.finish()
        }
        #expect(try run("a dog</s>more", ["</s>"]) == "a dog")
        #expect(try run("a < b </ c", ["</s>"]) == "a < b </ c")
        #expect(try run("aab##a###b", ["###"]) == "aab##a")
        #expect(try run("xabcaby", ["abd", "bca"]) == "xa")
        #expect(try run("中文###", ["###"]) == "中文")
        #expect(try run("abcabd", ["abd"]) == "abc")
        #expect(try run("plain", []) == "plain")
    }

    @Test("nothing of a stop string is given out early")
    func heldBack() throws {
        var stop = try StopStrings(["</s>"])
        #expect(stop.push("ok<") == "ok")
        #expect(stop.push("/s") == "")
        #expect(stop.push(">x") == "")
        #expect(stop.isStopped)
        #expect(stop.push("more") == "" && stop.finish() == "")
        #expect(throws: HadpoError.self) { try StopStrings([""]) }
    }
}
