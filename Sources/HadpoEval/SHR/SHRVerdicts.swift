import HadpoBase

/// What a judge said of a description's sentences.
package enum SHRVerdicts {
    package enum Class: String, CaseIterable, Sendable {
        case hallucination, correct
        case cannotJudge = "cannot judge"
        /// A verdict that is none of the three.
        case unrecognised
        /// No verdict: no reply, or one whose lines cannot be told apart.
        case unjudged
    }

    package struct Sentence: Sendable, Equatable {
        package let line: String
        package let classification: String

        package init(line: String, classification: String) { (self.line, self.classification) = (line, classification) }
    }

    /// Upstream's reading: the lines behind the first with "Judgement:", each without its first word; what precedes the colon, in
    /// lower case and not trimmed, is the class. `.mismatch` when lines and sentences differ in number: upstream then gives every
    /// sentence null. `.noHeader` where upstream's script dies.
    package enum Upstream: Sendable, Equatable {
        case judged([Sentence])
        case mismatch
        case noHeader
    }

    package static func upstream(_ reply: String, sentences: Int) -> Upstream {
        let lines = reply.pythonSplit("\n").filter { !$0.isEmpty }
        guard let header = lines.firstIndex(where: { $0.pythonContains("Judgement:") }) else { return .noHeader }
        let verdicts = lines[(header + 1)...].map { $0.pythonSplit(" ").dropFirst().joined(separator: " ").pythonStripped }
            .filter { !$0.isEmpty }
        guard verdicts.count == sentences else { return .mismatch }
        return .judged(
            verdicts.map { Sentence(line: $0, classification: ($0.pythonSplit(":").first ?? "").lowercased()) })
    }

    /// Our reading: items by their numbers, so that reasons of several lines and closing remarks do no harm; classes trimmed.
    package enum Corrected: Sendable, Equatable {
        case judged([(line: String, classification: Class)])
        case bad(String)

        package static func == (a: Corrected, b: Corrected) -> Bool {
            switch (a, b) {
            case (.judged(let a), .judged(let b)): a.elementsEqual(b) { $0 == $1 }
            case (.bad(let a), .bad(let b)): a == b
            default: false
            }
        }
    }

    package static func corrected(_ reply: String, sentences: Int) -> Corrected {
        let answer = SHRText.withoutDrafts(reply)
        if answer.pythonStripped.isEmpty, !reply.pythonStripped.isEmpty { return .bad("only_draft") }
        let lower = answer.lowercased()
        // Without a single word of a verdict: in another language, or not an answer at all.
        guard ["hallucination", "correct", "cannot judge"].contains(where: { lower.pythonContains($0) }) else {
            return .bad("foreign_reply")
        }
        let answerLines = SHRAnswerLines(answer)
        if sentences > 0, let verdicts = answerLines.verdicts(sentences) { return .judged(verdicts) }
        return .bad(answerLines.hasNothingToTellApart ? "no_judgement" : "count_mismatch")
    }

    /// The class that the text begins with, behind marks such as ** and quotes, and behind "Judgement:" or "Verdict:".
    static func classification(_ text: String) -> Class {
        var start = letters(text.lowercased())
        for title in ["judgement:", "judgment:", "verdict:"] where start.utf8.starts(with: title.utf8) {
            start = letters(String(decoding: Array(start.utf8.dropFirst(title.utf8.count)), as: UTF8.self))
        }
        for known in [Class.hallucination, .correct, .cannotJudge] where start.utf8.starts(with: known.rawValue.utf8) {
            let next = start.utf8.dropFirst(known.rawValue.utf8.count).first
            // "correctly seen" is no class, "hallucinations" none of ours.
            if next.map({ ($0 | 0x20) &- UInt8(ascii: "a") >= 26 }) ?? true { return known }
        }
        return .unrecognised
    }
    /// From the first letter on.
    private static func letters(_ text: String) -> String {
        String(String.UnicodeScalarView(text.unicodeScalars.drop { !$0.properties.isAlphabetic }))
    }
}
