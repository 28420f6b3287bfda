/// How an answer becomes yes or no.
package enum PopeRule {
    /// RUCAIBox/POPE `evaluate.py`: what stands before the first full stop, without commas, split at single spaces; no when a
    /// word is exactly "No", "not" or "no", yes otherwise. Bytes, because upstream splits neither at tabs nor at newlines.
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
}
