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
        let lower = reply.lowercased()
        // Without a single word of a verdict: in another language, or not an answer at all.
        guard ["hallucination", "correct", "cannot judge"].contains(where: { lower.pythonContains($0) }) else {
            return .bad("foreign_reply")
        }
        var lines = reply.pythonSplit("\n").map(\.pythonStripped).filter { !$0.isEmpty }
        let header = lines.firstIndex {
            $0.lowercased().pythonContains("judgement") || $0.lowercased().pythonContains("judgment")
        }
        if let header { lines.removeSubrange(...header) }
        let numbered = items(lines)
        if numbered.map(\.number) == Array(1...max(1, sentences)), sentences > 0 {
            return .judged(numbered.map { ($0.text, classification($0.text)) })
        }
        guard numbered.isEmpty else { return .bad("count_mismatch") }
        // No numbers at all: one line a sentence, if each says something.
        let classes = lines.map(classification)
        if lines.count == sentences, !classes.contains(.unrecognised) {
            return .judged(Array(zip(lines, classes)))
        }
        return .bad(header == nil ? "no_judgement" : "count_mismatch")
    }

    /// "12. text" and "12) text" begin an item; other lines belong to the one before.
    private static func items(_ lines: [String]) -> [(number: Int, text: String)] {
        var items: [(number: Int, text: String)] = []
        for line in lines {
            let digits = line.utf8.prefix { $0 &- UInt8(ascii: "0") < 10 }
            let rest = line.utf8.dropFirst(digits.count)
            if (1...6).contains(digits.count), let mark = rest.first, [UInt8(ascii: "."), UInt8(ascii: ")")].contains(mark),
                let number = Int(String(decoding: Array(digits), as: UTF8.self))
            {
                items.append((number, String(decoding: Array(rest.dropFirst()), as: UTF8.self).pythonStripped))
            } else if let last = items.last {
                items[items.count - 1] = (last.number, last.text + " " + line)
            }
        }
        return items
    }

    /// The class that the text begins with, behind marks such as ** and quotes.
    private static func classification(_ text: String) -> Class {
        let letters = text.lowercased().unicodeScalars.drop { !$0.properties.isAlphabetic }
        let start = String(String.UnicodeScalarView(letters))
        for known in [Class.hallucination, .correct, .cannotJudge] where start.utf8.starts(with: known.rawValue.utf8) {
            let next = start.utf8.dropFirst(known.rawValue.utf8.count).first
            // "correctly seen" is no class, "hallucinations" none of ours.
            if next.map({ ($0 | 0x20) &- UInt8(ascii: "a") >= 26 }) ?? true { return known }
        }
        return .unrecognised
    }
}
