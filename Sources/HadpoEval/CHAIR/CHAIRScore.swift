import HadpoBase

/// "hadpo.chair-score/1": captions, and the files that say what is in the pictures.
package struct CHAIRScoreConfig: Sendable {
    package let captions: String
    package let synonyms: String
    package let instances: [String]
    package let references: [String]
    package let objects: String?
    package let records: String?
    package let resamples: Int
    package let seed: Int

    package init(_ r: inout ConfigReader) throws(HadpoError) {
        captions = try r.string(
            "captions", help: "image_id and caption: lines, an array, {\"id\": text}, or the original's imgToEval")
        synonyms = try r.string("synonyms", help: "synonym table: LisaAnne/Hallucination data/synonyms.txt")
        instances = try r.strings("instances", default: [], help: "COCO instances_*.json; CHAIR takes train and val")
        references = try r.strings("references", default: [], help: "COCO captions_*.json; CHAIR takes train and val")
        objects = try r.optionalString("objects", help: "instead or beside: {\"image id\": [\"object\", ...]}")
        records = try r.optionalString("records", help: "file for one line a caption: words, objects, what is hallucinated")
        resamples = try r.int("resamples", default: 10_000, in: 0...1_000_000, help: "of the bootstrap over images; 0: none")
        seed = try r.int("seed", default: 0, in: 0...Int.max, help: "of the bootstrap")
        let given = !instances.isEmpty || !references.isEmpty || objects != nil
        try r.check(given, "instances", "nothing says what is in the pictures", expected: "instances, references or objects")
    }
}

