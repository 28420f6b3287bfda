import HadpoBase

/// The user's own data, JSON Lines. Pictures are named below a folder (`PictureFolder`); other keys are left to their owner; a first line
/// `{"schema": "hadpo.pairs/1"}` may say what the file is.
///
///     hadpo.pairs/1    {"image", "question" or "prompt", "chosen", "rejected", "id"?, "weight"?}
///     hadpo.samples/1  {"image", "question" or "prompt", "answer", "id"?, "weight"?}
///
/// A question goes into the model's template; a prompt is the whole text before the answer, with `<image>` once.
/// A weight, 1 when left out, says how often the sample counts in the mean of a step: 2 is the sample twice, 0 not at all.
package enum SampleFiles {
    package static func readPairs(_ path: String, pictures: PictureFolder) throws(HadpoError) -> SampleSet<PreferencePair> {
        try read(path, schema: "hadpo.pairs/1", pictures: pictures) { fields in
            guard let chosen = fields.value["chosen"]?.stringValue else { return .failure("'chosen' is not a text") }
            guard let rejected = fields.value["rejected"]?.stringValue else { return .failure("'rejected' is not a text") }
            guard let weight = (fields.value["weight"] ?? 1).doubleValue else { return .failure("'weight' is not a number") }
            let pair = PreferencePair(
                id: fields.id, imagePath: fields.imagePath, prompt: fields.prompt, chosen: chosen, rejected: rejected,
                kind: .pair, weight: weight, source: fields.source)
            return SampleChecks.reason(pair).map { .failure($0) } ?? .sample(pair)
        }
    }

    package static func readSamples(_ path: String, pictures: PictureFolder) throws(HadpoError) -> SampleSet<CaptionSample> {
        try read(path, schema: "hadpo.samples/1", pictures: pictures) { fields in
            guard let answer = fields.value["answer"]?.stringValue else { return .failure("'answer' is not a text") }
            guard let weight = (fields.value["weight"] ?? 1).doubleValue else { return .failure("'weight' is not a number") }
            let sample = CaptionSample(
                id: fields.id, imagePath: fields.imagePath, prompt: fields.prompt, answer: answer, weight: weight,
                source: fields.source)
            return SampleChecks.reason(sample).map { .failure($0) } ?? .sample(sample)
        }
    }

    /// What both formats share.
    private struct Fields {
        let value: JSON
        let id: String
        let imagePath: String
        let prompt: SamplePrompt
        let source: SampleSource
    }

    private enum Reading<Sample> {
        case sample(Sample)
        case failure(String)
    }

    private static func read<Sample>(
        _ path: String, schema: String, pictures: PictureFolder, _ make: (Fields) -> Reading<Sample>
    ) throws(HadpoError) -> SampleSet<Sample> {
        var set = SampleSet<Sample>()
        var checks = SampleChecks(pictures: pictures)
        var seen: Set<String> = []
        var lines = try JSONLines.parse(File.read(path), source: path)[...]
        if let first = lines.first, let named = first.value["schema"]?.stringValue, first.value.objectValue?.count == 1 {
            guard named == schema else {
                throw HadpoError(.format, "another schema", at: "\(path):\(first.number)", found: named, expected: schema)
            }
            lines = lines.dropFirst()
        }
        for (index, line) in lines.enumerated() {
            let source = SampleSource(file: path, index: index, line: line.number)
            let value = line.value
            let id = value["id"]?.stringValue ?? value["id"]?.text() ?? "\(index)"
            func leaveOut(_ reason: String) { set.problems.append(.init(source, id: id, reason)) }
            guard value.objectValue != nil else {
                leaveOut("the line is \(value.kind) instead of an object")
                continue
            }
            guard let image = value["image"]?.stringValue, !image.isEmpty else {
                leaveOut("'image' is not the name of a picture")
                continue
            }
            let prompt: SamplePrompt
            switch (value["question"]?.stringValue, value["prompt"]?.stringValue) {
            case (let question?, nil): prompt = .question(question)
            case (nil, let raw?): prompt = .raw(raw)
            case (nil, nil):
                leaveOut("neither 'question' nor 'prompt' is a text")
                continue
            case (_?, _?):
                leaveOut("both 'question' and 'prompt' are given")
                continue
            }
            guard seen.insert(id).inserted else {
                leaveOut("the id is used twice")
                continue
            }
            let picture = checks.picture(image)
            guard let imagePath = picture.path else {
                leaveOut(picture.reason ?? "no picture")
                continue
            }
            let fields = Fields(value: value, id: id, imagePath: imagePath, prompt: prompt, source: source)
            switch make(fields) {
            case .sample(let sample): set.samples.append(sample)
            case .failure(let reason): leaveOut(reason)
            }
        }
        return set
    }
}
