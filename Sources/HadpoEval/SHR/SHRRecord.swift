import HadpoBase

/// One judged sentence: a line of sentences.jsonl, the file that verdicts are compared and figures are traced with.
package struct SHRRecord: Sendable {
    package let run: String
    package let image: String
    /// From 1.
    package let sentence: Int
    package let text: String
    package let classification: SHRVerdicts.Class
    package let judgement: String?
    /// The class as upstream reads the reply, which may be none of the three; nil: it stores null or nothing.
    package let upstream: String?
    /// What became of the image's reply.
    package let outcome: String

    package var words: Int { SHRText.wordCount(text) }

    package var json: JSON {
        [
            "run": .string(run), "image_id": .string(image), "sentence": JSON(sentence), "text": .string(text),
            "words": JSON(words), "class": .string(classification.rawValue), "judgement": JSON(judgement),
            "upstream_class": JSON(upstream), "outcome": .string(outcome),
        ]
    }

    /// The same sentence of an image that another file spells otherwise.
    private func ofImage(_ name: String) -> SHRRecord {
        SHRRecord(
            run: run, image: name, sentence: sentence, text: text, classification: classification, judgement: judgement,
            upstream: upstream, outcome: outcome)
    }

    /// Records with the names that `others` has for the images, where it knows them.
    static func named(
        _ records: [SHRRecord], as others: [SHRRecord], in path: String, of: String
    ) throws(HadpoError) -> [SHRRecord] {
        var index = PictureIndex(of, mixesCOCO: false)
        var names: [String] = []
        var last: String?
        for record in others where last.map({ !$0.hasSameBytes(record.image) }) ?? true {
            if try index.add(record.image) == names.count { names.append(record.image) }
            last = record.image
        }
        var found: (name: String, place: Int?)?
        var result: [SHRRecord] = []
        for record in records {
            if found.map({ !$0.name.hasSameBytes(record.image) }) ?? true {
                found = (record.image, try index.place(record.image, in: path))
            }
            result.append(found?.place.map { record.ofImage(names[$0]) } ?? record)
        }
        return result
    }

    private struct Key: Hashable {
        let run: String
        let image: String
        let sentence: Int
    }

    /// A sentence that stands twice must have one verdict.
    private static func requireOneVerdict(_ records: [SHRRecord], _ path: String) throws(HadpoError) {
        var first: [Key: Int] = [:]
        for (place, record) in records.enumerated() {
            let key = Key(run: record.run, image: PictureName(record.image).key, sentence: record.sentence)
            guard let known = first.updateValue(place, forKey: key).map({ records[$0] }) else { continue }
            guard known.text.hasSameBytes(record.text), known.classification == record.classification else {
                throw HadpoError(
                    .format, "a sentence is judged twice, and differently",
                    at: "\(path), run \(record.run), image_id \(record.image), sentence \(record.sentence)",
                    found:
                        "\(known.classification.rawValue): '\(known.text)', and \(record.classification.rawValue): '\(record.text)'",
                    expected: "one verdict a sentence")
            }
        }
    }

    /// sentences.jsonl, or upstream's judgement.json.
    package static func read(_ path: String) throws(HadpoError) -> [SHRRecord] {
        let records = try records(path)
        guard !records.isEmpty else {
            throw HadpoError(
                .format, "no verdicts", at: path, found: "no record",
                expected: "lines of sentences.jsonl (run, image_id, sentence, text, class), or upstream's judgement.json")
        }
        try requireOneVerdict(records, path)
        return records
    }

    private static func records(_ path: String) throws(HadpoError) -> [SHRRecord] {
        let bytes = try File.read(path)
        if let whole = try? JSON.parse(bytes, source: path), whole["run"] == nil, let runs = whole.objectValue {
            var records: [SHRRecord] = []
            for run in runs { records += try judgement(run, path) }
            return records
        }
        var records: [SHRRecord] = []
        for line in try JSONLines.parse(bytes, source: path, dropTornLine: true) {
            let value = line.value
            guard let run = value["run"]?.stringValue, let image = value["image_id"]?.stringValue,
                let sentence = value["sentence"]?.intValue, let text = value["text"]?.stringValue,
                let name = value["class"]?.stringValue, let known = SHRVerdicts.Class(rawValue: name)
            else {
                throw HadpoError(
                    .format, "no verdict", at: "\(path):\(line.number)", found: fault(of: value),
                    expected: "a line of sentences.jsonl: run, image_id, sentence, text, class")
            }
            records.append(
                SHRRecord(
                    run: run, image: image, sentence: sentence, text: text, classification: known,
                    judgement: value["judgement"]?.stringValue, upstream: value["upstream_class"]?.stringValue,
                    outcome: value["outcome"]?.stringValue ?? "judged"))
        }
        return records
    }

    /// Which key of a line is missing, or is not what it should be.
    private static func fault(of value: JSON) -> String {
        guard value.objectValue != nil else { return value.kind }
        for key in ["run", "image_id", "sentence", "text", "class"] {
            guard let member = value[key], !member.isNull else { return "no '\(key)'" }
            let isNumber = key == "sentence"
            if isNumber ? member.intValue == nil : member.stringValue == nil {
                let shown = member.objectValue == nil && member.arrayValue == nil ? member.text().shortened(to: 80) : member.kind
                return "'\(key)' is \(shown), which is not \(isNumber ? "a whole number" : "a string")"
            }
        }
        let classes = SHRVerdicts.Class.allCases.map { "'\($0.rawValue)'" }.joined(separator: ", ")
        return "'class' is '\((value["class"]?.stringValue ?? "").shortened(to: 80))', which is none of \(classes)"
    }

    private static func judgement(_ run: JSON.Member, _ path: String) throws(HadpoError) -> [SHRRecord] {
        var records: [SHRRecord] = []
        for image in run.value.objectValue ?? [] {
            guard let sentences = image.value["judgement"]?.arrayValue else {
                throw HadpoError(
                    .format, "no judgement", at: "\(path) /\(run.key)/\(image.key)", found: image.value.kind,
                    expected: "upstream's judgement.json, or sentences.jsonl")
            }
            for (index, sentence) in sentences.enumerated() {
                let name = sentence["classification"]?.stringValue
                let known = name.map { SHRVerdicts.Class(rawValue: $0.pythonStripped) ?? .unrecognised } ?? .unjudged
                records.append(
                    SHRRecord(
                        run: run.key, image: image.key, sentence: index + 1,
                        text: sentence["model_response"]?.stringValue ?? "", classification: known,
                        judgement: sentence["judgement"]?.stringValue, upstream: name,
                        outcome: name == nil ? "count_mismatch" : "judged"))
            }
        }
        return records
    }
}
