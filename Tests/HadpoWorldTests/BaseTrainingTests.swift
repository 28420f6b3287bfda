import HadpoBase
import HadpoModels
import HadpoTensor
import HadpoText
import HadpoVision
import HadpoWorld
import Testing
import HadpoTestSupport

private let quiet = SilentProgress()

private func config(_ members: JSON) throws -> WorldBaseConfig {
    try ConfigReader.read(members, schema: "hadpo.world-base/1", WorldBaseConfig.init).config
}

/// Every stage, but a few steps of two pictures each.
private var short: BaseRecipe {
    var recipe = BaseRecipe.world
    recipe.recognition?.batch = 2
    recipe.recognition?.steps = 2
    for i in recipe.stages.indices {
        recipe.stages[i].batch = 2
        recipe.stages[i].steps = 2
    }
    return recipe
}

@Test("the same seed gives the same new network, another seed another one; norms start as the identity")
func randomParameters() throws {
    let device = try Device(threads: 1)
    func values(_ seed: UInt64) throws -> [[Float]] {
        let source = RandomParameters(device: device, seed: seed)
        _ = try source.matrix("a.weight", [64, 48])
        _ = try source.matrix("b.weight", [64, 48])
        _ = try source.vector("norm.weight", 5)
        _ = try source.vector("norm.bias", 5)
        #expect(source.trainable.map(\.name) == ["a.weight", "b.weight", "norm.weight", "norm.bias"])
        return try source.trainable.map { try $0.value.data.floats() }
    }
    let first = try values(1)
    #expect(try first == values(1))
    #expect(try first[0] != values(2)[0])
    #expect(first[0] != first[1])
    #expect(first[2] == [1, 1, 1, 1, 1] && first[3] == [0, 0, 0, 0, 0])
    // 3072 draws: the sample variance is within 3 standard errors, 3 sqrt(2 / 3072) = 8 %, of 1 / (3 * 48).
    let variance = first[0].reduce(0.0) { $0 + Double($1 * $1) } / Double(first[0].count)
    #expect(abs(variance * 144 - 1) < 0.08)
}

@Test("a patch is labelled with what covers a good part of it and with nothing else")
func patchLabels() {
    let scene = Scene(
        theme: .street, background: .white,
        objects: [SceneObject(category: .car, color: .blue, column: 0, row: 0, x: 0, y: 0, side: 18)])
    let labels = PatchLabels.labels(of: scene, grid: 4)
    let car = Category.allCases.firstIndex(of: .car) ?? -1
    let blue = Category.allCases.count + (ObjectColor.allCases.firstIndex(of: .blue) ?? -1)
    let big = PatchLabels.count - 1
    // The car reaches two units into the neighbouring patches: an eighth of them.
    #expect(labels.indices.filter { labels[$0] } == [car, blue, big])
}

@Test("the gradient of the label loss is the change of its value")
func labelGradient() {
    let logits: [Float] = [0.3, -2, 40, -40, 1.5, 0]
    let labels = [true, false, true, true, false, true]
    let loss = BinaryCrossEntropy(logits: logits, labels: labels, rows: 2)
    for i in logits.indices {
        var (up, down) = (logits, logits)
        up[i] += 1.0 / 64
        down[i] -= 1.0 / 64
        let slope =
            (BinaryCrossEntropy(logits: up, labels: labels, rows: 2).value
                - BinaryCrossEntropy(logits: down, labels: labels, rows: 2).value) * 32
        // Central differences are off by h^2 / 6 times a third derivative below 0.1.
        #expect(abs(Double(loss.gradient[i]) - slope) < 1e-5)
    }
}

@Test("who says the mean of the wanted rows errs by 1, and the gradient of that error is the change of its value")
func imitationGradient() {
    let wanted: [Float] = [1, -2, 3, 0, 2, 5]
    // The columns' means.
    #expect(abs(RelativeSquaredError([2, 1, 2, 1, 2, 1], wanted: wanted, width: 2).value - 1) < 1e-12)
    let rows: [Float] = [0.5, -1, 2, 4, 0, 3]
    let error = RelativeSquaredError(rows, wanted: wanted, width: 2)
    for i in rows.indices {
        var (up, down) = (rows, rows)
        up[i] += 1.0 / 64
        down[i] -= 1.0 / 64
        let slope =
            (RelativeSquaredError(up, wanted: wanted, width: 2).value - RelativeSquaredError(down, wanted: wanted, width: 2).value)
            * 32
        // Central differences of a square are exact; the gradient is rounded to a float.
        #expect(abs(Double(error.gradient[i]) - slope) < 1e-6)
    }
}

