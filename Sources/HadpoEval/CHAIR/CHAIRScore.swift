import HadpoBase

/// "hadpo.chair-score/1": captions, and the files that say what is in the pictures.
package struct CHAIRScoreConfig: Sendable {
    package let captions: String
    package let synonyms: String
    package let instances: [String]
    package let references: [String]
    package let objects: String?
    package let partial: Bool
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
        partial = try r.bool(
            "partial", default: false, help: "also score a part of what was asked; else what is missing is an error")
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
    package static func run(_ config: CHAIRScoreConfig) throws(HadpoError) -> JSON {
        try OutputPlace.require(
            [("/records", config.records)],
            apartFrom: [("/captions", config.captions), ("/synonyms", config.synonyms), ("/objects", config.objects)]
                + config.instances.map { ("/instances", $0) } + config.references.map { ("/references", $0) })
        let objects = try ObjectWords(synonyms: config.synonyms)
        let bytes = try File.read(config.captions)
        let captions = try CHAIRCaptions(bytes, config.captions)
        let truth = try CHAIRTruth(config, captions.pictures, objects)
        let coverage = try coverage(config, captions, truth)
        var figures = CHAIRFigures()
        var records: [JSON] = []
        for caption in captions.all {
            // The original takes an unknown image for an empty one, and everything said about it for hallucinated.
            let known = caption.isFirst ? truth.nodes[caption.picture] : nil
            guard let known else {
                let outcome = caption.isFirst ? "image_without_annotations" : "captioned_twice"
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
                SHA256.hex(Array(sortedIDs(captions.all.filter(\.isFirst).map(\.id)).joined(separator: "\n").utf8))),
        ]
        report["origin"] = try ScoredOrigin(beside: config.captions).json
        for member in coverage.members + figures.members(resamples: config.resamples, seed: config.seed) {
            report[member.key] = member.value
        }
        report["records"] = JSON(config.records)
        return report
    }

    /// Captions of pictures that the annotations know, of all: an error where it is not all of them.
    private static func coverage(
        _ config: CHAIRScoreConfig, _ captions: CHAIRCaptions, _ truth: CHAIRTruth
    ) throws(HadpoError) -> Coverage {
        let unknown = captions.all.filter { $0.isFirst && truth.nodes[$0.picture] == nil }.map(\.id)
        let coverage = Coverage(asked: captions.pictures.count, scored: captions.pictures.count - unknown.count)
        guard coverage.scored > 0 else {
            throw HadpoError(
                .format, "no caption is of a picture that the annotations name", at: config.captions,
                found: "captions of \(captions.pictures.examples), records with \(captions.keys)",
                expected: "names as in the annotations: \(truth.examples)")
        }
        try coverage.require(
            partial: config.partial, "captions of pictures without annotations", at: config.captions, "captions",
            missing: Coverage.first(unknown), expected: "annotations of every picture")
        return coverage
    }

    private static func record(
        _ caption: CHAIRCaptions.Caption, _ outcome: String, _ tokens: [String], _ mentions: [ObjectWords.Mention],
        _ words: CHAIRFigures.Words
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
}

/// Objects of each picture: categories of its instances, and what people mention in the reference captions.
struct CHAIRTruth {
    /// By the caption's place among the pictures.
    private(set) var nodes: [Int: Set<String>] = [:]
    private var names: [String] = []
    private var nameCount = 0
    /// What the files call the captions' pictures, where that says more than a number.
    private var named: [Int: (name: PictureName, file: String)] = [:]

    /// How the annotations call their pictures.
    var examples: String { PictureIndex.examples(names, of: nameCount) }

    init(_ config: CHAIRScoreConfig, _ pictures: PictureIndex, _ objects: ObjectWords) throws(HadpoError) {
        var nodes: [Int: Set<String>] = [:]
        for path in config.instances {
            let file = try COCOInstances(path)
            for image in file.images {
                note(String(image.id))
                guard let place = try pictures.place(String(image.id), in: path) else { continue }
                try call(place, image.file, path, pictures)
                for category in image.categories {
                    guard let name = file.categories[category], let node = objects.node(name) else {
                        throw HadpoError(
                            .format, "a category that the synonyms do not know", at: path,
                            found: "'\(file.categories[category] ?? "id \(category)")'", expected: "a word of \(config.synonyms)")
                    }
                    nodes[place, default: []].insert(node)
                }
                if nodes[place] == nil { nodes[place] = [] }
            }
        }
        for path in config.references {
            try JSONStream.elements(ofFile: path, under: ["images", "annotations"]) { key, element throws(HadpoError) in
                guard let id = element.firstInteger(key == "images" ? "id" : "image_id") else {
                    throw HadpoError(.format, "no COCO record", at: element.name, expected: "'image_id': an integer")
                }
                if key == "images" { note(String(id)) }
                guard let place = try pictures.place(String(id), in: path) else { return true }
                if nodes[place] == nil { nodes[place] = [] }
                if key == "images" {
                    if let name = try element.parse()["file_name"]?.stringValue { try call(place, name, path, pictures) }
                    return true
                }
                guard let caption = try element.parse()["caption"]?.stringValue else {
                    throw HadpoError(.format, "no reference caption", at: element.name, expected: "'caption': a string")
                }
                for mention in objects.mentions(caption) { nodes[place, default: []].insert(mention.node) }
                return true
            }
        }
        if let path = config.objects {
            var own = PictureIndex(path)
            var lists: [Int: JSON.Member] = [:]
            for member in try File.readJSON(path).objectValue ?? [] {
                let names = member.value.arrayValue?.compactMap(\.stringValue)
                guard let names, names.count == member.value.arrayValue?.count else {
                    throw HadpoError(
                        .format, "an image without a list of objects", at: "\(path) /\(member.key)", found: member.value.kind,
                        expected: "an array of strings")
                }
                note(member.key)
                try own.add(member.key)
                guard let place = try pictures.place(member.key, in: path) else { continue }
                try call(place, member.key, path, pictures)
                if let other = lists.updateValue(member, forKey: place), other.value != member.value {
                    throw HadpoError(
                        .format, "a picture has two lists of objects", at: "\(path) /\(member.key)",
                        found: "another one under '\(other.key)'", expected: "one list a picture")
                }
                if nodes[place] == nil { nodes[place] = [] }
                for name in names {
                    // Left out, it would make every mention of the thing a hallucination.
                    guard let node = objects.node(name) else {
                        throw HadpoError(
                            .format, "an object that the synonyms do not know", at: "\(path) /\(member.key)",
                            found: PictureFolder.shown(name), expected: "a word of \(config.synonyms)")
                    }
                    nodes[place, default: []].insert(node)
                }
            }
        }
        self.nodes = nodes
    }

    /// A file's name for a picture that was found by its number: neither the captions nor another file may speak of another set's.
    private mutating func call(
        _ place: Int, _ text: String, _ file: String, _ pictures: PictureIndex
    ) throws(HadpoError) {
        try pictures.check(text, at: place, in: file)
        let name = PictureName(text)
        if let other = named[place], name.contradicts(other.name) {
            throw HadpoError(
                .format, "a picture's number stands in two sets", at: file,
                found: "'\(text)'; \(other.file) has '\(other.name.text)'",
                expected: "annotations of one set for one number")
        }
        if named[place] == nil || !(named[place]?.name.isCOCO ?? false) { named[place] = (name, file) }
    }

    private mutating func note(_ name: String) {
        if names.count < 4 { names.append(name) }
        nameCount += 1
    }
}
