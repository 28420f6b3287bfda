import HadpoBase
import HadpoEval
import HadpoVision
import HadpoWorld
import Testing
import HadpoTestSupport

private let parameters = WorldFiles.Parameters(seed: 5, preferencePictures: 12, evaluationPictures: 40)

/// A small world on disk for one test.
private func withWorld(_ body: (WorldFiles.Layout) throws -> Void) throws {
    try withTemporaryFolder { folder in
        try WorldFiles.write(to: folder, parameters)
        try body(WorldFiles.Layout(folder))
    }
}

@Test("the picture files decode to the drawn scenes, under both of an evaluation picture's names")
func pictureFiles() throws {
    try withWorld { layout in
        let rasterizer = SceneRasterizer()
        let entries = WorldFiles.preference(parameters) + WorldFiles.evaluation(parameters)
        for entry in entries {
            let drawn = try rasterizer.draw(entry.scene)
            let file = File.join(layout.visualGenome, entry.visualGenomeName)
            let bytes = try File.read(file)
            let decoded = try RGBImage.decode(bytes)
            #expect(decoded == drawn)
            if let name = entry.cocoName {
                let coco = try File.read(File.join(layout.cocoPictures, name))
                #expect(coco == bytes)
                #expect(name.utf8.count == "COCO_val2014_000000310196.png".utf8.count)
            }
        }
        let first = try File.list(File.join(layout.visualGenome, "VG_100K"))
        let second = try File.list(File.join(layout.visualGenome, "VG_100K_2"))
        #expect(first.count == 12 && second.count == 40)
    }
}

