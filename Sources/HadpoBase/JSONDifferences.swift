extension JSON {
    /// What is not alike in two objects of settings, a sentence each: by the path of its key, in the order of this one.
    /// - Parameter these: "these answers".
    package func differences(from earlier: JSON, _ these: String) -> [String] {
        var sentences: [String] = []
        collect(earlier, these, path: "", &sentences)
        return sentences
    }

    private func collect(_ earlier: JSON, _ these: String, path: String, _ sentences: inout [String]) {
        guard let own = objectValue, let others = earlier.objectValue else {
            // As text, in which 1 and 1.0 of a file are alike.
            if text() != earlier.text() {
                sentences.append("\(path): \(these) were made with \(earlier.shortText(80)), now it is \(shortText(80))")
            }
            return
        }
        var seen: Set<String> = []
        for member in own + others where seen.insert(member.key).inserted {
            let inner = path.isEmpty ? member.key : "\(path).\(member.key)"
            (self[member.key] ?? .null).collect(earlier[member.key] ?? .null, these, path: inner, &sentences)
        }
    }
}
