import HadpoBase
import HadpoModels
import HadpoVision

/// The data of a training configuration: read, checked, tokenised. Nothing is trained on before all of it is known to be good.
package struct TrainingData {
    package let samples: SampleTokens
    package let auxiliary: SampleTokens
    /// Samples that were refused, with index and reason.
    package let problems: [SampleProblem]
    /// The form in which the data were, as the key "format" calls it, and the pairs that can be trained on.
    package let format: String
    package let pairCount: Int
    /// Whether a question is put into the template.
    private let usesTemplate: Bool

    package init(_ model: any VisionLanguageModel, _ config: TrainConfig, progress: any Progress) throws(HadpoError) {
        let data = config.data
        let pictures = PictureFolder(data.images, outside: data.outside)
        var pairs = SampleSet<PreferencePair>()
        var captions = SampleSet<CaptionSample>()
        switch data.format {
        case .hadpo:
            guard let imageData = data.imageData else {
                throw HadpoError(
                    .config, "format hadpo finds pictures by id", at: "/data/image_data",
                    expected: "Visual Genome's image_data.json")
            }
            pairs = try UpstreamPairs.read(
                descriptions: data.desc, questions: data.pope,
                images: VisualGenomeImages(imageData: imageData, folder: pictures), seed: data.seed, rule: data.rule)
        case .pairs:
            if let path = data.pairs { pairs = try SampleFiles.readPairs(path, pictures: pictures, form: data.form) }
        case .samples: break
        }
        if let path = data.samples { captions = try SampleFiles.readSamples(path, pictures: pictures) }
        if let folder = data.alignedCaptions { captions.append(try AlignedCaptions.read(folder, outside: data.outside)) }
        var check = PictureFiles(decoding: data.decodes, budget: model.device.arena)
        pairs = try check.readable(pairs, path: \.imagePath, source: \.source, id: \.id, progress: progress)
        captions = try check.readable(captions, path: \.imagePath, source: \.source, id: \.id, progress: progress)
        problems = pairs.problems + captions.problems
        format = pairs.form ?? data.format.rawValue
        pairCount = pairs.samples.count
        let prompts = pairs.samples.map(\.prompt) + captions.samples.map(\.prompt)
        usesTemplate = prompts.contains { if case .question = $0 { true } else { false } }

        var samples = SampleTokens(model, config)
        var auxiliary = SampleTokens(model, config)
        for pair in pairs.samples {
            try progress.tick()
            try samples.add(pair)
        }
        for caption in captions.samples {
            try progress.tick()
            if config.method == .sft { try samples.add(caption) } else { try auxiliary.add(caption) }
        }
        if config.method == .sft, !pairs.samples.isEmpty {
            throw HadpoError(
                .config, "method sft learns from samples, not from pairs", at: "/data/format", expected: "format \"samples\"")
        }
        if config.gamma > 0, config.method == .dpo, auxiliary.samples.isEmpty {
            throw HadpoError(
                .config, "gamma weighs a language-model loss on captions, which are missing", at: "/gamma",
                found: "gamma \(config.gamma) (recipe \(config.recipe.rawValue))",
                expected: "gamma 0, or data.cc_sbu_align (what upstream's MiniGPT-4 takes), or data.samples")
        }
        self.samples = samples
        self.auxiliary = auxiliary
    }

    /// Fails when a sample cannot be trained on, naming the first ones.
    package func requireClean() throws(HadpoError) {
        var set = SampleSet<PreferencePair>()
        set.problems = problems
        try set.requireClean()
    }

    /// Why a training on these samples would not move, or not begin; nil when it would.
    func standstill(_ config: TrainConfig, _ plan: TrainingPlan) -> HadpoError? {
        let (count, what) = (samples.samples.count, "a training in which nothing can move")
        if count == 0, samples.weightless > 0 {
            return HadpoError(.config, what, at: "/data", found: "every sample has weight 0", expected: "weights above 0")
        }
        if count == 0 {
            return HadpoError(.config, "there is nothing to train on", at: "/data", expected: "at least one sample")
        }
        if !usesTemplate, config.template != TrainConfig.standardTemplate {
            return HadpoError(
                .config, "a key that has no effect here", at: "/template", found: "every sample brings its whole prompt",
                expected: "samples with a question, or the configuration without it")
        }
        if samples.equal == count {
            return HadpoError(
                .config, what, at: "/data", found: "chosen and rejected are the same tokens in every pair",
                expected: "pairs whose answers differ before they are cut")
        }
        if !plan.hasRate(config.optimizer.learningRate) {
            return HadpoError(
                .config, what, at: "/schedule",
                found: "\(plan.steps) step of \(plan.perStep) samples, all of it warm-up: its learning rate is 0",
                expected: "more steps or epochs, a smaller batch, or warmup_ratio 0")
        }
        return nil
    }
}