@Test("Visual Genome's files name every picture once and put every object's phrase in a box inside the picture")
func visualGenomeFiles() throws {
    try withWorld { layout in
        let entries = WorldFiles.preference(parameters) + WorldFiles.evaluation(parameters)
        let images = try #require(File.readJSON(layout.imageData).arrayValue)
        #expect(images.compactMap { $0["image_id"]?.intValue } == entries.map(\.imageID))
        for (image, entry) in zip(images, entries) {
            let url = try #require(image["url"]?.stringValue)
            #expect(url.split(separator: "/").suffix(2).joined(separator: "/") == entry.visualGenomeName)
            #expect(image["width"] == 64 && image["height"] == 64)
        }
        let regions = try #require(File.readJSON(layout.regionDescriptions).arrayValue)
        #expect(regions.count == entries.count)
        var ids: Set<Int> = []
        for (one, entry) in zip(regions, entries) {
            let list = try #require(one["regions"]?.arrayValue)
            #expect(list.count == entry.scene.objects.count * 2 + 1)
            for region in list {
                #expect(region["image_id"]?.intValue == entry.imageID)
                let (x, y) = (try #require(region["x"]?.intValue), try #require(region["y"]?.intValue))
                let (w, h) = (try #require(region["width"]?.intValue), try #require(region["height"]?.intValue))
                #expect(x >= 0 && y >= 0 && w > 0 && h > 0 && x + w <= 64 && y + h <= 64)
                ids.insert(try #require(region["region_id"]?.intValue))
            }
            let phrases = list.compactMap { $0["phrase"]?.stringValue }.joined(separator: ". ")
            let score = DescriptionScore(phrases, of: entry.scene)
            #expect(score.coverage == 1 && score.attributeAccuracy == 1 && score.sentencesNamingAbsent == 0)
        }
        #expect(ids.count == regions.reduce(0) { $0 + ($1["regions"]?.arrayValue?.count ?? 0) })
    }
}

@Test("the annotations list every picture with its objects as they are")
func annotationFile() throws {
    try withWorld { layout in
        let file = try File.readJSON(layout.annotations)
        #expect(file["schema"] == "hadpo.annotations/1")
        let images = try #require(file["images"]?.arrayValue)
        let entries = WorldFiles.preference(parameters) + WorldFiles.evaluation(parameters)
        #expect(images.count == entries.count)
        for (image, entry) in zip(images, entries) {
            #expect(image["split"] == (entry.cocoID == nil ? "preference" : "evaluation"))
            let path = try #require(image["file"]?.stringValue)
            #expect(File.isFile(File.join(layout.root, path)))
            let objects = try #require(image["objects"]?.arrayValue)
            #expect(objects.count == entry.scene.objects.count)
            for (written, object) in zip(objects, entry.scene.objects) {
                #expect(written["category"]?.stringValue == object.category.rawValue)
                #expect(written["color"]?.stringValue == object.color.rawValue)
                #expect(written["side"]?.stringValue == object.place.rawValue)
                #expect(written["size"]?.stringValue == object.size.rawValue)
                #expect(written["box"]?.arrayValue?.count == 4)
            }
        }
    }
}

@Test("SHR's files name the evaluation pictures, each with its facts")
func shrFiles() throws {
    try withWorld { layout in
        let evaluation = WorldFiles.evaluation(parameters)
        let images = try #require(File.readJSON(File.join(layout.shr, "val_images_final.json")).arrayValue)
        #expect(images.compactMap { $0["image_id"]?.intValue } == evaluation.map(\.imageID))
        var facts: [String] = []
        for part in 1...2 {
            let text = String(decoding: try File.read(File.join(layout.shr, "shr_factual_part\(part).jsonl")), as: UTF8.self)
            for line in text.split(separator: "\n") {
                let object = try #require(JSON.parse(String(line), source: "facts").objectValue)
                facts.append(try #require(object.first?.key))
                #expect((object.first?.value.arrayValue?.count ?? 0) >= 4)
            }
        }
        #expect(facts == evaluation.map { String($0.imageID) })
    }
}

@Test("POPE's files have six alternating questions a picture, the same positives in all three, and true labels")
func popeFiles() throws {
    try withWorld { layout in
        let scenes = Dictionary(WorldFiles.evaluation(parameters).map { ($0.cocoName ?? "", $0.scene) }) { first, _ in first }
        var positives: [[String]] = []
        for strategy in PopeBuilder.Strategy.allCases {
            let text = String(decoding: try File.read(layout.pope(strategy)), as: UTF8.self)
            let lines = try text.split(separator: "\n").map { try JSON.parse(String($0), source: "pope") }
            #expect(lines.count == 6 * 40)
            #expect(lines.compactMap { $0["question_id"]?.intValue } == Array(1...240))
            #expect(
                lines.map { $0.objectValue?.map(\.key) ?? [] }.allSatisfy { $0 == ["question_id", "image", "text", "label"] })
            #expect(lines.enumerated().allSatisfy { $0.element["label"] == ($0.offset.isMultiple(of: 2) ? "yes" : "no") })
            for (index, line) in lines.enumerated() {
                let image = try #require(line["image"]?.stringValue)
                #expect(image == lines[index / 6 * 6]["image"]?.stringValue)
                let scene = try #require(scenes[image])
                let question = try #require(line["text"]?.stringValue)
                let category = try #require(Category.allCases.first { WorldLanguage.question($0) == question })
                #expect(line["label"] == (scene.contains(category) ? "yes" : "no"))
            }
            for start in stride(from: 0, to: 240, by: 6) {
                #expect(Set(lines[start..<start + 6].compactMap { $0["text"]?.stringValue }).count == 6)
            }
            positives.append(lines.filter { $0["label"] == "yes" }.compactMap { $0["text"]?.stringValue })
        }
        #expect(positives[0] == positives[1] && positives[1] == positives[2])
    }
}

@Test("adversarial questions of the real evaluation set fall on partners and mates, random ones on anything")
func popeDifficulty() throws {
    let parameters = WorldFiles.Parameters(seed: 0)
    let scenes = Dictionary(WorldFiles.evaluation(parameters).map { ($0.cocoName ?? "", $0.scene) }) { first, _ in first }
    let pope = try WorldFiles.pope(parameters)
    /// How often the careless annotator would affirm what is absent.
    func affirmed(_ strategy: PopeBuilder.Strategy) throws -> Double {
        let absent = try pope.questions(strategy).filter { !$0.isYes }
        #expect(absent.count == 600)
        return try absent.reduce(0.0) { sum, question in
            let category = try #require(Category.allCases.first { WorldLanguage.question($0) == question.text })
            return try sum + Annotator.relation(of: category, to: #require(scenes[question.image])).yes / 600
        }
    }
    let (adversarial, random) = try (affirmed(.adversarial), affirmed(.random))
    #expect(adversarial > 0.5, "\(adversarial)")
    #expect(random < 0.3, "\(random)")
}

@Test("the same seed writes the same files, another seed others")
func deterministicFiles() throws {
    try withWorld { one in
        try withWorld { two in
            let paths = [
                "annotations.json", "VG/region_descriptions.json", "POPE/output/coco/coco_pope_random.json", "VG/VG_100K/7.png",
            ]
            for path in paths {
                let bytes = try File.read(File.join(one.root, path))
                let again = try File.read(File.join(two.root, path))
                #expect(bytes == again, "\(path)")
            }
        }
    }
    #expect(
        WorldFiles.evaluation(parameters) != WorldFiles.evaluation(WorldFiles.Parameters(seed: 6, evaluationPictures: 40)))
}

@Test("a world of impossible size is an error, not a crash")
func impossibleWorlds() {
    for (preference, evaluation, size) in [(-1, 3, 64), (3, 0, 64), (Int.max, 3, 64), (1, 1, 0), (1, 1, 100_000)] {
        var parameters = WorldFiles.Parameters(preferencePictures: preference, evaluationPictures: evaluation)
        parameters.pictureSize = size
        #expect(throws: HadpoError.self) { try WorldFiles.write(to: "/nonexistent/world", parameters) }
    }
}

@Test("the checkpoint's files describe one model: ids of image and pad, rows, picture size")
func checkpointFiles() throws {
    try withTemporaryFolder { folder in
        let checkpoint = WorldCheckpoint()
        try checkpoint.write(to: folder)
        let config = try File.readJSON(File.join(folder, "config.json"))
        #expect(config["image_token_index"]?.intValue == checkpoint.imageTokenID)
        #expect(config["text_config"]?["vocab_size"]?.intValue == checkpoint.embeddingRows)
        #expect(config["vision_config"]?["image_size"] == 64 && config["image_seq_length"] == 16)
        let added = try File.readJSON(File.join(folder, "added_tokens.json"))
        #expect(added["<image>"]?.intValue == checkpoint.imageTokenID && added["<pad>"]?.intValue == checkpoint.padTokenID)
        let tokenizer = try File.readJSON(File.join(folder, "tokenizer.json"))
        #expect(tokenizer["model"]?["vocab"]?.objectValue?.count == checkpoint.tokenizer.pieces.count)
        let names = try File.list(folder)
        #expect(names.count == 9)
    }
}

@Test("preference files have the shapes of HA-DPO's LLaVA data")
func preferenceFiles() throws {
    let descriptions = PreferenceFiles.descriptions([
        .init(imageID: 7, chosen: "a.", rejected: "b."), .init(imageID: 3, chosen: "c.", rejected: "d."),
        .init(imageID: 7, chosen: "e.", rejected: "f."),
    ])
    #expect(
        descriptions == [
            "7": ["chosen": ["a.", "e."], "rejected": ["b.", "f."]], "3": ["chosen": ["c."], "rejected": ["d."]],
        ])
    let question = WorldQuestion(category: .umbrella, present: false)
    let questions = PreferenceFiles.questions([
        .init(imageID: 7, question: question, modelAnswer: "Yes, there is an umbrella in the image."),
        .init(imageID: 7, question: question, modelAnswer: "No."),
    ])
    #expect(
        questions[0] == [
            "image_id": "7", "question": "Is there an umbrella in the image?", "chosen": "No, there is no umbrella in the image.",
            "reject": "Yes, there is an umbrella in the image.", "answer": "no", "correct": false,
        ])
    #expect(questions[1]?["correct"] == true)
}

@Test("the table of synonyms finds every object of the world in its sentences")
func synonymsFindEveryObject() throws {
    try withWorld { layout in
        let words = try ObjectWords(synonyms: layout.synonyms)
        for category in Category.allCases {
            #expect(words.mentions("There is a red \(category.rawValue) on the left .").map(\.node) == [category.rawValue])
        }
    }
}
