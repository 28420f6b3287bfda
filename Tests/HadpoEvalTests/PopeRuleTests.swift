import HadpoBase
import HadpoEval
import Testing

/// Example answers with the verdicts that the original functions gave, measured: official, LLaVA, lmms-eval, VLMEvalKit, OPERA;
/// y yes, n no, - neither.
private let verdicts: [(answer: String, verdicts: String)] = [
    ("Yes", "yyyyy"), ("yes", "yyyyy"), ("No", "nnnnn"), ("no", "nnnnn"), ("NO", "yynnn"), ("No.", "nn-nn"),
    ("Yes, there is a dog.", "yy-yy"), ("No, there is no dog in the image.", "nn-nn"),
    ("No, there is no dog in the image.</s>", "nn-nn"), ("No</s>", "yy-ny"), ("No!", "yy-ny"), ("No;", "yy-ny"),
    ("No:", "yy--y"), ("\"No\"", "yy-ny"), ("No\nThere is none.", "yy-ny"), ("Yes\nThere is no doubt.", "nn--n"),
    ("not", "nn--n"), ("It is not visible", "nn--n"), ("Not really", "yy--y"), ("There isn't a dog.", "yy--n"),
    ("There is no dog.", "nn-nn"), ("I can see it. No dog.", "yy-nn"), ("Yes. There is not only a dog but a cat.", "yy-yn"),
    ("Yes, there is not just one dog.", "nn-yn"), ("None", "yy--y"), ("cannot tell", "yy--y"), ("I do not know", "nn--n"),
    ("Yes and no", "nn--n"), ("", "yy--y"), ("  no ", "nnnnn"), (".No", "yy-nn"), ("no,yes", "yy--y"), ("Yes-no", "yy--y"),
    ("No - it is empty", "nn-nn"), ("No, 1,000 people", "nn-nn"), ("**No**", "yy--y"), ("Answer:No", "yy--y"),
    ("The answer is yes.", "yy-yy"), ("No\tdog", "yy-ny"), ("No\u{A0}dog", "yy-ny"), ("There are 3.5 dogs, no cat", "yy-nn"),
    ("Yes.no", "yy--y"),
]

@Suite struct PopeRules {
    @Test("42 answers get the verdicts of the original functions under all five rules", arguments: PopeRule.allCases)
    func table(_ rule: PopeRule) throws {
        #expect(verdicts.count == 42)
        let column = try #require(PopeRule.allCases.firstIndex(of: rule))
        for (number, row) in verdicts.enumerated() {
            let letter = Array(row.verdicts)[column]
            let expected: PopeRule.Verdict = letter == "y" ? .yes : letter == "n" ? .no : .other
            #expect(rule.verdict(row.answer) == expected, "row \(number + 1): \(row.answer)")
        }
    }

    @Test("VLMEvalKit's filter keeps its habits: deleted beside a space, a space elsewhere, 32 full stops") func filter() {
        func filtered(_ text: String) -> String { String(String.UnicodeScalarView(PopeRule.withoutPunctuation(text))) }
        #expect(filtered("No, 1,000 people-here") == "No 1000 peoplehere")
        #expect(filtered("yes,no") == "yes no")
        #expect(filtered("no-one") == "no one")
        #expect(filtered("3.5 a.b 7.") == "3.5 ab 7")
        #expect(filtered(String(repeating: "a.", count: 40)).count { $0 == "." } == 8)
    }

    @Test("six answers give the figures of the original scripts") func metrics() {
        let labels = [true, false, true, false, true, false]
        let answers = ["yes", "no", "Yes, there is.", "No.", "no", "yes"]
        func figures(_ rule: PopeRule) -> [Double?] {
            var counts = ConfusionMatrix()
            for (label, answer) in zip(labels, answers) { counts.count(rule.verdict(answer), isYes: label) }
            let figures = PopeFigures(counts, rule: rule)
            return PopeFigures.Figure.allCases.map { figures[$0] }
        }
        let third = 2.0 / 3
        #expect(figures(.official) == [third, third, third, third, 0.5])
        #expect(figures(.llava) == [third, third, third, third, 0.5])
        // lmms-eval prints 0.5 as yes ratio too, from the labels; two of six replies are literally yes.
        #expect(figures(.lmmsEval) == [2.0 / 6, 0.5, 0.5, 0.5, 2.0 / 6])
        #expect(figures(.vlmEvalKit) == [third, third, third, third, 0.5])
    }

