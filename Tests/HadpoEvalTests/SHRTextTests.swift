import HadpoBase
import HadpoEval
import Testing

@Suite struct SHRTexts {
    @Test("the judge's prompt has upstream's bytes") func prompt() {
        let empty = SHRText.prompt(regions: "{}", factual: "{}", sentences: "{}")
        #expect(empty.utf8.count == 1132)
        #expect(SHA256.hex(Array(empty.utf8)) == "00550be1a5a96e48da20158a4da26fe6fc200f5ae17e902f2c8f7145f5dbf6d5")
    }

    @Test("descriptions are cut at every full stop and repeated sentences left out") func sentences() {
        let text =
            "A cat sits on a mat. The cat is 2.5 m away.  A cat. Is it a dog? A cat sits on a mat. Two dogs, a man and a dog run!\n\nThe end"
        let sentences = SHRText.sentences(text)
        #expect(
            sentences == [
                "A cat sits on a mat.", "The cat is 2.", "5 m away.", "Is it a dog? A cat sits on a mat.",
                "Two dogs, a man and a dog run!\n\nThe end.",
            ])
        #expect(SHRText.numbered(sentences).hasPrefix("1. A cat sits on a mat\n2. The cat is 2\n3. 5 m away\n"))
        #expect(SHRText.sentences("dog. big dog. Dog").count == 3)
        #expect(SHRText.sentences(" . .\n") == [] && SHRText.sentences("") == [])
        // A line feed behind a carriage return is one character to Swift and two to Python.
        #expect(SHRText.sentences("A\r\n.B\u{301}. B") == ["A.", "B\u{301}."])
    }

    @Test("region lines are Python's lists of floats") func regions() {
        func line(_ x: Double, _ y: Double, _ w: Double, _ h: Double, _ phrase: String) -> String {
            SHRText.regionLine(SHRRegion(x: x, y: y, width: w, height: h, phrase: phrase), width: 800, height: 600)
        }
        #expect(line(0, 3, 800, 150, "sky is blue") == "[0.0, 0.01, 1.0, 0.26]: sky is blue\n")
        #expect(line(100, 75, 300, 345, "man") == "[0.12, 0.12, 0.5, 0.7]: man\n")
        #expect(line(-1, 0, 801, 600, "x") == "[-0.0, 0.0, 1.0, 1.0]: x\n")
    }

    @Test("n-grams are counted as upstream counts them, and too few words have no figure") func grams() {
        let text = "The cat sat. The cat sat, and the cat ran?\nOK"
        let values = (1...4).map { SHRText.distinctGrams(text, $0) ?? -1 }
        #expect(values[0] == 0.6 && values[1] == 7.0 / 9 && values[2] == 0.875 && values[3] == 1)
        #expect(SHRText.distinctGrams("one two", 3) == nil && SHRText.distinctGrams("", 1) == nil)
    }

    @Test("replies are read as upstream reads them") func upstream() {
        func classes(_ reply: String, _ count: Int) -> [String]? {
            if case .judged(let verdicts) = SHRVerdicts.upstream(reply, sentences: count) {
                verdicts.map(\.classification)
            } else {
                nil
            }
        }
        #expect(classes("Judgement:\n1. Hallucination: x\n\n2. correct : y", 2) == ["hallucination", "correct "])
        #expect(SHRVerdicts.upstream("Judgement:\n1. correct: x", sentences: 2) == .mismatch)
        #expect(SHRVerdicts.upstream("Judgement\n1. correct: x", sentences: 1) == .noHeader)
        #expect(
            SHRVerdicts.upstream("Judgement:\n1.correct: x", sentences: 1) == .judged([.init(line: "x", classification: "x")]))
    }

    @Test("replies are read by their numbers, and what cannot be read has a name") func corrected() {
        func classes(_ reply: String, _ count: Int) -> [SHRVerdicts.Class]? {
            if case .judged(let verdicts) = SHRVerdicts.corrected(reply, sentences: count) {
                verdicts.map(\.classification)
            } else {
                nil
            }
        }
        func bad(_ reply: String, _ count: Int) -> String? {
            if case .bad(let why) = SHRVerdicts.corrected(reply, sentences: count) { why } else { nil }
        }
        #expect(
            classes("Judgement:\n1. **Hallucination**: a\nand more\n2) correct - b\n3.cannot judge: c\nNote: fine.", 3)
                == [.hallucination, .correct, .cannotJudge])
        #expect(classes("Judgement:\n1. maybe: a\n2. correct: b", 2) == [.unrecognised, .correct])
        #expect(classes("Judgement:\ncorrect: a\nhallucination: b", 2) == [.correct, .hallucination])
        #expect(bad("Judgement:\n1. correct: a\n1. correct: a", 2) == "count_mismatch")
        #expect(bad("Judgement:\n1. correct: a", 2) == "count_mismatch")
        #expect(bad("Urteil:\n1. Halluzination: nein\n2. richtig: ja", 2) == "foreign_reply")
        #expect(bad("That is correct, I think.", 2) == "no_judgement")
        #expect(classes("1. correctly seen: a", 1) == [.unrecognised])
    }
}
