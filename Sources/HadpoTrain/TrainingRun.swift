import HadpoBase
import HadpoModels
import HadpoTensor
import HadpoWeights

/// A training as a host sees it: opened from a configuration, run in pieces, saved, resumed.
package final class TrainingRun {
    package let model: any VisionLanguageModel
    package let trainer: Trainer
    package let plan: MemoryPlan
    private let folder: any ModelFolder
    private let parts: TrainableParts
    /// The adapter that the training started from.
    private let start: LoadedAdapter?
    private let resolved: JSON
    private let truncated: Int
    private let skipped: Int
    private let equal: Int
    private let weightless: Int
    /// What a saved state must have been made with: configuration, samples, model.
    package let identity: TrainingIdentity
    private var places: TrainingPlaces
    private var isPrepared = false
    /// The step whose save is in the output folder.
    private var savedStep: Int?
    private var log: LineAppender?
    /// Whether this object has written to its log.
    private var hasLogged = false
    private var lastRecord: StepRecord?
    /// The last step's record as the state keeps it, also of a step before a resume.
    private var lastComparable: String?
    private let watcher: TrainingGuard?
    /// The stop that stands in the log already.
    private var loggedStop: Int?

    /// - Parameter gauge: what the configuration's guard asks besides log-probs.
    package init(
        _ model: any VisionLanguageModel, _ folder: any ModelFolder, _ config: TrainConfig, resolved: JSON,
        gauge: (any ModelGauge)? = nil, progress: any Progress
    )
        throws(HadpoError)
    {
        try config.checkNames()
        if let guarding = config.guarding { watcher = try TrainingGuard(guarding, gauge: gauge) } else { watcher = nil }
        // What is on the model makes room for what is trained, and where that starts is an identity's own field.
        let opened = model.identity.base
        let data = try TrainingData(model, config, progress: progress)
        try data.requireClean()
        if let refusal = data.standstill(config, TrainingPlan(config, samples: data.samples.samples.count)) { throw refusal }
        // Read before the model is touched, so that a bad folder leaves it as it was.
        start = try TrainingRun.startingAdapter(model, config, progress: progress)
        plan = MemoryPlan(model, folder, config, start, longest: data.samples.longest)
        try plan.check(limit: model.device.arena.limit)
        for folder in [config.output, config.bestFolder].compactMap({ $0 }) {
            try FolderSave.checkNames(folder, files: TrainingPlaces.files)
        }
        if let output = config.output {
            // What a killed run left; and what would be read with our saves is found now and not after the first steps.
            try FolderSave.recover(output)
            if let folder = config.bestFolder { try FolderSave.recover(folder) }
            try FolderSave.checkStrangers(output, readable: TrainingRun.unwritten(config, start))
        }
        parts = try TrainableParts(model, folder, config, start: start)
        trainer = try Trainer(
            model: model, config: config, samples: data.samples.samples, auxiliary: data.auxiliary.samples,
            parameters: parts.parameters, start: start)
        model.loadedAdapter?.isTrainedFurther = true
        self.model = model
        self.folder = folder
        self.resolved = resolved
        truncated = data.samples.truncated + data.auxiliary.truncated
        skipped = data.samples.skipped + data.auxiliary.skipped
        equal = data.samples.equal
        weightless = data.samples.weightless + data.auxiliary.weightless
        places = TrainingPlaces(config)
        identity = try TrainingIdentity(
            opened, resolved: resolved, start: parts.parameters, samples: data.samples.samples + data.auxiliary.samples,
            progress: progress)
    }

    /// The adapter that is on the model, or the configuration's. Nothing changes on the model.
    private static func startingAdapter(_ model: any VisionLanguageModel, _ config: TrainConfig, progress: any Progress)
        throws(HadpoError)
        -> LoadedAdapter?
    {
        if let loaded = model.startingAdapter { return loaded }
        guard let path = config.lora.initial else { return nil }
        var adapter = try LoadedAdapter.read(model, folder: path, progress: progress)
        adapter.isOfTraining = true
        return adapter
    }

    /// The first event: what will happen.
    private func opening() -> JSON {
        [
            "event": "training", "samples": JSON(trainer.samples.count), "auxiliary": JSON(trainer.auxiliary.count),
            "truncated": JSON(truncated), "skipped": JSON(skipped), "equal": JSON(equal), "weightless": JSON(weightless),
            "steps": JSON(trainer.totalSteps),
            "step": JSON(trainer.step), "plan": trainer.plan.json, "memory": plan.json, "start": TrainingRun.startJSON(start),
            "reference": TrainingRun.referenceJSON(trainer.config),
        ]
    }

    /// What the policy began as.
    private static func startJSON(_ start: LoadedAdapter?) -> JSON {
        guard let start else { return .null }
        var json = start.json
        json["trained"] = JSON(start.trainableCount)
        json["frozen"] = JSON(start.frozenCount)
        return json
    }

    /// What it is compared with; the language-model loss compares with nothing.
    private static func referenceJSON(_ config: TrainConfig) -> JSON {
        config.method == .dpo ? .string(config.reference.rawValue) : .null
    }

    /// Before the first step: places that can be written, and a log of this training's own.
    private func prepare(progress: any Progress) throws(HadpoError) {
        if !isPrepared {
            do throws(HadpoError) { try places.prepare() } catch {
                places.release()
                throw error
            }
        }
        if log == nil, let path = trainer.config.log {
            let opened = try LineAppender(path)
            try places.checkLog()
            if trainer.config.overwrites, !places.ownsLog, File.isFile(path), try File.size(path) > 0 {
                try opened.replace(with: [])
            }
            log = opened
            places.claimLog()
        }
        isPrepared = true
        for warning in [log?.warning, trainer.reference.warning].compactMap({ $0 }) { try progress.emit(warning) }
    }

    /// - Parameter steps: how many optimizer steps at most; 0 runs to the end.
    package func run(steps: Int, progress: any Progress) throws(HadpoError) -> JSON {
        try prepare(progress: progress)
        try progress.emit(opening())
        do throws(HadpoError) {
            return try take(steps: steps, progress: progress)
        } catch {
            let error = saving(error)
            if error.status != .cancelled, error.status != .callback { release() }
            throw error
        }
    }

    /// Others may go on in the folder; a run of this object claims it again.
    private func release() {
        places.release()
        isPrepared = false
    }

    /// A failure on the way loses no step that was taken: they are saved, if the configuration says where. Who stops the training himself
    /// decides himself.
    private func saving(_ error: HadpoError) -> HadpoError {
        guard error.status != .cancelled, error.status != .callback, trainer.step > 0, let output = trainer.config.output else {
            return error
        }
        var error = error
        let before = error.expected.map { $0 + "; " } ?? ""
        do throws(HadpoError) {
            try save(to: output, progress: SilentProgress())
            error.expected = before + "what was trained until step \(trainer.step) is saved in \(output): resume from there"
        } catch let failure where failure.status == .numerics {
            error.expected =
                before + "the numbers after step \(trainer.step) are not finite and are not saved; "
                + (savedStep.map { "the save of step \($0) is in \(output): resume from there" } ?? "nothing is")
        } catch let failure {
            error.expected = before + "what was trained until step \(trainer.step) could not be saved: \(failure.message)"
        }
        return error
    }

    private func take(steps: Int, progress: any Progress) throws(HadpoError) -> JSON {
        if let dropout = start?.config.dropout, dropout > 0, trainer.step == 0 {
            try progress.emit([
                "event": "warning",
                "message": .string(
                    "the adapter that the training starts from says lora_dropout \(dropout), and is trained without dropout here"),
            ])
        }
        let first = trainer.step
        // `steps` may be any number: it is compared with those that are left, and never added to.
        let end = steps == 0 || steps >= trainer.totalSteps - first ? trainer.totalSteps : first + steps
        let begin = Clock.now()
        var stopped: GuardStop?
        while true {
            stopped = try look(progress: progress)
            if stopped != nil || trainer.step >= end { break }
            let record = try trainer.takeStep(progress: progress)
            lastRecord = record
            let json = record.json(method: trainer.config.method, hasAuxiliary: trainer.config.gamma > 0)
            lastComparable = StepLog.comparable(json)
            // The step has happened: its record and checkpoint come before the host may stop the run.
            try log?.append(json)
            hasLogged = log != nil
            if let output = trainer.config.output, trainer.config.saveEvery > 0, trainer.step % trainer.config.saveEvery == 0 {
                try save(to: output, progress: SilentProgress())
            }
            try progress.emit(json)
            let seconds = Clock.now() - begin
            let rate = Double(trainer.step - first) / max(seconds, 1e-9)
            try progress.emit([
                "event": "progress", "task": "train", "done": JSON(trainer.step), "total": JSON(trainer.totalSteps),
                "unit": "steps",
                "seconds": JSON(seconds), "rate": JSON(rate), "eta_seconds": JSON(Double(end - trainer.step) / rate),
            ])
        }
        if trainer.step > first { try trainer.optimizer.requireFinite(at: "step \(trainer.step)") }
        var report: [JSON.Member] = [
            .init("schema", "hadpo.train-report/1"), .init("step", JSON(trainer.step)), .init("steps", JSON(trainer.totalSteps)),
            .init("finished", JSON(trainer.isFinished)), .init("samples", JSON(trainer.samples.count)),
            .init("truncated", JSON(truncated)), .init("skipped", JSON(skipped)), .init("equal", JSON(equal)),
            .init("weightless", JSON(weightless)),
            .init("plan", trainer.plan.json), .init("seconds", JSON(Clock.now() - begin)),
            .init("peak_arena_bytes", JSON(model.device.arena.peakBytes)), .init("memory", plan.json),
            .init("identity", identity.model.json),
            .init("start", TrainingRun.startJSON(start)), .init("reference", TrainingRun.referenceJSON(trainer.config)),
        ]
        if let lastRecord {
            report.append(.init("last", lastRecord.json(method: trainer.config.method, hasAuxiliary: trainer.config.gamma > 0)))
        }
        if let watcher { report.append(.init("guard", watcher.report(stopped: stopped, bestFolder: trainer.config.bestFolder))) }
        return .object(report)
    }

    private var origin: TrainState.Origin {
        .init(start: start?.content ?? "base", reference: trainer.config.reference.rawValue)
    }

    /// Has the guard look at the model, when it is time.
    private func look(progress: any Progress) throws(HadpoError) -> GuardStop? {
        guard let watcher else { return nil }
        if watcher.isDue(trainer) {
            let record = try watcher.measure(trainer, progress: progress)
            // On disk before the record says so.
            if let best = trainer.config.bestFolder, watcher.isBest(record) { try save(to: best, progress: SilentProgress()) }
            watcher.add(record)
            try log?.append(record.json)
            try progress.emit(record.json)
        }
        guard let stop = watcher.verdict(at: trainer.step) else { return nil }
        if let output = trainer.config.output { try save(to: output, progress: SilentProgress()) }
        release()
        if loggedStop != trainer.step { try log?.append(stop.json) }
        loggedStop = trainer.step
        try progress.emit(stop.json)
        return stop
    }

    /// Adapter and projector in the formats that PEFT and upstream read, the resolved configuration, and the training's state: all of them
    /// of this step, or the folder as it was.
    package func save(to directory: String, progress: any Progress) throws(HadpoError) {
        try trainer.optimizer.requireFinite(at: directory)
        try FolderSave.checkNames(directory, files: TrainingPlaces.files)
        try FolderSave.recover(directory, held: places.held)
        try places.check(directory)
        let save = try FolderSave(into: directory, held: places.held)
        try FolderSave.checkStrangers(directory, readable: TrainingRun.unwritten(trainer.config, start))
        var pairs: [AdapterTarget: AdapterPair] = [:]
        for (target, lora) in parts.adapters { pairs[target] = AdapterPair(a: lora.a.data, b: lora.b.data) }
        let lora = trainer.config.lora
        try model.saveAdapter(
            folder: save.workFolder, pairs: pairs,
            config: AdapterConfig(rank: lora.rank, alpha: lora.alpha, targets: .names(lora.target), baseModel: folder.path),
            layout: folder.adapterLayout, start: start, writesProjector: TrainingRun.writesProjector(trainer.config, start),
            progress: progress)
        try File.writeAtomically(File.join(save.workFolder, "train_config.json"), resolved.text(indent: 2) + "\n")
        try TrainState.save(
            trainer, identity: identity, origin: origin, notes: .init(guardRecords: watcher?.stored, lastRecord: lastComparable),
            to: save.workFolder, progress: progress)
        try save.commit(progress: progress)
        places.claim(directory)
        if let output = trainer.config.output, File.isSame(directory, output) {
            savedStep = trainer.step
            if trainer.isFinished { release() }
        }
    }

    /// What a reader of the folder would take for parts of a save that this training does not write.
    private static func unwritten(_ config: TrainConfig, _ start: LoadedAdapter?) -> [String] {
        var names: [String] = []
        if config.lora.rank == 0, start == nil {
            names += [AdapterConfig.fileName, AdapterFile.safetensorsName, AdapterFile.torchName]
        }
        if !writesProjector(config, start) { names += [ProjectorFile.safetensorsName, ProjectorFile.torchName] }
        return names
    }

    /// A projector that is not the checkpoint's goes with the adapter, trained here or not.
    private static func writesProjector(_ config: TrainConfig, _ start: LoadedAdapter?) -> Bool {
        config.projector || start?.hasProjector == true
    }

    package func resume(from directory: String, progress: any Progress) throws(HadpoError) {
        // All is read and checked before anything moves.
        let stored = try TrainState.read(trainer, identity: identity, origin: origin, from: directory, progress: progress)
        let looks = try watcher?.records(
            stored.notes.guardRecords, until: stored.step, source: File.join(directory, TrainState.fileName))
        if let path = trainer.config.log, File.isFile(path) {
            // Locked before it is read: the log of a training that is running is not cut.
            let held: LineAppender
            if let log { held = log } else { held = try LineAppender(path) }
            let contents = try StepLog(path).cut(
                behind: stored.step, lastRecord: stored.notes.lastRecord, looks: looks.map { Set($0.map(\.step)) },
                isOwn: hasLogged)
            if let contents { try held.replace(with: contents) }
            log = held
        }
        try TrainState.restore(trainer, stored)
        watcher?.restore(looks ?? [])
        lastComparable = stored.notes.lastRecord
        lastRecord = nil
        loggedStop = nil
        places.claimResumed(directory)
        savedStep = trainer.config.output.map { File.isSame(directory, $0) } == true ? stored.step : nil
    }

    /// Loss, log-probs and every gradient of the step that would come next, as safetensors. Nothing moves.
    package func inspect(path: String, progress: any Progress) throws(HadpoError) {
        let device = model.device
        trainer.optimizer.clearGradients()
        defer { trainer.optimizer.clearGradients() }
        let record = try trainer.accumulateGradients(progress: progress)
        var tensors: [(String, Tensor)] = []
        for parameter in trainer.optimizer.parameters {
            tensors.append(("parameter/" + parameter.name, parameter.value.data))
            if let gradient = parameter.value.gradient {
                tensors.append(("gradient/" + parameter.name, try gradient.reshaped(parameter.value.shape)))
            }
        }
        let numbers = [record.loss, record.policyChosen, record.policyRejected, record.referenceChosen, record.referenceRejected]
        for (name, number) in zip(
            ["loss", "policy_logps/chosen", "policy_logps/rejected", "reference_logps/chosen", "reference_logps/rejected"],
            numbers)
        {
            tensors.append((name, try device.tensor([Float(number)], [1])))
        }
        let writer = try SafetensorsWriter(
            path, tensors.map { TensorPlan($0.0, .f32, $0.1.shape) },
            metadata: [("schema", "hadpo.step/1"), ("step", "\(trainer.step + 1)"), ("loss", "\(record.loss)")],
            progress: progress)
        for (name, tensor) in tensors { try writer.write(name, tensor) }
        try writer.finish()
    }

    /// `hadpo_data_check`: what a training with this configuration would find, without training.
    package static func check(
        _ model: any VisionLanguageModel, _ folder: any ModelFolder, _ config: TrainConfig, progress: any Progress
    )
        throws(HadpoError) -> JSON
    {
        let data = try TrainingData(model, config, progress: progress)
        let start = try startingAdapter(model, config, progress: progress)
        let memory = MemoryPlan(model, folder, config, start, longest: data.samples.longest)
        let plan = TrainingPlan(config, samples: data.samples.samples.count)
        var refusals: [HadpoError] = []
        func note(_ body: () throws(HadpoError) -> Void) {
            do throws(HadpoError) { try body() } catch { refusals.append(error) }
        }
        // What is wrong with the samples comes before what follows from it.
        note { () throws(HadpoError) in try data.requireClean() }
        note { () throws(HadpoError) in if let refusal = data.standstill(config, plan) { throw refusal } }
        note { () throws(HadpoError) in try memory.check(limit: model.device.arena.limit) }
        note { () throws(HadpoError) in try config.checkNames() }
        note { () throws(HadpoError) in try TrainingPlaces(config).check() }
        note { () throws(HadpoError) in
            guard config.frontend == .initial, let path = config.referenceCache else { return }
            try ReferenceCache.check(identity: Trainer.referenceIdentity(model, config, start), path: path)
        }
        return [
            "schema": "hadpo.data-check/1", "format": .string(data.format), "pairs": JSON(data.pairCount),
            "samples": JSON(data.samples.samples.count),
            "auxiliary": JSON(data.auxiliary.samples.count),
            "problems": .array(data.problems.map(\.record)), "truncated": JSON(data.samples.truncated + data.auxiliary.truncated),
            "skipped": JSON(data.samples.skipped + data.auxiliary.skipped), "equal": JSON(data.samples.equal),
            "weightless": JSON(data.samples.weightless + data.auxiliary.weightless),
            "longest": JSON(data.samples.longest), "steps": JSON(plan.steps), "plan": plan.json, "memory": memory.json,
            "refused": .array(refusals.map(\.record)),
            "start": startJSON(start), "reference": referenceJSON(config),
        ]
    }
}
