import HadpoBase

/// Finds objects in captions as CHAIR does (Rohrbach et al. 2018, "Object Hallucination in Image Captioning"): the original
/// implementation's rules, with the synonym table from a file.
package struct ObjectWords: Sendable {
    package struct Mention: Sendable, Equatable {
        /// As the caption has it, in the singular; two words are one.
        package let word: String
        /// The first word of its line in the table: the category.
        package let node: String
    }

    /// Which implementation's rules these are; CHAIR of another is not comparable.
    package static let implementation = "LisaAnne/Hallucination (pattern singularize)"

    package let sha256: String
    private let nodes: [String: String]

    /// One category per line, words separated by a comma and a space, the category's own name first. Words with a leading space or
    /// a capital never match, as in the original.
    package init(synonyms path: String) throws(HadpoError) {
        let bytes = try File.read(path, limit: 1 << 26)
        if !bytes.isEmpty, let error = ForeignContent.error(bytes, at: path, expected: "a table of synonyms") { throw error }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw HadpoError(.format, "not UTF-8", at: path, expected: "a table of synonyms")
        }
        try CombiningMarks.check(text, .format, at: path)
        sha256 = SHA256.hex(bytes)
        var nodes: [String: String] = [:]
        for line in text.pythonSplit("\n") {
            let words = Self.split(line.pythonStripped)
            guard let node = words.first, !node.isEmpty else { continue }
            // The category's name is written for each of its mentions.
            guard node.utf8.count <= 256 else {
                throw HadpoError(
                    .format, "a category's name is too long", at: path, found: "\(node.utf8.count) bytes", expected: "at most 256"
                )
            }
            for word in words { nodes[word] = node }
        }
        guard !nodes.isEmpty else {
            throw HadpoError(.format, "no synonyms", at: path, expected: "lines such as: dog, puppy, beagle")
        }
        self.nodes = nodes
    }

    /// Words that stand for themselves, where there is no table.
    package init(words: Set<String>) {
        sha256 = ""
        nodes = Dictionary(uniqueKeysWithValues: words.map { ($0, $0) })
    }

    package var isPublished: Bool { sha256 == "b685537b36fe21b791c87151b96a991ceb582edff19f3da204dcc7a7905502f2" }

    /// The table's name for a category's name, as it is written or in the words that a caption would have for it, in lower case and
    /// the singular; nil when it has none.
    package func node(_ name: String) -> String? { nodes[name] ?? nodes[tokens(name).joined(separator: " ")] }

    private static func split(_ line: String) -> [String] {
        var words: [[Unicode.Scalar]] = [[]]
        let scalars = Array(line.unicodeScalars)
        var at = 0
        while at < scalars.count {
            if scalars[at] == ",", at + 1 < scalars.count, scalars[at + 1] == " " {
                words.append([])
                at += 2
            } else {
                words[words.count - 1].append(scalars[at])
                at += 1
            }
        }
        return words.map { String(String.UnicodeScalarView($0)) }
    }

    /// The caption's words in the singular, pairs that are one word put together.
    package func tokens(_ caption: String) -> [String] {
        let words = CaptionTokens.of(caption.lowercased()).map(Singular.of)
        var merged: [String] = []
        var at = 0
        while at < words.count {
            if at + 1 < words.count, let one = Self.pairs[words[at] + " " + words[at + 1]] {
                merged.append(one)
                at += 2
            } else {
                merged.append(words[at])
                at += 1
            }
        }
        return merged
    }

    /// Every mention in order, repetitions included.
    package func mentions(_ caption: String) -> [Mention] { mentions(tokens: tokens(caption)) }

    package func mentions(tokens: [String]) -> [Mention] {
        // "The seat of the toilet" is no chair.
        let noSeat = tokens.contains("toilet") && tokens.contains("seat")
        return tokens.compactMap { word in
            if noSeat, word == "seat" { return nil }
            return nodes[word].map { Mention(word: word, node: $0) }
        }
    }

    /// Pairs of words that are one thing, or whose first word would be taken for another: "baby elephant" is no person.
    private static let pairs: [String: String] = {
        var pairs: [String: String] = [:]
        let things = [
            "motor bike", "motor cycle", "air plane", "traffic light", "street light", "traffic signal", "stop light",
            "fire hydrant", "stop sign", "parking meter", "suit case", "sports ball", "baseball bat", "baseball glove",
            "tennis racket", "wine glass", "hot dog", "cell phone", "mobile phone", "teddy bear", "hair drier", "potted plant",
            "laptop computer", "home plate", "train track",
        ]
        for thing in things { pairs[thing] = thing }
        for animal in ["bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "animal", "cub"] {
            pairs["baby " + animal] = animal
            pairs["adult " + animal] = animal
        }
        for vehicle in ["jet", "train"] { pairs["passenger " + vehicle] = vehicle }
        pairs["bow tie"] = "tie"
        pairs["toilet seat"] = "toilet"
        pairs["wine glas"] = "wine glass"  // what the singular of "glass" is here
        return pairs
    }()
}
