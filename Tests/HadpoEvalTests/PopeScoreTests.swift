import HadpoBase
import HadpoEval
import Testing

@Suite struct PopeAnswerRule {
    @Test("the official rule gives upstream's verdicts") func official() {
        let yes = [
            "Yes, there is a dog.", "No</s>", "No\nThere is none.", "There isn't a dog.", "NO.", "I can see it. No dog.", "",
            "None",
            "cannot tell", "Not really", "Yes", "yes", "NO", "No!", "No;", "No:", "\"No\"", ".no", "No\tdog", "No\u{A0}dog",
            "Yes. There is not only a dog but a cat.", "No\u{301}",
        ]
        let no = [
            "No, there is no dog in the image.</s>", "It is not visible", "no.", "  no ", "No", "no", "No.", "not",
            "Yes\nThere is no doubt.", "There is no dog.", "Yes, there is not just one dog.", "I do not know", "Yes and no",
            "N,o",
        ]
        for answer in yes { #expect(PopeRule.officialSaysYes(answer), "\(answer)") }
        for answer in no { #expect(!PopeRule.officialSaysYes(answer), "\(answer)") }
    }

    @Test("the leading word is read in any case and behind quotes and blanks") func leading() {
        for answer in ["Yes", "YES!", " \"yes\"", "**Yes**, it is", "yes\n"] {
            #expect(PopeRule.leadingWordSaysYes(answer) == true)
        }
        for answer in ["no", "No</s>", "NO.", "\nno, not"] { #expect(PopeRule.leadingWordSaysYes(answer) == false) }
        for answer in ["", "Not", "None", "There is no", "Yesterday", "noé", "1"] {
            #expect(PopeRule.leadingWordSaysYes(answer) == nil, "\(answer)")
        }
    }
}

@Suite struct PopeScoring {
    private let questions = (1...4).map {
        PopeQuestion(id: $0, image: "\(($0 + 1) / 2).jpg", text: "q\($0)", isYes: $0 % 2 == 1)
    }
    private func answers(_ texts: [String], ids: [Int?]? = nil, scores: [Double]? = nil) -> [PopeAnswer] {
        texts.enumerated().map {
            PopeAnswer(id: ids?[$0.offset] ?? $0.offset + 1, question: nil, text: $0.element, yesMinusNo: scores?[$0.offset])
        }
    }

    @Test("counts, ratios, unparsed and ambiguous answers stand in the report") func report() throws {
        // Question 4 gets an answer whose beginning says no where the official rule says yes.
        let score = try PopeScore(questions: questions, answers: answers(["Yes.", "no", "Maybe not", "NO"]))
        #expect(score.counts == ConfusionMatrix(tp: 1, fp: 1, tn: 1, fn: 1))
        let report = score.report
        #expect(report["accuracy"] == 0.5 && report["precision"] == 0.5 && report["recall"] == 0.5 && report["f1"] == 0.5)
        #expect(report["yes_ratio"] == 0.5 && report["n"] == 4 && report["unparsed"] == 1 && report["ambiguous"] == 1)
        #expect(report["roc_area"] == JSON.null)
    }

    @Test("the interval of the accuracy takes pictures as units") func interval() throws {
        // Twenty pictures with two questions each, all right in the first ten, all wrong in the others: every deviation is 1,
        // error = sqrt(20 * 20/19) / 40.
        let many = (1...40).map { PopeQuestion(id: $0, image: "\(($0 + 1) / 2).jpg", text: "q", isYes: true) }
        let apart = try PopeScore(questions: many, answers: answers((1...40).map { $0 <= 20 ? "Yes" : "No" }))
        let error = Statistics.z95 * (20.0 * 20 / 19).squareRoot() / 40
        // 1e-12 is far above rounding and far below the change a wrong factor makes.
        #expect(abs((apart.accuracyInterval?.upperBound ?? 0) - (0.5 + error)) < 1e-12)
        #expect(abs((apart.accuracyInterval?.lowerBound ?? 0) - (0.5 - error)) < 1e-12)
        // One right and one wrong in each: no spread between pictures.
        let together = try PopeScore(questions: questions, answers: answers(["Yes", "Yes", "Yes", "Yes"]))
        #expect(together.accuracyInterval == 0.5...0.5)
    }

    @Test("ratios without cases are null instead of a division by zero") func empty() throws {
        let none = try PopeScore(questions: [], answers: [])
        for key in ["accuracy", "precision", "recall", "f1", "yes_ratio", "accuracy_95", "roc_area"] {
            #expect(none.report[key] == JSON.null)
        }
        let allNo = try PopeScore(questions: questions, answers: answers(["no", "no", "no", "no"]))
        #expect(allNo.report["precision"] == JSON.null && allNo.report["f1"] == JSON.null && allNo.report["recall"] == 0.0)
    }

    @Test("answers are matched by id in any order and every mismatch is named") func matching() throws {
        let texts = ["no", "no", "Yes", "Yes"]
        let shuffled = try PopeScore(questions: questions, answers: answers(texts, ids: [4, 2, 3, 1]))
        #expect(shuffled.counts.accuracy == 1)
        // Upstream would score the same file by position, half wrong.
        let error = #expect(throws: HadpoError.self) {
            try PopeScore(questions: questions, answers: answers(texts, ids: [4, 2, 3, 1]), match: .position)
        }
        #expect(error?.found == "question_id 4" && error?.expected?.hasPrefix("question_id 1,") == true)

        func message(_ answers: [PopeAnswer]) -> String? {
            do throws(HadpoError) {
                _ = try PopeScore(questions: questions, answers: answers)
                return nil
            } catch { return "\(error.message): \(error.found ?? "")" }
        }
        #expect(message(answers(["no", "no", "no"])) == "questions without an answer: 1: 4")
        #expect(message(answers(texts, ids: [1, 2, 3, 3])) == "questions answered twice: 1: 3")
        #expect(message(answers(texts, ids: [1, 2, 3, 9])) == "answers to unknown questions: 1: 9")
        #expect(
            message(answers(texts).map { PopeAnswer(id: nil, question: nil, text: $0.text) })?.hasPrefix("an answer without")
                == true)
        #expect(
            message(answers(texts).map { PopeAnswer(id: $0.id, question: "q1", text: $0.text) })
                == "an answer to another question: 'q1'")
        let twice = questions + [questions[0]]
        #expect(throws: HadpoError.self) { try PopeScore(questions: twice, answers: answers(texts)) }
    }

