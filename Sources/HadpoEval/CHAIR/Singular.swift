import HadpoBase

/// Singular forms as CHAIR's original gets them from `singularize` of the pattern library: by endings alone, every word taken for
/// a noun. What it does to words that are no plurals is kept, because it decides what CHAIR finds: "bus" becomes "bu" and is
/// lost, "glass" becomes "glas", "our" becomes "my".
package enum Singular {
    package static func of(_ word: String) -> String {
        let bytes = Array(word.utf8)
        if let dash = bytes.firstIndex(of: UInt8(ascii: "-")), isPrepositionNext(bytes, dash) {
            return of(String(decoding: bytes[..<dash], as: UTF8.self)) + String(decoding: bytes[dash...], as: UTF8.self)
        }
        if bytes.last == UInt8(ascii: "'") {
            // One by one in the original; a word may be nothing but a million of them.
            let end = (bytes.lastIndex { $0 != UInt8(ascii: "'") } ?? -1) + 1
            return of(String(decoding: bytes[..<end], as: UTF8.self)) + String(repeating: "'s", count: bytes.count - end)
        }
        // The test is whether a listed word ends in this one, so that "is" and "as" stay too.
        if invariant.contains(where: { ends($0, with: bytes) }) { return word }
        if pluralsInIes.contains(where: { ends(bytes, with: Array(($0 + "s").utf8)) }) { return word }
        for (plural, singular) in irregular where ends(bytes, with: Array(plural.utf8)) {
            return replaced(bytes, plural.utf8.count, singular)
        }
        for rule in rules where rule.applies(to: bytes) { return replaced(bytes, rule.cut, rule.paste) }
        return word
    }

    /// mothers-in-law
    private static func isPrepositionNext(_ bytes: [UInt8], _ dash: Int) -> Bool {
        let next = bytes[(dash + 1)...].prefix { $0 != UInt8(ascii: "-") }
        return prepositions.contains(String(decoding: next, as: UTF8.self))
    }

    private static func ends(_ bytes: [UInt8], with end: [UInt8]) -> Bool {
        bytes.count >= end.count && bytes[(bytes.count - end.count)...].elementsEqual(end)
    }

    private static func replaced(_ bytes: [UInt8], _ cut: Int, _ paste: String) -> String {
        String(decoding: bytes.dropLast(cut), as: UTF8.self) + paste
    }

    /// An ending; what of it goes and what comes instead. `before` says which letters may stand in front, "." for any.
    private struct Rule {
        let end: [UInt8]
        let cut: Int
        let paste: String
        let before: [UInt8]?
        let notBefore: [UInt8]?

        init(_ end: String, cut: Int, _ paste: String = "", before: String? = nil, notBefore: String? = nil) {
            self.end = Array(end.utf8)
            self.cut = cut
            self.paste = paste
            self.before = before.map { Array($0.utf8) }
            self.notBefore = notBefore.map { Array($0.utf8) }
        }

        func applies(to bytes: [UInt8]) -> Bool {
            guard Singular.ends(bytes, with: end) else { return false }
            let previous = bytes.dropLast(end.count).last
            if let before {
                guard let previous, before == [UInt8(ascii: ".")] || before.contains(previous) else { return false }
            }
            if let notBefore {
                guard let previous, !notBefore.contains(previous) else { return false }
            }
            return true
        }
    }

    /// The first that fits is taken, so the order is part of the rules.
    private static let rules: [Rule] = [
        Rule("ae", cut: 1, before: "."), Rule("itis", cut: 0, before: "."), Rule("eaux", cut: 1, before: "."),
        Rule("quizzes", cut: 3), Rule("matrices", cut: 4, "ix"), Rule("apices", cut: 4, "ex"), Rule("vertices", cut: 4, "ex"),
        Rule("indices", cut: 4, "ex"), Rule("aliases", cut: 2), Rule("statuses", cut: 2),
        // A character class where an alternative was meant: any of these letters before a final i.
        Rule("i", cut: 1, "us", before: "octp|vir"),
        Rule("crises", cut: 2, "is"), Rule("axes", cut: 2, "is"), Rule("testes", cut: 2, "is"),
        Rule("shoes", cut: 1), Rule("oes", cut: 2), Rule("buses", cut: 2), Rule("ice", cut: 3, "ouse", before: "ml|"),
        Rule("xes", cut: 2), Rule("ches", cut: 2), Rule("sses", cut: 2), Rule("shes", cut: 2), Rule("movies", cut: 1),
        Rule("ombies", cut: 1, before: "."), Rule("series", cut: 0), Rule("quies", cut: 3, "y"),
        Rule("ies", cut: 3, "y", notBefore: "aeiouy"),
        Rule("lves", cut: 3, "f", before: "aeo"), Rule("eaves", cut: 3, "f", notBefore: "d"), Rule("arves", cut: 3, "f"),
        Rule("erves", cut: 1), Rule("nives", cut: 3, "fe"), Rule("lives", cut: 3, "fe"), Rule("wives", cut: 3, "fe"),
        Rule("ves", cut: 3, "f", before: "lr"), Rule("ves", cut: 1, before: "aeo"), Rule("sives", cut: 1),
        Rule("tives", cut: 1), Rule("hives", cut: 1), Rule("ves", cut: 3, "fe", notBefore: "f"),
        Rule("analyses", cut: 2, "is"), Rule("bases", cut: 2, "is"), Rule("diagnoses", cut: 2, "is"),
        Rule("parentheses", cut: 2, "is"), Rule("prognoses", cut: 2, "is"), Rule("synopses", cut: 2, "is"),
        Rule("theses", cut: 2, "is"), Rule("opses", cut: 2, "is", before: "."), Rule("yses", cut: 2, "is", before: "."),
        Rule("oses", cut: 1, before: "hdronbp"), Rule("closes", cut: 1), Rule("oses", cut: 2, "is", before: "."),
        Rule("a", cut: 1, "um", before: "ti"), Rule("news", cut: 0), Rule("s", cut: 1),
    ]

    /// Endings, like the rules: "snowmen" and "gentlemen" go with "men".
    private static let irregular: [(String, String)] = [
        ("children", "child"), ("people", "person"), ("men", "man"), ("geese", "goose"), ("teeth", "tooth"), ("feet", "foot"),
        ("oxen", "ox"), ("loaves", "loaf"), ("leaves", "leaf"), ("axes", "axe"), ("moves", "move"), ("sexes", "sex"),
        ("mongooses", "mongoose"), ("monies", "money"), ("atlases", "atlas"), ("corpora", "corpus"), ("genera", "genus"),
        ("opera", "opus"), ("kine", "cow"), ("helves", "helve"), ("our", "my"), ("beeves", "beef"), ("brethren", "brother"),
        ("turves", "turf"),
    ]

    /// Nouns in -ie whose plural stays as it is.
    private static let pluralsInIes = [
        "auntie", "beanie", "birdie", "bogie", "collie", "cookie", "cutie", "doggie", "freebie", "groupie", "hankie", "hippie",
        "hoagie", "hottie", "indie", "junkie", "laddie", "lingerie", "meanie", "newbie", "nightie", "oldie", "pixie", "quickie",
        "rookie", "softie", "sweetie", "techie", "toughie", "veggie", "weenie", "yuppie", "zombie",
    ]

    private static let invariant: [[UInt8]] = [
        "bison", "carp", "chassis", "christmas", "clippers", "cod", "corps", "debris", "diabetes", "elk", "gallows", "georgia",
        "graffiti", "headquarters", "homework", "innings", "mackerel", "measles", "mumps", "news", "pincers", "pliers",
        "proceedings", "rabies", "salmon", "scissors", "series", "shears", "species", "swine", "swiss", "trout", "tuna",
        "wildebeest", "advice", "bread", "butter", "cheese", "electricity", "equipment", "fruit", "furniture", "garbage",
        "gravel", "happiness", "information", "ketchup", "knowledge", "love", "luggage", "mathematics", "mayonnaise", "meat",
        "mustard", "progress", "research", "rice", "sand", "software", "understanding", "water",
    ].map { Array($0.utf8) }

    private static let prepositions: Set<String> = [
        "about", "above", "across", "after", "among", "around", "at", "before", "behind", "below", "beneath", "beside",
        "between", "beyond", "but", "by", "during", "except", "for", "from", "in", "into", "near", "of", "off", "on", "onto",
        "out", "over", "since", "till", "to", "under", "until", "unto", "upon", "with",
    ]
}
