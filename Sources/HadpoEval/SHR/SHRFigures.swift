import HadpoBase

/// Sums over the sentences of one description, or of many.
struct SHRCounts: Sendable {
    var classes = [Int](repeating: 0, count: SHRVerdicts.Class.allCases.count)
    var words = 0
    var judgedWords = 0
    var hallucinatedWords = 0

    init() {}

    mutating func add(_ record: SHRRecord) {
        let words = record.words
        classes[SHRVerdicts.Class.allCases.firstIndex(of: record.classification) ?? 0] += 1
        self.words += words
        if record.isJudged { judgedWords += words }
        if record.classification == .hallucination { hallucinatedWords += words }
    }

    subscript(known: SHRVerdicts.Class) -> Int { classes[SHRVerdicts.Class.allCases.firstIndex(of: known) ?? 0] }
    var hallucinated: Int { self[.hallucination] }
    var judged: Int { self[.hallucination] + self[.correct] + self[.cannotJudge] }
    var sentences: Int { classes.reduce(0, +) }
    var ratio: Double? { HadpoEval.ratio(hallucinated, judged) }
    var wordRatio: Double? { HadpoEval.ratio(hallucinatedWords, judgedWords) }

    /// For sums over images.
    var columns: [Int] { [hallucinated, judged, hallucinatedWords, judgedWords] }
}

extension SHRRecord {
    /// One of the three classes; "cannot judge" counts as not hallucinated, as upstream counts it.
    var isJudged: Bool { classification != .unrecognised && classification != .unjudged }
}

/// Sentences of each description in order. Descriptions of several runs stand by themselves and share their image.
struct SHRDescriptionRecords {
    struct Key: Hashable {
        let run: String
        let image: String
    }
    private(set) var keys: [Key] = []
    private(set) var sentences: [Key: [SHRRecord]] = [:]

    init(_ records: [SHRRecord]) {
        for record in records {
            let key = Key(run: record.run, image: record.image)
            if sentences[key] == nil { keys.append(key) }
            sentences[key, default: []].append(record)
        }
    }

    var ordered: [[SHRRecord]] { keys.map { sentences[$0] ?? [] } }
}

/// The mended figures: every sentence of every description is in them, those without a verdict as a class of their own.
struct SHRFigures {
    private let descriptions: SHRDescriptionRecords
    private let total: SHRCounts
    private let bootstrap: ClusterBootstrap
    private let perImage: [[Int]]

    init(records: [SHRRecord], resamples: Int, seed: Int) {
        descriptions = SHRDescriptionRecords(records)
        var total = SHRCounts()
        var order: [String] = []
        var images: [String: SHRCounts] = [:]
        for record in records {
            total.add(record)
            if images[record.image] == nil { order.append(record.image) }
            images[record.image, default: .init()].add(record)
        }
        self.total = total
        perImage = order.map { images[$0]?.columns ?? [] }
        bootstrap = ClusterBootstrap(clusters: order.count, resamples: resamples, seed: UInt64(max(0, seed)))
    }

    var ratio: Double? { total.ratio }