    @Test("by position the shorter file ends the counting and the yes ratio is over all answers") func position() throws {
        let score = try PopeScore(
            questions: Array(questions.prefix(2)), answers: answers(["Yes", "no", "Yes", "Yes"]), match: .position)
        #expect(score.counts == ConfusionMatrix(tp: 1, tn: 1))
        #expect(score.yesRatio == 0.75)
    }

    @Test("the area under the ROC curve counts ties half") func area() throws {
        #expect(areaUnderROC([(1, true), (0, false)]) == 1)
        #expect(areaUnderROC([(0, true), (1, false)]) == 0)
        #expect(areaUnderROC([(1, true), (1, false)]) == 0.5)
        #expect(areaUnderROC([(1, true)]) == nil)
        var random = Philox(seed: 9)
        let cases = (0..<300).map { _ in (score: Double(random.below(20)), isYes: random.below(3) == 0) }
        var wins = 0.0
        for positive in cases where positive.isYes {
            for negative in cases where !negative.isYes {
                wins += positive.score > negative.score ? 1 : positive.score == negative.score ? 0.5 : 0
            }
        }
        let n = Double(cases.count { $0.isYes })
        // Sums of halves are exact; only the division rounds.
        #expect(abs((areaUnderROC(cases) ?? -1) - wins / (n * (300 - n))) < 1e-15)
        let score = try PopeScore(
            questions: questions, answers: answers(["Yes", "Yes", "Yes", "Yes"], scores: [3, 1, 2, 2]))
        #expect(score.report["roc_area"] == 0.875)
    }

    @Test("question and answer files are read as lines and as an array, and faults name their place") func files() throws {
        let lines = "{\"question_id\": 1, \"image\": \"a.jpg\", \"text\": \"Is é?\", \"label\": \"yes\"}\n\n"
        let read = try PopeQuestion.read(Array(lines.utf8), source: "q")
        #expect(read == [PopeQuestion(id: 1, image: "a.jpg", text: "Is é?", isYes: true)])
        #expect(try PopeQuestion.read(Array(" [\(lines.dropLast(2))]".utf8), source: "q") == read)
        #expect(read[0].record.text() + "\n\n" == lines)
        let answer = PopeAnswer(id: 1, question: "Is é?", text: "No", yesMinusNo: -0.5)
        let text = answer.record.text(ascii: true)
        #expect(text == #"{"question": "Is \u00e9?", "answer": "No", "question_id": 1, "yes_minus_no": -0.5}"#)
        #expect(try PopeAnswer.read(Array(text.utf8), source: "a") == [answer])
        func fault(_ text: String) -> String? {
            let error = #expect(throws: HadpoError.self) { try PopeQuestion.read(Array(text.utf8), source: "q") }
            return error.map { "\($0.place ?? "") \($0.message)" }
        }
        #expect(fault(#"{"question_id": 1, "image": "a", "text": "t", "label": "No"}"#) == "q:1 no such label")
        #expect(
            fault("\n{\"question_id\": \"1\"}") == "q:2 no 'label'"
                && fault("\n{\"question_id\": \"1x\"}") == "q:2 /question_id mistyped value"
                && fault("\n{\"question_id\": 1.0}") == "q:2 /question_id mistyped value")
        #expect(fault("[5]") == "q[0] no 'question_id'")
        let error = #expect(throws: HadpoError.self) { try PopeAnswer.read(Array(lines.utf8), source: "a") }
        #expect(error?.message == "no 'answer'")
    }
}
