import HadpoAutograd
import HadpoBase
import HadpoModels
import HadpoTensor

// HA-DPO: preference pairs whose chosen answer is free of the hallucination that the rejected one has.
//
// One optimizer step, for every pack of samples:
//   features   vision tower, frozen: once per picture, kept
//   reference  log-probs with adapters off, or as they were at the start, and the initial projector: no tape, cached by content
//   policy     log-probs on the tape; the prompt with its picture is computed once for chosen and rejected
//   loss       DPO per pair (+ gamma * language-model loss on auxiliary samples), mean over the step
//   backward   recomputing layer by layer
// then clip, AdamW, schedule.

/// What one optimizer step did. Keys as upstream logs them.
package struct StepRecord: Sendable {
    package var step = 0
    package var loss = 0.0
    package var dpoLoss = 0.0
    package var languageModelLoss = 0.0
    package var chosenReward = 0.0
    package var rejectedReward = 0.0
    package var accuracy = 0.0
    package var margin = 0.0
    package var policyChosen = 0.0
    package var policyRejected = 0.0
    package var referenceChosen = 0.0
    package var referenceRejected = 0.0
    package var learningRate = 0.0
    package var gradientNorm = 0.0
    package var epoch = 0.0
    package var seconds = 0.0

    package func json(method: TrainConfig.Method, hasAuxiliary: Bool) -> JSON {
        var members: [JSON.Member] = [
            .init("event", "step"), .init("step", JSON(step)), .init("epoch", JSON(epoch)), .init("loss", JSON(loss)),
        ]
        if method == .dpo {
            members += [
                .init("dpo_loss", JSON(dpoLoss)), .init("rewards/chosen", JSON(chosenReward)),
                .init("rewards/rejected", JSON(rejectedReward)), .init("rewards/accuracies", JSON(accuracy)),
                .init("rewards/margins", JSON(margin)), .init("policy_logps/chosen", JSON(policyChosen)),
                .init("policy_logps/rejected", JSON(policyRejected)), .init("reference_logps/chosen", JSON(referenceChosen)),
                .init("reference_logps/rejected", JSON(referenceRejected)),
            ]
        }
        if hasAuxiliary { members.append(.init("language_modeling_loss", JSON(languageModelLoss))) }
        members += [
            .init("learning_rate", JSON(learningRate)), .init("grad_norm", JSON(gradientNorm)), .init("seconds", JSON(seconds)),
        ]
        return .object(members)
    }
}

