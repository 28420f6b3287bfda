import CHadpo
import HadpoBase
import HadpoEval
import HadpoModels
import HadpoTrain
import HadpoWorld

// -- training and the world in the box

/// Defaults are those of the model's family.
private func trainConfig(_ text: UnsafePointer<CChar>?, _ size: Int, _ model: ModelHandle) throws(HadpoError) -> (
    config: TrainConfig, resolved: JSON
) {
    let family = model.model.family
    let loaded = model.model.startingAdapter.map { StartingAdapter($0) }
    return try configured(text, size, "hadpo.train/1", "config") { r throws(HadpoError) in
        try TrainConfig(&r, family: family, loaded: loaded)
    }
}

/// What the guard of a training asks its model, built of the evaluators: the trainer lies below them and knows only that it can ask.
private func gauge(
    _ config: GuardConfig?, _ model: any VisionLanguageModel, progress: any Progress
) throws(HadpoError) -> (any ModelGauge)? {
    guard let config, config.pope != nil || config.describe != nil else { return nil }
    var pope: PopeRunConfig?
    if let asked = config.pope {
        let json: JSON = [
            "schema": "hadpo.pope/1", "questions": .string(asked.questions), "images": .string(asked.images),
            "outside": .bool(asked.outside), "limit": JSON(asked.limit), "max_new_tokens": JSON(asked.maxNewTokens),
            "num_beams": 1, "repetition_penalty": 1,
        ]
        let family = model.family
        pope = try ConfigReader.read(json, schema: "hadpo.pope/1") { r throws(HadpoError) in
            try PopeRunConfig(&r, family: family)
        }.config
    }
    var descriptions: AnswerGauge.Descriptions?
    if let asked = config.describe {
        descriptions = try AnswerGauge.Descriptions(
            images: asked.images, limit: asked.limit, question: asked.question, maxNewTokens: asked.maxNewTokens)
    }
    return try AnswerGauge(model, pope: pope, descriptions: descriptions, progress: progress)
}

