import HadpoBase

/// A judge's answer as lines: which of them begin a numbered item, which are headings, and which verdicts that makes.
///
/// Judges write "1. correct", "**1.** correct", "- 1) correct", "Sentence 1: correct" or "| 1 | correct |", count from 0, give
/// bullets without numbers, and some judge twice, the second time after having thought. So a run is sought: items whose numbers
/// follow one another from 1 or 0 on, as many as there are sentences. The last such run that says something counts.
struct SHRAnswerLines {
    typealias Verdict = (line: String, classification: SHRVerdicts.Class)

    private struct Line {
        let text: String
        /// Of an item, and what stands behind its number.
        let item: (number: Int, text: String)?
        /// Holds the word "judgement" and is no item.
        let isHeading: Bool
        /// A heading of its own, and not a sentence with that word in it.
        let isTitle: Bool
    }

    private var lines: [Line] = []
    /// Where an answer may begin, the most likely first: behind the last titles, behind the first heading, at the beginning.
    private var starts: [Int] = []
    private let firstHeading: Int?

    init(_ answer: String) {
        for line in answer.pythonSplit("\n").map(\.pythonStripped) where !line.isEmpty {
            lines += Self.lines(line)
        }
        firstHeading = lines.firstIndex { $0.isHeading }
        // An answer of thousands of titles must not take the square of their number.
        starts = lines.indices.filter { lines[$0].isTitle }.suffix(8).reversed().map { $0 + 1 }
        if let firstHeading { starts.append(firstHeading + 1) }
        starts.append(0)
    }

    /// Neither a heading nor a number.
    var hasNothingToTellApart: Bool { firstHeading == nil && !lines.contains { $0.item != nil } }

    func verdicts(_ count: Int) -> [Verdict]? {
        for start in starts {
            let complete = runs(from: start).filter { isComplete($0, count) }.map(verdicts)
            if let last = complete.last(where: { $0.contains { $0.classification != .unrecognised } }) { return last }
        }
        for start in starts where start > 0 || firstHeading == nil {
            if let found = withoutNumbers(from: start, count) { return found }
        }
        for start in starts {
            let runs = runs(from: start)
            if runs.count == 1, isComplete(runs[0], count) { return verdicts(runs[0]) }
        }
        return nil
    }

    // MARK: items

    private typealias Run = [(number: Int, first: Int, end: Int)]

    /// Items whose numbers follow one another; lines without a number belong to the item before.
    private func runs(from start: Int) -> [Run] {
        var runs: [Run] = []
        for index in lines.indices.dropFirst(start) {
            if let item = lines[index].item {
                if let last = runs.last?.last, last.number + 1 == item.number {
                    runs[runs.count - 1].append((item.number, index, index + 1))
                } else {
                    runs.append([(item.number, index, index + 1)])
                }
            } else if let last = runs.indices.last, !lines[index].isTitle {
                runs[last][runs[last].count - 1].end = index + 1
            }
        }
        return runs
    }

    private func isComplete(_ run: Run, _ count: Int) -> Bool {
        run.count == count && run.first.map { $0.number <= 1 } ?? false
    }

    private func verdicts(_ run: Run) -> [Verdict] {
        run.map { item in
            let more = lines[item.first..<item.end].dropFirst().map(\.text)
            let text = ([lines[item.first].item?.text ?? ""] + more).joined(separator: " ")
            return (text, SHRVerdicts.classification(text))
        }
    }

    /// No numbers at all: one line a sentence, if each says something; among others only if all have the same bullet.
    private func withoutNumbers(from start: Int, _ count: Int) -> [Verdict]? {
        let rest = lines.dropFirst(start)
        guard !rest.contains(where: { $0.item != nil }) else { return nil }
        let all: [Verdict] = rest.map { ($0.text, SHRVerdicts.classification($0.text)) }
        let recognised = all.filter { $0.classification != .unrecognised }
        guard recognised.count == count else { return nil }
        if all.count == count { return recognised }
        let bullets = Set(recognised.map { $0.line.unicodeScalars.first })
        return bullets.count == 1 && bullets.contains { $0.map { Self.bullets.contains($0) } ?? false } ? recognised : nil
    }

