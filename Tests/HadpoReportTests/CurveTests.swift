import HadpoBase
import HadpoEval
import Testing

import HadpoReport

@Suite struct CurveTests {
    private func pairs(_ scores: [(Double?, Bool)]) -> [(question: PopeQuestion, answer: PopeAnswer)] {
        scores.enumerated().map { id, score in
            (
                PopeQuestion(id: id, image: "a", text: "?", isYes: score.1),
                PopeAnswer(id: id, question: nil, text: "Yes", yesMinusNo: score.0)
            )
        }
    }

    @Test func theAreaUnderTheDrawnCurveIsTheReportedOne() throws {
        var random = Philox(seed: 3, stream: 0)
        // Few levels, so that many scores are equal.
        let scores = (0..<300).map { i in (Optional(Double(random.below(12)) + (i % 3 == 0 ? 2 : 0)), i % 3 == 0) }
        let curve = try #require(PopeAnswers.curve(pairs(scores)))
        #expect(curve.first?.x == 0 && curve.first?.y == 0 && curve.last?.x == 1 && curve.last?.y == 1)
        let area = zip(curve, curve.dropFirst()).reduce(0.0) { $0 + ($1.1.x - $1.0.x) * ($1.1.y + $1.0.y) / 2 }
        let expected = try #require(areaUnderROC(scores.map { (score: $0.0 ?? 0, isYes: $0.1) }))
        // Both are sums of a few hundred doubles.
        #expect((area - expected).magnitude < 1e-12)
    }

    @Test func withoutEveryScoreThereIsNoCurve() {
        #expect(PopeAnswers.curve(pairs([(1, true), (nil, false)])) == nil)
        #expect(PopeAnswers.curve(pairs([(1, true), (2, true)])) == nil)
    }

    @Test func aLongCurveKeepsItsSpikes() {
        let points = (0..<10_000).map { (x: Double($0), y: $0 == 5_123 ? 9.0 : 0.5) }
        let html = LineChart(
            title: "t", xLabel: "x", yLabel: "y", series: [.init(name: "s", role: .single, points: points)]
        ).html.text
        #expect(html.contains("<svg"))
        #expect(html.utf8.count < 20_000)
        // The top of the frame, which only the spike reaches at nine of ten.
        #expect(html.contains(" 42.2L"))
    }
}
