import HadpoAutograd
import HadpoBase
import HadpoModels
import HadpoTensor
import HadpoTrain
import HadpoVision
import HadpoWeights
import Testing

/// Folder of the fixtures made by Tests/Fixtures/make_llava.py with PyTorch and peft.
private let fixtures = File.join(File.folder(of: File.folder(of: #filePath)), "Fixtures/llava")
private let quiet = SilentProgress()

/// ||found - expected|| / ||expected||: DESIGN's "relative" for gradients and updates.
private func relative(_ found: [Float], _ expected: [Float]) -> Double {
    guard found.count == expected.count else { return .infinity }
    let difference = zip(found, expected).reduce(0.0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }
    let size = expected.reduce(0.0) { $0 + Double($1) * Double($1) }
    return (difference / max(size, 1e-60)).squareRoot()
}

private func open(_ name: String, threads: Int = 0) throws -> (LLaVA15, LLaVAFolder) {
    let device = try Device(threads: threads, numerics: .exact)
    let folder = try LLaVAFolder(ModelFiles(path: File.join(fixtures, name)), arena: device.arena, progress: quiet)
    return (try folder.openLLaVA(device: device, processor: .pad, progress: quiet), folder)
}

/// The configuration under which the fixture's trajectory was computed.
private func configuration(_ changes: [String: JSON] = [:]) throws -> (TrainConfig, JSON) {
    var json: JSON = [
        "schema": "hadpo.train/1",
        "data": [
            "format": "pairs", "pairs": .string(File.join(fixtures, "dpo/pairs.jsonl")),
            "images": .string(File.join(fixtures, "pictures")), "order": "file",
        ],
        "batch": 2, "steps": 20, "beta": 0.1, "optimizer": ["learning_rate": 0.001],
        "schedule": ["kind": "constant", "warmup_ratio": 0.0],
        "lora": ["rank": 4, "alpha": 8, "init": .string(File.join(fixtures, "dpo/adapter"))], "projector": false,
    ]
    for (key, value) in changes { json[key] = value }
    return try ConfigReader.read(json, schema: "hadpo.train/1", TrainConfig.init)
}

private func run(_ changes: [String: JSON] = [:], threads: Int = 0) throws -> TrainingRun {
    let (model, folder) = try open("old-f32", threads: threads)
    let (config, resolved) = try configuration(changes)
    return try TrainingRun(model, folder, config, resolved: resolved, progress: quiet)
}

/// The fixture's name of one of our parameters.
private func peftName(_ name: String) -> String {
    name.hasSuffix(".lora_A") || name.hasSuffix(".lora_B") ? "base_model.model.model.language_model.\(name).weight" : name
}

@Suite struct TrajectoryTests {
    // fp32 on both sides, other orders of sums.
    @Test("20 steps of DPO follow PyTorch and peft", arguments: [false, true])
    func trajectory(_ projector: Bool) throws {
        let variant = projector ? "projector" : "frozen"
        let run = try run(["projector": .bool(projector)])
        let expected = try File.readJSON(File.join(fixtures, "dpo/expected.json"))
        let tensors = try Checkpoint.open(
            File.join(fixtures, "dpo/\(variant).safetensors"), load: .map, arena: run.model.device.arena, progress: quiet)
        let losses = (expected[variant]?["loss"]?.arrayValue ?? []).compactMap(\.doubleValue)
        #expect(losses.count == 20)
        // A trajectory that does not move proves nothing.
        #expect((losses.max() ?? 0) - (losses.min() ?? 0) > 0.1)

        _ = try run.trainer.accumulateGradients(progress: quiet)
        var compared = 0
        for parameter in run.trainer.optimizer.parameters {
            let name = "gradient/" + peftName(parameter.name)
            let gradient = try #require(parameter.value.gradient)
            let wanted = try tensors.tensor(name).floats()
            let difference = try relative(gradient.floats(), wanted)
            #expect(difference < 1e-3, "\(name): \(difference)")
            // What the test is worth: the same gradient with its sign turned is far away.
            #expect(try relative(gradient.floats().map { -$0 }, wanted) > 1)
            compared += 1
        }
        #expect(compared == (projector ? 46 : 42))

        let before = try run.trainer.optimizer.parameters.map { try $0.value.data.floats() }
        for (i, wanted) in losses.enumerated() {
            let record = try run.trainer.takeStep(progress: quiet)
            #expect(abs(record.loss - wanted) < 1e-4, "step \(i + 1): \(record.loss) instead of \(wanted)")
        }
        for (parameter, old) in zip(run.trainer.optimizer.parameters, before) {
            let name = "change/" + peftName(parameter.name)
            let change = try zip(parameter.value.data.floats(), old).map { $0 - $1 }
            let difference = relative(change, try tensors.tensor(name).floats())
            #expect(difference < 1e-3, "\(name): \(difference)")
        }
    }

    @Test("the language-model loss reaches every weight as in PyTorch")
    func languageModel() throws {
        let (model, folder) = try open("old-f32")
        let (config, resolved) = try configuration([
            "method": "sft", "lora": ["rank": 0], "all_weights": true, "vision_tower": true, "projector": true, "batch": 2,
            "data": [
                "format": "samples", "samples": .string(File.join(fixtures, "dpo/samples.jsonl")),
                "images": .string(File.join(fixtures, "pictures")), "order": "file",
            ],
        ])
        let run = try TrainingRun(model, folder, config, resolved: resolved, progress: quiet)
        let tensors = try Checkpoint.open(
            File.join(fixtures, "dpo/lm.safetensors"), load: .map, arena: model.device.arena, progress: quiet)
        _ = try run.trainer.accumulateGradients(progress: quiet)
        var byName: [String: [Float]] = [:]
        for parameter in run.trainer.optimizer.parameters { byName[parameter.name] = try parameter.value.gradient?.floats() }
        let names = tensors.names.filter { $0.hasPrefix("gradient/") }
        #expect(names.count > 50)
        for name in names {
            let found = try #require(byName[String(name.dropFirst("gradient/".count))], "\(name) has no gradient")
            let difference = relative(found, try tensors.tensor(name).floats())
            #expect(difference < 1e-3, "\(name): \(difference)")
        }
    }

    @Test("one thread and two give the same bits, recomputation and packing too")
    func sameBits() throws {
        func after(_ changes: [String: JSON], threads: Int = 0) throws -> [[Float]] {
            let run = try run(changes, threads: threads)
            for _ in 0..<3 { _ = try run.trainer.takeStep(progress: quiet) }
            return try run.trainer.optimizer.parameters.map { try $0.value.data.floats() }
        }
        let plain = try after([:], threads: 2)
        #expect(try after([:], threads: 1) == plain)
        #expect(try after(["checkpointing": false], threads: 2) == plain)
    }

    // The only difference is the order in which gradients of samples are added.
    @Test("one batch of eight equals eight batches of one within 1e-5")
    func accumulation() throws {
        func gradients(_ changes: [String: JSON]) throws -> [[Float]] {
            let run = try run(changes)
            _ = try run.trainer.accumulateGradients(progress: quiet)
            return try run.trainer.optimizer.parameters.map { try $0.value.gradient?.floats() ?? [] }
        }
        let together = try gradients(["batch": 8, "accumulation": 1])
        let apart = try gradients(["batch": 1, "accumulation": 8, "pack_rows": 1])
        for (a, b) in zip(together, apart) { #expect(relative(a, b) < 1e-5) }
    }

    // Values are equal in bits; gradients of the prompt's rows are added in another order.
    @Test("the shared-prefix step equals the plain two-sequence step within 1e-5")
    func plainStep() throws {
        let run = try run()
        let model = run.model, samples = run.trainer.batch(at: 0)
        _ = try run.trainer.accumulateGradients(progress: quiet)
        let shared = try run.trainer.optimizer.parameters.map { try $0.value.gradient?.floats() ?? [] }
        run.trainer.optimizer.clearGradients()

        // Every answer behind a prompt and picture of its own, as the original computes it.
        let plain = samples.flatMap { sample in
            sample.branches.map {
                TrainingSample(id: sample.id, imagePath: sample.imagePath, prompt: sample.prompt, branches: [$0])
            }
        }
        func sums(adapters: Bool, recording: Bool) throws -> (Tape, Value, [Double], SamplePack) {
            let pack = SamplePack(plain, imageRows: model.imageRows)
            let tape = Tape(device: model.device, progress: quiet, isRecording: recording, adapters: adapters ? .current : .none)
            var pixels: [Block<Float>] = []
            for picture in pack.pictures {
                pixels.append(try model.pipeline.pixelValues(RGBImage.decode(File.read(picture.path))))
            }
            let logps = try model.logProbs(tape, pack.rows, features: model.features(tape, pixels), reference: !adapters)
            let values = try logps.data.floats()
            return (tape, logps, pack.targets.map { $0[0].reduce(0.0) { $0 + Double(values[$1]) } }, pack)
        }
        let reference = try sums(adapters: false, recording: false).2
        let (tape, logps, policy, pack) = try sums(adapters: true, recording: true)
        var gradient = [Float](repeating: 0, count: logps.data.count)
        for pair in samples.indices {
            let loss = DPOLoss(
                beta: 0.1, policyChosen: policy[2 * pair], policyRejected: policy[2 * pair + 1],
                referenceChosen: reference[2 * pair], referenceRejected: reference[2 * pair + 1])
            for i in pack.targets[2 * pair][0] { gradient[i] = Float(loss.gradient / Double(samples.count)) }
            for i in pack.targets[2 * pair + 1][0] { gradient[i] = Float(-loss.gradient / Double(samples.count)) }
        }
        try tape.backward(from: logps, gradient: model.device.tensor(gradient, [gradient.count]))
        for (parameter, expected) in zip(run.trainer.optimizer.parameters, shared) {
            let difference = try relative(parameter.value.gradient?.floats() ?? [], expected)
            #expect(difference < 1e-5, "\(parameter.name): \(difference)")
        }
    }

    @Test("the first loss without a start adapter is log 2")
    func firstLoss() throws {
        let run = try run(["lora": ["rank": 4, "alpha": 8]])
        #expect(abs(try run.trainer.accumulateGradients(progress: quiet).loss - 0.6931471805599453) < 1e-6)
    }
}
