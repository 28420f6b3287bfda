import HadpoBase

/// A judge without a model: a sentence is checked word by word against what the annotations of its image name. It knows objects, and
/// the words of region phrases, but no grammar: it cannot tell a wrong relation or count, and calls what it does not know
/// "cannot judge". It says so in every report.
///
/// With a synonym table, objects are found as CHAIR finds them; a sentence with an object that neither a region, a fact nor the
/// object list names is a hallucination, one whose objects are all named is correct, one without objects cannot be judged.
/// Without a table the words of all images' annotations are the objects, so that "a red car" beside "blue car" is wrong where
/// some image has red things: fit for small, closed worlds.
struct SHRAnnotationJudge {
    private let objects: ObjectWords
    private let truth: [String: Set<String>]
    private let synonyms: String?

    init(_ annotations: SHRAnnotations, synonyms: String?, objects path: String?, ids: [String]) throws(HadpoError) {
        var listed: [String: [String]] = [:]
        if let path {
            var pictures = PictureIndex("the images of the evaluation", mixesCOCO: false)
            for id in ids { try pictures.add(id) }
            var own = PictureIndex(path, mixesCOCO: false)
            for member in try File.readJSON(path).objectValue ?? [] {
                let names = member.value.arrayValue?.compactMap(\.stringValue)
                guard let names, names.count == member.value.arrayValue?.count else {
                    throw HadpoError(
                        .format, "an image without a list of objects", at: "\(path) /\(member.key)", found: member.value.kind,
                        expected: "an array of strings")
                }
                try own.add(member.key)
                guard let id = try pictures.place(member.key, in: path).map({ ids[$0] }) else { continue }
                if let other = listed.updateValue(names, forKey: id), other != names {
                    throw HadpoError(
                        .format, "an image has two lists of objects", at: "\(path) /\(member.key)",
                        found: "another one under another spelling", expected: "one list an image")
                }
            }
        }
        var texts: [String: [String]] = [:]
        for id in ids {
            let image = annotations.images[id]
            let named = (image?.regions ?? []).map(\.phrase) + (image?.factual ?? []) + (listed[id] ?? [])
            if !named.isEmpty { texts[id] = named }
        }
        if let synonyms {
            objects = try ObjectWords(synonyms: synonyms)
        } else {
            let none = ObjectWords(words: [])
            var words: Set<String> = []
            for text in texts.values.joined() { words.formUnion(none.tokens(text).filter(Self.isContent)) }
            objects = ObjectWords(words: words)
        }
        var truth: [String: Set<String>] = [:]
        for (id, named) in texts { truth[id] = Set(named.flatMap { [objects] in objects.mentions($0) }.map(\.node)) }
        self.truth = truth
        self.synonyms = synonyms
    }

    /// A reply in the judge's own format; nil for an image without annotations.
    func reply(to sentences: [String], image: String) -> String? {
        guard let known = truth[image] else { return nil }
        let lines = sentences.enumerated().map { index, sentence in "\(index + 1). \(verdict(sentence, known))\n" }
        return "Judgement:\n" + lines.joined()
    }

    private func verdict(_ sentence: String, _ known: Set<String>) -> String {
        let tokens = objects.tokens(sentence)
        var (present, absent): ([String], [String]) = ([], [])
        for (index, token) in tokens.enumerated() {
            guard let mention = objects.mentions(tokens: [token]).first else { continue }
            // "No dog", "without a dog": what is denied is not claimed.
            if tokens[max(0, index - 3)..<index].contains(where: Self.denials.contains) { continue }
            if known.contains(mention.node) { present.append(mention.word) } else { absent.append(mention.word) }
        }
        if !absent.isEmpty { return "hallucination: no annotation names \(absent.joined(separator: ", "))" }
        if present.isEmpty { return "cannot judge: it names nothing that annotations name" }
        return "correct: annotations name \(present.joined(separator: ", "))"
    }

    var description: JSON {
        [
            "kind": "annotations",
            "rule": .string(
                synonyms == nil
                    ? "words of the sentence against words of the image's regions, facts and objects; no model read them"
                    : "objects of the sentence against those of the image's regions, facts and objects; no model read them"),
            "synonyms": JSON(synonyms), "synonyms_sha256": synonyms == nil ? .null : .string(objects.sha256),
        ]
    }

    private static let denials: Set<String> = ["no", "not", "without", "n't", "never", "none"]

    /// Words that name nothing: they stand in phrases about every image.
    private static func isContent(_ word: String) -> Bool {
        word.utf8.count > 2 && word.unicodeScalars.allSatisfy { $0.properties.isAlphabetic } && !functionWords.contains(word)
    }

    private static let functionWords: Set<String> = [
        "the", "and", "with", "for", "from", "into", "onto", "near", "next", "are", "was", "were", "has", "have", "had", "thi",
        "this", "that", "these", "those", "there", "their", "it", "its", "his", "her", "some", "many", "few", "one", "two",
        "three", "other", "another", "each", "all", "both", "over", "under", "above", "below", "behind", "front", "between",
        "very", "also", "being", "been", "who", "which", "while", "where", "can", "image", "picture", "photo", "scene",
        "side", "part", "background", "foreground", "left", "right", "middle", "top", "bottom", "center", "edge", "view",
        "no", "not", "without", "none", "never", "you", "she", "they", "ha", "wa",
    ]
}
