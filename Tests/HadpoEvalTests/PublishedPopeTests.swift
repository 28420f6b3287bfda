import Glibc
import HadpoBase
import HadpoEval
import HadpoTestSupport
import Testing

/// One row of the tables in HA-DPO's README: the confusion matrix that gives it and the figures printed there, which are cut off
/// after two decimals. Three cells of the README are misprints; they are listed with what was printed.
private struct PublishedRow {
    let model: String
    let set: String
    let counts: ConfusionMatrix
    let figures: [Double]
    var misprint: (column: Int, printed: Double)?
}

private let published: [PublishedRow] = [
    .init(
        model: "MiniGPT-4 base", set: "random", counts: .init(tp: 1497, fp: 1463, tn: 37, fn: 3),
        figures: [51.13, 50.57, 99.80, 67.13, 98.66]),
    .init(
        model: "MiniGPT-4 HA-DPO", set: "random", counts: .init(tp: 1175, fp: 91, tn: 1409, fn: 325),
        figures: [86.13, 92.81, 78.33, 84.96, 42.20]),
    .init(
        model: "MiniGPT-4 base", set: "popular", counts: .init(tp: 1493, fp: 1449, tn: 51, fn: 7),
        figures: [51.46, 50.74, 99.53, 67.22, 98.06], misprint: (3, 67.72)),
    .init(
        model: "MiniGPT-4 HA-DPO", set: "popular", counts: .init(tp: 1175, fp: 290, tn: 1210, fn: 325),
        figures: [79.50, 80.20, 78.33, 79.25, 48.83]),
    .init(
        model: "MiniGPT-4 base", set: "adversarial", counts: .init(tp: 1495, fp: 1457, tn: 43, fn: 5),
        figures: [51.26, 50.64, 99.66, 67.16, 98.40]),
    .init(
        model: "MiniGPT-4 HA-DPO", set: "adversarial", counts: .init(tp: 1175, fp: 405, tn: 1095, fn: 325),
        figures: [75.66, 74.36, 78.33, 76.29, 52.66]),
    .init(
        model: "InstructBLIP base", set: "random", counts: .init(tp: 1409, fp: 248, tn: 1252, fn: 91),
        figures: [88.70, 85.03, 93.93, 89.26, 55.23]),
    .init(
        model: "InstructBLIP HA-DPO", set: "random", counts: .init(tp: 1291, fp: 96, tn: 1404, fn: 209),
        figures: [89.83, 93.07, 86.06, 89.43, 46.23]),
    .init(
        model: "InstructBLIP base", set: "popular", counts: .init(tp: 1409, fp: 468, tn: 1032, fn: 91),
        figures: [81.36, 75.06, 93.93, 83.44, 62.56]),
    .init(
        model: "InstructBLIP HA-DPO", set: "popular", counts: .init(tp: 1291, fp: 218, tn: 1282, fn: 209),
        figures: [85.76, 85.55, 86.06, 85.80, 50.30], misprint: (4, 50.03)),
    .init(
        model: "InstructBLIP base", set: "adversarial", counts: .init(tp: 1409, fp: 674, tn: 826, fn: 91),
        figures: [74.50, 67.64, 93.93, 78.64, 69.43]),
    .init(
        model: "InstructBLIP HA-DPO", set: "adversarial", counts: .init(tp: 1291, fp: 370, tn: 1130, fn: 209),
        figures: [80.70, 77.72, 86.06, 81.68, 55.36]),
    .init(
        model: "LLaVA base", set: "random", counts: .init(tp: 1360, fp: 172, tn: 1328, fn: 140),
        figures: [89.60, 88.77, 90.66, 89.70, 51.06]),
    .init(
        model: "LLaVA HA-DPO", set: "random", counts: .init(tp: 1315, fp: 99, tn: 1401, fn: 185),
        figures: [90.53, 92.99, 87.66, 90.25, 47.13]),
    .init(
        model: "LLaVA base", set: "popular", counts: .init(tp: 1360, fp: 274, tn: 1226, fn: 140),
        figures: [86.20, 83.23, 90.66, 86.79, 54.46]),
    .init(
        model: "LLaVA HA-DPO", set: "popular", counts: .init(tp: 1315, fp: 178, tn: 1322, fn: 185),
        figures: [87.90, 88.07, 87.66, 87.87, 49.76], misprint: (3, 87.81)),
    .init(
        model: "LLaVA base", set: "adversarial", counts: .init(tp: 1360, fp: 467, tn: 1033, fn: 140),
        figures: [79.76, 74.43, 90.66, 81.75, 60.90]),
    .init(
        model: "LLaVA HA-DPO", set: "adversarial", counts: .init(tp: 1315, fp: 371, tn: 1129, fn: 185),
        figures: [81.46, 77.99, 87.66, 82.54, 56.20]),
]

