import HadpoAutograd
import HadpoBase
import HadpoModels
import HadpoNN
import HadpoTensor
import HadpoText
import HadpoVision
import HadpoWeights
import Testing
import HadpoTestSupport

/// Folder of the fixtures made by Tests/Fixtures/make_minigpt4.py and make_instructblip.py.
private let all = File.join(File.folder(of: File.folder(of: #filePath)), "Fixtures")

private struct EVASubject {
    let model: any VisionLanguageModel
    let folder: any ModelFolder
    let expected: Expected
    let image: RGBImage

    static let names = ["minigpt4", "instructblip/hf", "instructblip/lavis"]

    static func files(_ name: String) -> ModelFiles {
        switch name {
        case "minigpt4": return ModelFiles(path: File.join(all, "minigpt4/model"))
        case "instructblip/hf": return ModelFiles(path: File.join(all, "instructblip/hf"))
        default:
            var files = ModelFiles(path: File.join(all, "instructblip/lavis/llm"))
            files.visionTower = File.join(all, "minigpt4/model/eva_vit_g.pth")
            files.checkpoint = File.join(all, "instructblip/lavis/instruct_blip_vicuna13b_trimmed.pth")
            files.bert = File.join(all, "instructblip/lavis/bert-base-uncased")
            return files
        }
    }

    init(_ name: String, threads: Int = 0) throws {
        let device = try Device(threads: threads, numerics: .exact)
        let stem = name == "minigpt4" ? "minigpt4/expected" : name
        expected = try Expected(stem: File.join(all, stem), device)
        folder = try ModelFamily.openFolder(Self.files(name), arena: device.arena, progress: SilentProgress())
        model = try folder.openModel(device: device, processor: .checkpoint, weights: .stored, progress: SilentProgress())
        let picture = expected.json["picture"]?.stringValue ?? ""
        image = try RGBImage.decode(File.read(File.join(File.folder(of: File.join(all, stem)), picture)))
    }

    var question: String { expected.json["question"]?.stringValue ?? "" }
    var completion: String { expected.json["completion"]?.stringValue ?? "" }
    var template: String { expected.json["template"]?.stringValue ?? "" }

    func generate(_ template: String, _ extra: [JSON.Member]) throws -> [Int32] {
        let request: JSON = .object(
            [
                .init("schema", "hadpo.generate/1"), .init("question", .string(question)), .init("template", .string(template)),
                .init("max_new_tokens", expected.json["max_new_tokens"] ?? 24),
                .init("repetition_penalty", expected.json["repetition_penalty"] ?? 1),
            ] + extra)
        let config = try ConfigReader.read(request, schema: "hadpo.generate/1", GenerationConfig.init).config
        let result = try Generation.run(model: model, request: config, image: image, progress: SilentProgress())
        return (result["ids"]?.arrayValue ?? []).compactMap { $0.intValue.map(Int32.init) }
    }
}

@Suite struct EVAModelTests {
    // fp32 on both sides, other orders of sums; 4e-6 is what is seen, and 1e-4 the bound.
    @Test("every block, Q-Former layer, logit and log-prob equals PyTorch's", arguments: EVASubject.names)
    fileprivate func forward(_ name: String) throws {
        let subject = try EVASubject(name)
        try withTemporaryFolder { try compare(subject, File.join($0, "seen.safetensors")) }
    }

    private func compare(_ subject: EVASubject, _ path: String) throws {
        let request: JSON = [
            "schema": "hadpo.inspect/1", "question": .string(subject.question), "completion": .string(subject.completion),
            "template": .string(subject.template),
        ]
        let config = try ConfigReader.read(request, schema: "hadpo.inspect/1", InspectionConfig.init).config
        try Inspection.run(model: subject.model, request: config, image: subject.image, path: path, progress: SilentProgress())
        let seen = try Checkpoint.open(path, load: .read, arena: Arena(), progress: SilentProgress())
        var compared = 0
        for tensor in subject.expected.tensors.names where !tensor.contains("greedy_ids") && !tensor.contains("beam5") {
            if tensor.hasPrefix("eval.") { continue }
            if tensor.hasSuffix("_ids") {
                let (found, wanted) = (try seen.tensor(tensor), try subject.expected.tensors.tensor(tensor))
                let same = (0..<max(found.count, wanted.count)).allSatisfy {
                    $0 < found.count && $0 < wanted.count
                        && found.pointer.load(fromByteOffset: 8 * $0, as: Int64.self)
                            == wanted.pointer.load(fromByteOffset: 8 * $0, as: Int64.self)
                }
                #expect(same, "\(tensor) differs")
            } else if tensor == "logps" {
                for (a, b) in zip(try seen.tensor(tensor).floats(), try subject.expected.floats(tensor)) {
                    #expect(abs(a - b) < 1e-4)
                }
            } else {
                let difference = relative(try seen.tensor(tensor).floats(), try subject.expected.floats(tensor))
                #expect(difference < (tensor == "pixel_values" ? 1e-12 : 1e-4), "\(tensor): \(difference)")
            }
            compared += 1
        }
        #expect(compared >= 10)
    }

    @Test("greedy ids and the ids of five beams equal PyTorch's, in both prompts", arguments: EVASubject.names)
    fileprivate func generation(_ name: String) throws {
        let subject = try EVASubject(name)
        var compared = 0
        for (prefix, template) in [("", subject.template), ("eval.", "hadpo-eval")] {
            for (key, extra) in [
                ("greedy_ids", []), ("beam5_ids", [JSON.Member("num_beams", 5), JSON.Member("beam_rule", "hf-4.57")]),
                ("beam5_ids.hf-4.31", [JSON.Member("num_beams", 5), JSON.Member("beam_rule", "hf-4.31")]),
            ] as [(String, [JSON.Member])] where subject.expected.tensors.contains(prefix + key) {
                let wanted = try subject.expected.tensorIDs(prefix + key)
                #expect(try subject.generate(template, extra) == wanted, "\(prefix)\(key)")
                compared += 1
            }
        }
        #expect(compared >= 2)
    }

    @Test("questions about one picture are answered as each alone, to the bit", arguments: EVASubject.names)
    fileprivate func sharedPicture(_ name: String) throws {
        let subject = try EVASubject(name)
        let pixels = try subject.model.pipeline.pixelValues(subject.image)
        let questions = ["Is there a dog in the image?", "What is on the table?", subject.question]
        var rule = Generation.Rule(maxNewTokens: 8)
        rule.keepsFirstLogits = true
        func answers(_ questions: [String]) throws -> [Generated] {
            var prefixes: [PromptSession.Prefix] = []
            var branches: [PromptSession.Continuation] = []
            for question in questions {
                let prompt = try subject.model.conversation.prompt(question: question, template: .hadpoEval, sample: "test")
                branches.append(.init(prefix: prefixes.count, ids: prompt.after))
                prefixes.append(.init(prompt.prefix, pixels: [pixels]))
            }
            let session = try PromptSession(subject.model, prefixes, progress: SilentProgress())
            return try Generation.answers(session, branches, rule)
        }
        let together = try answers(questions)
        for (question, answer) in zip(questions, together) { #expect(try answers([question]) == [answer]) }
    }

    @Test("a Q-Former sees another picture when it reads another question")
    func instructionMatters() throws {
        let subject = try EVASubject("instructblip/hf")
        let tape = Tape(device: subject.model.device, progress: SilentProgress())
        let features = try subject.model.features(tape, [subject.model.pipeline.pixelValues(subject.image)])
        func rows(_ question: String) throws -> [Float] {
            let prompt = try subject.model.conversation.prompt(question: question, template: .hf, sample: "test")
            return try subject.model.project(tape, features, [prompt.instruction], reference: false).data.floats()
        }
        #expect(relative(try rows("a dog?"), try rows("a cup?")) > 1e-3)
    }

    @Test("what upstream relies on silently is said")
    func notes() throws {
        let minigpt4 = try EVASubject("minigpt4").folder.notes
        #expect(minigpt4.contains { $0.contains("ln_vision is in no file") })
        #expect(minigpt4.contains { $0.contains("head.weight") })
        #expect(try EVASubject("instructblip/lavis").folder.notes.contains { $0.contains("[PAD]") })
    }

    @Test("a processor that the family does not have is refused", arguments: EVASubject.names)
    fileprivate func processor(_ name: String) throws {
        let subject = try EVASubject(name)
        let error = #expect(throws: HadpoError.self) {
            try subject.folder.openModel(
                device: subject.model.device, processor: .pad, weights: .stored, progress: SilentProgress())
        }
        #expect(error?.status == .unsupported && error?.found?.contains("pad") == true)
    }

    @Test("the identity tells how the weights are held, whoever the family is")
    func identityOfWeights() throws {
        let device = try Device(threads: 1)
        let folders = [ModelFiles(path: File.join(all, "llava/old-f32"))] + EVASubject.names.map { EVASubject.files($0) }
        for files in folders {
            let folder = try ModelFamily.openFolder(files, arena: device.arena, progress: SilentProgress())
            let prints = try [WeightFormat.stored, .int8, .int4].map {
                try folder.openModel(device: device, processor: .checkpoint, weights: $0, progress: SilentProgress()).identity
                    .digest
            }
            #expect(Set(prints).count == 3, "\(folder.family)")
        }
    }

    // MARK: wrong mixtures

    private func refusal(_ change: (inout ModelFiles) -> Void, _ name: String = "instructblip/lavis") -> HadpoError? {
        var files = EVASubject.files(name)
        change(&files)
        let changed = files
        return #expect(throws: HadpoError.self) {
            let device = try Device(threads: 1)
            let folder = try ModelFamily.openFolder(changed, arena: device.arena, progress: SilentProgress())
            _ = try folder.openModel(device: device, processor: .checkpoint, weights: .stored, progress: SilentProgress())
        }
    }

    @Test("a language model of another width is refused by file, tensor and shape")
    func wrongLanguageModel() throws {
        try withTemporaryFolder { folder in
            let llm = File.join(all, "instructblip/lavis/llm")
            for name in try File.list(llm) { try File.writeAtomically(File.join(folder, name), File.read(File.join(llm, name))) }
            let config = File.join(folder, "config.json")
            var json = try File.readJSON(config)
            json["hidden_size"] = 64
            try File.writeAtomically(config, json.text())
            let error = refusal { $0.path = folder }
            #expect(error?.status == .weights)
            let text = "\(error?.message ?? "") \(error?.place ?? "") \(error?.found ?? "") \(error?.expected ?? "")"
            #expect(text.contains("llm_proj.weight") && text.contains("trimmed.pth") && text.contains("[64, 32]"), "\(text)")
        }
    }

    @Test("an EVA tower of another width is refused by file and shape")
    func wrongTower() throws {
        try withTemporaryFolder { folder in
            // A tower twice as wide: only shapes matter before anything is computed.
            let device = try Device(threads: 1)
            let path = File.join(folder, "eva.pth")
            let plans = [
                TensorPlan("patch_embed.proj.weight", .f16, [352, 3, 4, 4]), TensorPlan("pos_embed", .f32, [1, 17, 352]),
                TensorPlan("cls_token", .f32, [1, 1, 352]), TensorPlan("blocks.0.mlp.fc1.weight", .f16, [40, 352]),
                TensorPlan("blocks.0.mlp.fc2.weight", .f16, [352, 40]),
            ]
            let writer = try TorchWriter(path, plans, progress: SilentProgress())
            for plan in plans { try writer.write(plan.name, try device.allocate(plan.shape, plan.dtype)) }
            try writer.finish()
            let error = refusal { $0.visionTower = path }
            #expect(error?.status == .weights)
            let text = "\(error?.message ?? "") \(error?.place ?? "") \(error?.found ?? "") \(error?.expected ?? "")"
            #expect(text.contains("176") && text.contains("352") && text.contains("trimmed.pth"), "\(text)")
        }
    }

    @Test("a Q-Former that reads no instruction is refused by tensor and file")
    func blip2() throws {
        try withTemporaryFolder { folder in
            let arena = Arena()
            let path = File.join(all, "instructblip/lavis/instruct_blip_vicuna13b_trimmed.pth")
            let whole = try Checkpoint.open(path, load: .read, arena: arena, progress: SilentProgress())
            let kept = whole.names.filter { !$0.contains("word_embeddings") }
            let other = File.join(folder, "blip2.pth")
            let plans = try kept.map { TensorPlan($0, try #require(whole.info($0)).dtype, try #require(whole.info($0)).shape) }
            let writer = try TorchWriter(other, plans, under: "model", progress: SilentProgress())
            for name in kept { try writer.write(name, try whole.tensor(name)) }
            try writer.finish()
            let error = refusal { $0.checkpoint = other }
            #expect(error?.message.contains("no instruction") == true)
            #expect(error?.found?.contains("word_embeddings") == true && error?.place == other)
        }
    }

    /// A folder with another added_tokens.json is the same model with one id more.
    private func withAddedToken(_ id: Int, in llm: String, _ body: (String) -> Void) throws {
        try withTemporaryFolder { folder in
            for name in try File.list(llm) where File.isFile(File.join(llm, name)) {
                try File.writeAtomically(File.join(folder, name), File.read(File.join(llm, name)))
            }
            try File.writeAtomically(File.join(folder, "added_tokens.json"), "{\"<x>\": \(id)}")
            body(folder)
        }
    }

    @Test(
        "an added token whose id has no row of the embeddings is refused, whoever the family is",
        arguments: [400, 40_000_000, 100_000_000])
    func idsBehindTheEmbeddings(_ id: Int) throws {
        try withAddedToken(id, in: File.join(all, "llava/old-f32")) { folder in
            let error = refusal({ $0 = ModelFiles(path: folder) }, "minigpt4")
            #expect(
                error?.status == .weights && error?.found?.contains("\(id + 1)") == true,
                "LLaVA: \(error.map { "\($0)" } ?? "opened")")
        }
        let minigpt4 = File.join(all, "minigpt4/model")
        try withAddedToken(id, in: File.join(minigpt4, "llm")) { folder in
            let error = refusal(
                {
                    $0 = ModelFiles(path: folder)
                    $0.visionTower = File.join(minigpt4, "eva_vit_g.pth")
                    $0.checkpoint = File.join(minigpt4, "pretrained_minigpt4_llama2_7b.pth")
                }, "minigpt4")
            #expect(
                error?.status == .weights && error?.found?.contains("\(id + 1)") == true,
                "MiniGPT-4: \(error.map { "\($0)" } ?? "opened")")
        }
        // LAVIS makes rows for its own added tokens; not for ids that no token has.
        try withAddedToken(id, in: File.join(all, "instructblip/lavis/llm")) { folder in
            let error = refusal { $0.path = folder }
            #expect(
                error?.status == .weights && error?.message.contains("gap") == true, "LAVIS: \(error.map { "\($0)" } ?? "opened")"
            )
        }
    }

    @Test("parts that are missing are asked for by the key that names them")
    func missingParts() {
        #expect(refusal { $0.visionTower = nil }?.message.contains("vision_tower") == true)
        #expect(refusal { $0.bert = nil }?.message.contains("bert") == true)
        #expect(refusal { $0.checkpoint = nil }?.message.contains("language model alone") == true)
    }
}
