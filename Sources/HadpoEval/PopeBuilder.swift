import HadpoBase

/// Makes POPE question files from annotated pictures (Li et al. 2023, "Evaluating object hallucination in large vision-language
/// models"): for each picture, questions on its first objects, each followed by one on an object that is not there.
package struct PopeBuilder: Sendable {
    /// Which absent object is asked for: any, the most frequent, or the one that most often accompanies the present one.
    package enum Strategy: String, CaseIterable, Sendable { case random, popular, adversarial }

    package struct Scene: Sendable, Equatable {
        package let image: String
        package let objects: [String]
        package init(image: String, objects: [String]) {
            self.image = image
            self.objects = objects
        }
    }

    package let scenes: [Scene]
    private let perScene: Int
    private let template: String
    /// The state after the pictures were drawn: each strategy starts there, whichever others are asked for.
    private let random: MT19937
    /// Objects in the order they were first seen, and by falling frequency.
    private let objects: [String]
    private let frequency: [String: Int]
    private let popular: [String]
    private let companions: [String: [String]]

    /// `{"image": ..., "objects": [...]}` per line.
    package static func readScenes(_ bytes: [UInt8], source: String) throws(HadpoError) -> [Scene] {
        var scenes: [Scene] = []
        for line in try JSONLines.parse(bytes, source: source) {
            let objects = line.value["objects"]?.arrayValue
            let names = objects?.compactMap(\.stringValue)
            guard let image = line.value["image"]?.stringValue, let names, names.count == objects?.count else {
                throw HadpoError(
                    .format, "no annotated picture", at: "\(source):\(line.number)", found: line.value.kind,
                    expected: "'image': a string, 'objects': an array of strings")
            }
            scenes.append(Scene(image: image, objects: names))
        }
        return scenes
    }

    /// Draws `imageCount` of the pictures that hold at least `perScene` objects. `{}` in the template is the object; "a {}"
    /// becomes "an {}" before a vowel.
    package init(
        scenes all: [Scene], imageCount: Int = 500, perScene: Int = 3, seed: Int,
        template: String = "Is there a {} in the image?"
    ) throws(HadpoError) {
        let rich = all.filter { $0.objects.count >= perScene }
        guard perScene > 0, imageCount > 0, rich.count >= imageCount else {
            throw HadpoError(
                .argument, "too few pictures for the questions", found: "\(rich.count) pictures with \(perScene) objects or more",
                expected: "at least \(max(1, imageCount))")
        }
        var random = MT19937(seed: seed)
        let scenes = random.sample(rich.count, imageCount).map { rich[$0] }
        self.scenes = scenes
        self.perScene = perScene
        self.template = template
        self.random = random

        var counted = Tally()
        var beside: [String: Tally] = [:]
        for scene in scenes {
            for object in scene.objects {
                counted.add(object)
                for other in scene.objects where other != object { beside[object, default: Tally()].add(other) }
            }
        }
        objects = counted.order
        frequency = counted.counts
        popular = counted.byFrequency
        companions = beside.mapValues(\.byFrequency)
    }

    /// How often each object occurs in the drawn pictures, as upstream's `*_ground_truth_objects.json`.
    package var groundTruth: JSON { .object(objects.map { .init($0, JSON(frequency[$0] ?? 0)) }) }
    /// What accompanies each object, most frequent first, as upstream's `*_co_occur.json`.
    package var coOccurrence: JSON { .object(objects.map { .init($0, JSON(companions[$0] ?? [])) }) }

    /// Alternating yes and no, `2 * perScene` for each picture, ids from 1.
    package func questions(_ strategy: Strategy) throws(HadpoError) -> [PopeQuestion] {
        var random = random
        var questions: [PopeQuestion] = []
        func ask(_ object: String, _ scene: Scene, _ isYes: Bool) {
            questions.append(
                PopeQuestion(id: questions.count + 1, image: scene.image, text: question(object), isYes: isYes))
        }
        for scene in scenes {
            var excluded = Set(scene.objects)
            for object in scene.objects.prefix(perScene) {
                ask(object, scene, true)
                let preferred =
                    switch strategy {
                    case .random: [String]()
                    case .popular: popular
                    case .adversarial: companions[object] ?? []
                    }
                let absent: String
                if let first = preferred.first(where: { !excluded.contains($0) }) {
                    absent = first
                } else {
                    absent = try anyAbsent(excluded, scene, &random)
                }
                excluded.insert(absent)
                ask(absent, scene, false)
            }
        }
        return questions
    }

    /// Uniform over all objects, drawn again until one is absent, as upstream draws; an error where upstream would draw forever.
    private func anyAbsent(
        _ excluded: Set<String>, _ scene: Scene, _ random: inout MT19937
    ) throws(HadpoError) -> String {
        guard objects.contains(where: { !excluded.contains($0) }) else {
            throw HadpoError(
                .argument, "no absent object is left to ask for", at: scene.image, found: "\(objects.count) objects in all",
                expected: "more than a picture's own and \(perScene)")
        }
        while true {
            let object = objects[random.below(objects.count)]
            if !excluded.contains(object) { return object }
        }
    }

    /// Upstream replaces every "a" of the template before a vowel ("in the imange"); its published files were mended by hand.
    private func question(_ object: String) -> String {
        let vowel = startsWithVowelSound(object)
        let text = Array(template.utf8)
        guard let hole = text.indices.dropLast().first(where: { text[$0...($0 + 1)].elementsEqual("{}".utf8) }) else {
            return template
        }
        var before = Array(text[..<hole])
        if vowel, before.count == 2 || before.dropLast(2).last == UInt8(ascii: " "), before.suffix(2).elementsEqual("a ".utf8) {
            before.insert(UInt8(ascii: "n"), at: hole - 1)
        }
        return String(decoding: before + Array(object.utf8) + text[(hole + 2)...], as: UTF8.self)
    }
}

/// By the first letter as POPE, but for words whose letter and sound differ.
private func startsWithVowelSound(_ object: String) -> Bool {
    let word = object.utf8.prefix { $0 != UInt8(ascii: " ") }.map {
        (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) ? $0 | 0x20 : $0
    }
    let begins: ([String]) -> Bool = { $0.contains { word.starts(with: $0.utf8) } }
    if begins(["hour", "heir", "honest", "honor", "honour"]) { return true }
    if begins(["uni", "use", "uten", "urin", "uku", "eu", "ewe", "one-"]) || word.elementsEqual("one".utf8) {
        return begins(["unin", "unim"])
    }
    return begins(["a", "e", "i", "o", "u"])
}

/// Counts that remember the order of first sight; Python's dicts and stable sort, which decide ties upstream.
private struct Tally {
    private(set) var order: [String] = []
    private(set) var counts: [String: Int] = [:]

    mutating func add(_ name: String) {
        if counts[name] == nil { order.append(name) }
        counts[name, default: 0] += 1
    }

    var byFrequency: [String] {
        order.enumerated().sorted { a, b in
            let (countA, countB) = (counts[a.element] ?? 0, counts[b.element] ?? 0)
            return countA != countB ? countA > countB : a.offset < b.offset
        }.map(\.element)
    }
}