    @Test("VLMEvalKit's table comes out with categories exploded, unknown answers wrong and not yes") func exploded() {
        let labels = [true, false, true, false, true, false]
        let extracted: [PopeRule.Verdict] = [.yes, .no, .other, .other, .no, .yes]
        let categories = [["random", "popular"], ["random"], ["popular"], ["random"], ["random"], ["popular"]]
        var counts: [String: ConfusionMatrix] = [:]
        for i in labels.indices {
            for category in categories[i] + Array(repeating: "Overall", count: categories[i].count) {
                counts[category, default: .init()].count(extracted[i], isYes: labels[i])
            }
        }
        func percent(_ category: String) -> [Double] {
            let columns: [PopeFigures.Figure] = [.f1, .accuracy, .precision, .recall]
            let figures = PopeFigures(counts[category] ?? .init(), rule: .vlmEvalKit)
            return columns.map { (figures[$0] ?? -1) * 100 }
        }
        let rows: [(String, [Double])] = [
            ("Overall", [57.142857, 42.857143, 66.666667, 50]), ("random", [66.666667, 50, 100, 50]),
            ("popular", [50, 100.0 / 3, 50, 50]),
        ]
        for (category, expected) in rows {
            // Printed with six decimals.
            for (value, figure) in zip(percent(category), expected) { #expect(abs(value - figure) < 1e-6, "\(category)") }
        }
    }
}

@Suite struct EvaluationStatistics {
    @Test("Wilson's interval and McNemar's exact test give their published examples") func golden() throws {
        let interval = try #require(Statistics.wilson(2700, 3000))
        // Six decimals were printed.
        #expect(abs(interval.lowerBound - 0.888748) < 5e-7 && abs(interval.upperBound - 0.910229) < 5e-7)
        #expect(abs(Statistics.mcNemarExact(30, 14) - 0.0226288) < 5e-8)
        #expect(Statistics.mcNemarExact(14, 30) == Statistics.mcNemarExact(30, 14))
        #expect(Statistics.mcNemarExact(0, 0) == 1 && Statistics.mcNemarExact(5, 5) == 1)
        #expect(Statistics.wilson(0, 0) == nil && Statistics.wilson(0, 10)?.lowerBound == 0)
        // 2^-n underflows a double beyond 1074; the sum of logarithms does not fail there. By symmetry p is near 1.
        #expect(Statistics.mcNemarExact(1500, 1500) == 1 && Statistics.mcNemarExact(1400, 1600) < 0.001)
    }

    @Test("quantiles are interpolated as numpy's, and one undefined replicate leaves no interval") func percentile() throws {
        let interval = try #require(Statistics.percentile95((0...100).map { Double($0) }))
        #expect(interval == 2.5...97.5)
        #expect(Statistics.percentile95([1, nil, 2]) == nil && Statistics.percentile95([]) == nil)
    }

    @Test("the bootstrap over pictures repeats with its seed and is as wide as the pictures differ") func bootstrap() throws {
        // 100 pictures with four questions, all right or all wrong: the picture is the unit, so the standard error of the mean is
        // sqrt(0.25 / 100) = 0.05, not sqrt(0.25 / 400) = 0.025.
        let counts = (0..<100).map { [$0 % 2 == 0 ? 4 : 0, 4] }
        func accuracies(_ seed: UInt64) -> [Double?] {
            ClusterBootstrap(clusters: 100, resamples: 2000, seed: seed).replicates(counts) { Double($0[0]) / Double($0[1]) }
        }
        let interval = try #require(Statistics.percentile95(accuracies(1)))
        let half = (interval.upperBound - interval.lowerBound) / 2
        // The half-width is 1.96 * 0.05 = 0.098; a quantile of 2000 draws wavers by about 3 %, steps are 0.01.
        #expect(abs(half - 0.098) < 0.013)
        #expect(accuracies(1) == accuracies(1))
        #expect(accuracies(1) != accuracies(2))
    }
}
