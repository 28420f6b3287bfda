import HadpoBase
import HadpoModels
import HadpoTensor
import HadpoTrain
import HadpoWorld
import Testing
import HadpoTestSupport

private let quiet = SilentProgress()

private func make(_ folder: String, evaluation: Int, training: Int) throws -> JSON {
    let json: JSON = [
        "schema": "hadpo.world/1", "output": .string(folder), "seed": 3, "evaluation_images": JSON(evaluation),
        "training_images": JSON(training),
    ]
    return try WorldMake.run(ConfigReader.read(json, schema: "hadpo.world/1", WorldConfig.init).config, progress: quiet)
}

private func open(_ folder: String) throws -> LLaVA15 {
    let files = try LLaVAFolder(ModelFiles(path: folder), arena: Arena(), progress: quiet)
    return try files.openLLaVA(device: Device(), processor: .checkpoint, progress: quiet)
}

private func figure(_ report: JSON?, _ key: String) throws -> Double { try #require(report?[key]?.doubleValue) }

/// The limits are what makes the world worth showing: a base that sees, and hallucinates along co-occurrence. Over nine seeds of 200
/// pictures it stays well inside them but for its inventions, which lie close to the upper limit (30.9 to 32.2 %, mean 31.6).
@Test("the committed base sees what is there and invents what belongs to it")
func committedBase() throws {
    try withTemporaryFolder { folder in
        try WorldMake.writeModel(to: folder)
        let report = try WorldEvaluation.run(open(folder), seed: 77, images: 200, progress: quiet)
        #expect(try figure(report["random"], "accuracy") >= 0.88)
        #expect(try (0.65...0.80).contains(figure(report["adversarial"], "accuracy")))
        #expect(try (0.65...0.80).contains(figure(report["adversarial"], "yes_ratio")))
        #expect(try figure(report["adversarial"], "recall") >= 0.94)
        #expect(try figure(report["adversarial"], "unparsed") == 0)
        #expect(try (0.25...0.32).contains(figure(report["descriptions"], "hallucinated_sentences_ratio")))
        #expect(try figure(report["descriptions"], "coverage") >= 0.90)
    }
}

@Test("a world comes with a model that opens, and its mistakes become pairs that the trainer reads")
func worldPairs() throws {
    try withTemporaryFolder { folder in
        let world = File.join(folder, "world")
        let made = try make(world, evaluation: 10, training: 30)
        #expect(made["model"]?.stringValue == File.join(world, "model"))
        let model = try open(File.join(world, "model"))

        let pairs = File.join(folder, "pairs")
        let json: JSON = ["schema": "hadpo.world-pairs/1", "world": .string(world), "output": .string(pairs)]
        let config = try ConfigReader.read(json, schema: "hadpo.world-pairs/1", WorldPairsConfig.init).config
        let report = try WorldPairs.run(model, config, progress: quiet)
        #expect(report["images"]?.intValue == 30)
        let described = try File.readJSON(File.join(pairs, "desc_data.json")).objectValue ?? []
        #expect(described.count == report["description_pairs"]?.intValue)
        #expect(described.count >= 20)

        // Chosen descriptions name nothing that is absent, rejected ones do.
        let pictures = try WorldAnnotations(world: world).preference
        for member in described {
            let scene = try #require(pictures.first { String($0.imageID) == member.key }?.scene)
            let chosen = try #require(member.value["chosen"]?[0]?.stringValue)
            let rejected = try #require(member.value["rejected"]?[0]?.stringValue)
            #expect(!ParsedDescription(chosen).sentences.contains { $0.namesAbsent(from: scene) })
            #expect(ParsedDescription(rejected).sentences.contains { $0.namesAbsent(from: scene) })
        }

        let answered = try File.readJSON(File.join(pairs, "pope_data.json")).arrayValue ?? []
        #expect(answered.count == report["questions"]?.intValue)
        #expect(answered.count { $0["correct"]?.boolValue == false } == report["question_pairs"]?.intValue)

        let train: JSON = [
            "schema": "hadpo.train/1",
            "data": [
                "desc": .string(File.join(pairs, "desc_data.json")), "pope": .string(File.join(pairs, "pope_data.json")),
                "image_data": .string(File.join(world, "VG/image_data.json")), "images": .string(File.join(world, "VG")),
            ],
        ]
        let training = try ConfigReader.read(train, schema: "hadpo.train/1", TrainConfig.init).config
        let data = try TrainingData(model, training, progress: quiet)
        #expect(data.problems.isEmpty)
        // Upstream's reader takes the descriptions twice.
        #expect(data.samples.samples.count == 2 * described.count + (report["question_pairs"]?.intValue ?? -1))
    }
}

@Test("a world's annotations are read back, and one that names no known thing is refused")
func annotations() throws {
    try withTemporaryFolder { folder in
        _ = try make(folder, evaluation: 4, training: 3)
        let read = try WorldAnnotations(world: folder)
        let drawn = WorldFiles.preference(WorldFiles.Parameters(seed: 3, preferencePictures: 3, evaluationPictures: 4))
        #expect(read.preference.count == 3 && read.evaluation.count == 4)
        for (picture, entry) in zip(read.preference, drawn) {
            #expect(picture.imageID == entry.imageID && File.isFile(picture.path))
            #expect(picture.scene.objects.map(\.statement) == entry.scene.objects.map(\.statement))
            #expect(picture.scene.sizeStatements == entry.scene.sizeStatements)
            #expect(picture.scene.backgroundStatement == entry.scene.backgroundStatement)
        }
        let path = WorldFiles.Layout(folder).annotations
        let text = String(decoding: try File.read(path), as: UTF8.self)
        let category = try #require(drawn.first?.scene.objects.first?.category.rawValue)
        let parts = text.split(separator: "\"category\": \"\(category)\"", maxSplits: 1)
        let compact = text.split(separator: "\"category\":\"\(category)\"", maxSplits: 1)
        let found = parts.count == 2 ? parts : compact
        try #require(found.count == 2)
        try File.writeAtomically(path, found[0] + "\"category\": \"unicorn\"" + found[1])
        let error = #expect(throws: HadpoError.self) { try WorldAnnotations(world: folder) }
        #expect(error?.found == "\"unicorn\"")
    }
}
