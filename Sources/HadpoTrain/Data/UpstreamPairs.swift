import HadpoBase

/// HA-DPO's own preference files, keyed by Visual Genome image ids. Container and key names differ between upstream's three
/// models; every spelling is read.
package struct UpstreamPairs: Sendable {
    /// Index sampling makes the order part of the format.
    package static let questionTemplates = [
        "Describe this image in detail.",
        "Take a look at this image and describe what you notice.",
        "Please provide a detailed description of the picture.",
        "Could you describe the contents of this image for me?",
    ]

    private let images: VisualGenomeImages
    private var checks: SampleChecks

    package init(images: VisualGenomeImages) {
        self.images = images
        checks = SampleChecks(pictures: images.folder)
    }

    /// How upstream puts a training set together out of its two files; it differs by model.
    package struct Rule: Sendable {
        /// In the data's order: before the descriptions, or behind them.
        package var questionsFirst = true
        package var questionRepeats = 1
        package var descriptionRepeats = 2
        /// The question of a description is drawn with its texts; otherwise whenever the pair is used.
        package var drawsQuestionsOnce = true
        package var deletesNewlines = false

        /// LLaVA-1.5's.
        package init() {}
    }

    /// Upstream's seed is 42 for LLaVA whatever its command line says, and by default for the others.
    package static func read(
        descriptions: String?, questions: String?, images: VisualGenomeImages, seed: Int = 42, rule: Rule = Rule()
    ) throws(HadpoError) -> SampleSet<PreferencePair> {
        var reader = UpstreamPairs(images: images)
        var asked = SampleSet<PreferencePair>()
        if let questions {
            let once = try reader.questionPairs(questions)
            asked.problems += once.problems
            for _ in 0..<rule.questionRepeats { asked.samples += once.samples }
        }
        var described = SampleSet<PreferencePair>()
        if let descriptions {
            let once = try reader.descriptionPairs(descriptions, seed: seed, rule: rule)
            described.problems += once.problems
            for _ in 0..<rule.descriptionRepeats { described.samples += once.samples }
        }
        var set = rule.questionsFirst ? asked : described
        set.append(rule.questionsFirst ? described : asked)
        return set
    }

    /// `desc_data.json`: an object of image ids (LLaVA) or an array of objects with `image_id` (MiniGPT-4, InstructBLIP), each with
    /// lists `chosen` and `rejected`. One pair per image in file order: draw chosen, then rejected, then, if the rule says so, the question.
    package mutating func descriptionPairs(
        _ path: String, seed: Int = 42, rule: Rule = Rule()
    ) throws(HadpoError) -> SampleSet<PreferencePair> {
        let entries: [(id: JSON?, lists: JSON)]
        switch try File.readJSON(path) {
        case .object(let members): entries = members.map { (.string($0.key), $0.value) }
        case .array(let elements): entries = elements.map { ($0["image_id"], $0) }
        case let other:
            throw HadpoError(
                .format, "no description pairs", at: path, found: other.kind,
                expected: "an object of image ids or an array of objects")
        }
        var random = MT19937(seed: seed)
        var set = SampleSet<PreferencePair>()
        for (index, entry) in entries.enumerated() {
            let source = SampleSource(file: path, index: index)
            let id = entry.id?.stringValue ?? entry.id?.text() ?? "\(index)"
            guard let chosen = texts(entry.lists["chosen"]), let rejected = texts(entry.lists["rejected"]) else {
                set.problems.append(.init(source, id: id, "'chosen' and 'rejected' are not both lists of texts"))
                continue
            }
            // Python's choice from an empty list is an error before a number is drawn.
            guard !chosen.isEmpty, !rejected.isEmpty else {
                set.problems.append(.init(source, id: id, "an empty list of \(chosen.isEmpty ? "chosen" : "rejected") texts"))
                continue
            }
            let chosenText = chosen[random.below(chosen.count)]
            let rejectedText = rejected[random.below(rejected.count)]
            let question = Self.questionTemplates[rule.drawsQuestionsOnce ? random.below(Self.questionTemplates.count) : 0]
            func cleaned(_ text: String) -> String { rule.deletesNewlines ? String(text.filter { $0 != "\n" }) : text }
            add(
                entry.id, id: id, question, cleaned(chosenText), cleaned(rejectedText), kind: .description, source: source,
                to: &set)
        }
        return set
    }

    /// `pope_data.json`: question and answer pairs. Entries the model already answered right (`correct`) are left out; a file
    /// without the key (MiniGPT-4) keeps all.
    package mutating func questionPairs(_ path: String) throws(HadpoError) -> SampleSet<PreferencePair> {
        let json = try File.readJSON(path)
        guard let elements = json.arrayValue else {
            throw HadpoError(.format, "no question pairs", at: path, found: json.kind, expected: "an array of objects")
        }
        var set = SampleSet<PreferencePair>()
        for (index, element) in elements.enumerated() where element["correct"]?.boolValue != true {
            let source = SampleSource(file: path, index: index)
            let id = "\(element["image_id"]?.stringValue ?? element["image_id"]?.text() ?? "?")/\(index)"
            guard let question = element["question"]?.stringValue, let chosen = element["chosen"]?.stringValue,
                let rejected = (element["reject"] ?? element["rejected"])?.stringValue
            else {
                set.problems.append(.init(source, id: id, "'question', 'chosen' and 'reject' are not all texts"))
                continue
            }
            add(element["image_id"], id: id, question, chosen, rejected, kind: .question, source: source, to: &set)
        }
        return set
    }

    private mutating func add(
        _ imageKey: JSON?, id: String, _ question: String, _ chosen: String, _ rejected: String, kind: PreferencePair.Kind,
        source: SampleSource, to set: inout SampleSet<PreferencePair>
    ) {
        guard let number = imageID(imageKey) else {
            set.problems.append(.init(source, id: id, "image id is no integer"))
            return
        }
        guard let name = images[number] else {
            set.problems.append(.init(source, id: id, "image id \(number) is not in Visual Genome's image data"))
            return
        }
        let picture = checks.picture(name)
        guard let path = picture.path else {
            set.problems.append(.init(source, id: id, picture.reason ?? "no picture"))
            return
        }
        let pair = PreferencePair(
            id: id, imagePath: path, prompt: .question(question), chosen: chosen, rejected: rejected, kind: kind, source: source)
        if let reason = SampleChecks.reason(pair) {
            set.problems.append(.init(source, id: id, reason))
        } else {
            set.samples.append(pair)
        }
    }

    private func texts(_ value: JSON?) -> [String]? {
        guard let elements = value?.arrayValue else { return nil }
        let texts = elements.compactMap(\.stringValue)
        return texts.count == elements.count ? texts : nil
    }
}
