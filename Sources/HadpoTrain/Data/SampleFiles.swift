import HadpoBase

/// The user's own data, JSON Lines or a JSON array. Pictures are named below a folder (`PictureFolder`); other keys are left to their
/// owner; a first record `{"schema": "hadpo.pairs/1"}` may say what the file is.
///
///     hadpo.pairs/1    {"image", "question" or "prompt", "chosen", "rejected", "id"?, "weight"?}
///     hadpo.samples/1  {"image", "question" or "prompt", "answer", "id"?, "weight"?}
///
/// Pairs may also be in the form of another tool (`PairForm`).
/// A question goes into the model's template; a prompt is the whole text before the answer, with `<image>` once.
/// A weight, 1 when left out, says how often the sample counts in the mean of a step: 2 is the sample twice, 0 not at all.
package enum SampleFiles {
    /// - Parameter form: nil: the one that the first record speaks of.
    package static func readPairs(
        _ path: String, pictures: PictureFolder, form: PairForm? = .pairs
    ) throws(HadpoError) -> SampleSet<PreferencePair> {
        let records = try records(path, schema: "hadpo.pairs/1")
        let form = if let form { form } else { try recognise(records) }
        var set = read(records, pictures, ownIDs: form == .pairs) { (value) throws(PairFault) in
            form == .pairs ? try own(value) : try foreign(value, form)
        } make: { (fields, pair) throws(PairFault) in
            let sample = PreferencePair(
                id: fields.id, imagePath: fields.imagePath, prompt: pair.prompt, chosen: pair.chosen, rejected: pair.rejected,
                kind: .pair, weight: try weight(fields.value), source: fields.source)
            if let reason = SampleChecks.reason(sample) { throw PairFault(reason) }
            return sample
        }
        set.form = form.rawValue
        return set
    }

    package static func readSamples(_ path: String, pictures: PictureFolder) throws(HadpoError) -> SampleSet<CaptionSample> {
        read(try records(path, schema: "hadpo.samples/1"), pictures, ownIDs: true) { (value) throws(PairFault) in
            let (image, prompt) = try asked(value)
            return ConvertedPair(image: image, prompt: prompt, chosen: "", rejected: "")
        } make: { (fields, pair) throws(PairFault) in
            guard let answer = fields.value["answer"]?.stringValue else { throw PairFault("'answer' is not a text") }
            let sample = CaptionSample(
                id: fields.id, imagePath: fields.imagePath, prompt: pair.prompt, answer: answer, weight: try weight(fields.value),
                source: fields.source)
            if let reason = SampleChecks.reason(sample) { throw PairFault(reason) }
            return sample
        }
    }

    // MARK: records

    private struct Record {
        let source: SampleSource
        let value: JSON
    }

    private static func records(_ path: String, schema: String) throws(HadpoError) -> [Record] {
        let bytes = try File.read(path)
        var records: [Record] = []
        if bytes.first(where: { $0 > 0x20 }) == UInt8(ascii: "[") {
            for (index, value) in (try JSON.parse(bytes, source: path).arrayValue ?? []).enumerated() {
                records.append(Record(source: SampleSource(file: path, index: index), value: value))
            }
        } else {
            for (index, line) in try JSONLines.parse(bytes, source: path).enumerated() {
                records.append(Record(source: SampleSource(file: path, index: index, line: line.number), value: line.value))
            }
        }
        guard let first = records.first, let named = first.value["schema"]?.stringValue, first.value.objectValue?.count == 1
        else {
            return records
        }
        guard named == schema else {
            throw HadpoError(.format, "another schema", at: "\(first.source)", found: named, expected: schema)
        }
        return records.dropFirst().enumerated().map { index, record in
            Record(source: SampleSource(file: path, index: index, line: record.source.line), value: record.value)
        }
    }

    /// The first record that speaks of any form: one that is broken does not hide the others.
    private static func recognise(_ records: [Record]) throws(HadpoError) -> PairForm {
        for record in records.prefix(100) { if let form = PairForm.recognise(record.value) { return form } }
        guard let first = records.first else { return .pairs }
        let keys = first.value.objectValue?.prefix(30).map(\.key).joined(separator: ", ")
        throw HadpoError(
            .format, "preference pairs in no form that is read", at: "\(first.source)",
            found: keys.map { $0.isEmpty ? "no keys" : "keys \($0)" } ?? first.value.kind, expected: PairForm.table)
    }

    // MARK: one record

    private static func own(_ value: JSON) throws(PairFault) -> ConvertedPair {
        let (image, prompt) = try asked(value)
        guard let chosen = value["chosen"]?.stringValue else { throw PairFault("'chosen' is not a text") }
        guard let rejected = value["rejected"]?.stringValue else { throw PairFault("'rejected' is not a text") }
        return ConvertedPair(image: image, prompt: prompt, chosen: chosen, rejected: rejected)
    }

    /// A file has one form; a record of another one says so.
    private static func foreign(_ value: JSON, _ form: PairForm) throws(PairFault) -> ConvertedPair {
        guard value.objectValue != nil else { throw PairFault("the line is \(value.kind) instead of an object") }
        do throws(PairFault) { return try PairConverter.convert(value, form) } catch {
            guard let other = PairForm.recognise(value), other != form else { throw error }
            throw PairFault("\(error.reason) (read as \(form.rawValue); the record looks like \(other.rawValue))")
        }
    }

    private static func asked(_ value: JSON) throws(PairFault) -> (image: String, prompt: SamplePrompt) {
        guard value.objectValue != nil else { throw PairFault("the line is \(value.kind) instead of an object") }
        try PairConverter.refuseExtras(value)
        guard let given = value["image"], given.stringValue?.isEmpty == false else {
            throw PairFault("'image' is not the name of a picture")
        }
        let image = try PairConverter.name(given, "image")
        switch (value["question"]?.stringValue, value["prompt"]?.stringValue) {
        case (let question?, nil): return (image, .question(withoutPlace(question)))
        case (nil, let raw?): return (image, .raw(raw))
        case (nil, nil): throw PairFault("neither 'question' nor 'prompt' is a text")
        case (_?, _?): throw PairFault("both 'question' and 'prompt' are given")
        }
    }

    /// LLaVA's data say in the question where the picture stands, on a line of its own; the model's template knows it.
    private static func withoutPlace(_ question: String) -> String {
        let bytes = Array(question.utf8)
        if bytes.starts(with: "<image>\n".utf8) { return String(decoding: bytes.dropFirst(8), as: UTF8.self) }
        if bytes.suffix(8).elementsEqual("\n<image>".utf8) { return String(decoding: bytes.dropLast(8), as: UTF8.self) }
        return question
    }

    private static func weight(_ value: JSON) throws(PairFault) -> Double {
        guard let weight = (value["weight"] ?? 1).doubleValue else { throw PairFault("'weight' is not a number") }
        return weight
    }

    /// What the sample is made of beside its texts.
    private struct Fields {
        let value: JSON
        let id: String
        let imagePath: String
        let source: SampleSource
    }

    /// - Parameter ownIDs: an id names one sample; other tools number pictures, or parts of a file.
    private static func read<Sample>(
        _ records: [Record], _ pictures: PictureFolder, ownIDs: Bool, _ convert: (JSON) throws(PairFault) -> ConvertedPair,
        make: (Fields, ConvertedPair) throws(PairFault) -> Sample
    ) -> SampleSet<Sample> {
        var set = SampleSet<Sample>()
        var checks = SampleChecks(pictures: pictures)
        var seen: Set<String> = []
        for record in records {
            let given = record.value["id"] ?? (ownIDs ? nil : record.value["idx"])
            var id = given?.stringValue ?? given?.text() ?? "\(record.source.index)"
            do throws(PairFault) {
                let pair = try convert(record.value)
                if !seen.insert(id).inserted {
                    if ownIDs { throw PairFault("the id is used twice") }
                    id += "/\(record.source.index)"
                    seen.insert(id)
                }
                let picture = checks.picture(pair.image)
                guard let path = picture.path else { throw PairFault(picture.reason ?? "no picture") }
                set.samples.append(
                    try make(Fields(value: record.value, id: id, imagePath: path, source: record.source), pair))
            } catch {
                set.problems.append(.init(record.source, id: id, error.reason))
            }
        }
        return set
    }
}