package final class Trainer {
    package let model: any VisionLanguageModel
    package let config: TrainConfig
    package let samples: [TrainingSample]
    package let auxiliary: [TrainingSample]
    package let optimizer: Optimizer
    package let plan: TrainingPlan
    private let order: SampleOrder
    /// The order of the epoch last asked for.
    private var epochOrder: (epoch: Int, indices: [Int]) = (-1, [])
    let features: FeatureCache
    let reference: ReferenceCache
    /// Optimizer steps taken.
    package internal(set) var step = 0

    package init(
        model: any VisionLanguageModel, config: TrainConfig, samples: [TrainingSample], auxiliary: [TrainingSample],
        parameters: [TrainableParameter], start: LoadedAdapter? = nil
    ) throws(HadpoError) {
        guard !samples.isEmpty else {
            throw HadpoError(.config, "there is nothing to train on", at: "/data", expected: "samples")
        }
        self.model = model
        self.config = config
        self.samples = samples
        self.auxiliary = auxiliary
        optimizer = Optimizer(parameters, config.optimizer, device: model.device)
        plan = TrainingPlan(config, samples: samples.count)
        order = try SampleOrder(
            count: samples.count, kind: config.data.order, seed: UInt64(config.seed))
        features = FeatureCache(model: model, limit: config.featureCacheBytes)
        // What the reference's log-probs depend on besides picture and tokens.
        reference = try ReferenceCache(
            identity: Trainer.referenceIdentity(model, config, start),
            path: config.frontend == .initial ? config.referenceCache : nil)
    }

    package var totalSteps: Int { plan.steps }
    /// Whose log-probabilities the reference's are: the checkpoint's, or those of the adapter that the training starts from.
    static func referenceIdentity(
        _ model: any VisionLanguageModel, _ config: TrainConfig, _ start: LoadedAdapter?
    ) -> ModelIdentity {
        var identity = model.identity.base
        if config.reference == .start { identity.adapter = start?.content }
        return identity
    }

    package var isFinished: Bool { step >= totalSteps }

    /// The samples of one step, in the order of training.
    package func batch(at step: Int) -> [TrainingSample] {
        plan.draws(of: step).map { position in
            let epoch = position / samples.count
            if epochOrder.epoch != epoch { epochOrder = (epoch, order.indices(epoch: epoch)) }
            let index = epochOrder.indices[position % samples.count]
            return samples[index].drawn(seed: UInt64(config.seed), index: index, epoch: epoch, count: samples.count)
        }
    }

    /// As many as the step has pairs.
    private func auxiliaryBatch(at step: Int) -> [TrainingSample] {
        guard config.gamma > 0, config.method == .dpo, !auxiliary.isEmpty else { return [] }
        return plan.draws(of: step).map { position in
            let index = position % auxiliary.count
            return auxiliary[index].drawn(
                seed: UInt64(config.seed) &+ 1, index: index, epoch: position / auxiliary.count, count: auxiliary.count)
        }
    }

    /// One optimizer step. On failure nothing has moved and the step can be taken again.
    package func takeStep(progress: any Progress) throws(HadpoError) -> StepRecord {
        let start = Clock.now()
        optimizer.clearGradients()
        do throws(HadpoError) {
            var record = try accumulateGradients(progress: progress)
            record.learningRate = config.optimizer.learningRate * plan.schedule.factor(step)
            record.gradientNorm = try optimizer.step(learningRate: record.learningRate)
            step += 1
            record.step = step
            record.epoch = plan.epochs(after: step)
            record.seconds = Clock.now() - start
            return record
        } catch {
            optimizer.clearGradients()
            throw error
        }
    }

    /// Loss and gradients of the current step's samples.
    package func accumulateGradients(progress: any Progress) throws(HadpoError) -> StepRecord {
        let batch = batch(at: step)
        var record = StepRecord()
        switch config.method {
        case .dpo:
            let weight = batch.reduce(0) { $0 + $1.weight }
            for pack in SamplePack.make(batch, imageRows: model.imageRows, limit: config.packRows) {
                try preferencePack(pack, of: weight, into: &record, progress: progress)
            }
            record.loss = record.dpoLoss
            let extra = auxiliaryBatch(at: step)
            if !extra.isEmpty {
                record.languageModelLoss = try languageModelPacks(extra, factor: config.gamma, progress: progress)
                record.loss += config.gamma * record.languageModelLoss
            }
        case .sft:
            record.languageModelLoss = try languageModelPacks(batch, factor: 1, progress: progress)
            record.loss = record.languageModelLoss
        }
        guard record.loss.isFinite else {
            throw HadpoError(
                .numerics, "the loss is not finite", at: "step \(step + 1), samples \(batch.map(\.id).joined(separator: ", "))",
                found: "\(record.loss)", expected: "a finite loss; try a lower learning rate")
        }
        return record
    }

    /// DPO on one pack. Gradients are those of the step's mean, in which a pair counts as often as its weight says.
    /// - Parameter whole: the weights of the step's pairs together.
    private func preferencePack(_ pack: SamplePack, of whole: Double, into record: inout StepRecord, progress: any Progress)
        throws(HadpoError)
    {
        let referenceSums = try referenceLogProbs(pack, progress: progress)
        let tape = Tape(device: model.device, progress: progress, isRecording: true)
        let logps = try model.logProbs(
            tape, pack.rows, features: try seen(pack, tape), checkpointing: config.checkpointing)
        let values = try logps.data.floats()
        var gradient = [Float](repeating: 0, count: values.count)
        for (sample, (ranges, reference)) in zip(pack.samples, zip(pack.targets, referenceSums)) {
            let share = whole > 0 ? sample.weight / whole : 0
            let chosen = sum(values, ranges[0])
            let rejected = sum(values, ranges[1])
            let loss = DPOLoss(
                beta: config.beta, policyChosen: chosen, policyRejected: rejected, referenceChosen: reference[0],
                referenceRejected: reference[1])
            // A sequence's log-prob is the sum over its tokens: every token gets the sequence's derivative.
            for i in ranges[0] { gradient[i] = Float(loss.gradient * share) }
            for i in ranges[1] { gradient[i] = Float(-loss.gradient * share) }
            record.dpoLoss += loss.loss * share
            record.chosenReward += loss.chosenReward * share
            record.rejectedReward += loss.rejectedReward * share
            record.margin += loss.margin * share
            record.accuracy += loss.isOrdered ? share : 0
            record.policyChosen += chosen * share
            record.policyRejected += rejected * share
            record.referenceChosen += reference[0] * share
            record.referenceRejected += reference[1] * share
        }
        try tape.backward(from: logps, gradient: model.device.tensor(gradient, [gradient.count]))
    }

    /// Sums over chosen and rejected of every pair under the reference: adapters off or as at the start, initial projector, nothing recorded.
    func referenceLogProbs(_ policyPack: SamplePack, progress: any Progress) throws(HadpoError) -> [[Double]] {
        var pack = policyPack
        if config.referencePrompts == .own {
            let seed = UInt64(config.seed)
            pack = SamplePack(policyPack.samples.map { $0.withOwnQuestion(seed: seed) }, imageRows: model.imageRows)
        }
        let usesCache = config.frontend == .initial
        var keys: [String] = []
        for sample in pack.samples {
            var imageHash = ""
            if let path = sample.imagePath { imageHash = try features.contentHash(Picture(path: path, view: sample.view)) }
            keys.append(reference.key(sample, imageHash: imageHash))
        }
        let cached = zip(keys, pack.samples).compactMap { reference[$0, count: $1.branches.count] }
        if usesCache, cached.count == keys.count { return cached }
        let tape = Tape(device: model.device, progress: progress, adapters: config.reference == .start ? .start : .none)
        let values = try model.logProbs(
            tape, pack.rows, features: try seen(pack, tape), reference: usesCache
        ).data.floats()
        let sums = pack.targets.map { $0.map { sum(values, $0) } }
        if usesCache { for (key, sums) in zip(keys, sums) { try reference.store(key, sums) } }
        return sums
    }

    /// Mean cross-entropy per target token over `batch`, in which each token counts as often as its sample's weight says: one of weight 2
    /// is the sample twice. Leaves gradients of `factor` times it.
    private func languageModelPacks(_ batch: [TrainingSample], factor: Double, progress: any Progress) throws(HadpoError)
        -> Double
    {
        let tokens = batch.reduce(0.0) { $0 + $1.weight * Double($1.branches.reduce(0) { $0 + $1.count }) }
        guard tokens > 0 else { return 0 }
        var loss = 0.0
        for pack in SamplePack.make(batch, imageRows: model.imageRows, limit: config.packRows) {
            let tape = Tape(device: model.device, progress: progress, isRecording: true)
            let logps = try model.logProbs(tape, pack.rows, features: try seen(pack, tape), checkpointing: config.checkpointing)
            var weights = [Double](repeating: 0, count: logps.data.count)
            for (sample, ranges) in zip(pack.samples, pack.targets) {
                for range in ranges { for i in range { weights[i] = sample.weight } }
            }
            loss -= try zip(logps.data.floats(), weights).reduce(0.0) { $0 + Double($1.0) * $1.1 } / tokens
            let gradient = weights.map { Float(-factor * $0 / tokens) }
            try tape.backward(from: logps, gradient: model.device.tensor(gradient, [gradient.count]))
        }
        return loss
    }

    /// The pack's pictures as the vision tower sees them: kept features, or on the tape when the tower itself is trained.
    func seen(_ pack: SamplePack, _ tape: Tape) throws(HadpoError) -> Value? {
        let pictures = pack.pictures
        if pictures.isEmpty { return nil }
        guard config.visionTower else { return try features.features(pictures, tape: tape) }
        var pixels: [Block<Float>] = []
        for picture in pictures { pixels.append(try features.pixels(picture)) }
        return try model.features(tape, pixels)
    }

    /// In double: a sequence's log-prob must not depend on how its tokens are grouped.
    func sum(_ values: [Float], _ range: Range<Int>) -> Double { range.reduce(0.0) { $0 + Double(values[$1]) } }
}