@Test("what a base is taught are the very tokens with which it is asked and preference training continues")
func taughtTokens() throws {
    try withTemporaryFolder { folder in
        try WorldCheckpoint().write(to: folder)
        let tokenizer = try TokenizerFile.load(directory: folder)
        var texts = WorldTexts(LLaVAConversation(tokenizer))
        for template in [PromptTemplate.hadpoEval, .hadpoTrain] {
            for question in WorldLanguage.descriptionRequests + Category.allCases.map({ WorldLanguage.question($0) }) {
                let prompt = try texts.prompt(question, template)
                let sentences = [WorldLanguage.answer(.apple, yes: true), Statement.background(.pink).sentence]
                let whole = try prompt.answer(
                    sentences.joined(separator: " "), tokenizer: tokenizer, sample: "test")
                #expect(texts.answer(sentences) == whole)
            }
        }
    }
}

@Test("every picture brings its questions and its description, and only what is answered is taught")
func languageBatch() throws {
    try withTemporaryFolder { folder in
        try WorldCheckpoint().write(to: folder)
        let tokenizer = try TokenizerFile.load(directory: folder)
        let stage = BaseRecipe.world.stages[0]
        let scenes = SceneGenerator(seed: 3, split: .base(stage: 1), parameters: stage.scenes)
        var texts = WorldTexts(LLaVAConversation(tokenizer))
        let batch = try LanguageBatch(
            stage, scenes, 4..<7, texts: &texts, rasterizer: SceneRasterizer(), pipeline: .clip(size: 64, pad: false),
            imageRows: 16)
        #expect(batch.pixels.count == 3 && batch.decisions.count == 3 * stage.questions)
        #expect(batch.weights.count == batch.rows.targetIDs.count)
        for target in batch.decisions {
            #expect(batch.weights[target] == stage.yesNoWeight)
            let word = tokenizer.decode([batch.rows.targetIDs[target]], skipSpecial: true)
            #expect(word == "Yes" || word == "No")
        }
        let end = tokenizer.eosID
        #expect(batch.rows.targetIDs.count { $0 == end } == 3 * (1 + stage.wholeAnswers))
        let description = batch.rows.targetIDs.prefix(while: { $0 != end })
        let parsed = ParsedDescription(tokenizer.decode(description, skipSpecial: true))
        #expect(scenes.scene(4).objects.allSatisfy { object in parsed.sentences.contains { $0.statement == object.statement } })
    }
}

@Test("a base that goes on from a kept stage ends with the same bits as one trained in one go, at any number of threads")
func baseStages() throws {
    try withTemporaryFolder { folder in
        let whole = File.join(folder, "whole")
        let rest = File.join(folder, "rest")
        let report = try BasePretrainer.run(
            config(["schema": "hadpo.world-base/1", "output": .string(whole), "seed": 9, "keep_stages": true]), recipe: short,
            device: Device(threads: 2), progress: quiet)
        #expect(report["stages"]?.arrayValue?.count == 4)
        _ = try BasePretrainer.run(
            config([
                "schema": "hadpo.world-base/1", "output": .string(rest), "seed": 9,
                "start": .string(File.join(whole, "stages/look")), "stages": ["describe", "careless"],
            ]), recipe: short, device: Device(threads: 1), progress: quiet)
        let expected = try File.read(File.join(whole, "model.safetensors"))
        #expect(try File.read(File.join(rest, "model.safetensors")) == expected)
        #expect(try File.read(File.join(whole, "stages/look/model.safetensors")).count > expected.count)

        let files = try LLaVAFolder(ModelFiles(path: whole), arena: Arena(), progress: quiet)
        let model = try files.openLLaVA(device: Device(threads: 1), processor: .checkpoint, progress: quiet)
        #expect(model.imageRows == 16)
    }
}

@Test(
    "an InstructBLIP's queries begin at places of the picture and near what LLaVA's decoder knows, and come nearer in a few steps"
)
func imitation() throws {
    try withTemporaryFolder { folder in
        var recipe = BaseRecipe.world(.instructBLIP)
        recipe.imitation?.batch = 8
        recipe.imitation?.steps = 40
        let report = try BasePretrainer.run(
            config([
                "schema": "hadpo.world-base/1", "family": "instructblip", "output": .string(folder), "stages": ["imitate"],
            ]), recipe: recipe, device: Device(threads: 1), progress: quiet)
        // The mean of the last twenty steps; 1 would be a Q-Former whose rows say nothing of the picture, and so do 800 steps of one
        // that begins from random numbers.
        let loss = try #require(report["stages"]?[0]?["loss"]?.doubleValue)
        #expect(loss < 0.9)
    }
}

/// Stops the work after some ticks, as a host's callback may.
private final class Impatient: Progress {
    private var ticks = 0
    func tick() throws(HadpoError) {
        ticks += 1
        if ticks > 200 { throw HadpoError(.cancelled, "enough") }
    }
    func emit(_ record: JSON) throws(HadpoError) {}
}

@Test("a base's training stops when the host says so and leaves no model behind")
func baseInterruption() throws {
    try withTemporaryFolder { folder in
        let error = #expect(throws: HadpoError.self) {
            try BasePretrainer.run(
                config(["schema": "hadpo.world-base/1", "output": .string(folder)]), device: Device(threads: 1),
                progress: Impatient())
        }
        #expect(error?.status == .cancelled)
        #expect(!File.exists(File.join(folder, "model.safetensors")))
    }
}
