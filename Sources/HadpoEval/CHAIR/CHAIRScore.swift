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
        records = try r.optionalString(
            "records", help: "file for one line a caption: words, objects, what is hallucinated; enough for a report")
        resamples = try r.int("resamples", default: 10_000, in: 0...1_000_000, help: "of the bootstrap over images; 0: none")
        seed = try r.int("seed", default: 0, in: 0...Int.max, help: "of the bootstrap")
        try r.refuse(["seed"], unless: resamples > 0, because: "resamples is 0: nothing is drawn")
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

    package static func run(_ config: CHAIRScoreConfig) throws(HadpoError) -> JSON {
        let objects = try ObjectWords(synonyms: config.synonyms)
        let bytes = try File.read(config.captions)
        let captions = try read(bytes, config.captions)
        let truth = try CHAIRTruth(config, ids: Set(captions.map(\.caption.id)), objects)
        var figures = CHAIRFigures()
        var records: [JSON] = []
        for (caption, isFirst) in captions {
            // The original takes an unknown image for an empty one, and everything said about it for hallucinated.
            let known = isFirst ? truth.nodes[caption.id] : nil
            guard let known else {
                let outcome = isFirst ? "image_without_annotations" : "captioned_twice"
                figures.add(outcome: outcome, image: caption.id)
                records.append(
                    ["image_id": .string(caption.id), "caption": .string(caption.text), "outcome": .string(outcome)])
                continue
            }
            let outcome = caption.text.pythonStripped.isEmpty ? "empty_caption" : "scored"
            let tokens = objects.tokens(caption.text)
            let mentions = objects.mentions(tokens: tokens)
            let words = CHAIRFigures.Words(
                said: mentions.map(\.node), wrong: mentions.filter { !known.contains($0.node) }.map(\.node), truth: known,
                tokens: tokens.count)
            figures.add(outcome: outcome, image: caption.id)
            figures.add(words)
            if config.records != nil { records.append(record(caption, outcome, tokens, mentions, words)) }
        }
        if let path = config.records {
            try File.makeDirectories(File.folder(of: path))
            try File.writeAtomically(path, records.map { $0.text() + "\n" }.joined())
        }
        var report: JSON = [
            "schema": "hadpo.chair-report/1", "implementation": .string(ObjectWords.implementation),
            "captions": .string(config.captions), "captions_sha256": .string(SHA256.hex(bytes)),
            "synonyms_sha256": .string(objects.sha256), "synonyms_published": JSON(objects.isPublished),
            "image_ids_sha256": .string(
                SHA256.hex(Array(sortedIDs(captions.filter(\.isFirst).map(\.caption.id)).joined(separator: "\n").utf8))),
        ]
        for member in figures.members(resamples: config.resamples, seed: config.seed) { report[member.key] = member.value }
        report["records"] = JSON(config.records)
        return report
    }

    private static func record(
        _ caption: Caption, _ outcome: String, _ tokens: [String], _ mentions: [ObjectWords.Mention], _ words: CHAIRFigures.Words
    ) -> JSON {
        let wrong = mentions.filter { !words.truth.contains($0.node) }
        return [
            "image_id": .string(caption.id), "caption": .string(caption.text), "outcome": .string(outcome),
            "mscoco_hallucinated_words": .array(wrong.map { [.string($0.word), .string($0.node)] }),
            "mscoco_gt_words": JSON(words.truth.sorted()), "mscoco_generated_words": JSON(words.said),
            "words": JSON(tokens),
            "metrics": [
                "CHAIRs": JSON(wrong.isEmpty ? 0 : 1), "CHAIRi": .double(ratio(wrong.count, mentions.count) ?? 0),
                "Recall": JSON(ratio(words.found, words.truth.count)), "Len": JSON(tokens.count),
            ],
        ]
    }

    /// As numbers where all are.
    private static func sortedIDs(_ ids: [String]) -> [String] {
        let numbers = ids.compactMap { Int($0) }
        return numbers.count == ids.count ? numbers.sorted().map(String.init) : ids.sorted()
    }

    /// Captions in the order of the file; of an id that comes again the first caption counts.
    private static func read(
        _ bytes: [UInt8], _ path: String
    ) throws(HadpoError) -> [(caption: Caption, isFirst: Bool)] {
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
        var captions: [(caption: Caption, isFirst: Bool)] = []
        var known: Set<String> = []
        for (place, record) in records {
            let id = record["image_id"]
            let text = ["caption", "description", "answer", "text"].lazy.compactMap { record[$0]?.stringValue }.first
            guard let id = id?.intValue.map(String.init) ?? id?.stringValue, let text else {
                throw HadpoError(
                    .format, "no caption", at: place, found: record.kind, expected: "'image_id' and 'caption'")
            }
            let name = CHAIRTruth.normalised(id)
            captions.append((Caption(id: name, text: text), known.insert(name).inserted))
        }
        return captions
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
