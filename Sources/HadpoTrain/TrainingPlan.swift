import HadpoBase

/// How many steps a training has, which samples each of them takes, and at what rate: what the configuration comes to on its data.
///
/// The published batches and warm-ups are those of thousands of samples. On fewer, where the configuration leaves them to the recipe
/// (`fit_batch`, `fit_warmup`), a step takes at most a sixteenth of the samples and at most a tenth of the steps warm up, both rounded
/// down: 100 pairs are 17 steps of 6 and not one of 128 whose rate is 0.
package struct TrainingPlan: Sendable, Equatable {
    package let samples: Int
    /// Samples of a step that is not an epoch's last.
    package let perStep: Int
    package let steps: Int
    package let schedule: LearningRateSchedule
    /// What the configuration says, before it was fitted.
    private let askedPerStep: Int
    private let askedWarmup: Int
    private let isFilled: Bool

    package init(_ config: TrainConfig, samples: Int) {
        let samples = max(1, samples)
        let asked = config.batch * config.accumulation
        let perStep = config.fitsBatch ? min(asked, max(1, samples / 16)) : asked
        let steps = config.steps > 0 ? config.steps : config.epochs * ((samples + perStep - 1) / perStep)
        let ratio = Int(exactly: (config.schedule.warmupRatio * Double(steps)).rounded(.up)) ?? steps
        let warmup = config.schedule.warmupSteps ?? ratio
        self.samples = samples
        self.perStep = perStep
        self.steps = steps
        askedPerStep = asked
        askedWarmup = warmup
        isFilled = config.lastBatch == .filled
        schedule = LearningRateSchedule(
            config.schedule.kind, warmupSteps: config.schedule.fitsWarmup ? min(warmup, steps / 10) : warmup, totalSteps: steps)
    }

    /// Which uses of samples a step takes, counted from the training's beginning on over its epochs. As transformers' Trainer does, an
    /// epoch ends with what is left of it, unless the configuration fills that step up from the next epoch.
    package func draws(of step: Int) -> Range<Int> {
        if isFilled { return step * perStep..<(step + 1) * perStep }
        let stepsPerEpoch = (samples + perStep - 1) / perStep
        let epoch = step / stepsPerEpoch * samples
        let first = step % stepsPerEpoch * perStep
        return epoch + first..<epoch + min(first + perStep, samples)
    }

    /// Epochs that have passed behind so many steps.
    package func epochs(after steps: Int) -> Double {
        steps == 0 ? 0 : Double(draws(of: steps - 1).upperBound) / Double(samples)
    }

    /// Whether the rate is above 0 at some step: behind the first two of a training it always is.
    package func hasRate(_ peak: Double) -> Bool {
        (0..<min(steps, 3)).contains { peak * schedule.factor($0) > 0 }
    }

    package var json: JSON {
        var members: [JSON.Member] = [
            .init("steps", JSON(steps)), .init("samples_per_step", JSON(perStep)), .init("epochs", JSON(epochs(after: steps))),
            .init("warmup_steps", JSON(schedule.warmupSteps)),
        ]
        if let note { members.append(.init("note", .string(note))) }
        return .object(members)
    }

    /// What was fitted to the data, in words; nil when the configuration holds as it is.
    package var note: String? {
        var parts: [String] = []
        if perStep < askedPerStep {
            parts.append("\(perStep) samples a step and not \(askedPerStep) (a sixteenth of \(samples); --batch sets it)")
        }
        if schedule.warmupSteps < askedWarmup {
            parts.append(
                "\(schedule.warmupSteps) warm-up steps and not \(askedWarmup) (a tenth of \(steps); --warmup-steps sets it)")
        }
        return parts.isEmpty ? nil : "fitted to small data: " + parts.joined(separator: ", ")
    }
}
