/// A description read back into facts. The text may come from a model that has not learned to speak: whatever a sentence lacks
/// is nil, and nothing is an error.
package struct ParsedDescription: Sendable, Equatable {
    package struct Sentence: Sendable, Equatable {
        package var text: String
        /// Every category that is named, in order, each once.
        package var categories: [Category] = []
        package var color: ObjectColor?
        package var side: Side?
        package var size: ObjectSize?
        package var tint: Tint?
        /// "There is no ...": what is named is said to be absent.
        package var negated = false

        /// What the sentence asserts in the world's own grammar; nil when it is something else.
        package var statement: Statement? {
            if negated || categories.count > 1 { return nil }
            guard let category = categories.first else { return tint.map { .background($0) } }
            if let color, let side { return .object(category, color, side) }
            if let size { return .size(category, size) }
            return nil
        }

        /// Categories the sentence claims to be in the picture.
        package var claimed: [Category] { negated ? [] : categories }
        package func namesAbsent(from scene: Scene) -> Bool { claimed.contains { !scene.contains($0) } }
    }

    package var sentences: [Sentence]

    package init(_ text: String) {
        sentences = text.split(separator: ".").compactMap { part in
            let words = part.split { " \n\t\r".contains($0) }
            return words.isEmpty ? nil : Self.sentence(words.joined(separator: " ") + ".")
        }
    }

    private static func sentence(_ text: String) -> Sentence {
        var sentence = Sentence(text: text)
        for word in text.lowercased().split(whereSeparator: { !$0.isLetter }).map(String.init) {
            if let category = Category(rawValue: word), !sentence.categories.contains(category) {
                sentence.categories.append(category)
            }
            // The first of two contradicting attributes counts: it is the one in front of the noun.
            sentence.color = sentence.color ?? ObjectColor(rawValue: word)
            sentence.side = sentence.side ?? Side(rawValue: word)
            sentence.size = sentence.size ?? ObjectSize(rawValue: word)
            sentence.tint = sentence.tint ?? Tint(rawValue: word)
            if word == "no" || word == "not" { sentence.negated = true }
        }
        return sentence
    }
}