@_cdecl("hadpo_trainer_open") @implementation
public func hadpo_trainer_open(
    _ model: OpaquePointer?, _ config: UnsafePointer<CChar>?, _ size: Int, _ trainer: UnsafeMutablePointer<OpaquePointer?>?,
    _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> hadpo_status {
    trainer?.pointee = nil
    return status(error) { () throws(HadpoError) in
        let result = try place(trainer, "trainer")
        let model = try handle(model, ModelHandle.self, "model")
        let (config, resolved) = try trainConfig(config, size, model)
        let opened = try model.engine.exclusively { progress throws(HadpoError) in
            try model.checkNoTrainer("a second trainer cannot be opened")
            let run = try TrainingRun(
                model.model, model.folder, config, resolved: resolved,
                gauge: gauge(config.guarding, model.model, progress: progress), progress: progress)
            let handle = TrainerHandle(model: model, run: run)
            model.trainer = handle
            return handle
        }
        result.pointee = retained(opened)
    }
}

@_cdecl("hadpo_trainer_run") @implementation
public func hadpo_trainer_run(
    _ trainer: OpaquePointer?, _ steps: UInt64, _ report: UnsafeMutablePointer<OpaquePointer?>?,
    _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> hadpo_status {
    report?.pointee = nil
    return status(error) { () throws(HadpoError) in
        let result = try place(report, "report")
        let trainer = try handle(trainer, TrainerHandle.self, "trainer")
        let summary = try trainer.model.engine.exclusively { progress throws(HadpoError) in
            try trainer.run.run(steps: Int(clamping: steps), progress: progress)
        }
        result.pointee = retained(BytesHandle(summary.text(indent: 2)))
    }
}

@_cdecl("hadpo_trainer_save") @implementation
public func hadpo_trainer_save(
    _ trainer: OpaquePointer?, _ directory: UnsafePointer<CChar>?, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> hadpo_status {
    status(error) { () throws(HadpoError) in
        let trainer = try handle(trainer, TrainerHandle.self, "trainer")
        let directory = try string(directory, "directory")
        try trainer.model.engine.exclusively { progress throws(HadpoError) in
            try trainer.run.save(to: directory, progress: progress)
        }
    }
}

@_cdecl("hadpo_trainer_resume") @implementation
public func hadpo_trainer_resume(
    _ trainer: OpaquePointer?, _ directory: UnsafePointer<CChar>?, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> hadpo_status {
    status(error) { () throws(HadpoError) in
        let trainer = try handle(trainer, TrainerHandle.self, "trainer")
        let directory = try string(directory, "directory")
        try trainer.model.engine.exclusively { progress throws(HadpoError) in
            try trainer.run.resume(from: directory, progress: progress)
        }
    }
}

@_cdecl("hadpo_trainer_inspect") @implementation
public func hadpo_trainer_inspect(
    _ trainer: OpaquePointer?, _ path: UnsafePointer<CChar>?, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> hadpo_status {
    status(error) { () throws(HadpoError) in
        let trainer = try handle(trainer, TrainerHandle.self, "trainer")
        let path = try string(path, "path")
        try trainer.model.checkApart(path)
        try trainer.model.engine.exclusively { progress throws(HadpoError) in
            try trainer.run.inspect(path: path, progress: progress)
        }
    }
}

@_cdecl("hadpo_trainer_free") @implementation
public func hadpo_trainer_free(_ trainer: OpaquePointer?) { release(trainer, TrainerHandle.self) }

@_cdecl("hadpo_data_check") @implementation
public func hadpo_data_check(
    _ model: OpaquePointer?, _ config: UnsafePointer<CChar>?, _ size: Int, _ report: UnsafeMutablePointer<OpaquePointer?>?,
    _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> hadpo_status {
    report?.pointee = nil
    return status(error) { () throws(HadpoError) in
        let result = try place(report, "report")
        let model = try handle(model, ModelHandle.self, "model")
        let config = try trainConfig(config, size, model).config
        let found = try model.engine.exclusively { progress throws(HadpoError) in
            // The guard's files are looked at when it is made.
            _ = try gauge(config.guarding, model.model, progress: progress)
            return try TrainingRun.check(model.model, model.folder, config, progress: progress)
        }
        result.pointee = retained(BytesHandle(found.text(indent: 2)))
    }
}

@_cdecl("hadpo_world_make") @implementation
public func hadpo_world_make(
    _ engine: OpaquePointer?, _ config: UnsafePointer<CChar>?, _ size: Int, _ report: UnsafeMutablePointer<OpaquePointer?>?,
    _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> hadpo_status {
    report?.pointee = nil
    return status(error) { () throws(HadpoError) in
        let result = try place(report, "report")
        let engine = try handle(engine, EngineHandle.self, "engine")
        let config = try configured(config, size, "hadpo.world/1", "config", WorldConfig.init).config
        let made = try engine.exclusively { progress throws(HadpoError) in try WorldMake.run(config, progress: progress) }
        result.pointee = retained(BytesHandle(made.text(indent: 2)))
    }
}

@_cdecl("hadpo_world_pairs") @implementation
public func hadpo_world_pairs(
    _ model: OpaquePointer?, _ config: UnsafePointer<CChar>?, _ size: Int, _ report: UnsafeMutablePointer<OpaquePointer?>?,
    _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> hadpo_status {
    report?.pointee = nil
    return status(error) { () throws(HadpoError) in
        let result = try place(report, "report")
        let model = try handle(model, ModelHandle.self, "model")
        let config = try configured(config, size, "hadpo.world-pairs/1", "config", WorldPairsConfig.init).config
        let made = try model.engine.exclusively { progress throws(HadpoError) in
            try WorldPairs.run(model.model, config, progress: progress)
        }
        result.pointee = retained(BytesHandle(made.text(indent: 2)))
    }
}

@_cdecl("hadpo_world_train") @implementation
public func hadpo_world_train(
    _ engine: OpaquePointer?, _ config: UnsafePointer<CChar>?, _ size: Int, _ report: UnsafeMutablePointer<OpaquePointer?>?,
    _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> hadpo_status {
    report?.pointee = nil
    return status(error) { () throws(HadpoError) in
        let result = try place(report, "report")
        let engine = try handle(engine, EngineHandle.self, "engine")
        let config = try configured(config, size, "hadpo.world-base/1", "config", WorldBaseConfig.init).config
        let made = try engine.exclusively { progress throws(HadpoError) in
            try BasePretrainer.run(config, device: engine.device, progress: progress)
        }
        result.pointee = retained(BytesHandle(made.text(indent: 2)))
    }
}
