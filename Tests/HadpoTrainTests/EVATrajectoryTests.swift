import HadpoBase
import HadpoModels
import HadpoTensor
import HadpoTestSupport
import HadpoTrain
import HadpoWeights
import Testing

/// Folder of the fixtures made by Tests/Fixtures/make_minigpt4.py and make_instructblip.py with PyTorch and peft.
private let all = File.join(File.folder(of: File.folder(of: #filePath)), "Fixtures")
private let quiet = SilentProgress()

/// ||found - expected|| / ||expected||: DESIGN's "relative" for gradients and updates.
private func relative(_ found: [Float], _ expected: [Float]) -> Double {
    guard found.count == expected.count else { return .infinity }
    let difference = zip(found, expected).reduce(0.0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }
    let size = expected.reduce(0.0) { $0 + Double($1) * Double($1) }
    return (difference / max(size, 1e-60)).squareRoot()
}

private func files(_ name: String) -> ModelFiles {
    var files = ModelFiles(path: File.join(all, name == "minigpt4" ? "minigpt4/model" : "instructblip/lavis/llm"))
    guard name != "minigpt4" else { return files }
    files.visionTower = File.join(all, "minigpt4/model/eva_vit_g.pth")
    files.checkpoint = File.join(all, "instructblip/lavis/instruct_blip_vicuna13b_trimmed.pth")
    files.bert = File.join(all, "instructblip/lavis/bert-base-uncased")
    return files
}

/// The configuration under which the fixture's trajectory was computed.
private func configuration(_ name: String, _ changes: [String: JSON] = [:]) throws -> (TrainConfig, JSON) {
    let folder = File.join(all, name + "/dpo")
    var data: JSON = [
        "format": "pairs", "pairs": .string(File.join(folder, "pairs.jsonl")),
        "images": .string(File.join(all, "llava/pictures")),
        "order": "file",
    ]
    if name == "minigpt4" { data["samples"] = .string(File.join(folder, "samples.jsonl")) }
    var json: JSON = [
        "schema": "hadpo.train/1", "data": data, "batch": 2, "accumulation": 1, "steps": 20, "beta": 0.1,
        "gamma": name == "minigpt4" ? 0.5 : 0,
        "optimizer": ["learning_rate": 0.001, "max_grad_norm": 0], "schedule": ["kind": "constant", "warmup_steps": 0],
        "lora": ["rank": 4, "alpha": 8, "init": .string(File.join(folder, "adapter"))],
    ]
    for (key, value) in changes { json[key] = value }
    let family: ModelFamily = name == "minigpt4" ? .minigpt4 : .instructBLIP
    return try ConfigReader.read(json, schema: "hadpo.train/1") { r throws(HadpoError) in try TrainConfig(&r, family: family) }
}

private func run(_ name: String, _ changes: [String: JSON] = [:], weights: WeightFormat = .stored) throws -> TrainingRun {
    let device = try Device(numerics: .exact)
    let folder = try ModelFamily.openFolder(files(name), arena: device.arena, progress: quiet)
    let model = try folder.openModel(device: device, processor: .checkpoint, weights: weights, progress: quiet)
    let (config, resolved) = try configuration(name, changes)
    return try TrainingRun(model, folder, config, resolved: resolved, progress: quiet)
}

@Suite struct EVATrajectoryTests {
    // fp32 on both sides, other orders of sums.
    @Test("20 steps of DPO follow PyTorch and peft", arguments: ["minigpt4", "instructblip"])
    func trajectory(_ name: String) throws {
        let run = try run(name)
        let expected = try File.readJSON(File.join(all, name + "/dpo/expected.json"))
        let tensors = try Checkpoint.open(
            File.join(all, name + "/dpo/frozen.safetensors"), load: .map, arena: run.model.device.arena, progress: quiet)
        let losses = (expected["loss"]?.arrayValue ?? expected["frozen"]?["loss"]?.arrayValue ?? []).compactMap(\.doubleValue)
        #expect(losses.count == 20)
        // A trajectory that does not move proves nothing.
        #expect((losses.max() ?? 0) - (losses.min() ?? 0) > 0.1)

        _ = try run.trainer.accumulateGradients(progress: quiet)
        #expect(run.trainer.optimizer.parameters.count == 12)
        for parameter in run.trainer.optimizer.parameters {
            let name = "gradient/base_model.model.model.\(parameter.name).weight"
            let gradient = try #require(parameter.value.gradient)
            let wanted = try tensors.tensor(name).floats()
            let difference = try relative(gradient.floats(), wanted)
            #expect(difference < 1e-3, "\(name): \(difference)")
            // What the test is worth: the same gradient with its sign turned is far away.
            #expect(try relative(gradient.floats().map { -$0 }, wanted) > 1)
        }
        let before = try run.trainer.optimizer.parameters.map { try $0.value.data.floats() }
        for (i, wanted) in losses.enumerated() {
            let record = try run.trainer.takeStep(progress: quiet)
            #expect(abs(record.loss - wanted) < 1e-4, "step \(i + 1): \(record.loss) instead of \(wanted)")
        }
        for (parameter, old) in zip(run.trainer.optimizer.parameters, before) {
            let name = "change/base_model.model.model.\(parameter.name).weight"
            let change = try zip(parameter.value.data.floats(), old).map { $0 - $1 }
            let difference = relative(change, try tensors.tensor(name).floats())
            #expect(difference < 1e-3, "\(name): \(difference)")
        }
    }

    @Test("an adapter learns on a quantised base, from log 2 down", arguments: [WeightFormat.int8, .int4, .bnbFP4])
    func quantised(_ weights: WeightFormat) throws {
        let run = try run("instructblip", ["lora": ["rank": 4, "alpha": 8]], weights: weights)
        let layer = try #require(run.model.decoder.layers.first)
        #expect(run.model.decoder.weightType == weights.dtype(of: layer.q.name + ".weight"))
        let head = run.model.decoder.head.data.dtype
        #expect(weights == .bnbFP4 ? [.f32, .f16, .bf16].contains(head) : head == .q8)
        let first = try run.trainer.takeStep(progress: quiet).loss
        // B is zero, so policy and reference are the same model to the bit.
        #expect(abs(first - 0.6931471805599453) < 1e-12)
        var last = first
        for _ in 1..<20 { last = try run.trainer.takeStep(progress: quiet).loss }
        #expect(last < first - 0.05, "\(last)")
    }

    @Test("a training goes on only with the pictures, questions and reference that it began with")
    func identity() throws {
        let folder = File.join(all, "instructblip/dpo")
        let data: (JSON) -> JSON = { extra in
            var data: JSON = [
                "format": "pairs", "pairs": .string(File.join(folder, "pairs.jsonl")),
                "images": .string(File.join(all, "llava/pictures")), "order": "file",
            ]
            for member in extra.objectValue ?? [] { data[member.key] = member.value }
            return data
        }
        let base = try run("instructblip", ["data": data([:])]).identity
        #expect(try run("instructblip", ["data": data([:])]).identity == base)
        #expect(try run("instructblip", ["data": data(["augmentation": "none"])]).identity != base)
        // Questions are drawn for descriptions alone.
        let upstream = try TemporaryFolder()
        let described: JSON = [
            "format": "hadpo", "order": "file", "images": .string(upstream.path),
            "desc": .string(try upstream.write("desc.json", #"{"7": {"chosen": ["A cup."], "rejected": ["A dog."]}}"#)),
            "image_data": .string(try upstream.write("data.json", #"[{"image_id": 7, "url": "https://x/VG_100K/7.jpg"}]"#)),
        ]
        try upstream.write("VG_100K/7.jpg", File.read(File.join(all, "llava/pictures/wide.jpg")))
        var once = described
        once["description_questions"] = "once"
        let drawn = try run("instructblip", ["data": described]).identity
        #expect(try run("instructblip", ["data": once]).identity != drawn)
        #expect(try run("instructblip", ["data": described, "reference": ["prompts": "own"]]).identity != drawn)
    }

    @Test("defaults are the published training of the opened model's family")
    func recipes() throws {
        func resolved(_ json: JSON, _ family: ModelFamily) throws -> JSON {
            try ConfigReader.read(json, schema: "hadpo.train/1") { r throws(HadpoError) in try TrainConfig(&r, family: family) }
                .resolved
        }
        let data: JSON = ["pope": "x"]
        let minigpt4 = try resolved(["schema": "hadpo.train/1", "data": data], .minigpt4)
        #expect(minigpt4["recipe"] == "hadpo-minigpt4" && minigpt4["lora"]?["rank"] == 64 && minigpt4["lora"]?["alpha"] == 16.0)
        #expect(minigpt4["lora"]?["target"] == ["q_proj", "k_proj", "v_proj"] && minigpt4["projector"] == false)
        #expect(minigpt4["gamma"] == 0.5 && minigpt4["steps"] == 1000 && minigpt4["schedule"]?["warmup_steps"] == 100)
        #expect(minigpt4["optimizer"]?["learning_rate"] == 1e-4 && minigpt4["optimizer"]?["max_grad_norm"] == 1.0)
        #expect(minigpt4["max_answer"] == 320)
        let blip = try resolved(["schema": "hadpo.train/1", "data": data], .instructBLIP)
        #expect(blip["optimizer"]?["learning_rate"] == 4e-6 && blip["data"]?["question_repeats"] == 2)
        #expect(blip["max_prompt"] == 128 && blip["max_answer"] == 255 && blip["schedule"]?["warmup_ratio"] == 0.0)
        // A recipe by name counts more than the model.
        let named = try resolved(["schema": "hadpo.train/1", "recipe": "hadpo-llava", "data": data], .minigpt4)
        #expect(named["lora"]?["rank"] == 128 && named["projector"] == true)
    }

    @Test("policy and reference are asked the same question; upstream's other behaviour has a name")
    func referencePrompts() throws {
        let sample = TrainingSample(id: "s", imagePath: nil, prompt: [.tokens([1])], branches: [[2], [3]])
        var asked = sample
        asked.turns = (0..<4).map { .init(prompt: [.tokens([Int32($0)])], branches: [[2], [3]]) }
        var differing = 0
        for index in 0..<64 {
            let drawn = asked.drawn(seed: 7, index: index, epoch: 3, count: 100)
            #expect(drawn.prompt == asked.drawn(seed: 7, index: index, epoch: 3, count: 100).prompt)
            if drawn.withOwnQuestion(seed: 7).prompt != drawn.prompt { differing += 1 }
        }
        // Three of four draws differ: 48 expected, 64 * 0.75 +- 4 deviations.
        #expect((34...62).contains(differing))
        let questions = Set((0..<64).map { asked.drawn(seed: 7, index: $0, epoch: 0, count: 100).prompt })
        #expect(questions.count == 4)
    }

    @Test("a picture drawn once is seen alike in every epoch, one drawn each time is not")
    func augmentation() {
        var sample = TrainingSample(id: "s", imagePath: "p", prompt: [.image], branches: [[2], [3]])
        func views() -> Set<PictureView> {
            Set((0..<5).map { sample.drawn(seed: 1, index: 3, epoch: $0, count: 10).view })
        }
        #expect(views() == [.whole])
        sample.augmentation = .once(flips: true)
        #expect(views().count == 1 && views() != [.whole])
        sample.augmentation = .eachTime(flips: false)
        #expect(views().count == 5)
    }
}
