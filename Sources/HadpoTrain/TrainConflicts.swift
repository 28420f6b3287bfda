import HadpoBase

// What a training's configuration may not ask for: keys that have no effect beside the others, and a training that cannot move.

extension TrainConfig {
    /// Whether adapters are what is trained.
    var usesAdapters: Bool { !allWeights && !visionTower && lora.rank > 0 }

    func refuseWithoutEffect(_ r: ConfigReader) throws(HadpoError) {
        try refuseDataWithoutEffect(r)
        let isSupervised = method == .sft
        try r.refuse(
            (gamma > 0 ? ["gamma"] : []) + ["beta", "reference/frontend", "reference/prompts", "reference/cache"],
            unless: !isSupervised,
            because: "method sft has no reference model and one loss", expected: "method \"dpo\", or the configuration without it"
        )
        try r.refuse(
            ["reference/cache"], unless: frontend == .initial, because: "reference.frontend \"policy\" keeps no log-probabilities"
        )
        try r.refuse(
            (lora.rank > 0 ? ["lora/rank"] : []) + ["lora/alpha", "lora/target", "lora/init"],
            unless: !allWeights && !visionTower,
            because: allWeights ? "all_weights trains the decoder itself" : "vision_tower trains the tower, without adapters")
        try r.refuse(["lora/alpha", "lora/target", "lora/init"], unless: lora.rank > 0, because: "lora.rank 0: no adapters")
        try r.refuse(["feature_cache_bytes"], unless: !visionTower, because: "vision_tower: features are computed at every step")
        let captions = data.alignedCaptions != nil && data.augments
        let draws = data.order == .shuffled || (usesAdapters && lora.initial == nil) || data.format == .hadpo || captions
        try r.refuse(["seed"], unless: draws, because: "nothing is drawn: the order is the file's and all weights are given")
    }

    private func refuseDataWithoutEffect(_ r: ConfigReader) throws(HadpoError) {
        let format = data.format
        let because = "data.format is \"\(format.rawValue)\""
        try r.check(
            method == .sft || format != .samples, "data", "method dpo learns from pairs, not from samples",
            found: "data.format \"samples\"", expected: "format \"pairs\" or \"hadpo\", or method \"sft\"")
        try r.check(
            method == .dpo || format == .samples, "data", "method sft learns from samples, not from pairs",
            found: "data.format \"\(format.rawValue)\"", expected: "format \"samples\"")
        try r.refuse(
            ["data/pairs"], unless: format != .hadpo && format != .samples, because: because, expected: "one source of data")
        try r.refuse(
            ["data/desc", "data/pope", "data/image_data"], unless: format == .hadpo, because: because,
            expected: "one source of data")
        let isRead = method == .sft || gamma > 0
        try r.refuse(
            ["data/samples", "data/cc_sbu_align"], unless: isRead, because: "method dpo with gamma 0 learns from pairs alone",
            expected: "gamma above 0, method \"sft\", or one source of data")
        try r.refuse(
            ["data/question_repeats"], unless: format == .hadpo && data.pope != nil, because: "no data.pope is read")
        try r.refuse(
            ["data/seed", "data/description_repeats", "data/description_questions", "data/newlines"],
            unless: format == .hadpo && data.desc != nil, because: "no data.desc is read")
        let redraws = format == .hadpo && data.desc != nil && !data.rule.drawsQuestionsOnce
        try r.refuse(
            ["reference/prompts"], unless: redraws || method == .sft,
            because: "no question is drawn when a pair is used (data.description_questions)")
    }

    /// What leaves every number as it is, whatever the data.
    func refuseStandstill(_ r: ConfigReader) throws(HadpoError) {
        let what = "a training in which nothing can move"
        try r.check(optimizer.learningRate > 0, "optimizer", what, found: "learning_rate 0", expected: "a rate above 0")
        try r.check(
            optimizer.beta1 < 1 && optimizer.beta2 < 1, "optimizer", what,
            found: "beta1 \(optimizer.beta1), beta2 \(optimizer.beta2)", expected: "both below 1")
        try r.check(
            method == .sft || beta > 0 || gamma > 0, "beta", what, found: "beta 0: the loss is log 2 whatever the model says",
            expected: "a beta above 0")
        guard !allWeights, !visionTower else { return }
        try r.check(
            !usesAdapters || lora.alpha > 0, "lora", what, found: "alpha 0: adapters times 0", expected: "an alpha above 0")
        try r.check(
            !usesAdapters || !lora.target.isEmpty, "lora", what, found: "no target: adapters on no layer",
            expected: "names of layers, or rank 0")
        try r.check(
            usesAdapters || projector, "lora", what, found: "rank 0, and projector false",
            expected: "adapters, projector, vision_tower or all_weights")
    }
}
