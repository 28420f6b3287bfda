import HadpoBase

/// "hadpo.pope-build/1": annotated pictures to make POPE questions from. Thresholds are POPE's.
package struct PopeBuildConfig: Sendable {
    package let annotations: String
    package let format: PopeScenes.Format
    package let output: String
    package let dataset: String
    package let strategies: [PopeBuilder.Strategy]
    package let images: Int
    package let perImage: Int
    package let seed: Int
    package let template: String

    package init(_ r: inout ConfigReader) throws(HadpoError) {
        annotations = try r.string("annotations", help: "COCO instances, POPE's segmentation lines, or {picture: [objects]}")
        format = try r.choice("format", default: PopeScenes.Format.auto, help: "of the annotations")
        output = try r.string("output", help: "folder for the question files")
        dataset = try r.string("dataset", default: "coco", help: "begins the names of the files")
        let names = try r.strings(
            "strategies", default: PopeBuilder.Strategy.allCases.map(\.rawValue),
            help: "how absent objects are chosen: random popular adversarial")
        var strategies: [PopeBuilder.Strategy] = []
        for name in names {
            guard let strategy = PopeBuilder.Strategy(rawValue: name) else {
                throw HadpoError(
                    .config, "unknown name", at: "/strategies", found: "'\(name)'", expected: "random, popular or adversarial")
            }
            if !strategies.contains(strategy) { strategies.append(strategy) }
        }
        self.strategies = strategies
        images = try r.int("images", default: 500, in: 1...10_000_000, help: "pictures to draw")
        perImage = try r.int(
            "per_image", default: 3, in: 1...1000, help: "present objects a picture is asked about; it must have as many")
        seed = try r.int("seed", default: 0, help: "of the drawing; upstream has none")
        template = try r.string("template", default: "Is there a {} in the image?", help: "{} is the object")
        let name = dataset
        try r.check(!name.isEmpty && !name.utf8.contains(UInt8(ascii: "/")), "dataset", "no name for files", found: "'\(name)'")
        try r.check(
            template.split(separator: "{}", omittingEmptySubsequences: false).count == 2, "template",
            "a template holds the object once", found: "'\(template)'", expected: "one {}")
    }
}

/// Writes POPE's question files and the two object files that upstream writes beside them.
package enum PopeBuild {
    package static func run(_ config: PopeBuildConfig) throws(HadpoError) -> JSON {
        let scenes = try PopeScenes.read(config.annotations, format: config.format)
        let builder = try PopeBuilder(
            scenes: scenes, imageCount: config.images, perScene: config.perImage, seed: config.seed, template: config.template)
        // All files are made before the first is written: what cannot be built leaves nothing behind.
        var files: [(name: String, text: String, questions: Int?)] = []
        for strategy in config.strategies {
            let questions = try builder.questions(strategy)
            files.append(
                (
                    "\(config.dataset)_pope_\(strategy.rawValue).json",
                    questions.map { $0.record.text(ascii: true) + "\n" }.joined(), questions.count
                ))
        }
        files.append(("\(config.dataset)_ground_truth_objects.json", builder.groundTruth.text(ascii: true), nil))
        files.append(("\(config.dataset)_co_occur.json", builder.coOccurrence.text(ascii: true), nil))
        try OutputPlace.require(
            files.map { ("/output", File.join(config.output, $0.name)) }, apartFrom: [("/annotations", config.annotations)])
        try File.makeDirectories(config.output)
        var written: [JSON] = []
        for file in files {
            let path = File.join(config.output, file.name)
            try File.writeAtomically(path, file.text)
            written.append(
                [
                    "path": .string(path), "sha256": .string(SHA256.hex(Array(file.text.utf8))),
                    "questions": JSON(file.questions),
                ])
        }
        return [
            "schema": "hadpo.pope-build-report/1", "annotations": .string(config.annotations),
            "annotated_images": JSON(scenes.count),
            "images_with_enough_objects": JSON(scenes.count { $0.objects.count >= config.perImage }),
            "images": JSON(builder.scenes.count), "seed": JSON(config.seed), "files": .array(written),
        ]
    }
}
