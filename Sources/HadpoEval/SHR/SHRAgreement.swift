import HadpoBase

/// "hadpo.shr-agree/1": two verdict files on the same sentences.
package struct SHRAgreementConfig: Sendable {
    package let a: String
    package let b: String
    package let partial: Bool

    package init(_ r: inout ConfigReader) throws(HadpoError) {
        a = try r.string("a", help: "sentences.jsonl of a score, or upstream's judgement.json")
        b = try r.string("b", help: "another judge's on the same descriptions")
        partial = try r.bool(
            "partial", default: false, help: "also score a part of what was asked; else what is missing is an error")
    }
}

/// How far two judges agree, sentence by sentence.
package enum SHRAgreement {
    private struct Key: Hashable {
        let run: String
        let image: String
        let sentence: Int
    }

    package static func run(_ config: SHRAgreementConfig) throws(HadpoError) -> JSON {
        let first = try SHRRecord.read(config.a)
        let second = try SHRRecord.named(SHRRecord.read(config.b), as: first, in: config.b, of: config.a)
        var theirs: [Key: SHRRecord] = [:]
        var doubled = 0
        for record in second where theirs.updateValue(record, forKey: key(record)) != nil { doubled += 1 }
        let classes = SHRVerdicts.Class.allCases
        var table = [[Int]](repeating: [Int](repeating: 0, count: classes.count), count: classes.count)
        var seen: Set<Key> = []
        var onlyA: [String] = []
        for record in first {
            guard seen.insert(key(record)).inserted else {
                doubled += 1
                continue
            }
            guard let other = theirs[key(record)] else {
                onlyA.append("\(record.image) (\(record.sentence))")
                continue
            }
            guard other.text.hasSameBytes(record.text) else {
                throw HadpoError(
                    .format, "a verdict on another sentence",
                    at: "\(config.b), run \(record.run), image_id \(record.image), sentence \(record.sentence), key 'text'",
                    found: "'\(other.text)'", expected: "'\(record.text)', as in \(config.a)")
            }
            table[classes.firstIndex(of: record.classification) ?? 0][classes.firstIndex(of: other.classification) ?? 0] += 1
        }
        let matched = table.reduce(0) { $0 + $1.reduce(0, +) }
        guard matched > 0 else {
            throw HadpoError(
                .format, "the two files have no sentence in common", at: config.b,
                found: "\(second.count) sentences, the first of run \(second[0].run), image_id \(second[0].image)",
                expected: "verdicts on the sentences of \(config.a), the first of run \(first[0].run), image_id \(first[0].image)"
            )
        }
        let onlyB = theirs.keys.filter { !seen.contains($0) }.map { "\($0.image) (\($0.sentence))" }.sorted()
        let coverage = Coverage(asked: matched + onlyA.count + onlyB.count, scored: matched)
        try coverage.require(
            partial: config.partial, "the two files do not have the same sentences", at: config.b, "sentences",
            missing: [("only in \(config.a)", onlyA), ("only in \(config.b)", onlyB)].filter { !$0.1.isEmpty }.map {
                "\($0.0): image_id (sentence) \(Coverage.first($0.1))"
            }.joined(separator: "; "), expected: "verdicts on the same sentences")
        // Kappa is about verdicts: sentences that either judge left without one are counted beside it.
        let judged = [SHRVerdicts.Class.hallucination, .correct, .cannotJudge].map { classes.firstIndex(of: $0) ?? 0 }
        let three = judged.map { row in judged.map { table[row][$0] } }
        let hallucination = [
            [three[0][0], three[0][1] + three[0][2]],
            [three[1][0] + three[2][0], three[1][1] + three[1][2] + three[2][1] + three[2][2]],
        ]
        let head: JSON = [
            "schema": "hadpo.shr-agreement/1", "a": .string(config.a), "b": .string(config.b), "sentences": JSON(matched),
        ]
        let rest: JSON = [
            "outcomes": [
                "only_in_a": JSON(onlyA.count), "only_in_b": JSON(onlyB.count),
                "other_text": 0,  // such files are refused
                "twice_in_a_file": JSON(doubled),
                "without_two_verdicts": JSON(matched - three.reduce(0) { $0 + $1.reduce(0, +) }),
            ],
            "confusion": .object(
                classes.enumerated().map { row, name in
                    .init(
                        name.rawValue,
                        .object(classes.enumerated().map { .init($0.element.rawValue, JSON(table[row][$0.offset])) }))
                }),
            "three_classes": agreement(three), "hallucination_or_not": agreement(hallucination),
        ]
        return .object((head.objectValue ?? []) + coverage.members + (rest.objectValue ?? []))
    }

    private static func key(_ record: SHRRecord) -> Key {
        Key(run: record.run, image: record.image, sentence: record.sentence)
    }

    /// Observed agreement and Cohen's kappa (Cohen 1960); nil where both judges use one class only, and chance agreement is 1.
    static func agreement(_ table: [[Int]]) -> JSON {
        let n = table.reduce(0) { $0 + $1.reduce(0, +) }
        let diagonal = table.indices.reduce(0) { $0 + table[$1][$1] }
        var kappa: Double?
        if let observed = ratio(diagonal, n) {
            let total = Double(n)
            let chance = table.indices.reduce(0.0) { sum, i in
                sum + Double(table[i].reduce(0, +)) / total * Double(table.reduce(0) { $0 + $1[i] }) / total
            }
            if chance < 1 { kappa = (observed - chance) / (1 - chance) }
        }
        return ["n": JSON(n), "agree": JSON(diagonal), "agreement": JSON(ratio(diagonal, n)), "kappa": JSON(kappa)]
    }
}
