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
    /// What stands before and behind the object in a question; nil where the template names none.
    private let template: (before: [UInt8], after: [UInt8])?
    private let plainTemplate: String
    /// The state after the pictures were drawn: each strategy starts there, whichever others are asked for.
    private let random: MT19937
    private let presence: ObjectPresence

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
        self.random = random
        plainTemplate = template
        let text = Array(template.utf8)
        let hole = text.indices.dropLast().first { text[$0...($0 + 1)].elementsEqual("{}".utf8) }
        self.template = hole.map { (Array(text[..<$0]), Array(text[($0 + 2)...])) }
        presence = try ObjectPresence(scenes.map(\.objects))
    }

    /// How often each object occurs in the drawn pictures, as upstream's `*_ground_truth_objects.json`.
    package var groundTruth: JSON {
        .object(presence.names.enumerated().map { .init($1, JSON(presence.frequency[$0])) })
    }

    /// What accompanies each object, most frequent first, as upstream's `*_co_occur.json`.
    package var coOccurrence: JSON {
        let names = presence.names.map { JSON.string($0) }
        var counter = ObjectPresence.Counter(presence)
        return .object(
            presence.names.enumerated().map { .init($1, .array(counter.companions(of: $0).map { names[$0] })) })
    }

    /// Alternating yes and no, `2 * perScene` for each picture, ids from 1.
    package func questions(_ strategy: Strategy) throws(HadpoError) -> [PopeQuestion] {
        var random = random
        var questions: [PopeQuestion] = []
        func ask(_ object: Int, _ scene: Scene, _ isYes: Bool) {
            questions.append(
                PopeQuestion(
                    id: questions.count + 1, image: scene.image, text: question(presence.names[object]), isYes: isYes))
        }
        let popular = presence.byFrequency
        var counter = ObjectPresence.Counter(presence)
        var companions: [Int: [Int]] = [:]
        var isExcluded = [Bool](repeating: false, count: presence.names.count)
        for (scene, objects) in zip(scenes, presence.scenes) {
            var excluded: [Int] = []
            func exclude(_ object: Int) {
                if !isExcluded[object] { excluded.append(object) }
                isExcluded[object] = true
            }
            objects.forEach(exclude)
            // What is excluded stays so for this picture: the search goes on where it ended.
            var popularPlace = 0
            for object in objects.prefix(perScene) {
                ask(object, scene, true)
                var absent: Int?
                switch strategy {
                case .random: break
                case .popular:
                    while popularPlace < popular.count, isExcluded[popular[popularPlace]] { popularPlace += 1 }
                    if popularPlace < popular.count { absent = popular[popularPlace] }
                case .adversarial:
                    let beside = companions[object] ?? counter.companions(of: object)
                    companions[object] = beside
                    absent = beside.first { !isExcluded[$0] }
                }
                let chosen: Int
                if let absent {
                    chosen = absent
                } else {
                    chosen = try anyAbsent(isExcluded, excluded.count, scene, &random)
                }
                exclude(chosen)
                ask(chosen, scene, false)
            }
            for object in excluded { isExcluded[object] = false }
        }
        return questions
    }

    /// Uniform over all objects, drawn again until one is absent, as upstream draws; an error where upstream would draw forever.
    private func anyAbsent(
        _ isExcluded: [Bool], _ excludedCount: Int, _ scene: Scene, _ random: inout MT19937
    ) throws(HadpoError) -> Int {
        guard excludedCount < isExcluded.count else {
            throw HadpoError(
                .argument, "no absent object is left to ask for", at: scene.image, found: "\(isExcluded.count) objects in all",
                expected: "more than a picture's own and \(perScene)")
        }
        while true {
            let object = random.below(isExcluded.count)
            if !isExcluded[object] { return object }
        }
    }

    /// Upstream replaces every "a" of the template before a vowel ("in the imange"); its published files were mended by hand.
    private func question(_ object: String) -> String {
        guard let template else { return plainTemplate }
        var before = template.before
        if startsWithVowelSound(object), before.count == 2 || before.dropLast(2).last == UInt8(ascii: " "),
            before.suffix(2).elementsEqual("a ".utf8)
        {
            before.insert(UInt8(ascii: "n"), at: before.count - 1)
        }
        return String(decoding: before + Array(object.utf8) + template.after, as: UTF8.self)
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
