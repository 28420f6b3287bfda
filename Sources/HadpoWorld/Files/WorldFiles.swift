import HadpoBase
import HadpoEval

/// The world as files, in the folders and formats that HA-DPO's instructions ask for: Visual Genome, COCO's pictures with POPE's
/// questions, and SHR. Half of Visual Genome is COCO, so the evaluation pictures are in both, linked by `coco_id`.
///
///     VG/image_data.json, VG/region_descriptions.json
///     VG/VG_100K/1.png ...                           pictures for preference pairs
///     VG/VG_100K_2/2000001.png ...                   pictures for evaluation
///     coco2014/val2014/COCO_val2014_000000000001.png the same evaluation pictures
///     POPE/output/coco/coco_pope_{random,popular,adversarial}.json
///     POPE/segmentation/coco_ground_truth_segmentation.json, the input of POPE's builder, and what it counted beside its output
///     shr/val_images_final.json, shr/shr_factual_part{1,2}.jsonl
///     synonyms.txt                                   the objects' names, as CHAIR's table and SHR's judge without a model take them
///     annotations.json                               every picture's objects: category, colour, side, size, box
package enum WorldFiles {
    package struct Parameters: Sendable, Equatable {
        package var seed: UInt64 = 0
        package var preferencePictures = 300
        package var evaluationPictures = 200
        /// Width and height of the pictures; the tiny models see 64.
        package var pictureSize = 64
        package init(seed: UInt64 = 0, preferencePictures: Int = 300, evaluationPictures: Int = 200) {
            self.seed = seed
            self.preferencePictures = preferencePictures
            self.evaluationPictures = evaluationPictures
        }
    }

    /// Where things are below the world's folder.
    package struct Layout: Sendable, Equatable {
        package let root: String
        package init(_ root: String) { self.root = root }

        package var visualGenome: String { File.join(root, "VG") }
        package var imageData: String { File.join(visualGenome, "image_data.json") }
        package var regionDescriptions: String { File.join(visualGenome, "region_descriptions.json") }
        package var cocoPictures: String { File.join(root, "coco2014/val2014") }
        package var shr: String { File.join(root, "shr") }
        package var synonyms: String { File.join(root, "synonyms.txt") }
        package var annotations: String { File.join(root, "annotations.json") }
        package var popeObjects: String { File.join(root, "POPE/segmentation/coco_ground_truth_segmentation.json") }
        package var popeOutput: String { File.join(root, "POPE/output/coco") }
        package func pope(_ strategy: PopeBuilder.Strategy) -> String {
            File.join(popeOutput, "coco_pope_\(strategy.rawValue).json")
        }
    }

    /// One picture of the world and its names.
    package struct Entry: Sendable, Equatable {
        package var scene: Scene
        /// Visual Genome's image_id.
        package var imageID: Int
        /// COCO's number, for evaluation pictures.
        package var cocoID: Int?

        /// Last two parts of Visual Genome's url, which every reader joins to its folder.
        package var visualGenomeName: String { "\(cocoID == nil ? "VG_100K" : "VG_100K_2")/\(imageID).png" }
        package var cocoName: String? {
            cocoID.map { id in
                let digits = String(id)
                return "COCO_val2014_" + String(repeating: "0", count: max(0, 12 - digits.count)) + digits + ".png"
            }
        }
    }

    static let firstEvaluationID = 2_000_001

    package static func preference(_ parameters: Parameters) -> [Entry] {
        let generator = SceneGenerator(seed: parameters.seed, split: .preference)
        return (0..<max(0, parameters.preferencePictures)).map { Entry(scene: generator.scene($0), imageID: $0 + 1) }
    }

    package static func evaluation(_ parameters: Parameters) -> [Entry] {
        let generator = SceneGenerator(seed: parameters.seed, split: .evaluation, parameters: .evaluation)
        return (0..<max(0, parameters.evaluationPictures)).map {
            Entry(scene: generator.scene($0), imageID: firstEvaluationID + $0, cocoID: $0 + 1)
        }
    }

    /// POPE's questions about all evaluation pictures.
    package static func pope(_ parameters: Parameters) throws(HadpoError) -> PopeBuilder {
        let scenes = evaluation(parameters).map { entry in
            PopeBuilder.Scene(image: entry.cocoName ?? "", objects: entry.scene.objects.map(\.category.rawValue))
        }
        return try PopeBuilder(scenes: scenes, imageCount: scenes.count, seed: Int(truncatingIfNeeded: parameters.seed >> 1))
    }

    package static func write(
        to folder: String, _ parameters: Parameters = Parameters(), progress: any Progress = SilentProgress()
    ) throws(HadpoError) {
        guard parameters.preferencePictures >= 0, parameters.evaluationPictures > 0,
            parameters.preferencePictures < firstEvaluationID, parameters.evaluationPictures < firstEvaluationID,
            (1...4096).contains(parameters.pictureSize)
        else {
            throw HadpoError(
                .argument, "such a world cannot be written",
                found:
                    "\(parameters.preferencePictures) + \(parameters.evaluationPictures) pictures of \(parameters.pictureSize)",
                expected: "up to \(firstEvaluationID - 1) pictures of a kind, at least one for evaluation, of 1 to 4096 pixels")
        }
        let layout = Layout(folder)
        let (preference, evaluation) = (preference(parameters), evaluation(parameters))
        let entries = preference + evaluation
        try requireSame(layout, parameters, pictures: entries.count)
        try File.makeDirectories(File.join(layout.visualGenome, "VG_100K"))
        try File.makeDirectories(File.join(layout.visualGenome, "VG_100K_2"))
        try File.makeDirectories(layout.cocoPictures)
        try File.makeDirectories(layout.shr)
        try File.makeDirectories(File.folder(of: layout.popeObjects))
        try File.makeDirectories(layout.popeOutput)

        let rasterizer = SceneRasterizer()
        for entry in entries {
            try progress.tick()
            let png = try rasterizer.draw(entry.scene, size: parameters.pictureSize).png()
            defer { withExtendedLifetime(png) {} }  // its bytes are borrowed below
            try File.writeAtomically(File.join(layout.visualGenome, entry.visualGenomeName), png.rawBytes)
            if let name = entry.cocoName { try File.writeAtomically(File.join(layout.cocoPictures, name), png.rawBytes) }
        }

        let size = parameters.pictureSize
        try write(.array(entries.map { imageData($0, size) }), to: layout.imageData)
        try write(.array(entries.map { regions($0, rasterizer, size) }), to: layout.regionDescriptions)
        try write(
            [
                "schema": "hadpo.annotations/1", "seed": .string(String(parameters.seed)),
                "images": .array(entries.map { annotation($0, rasterizer, size) }),
            ], to: layout.annotations)

        try File.writeAtomically(layout.synonyms, Category.allCases.map(synonyms).joined())

        try writeLines(
            evaluation.map { entry in
                ["image": JSON(entry.cocoName), "objects": JSON(entry.scene.objects.map(\.category.rawValue))]
            }, to: layout.popeObjects)
        let pope = try pope(parameters)
        for strategy in PopeBuilder.Strategy.allCases {
            try writeLines(pope.questions(strategy).map(\.record), to: layout.pope(strategy))
        }
        try write(pope.groundTruth, to: File.join(layout.popeOutput, "coco_ground_truth_objects.json"))
        try write(pope.coOccurrence, to: File.join(layout.popeOutput, "coco_co_occur.json"))

        try write(.array(evaluation.map { ["image_id": JSON($0.imageID)] }), to: File.join(layout.shr, "val_images_final.json"))
        let facts = evaluation.map(factual)
        try writeLines(Array(facts.prefix(facts.count / 2)), to: File.join(layout.shr, "shr_factual_part1.jsonl"))
        try writeLines(Array(facts.dropFirst(facts.count / 2)), to: File.join(layout.shr, "shr_factual_part2.jsonl"))
    }

    /// A world may be written again, as that changes nothing; of two in a folder, pictures of one would be left among the other's.
    private static func requireSame(_ layout: Layout, _ parameters: Parameters, pictures: Int) throws(HadpoError) {
        guard File.exists(layout.annotations) else { return }
        let found = try? File.readJSON(layout.annotations)
        guard found?["schema"] == "hadpo.annotations/1", found?["seed"] == .string(String(parameters.seed)),
            found?["images"]?.arrayValue?.count == pictures
        else {
            throw HadpoError(
                .io, "another world, or what is no world, is in the folder", at: layout.annotations,
                found: "seed \(found?["seed"]?.shortText() ?? "unknown"), \(found?["images"]?.arrayValue?.count ?? 0) pictures",
                expected: "a folder of its own, or the same seed and pictures")
        }
    }

    /// A line of the table. CHAIR looks words up in what it takes for their singular, which makes a bus a "bu".
    private static func synonyms(_ category: Category) -> String {
        let name = category.rawValue
        return ([name] + ObjectWords(words: []).tokens(name).filter { $0 != name }).joined(separator: ", ") + "\n"
    }

    private static func write(_ json: JSON, to path: String) throws(HadpoError) {
        try File.writeAtomically(path, json.text(ascii: true) + "\n")
    }

    private static func writeLines(_ lines: [JSON], to path: String) throws(HadpoError) {
        try File.writeAtomically(path, lines.map { $0.text(ascii: true) + "\n" }.joined())
    }

    private static func imageData(_ entry: Entry, _ size: Int) -> JSON {
        [
            "width": JSON(size), "url": .string("https://world.invalid/images/" + entry.visualGenomeName), "height": JSON(size),
            "image_id": JSON(entry.imageID), "coco_id": JSON(entry.cocoID), "flickr_id": nil,
        ]
    }

    /// The whole pixels that a box touches: left, top, width, height.
    private static func pixels(_ object: SceneObject, _ rasterizer: SceneRasterizer, _ size: Int) -> [Int] {
        let box = rasterizer.box(of: object)
        let scale = Double(size) / Scene.extent
        func clamped(_ value: Double) -> Int { Int(exactly: min(max(value, 0), Double(size)).rounded(.down)) ?? 0 }
        let (left, top) = (clamped((box.x * scale).rounded(.down)), clamped((box.y * scale).rounded(.down)))
        let right = clamped(((box.x + box.width) * scale).rounded(.up))
        let bottom = clamped(((box.y + box.height) * scale).rounded(.up))
        return [left, top, right - left, bottom - top]
    }

    /// Visual Genome's regions: one phrase for what an object is, one for its size, and the background over all.
    private static func regions(_ entry: Entry, _ rasterizer: SceneRasterizer, _ size: Int) -> JSON {
        var phrases: [(String, [Int])] = []
        for object in entry.scene.objects {
            let box = pixels(object, rasterizer, size)
            phrases.append(
                ("\(object.color.rawValue) \(object.category.rawValue) \(WorldLanguage.phrase(object.place))", box))
            phrases.append(("the \(object.category.rawValue) is \(object.size.rawValue)", box))
        }
        phrases.append(("the background is \(entry.scene.background.rawValue)", [0, 0, size, size]))
        let regions = phrases.enumerated().map { number, region -> JSON in
            [
                "region_id": JSON(entry.imageID * 100 + number), "width": JSON(region.1[2]), "height": JSON(region.1[3]),
                "image_id": JSON(entry.imageID), "phrase": .string(region.0), "y": JSON(region.1[1]), "x": JSON(region.1[0]),
            ]
        }
        return ["regions": .array(regions), "id": JSON(entry.imageID)]
    }

    private static func annotation(_ entry: Entry, _ rasterizer: SceneRasterizer, _ size: Int) -> JSON {
        let objects = entry.scene.objects.map { object -> JSON in
            [
                "category": .string(object.category.rawValue), "color": .string(object.color.rawValue),
                "side": .string(object.place.rawValue), "size": .string(object.size.rawValue),
                "box": JSON(pixels(object, rasterizer, size)),
            ]
        }
        return [
            "image_id": JSON(entry.imageID), "split": entry.cocoID == nil ? "preference" : "evaluation",
            "file": .string("VG/" + entry.visualGenomeName), "coco_file": JSON(entry.cocoName),
            "theme": .string(entry.scene.theme.rawValue), "background": .string(entry.scene.background.rawValue),
            "objects": .array(objects),
        ]
    }

    /// SHR's human notes on a picture: what is there, in whole sentences.
    private static func factual(_ entry: Entry) -> JSON {
        let statements = entry.scene.objects.map(\.statement) + [entry.scene.backgroundStatement]
        return .object([JSON.Member(String(entry.imageID), JSON(statements.map(\.sentence)))])
    }
}
