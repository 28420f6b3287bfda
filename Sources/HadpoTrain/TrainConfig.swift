import HadpoBase
import HadpoModels
import HadpoWeights

// "hadpo.train/1": every key of a training. Defaults are HA-DPO's effective values for the model's family (`Recipe`).

package struct TrainConfig: Sendable {
    package enum Method: String, Sendable, CaseIterable { case dpo, sft }
    package enum OnLong: String, Sendable, CaseIterable { case error, truncate, skip }
    package enum Frontend: String, Sendable, CaseIterable { case initial, policy }
    /// What the policy is compared with: the checkpoint without an adapter, or with the adapter that the training starts from.
    package enum ReferenceModel: String, Sendable, CaseIterable { case base, start }
    package enum ReferencePrompts: String, Sendable, CaseIterable { case same, own }
    package enum LastBatch: String, Sendable, CaseIterable { case short, filled }

    package let recipe: Recipe
    package let method: Method
    package let data: DataConfig
    package let template: String
    package let maxLength: Int
    package let maxPrompt: Int
    package let maxAnswer: Int
    package let onLong: OnLong
    package let beta: Double
    package let gamma: Double
    package let epochs: Int
    package let steps: Int
    package let batch: Int
    package let accumulation: Int
    package let fitsBatch: Bool
    package let lastBatch: LastBatch
    package let optimizer: OptimizerSettings
    package let schedule: ScheduleConfig
    package let lora: LoRAConfig
    package let projector: Bool
    package let visionTower: Bool
    package let allWeights: Bool
    package let reference: ReferenceModel
    package let frontend: Frontend
    package let referencePrompts: ReferencePrompts
    package let referenceCache: String?
    package let featureCacheBytes: Int
    package let packRows: Int
    package let checkpointing: Bool
    package let seed: Int
    package let output: String?
    package let overwrites: Bool
    package let saveEvery: Int
    package let log: String?
    package let guarding: GuardConfig?

    package init(_ r: inout ConfigReader) throws(HadpoError) { try self.init(&r, family: .llava) }

    static let standardTemplate = "hadpo-train"

    /// - Parameters:
    ///   - family: the opened model's.
    ///   - loaded: the adapter that is on the model, which the training continues.
    package init(_ r: inout ConfigReader, family: ModelFamily, loaded: StartingAdapter? = nil) throws(HadpoError) {
        let recipe: Recipe = try r.choice(
            "recipe", default: Recipe(family),
            help: "whose published values the other keys default to; as the model's family when left out")
        self.recipe = recipe
        method = try r.choice("method", default: .dpo, help: "dpo: preference pairs; sft: language-model loss on samples")
        data = try r.object("data", help: "what to train on") { r throws(HadpoError) in try DataConfig(&r, recipe) }
        template = try r.choice(
            "template", default: TrainConfig.standardTemplate, of: ["hadpo-train", "hadpo-eval", "hf", "raw"],
            help: "prompt template of questions")
        maxLength = try r.int("max_length", default: 2048, in: 8...1 << 20, help: "longest sequence in rows, picture included")
        maxPrompt = try r.int(
            "max_prompt", default: recipe.maxPrompt, in: 0...1 << 20, help: "longest prompt in tokens, picture excluded; 0: any")
        maxAnswer = try r.int(
            "max_answer", default: recipe.maxAnswer, in: 0...1 << 20, help: "longest answer in tokens, end token included; 0: any"
        )
        onLong = try r.choice(
            "on_long", default: .error,
            help:
                "what to do with a sample that does not fit; truncate cuts as upstream does: answers on the right, prompts on the left"
        )
        beta = try r.double("beta", default: 0.1, in: 0...1000, help: "strength of the tie to the reference model")
        gamma = try r.double(
            "gamma", default: recipe.gamma, in: 0...1000, help: "weight of the language-model loss on captions beside DPO")
        let passes = try r.optionalInt(
            "epochs", in: 0...1_000_000, help: "passes over the data, instead of steps; 1 where steps is 0")
        steps = try r.int(
            "steps", default: passes == nil ? recipe.steps : 0, in: 0...1_000_000_000, help: "optimizer steps; 0: whole epochs")
        epochs = passes ?? 1
        try r.check(
            passes == nil || steps == 0, "epochs", "epochs and steps both say how long the training is",
            found: "epochs \(epochs), steps \(steps)", expected: "one of them, or steps 0")
        batch = try r.int("batch", default: recipe.batch, in: 1...65536, help: "samples per forward and backward pass")
        accumulation = try r.int("accumulation", default: recipe.accumulation, in: 1...65536, help: "batches per optimizer step")
        let fits = try r.bool(
            "fit_batch", default: !r.isGiven("batch") && !r.isGiven("accumulation"),
            help:
                "where batch and accumulation are the recipe's, a step takes at most a sixteenth of the samples, so that small data make "
                + "steps enough; false when one of those is given")
        fitsBatch = fits && batch == recipe.batch && accumulation == recipe.accumulation
        lastBatch = try r.choice(
            "last_batch", default: .short,
            help: "the last step of an epoch: short takes what is left; filled goes on in the next epoch")
        optimizer = try r.object("optimizer", help: "AdamW") { r throws(HadpoError) in
            var settings = OptimizerSettings(
                learningRate: try r.double(
                    "learning_rate", default: recipe.learningRate, in: 0...10, help: "peak of the schedule"))
            settings.beta1 = try r.double("beta1", default: 0.9, in: 0...1, help: "decay of the mean gradient")
            settings.beta2 = try r.double("beta2", default: 0.999, in: 0...1, help: "decay of the mean squared gradient")
            settings.epsilon = try r.double("epsilon", default: 1e-8, in: 1e-30...1, help: "beside the root in the divisor")
            settings.weightDecay = try r.double("weight_decay", default: 0, in: 0...10, help: "on matrices, decoupled")
            settings.maxGradNorm = try r.double(
                "max_grad_norm", default: recipe.maxGradNorm, in: 0...1e9, help: "0 does not clip")
            return settings
        }
        schedule = try r.object("schedule", help: "learning rate over time") { r throws(HadpoError) in
            try ScheduleConfig(&r, recipe)
        }
        lora = try r.object("lora", help: "low-rank adapters on the decoder") { r throws(HadpoError) in
            try LoRAConfig(&r, recipe, loaded)
        }
        projector = try r.bool(
            "projector", default: recipe.trainsProjector,
            help: "train the projector too, at the same rate (as upstream's LLaVA does)")
        visionTower = try r.bool("vision_tower", default: false, help: "train the vision tower (method sft)")
        allWeights = try r.bool(
            "all_weights", default: false, help: "train every decoder weight instead of adapters (method sft)")
        let (start, method) = (lora.start, method)
        (reference, frontend, referencePrompts, referenceCache) = try r.object("reference", help: "the reference model") {
            r throws(HadpoError) in
            let reference: ReferenceModel = try r.choice(
                "model", default: .base,
                help: "base: the model without any adapter; start: with the adapter that the training starts from, as it was then"
            )
            try r.check(
                reference == .base || start != nil, "model", "the training does not start from an adapter", found: "start",
                expected: "an adapter on the model, or lora.init; or base, which a new adapter starts at")
            try r.check(
                reference == .base || method == .dpo, "model", "method sft compares with no reference", found: "start",
                expected: "method dpo, or leave the key out")
            let frontend: Frontend = try r.choice(
                "frontend", default: .initial,
                help: "projector of the reference: the initial one, or the policy's (upstream); policy turns the cache off")
            let prompts: ReferencePrompts = try r.choice(
                "prompts", default: .same,
                help:
                    "same: the reference reads what the policy reads; own: it draws its own description questions (upstream's MiniGPT-4)"
            )
            return (
                reference, frontend, prompts,
                try r.optionalString("cache", help: "file that keeps reference log-probs across runs")
            )
        }
        featureCacheBytes = try r.int(
            "feature_cache_bytes", default: 1 << 30, in: 0...Int.max, help: "memory for vision features of frozen towers")
        packRows = try r.int("pack_rows", default: 2048, in: 1...1 << 24, help: "rows computed together; samples are never split")
        checkpointing = try r.bool(
            "checkpointing", default: true, help: "compute layers again on the way back instead of keeping them")
        seed = try r.int("seed", default: 42, in: 0...Int.max, help: "adapter start and order")
        output = try r.optionalString(
            "output", help: "folder for checkpoints (save_every), and for what there is when the training fails on its way")
        overwrites = try r.bool(
            "overwrite", default: false,
            help: "replace an adapter that is in the output folder, and a log, of another training; else both are refused")
        saveEvery = try r.int("save_every", default: 0, in: 0...1_000_000_000, help: "steps between checkpoints; 0: none")
        log = try r.optionalString("log", help: "JSON Lines file, one record per step")
        guarding = try r.optionalObject("guard", help: "look at the model while it trains, and stop when it goes wrong") {
            r throws(HadpoError) in try GuardConfig(&r, method)
        }
        try r.check(
            guarding?.keep != .best || output != nil, "guard", "the best step is kept in a folder", expected: "output")
        try r.check(
            method == .sft || !allWeights, "all_weights", "preference training needs its reference: it trains adapters",
            expected: "method \"sft\"")
        try r.check(
            method == .sft || !visionTower, "vision_tower", "preference training keeps the vision tower",
            expected: "method \"sft\"")
        for (isAsked, key) in [(allWeights, "all_weights"), (visionTower, "vision_tower")] {
            try r.check(
                start == nil || !isAsked, key, "a training from an adapter trains the adapter, and keeps the weights under it",
                found: "an adapter from \(start?.path ?? "")", expected: "no adapter; `hadpo export` merges it into the weights")
        }
        try r.check(saveEvery == 0 || output != nil, "save_every", "checkpoints need a folder", expected: "output")
        try r.check(steps > 0 || epochs > 0, "steps", "nothing to do", found: "steps 0, epochs 0")
        try refuseWithoutEffect(r)
        try refuseStandstill(r)
    }

    package struct DataConfig: Sendable {
        package enum Format: String, Sendable, CaseIterable { case hadpo, pairs, samples }
        /// Which files are read.
        package let format: Format
        /// The form of `pairs`; nil: recognised by its keys.
        package let form: PairForm?
        package let desc: String?
        package let pope: String?
        package let imageData: String?
        package let images: String
        package let outside: Bool
        package let pairs: String?
        package let samples: String?
        package let alignedCaptions: String?
        package let order: SampleOrder.Kind
        package let seed: Int
        /// How upstream's two files become a set.
        package let rule: UpstreamPairs.Rule
        /// Whether pictures are varied as upstream does for this recipe.
        package let augments: Bool
        /// Whether each picture is decoded whole before the first step.
        package let decodes: Bool

        init(_ r: inout ConfigReader, _ recipe: Recipe) throws(HadpoError) {
            let named = try r.choice(
                "format", default: "auto",
                of: ["auto", "hadpo", "pairs", "samples", "trl", "llama-factory", "ms-swift", "rlhf-v", "rlaif-v", "povid"],
                help:
                    "auto: by the files given, and pairs by their keys; hadpo: upstream's files; samples: hadpo.samples/1; "
                    + "pairs: hadpo.pairs/1; the others: pairs as these tools write them")
            desc = try r.optionalString("desc", help: "desc_data.json")
            pope = try r.optionalString("pope", help: "pope_data.json")
            imageData = try r.optionalString("image_data", help: "Visual Genome image_data.json (finds pictures by id)")
            images = try r.string("images", default: ".", help: "folder of the pictures (Visual Genome root with format hadpo)")
            outside = try r.bool(
                "outside", default: false,
                help: "also pictures whose names are absolute or have .. in them; else those are refused")
            pairs = try r.optionalString("pairs", help: "preference pairs: JSON Lines or an array, in our form or another tool's")
            samples = try r.optionalString(
                "samples", help: "samples, JSON Lines or an array (sft, or gamma above 0)")
            form = PairForm(rawValue: named)
            let byFiles: Format = desc != nil || pope != nil ? .hadpo : pairs != nil ? .pairs : samples != nil ? .samples : .hadpo
            format = Format(rawValue: named) ?? (form != nil ? .pairs : byFiles)
            alignedCaptions = try r.optionalString(
                "cc_sbu_align", help: "folder of CC-SBU-Align (filter_cap.json, image/): captions for gamma's loss")
            order = try r.choice("order", default: .shuffled, help: "shuffled: a seeded permutation per epoch; file: as given")
            seed = try r.int("seed", default: 42, in: 0...Int.max, help: "choice among paraphrases (upstream always used 42)")
            var rule = UpstreamPairs.Rule()
            rule.questionsFirst = recipe.questionsFirst
            rule.questionRepeats = try r.int(
                "question_repeats", default: recipe.questionRepeats, in: 0...1000, help: "how often pope's pairs are in an epoch")
            rule.descriptionRepeats = try r.int(
                "description_repeats", default: recipe.descriptionRepeats, in: 0...1000,
                help: "how often desc's pairs are in an epoch")
            rule.drawsQuestionsOnce =
                try r.choice(
                    "description_questions", default: recipe.drawsQuestionsOnce ? "once" : "each-time",
                    of: ["once", "each-time"],
                    help:
                        "when one of the four questions for a description is drawn: with its texts, or whenever the pair is used")
                == "once"
            rule.deletesNewlines =
                try r.choice(
                    "newlines", default: recipe.deletesNewlines ? "deleted" : "kept", of: ["kept", "deleted"],
                    help: "newlines in descriptions") == "deleted"
            self.rule = rule
            augments =
                try r.choice(
                    "augmentation", default: "upstream", of: ["upstream", "none"],
                    help:
                        "upstream: MiniGPT-4's descriptions and captions are cropped at random, InstructBLIP's pictures cropped and "
                        + "mirrored; LLaVA's never") == "upstream"
            decodes = try r.bool(
                "decode", default: false,
                help: "decode every picture whole before the first step; else its first and last bytes are looked at")
            switch format {
            case .hadpo: try r.check(desc != nil || pope != nil, "desc", "format hadpo needs desc, pope or both")
            case .pairs: try r.check(pairs != nil, "pairs", "format pairs needs a file")
            case .samples: try r.check(samples != nil, "samples", "format samples needs a file")
            }
        }
    }

    package struct ScheduleConfig: Sendable {
        package let kind: LearningRateSchedule.Kind
        /// nil: by `warmupRatio`.
        package let warmupSteps: Int?
        package let warmupRatio: Double
        package let fitsWarmup: Bool

        init(_ r: inout ConfigReader, _ recipe: Recipe) throws(HadpoError) {
            kind = try r.choice("kind", default: .cosine, help: "after the warm-up")
            let given = try r.optionalInt(
                "warmup_steps", in: 0...1_000_000_000,
                help: "steps in which the rate rises, 0: none; null: as the recipe says, or by ratio")
            let ratio = try r.double(
                "warmup_ratio", default: recipe.warmupRatio, in: 0...1,
                help: "ceil(ratio * steps) where warmup_steps is null")
            let fits = try r.bool(
                "fit_warmup", default: given == nil && !r.isGiven("warmup_ratio"),
                help:
                    "where the warm-up is the recipe's, at most a tenth of the steps; false when warmup_steps or warmup_ratio is given"
            )
            let differs = (steps: given != nil && given != recipe.warmupSteps, ratio: r.differs("warmup_ratio") && ratio > 0)
            try r.check(
                !differs.steps || !differs.ratio, "warmup_ratio",
                "warmup_steps and warmup_ratio both say how long the rate rises",
                found: "warmup_steps \(given ?? 0), warmup_ratio \(ratio)", expected: "one of them")
            // What is asked for takes the place of the recipe's.
            warmupSteps = differs.ratio ? nil : given ?? recipe.warmupSteps
            warmupRatio = warmupSteps == nil ? ratio : 0
            fitsWarmup = fits && warmupSteps == recipe.warmupSteps && ratio == recipe.warmupRatio
            r.settle("warmup_steps", JSON(warmupSteps))
            r.settle("warmup_ratio", JSON(warmupRatio))
        }
    }

    package struct LoRAConfig: Sendable {
        package let rank: Int
        package let alpha: Double
        package let target: [String]
        package let initial: String?
        /// What the training starts from: `initial`, or the adapter on the model.
        package let start: StartingAdapter?

        static let known = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

        init(_ r: inout ConfigReader, _ recipe: Recipe, _ loaded: StartingAdapter?) throws(HadpoError) {
            let initial = try r.optionalString(
                "init",
                help:
                    "adapter folder to start from instead of B = 0, as the one on the model (model.adapter) is; with its projector"
            )
            self.initial = initial
            try r.check(
                initial == nil || loaded == nil || initial == loaded?.path, "init",
                "two adapters to start from", found: "\(initial ?? ""), and \(loaded?.path ?? "") on the model",
                expected: "one of them")
            var start = loaded
            if let initial, start == nil { start = try StartingAdapter(folder: initial) }
            self.start = start
            if let start, !(0...1e9).contains(start.alpha) {
                throw HadpoError(
                    .unsupported, "an adapter with such a lora_alpha cannot be trained on",
                    at: File.join(start.path, AdapterConfig.fileName), found: "lora_alpha \(start.alpha)",
                    expected: "0 to 1e9; it can be scored and exported")
            }
            rank = try r.int(
                "rank", default: start?.rank ?? recipe.rank, in: 0...65536,
                help: "0: no adapters; of a training from an adapter, the adapter's")
            alpha = try r.double(
                "alpha", default: start?.alpha ?? recipe.alpha, in: 0...1e9,
                help: "scaling = alpha / rank; of a training from an adapter, the adapter's")
            target = try r.strings(
                "target", default: start?.targets ?? recipe.targets,
                help: "decoder layers that get an adapter; of a training from an adapter, the adapter's")
            if let start {
                let (rank, alpha, target) = (rank, alpha, target)
                for (isSame, key, found, expected) in [
                    (rank == start.rank, "rank", "\(rank)", "\(start.rank)"),
                    (alpha == start.alpha, "alpha", "\(alpha)", "\(start.alpha)"),
                    (
                        Set(target) == Set(start.targets), "target", target.joined(separator: ", "),
                        start.targets.joined(separator: ", ")
                    ),
                ] {
                    try r.check(
                        isSame, key, "the adapter that the training starts from has another", found: found,
                        expected: "\(expected), as \(start.path) has; or leave the key out")
                }
            }
            let known = Self.known
            for name in target {
                try r.check(
                    known.contains(name), "target", "unknown layer", found: "'\(name)'", expected: known.joined(separator: ", "))
            }
        }
    }
}
