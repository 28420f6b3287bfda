import CHadpo
import HadpoBase
import HadpoModels
import HadpoTensor
import HadpoVision

/// Pictures, the files around a model's weights, and a training's saved state.
enum ModelParsers {
    static let all: [Parser] =
        [
            Parser("png", .bytes) { bytes in try decode(bytes) },
            Parser("jpeg", .bytes) { bytes in try decode(bytes) },
            Parser("preprocessor") { bytes in
                let pipeline = try ImagePipeline(preprocessorConfig: JSON.parse(bytes, source: "preprocessor_config.json"))
                guard pipeline.outputSize.height <= 64, pipeline.outputSize.width <= 64 else { return }
                let grey = try RGBImage(rgb8: [UInt8](repeating: 7, count: 18), width: 3, height: 2, rowBytes: 9)
                let values = try pipeline.pixelValues(grey)
                guard values.count == 3 * pipeline.outputSize.height * pipeline.outputSize.width else {
                    violated("a picture of another size than the settings say")
                }
            },
            folder("config-llava", "llava/old-f32", "config.json"),
            folder("config-llava-original", "llava/original-f16", "config.json"),
            folder("config-minigpt4", "minigpt4/model", "llm/config.json"),
            folder("config-instructblip", "instructblip/hf", "config.json"),
            folder("config-lavis", "instructblip/lavis", "llm/config.json"),
            folder("config-bert", "instructblip/lavis", "bert-base-uncased/config.json"),
            folder("generation-config", "llava/old-f32", "generation_config.json"),
            folder("processor-config", "llava/old-f32", "preprocessor_config.json"),
        ] + [state]

    private static func decode(_ bytes: UnsafeRawBufferPointer) throws {
        let image = try RGBImage.decode(bytes, limits: ImageLimits(maxPixels: 1 << 20, maxJPEGScans: 20))
        let png = try image.png()
        let again = try withExtendedLifetime(png) { try RGBImage.decode(png.rawBytes) }
        guard again == image else { violated("a picture does not survive being written as PNG") }
        guard image.width * image.height < 1 << 16 else { return }
        _ = try ImagePipeline.clip(size: 28, pad: true).pixelValues(image)
    }

    /// A model's folder of which one file is the input; what opens must also answer.
    private static func folder(_ name: String, _ fixture: String, _ file: String) -> Parser {
        var engine: Device?
        return Parser(name) { bytes in
            if engine == nil {
                Scratch.copy(fixture, to: name)
                engine = try Device(threads: 1, kernels: .portable, arena: Arena(limit: 1 << 29))
            }
            guard let engine else { return }
            Scratch.write("\(name)/\(file)", bytes)
            let folder = try ModelFamily.openFolder(
                ModelFiles(path: Scratch.path(name)), arena: engine.arena, progress: SilentProgress())
            let model = try folder.openModel(device: engine, processor: .checkpoint, weights: .stored, progress: SilentProgress())
            _ = model.conversation
        }
    }

    // MARK: a saved training

    /// trainer_state.safetensors in a folder that is otherwise as it was saved, resumed by a trainer of the same training.
    private static let state = Parser(
        "trainer-state", .safetensors, seeds: { [try File.read(saved.folder + "/trainer_state.safetensors")] }
    ) { bytes in
        let saved = try saved
        Scratch.write("training/trainer_state.safetensors", bytes)
        var error: OpaquePointer?
        defer { hadpo_error_free(error) }
        try CInterface.check(hadpo_trainer_resume(saved.trainer, saved.folder, &error), error)
        try CInterface.call { hadpo_trainer_run(saved.trainer, 1, $0, $1) }
    }

    private struct Saved {
        let folder: String
        let trainer: OpaquePointer
    }

    private nonisolated(unsafe) static var kept: Saved?

    private static var saved: Saved {
        get throws {
            if let kept { return kept }
            var (engine, model, trainer, error): (OpaquePointer?, OpaquePointer?, OpaquePointer?, OpaquePointer?)
            func open(_ status: hadpo_status) {
                if status != HADPO_OK { violated("the training cannot be set up: \(String(cString: hadpo_error_json(error)))") }
            }
            let engineConfig = #"{"schema": "hadpo.engine/1", "threads": 1, "kernels": "portable", "memory_limit": 500000000}"#
            open(hadpo_engine_open(engineConfig, engineConfig.utf8.count, nil, nil, &engine, &error))
            let modelConfig = #"{"schema": "hadpo.model/1", "path": "Tests/Fixtures/llava/old-f32"}"#
            open(hadpo_model_open(engine, modelConfig, modelConfig.utf8.count, &model, &error))
            let config: JSON = [
                "schema": "hadpo.train/1", "steps": 6, "batch": 1, "accumulation": 1, "projector": false,
                "data": [
                    "format": "pairs", "pairs": "Tests/Fixtures/llava/dpo/pairs.jsonl", "images": "Tests/Fixtures/llava/pictures",
                ],
                "lora": ["rank": 1, "target": ["q_proj"]],
            ]
            let text = config.text()
            open(hadpo_trainer_open(model, text, text.utf8.count, &trainer, &error))
            let folder = Scratch.path("training")
            open(hadpo_trainer_save(trainer, folder, &error))
            guard let trainer else { violated("no trainer") }
            let saved = Saved(folder: folder, trainer: trainer)
            kept = saved
            return saved
        }
    }
}

/// All readers, by what they read.
let allParsers = TextParsers.all + WeightParsers.all + DataParsers.all + ModelParsers.all