    var json: JSON {
        let count = descriptions.keys.count
        func each(_ sum: Int) -> JSON { JSON(HadpoEval.ratio(sum, count)) }
        let open = total[.unrecognised] + total[.unjudged]
        let replicates = bootstrap.replicates(perImage) { $0 }
        let withHallucination = descriptions.ordered.count { $0.contains { $0.classification == .hallucination } }
        return [
            "descriptions": JSON(count),
            "sentences": .object(
                SHRVerdicts.Class.allCases.map { .init($0.rawValue, JSON(total[$0])) } + [.init("total", JSON(total.sentences))]),
            "sents_per_image": each(total.sentences), "words_per_image": each(total.words),
            "hal_sents_per_image": each(total.hallucinated), "hal_words_per_image": each(total.hallucinatedWords),
            "hal_sents_ratio": JSON(total.ratio), "hal_words_ratio": JSON(total.wordRatio),
            // What the ratio over all sentences can be, whatever the missing verdicts would have been.
            "hal_sents_ratio_bounds": total.sentences == 0
                ? .null
                : [
                    JSON(HadpoEval.ratio(total.hallucinated, total.sentences)),
                    JSON(HadpoEval.ratio(total.hallucinated + open, total.sentences)),
                ],
            "descriptions_with_hallucination": each(withHallucination),
            "hal_sents_per_100_words": JSON(
                total.judgedWords == 0 ? nil : 100 * Double(total.hallucinated) / Double(total.judgedWords)),
            "bootstrap_95": [
                "hal_sents_ratio": Statistics.json(Statistics.percentile95(replicates.map { HadpoEval.ratio($0[0], $0[1]) })),
                "hal_words_ratio": Statistics.json(Statistics.percentile95(replicates.map { HadpoEval.ratio($0[2], $0[3]) })),
            ],
            "bootstrap": bootstrap.description,
        ]
    }

    /// Figures in which a short answer gains nothing: the first k sentences of descriptions with at least k, the sentences that end
    /// within the first w words of descriptions with at least w, and each position by itself.
    var lengthMatched: JSON {
        let all = descriptions.ordered
        let longest = min(20, all.map(\.count).max() ?? 0)
        var first: [JSON] = []
        var positions: [JSON] = []
        for k in stride(from: 1, through: longest, by: 1) {
            let long = all.filter { $0.count >= k }
            first.append(Self.row("sentences_each", k, long.count, long.flatMap { $0.prefix(k) }))
            positions.append(Self.row("position", k, long.count, long.map { $0[k - 1] }))
        }
        var budgets: [JSON] = []
        for words in [10, 20, 30, 40, 50, 75, 100, 150] {
            let long = all.filter { $0.reduce(0) { $0 + $1.words } >= words }
            if long.isEmpty { break }
            budgets.append(Self.row("words", words, long.count, long.flatMap { Self.within(words, $0) }))
        }
        return ["first_sentences": .array(first), "first_words": .array(budgets), "by_position": .array(positions)]
    }

    static func within(_ words: Int, _ sentences: [SHRRecord]) -> [SHRRecord] {
        var used = 0
        return Array(
            sentences.prefix { sentence in
                used += sentence.words
                return used <= words
            })
    }

    private static func row(_ key: String, _ value: Int, _ descriptions: Int, _ records: [SHRRecord]) -> JSON {
        var counts = SHRCounts()
        for record in records { counts.add(record) }
        return .object([
            .init(key, JSON(value)), .init("descriptions", JSON(descriptions)), .init("judged", JSON(counts.judged)),
            .init("hallucinated", JSON(counts.hallucinated)), .init("hal_sents_ratio", JSON(counts.ratio)),
        ])
    }
}

/// Two models on the same images: the plain ratios, and those at equal length, which a model cannot better by saying less.
struct SHRComparison {
    let run: [SHRRecord]
    let baseline: [SHRRecord]
    let path: String
    let resamples: Int
    let seed: Int
    let judges: SHRJudges