private let columnNames = ["accuracy", "precision", "recall", "F1", "yes ratio"]

@Suite struct PublishedPopeFigures {
    /// Questions of a published set's form: 500 pictures with six each, of which every other one is to be answered yes. The figures rest
    /// on nothing else of them.
    private let questions = (1...3000).map {
        PopeQuestion(
            id: $0, image: "COCO_val2014_\(($0 - 1) / 6).jpg", text: "Is there a thing \($0) in the image?", isYes: $0 % 2 == 1)
    }

    @Test(
        "the question files are the generation the published figures were made with",
        arguments: ["random", "popular", "adversarial"])
    func generation(_ set: String) throws {
        let bytes = try File.read(try publishedFile("data/pope/coco_pope_\(set).json"))
        let prefix = ["random": "ac25245170b975a5", "popular": "72c1a8ad45d0c135", "adversarial": "420b3407db1fa9f1"][set]
        #expect(SHA256.hex(bytes).hasPrefix(prefix ?? "?"))
        let questions = try PopeQuestion.read(bytes, source: set)
        #expect(questions.map(\.id) == Array(1...3000))
        #expect(questions.count { $0.isYes } == 1500)
    }

    @Test("all 18 rows of the README come out, but for three misprints", arguments: ["random", "popular", "adversarial"])
    func rows(_ set: String) throws {
        let rows = published.filter { $0.set == set }
        #expect(rows.count == 6)
        for row in rows {
            var yesLeft = row.counts.tp
            var falseYesLeft = row.counts.fp
            var lines = ""
            for question in questions {
                let yes: Bool
                if question.isYes {
                    (yes, yesLeft) = (yesLeft > 0, yesLeft - 1)
                } else {
                    (yes, falseYesLeft) = (falseYesLeft > 0, falseYesLeft - 1)
                }
                let text = yes ? "Yes, there is, in the image.</s>" : "No, there is no such thing in the image.</s>"
                lines += PopeAnswer(id: question.id, question: question.text, text: text).record.text(ascii: true) + "\n"
            }
            let answers = try PopeAnswer.read(Array(lines.utf8), source: "answers")
            for match in PopeScore.Match.allCases {
                let score = try PopeScore(questions: questions, answers: answers, match: match)
                #expect(score.counts == row.counts)
                #expect(score.unparsed == 0 && score.ambiguous == 0)
                let counts = score.counts
                let computed = [counts.accuracy, counts.precision, counts.recall, counts.f1, score.yesRatio].map {
                    100 * ($0 ?? 0)
                }
                for (column, figure) in row.figures.enumerated() {
                    // Cut off, not rounded; 1e-9 for figures that are whole hundredths in decimal but not in binary.
                    let cut = floor(100 * computed[column] + 1e-9)
                    #expect(cut == (100 * figure).rounded(), "\(row.model) \(set) column \(column)")
                    if let misprint = row.misprint, misprint.column == column {
                        #expect(misprint.printed != figure)
                        if match == .id {
                            print(
                                "README misprint: \(row.model), \(set), \(columnNames[column]): printed \(misprint.printed), its row "
                                    + "gives \(figure)")
                        }
                    }
                }
            }
        }
    }

    @Test("the table prints the paper's columns aligned") func table() throws {
        let questions = (1...3).map { PopeQuestion(id: $0, image: "i", text: "q", isYes: $0 != 2) }
        func score(_ answer: String) throws -> PopeScore {
            try PopeScore(questions: questions, answers: (1...3).map { PopeAnswer(id: $0, question: nil, text: answer) })
        }
        let text = PopeScore.table([("random", "before", try score("Yes")), ("adversarial", "after HA-DPO", try score("No"))])
        #expect(
            text == """
                POPE         Model         Accuracy  Precision  Recall  F1 Score  Yes Ratio (%)
                -----------  ------------  --------  ---------  ------  --------  -------------
                random       before           66.67      66.67  100.00     80.00         100.00
                adversarial  after HA-DPO     33.33          -    0.00         -           0.00

                """)
    }
}