/// The pictures of the samples, each looked at once.
private struct PictureFiles {
    let decoding: Bool
    let budget: any MemoryBudget
    private var known: [String: String?] = [:]

    init(decoding: Bool, budget: any MemoryBudget) {
        self.decoding = decoding
        self.budget = budget
    }

    /// The samples whose pictures can be read; the others among the problems.
    mutating func readable<Sample>(
        _ set: SampleSet<Sample>, path: (Sample) -> String, source: (Sample) -> SampleSource, id: (Sample) -> String,
        progress: any Progress
    ) throws(HadpoError) -> SampleSet<Sample> {
        var good = SampleSet<Sample>()
        good.problems = set.problems
        good.form = set.form
        for sample in set.samples {
            let file = path(sample)
            let reason: String?
            if let found = known[file] {
                reason = found
            } else {
                try progress.tick()
                reason = try PictureCheck.reason(file, decoding: decoding, budget: budget)
                known[file] = .some(reason)
            }
            if let reason {
                good.problems.append(
                    .init(source(sample), id: id(sample), "unreadable picture \(PictureFolder.shown(file)): \(reason)"))
            } else {
                good.samples.append(sample)
            }
        }
        return good
    }
}

/// What a training needs in memory, in bytes. Mapped weights are counted: a step touches all of them.
package struct MemoryPlan: Sendable {
    package let weights: Int
    /// Parameter, gradient and two moments of every trainable number, fp32.
    package let trainable: Int
    package let activations: Int
    package let trainableCount: Int

    package init(
        _ model: any VisionLanguageModel, _ folder: any ModelFolder, _ config: TrainConfig, _ start: LoadedAdapter?, longest: Int
    ) {
        weights = folder.weightBytes
        let text = model.decoder.config
        var count = 0
        if config.allWeights || config.visionTower {
            // Upper bound: everything in the files, at two bytes a number.
            count += folder.weightBytes / 2
        } else if let start {
            for pair in start.file.pairs.values { count += pair.a.count + pair.b.count }
        } else {
            for (target, linear) in model.adaptable
            where config.lora.target.contains(where: { target.projection.hasSuffix("." + $0) }) {
                count += config.lora.rank * (linear.inputs + linear.outputs)
            }
        }
        if config.projector { for layer in model.projector { count += layer.outputs * (layer.inputs + 1) } }
        trainableCount = count
        trainable = 16 * count
        let rows = max(config.packRows, longest)
        // One layer's values and their gradients, and what is kept of every layer: its input, or all of it.
        let layer = rows * (10 * text.width + 6 * text.feedForward)
        let kept = config.checkpointing ? rows * text.width * text.layers : layer / 2 * text.layers
        activations = 4 * (layer + kept + 3 * 256 * text.vocabulary)
    }

    package var total: Int { weights + trainable + activations }

    package var json: JSON {
        [
            "weights_bytes": JSON(weights), "trainable_parameters": JSON(trainableCount), "trainable_bytes": JSON(trainable),
            "activation_bytes": JSON(activations), "total_bytes": JSON(total),
        ]
    }

    /// The engine's limit counts what the library allocates; mapped weights belong to the page cache.
    package func check(limit: Int) throws(HadpoError) {
        guard limit == 0 || trainable <= limit else {
            throw HadpoError(
                .noMemory, "the training does not fit into engine.memory_limit", at: "/lora/rank",
                found: "\(trainable) bytes for trainable numbers, gradients and moments", expected: "at most \(limit) bytes")
        }
    }
}
