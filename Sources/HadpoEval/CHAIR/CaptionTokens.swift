/// Words of a caption as NLTK's `word_tokenize` cuts them, as far as it matters for finding objects: sentences first, then the
/// conventions of the Penn Treebank. The text is in lower case.
package enum CaptionTokens {
    package static func of(_ text: String) -> [String] { sentences(Array(text.unicodeScalars)).flatMap(words) }

    // MARK: sentences

    /// Ends at . ? ! with closing marks and white space behind, but not after an abbreviation or an initial.
    private static func sentences(_ text: [Unicode.Scalar]) -> [[Unicode.Scalar]] {
        var sentences: [[Unicode.Scalar]] = []
        var start = 0
        var at = 0
        while at < text.count {
            guard [".", "?", "!"].contains(text[at]) else {
                at += 1
                continue
            }
            let mark = at
            at += 1
            while at < text.count, closing.contains(text[at]) || [".", "?", "!"].contains(text[at]) { at += 1 }
            guard at < text.count, isPythonSpace(text[at]) else { continue }
            if text[mark] == ".", at == mark + 1, isAbbreviation(text[start..<mark]) { continue }
            sentences.append(Array(text[start..<at]))
            start = at
        }
        if start < text.count { sentences.append(Array(text[start...])) }
        return sentences
    }

    private static func isAbbreviation(_ before: ArraySlice<Unicode.Scalar>) -> Bool {
        let word = before.reversed().prefix { !isPythonSpace($0) }.reversed()
        if word.count == 1, word.first.map({ $0.properties.isAlphabetic }) ?? false { return true }
        return abbreviations.contains(String(String.UnicodeScalarView(Array(word))))
    }

    private static let abbreviations: Set<String> = [
        "mr", "mrs", "ms", "dr", "st", "jr", "sr", "vs", "etc", "e.g", "i.e", "a.m", "p.m", "u.s", "inc", "co", "ltd",
    ]
    private static let closing = Set<Unicode.Scalar>("\"')]}>”’»".unicodeScalars)

    // MARK: words

    private static func words(_ sentence: [Unicode.Scalar]) -> [String] {
        var spaced: [Unicode.Scalar] = []
        let last = lastStop(sentence)
        var at = 0
        while at < sentence.count {
            let scalar = sentence[at]
            let next = at + 1 < sentence.count ? sentence[at + 1] : nil
            switch scalar {
            case ".":
                var end = at
                while end < sentence.count, sentence[end] == "." { end += 1 }
                if end - at > 1 {
                    spaced += [" "] + sentence[at..<end] + [" "]
                    at = end
                    continue
                }
                spaced += at == last ? [" ", ".", " "] : ["."]
            case ":", ",":
                // 1,000 and 12:30 stay whole.
                let number = next.map { $0.properties.generalCategory == .decimalNumber } ?? false
                spaced += number ? [scalar] : [" ", scalar, " "]
            case "\"":
                // Treebank tells opening quotes from closing ones.
                let opens = at == 0 || isPythonSpace(sentence[at - 1]) || "([{<".unicodeScalars.contains(sentence[at - 1])
                spaced += opens ? [" ", "`", "`", " "] : [" ", "'", "'", " "]
            case "-":
                if next == "-" {
                    spaced += [" ", "-", "-", " "]
                    at += 1
                } else {
                    spaced.append(scalar)
                }
            default:
                spaced += alone.contains(scalar) ? [" ", scalar, " "] : [scalar]
            }
            at += 1
        }
        return spaced.split { isPythonSpace($0) }.flatMap { contracted(String(String.UnicodeScalarView($0))) }
    }

    /// The full stop that ends the sentence: nothing but closing marks behind it, no other stop before it.
    private static func lastStop(_ sentence: [Unicode.Scalar]) -> Int? {
        guard let last = sentence.lastIndex(where: { !isPythonSpace($0) && !closing.contains($0) }), sentence[last] == ".",
            last > 0, sentence[last - 1] != "."
        else { return nil }
        return last
    }

    private static let alone = Set<Unicode.Scalar>(";@#$%&?!*()[]{}<>“”‘’„«»".unicodeScalars)

    /// The parts that Treebank separates: dog's, they'll, isn't, cannot.
    private static func contracted(_ word: String) -> [String] {
        if let parts = compounds[word] { return parts }
        let bytes = Array(word.utf8)
        if word == "''" { return [word] }
        for end in ["'s", "'m", "'d", "'ll", "'re", "'ve", "n't", "'"] where bytes.count > end.utf8.count {
            let head = bytes.dropLast(end.utf8.count)
            if bytes.suffix(end.utf8.count).elementsEqual(end.utf8), head.last != UInt8(ascii: "'") {
                return [String(decoding: head, as: UTF8.self), end]
            }
        }
        return [word]
    }

    private static let compounds: [String: [String]] = [
        "cannot": ["can", "not"], "gimme": ["gim", "me"], "gonna": ["gon", "na"], "gotta": ["got", "ta"],
        "lemme": ["lem", "me"], "wanna": ["wan", "na"], "'tis": ["'t", "is"], "'twas": ["'t", "was"],
    ]
}
