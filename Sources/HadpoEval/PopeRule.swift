/// How an answer becomes yes or no: the official rule of POPE and those of the harnesses that score POPE files. Each is its
/// source's behaviour, defects included, so that one answers file can be scored as any of them would.
package enum PopeRule: String, CaseIterable, Sendable {
    /// RUCAIBox/POPE `evaluate.py`.
    case official
    /// `eval_pope.py` of LLaVA: the official rule on answers under the key "text".
    case llava
    /// lmms-eval `tasks/pope`: the whole reply, stripped and in lower case, is "yes" or "no".
    case lmmsEval = "lmms-eval"
    /// VLMEvalKit `YOrN_Extraction` after its punctuation filter.
    case vlmEvalKit = "vlmevalkit"
    /// OPERA `pope_eval.py`: the official rule on all sentences, and "n't" is a no.
    case opera

    package enum Verdict: String, Sendable {
        case yes, no
        /// Neither: lmms-eval counts it as wrong, VLMEvalKit calls it Unknown.
        case other
    }

    package func verdict(_ answer: String) -> Verdict {
        switch self {
        case .official, .llava: Self.officialSaysYes(answer) ? .yes : .no
        case .lmmsEval: Self.equalsYesOrNo(answer)
        case .vlmEvalKit: Self.containsYesOrNo(answer)
        case .opera: Self.operaSaysYes(answer) ? .yes : .no
        }
    }

    /// What stands before the first full stop, without commas, split at single spaces; no when a word is exactly "No", "not" or
    /// "no", yes otherwise. Bytes, because upstream splits neither at tabs nor at newlines.
    package static func officialSaysYes(_ answer: String) -> Bool {
        let sentence = answer.utf8.prefix { $0 != UInt8(ascii: ".") }.filter { $0 != UInt8(ascii: ",") }
        return !sentence.split(separator: UInt8(ascii: " ")).contains { word in
            ["No", "not", "no"].contains { word.elementsEqual($0.utf8) }
        }
    }

    /// What the answer begins with: its first run of letters, in any case, when that is "yes" or "no". A person reads an answer
    /// so; where the official rule differs, the answer is counted as ambiguous, and without such a word as unparsed.
    package static func leadingWordSaysYes(_ answer: String) -> Bool? {
        let isLetter: (UInt8) -> Bool = { ($0 | 0x20) &- UInt8(ascii: "a") < 26 }
        let word = answer.utf8.drop { !isLetter($0) && $0 < 0x80 }.prefix { isLetter($0) || $0 >= 0x80 }
        switch word.map({ $0 | 0x20 }) {
        case Array("yes".utf8): return true
        case Array("no".utf8): return false
        default: return nil
        }
    }

    private static func equalsYesOrNo(_ answer: String) -> Verdict {
        let word = answer.lowercased().pythonStripped
        return word.hasSameBytes("yes") ? .yes : word.hasSameBytes("no") ? .no : .other
    }

    private static func containsYesOrNo(_ answer: String) -> Verdict {
        let words = withoutPunctuation(answer.lowercased()).split { isPythonSpace($0) }
        let hasYes = words.contains { $0.elementsEqual("yes".unicodeScalars) }
        let hasNo = words.contains { $0.elementsEqual("no".unicodeScalars) }
        return hasYes == hasNo ? .other : hasYes ? .yes : .no
    }

    private static func operaSaysYes(_ answer: String) -> Bool {
        let text = answer.utf8.filter { $0 != UInt8(ascii: ".") && $0 != UInt8(ascii: ",") }
        return !text.split(separator: UInt8(ascii: " ")).contains { word in
            ["No", "not", "no", "NO"].contains { word.elementsEqual($0.utf8) } || word.suffix(3).elementsEqual("n't".utf8)
        }
    }

    /// The filter of the VQA evaluation as VLMEvalKit has it. Each mark is deleted where it stands beside a space anywhere in the
    /// text, or where the text has a number with a comma, and becomes a space elsewhere. Full stops not before a digit go, the
    /// first 32 of them: the regular expression's flag (re.UNICODE = 32) is passed in the place of the count.
    package static func withoutPunctuation(_ text: String) -> [Unicode.Scalar] {
        let original = Array(text.unicodeScalars)
        let isDigit: (Unicode.Scalar) -> Bool = { $0.properties.generalCategory == .decimalNumber }
        var hasCommaNumber = false
        var besideSpace: Set<Unicode.Scalar> = []
        for (i, scalar) in original.enumerated() {
            let before = i > 0 ? original[i - 1] : nil
            let after = i + 1 < original.count ? original[i + 1] : nil
            if before == " " || after == " " { besideSpace.insert(scalar) }
            if scalar == ",", let before, let after, isDigit(before), isDigit(after) { hasCommaNumber = true }
        }
        var kept: [Unicode.Scalar] = []
        for scalar in original {
            if !vqaMarks.contains(scalar) {
                kept.append(scalar)
            } else if !hasCommaNumber, !besideSpace.contains(scalar) {
                kept.append(" ")
            }
        }
        var result: [Unicode.Scalar] = []
        var removed = 0
        for (i, scalar) in kept.enumerated() {
            if scalar == ".", removed < 32, i + 1 == kept.count || !isDigit(kept[i + 1]) {
                removed += 1
            } else {
                result.append(scalar)
            }
        }
        return result
    }
}

private let vqaMarks = Set<Unicode.Scalar>(";/[]\"{}()=+\\_-><@`,?!".unicodeScalars)
