import HadpoAutograd
import HadpoBase
import HadpoModels
import HadpoNN
import HadpoTensor
import HadpoTrain
import HadpoWeights

/// Trains the world's base checkpoint from nothing, or from the checkpoint that an earlier stage has left.
package final class BasePretrainer {
    private let base: BaseModel
    private let device: Device
    private let seed: UInt64
    private let progress: any Progress
    private var texts: WorldTexts
    private let rasterizer = SceneRasterizer()

    /// 0.999 would average over more steps than a stage has.
    private static let settings: OptimizerSettings = {
        var settings = OptimizerSettings(learningRate: 0)  // each step names its rate
        settings.beta2 = 0.98
        settings.weightDecay = 0.05
        settings.maxGradNorm = 1
        return settings
    }()
    private static let warmupSteps = 20
    private static let recordEvery = 20

    private init(_ base: BaseModel, seed: UInt64, progress: any Progress) {
        self.base = base
        device = base.model.device
        self.seed = seed
        self.progress = progress
        texts = WorldTexts(base.model.conversation)
    }

    /// Writes a complete model folder and returns what was done.
    package static func run(
        _ config: WorldBaseConfig, recipe: BaseRecipe? = nil, device: Device, progress: any Progress
    ) throws(HadpoError) -> JSON {
        let recipe = (recipe ?? BaseRecipe.world(config.family)).scaled(by: config.scale)
        let layout = config.family.worldLayout
        try layout.write(to: config.output)
        let base = try BaseModel(
            layout, folder: config.output, start: config.start, seed: config.seed, device: device, progress: progress)
        if config.start == nil, config.family != .llava { try BaseStart.takeLanguageModel(base, progress: progress) }
        if let tower = config.tower {
            try BaseStart.takeTower(
                base, from: Checkpoint.open(tower, load: .read, arena: device.arena, progress: progress))
        } else if config.start == nil, recipe.recognition == nil {
            try BaseStart.takeTower(base, from: BaseStart.tower(arena: device.arena))
        }
        let trainer = BasePretrainer(base, seed: config.seed, progress: progress)
        let start = Clock.now()
        var records: [JSON] = []
        // A stage keeps its pictures whichever stages run with it.
        if let recognition = recipe.recognition, config.runs(recognition.name) {
            records.append(try trainer.recognise(recognition, number: 0))
            try trainer.keep(recognition.name, config)
        }
        if let alignment = recipe.alignment, config.runs(alignment.name) {
            records.append(try trainer.align(alignment, number: 8))
            try trainer.keep(alignment.name, config)
        }
        if let imitation = recipe.imitation, config.runs(imitation.name), let model = base.model as? InstructBLIP {
            records.append(try trainer.imitate(imitation, model, number: 9))
            try trainer.keep(imitation.name, config)
        }
        for (number, stage) in recipe.stages.enumerated() where config.runs(stage.name) {
            records.append(try trainer.learnLanguage(stage, number: number + 1))
            try trainer.keep(stage.name, config)
        }
        try base.save(to: config.output, as: .f16, progress: progress)
        return [
            "schema": "hadpo.world-base-report/1", "output": .string(config.output), "stages": .array(records),
            "seconds": JSON(Clock.now() - start),
        ]
    }

    /// The model as a stage has left it, in full precision, from which later stages can be run again.
    private func keep(_ stage: String, _ config: WorldBaseConfig) throws(HadpoError) {
        guard config.keepStages else { return }
        let folder = File.join(config.output, "stages/" + stage)
        try config.family.worldLayout.write(to: folder)
        try base.save(to: folder, as: .f32, progress: progress)
    }

    // MARK: stages

    /// The tower alone learns what lies in each patch.
    private func recognise(_ stage: RecognitionStage, number: Int) throws(HadpoError) -> JSON {
        let base = base
        return try learnLabels(
            stage, number: number, seed: seed &+ 1, inputs: stage.width, trains: { base.isVision($0) }
        ) { tape, pixels throws(HadpoError) in
            try base.patches(tape, base.model.features(tape, pixels), pictures: pixels.count, width: stage.width)
        }
    }

    /// The decoder's rows of a picture learn to hold what lies in its strips. The decoder keeps still.
    private func align(_ stage: RecognitionStage, number: Int) throws(HadpoError) -> JSON {
        let model = base.model
        return try learnLabels(
            stage, number: number, seed: seed &+ 2, inputs: model.decoder.config.width,
            trains: { model.part(of: $0) != .decoder }
        ) { tape, pixels throws(HadpoError) in
            let none = [[Int32]](repeating: [], count: pixels.count)
            return try model.project(tape, model.features(tape, pixels), none, reference: false)
        }
    }

    /// The queries learn to show a picture as LLaVA's projector does, whatever question they read meanwhile.
    private func imitate(_ stage: ImitationStage, _ model: InstructBLIP, number: Int) throws(HadpoError) -> JSON {
        let teacher = try BaseTeacher(of: model)
        let questions = WorldLanguage.descriptionRequests + Category.allCases.map { WorldLanguage.question($0) }
        let optimizer = try optimizer(of: base.parameters.filter { model.part(of: $0.name) != .decoder }, weightDecay: 0)
        let schedule = LearningRateSchedule(.cosine, warmupSteps: Self.warmupSteps, totalSteps: stage.steps)
        let scenes = SceneGenerator(seed: seed, split: .base(stage: number), parameters: stage.scenes)
        let others = SceneGenerator(seed: seed, split: .base(stage: number + 1), parameters: stage.scenes)
        var first: [Block<Float>] = []
        for index in 0..<stage.measured { first.append(try pixels(of: others.scene(index))) }
        let queries = QueryStart(base, model, pixels: first, progress: progress)
        try queries.evenChannels()
        try queries.placeQueries()
        try queries.projectToMean(of: teacher.rows(first, progress: progress).floats())

        var meter = StageMeter(stage.name, steps: stage.steps, every: Self.recordEvery)
        for step in 0..<stage.steps {
            var pictures: [Block<Float>] = []
            var instructions: [[Int32]] = []
            for index in step * stage.batch..<(step + 1) * stage.batch {
                pictures.append(try pixels(of: scenes.scene(index)))
                let question = index % 2 == 0 ? WorldLanguage.descriptionRequest : questions[index / 2 % questions.count]
                instructions.append(try texts.prompt(question, .hadpoEval).instruction)
            }
            let wanted = try teacher.rows(pictures, progress: progress).floats()
            let tape = Tape(device: device, progress: progress, isRecording: true)
            let rows = try model.project(tape, model.features(tape, pictures), instructions, reference: false)
            let loss = try RelativeSquaredError(rows.data.floats(), wanted: wanted, width: model.decoder.config.width)
            try tape.backward(from: rows, gradient: device.tensor(loss.gradient, rows.data.shape))
            let norm = try optimizer.step(learningRate: stage.learningRate * schedule.factor(step)) { parameter in
                base.isVision(parameter.name) ? stage.visionRate : base.isQFormer(parameter.name) ? stage.qformerRate : 1
            }
            try meter.add(["loss": loss.value, "grad_norm": norm], progress)
        }
        return meter.report
    }

    private func optimizer(of values: [(name: String, value: Value)], weightDecay: Double) throws(HadpoError) -> Optimizer {
        var settings = Self.settings
        settings.weightDecay = weightDecay
        var parameters: [TrainableParameter] = []
        for (name, value) in values { parameters.append(try TrainableParameter(name, value, device: device)) }
        return Optimizer(parameters, settings, device: device)
    }

    private func pixels(of scene: Scene) throws(HadpoError) -> Block<Float> {
        let pipeline = base.model.pipeline
        return try pipeline.pixelValues(rasterizer.draw(scene, size: pipeline.outputSize.width))
    }

    /// Labels of places, read by one linear head from the rows that `rows` makes of pictures; the head is thrown away.
    private func learnLabels(
        _ stage: RecognitionStage, number: Int, seed headSeed: UInt64, inputs: Int, trains: (String) -> Bool,
        rows: (Tape, _ pixels: [Block<Float>]) throws(HadpoError) -> Value
    ) throws(HadpoError) -> JSON {
        let source = RandomParameters(device: device, seed: headSeed)
        let head = try Linear(source, "head", inputs: inputs, outputs: PatchLabels.count, bias: true)
        let optimizer = try optimizer(of: base.parameters.filter { trains($0.name) } + source.trainable, weightDecay: 0)
        let schedule = LearningRateSchedule(.linear, warmupSteps: Self.warmupSteps, totalSteps: stage.steps)
        let scenes = SceneGenerator(seed: seed, split: .base(stage: number), parameters: stage.scenes)
        var meter = StageMeter(stage.name, steps: stage.steps, every: Self.recordEvery)
        for step in 0..<stage.steps {
            var pictures: [Block<Float>] = []
            var labels: [Bool] = []
            for index in step * stage.batch..<(step + 1) * stage.batch {
                let scene = scenes.scene(index)
                pictures.append(try pixels(of: scene))
                labels += PatchLabels.labels(of: scene, rows: stage.grid, columns: stage.columns)
            }
            let tape = Tape(device: device, progress: progress, isRecording: true)
            let logits = try head(tape, try rows(tape, pictures))
            let loss = try BinaryCrossEntropy(logits: logits.data.floats(), labels: labels, rows: logits.rows)
            try tape.backward(from: logits, gradient: device.tensor(loss.gradient, logits.shape))
            let norm = try optimizer.step(learningRate: stage.learningRate * schedule.factor(step)) { parameter in
                base.isVision(parameter.name) ? stage.visionRate : 1
            }
            try meter.add(["loss": loss.value, "grad_norm": norm], progress)
        }
        return meter.report
    }

    private func learnLanguage(_ stage: LanguageStage, number: Int) throws(HadpoError) -> JSON {
        let model = base.model
        let optimizer = try optimizer(of: base.parameters, weightDecay: Self.settings.weightDecay)
        let schedule = LearningRateSchedule(.cosine, warmupSteps: Self.warmupSteps, totalSteps: stage.steps)
        let scenes = SceneGenerator(seed: seed, split: .base(stage: number), parameters: stage.scenes)
        var meter = StageMeter(stage.name, steps: stage.steps, every: Self.recordEvery)
        for step in 0..<stage.steps {
            let batch = try LanguageBatch(
                stage, scenes, step * stage.batch..<(step + 1) * stage.batch, texts: &texts, rasterizer: rasterizer,
                pipeline: model.pipeline, imageRows: model.imageRows)
            let tape = Tape(device: device, progress: progress, isRecording: true)
            var features = try model.features(tape, batch.pixels)
            if batch.uses != Array(batch.pixels.indices) {
                let rows = model.featureRows
                features = try tape.concatenate(batch.uses.map { (features, $0 * rows..<($0 + 1) * rows) })
            }
            let logps = try model.logProbs(tape, batch.rows, features: features)
            let total = batch.weights.reduce(0, +)
            try tape.backward(
                from: logps, gradient: device.tensor(batch.weights.map { -$0 / total }, [batch.weights.count]))
            let norm = try optimizer.step(learningRate: stage.learningRate * schedule.factor(step)) { parameter in
                stage.rate(base.isVision(parameter.name), isQFormer: base.isQFormer(parameter.name))
            }
            let losses = try batch.losses(logps.data.floats())
            try meter.add(["loss": losses.all, "yes_no_loss": losses.decisions, "grad_norm": norm], progress)
        }
        return meter.report
    }
}

/// Means over the last steps of a stage, as events and as the stage's report.
private struct StageMeter {
    private let stage: String
    private let steps: Int
    private let every: Int
    private let start = Clock.now()
    private var step = 0
    private var counted = 0
    private var sums: [(key: String, sum: Double)] = []
    private(set) var report: JSON = .null

    init(_ stage: String, steps: Int, every: Int) {
        self.stage = stage
        self.steps = steps
        self.every = every
    }

    mutating func add(_ values: KeyValuePairs<String, Double>, _ progress: any Progress) throws(HadpoError) {
        if counted == 0 { sums = values.map { ($0.key, 0) } }
        for (position, value) in values.enumerated() { sums[position].sum += value.value }
        step += 1
        counted += 1
        guard counted == every || step == steps else { return }
        let members: [JSON.Member] =
            [.init("stage", .string(stage)), .init("step", JSON(step)), .init("steps", JSON(steps))]
            + sums.map { .init($0.key, JSON($0.sum / Double(counted))) } + [.init("seconds", JSON(Clock.now() - start))]
        counted = 0
        report = .object(members)
        try progress.emit(.object([.init("event", "world_base")] + members))
    }
}