    // MARK: one line

    private static let bullets: Set<Unicode.Scalar> = ["-", "*", "+", "•", "◦", "▪", "‣", "·", "–"]
    private static let marks = bullets.union(["_", "#", ">", "|", "`", "\"", "'", "“", "(", "[", " "])
    private static let separators: Set<Unicode.Scalar> = [".", ")", ":", "]", "|", "-", "–", "—", "、", "．", "）", "："]
    private static let words: Set<String> = [
        "sentence", "comment", "statement", "claim", "item", "judgement", "judgment", "verdict", "no", "number",
    ]

    /// What a line of an answer is; a title with something behind its colon is two.
    private static func lines(_ text: String) -> [Line] {
        if let item = item(text) { return [Line(text: text, item: item, isHeading: false, isTitle: false)] }
        let lower = text.lowercased()
        guard let word = ["judgement", "judgment"].first(where: { lower.pythonContains($0) }) else {
            return [Line(text: text, item: nil, isHeading: false, isTitle: false)]
        }
        let bare = scalars(lower) { $0.filter { !marks.contains($0) || $0 == " " } }.pythonStripped
        let behind = bare.utf8.starts(with: "\(word):".utf8) ? text.pythonSplit(":").dropFirst().joined(separator: ":") : ""
        let rest = scalars(behind) { Array($0.drop { marks.contains($0) }) }.pythonStripped
        let verdict = Line(text: rest, item: item(rest), isHeading: false, isTitle: false)
        let hasVerdict = verdict.item != nil || SHRVerdicts.classification(rest) != .unrecognised
        let isTitle = hasVerdict || bare.utf8.last == UInt8(ascii: ":") || bare.pythonWords.count <= 3
        let title = Line(text: text, item: nil, isHeading: true, isTitle: isTitle)
        return hasVerdict ? [title, verdict] : [title]
    }

    private static func scalars(_ text: String, _ change: ([Unicode.Scalar]) -> [Unicode.Scalar]) -> String {
        String(String.UnicodeScalarView(change(Array(text.unicodeScalars))))
    }

    /// "12. text", "**12.** text", "- (12) text", "Sentence 12: text"; not "1.5 m" and not "3 cats".
    private static func item(_ line: String) -> (number: Int, text: String)? {
        let scalars = Array(line.unicodeScalars)
        func isDigit(_ at: Int) -> Bool { at < scalars.count && (0x30...0x39).contains(scalars[at].value) }
        var at = 0
        func skip(_ set: Set<Unicode.Scalar>) { while at < scalars.count, set.contains(scalars[at]) { at += 1 } }
        skip(marks)
        let wordStart = at
        while at < scalars.count, scalars[at].properties.isAlphabetic { at += 1 }
        if at > wordStart {
            guard words.contains(String(String.UnicodeScalarView(scalars[wordStart..<at])).lowercased()) else { return nil }
            skip(marks.union(["."]))
        }
        let start = at
        while isDigit(at) { at += 1 }
        let digits = String(String.UnicodeScalarView(scalars[start..<at]))
        guard (1...6).contains(digits.utf8.count), let number = Int(digits) else { return nil }
        // A number set in bold alone ends where its stars end.
        let opensBold = start > 0 && scalars[start - 1] == "*"
        let isBold = opensBold && at < scalars.count && scalars[at] == "*"
        skip(["*", "_", "`", " "])
        let isSeparated = at < scalars.count && separators.contains(scalars[at]) && !isDigit(at + 1)
        guard isBold || isSeparated else { return nil }
        if isSeparated { at += 1 }
        skip(opensBold ? ["*", " "] : [" "])
        return (number, String(String.UnicodeScalarView(scalars[at...])).pythonStripped)
    }
}