/// CHAIR (Rohrbach et al. 2018): the part of mentioned objects, and of captions, that the picture does not bear out.
package struct CHAIRScore {
    private struct Caption {
        let id: String
        let text: String
    }

    private struct Counts {
        var captions = 0, hallucinatedCaptions = 0, mentions = 0, hallucinated = 0, found = 0, truth = 0, tokens = 0
        var columns: [Int] { [captions, hallucinatedCaptions, mentions, hallucinated, found, truth, tokens] }
    }

    package static func run(_ config: CHAIRScoreConfig) throws(HadpoError) -> JSON {
        let objects = try ObjectWords(synonyms: config.synonyms)
        let bytes = try File.read(config.captions)
        let (captions, doubled) = try read(bytes, config.captions)
        let truth = try CHAIRTruth(config, ids: Set(captions.map(\.id)), objects)
        var outcomes = SHROutcomes()
        for id in doubled { outcomes.add("captioned_twice", id) }
        var perImage: [[Int]] = []
        var records: [JSON] = []
        var total = Counts()
        var words: [String: (all: Int, hallucinated: Int)] = [:]
        for caption in captions {
            // The original takes an unknown image for an empty one, and everything said about it for hallucinated.
            guard let known = truth.nodes[caption.id] else {
                outcomes.add("image_without_annotations", caption.id)
                continue
            }
            outcomes.add(caption.text.pythonStripped.isEmpty ? "empty_caption" : "scored", caption.id)
            let tokens = objects.tokens(caption.text)
            let mentions = objects.mentions(tokens: tokens)
            let wrong = mentions.filter { !known.contains($0.node) }
            var counts = Counts()
            counts.captions = 1
            counts.hallucinatedCaptions = wrong.isEmpty ? 0 : 1
            counts.mentions = mentions.count
            counts.hallucinated = wrong.count
            counts.found = known.intersection(mentions.map(\.node)).count
            counts.truth = known.count
            counts.tokens = tokens.count
            perImage.append(counts.columns)
            for mention in mentions {
                let isWrong = !known.contains(mention.node)
                words[mention.node, default: (0, 0)].all += 1
                if isWrong { words[mention.node, default: (0, 0)].hallucinated += 1 }
            }
            total = add(total, counts)
            if config.records != nil { records.append(record(caption, tokens, mentions, wrong, known, counts)) }
        }
        if let path = config.records {
            try File.makeDirectories(File.folder(of: path))
            try File.writeAtomically(path, records.map { $0.text() + "\n" }.joined())
        }
        let bootstrap = ClusterBootstrap(clusters: perImage.count, resamples: config.resamples, seed: UInt64(config.seed))
        let replicates = bootstrap.replicates(perImage) { figures($0) }
        let names = ["chair_s", "chair_i", "recall", "length"]
        let values = figures(total.columns)
        return [
            "schema": "hadpo.chair-report/1", "implementation": .string(ObjectWords.implementation),
            "captions": .string(config.captions), "captions_sha256": .string(SHA256.hex(bytes)),
            "synonyms_sha256": .string(objects.sha256), "synonyms_published": JSON(objects.isPublished),
            "image_ids_sha256": .string(SHA256.hex(Array(sortedIDs(captions.map(\.id)).joined(separator: "\n").utf8))),
            "n": JSON(total.captions), "chair_s": JSON(values[0]), "chair_i": JSON(values[1]), "recall": JSON(values[2]),
            "length": JSON(values[3]), "mentions": JSON(total.mentions), "hallucinated_mentions": JSON(total.hallucinated),
            "hallucinated_captions": JSON(total.hallucinatedCaptions), "truth_objects": JSON(total.truth),
            "bootstrap_95": .object(
                names.enumerated().map { place, name in
                    .init(name, Statistics.json(Statistics.percentile95(replicates.map { $0[place] })))
                }),
            "bootstrap": bootstrap.description, "outcomes": outcomes.json,
            "by_object": .object(
                words.keys.sorted { a, b in
                    let (x, y) = (words[a]?.hallucinated ?? 0, words[b]?.hallucinated ?? 0)
                    return x != y ? x > y : a < b
                }.map { .init($0, ["mentions": JSON(words[$0]?.all ?? 0), "hallucinated": JSON(words[$0]?.hallucinated ?? 0)]) }),
            "records": JSON(config.records),
        ]
    }

    private static func add(_ a: Counts, _ b: Counts) -> Counts {
        Counts(
            captions: a.captions + b.captions, hallucinatedCaptions: a.hallucinatedCaptions + b.hallucinatedCaptions,
            mentions: a.mentions + b.mentions, hallucinated: a.hallucinated + b.hallucinated, found: a.found + b.found,
            truth: a.truth + b.truth, tokens: a.tokens + b.tokens)
    }

    /// CHAIRs, CHAIRi, recall, mean number of tokens.
    private static func figures(_ sums: [Int]) -> [Double?] {
        guard sums.count == 7 else { return [nil, nil, nil, nil] }
        return [ratio(sums[1], sums[0]), ratio(sums[3], sums[2]), ratio(sums[4], sums[5]), ratio(sums[6], sums[0])]
    }

    private static func record(
        _ caption: Caption, _ tokens: [String], _ mentions: [ObjectWords.Mention], _ wrong: [ObjectWords.Mention],
        _ known: Set<String>, _ counts: Counts
    ) -> JSON {
        [
            "image_id": .string(caption.id), "caption": .string(caption.text),
            "mscoco_hallucinated_words": .array(wrong.map { [.string($0.word), .string($0.node)] }),
            "mscoco_gt_words": JSON(known.sorted()), "mscoco_generated_words": JSON(mentions.map(\.node)),
            "words": JSON(tokens),
            "metrics": [
                "CHAIRs": JSON(counts.hallucinatedCaptions), "CHAIRi": .double(ratio(wrong.count, mentions.count) ?? 0),
                "Recall": JSON(ratio(counts.found, counts.truth)), "Len": JSON(counts.tokens),
            ],
        ]
    }

    /// As numbers where all are.
    private static func sortedIDs(_ ids: [String]) -> [String] {
        let numbers = ids.compactMap { Int($0) }
        return numbers.count == ids.count ? numbers.sorted().map(String.init) : ids.sorted()
    }

    /// Captions in the order of the file; ids that come again, whose first caption counts.
    private static func read(_ bytes: [UInt8], _ path: String) throws(HadpoError) -> ([Caption], doubled: [String]) {
        var records: [(place: String, value: JSON)] = []
        if let whole = try? JSON.parse(bytes, source: path) {
            let elements = whole.arrayValue ?? whole["imgToEval"]?.objectValue?.map(\.value)
            if let elements {
                records = elements.enumerated().map { ("\(path)[\($0.offset)]", $0.element) }
            } else if whole["caption"] == nil, let members = whole.objectValue {
                records = members.map { ("\(path) /\($0.key)", ["image_id": .string($0.key), "caption": $0.value]) }
            } else {
                records = [(path, whole)]
            }
        } else {
            records = try JSONLines.parse(bytes, source: path, dropTornLine: true).map { ("\(path):\($0.number)", $0.value) }
        }
        var captions: [Caption] = []
        var known: Set<String> = []
        var doubled: [String] = []
        for (place, record) in records {
            let id = record["image_id"]
            let text = ["caption", "description", "answer", "text"].lazy.compactMap { record[$0]?.stringValue }.first
            guard let id = id?.intValue.map(String.init) ?? id?.stringValue, let text else {
                throw HadpoError(
                    .format, "no caption", at: place, found: record.kind, expected: "'image_id' and 'caption'")
            }
            let name = CHAIRTruth.normalised(id)
            if known.insert(name).inserted { captions.append(Caption(id: name, text: text)) } else { doubled.append(name) }
        }
        return (captions, doubled)
    }
}

