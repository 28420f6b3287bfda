import CHadpo
import HadpoBase
import HadpoEval
import HadpoModels
import HadpoTensor
import HadpoVision
import HadpoWeights

// -- engine, model and evaluation

/// A file or a text of JSON, read under its schema.
func configured<T>(
    _ text: UnsafePointer<CChar>?, _ size: Int, _ schema: String, _ name: String,
    _ body: (inout ConfigReader) throws(HadpoError) -> T
) throws(HadpoError) -> (config: T, resolved: JSON) {
    try ConfigReader.parse(try bytes(text, size, name), schema: schema, source: name, body)
}

/// An image may be NULL for a prompt without <image>.
func picture(_ image: OpaquePointer?) throws(HadpoError) -> RGBImage? {
    if image == nil { return nil }
    return try handle(image, ImageHandle.self, "image").image
}

@_cdecl("hadpo_engine_open") @implementation
public func hadpo_engine_open(
    _ config: UnsafePointer<CChar>?, _ size: Int, _ onEvent: hadpo_event_fn?, _ user: UnsafeMutableRawPointer?,
    _ engine: UnsafeMutablePointer<OpaquePointer?>?, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> hadpo_status {
    engine?.pointee = nil
    return status(error) { () throws(HadpoError) in
        let result = try place(engine, "engine")
        let config = try configured(config, size, "hadpo.engine/1", "config", EngineConfig.init).config
        result.pointee = retained(try EngineHandle(config, onEvent, user))
    }
}

@_cdecl("hadpo_engine_interrupt") @implementation
public func hadpo_engine_interrupt(_ engine: OpaquePointer?) {
    guard let engine else { return }
    Unmanaged<EngineHandle>.fromOpaque(UnsafeRawPointer(engine)).takeUnretainedValue().interrupt.set()
}

@_cdecl("hadpo_engine_free") @implementation
public func hadpo_engine_free(_ engine: OpaquePointer?) { release(engine, EngineHandle.self) }

@_cdecl("hadpo_model_open") @implementation
public func hadpo_model_open(
    _ engine: OpaquePointer?, _ config: UnsafePointer<CChar>?, _ size: Int, _ model: UnsafeMutablePointer<OpaquePointer?>?,
    _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> hadpo_status {
    model?.pointee = nil
    return status(error) { () throws(HadpoError) in
        let result = try place(model, "model")
        let engine = try handle(engine, EngineHandle.self, "engine")
        let config = try configured(config, size, "hadpo.model/1", "config", ModelConfig.init).config
        let opened = try engine.exclusively { progress throws(HadpoError) in
            let folder = try ModelFamily.openFolder(config.files, arena: engine.device.arena, progress: progress)
            let model = try folder.openModel(
                device: engine.device, processor: config.processor, weights: config.weights, isVerified: config.verify,
                progress: progress)
            let notes = try folder.notes + folder.lengthNotes() + folder.reading.notes
            for note in notes { try progress.emit(["event": "note", "message": .string(note)]) }
            guard config.cache != .i8 || model.decoder.takesInt8Cache else {
                throw HadpoError(
                    .unsupported, "this model's keys and values cannot be kept in int8", at: "config.kv_cache",
                    found: "heads of \(model.decoder.config.headWidth)",
                    expected: "fp32 or fp16, or heads of a multiple of 16, in all of 32")
            }
            model.decoder.cacheType = config.cache ?? engine.device.cacheType
            let handle = ModelHandle(engine: engine, folder: folder, model: model, weights: config.weights, notes: notes)
            if let adapter = config.adapter {
                try model.loadAdapter(folder: adapter, progress: progress)
            }
            return handle
        }
        result.pointee = retained(opened)
    }
}

@_cdecl("hadpo_model_free") @implementation
public func hadpo_model_free(_ model: OpaquePointer?) { release(model, ModelHandle.self) }

@_cdecl("hadpo_model_describe") @implementation
public func hadpo_model_describe(
    _ model: OpaquePointer?, _ json: UnsafeMutablePointer<OpaquePointer?>?, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> hadpo_status {
    json?.pointee = nil
    return status(error) { () throws(HadpoError) in
        let result = try place(json, "json")
        let model = try handle(model, ModelHandle.self, "model")
        let description = try model.engine.exclusively { _ throws(HadpoError) in model.description }
        result.pointee = retained(BytesHandle(description.text(indent: 2)))
    }
}

@_cdecl("hadpo_model_generate") @implementation
public func hadpo_model_generate(
    _ model: OpaquePointer?, _ request: UnsafePointer<CChar>?, _ size: Int, _ image: OpaquePointer?,
    _ json: UnsafeMutablePointer<OpaquePointer?>?, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> hadpo_status {
    json?.pointee = nil
    return status(error) { () throws(HadpoError) in
        let result = try place(json, "json")
        let model = try handle(model, ModelHandle.self, "model")
        let config = try configured(request, size, "hadpo.generate/1", "request") {
            r throws(HadpoError) in try GenerationConfig(&r, folder: model.model.generation)
        }.config
        let picture = try picture(image)
        let generated = try model.engine.exclusively { progress throws(HadpoError) in
            try Generation.run(model: model.model, request: config, image: try model.engine.counted(picture), progress: progress)
        }
        result.pointee = retained(BytesHandle(generated.text()))
    }
}

@_cdecl("hadpo_model_score") @implementation
public func hadpo_model_score(
    _ model: OpaquePointer?, _ request: UnsafePointer<CChar>?, _ size: Int, _ image: OpaquePointer?,
    _ logps: UnsafeMutablePointer<Float>?, _ capacity: Int, _ count: UnsafeMutablePointer<Int>?,
    _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> hadpo_status {
    count?.pointee = 0
    return status(error) { () throws(HadpoError) in
        let result = try place(count, "count")
        let model = try handle(model, ModelHandle.self, "model")
        let config = try configured(request, size, "hadpo.score/1", "request", ScoringConfig.init).config
        try model.engine.checkProcess()
        if capacity == 0 {
            let prompt = try AskedPrompt(config.asked, hasImage: image != nil, conversation: model.model.conversation)
            result.pointee = try prompt.completion(config.completion, tokenizer: model.model.tokenizer).count
            return
        }
        guard let logps else { throw HadpoError(.argument, "logps is NULL", expected: "room for \(capacity) floats") }
        let picture = try picture(image)
        let values = try model.engine.exclusively { progress throws(HadpoError) in
            try Scoring.run(model: model.model, request: config, image: try model.engine.counted(picture), progress: progress)
        }
        guard capacity < 0 || values.count <= capacity else {
            throw HadpoError(
                .argument, "the completion has more tokens than there is room for", at: "capacity", found: "\(capacity)",
                expected: "\(values.count)")
        }
        for (i, value) in values.enumerated() { logps[i] = value }
        result.pointee = values.count
    }
}

@_cdecl("hadpo_model_inspect") @implementation
public func hadpo_model_inspect(
    _ model: OpaquePointer?, _ request: UnsafePointer<CChar>?, _ size: Int, _ image: OpaquePointer?,
    _ path: UnsafePointer<CChar>?,
    _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> hadpo_status {
    status(error) { () throws(HadpoError) in
        let model = try handle(model, ModelHandle.self, "model")
        let config = try configured(request, size, "hadpo.inspect/1", "request", InspectionConfig.init).config
        let picture = try picture(image)
        let path = try string(path, "path")
        try model.checkApart(path)
        try model.engine.exclusively { progress throws(HadpoError) in
            try Inspection.run(
                model: model.model, request: config, image: try model.engine.counted(picture), path: path, progress: progress)
        }
    }
}

@_cdecl("hadpo_adapter_load") @implementation
public func hadpo_adapter_load(
    _ model: OpaquePointer?, _ directory: UnsafePointer<CChar>?, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> hadpo_status {
    status(error) { () throws(HadpoError) in
        let model = try handle(model, ModelHandle.self, "model")
        let directory = try string(directory, "directory")
        try model.engine.exclusively { progress throws(HadpoError) in
            try model.checkNoTrainer("an adapter cannot be loaded")
            try model.model.loadAdapter(folder: directory, progress: progress)
        }
    }
}

@_cdecl("hadpo_adapter_unload") @implementation
public func hadpo_adapter_unload(_ model: OpaquePointer?, _ error: UnsafeMutablePointer<OpaquePointer?>?) -> hadpo_status {
    status(error) { () throws(HadpoError) in
        let model = try handle(model, ModelHandle.self, "model")
        try model.engine.exclusively { _ throws(HadpoError) in
            try model.checkNoTrainer("the adapter cannot be taken off")
            model.model.unloadAdapter()
        }
    }
}

@_cdecl("hadpo_export") @implementation
public func hadpo_export(
    _ model: OpaquePointer?, _ config: UnsafePointer<CChar>?, _ size: Int, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> hadpo_status {
    status(error) { () throws(HadpoError) in
        let model = try handle(model, ModelHandle.self, "model")
        let config = try configured(config, size, "hadpo.export/1", "config", ExportConfig.init).config
        guard model.weights == .stored || model.weights == config.weights else {
            throw HadpoError(
                .config, "the model was opened quantised, and the export would hold its weights as they are stored",
                at: "/weights",
                found: "\(config.weights.rawValue), of a model opened with \(model.weights.rawValue)",
                expected: "a model opened with weights stored, or weights \(model.weights.rawValue) where that can be written")
        }
        try model.engine.exclusively { progress throws(HadpoError) in
            try Export.run(model.model, model.folder, config, progress: progress)
        }
    }
}

@_cdecl("hadpo_pope_run") @implementation
public func hadpo_pope_run(
    _ model: OpaquePointer?, _ config: UnsafePointer<CChar>?, _ size: Int, _ report: UnsafeMutablePointer<OpaquePointer?>?,
    _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> hadpo_status {
    report?.pointee = nil
    return status(error) { () throws(HadpoError) in
        let result = try place(report, "report")
        let model = try handle(model, ModelHandle.self, "model")
        let (family, folder) = (model.model.family, model.model.generation)
        let config = try configured(config, size, "hadpo.pope/1", "config") { r throws(HadpoError) in
            try PopeRunConfig(&r, family: family, folder: folder)
        }.config
        let scored = try model.engine.exclusively { progress throws(HadpoError) in
            try PopeRun.run(model: model.model, config: config, progress: progress)
        }
        result.pointee = retained(BytesHandle(scored.text(indent: 2)))
    }
}
