import CHadpo
import Glibc
import HadpoBase
import HadpoEval
import HadpoModels
import HadpoTensor
import HadpoTrain
import HadpoVision
import HadpoWeights

// What the opaque pointers of hadpo.h point at. Swift counts the references: a model holds its engine, a trainer its model,
// so that the host may free in any order.

final class ErrorHandle {
    let json: BytesHandle
    init(_ error: HadpoError) {
        var members: [JSON.Member] = [
            .init("status", JSON(Int(error.status.rawValue))), .init("name", .string(statusName(error.status.rawValue))),
            .init("message", .string(error.message)),
        ]
        if let place = error.place { members.append(.init("where", .string(place))) }
        if let found = error.found { members.append(.init("found", .string(found))) }
        if let expected = error.expected { members.append(.init("expected", .string(expected))) }
        json = BytesHandle(JSON.object(members).text())
    }
}

final class BytesHandle {
    /// NUL-terminated; the terminator is not part of the size.
    let storage: UnsafeMutableBufferPointer<CChar>
    init(_ text: String) {
        let bytes = Array(text.utf8CString)
        storage = .allocate(capacity: bytes.count)
        _ = storage.initialize(from: bytes)
    }
    deinit { storage.deallocate() }
}

final class ImageHandle {
    let image: RGBImage
    init(_ image: RGBImage) { self.image = image }
}

final class EngineHandle {
    let config: EngineConfig
    let device: Device
    let interrupt = Flag()
    private let isBusy = Flag()
    private let process = getpid()
    private let onEvent: hadpo_event_fn?
    private let user: UnsafeMutableRawPointer?

    init(_ config: EngineConfig, _ onEvent: hadpo_event_fn?, _ user: UnsafeMutableRawPointer?) throws(HadpoError) {
        self.config = config
        self.onEvent = onEvent
        self.user = user
        device = try Device(
            threads: config.threads, kernels: config.kernels, numerics: config.numerics, arena: Arena(limit: config.memoryLimit))
    }

    /// One call at a time: the kernels' threads and the event callback belong to it.
    func exclusively<T>(_ body: (HostProgress) throws(HadpoError) -> T) throws(HadpoError) -> T {
        try checkProcess()
        if isBusy.testAndSet() {
            throw HadpoError(
                .busy, "another call is running on this engine", expected: "one call at a time; open a second engine for more")
        }
        defer { isBusy.clear() }
        return try body(HostProgress(interrupt: interrupt, onEvent: onEvent, user: user))
    }

    /// A host's picture as a call sees it: its pixels count against the engine's limit as long as the call uses them.
    func counted(_ picture: RGBImage?) throws(HadpoError) -> RGBImage? {
        guard let picture else { return nil }
        return try picture.counted(against: device.arena)
    }

    func checkProcess() throws(HadpoError) {
        guard getpid() == process else {
            throw HadpoError(.state, "this handle was made before a fork", expected: "handles of this process")
        }
    }
}

final class ModelHandle {
    let engine: EngineHandle
    let folder: any ModelFolder
    let model: any VisionLanguageModel
    let weights: WeightFormat
    /// What was not in the folder, and what is there and is not used.
    let notes: [String]
    /// Set while a trainer owns the adapter.
    weak var trainer: TrainerHandle?

    init(engine: EngineHandle, folder: any ModelFolder, model: any VisionLanguageModel, weights: WeightFormat, notes: [String]) {
        self.weights = weights
        self.notes = notes
        self.engine = engine
        self.folder = folder
        self.model = model
    }

    /// What `hadpo_model_describe` answers.
    var description: JSON {
        let text = model.decoder.config
        return [
            "schema": "hadpo.model-description/1", "family": .string(model.family.rawValue), "path": .string(folder.path),
            "layout": .string(folder.layoutName), "weight_bytes": JSON(folder.weightBytes),
            "dtype": .string(model.decoder.embedding.data.dtype.rawValue), "weights": .string(weights.rawValue),
            "notes": JSON(notes), "unread": JSON(folder.reading.unread),
            "text": [
                "width": JSON(text.width), "feed_forward": JSON(text.feedForward),
                "layers": JSON(text.layers), "heads": JSON(text.heads), "kv_heads": JSON(text.kvHeads),
                "vocabulary": JSON(text.vocabulary), "max_positions": JSON(text.maxPositions), "rope_theta": JSON(text.ropeTheta),
            ],
            "vision": model.visionDescription,
            "image_rows": JSON(model.imageRows), "image_pipeline": .string(model.pipeline.identity),
            "tokenizer": [
                "vocabulary": JSON(model.tokenizer.vocabularyCount), "fingerprint": .string(model.tokenizer.fingerprint),
            ],
            "identity": model.identity.json,
            "adapter": adapterDescription,
            "engine": [
                "threads": JSON(engine.device.threads), "kernels": .string(engine.device.kernelName),
                "numerics": .string(engine.device.numerics.rawValue), "arena_bytes": JSON(engine.device.arena.live),
            ],
        ]
    }

    private var adapterDescription: JSON {
        guard let adapter = model.loadedAdapter else { return .null }
        var json = adapter.json
        json["trained"] = .bool(adapter.isTrainedFurther)
        return json
    }

    /// What is written of the model is written over none of its own files, wherever those lie.
    func checkApart(_ path: String) throws(HadpoError) {
        let weights = folder.checkpoints.flatMap(\.filePaths).map { ("the model", Optional($0)) }
        try OutputPlace.require([("path", path)], apartFrom: weights, .argument)
        let folders = [("the model", Optional(folder.path)), ("the adapter", model.loadedAdapter?.path)]
        try OutputPlace.require(("path", path), overNothingIn: folders, .argument)
    }

    func checkNoTrainer(_ what: String) throws(HadpoError) {
        if trainer != nil {
            throw HadpoError(.state, "\(what) while a trainer works on this model", expected: "hadpo_trainer_free first")
        }
    }
}

final class TrainerHandle {
    let model: ModelHandle
    let run: TrainingRun
    init(model: ModelHandle, run: TrainingRun) {
        self.model = model
        self.run = run
    }
}

/// The host's side of long work: its events, its wish to stop.
final class HostProgress: Progress {
    private let interrupt: Flag
    private let onEvent: hadpo_event_fn?
    private let user: UnsafeMutableRawPointer?
    private var lastEvent = Clock.now()

    init(interrupt: Flag, onEvent: hadpo_event_fn?, user: UnsafeMutableRawPointer?) {
        self.interrupt = interrupt
        self.onEvent = onEvent
        self.user = user
    }

    func tick() throws(HadpoError) {
        try Memory.checkReserve()
        if interrupt.take() { throw HadpoError(.cancelled, "the call was interrupted") }
        if onEvent != nil, Clock.now() - lastEvent > 0.4 { try emit(.object([.init("event", "heartbeat")])) }
    }

    func emit(_ record: JSON) throws(HadpoError) {
        guard let onEvent else { return }
        lastEvent = Clock.now()
        var record = record
        // What a warning quotes out of a file or of a configuration is as long as an error may quote it.
        if case .string("warning")? = record["event"], let message = record["message"]?.stringValue {
            record["message"] = .string(message.shortened())
        }
        var text = record.text()
        let answer = text.withUTF8 { bytes in
            bytes.withMemoryRebound(to: CChar.self) { onEvent($0.baseAddress, $0.count, user) }
        }
        if answer != 0 {
            throw HadpoError(.callback, "the event callback asked to stop", found: "\(answer)", expected: "0 to go on")
        }
    }
}
