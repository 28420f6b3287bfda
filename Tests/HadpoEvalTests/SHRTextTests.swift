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
    private func classes(_ reply: String, _ count: Int) -> [SHRVerdicts.Class]? {
        if case .judged(let verdicts) = SHRVerdicts.corrected(reply, sentences: count) {
            verdicts.map(\.classification)
        } else {
            nil
        }
    }

    @Test("drafts of reasoning judges are dropped, whatever they hold") func drafts() {
        let final = ["correct", "correct", "hallucination"]
        let numbered =
            "Judgement:\n" + final.enumerated().map { "\($0.offset + 1). \($0.element): reason" }.joined(separator: "\n")
        let bullets = "Judgement:\n" + final.map { "- \($0): reason" }.joined(separator: "\n")
        let named = "Judgement:\n" + final.enumerated().map { "Sentence \($0.offset + 1): \($0.element)" }.joined(separator: "\n")
        let draft = "First judgement:\n1. hallucination\n2. hallucination\n3. correct\nWait.\n"
        let prose = "Three comments.\n1. the cat\n2. the wall\n3. the dog\nJudgement:\n1. correct\n"
        let titled = "**Final Judgement:**\n" + numbered.split(separator: "\n").dropFirst().joined(separator: "\n")
        for answer in [numbered, bullets, named, titled] {
            for thought in [draft, prose] {
                for reply in [
                    "<think>\n\(thought)</think>\n\n\(answer)", "\(thought)</think>\(answer)",
                    "[THINK]\(thought)[/THINK]\(answer)",
                    "<Thinking>a</Thinking><think>\(thought)</think>\(answer)<think>\n1. correct: cut off",
                    "<think>a<think>\(thought)</think>b</think>\(answer)",
                ] {
                    #expect(classes(reply, 3) == [.correct, .correct, .hallucination], "\(reply)")
                }
            }
        }
        #expect(SHRVerdicts.corrected("<think>\n\(numbered)", sentences: 3) == .bad("only_draft"))
        #expect(SHRVerdicts.corrected("<think>\(draft)</think> \n", sentences: 3) == .bad("only_draft"))
        #expect(SHRText.withoutDrafts("a <thinks> b [think c </thinker> é") == "a <thinks> b [think c </thinker> é")
        // What upstream's script makes of the same reply does not change.
        #expect(SHRVerdicts.upstream("Judgement:\n1. correct\n</think>Judgement:\n1. hallucination", sentences: 1) == .mismatch)
    }

    @Test("numbers, bullets and titles as judges write them") func styles() {
        let expected: [SHRVerdicts.Class] = [.correct, .hallucination, .cannotJudge]
        for reply in [
            "Judgement:\n0. correct: a\n1. hallucination: b\n2. cannot judge: c",
            "**1.** correct: a\n**2.** hallucination: b\n**3.** cannot judge: c",
            "**1. Correct**: a\n**2. Hallucination**: b\n**3. Cannot judge**: c",
            "- 1) correct\n- 2) hallucination\n- 3) cannot judge", "(1) correct\n(2) hallucination\n(3) cannot judge",
            "### Judgement\n| # | verdict |\n|---|---|\n| 1 | correct | a |\n| 2 | hallucination | b |\n| 3 | cannot judge | c |",
            "**1** correct\n**2** hallucination\n**3** cannot judge", "1: correct\n2: hallucination\n3: cannot judge",
            "1 - correct\n2 - hallucination\n3 - cannot judge",
            "Comment #1: correct\nComment #2: hallucination\nComment #3: cannot judge",
            "Judgement:\n* correct: a\n* hallucination: b\n* cannot judge: c\n\nI hope this helps.",
            "Judgement: 1. correct: a\n2. hallucination: b\n3. cannot judge: c",
            "1. Judgement: correct\n2. Judgement: hallucination: b\n3. Verdict: cannot judge",
            "The comments:\n1. a cat\n2. a wall\n3. a dog\n\nJudgement:\n- correct\n- hallucination\n- cannot judge",
            // Judged twice: the last complete run counts.
            "1. hallucination\n2. hallucination\n3. correct\nI look again.\nJudgement:\n1. correct\n2. hallucination\n3. cannot judge\nDone.",
            "Judgement:\n1. correct: 1.5 m tall\n2. hallucination: there are\n3 cats, in my judgement:\n12:30 on the clock\n3. cannot judge",
            "Judgement:\n1. correct\n2. hallucination\n3. cannot judge\nNotes:\n1. I looked twice",
        ] {
            #expect(classes(reply, 3) == expected, "\(reply)")
        }
        // More or fewer verdicts than sentences are nobody's.
        for reply in [
            "1. correct\n2. correct\n3. correct\n4. correct", "2. correct\n3. correct\n4. correct",
            "1. correct\n2. correct\n4. correct",
        ] {
            #expect(SHRVerdicts.corrected(reply, sentences: 3) == .bad("count_mismatch"), "\(reply)")
        }
        #expect(classes("1. correct: because\n1) the cat\n2) the dog\n2. hallucination", 2) == nil)
    }
}
