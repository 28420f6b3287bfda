import HadpoBase

/// CHAIR's figures over captions, and what became of every caption.
package struct CHAIRFigures: Sendable {
    /// Objects of one caption under the table's names.
    package struct Words: Sendable {
        package let said: [String]
        package let wrong: [String]
        package let truth: Set<String>
        package let tokens: Int

        package init(said: [String], wrong: [String], truth: Set<String>, tokens: Int) {
            (self.said, self.wrong, self.truth, self.tokens) = (said, wrong, truth, tokens)
        }

        package var found: Int { truth.intersection(said).count }
        /// captions, captions with a hallucination, mentions, hallucinated mentions, found objects, objects, tokens
        var columns: [Int] { [1, wrong.isEmpty ? 0 : 1, said.count, wrong.count, found, truth.count, tokens] }
    }

    private var outcomes = SHROutcomes()
    private var perImage: [[Int]] = []
    private var words: [String: (all: Int, hallucinated: Int)] = [:]

    package init() {}

    package mutating func add(outcome: String, image: String) { outcomes.add(outcome, image) }

    package mutating func add(_ caption: Words) {
        perImage.append(caption.columns)
        for node in caption.said { words[node, default: (0, 0)].all += 1 }
        for node in caption.wrong { words[node, default: (0, 0)].hallucinated += 1 }
    }

    /// Members of a CHAIR report.
    package func members(resamples: Int, seed: Int) -> [JSON.Member] {
        var sums = [Int](repeating: 0, count: 7)
        for image in perImage { for (column, value) in image.enumerated() { sums[column] += value } }
        let bootstrap = ClusterBootstrap(clusters: perImage.count, resamples: resamples, seed: UInt64(max(0, seed)))
        let replicates = bootstrap.replicates(perImage) { Self.figures($0) }
        let names = ["chair_s", "chair_i", "recall", "length"]
        let values = Self.figures(sums)
        return [
            .init("n", JSON(sums[0])), .init("chair_s", JSON(values[0])), .init("chair_i", JSON(values[1])),
            .init("recall", JSON(values[2])), .init("length", JSON(values[3])), .init("mentions", JSON(sums[2])),
            .init("hallucinated_mentions", JSON(sums[3])), .init("hallucinated_captions", JSON(sums[1])),
            .init("truth_objects", JSON(sums[5])),
            .init(
                "bootstrap_95",
                .object(
                    names.enumerated().map { place, name in
                        .init(name, Statistics.json(Statistics.percentile95(replicates.map { $0[place] })))
                    })),
            .init("bootstrap", bootstrap.description), .init("outcomes", outcomes.json), .init("by_object", byObject),
        ]
    }

    private var byObject: JSON {
        .object(
            words.keys.sorted { a, b in
                let (x, y) = (words[a]?.hallucinated ?? 0, words[b]?.hallucinated ?? 0)
                return x != y ? x > y : a < b
            }.map { .init($0, ["mentions": JSON(words[$0]?.all ?? 0), "hallucinated": JSON(words[$0]?.hallucinated ?? 0)]) })
    }

    /// CHAIRs, CHAIRi, recall, mean number of tokens.
    private static func figures(_ sums: [Int]) -> [Double?] {
        guard sums.count == 7 else { return [nil, nil, nil, nil] }
        return [ratio(sums[1], sums[0]), ratio(sums[3], sums[2]), ratio(sums[4], sums[5]), ratio(sums[6], sums[0])]
    }
}

/// The records file of a CHAIR score read back.
package struct CHAIRRecords: Sendable {
    package struct Caption: Sendable {
        package let image: String
        package let text: String
        package let outcome: String
        /// Words of the caption with the objects they stand for, none of which the picture has.
        package let hallucinated: [(word: String, node: String)]
    }

    package let path: String
    package let sha256: String
    package private(set) var captions: [Caption] = []
    /// The pictures of the captions that count or should.
    package private(set) var pictures: PictureIndex
    package private(set) var coverage = Coverage(asked: 0, scored: 0)
    private var figures = CHAIRFigures()

    package init(_ path: String) throws(HadpoError) {
        let lines = try JSONLineReader(path, dropTornLine: true, isHashed: true)
        self.path = path
        pictures = PictureIndex(path)
        var scored = 0
        while let line = try lines.next() {
            let place = "\(path):\(line.number)"
            guard let image = line.value["image_id"]?.stringValue, let text = line.value["caption"]?.stringValue else {
                throw Self.fault(place, line.value.kind)
            }
            let outcome = line.value["outcome"]?.stringValue ?? "scored"
            figures.add(outcome: outcome, image: image)
            if outcome != "captioned_twice" {
                let known = pictures.count
                guard try pictures.add(image) == known else {
                    throw HadpoError(
                        .format, "two records of one picture", at: place, found: "image_id '\(image)' again",
                        expected: "one record a picture, as `hadpo chair --records` writes them")
                }
            }
            var hallucinated: [(word: String, node: String)] = []
            if let words = line.value["mscoco_hallucinated_words"] {
                hallucinated = try Self.pairs(words, place)
                scored += 1
                let tokens = line.value["metrics"]?["Len"]?.intValue ?? line.value["words"]?.arrayValue?.count ?? 0
                // Far below where sums overflow.
                guard (0...1 << 32).contains(tokens) else { throw Self.fault(place, "'Len' \(tokens)") }
                figures.add(
                    CHAIRFigures.Words(
                        said: try Self.texts(line.value["mscoco_generated_words"], place), wrong: hallucinated.map(\.node),
                        truth: Set(try Self.texts(line.value["mscoco_gt_words"], place)),
                        tokens: tokens))
            }
            captions.append(Caption(image: image, text: text, outcome: outcome, hallucinated: hallucinated))
        }
        sha256 = lines.sha256 ?? ""
        coverage = Coverage(asked: pictures.count, scored: scored)
    }

    package func report(resamples: Int, seed: Int) -> JSON {
        .object(
            [
                .init("schema", "hadpo.chair-report/1"), .init("records", .string(path)),
                .init("records_sha256", .string(sha256)),
            ] + coverage.members + figures.members(resamples: resamples, seed: seed))
    }

    private static func texts(_ value: JSON?, _ place: String) throws(HadpoError) -> [String] {
        let texts = value?.arrayValue?.compactMap(\.stringValue)
        guard let texts, texts.count == value?.arrayValue?.count else { throw fault(place, value?.kind ?? "nothing") }
        return texts
    }

    private static func pairs(_ value: JSON, _ place: String) throws(HadpoError) -> [(word: String, node: String)] {
        var pairs: [(word: String, node: String)] = []
        for pair in value.arrayValue ?? [] {
            guard let word = pair[0]?.stringValue, let node = pair[1]?.stringValue else { throw fault(place, pair.kind) }
            pairs.append((word, node))
        }
        return pairs
    }

    private static func fault(_ place: String, _ found: String) -> HadpoError {
        HadpoError(.format, "no record of CHAIR", at: place, found: found, expected: "a line of `hadpo chair --records`")
    }
}