/// Objects of each picture: categories of its instances, and what people mention in the reference captions.
struct CHAIRTruth {
    private(set) var nodes: [String: Set<String>] = [:]

    init(_ config: CHAIRScoreConfig, ids: Set<String>, _ objects: ObjectWords) throws(HadpoError) {
        var nodes: [String: Set<String>] = [:]
        for path in config.instances {
            let file = try COCOInstances(path)
            for image in file.images where ids.contains(String(image.id)) {
                for category in image.categories {
                    guard let name = file.categories[category], let node = objects.node(name) else {
                        throw HadpoError(
                            .format, "a category that the synonyms do not know", at: path,
                            found: "'\(file.categories[category] ?? "id \(category)")'", expected: "a word of \(config.synonyms)")
                    }
                    nodes[String(image.id), default: []].insert(node)
                }
                if nodes[String(image.id)] == nil { nodes[String(image.id)] = [] }
            }
        }
        for path in config.references {
            try JSONStream.elements(ofFile: path, under: ["images", "annotations"]) { key, element throws(HadpoError) in
                guard let id = element.firstInteger(key == "images" ? "id" : "image_id") else {
                    throw HadpoError(.format, "no COCO record", at: element.name, expected: "'image_id': an integer")
                }
                guard ids.contains(String(id)) else { return true }
                if nodes[String(id)] == nil { nodes[String(id)] = [] }
                if key == "images" { return true }
                guard let caption = try element.parse()["caption"]?.stringValue else {
                    throw HadpoError(.format, "no reference caption", at: element.name, expected: "'caption': a string")
                }
                for mention in objects.mentions(caption) { nodes[String(id), default: []].insert(mention.node) }
                return true
            }
        }
        if let path = config.objects {
            for member in try File.readJSON(path).objectValue ?? [] {
                let names = member.value.arrayValue?.compactMap(\.stringValue)
                guard let names, names.count == member.value.arrayValue?.count else {
                    throw HadpoError(
                        .format, "an image without a list of objects", at: "\(path) /\(member.key)", found: member.value.kind,
                        expected: "an array of strings")
                }
                let id = Self.normalised(member.key)
                if nodes[id] == nil { nodes[id] = [] }
                // A name that is no entry of the table cannot be mentioned either.
                for name in names { if let node = objects.node(name) { nodes[id, default: []].insert(node) } }
            }
        }
        self.nodes = nodes
    }

    /// "COCO_val2014_000000391895.jpg" is image 391895.
    static func normalised(_ id: String) -> String {
        var bytes = Array(id.utf8)
        if let dot = bytes.lastIndex(of: UInt8(ascii: ".")) { bytes.removeSubrange(dot...) }
        guard let underscore = bytes.lastIndex(of: UInt8(ascii: "_")), bytes.starts(with: "COCO_".utf8),
            let number = Int(String(decoding: bytes[(underscore + 1)...], as: UTF8.self))
        else { return id }
        return String(number)
    }
}
