import HadpoBase

/// A question file with its identity. Two files of one name can hold other questions: the random COCO set had 2,910 questions until
/// August 2023 and has 3,000 since, so a figure without the file's hash says little.
package struct PopeSplit: Sendable {
    package let name: String
    package let path: String
    package let sha256: String
    package let questions: [PopeQuestion]

    /// `name`, where it is not given, is that of a published file, else the file's own.
    package init(_ bytes: [UInt8], path: String, name: String? = nil) throws(HadpoError) {
        self.path = path
        sha256 = SHA256.hex(bytes)
        questions = try PopeQuestion.read(bytes, source: path)
        self.name = name ?? Self.published[sha256]?.set ?? Self.stem(path)
    }

    /// Which of POPE's three sets this is, by its contents, else by its name; nil: neither says.
    package var set: String? {
        if let known = Self.published[sha256]?.set { return known }
        return PopeSets.named(name) ?? PopeSets.named(Self.stem(path))
    }

    package var published: JSON {
        guard let known = Self.published[sha256] else { return .null }
        return ["set": .string(known.set), "revision": .string(known.revision)]
    }

    package var description: JSON {
        [
            "name": .string(name), "path": .string(path), "sha256": .string(sha256), "published": published,
            "questions": JSON(questions.count), "yes": JSON(questions.count { $0.isYes }),
            "images": JSON(Set(questions.map(\.image)).count),
        ]
    }

    private static func stem(_ path: String) -> String {
        let name = File.name(of: path)
        guard let dot = name.utf8.lastIndex(of: UInt8(ascii: ".")), dot > name.startIndex else { return name }
        return String(name[..<dot])
    }

    /// RUCAIBox/POPE `output/coco`, by the date of the commit that brought the contents.
    private static let published: [String: (set: String, revision: String)] = [
        "c16b65d2df6d70bb0814c8a4375833d39cdb09928fd936d3fc546491efa37f35": ("random", "2023-05-31, 2910 questions"),
        "5b16653023bf4f64d57eb0d168259de6627f5cde7538b85ebed3cc33034aa6cc": ("popular", "2023-05-31"),
        "1d8f0906a9b50c05640f6f23abfac97523be2a1bed28f7eadc63b811699b2d26": ("adversarial", "2023-05-31"),
        "cb8dec967727fbee4b9cfadf9ba1ea9968515b12063efd313d0cf8b2b4230c86": ("random", "2023-08-04"),
        "ac25245170b975a5bdf9080b23fd431dfe6be458bc038259c1f4f09a6bef7994": ("random", "2023-10-09, current"),
        "72c1a8ad45d0c13514f5f22598261df41d3b533854d29682e924db50ed8aa753": ("popular", "2023-10-09, current"),
        "420b3407db1fa9f1187a805dca41cb7b97fd91504e6c2179706188c107fb8ef8": ("adversarial", "2023-11-16, current"),
    ]
}
