import HadpoAutograd
import HadpoBase
import HadpoModels
import HadpoNN
import HadpoTensor
import HadpoTestSupport
import HadpoVision
import HadpoWeights
import Testing

/// Folder of the fixtures made by Tests/Fixtures/make_adapters.py with peft.
private let all = File.join(File.folder(of: File.folder(of: #filePath)), "Fixtures")
private let quiet = SilentProgress()
private let cases = ["llava-names", "llava-all", "llava-saved", "blip-all"]

private struct AdaptedModel {
    let model: any VisionLanguageModel
    let folder: any ModelFolder
    let expected: Expected
    let path: String

    init(_ name: String, base: String? = nil) throws {
        let device = try Device(threads: 1, numerics: .exact)
        path = File.join(all, "adapters/" + name)
        expected = try Expected(stem: path + "/expected", device)
        let base = base ?? File.join(all, expected.json["base"]?.stringValue ?? "")
        folder = try ModelFamily.openFolder(ModelFiles(path: base), arena: device.arena, progress: quiet)
        let processor = ImageProcessorChoice(rawValue: expected.json["processor"]?.stringValue ?? "") ?? .checkpoint
        model = try folder.openModel(device: device, processor: processor, weights: .stored, progress: quiet)
    }

    /// This model as an export with its adapter writes it, opened.
    func merged(into place: String) throws -> AdaptedModel {
        let config = try ConfigReader.read(
            ["schema": "hadpo.export/1", "output": .string(place)], schema: "hadpo.export/1", ExportConfig.init
        ).config
        try Export.run(model, folder, config, progress: quiet)
        return try AdaptedModel(File.name(of: path), base: place)
    }

    /// Every figure of the fixture's question, by name.
    func figures() throws -> [String: [Float]] {
        var figures: [String: [Float]] = [:]
        try withTemporaryFolder { folder in
            let request: JSON = [
                "schema": "hadpo.inspect/1", "question": expected.json["question"] ?? "",
                "completion": expected.json["completion"] ?? "", "template": expected.json["template"] ?? "",
            ]
            let config = try ConfigReader.read(request, schema: "hadpo.inspect/1", InspectionConfig.init).config
            let picture = File.join(File.join(all, "adapters"), expected.json["picture"]?.stringValue ?? "")
            try Inspection.run(
                model: model, request: config, image: RGBImage.decode(File.read(picture)), path: File.join(folder, "seen"),
                progress: quiet)
            let seen = try Checkpoint.open(File.join(folder, "seen"), load: .read, arena: Arena(), progress: quiet)
            for name in seen.names { if let values = try? seen.tensor(name).floats() { figures[name] = values } }
        }
        if let logits = figures["logits"] { figures["logits"] = logits.suffix(8 * model.decoder.config.vocabulary) }
        return figures
    }

    /// Compares all that the fixture holds. fp32 on both sides, other orders of sums: 1e-5 is what is seen, and 1e-4 the bound.
    func compare(_ adapted: Bool = true) throws {
        let found = try figures()
        var compared = 0
        for name in expected.tensors.names where ["vision.features", "projected", "logits", "logps"].contains(name) {
            guard adapted || name == "logits" else { continue }
            let wanted = try expected.floats(adapted ? name : "off." + name)
            let difference = relative(try #require(found[name]), wanted)
            #expect(difference < 1e-4, "\(name): \(difference)")
            compared += 1
        }
        #expect(compared >= (adapted ? 2 : 1))
    }
}

@Suite struct AdapterModelTests {
    @Test("adapters over a whole model give peft's numbers, tensor by tensor, and none of them when taken off", arguments: cases)
    func figures(_ name: String) throws {
        let subject = try AdaptedModel(name)
        try subject.compare(false)
        let loaded = try subject.model.loadAdapter(folder: subject.path, progress: quiet)
        try subject.compare()
        #expect(loaded.config.unread == [])
        #expect(subject.model.hasTowerAdapter)
        subject.model.unloadAdapter()
        try subject.compare(false)
        #expect(!subject.model.hasTowerAdapter && subject.model.loadedAdapter == nil)
    }

    @Test("merged weights give the adapter's numbers, on the tower, the Q-Former and the projector too", arguments: cases)
    func merged(_ name: String) throws {
        let subject = try AdaptedModel(name)
        try subject.model.loadAdapter(folder: subject.path, progress: quiet)
        let temporary = try TemporaryFolder()
        let merged = try subject.merged(into: temporary["merged"])
        let (one, other) = (try merged.figures(), try subject.figures())
        // An fp16 file rounds the sums; fp32 ones differ by the order in which they are summed.
        let bound = merged.model.decoder.embedding.data.dtype == .f32 ? 1e-5 : 2e-2
        for part in ["vision.features", "projected", "logits", "logps"] {
            let difference = relative(try #require(one[part]), try #require(other[part]))
            #expect(difference < bound, "\(part): \(difference)")
        }
    }

    @Test("pairs on blocks that are never computed are merged as well: transformers has them") func mergedUncomputed() throws {
        let subject = try AdaptedModel("llava-names")
        try subject.model.loadAdapter(folder: subject.path, progress: quiet)
        let temporary = try TemporaryFolder()
        let merged = try subject.merged(into: temporary["merged"])
        let last = "vision_tower.vision_model.encoder.layers.2.self_attn.q_proj.weight"
        let (before, after) = (
            try subject.folder.checkpoint.tensor(last).floats(), try merged.folder.checkpoint.tensor(last).floats()
        )
        #expect(before != after)
    }

    // MARK: names

    /// The folder with its tensors under other names.
    private func renamed(_ name: String, to folder: String, _ spelling: (String) -> String) throws {
        try File.makeDirectories(folder)
        let path = File.join(all, "adapters/\(name)")
        let file = try Checkpoint.open(path + "/adapter_model.safetensors", load: .read, arena: Arena(), progress: quiet)
        let tensors = try file.names.map { (spelling($0), try file.tensor($0)) }
        let writer = try SafetensorsWriter(
            File.join(folder, "adapter_model.safetensors"), tensors.map { TensorPlan($0.0, $0.1.dtype, $0.1.shape) },
            progress: quiet)
        for (name, tensor) in tensors { try writer.write(name, tensor) }
        try writer.finish()
        var config = try File.readJSON(path + "/adapter_config.json")
        // PEFT's patterns speak of the names of one layout; the numbers of this one are found by the ends of names.
        config["target_modules"] = "all-linear"
        try File.writeAtomically(File.join(folder, "adapter_config.json"), config.text())
    }

    @Test(
        "the same adapter under the names of transformers 4, of 4.52, of 5 and of the original is the same",
        arguments: ["nested", "middle", "original"])
    func spellings(_ spelling: String) throws {
        let temporary = try TemporaryFolder()
        let subject = try AdaptedModel("llava-names")
        func replaced(_ name: String, _ part: String, _ other: String) -> String {
            name.split(separator: part, omittingEmptySubsequences: false).joined(separator: other)
        }
        try renamed("llava-names", to: temporary["x"]) { name in
            switch spelling {
            case "nested":
                replaced(
                    replaced(name, "model.model.language_model.layers", "model.language_model.model.layers"),
                    "model.model.vision_tower.encoder", "model.vision_tower.vision_model.encoder")
            case "middle": replaced(name, "vision_tower.encoder", "vision_tower.vision_model.encoder")
            default:
                replaced(
                    replaced(name, "model.model.language_model.layers", "model.model.layers"), "vision_tower.encoder",
                    "vision_tower.vision_tower.vision_model.encoder")
            }
        }
        let loaded = try subject.model.loadAdapter(folder: temporary["x"], progress: quiet)
        #expect(loaded.json["pairs"] == ["decoder": 6, "vision": 6, "projector": 0])
        #expect(loaded.json["uncomputed"] == 2)
        try subject.compare()
    }

    @Test("a pair on a layer that the model lacks is refused by name, and nothing changes")
    func strangers() throws {
        let subject = try AdaptedModel("llava-names")
        try subject.model.loadAdapter(folder: subject.path, progress: quiet)
        for (from, to) in [
            ("encoder.layers.0.", "encoder.layers.3."), ("encoder.layers.0.", "encoder.layers.00."),
            ("vision_tower.encoder", "vision_tower.decoder"), ("model.vision_tower.encoder", "qformer.encoder"),
            ("language_model.layers.0", "language_model.layers.3"),
        ] {
            let temporary = try TemporaryFolder()
            try renamed("llava-names", to: temporary["x"]) { name in
                name.split(separator: from, omittingEmptySubsequences: false).joined(separator: to)
            }
            let error = #expect(throws: HadpoError.self) {
                try subject.model.loadAdapter(folder: temporary["x"], progress: quiet)
            }
            #expect(error?.status == .weights && error?.found != nil, "\(to)")
        }
        try subject.compare()
    }

    @Test("what an adapter holds has one digest, whatever its names are, and another when any number moves")
    func content() throws {
        let subject = try AdaptedModel("llava-names")
        let content = try LoadedAdapter.read(subject.model, folder: subject.path, progress: quiet).content
        let temporary = try TemporaryFolder()
        try renamed("llava-names", to: temporary["x"]) { $0 }
        #expect(try LoadedAdapter.read(subject.model, folder: temporary["x"], progress: quiet).content == content)
        var config = try File.readJSON(temporary["x"] + "/adapter_config.json")
        config["alpha_pattern"] = ["vision_tower.encoder.layers.0.self_attn.v_proj": 9]
        try temporary.write("x/adapter_config.json", config.text())
        #expect(try LoadedAdapter.read(subject.model, folder: temporary["x"], progress: quiet).content != content)
        // Of the projector's weights alone.
        let saved = try AdaptedModel("llava-saved")
        let first = try LoadedAdapter.read(saved.model, folder: saved.path, progress: quiet).content
        let file = try Checkpoint.open(saved.path + "/adapter_model.safetensors", load: .read, arena: Arena(), progress: quiet)
        let writer = try SafetensorsWriter(
            temporary["y.safetensors"],
            file.names.compactMap { name in file.info(name).map { TensorPlan(name, $0.dtype, $0.shape) } },
            progress: quiet)
        for name in file.names {
            let tensor = try file.tensor(name)
            if name.hasSuffix("linear_2.bias") {
                var values = try tensor.floats()
                values[0] += 1
                try writer.write(name, try saved.model.device.tensor(values, tensor.shape))
            } else {
                try writer.write(name, tensor)
            }
        }
        try writer.finish()
        try temporary.write("z/adapter_config.json", File.read(saved.path + "/adapter_config.json"))
        try temporary.write("z/adapter_model.safetensors", File.read(temporary["y.safetensors"]))
        #expect(try LoadedAdapter.read(saved.model, folder: temporary["z"], progress: quiet).content != first)
    }

    // MARK: LAVIS' files, the original's, quantised ones

    /// A folder with one random pair for each module; shapes are [outputs, inputs].
    private func made(_ modules: [(String, Int, Int)], in folder: TemporaryFolder) throws -> String {
        let device = try Device(threads: 1, numerics: .exact)
        var random = Philox(seed: 5, stream: 0)
        func matrix(_ rows: Int, _ columns: Int) throws -> Tensor {
            try device.tensor((0..<rows * columns).map { _ in Float(random.uniform() - 0.5) }, [rows, columns])
        }
        var tensors: [(String, Tensor)] = []
        for (module, outputs, inputs) in modules {
            tensors.append(("base_model.model.\(module).lora_A.weight", try matrix(2, inputs)))
            tensors.append(("base_model.model.\(module).lora_B.weight", try matrix(outputs, 2)))
        }
        try folder.write(
            "made/adapter_config.json", #"{"peft_type":"LORA","r":2,"lora_alpha":1,"target_modules":"all-linear"}"#)
        let writer = try SafetensorsWriter(
            folder["made/adapter_model.safetensors"], tensors.map { TensorPlan($0.0, $0.1.dtype, $0.1.shape) }, progress: quiet)
        for (name, tensor) in tensors { try writer.write(name, tensor) }
        try writer.finish()
        return folder["made"]
    }

    private func logits(_ model: any VisionLanguageModel) throws -> [Float] {
        let picture = try RGBImage.decode(File.read(File.join(all, "llava/pictures/wide.jpg")))
        let tape = Tape(device: model.device, progress: quiet)
        let features = try model.features(tape, [try model.pipeline.pixelValues(picture)])
        var packed = PackedRows(imageRows: model.imageRows)
        let prompt = try model.conversation.prompt(question: "What is there?", template: .hadpoTrain, sample: "x")
        packed.addBranch(packed.addPrefix(prompt.pieces), [5, 9, 2])
        return try model.logProbs(tape, packed, features: features).data.floats()
    }

    private func open(_ files: ModelFiles, _ weights: WeightFormat = .stored) throws -> (any ModelFolder, any VisionLanguageModel)
    {
        let device = try Device(threads: 1, numerics: .exact)
        let folder = try ModelFamily.openFolder(files, arena: device.arena, progress: quiet)
        let model = try folder.openModel(device: device, processor: .checkpoint, weights: weights, progress: quiet)
        return (folder, model)
    }

    private func export(
        _ model: any VisionLanguageModel, _ folder: any ModelFolder, to path: String, _ weights: String = "stored"
    )
        throws
    {
        let config = try ConfigReader.read(
            ["schema": "hadpo.export/1", "output": .string(path), "weights": .string(weights)], schema: "hadpo.export/1",
            ExportConfig.init
        ).config
        try Export.run(model, folder, config, progress: quiet)
    }

    @Test("pairs in LAVIS' names on MiniGPT-4's tower, projection and language model are merged into its three files")
    func lavis() throws {
        let temporary = try TemporaryFolder()
        let (folder, model) = try open(ModelFiles(path: File.join(all, "minigpt4/model")))
        let width = 176
        let path = try made(
            [
                ("visual_encoder.blocks.0.attn.qkv", 3 * width, width), ("visual_encoder.blocks.1.mlp.fc2", width, 40),
                ("llama_proj", 32, 4 * width), ("llama_model.model.layers.1.mlp.down_proj", 32, 56),
            ], in: temporary)
        let base = try logits(model)
        let loaded = try model.loadAdapter(folder: path, progress: quiet)
        #expect(loaded.json["pairs"] == ["decoder": 1, "vision": 2, "projector": 1])
        let adapted = try logits(model)
        #expect(relative(adapted, base) > 0.01)
        try export(model, folder, to: temporary["merged"])
        var files = ModelFiles(path: temporary["merged"])
        files.visionTower = File.join(temporary["merged"], "eva_vit_g.pth")
        files.checkpoint = File.join(temporary["merged"], "pretrained_minigpt4_llama2_7b.pth")
        // The files are fp16.
        #expect(try relative(logits(open(files).1), adapted) < 2e-2)
        // Each matrix counts: without q's rows, or with those of another, the numbers are elsewhere.
        model.unloadAdapter()
        #expect(try logits(model) == base)
    }

    @Test("an export refuses by name an adapter that it cannot reach: on a tower in a folder of its own, on quantised matrices")
    func unreachable() throws {
        let temporary = try TemporaryFolder()
        let (folder, model) = try open(ModelFiles(path: File.join(fixtures, "original-f16")))
        let tower = try made([("model.vision_tower.vision_tower.vision_model.encoder.layers.0.mlp.fc1", 32, 16)], in: temporary)
        try model.loadAdapter(folder: tower, progress: quiet)
        let first = #expect(throws: HadpoError.self) { try export(model, folder, to: temporary["a"]) }
        #expect(first?.status == .unsupported && first?.found?.contains("fc1") == true)

        let (base, whole) = try open(ModelFiles(path: File.join(fixtures, "old-f32")))
        try export(whole, base, to: temporary["quantised"], "int8")
        let (saved, quantised) = try open(ModelFiles(path: temporary["quantised"]))
        let second = try TemporaryFolder()
        let decoder = try made([("model.language_model.layers.0.self_attn.q_proj", 32, 32)], in: second)
        try quantised.loadAdapter(folder: decoder, progress: quiet)
        let refused = #expect(throws: HadpoError.self) { try export(quantised, saved, to: temporary["c"]) }
        #expect(refused?.status == .unsupported && refused?.found?.contains("q_proj") == true)
        #expect(!File.exists(temporary["c"] + "/config.json"))
    }
}