    /// Two runs compare on the images of both.
    func requireSame(partial: Bool) throws(HadpoError) {
        let (mine, theirs) = (SHRDescriptionRecords(run), SHRDescriptionRecords(baseline))
        let onlyRun = mine.keys.filter { theirs.sentences[$0] == nil }.map { "\($0.run)/\($0.image)" }
        let onlyBaseline = theirs.keys.filter { mine.sentences[$0] == nil }.map { "\($0.run)/\($0.image)" }
        let shared = mine.keys.count - onlyRun.count
        guard shared > 0 else {
            throw HadpoError(
                .format, "the baseline has no description of the run's images", at: path,
                found: "verdicts on \(PictureIndex.examples(onlyBaseline, of: onlyBaseline.count))",
                expected: "verdicts on \(PictureIndex.examples(onlyRun, of: onlyRun.count))")
        }
        try Coverage(asked: shared + onlyRun.count + onlyBaseline.count, scored: shared).require(
            partial: partial, "run and baseline do not describe the same images", at: path, "descriptions",
            missing: [("only in the run", onlyRun), ("only in the baseline", onlyBaseline)].filter { !$0.1.isEmpty }.map {
                "\($0.0): \(Coverage.first($0.1))"
            }.joined(separator: "; "), expected: "the same images")
        let compared = baseline.filter { mine.sentences[.init(run: $0.run, image: $0.image)] != nil }
        let unread = compared.filter { !$0.isJudged }.map { "\($0.image) (\($0.sentence))" }
        try Coverage(asked: compared.count, scored: compared.count - unread.count).require(
            partial: partial, "sentences of the baseline without a verdict", at: path, "sentences",
            missing: "image_id (sentence) \(Coverage.first(unread))", expected: "a verdict on every sentence")
    }

    var json: JSON {
        let (mine, theirs) = (SHRDescriptionRecords(run), SHRDescriptionRecords(baseline))
        let shared = mine.keys.filter { theirs.sentences[$0] != nil }
        let pairs = shared.map { (mine.sentences[$0] ?? [], theirs.sentences[$0] ?? []) }
        var report: JSON = [
            "baseline": .string(path), "of": "run - baseline", "descriptions_of_both": JSON(shared.count),
            "only_in_run": JSON(mine.keys.count - shared.count), "only_in_baseline": JSON(theirs.keys.count - shared.count),
        ]
        let alike = pairs.count { $0.elementsEqual($1) { $0.text.hasSameBytes($1.text) } }
        report["same_descriptions"] = JSON(alike)
        report["judge"] = judges.json
        report["notes"] = JSON(judges.notes(isSameText: alike == shared.count))
        let images = shared.map(\.image)
        report["plain"] = compare(images, pairs)
        report["same_number_of_sentences"] = compare(
            images,
            pairs.map { a, b in
                let k = min(a.count, b.count)
                return (Array(a.prefix(k)), Array(b.prefix(k)))
            })
        report["same_number_of_words"] = compare(
            images,
            pairs.map { a, b in
                let words = min(a.reduce(0) { $0 + $1.words }, b.reduce(0) { $0 + $1.words })
                return (SHRFigures.within(words, a), SHRFigures.within(words, b))
            })
        return report
    }

    private func compare(_ images: [String], _ pairs: [([SHRRecord], [SHRRecord])]) -> JSON {
        var order: [String] = []
        var counts: [String: (SHRCounts, SHRCounts)] = [:]
        for (image, pair) in zip(images, pairs) {
            if counts[image] == nil { order.append(image) }
            var (a, b) = counts[image] ?? (.init(), .init())
            for record in pair.0 { a.add(record) }
            for record in pair.1 { b.add(record) }
            counts[image] = (a, b)
        }
        let columns = order.map { (counts[$0]?.0.columns ?? []) + (counts[$0]?.1.columns ?? []) }
        var sums = [Int](repeating: 0, count: 8)
        for image in columns { for (i, value) in image.enumerated() { sums[i] += value } }
        func difference(_ sums: [Int]) -> Double? {
            guard let a = ratio(sums[0], sums[1]), let b = ratio(sums[4], sums[5]) else { return nil }
            return a - b
        }
        let bootstrap = ClusterBootstrap(clusters: order.count, resamples: resamples, seed: UInt64(max(0, seed)))
        let replicates = bootstrap.replicates(columns) { difference($0) }
        return [
            "run": JSON(ratio(sums[0], sums[1])), "baseline": JSON(ratio(sums[4], sums[5])),
            "run_sentences": JSON(sums[1]), "baseline_sentences": JSON(sums[5]), "difference": JSON(difference(sums)),
            "bootstrap_95": Statistics.json(Statistics.percentile95(replicates)),
        ]
    }
}
