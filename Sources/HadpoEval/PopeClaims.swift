import HadpoBase

/// What an answer's record says of its question, in the words of the tools that write such files. An id alone joins an answer to
/// whatever question has it; what stands beside it tells whether that is the right one.
package struct PopeClaims: Sendable, Equatable {
    private(set) var question: (key: String, text: String)?
    private(set) var images: [(key: String, name: String)] = []
    private(set) var label: (key: String, text: String)?
    private(set) var category: String?

    package init() {}

    /// - Parameter answerKey: where the answer itself stands.
    init(_ record: JSON, answerKey: String) {
        func first(_ keys: [String]) -> (String, String)? {
            for key in keys where key != answerKey {
                if let text = record[key]?.stringValue, !text.pythonStripped.isEmpty { return (key, text) }
            }
            return nil
        }
        // Beside an answer under its own name, "text" is the question, as in POPE's own files.
        question = first(["question", "prompt", "query", "text"])
        label = first(["label", "gt_answer", "gt_ans", "ground_truth", "gt"])
        category = record["category"]?.stringValue
        for key in PictureName.keys {
            let value = record[key]
            guard let name = value?.stringValue ?? value?.intValue.map(String.init) ?? value?["path"]?.stringValue, !name.isEmpty
            else { continue }
            images.append((key, name))
        }
    }

    /// Whether anything but its number says which question is meant.
    var namesQuestion: Bool { question != nil || !images.isEmpty }

    func asking(_ question: String) -> PopeClaims {
        var claims = self
        claims.question = ("question", question)
        return claims
    }

    /// The first thing that does not fit a question.
    struct Mismatch {
        let key: String
        let found: String
        let expected: String
    }

    /// - Parameter set: the split that the question is of, where it is known.
    func mismatch(_ asked: PopeQuestion, set: String?) -> Mismatch? {
        if let question, !Self.says(question.text, asked.text) {
            return Mismatch(key: question.key, found: question.text, expected: asked.text)
        }
        for image in images where !PictureName(image.name).isSame(as: PictureName(asked.image)) {
            return Mismatch(key: image.key, found: image.name, expected: asked.image)
        }
        if let label {
            let (said, right) = (label.text.lowercased().pythonStripped, asked.isYes ? "yes" : "no")
            if !said.hasSameBytes(right) { return Mismatch(key: label.key, found: label.text, expected: right) }
        }
        let known = asked.category ?? set
        if let category, let known, asked.category != nil || PopeSets.names.contains(category.lowercased()),
            !category.lowercased().hasSameBytes(known.lowercased())
        {
            return Mismatch(key: "category", found: category, expected: known)
        }
        return nil
    }

    /// Whether a prompt asks the question: it is in there, with an instruction or a template around it, or the file's question has
    /// the instruction that the prompt lacks. Case and blanks differ between tools.
    static func says(_ prompt: String, _ question: String) -> Bool {
        // The usual case, without a copy: the question, or the question and an instruction on its own line.
        if prompt.utf8.starts(with: question.utf8) {
            let next = prompt.utf8.dropFirst(question.utf8.count).first
            if next == nil || next == UInt8(ascii: "\n") && !question.utf8.isEmpty { return true }
        }
        let prompt = Array(prompt.lowercased().pythonWords.joined(separator: " ").utf8)
        let question = Array(question.lowercased().pythonWords.joined(separator: " ").utf8)
        if prompt == question { return true }
        // Far above any question; a search in texts of any length takes the product of their lengths.
        guard (1...512).contains(question.count), (1...16384).contains(prompt.count) else { return false }
        if prompt.last == UInt8(ascii: "?"), question.starts(with: prompt + [0x20]) { return true }
        return prompt.indices.dropLast(question.count - 1).contains { start in
            prompt[start...].starts(with: question) && isWhole(prompt, start, start + question.count)
        }
    }

    /// Not a piece of longer words: "q1" is not asked by "q10".
    private static func isWhole(_ text: [UInt8], _ start: Int, _ end: Int) -> Bool {
        func isWord(_ byte: UInt8) -> Bool { byte >= 0x80 || (byte | 0x20) &- 0x61 < 26 || byte &- 0x30 < 10 }
        let isCutBefore = start > 0 && isWord(text[start - 1]) && isWord(text[start])
        let isCutBehind = end < text.count && isWord(text[end]) && isWord(text[end - 1])
        return !isCutBefore && !isCutBehind
    }

    package static func == (a: PopeClaims, b: PopeClaims) -> Bool {
        a.question?.text == b.question?.text && a.images.map(\.name) == b.images.map(\.name) && a.label?.text == b.label?.text
            && a.category == b.category
    }
}
