import HadpoAutograd
import HadpoBase
import HadpoModels
import HadpoTensor
import HadpoTestSupport
import HadpoTrain
import HadpoVision
import HadpoWeights
import Testing

/// Folder of the fixtures; those of `adapters` are made by Tests/Fixtures/make_adapters.py with peft.
private let all = File.join(File.folder(of: File.folder(of: #filePath)), "Fixtures")
private let quiet = SilentProgress()
private let adapters = ["llava-names", "llava-all", "llava-saved"]

private func relative(_ found: [Float], _ expected: [Float]) -> Double {
    guard found.count == expected.count else { return .infinity }
    let difference = zip(found, expected).reduce(0.0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }
    let size = expected.reduce(0.0) { $0 + Double($1) * Double($1) }
    return (difference / max(size, 1e-60)).squareRoot()
}

/// A family's tiny model, its pairs and an adapter for it.
private struct Subject {
    let name: String
    let model: any VisionLanguageModel
    let folder: any ModelFolder

    static let families = ["llava", "minigpt4", "instructblip"]

    init(_ name: String) throws {
        self.name = name
        let device = try Device(threads: 1, numerics: .exact)
        var files = ModelFiles(path: File.join(all, name == "minigpt4" ? "minigpt4/model" : "llava/old-f32"))
        if name == "instructblip" {
            files = ModelFiles(path: File.join(all, "instructblip/lavis/llm"))
            files.visionTower = File.join(all, "minigpt4/model/eva_vit_g.pth")
            files.checkpoint = File.join(all, "instructblip/lavis/instruct_blip_vicuna13b_trimmed.pth")
            files.bert = File.join(all, "instructblip/lavis/bert-base-uncased")
        }
        folder = try ModelFamily.openFolder(files, arena: device.arena, progress: quiet)
        model = try folder.openModel(
            device: device, processor: name == "llava" ? .pad : .checkpoint, weights: .stored, progress: quiet)
    }

    var adapter: String { File.join(all, name + "/dpo/adapter") }

    func configuration(_ changes: [String: JSON] = [:]) throws -> (config: TrainConfig, resolved: JSON) {
        var json: JSON = [
            "schema": "hadpo.train/1",
            "data": [
                "format": "pairs", "pairs": .string(File.join(all, name + "/dpo/pairs.jsonl")),
                "images": .string(File.join(all, "llava/pictures")), "order": "file",
            ],
            "batch": 2, "accumulation": 1, "steps": 6, "gamma": 0, "projector": false,
            "optimizer": ["learning_rate": 0.001, "max_grad_norm": 0],
            "schedule": ["kind": "constant", "warmup_steps": 0, "warmup_ratio": 0.0],
        ]
        for (key, value) in changes { json[key] = value }
        let (family, loaded) = (model.family, model.startingAdapter.map { StartingAdapter($0) })
        return try ConfigReader.read(json, schema: "hadpo.train/1") { r throws(HadpoError) in
            try TrainConfig(&r, family: family, loaded: loaded)
        }
    }

    func train(_ changes: [String: JSON] = [:]) throws -> TrainingRun {
        let (config, resolved) = try configuration(changes)
        return try TrainingRun(model, folder, config, resolved: resolved, progress: quiet)
    }

    /// Sums of a step's chosen and rejected answers by the model as it is on its own, as `hadpo score` computes them.
    func scored(_ run: TrainingRun) throws -> (chosen: Double, rejected: Double) {
        var sums: (chosen: Double, rejected: Double) = (0, 0)
        let batch = run.trainer.batch(at: 0)
        for sample in batch {
            let picture = try RGBImage.decode(File.read(try #require(sample.imagePath)))
            for (i, branch) in sample.branches.enumerated() {
                let tape = Tape(device: model.device, progress: quiet)
                let features = try model.features(tape, [try model.pipeline.pixelValues(picture)])
                var packed = PackedRows(imageRows: model.imageRows)
                packed.addBranch(packed.addPrefix(sample.prompt), branch)
                let sum = try model.logProbs(tape, packed, features: features).data.floats().reduce(0.0) { $0 + Double($1) }
                if i == 0 { sums.chosen += sum / Double(batch.count) } else { sums.rejected += sum / Double(batch.count) }
            }
        }
        return sums
    }
}

private func parameters(_ run: TrainingRun) throws -> [[Float]] {
    try run.trainer.optimizer.parameters.map { try $0.value.data.floats() }
}

@Suite struct ContinuedTests {
    // MARK: against peft

    // fp32 on both sides, other orders of sums; bounds as of the trajectories from the language model's adapters.
    @Test(
        "a training from an adapter over the whole model follows peft, with either reference", arguments: adapters,
        ["base", "start"])
    func trajectory(_ name: String, _ reference: String) throws {
        let subject = try Subject("llava")
        let path = File.join(all, "adapters/" + name)
        try subject.model.loadAdapter(folder: path, progress: quiet)
        let run = try subject.train(["reference": ["model": .string(reference)]])
        let expected = try File.readJSON(path + "/expected.json")["loss"]?[reference]?.arrayValue ?? []
        let tensors = try Checkpoint.open(path + "/expected.safetensors", load: .map, arena: Arena(), progress: quiet)
        let before = try parameters(run)
        #expect(expected.count == 6)
        for (step, loss) in expected.enumerated() {
            let record = try run.trainer.takeStep(progress: quiet)
            #expect(abs(record.loss - (loss.doubleValue ?? 0)) < 1e-4, "step \(step + 1)")
            guard step == 0 else { continue }
            func mean(_ kind: String, _ side: String) throws -> Double {
                try (0..<2).reduce(0.0) { sum, pair in
                    try sum + tensors.tensor("\(kind).\(pair).\(side)").floats().reduce(0.0) { $0 + Double($1) } / 2
                }
            }
            // Sums over a dozen tokens of log-probs of some nats: 1e-5 a token.
            let compared = reference == "base" ? "base" : "policy"
            #expect(try abs(record.policyChosen - mean("policy", "chosen")) < 1e-4)
            #expect(try abs(record.policyRejected - mean("policy", "rejected")) < 1e-4)
            #expect(try abs(record.referenceChosen - mean(compared, "chosen")) < 1e-4)
            #expect(try abs(record.referenceRejected - mean(compared, "rejected")) < 1e-4)
        }
        var compared = 0
        for (parameter, old) in zip(run.trainer.optimizer.parameters, before) {
            let key = "change.\(reference)/base_model.model.model.language_model.\(parameter.name).weight"
            let change = try zip(parameter.value.data.floats(), old).map { $0 - $1 }
            let difference = relative(change, try tensors.tensor(key).floats())
            #expect(difference < 1e-3, "\(key): \(difference)")
            compared += 1
        }
        #expect(compared == tensors.names.count { $0.hasPrefix("change.\(reference)/") })
    }

    // MARK: invariants

    @Test(
        "the first step's log-probs are those of scoring with the adapter, and with the reference's", arguments: Subject.families)
    func firstStep(_ family: String) throws {
        let subject = try Subject(family)
        let probe = try subject.train()
        subject.model.unloadAdapter()
        let base = try subject.scored(probe)
        try subject.model.loadAdapter(folder: subject.adapter, progress: quiet)
        let adapted = try subject.scored(probe)
        #expect(abs(base.chosen - adapted.chosen) > 1e-3)
        for (reference, wanted) in [("base", base), ("start", adapted)] {
            try subject.model.loadAdapter(folder: subject.adapter, progress: quiet)
            let run = try subject.train(["reference": ["model": .string(reference)]])
            let record = try run.trainer.takeStep(progress: quiet)
            // A shared prompt and one of its own are the same rows: 1e-5 is the bound on a sum.
            #expect(abs(record.policyChosen - adapted.chosen) < 1e-5 && abs(record.policyRejected - adapted.rejected) < 1e-5)
            #expect(abs(record.referenceChosen - wanted.chosen) < 1e-5 && abs(record.referenceRejected - wanted.rejected) < 1e-5)
            if reference == "start" { #expect(abs(record.loss - 0.6931471805599453) < 1e-6) }
            #expect(run.trainer.optimizer.parameters.count == 12 || family == "llava")
        }
    }

    @Test("-a and lora.init are the same start", arguments: adapters, ["base", "start"])
    func sameStart(_ name: String, _ reference: String) throws {
        let path = File.join(all, "adapters/" + name)
        let one = try Subject("llava")
        try one.model.loadAdapter(folder: path, progress: quiet)
        let loaded = try one.train(["reference": ["model": .string(reference)], "projector": true])
        let configured = try Subject("llava").train([
            "reference": ["model": .string(reference)], "projector": true, "lora": ["init": .string(path)],
        ])
        #expect(loaded.identity == configured.identity)
        for run in [loaded, configured] { for _ in 0..<2 { _ = try run.trainer.takeStep(progress: quiet) } }
        #expect(try parameters(loaded) == parameters(configured))
    }

    @Test(
        "the reference of the start stays while policy and projector move, with the cache and without",
        arguments: ["llava-all", "llava-saved"])
    func reference(_ name: String) throws {
        let temporary = try TemporaryFolder()
        let path = File.join(all, "adapters/" + name)
        func run(_ cache: JSON) throws -> TrainingRun {
            let subject = try Subject("llava")
            try subject.model.loadAdapter(folder: path, progress: quiet)
            return try subject.train(["reference": ["model": "start", "cache": cache], "projector": true])
        }
        let plain = try run(nil)
        var first: [Double] = []
        // Three steps are one epoch: the fourth sees the first pairs again.
        for step in 0..<4 {
            let record = try plain.trainer.takeStep(progress: quiet)
            if step == 0 { first = [record.referenceChosen, record.policyChosen] }
            guard step == 3 else { continue }
            #expect(record.referenceChosen == first[0] && abs(record.policyChosen - first[1]) > 1e-3)
        }
        let file: JSON = .string(temporary["reference.jsonl"])
        for _ in 0..<2 {
            let cached = try run(file)
            for _ in 0..<4 { _ = try cached.trainer.takeStep(progress: quiet) }
            #expect(try parameters(cached) == parameters(plain))
        }
        // Whose they are, and one line for each pair.
        let whole = try temporary.text("reference.jsonl")
        #expect(whole.split(separator: "\n").count == 1 + 6)
        func lines(_ adapter: String?, _ reference: JSON, _ name: String, steps: Int) throws -> Int {
            let subject = try Subject("llava")
            try subject.model.loadAdapter(folder: adapter ?? subject.adapter, progress: quiet)
            let run = try subject.train(["reference": ["model": reference, "cache": .string(temporary[name])]])
            for _ in 0..<steps { _ = try run.trainer.takeStep(progress: quiet) }
            return try temporary.text(name).split(separator: "\n").count
        }
        // Another reference, and another adapter's start, are refused by name.
        for (adapter, reference, now): (String?, JSON, String) in [
            (path, "base", "now there is none"), (nil, "start", "now there is one of content "),
        ] {
            let error = #expect(throws: HadpoError.self) { try lines(adapter, reference, "reference.jsonl", steps: 1) }
            #expect(error?.found?.hasPrefix("the adapter: its log-probabilities were made with one of content ") == true)
            #expect(error?.found?.contains(now) == true, "\(error?.found ?? "")")
            #expect(try temporary.text("reference.jsonl") == whole)
        }
        // The base is the same under every adapter.
        #expect(try lines(path, "base", "base.jsonl", steps: 3) == 1 + 6)
        #expect(try lines(nil, "base", "base.jsonl", steps: 3) == 1 + 6)
    }

    @Test("a resumed training is the uninterrupted one; with another reference or another start it is refused by name")
    func resumed() throws {
        let temporary = try TemporaryFolder()
        let path = File.join(all, "adapters/llava-all")
        func run(_ reference: String, _ start: String?) throws -> TrainingRun {
            let subject = try Subject("llava")
            if let start { try subject.model.loadAdapter(folder: start, progress: quiet) }
            return try subject.train(["reference": ["model": .string(reference)], "projector": true])
        }
        let whole = try run("start", path)
        for _ in 0..<6 { _ = try whole.trainer.takeStep(progress: quiet) }
        let first = try run("start", path)
        _ = try first.run(steps: 2, progress: quiet)
        try first.save(to: temporary["saved"], progress: quiet)
        let second = try run("start", path)
        try second.resume(from: temporary["saved"], progress: quiet)
        _ = try second.run(steps: 0, progress: quiet)
        #expect(try parameters(second) == parameters(whole))
        for (reference, start, word) in [
            ("base", path, "reference"), ("start", File.join(all, "adapters/llava-names"), "another adapter"),
            ("base", nil, "another adapter"),
        ] {
            let other = try run(reference, start)
            let error = #expect(throws: HadpoError.self) { try other.resume(from: temporary["saved"], progress: quiet) }
            #expect(error?.status == .config && error?.message.contains(word) == true, "\(error?.message ?? "")")
        }
    }

    // MARK: what is kept

    @Test("what was not trained is saved with what was, and opens to the same numbers", arguments: adapters, [false, true])
    func saved(_ name: String, _ projector: Bool) throws {
        let temporary = try TemporaryFolder()
        let path = File.join(all, "adapters/" + name)
        let subject = try Subject("llava")
        try subject.model.loadAdapter(folder: path, progress: quiet)
        let run = try subject.train(["projector": .bool(projector)])
        for _ in 0..<2 { _ = try run.trainer.takeStep(progress: quiet) }
        try run.save(to: temporary["saved"], progress: quiet)
        let trained = try subject.scored(run)
        let (old, new) = (
            try Checkpoint.open(path + "/adapter_model.safetensors", arena: Arena(), progress: quiet),
            try Checkpoint.open(temporary["saved"] + "/adapter_model.safetensors", arena: Arena(), progress: quiet)
        )
        #expect(old.names.sorted() == new.names.sorted())
        for name in old.names where name.contains("vision_tower") || (name.contains("projector") && !projector) {
            #expect(try old.tensor(name).floats() == new.tensor(name).floats(), "\(name)")
        }
        let (was, now) = (
            try File.readJSON(path + "/adapter_config.json"), try File.readJSON(temporary["saved"] + "/adapter_config.json")
        )
        for member in was.objectValue ?? [] {
            #expect(now[member.key] == member.value || member.key == "lora_alpha", "\(member.key)")
        }
        let again = try Subject("llava")
        try again.model.loadAdapter(folder: temporary["saved"], progress: quiet)
        let reopened = try again.scored(run)
        #expect(reopened.chosen == trained.chosen && reopened.rejected == trained.rejected)
    }

    @Test("a projector beside the adapter goes into training, reference and save", arguments: [false, true])
    func projectorBeside(_ trains: Bool) throws {
        let temporary = try TemporaryFolder()
        let first = try Subject("llava")
        let begun = try first.train(["projector": true, "lora": ["rank": 2, "alpha": 4]])
        for _ in 0..<2 { _ = try begun.trainer.takeStep(progress: quiet) }
        try begun.save(to: temporary["first"], progress: quiet)
        let left = try first.scored(begun)

        let second = try Subject("llava")
        try second.model.loadAdapter(folder: temporary["first"], progress: quiet)
        let run = try second.train(["projector": .bool(trains), "reference": ["model": "start"]])
        let record = try run.trainer.takeStep(progress: quiet)
        #expect(abs(record.policyChosen - left.chosen) < 1e-5 && abs(record.referenceChosen - left.chosen) < 1e-5)
        try run.save(to: temporary["second"], progress: quiet)
        let third = try Subject("llava")
        try third.model.loadAdapter(folder: temporary["second"], progress: quiet)
        #expect(try third.scored(run) == second.scored(run))
        #expect(third.model.loadedAdapter?.hasProjector == true)
    }

    @Test("an adapter on a language model alone is saved under the names that the base has for it, whatever it came with")
    func layouts() throws {
        let temporary = try TemporaryFolder()
        let subject = try Subject("llava")
        let file = try AdapterFile.read(folder: subject.adapter, arena: Arena(), progress: quiet)
        try AdapterFile.write(
            folder: temporary["alone"], config: file.config, pairs: file.pairs, layout: .original, progress: quiet)
        try subject.model.loadAdapter(folder: temporary["alone"], progress: quiet)
        let run = try subject.train()
        try run.save(to: temporary["saved"], progress: quiet)
        func names(_ folder: String) throws -> [String] {
            try Checkpoint.open(folder + "/adapter_model.safetensors", arena: Arena(), progress: quiet).names.sorted()
        }
        #expect(try names(temporary["alone"]) != names(subject.adapter))
        #expect(try names(temporary["saved"]) == names(subject.adapter))
        let again = try AdapterFile.read(folder: temporary["saved"], arena: Arena(), progress: quiet)
        #expect(again.config.rank == 4 && again.config.alpha == 8 && again.pairs.count == file.pairs.count)
    }

    // MARK: words

    @Test("what contradicts the adapter is refused by name; what is left out follows it")
    func contradictions() throws {
        let subject = try Subject("llava")
        let path = File.join(all, "adapters/llava-all")
        try subject.model.loadAdapter(folder: path, progress: quiet)
        let followed = try subject.configuration().config.lora
        #expect(followed.rank == 2 && followed.alpha == 3 && followed.target.count == 7 && followed.start?.path == path)
        let same: JSON = ["rank": 2, "alpha": 3, "init": .string(path)]
        _ = try subject.configuration(["lora": same])
        for (changes, place): ([String: JSON], String) in [
            (["lora": ["rank": 4]], "/lora/rank"), (["lora": ["rank": 0]], "/lora/rank"), (["lora": ["alpha": 4]], "/lora/alpha"),
            (["lora": ["target": ["q_proj"]]], "/lora/target"), (["lora": ["init": .string(subject.adapter)]], "/lora/init"),
            (["method": "sft", "all_weights": true], "/all_weights"), (["method": "sft", "vision_tower": true], "/vision_tower"),
            (["method": "sft", "reference": ["model": "start"]], "/reference/model"),
        ] {
            let error = #expect(throws: HadpoError.self) { try subject.configuration(changes) }
            #expect(error?.status == .config && error?.place == place, "\(place): \(error?.place ?? "")")
        }
        subject.model.unloadAdapter()
        let error = #expect(throws: HadpoError.self) { try subject.configuration(["reference": ["model": "start"]]) }
        #expect(error?.place == "/reference/model")
        // A folder to start from is no less strict.
        let stranger = #expect(throws: HadpoError.self) {
            try subject.configuration(["lora": ["init": .string(path), "rank": 8]])
        }
        #expect(stranger?.place == "/lora/rank")
        #expect(try subject.configuration(["lora": ["init": .string(path)]]).config.lora.rank == 2)
    }

    @Test("events and report say what the policy began as and what it was compared with")
    func said() throws {
        let subject = try Subject("llava")
        let path = File.join(all, "adapters/llava-names")
        try subject.model.loadAdapter(folder: path, progress: quiet)
        let run = try subject.train(["reference": ["model": "start"]])
        let report = try run.run(steps: 1, progress: quiet)
        #expect(report["reference"] == "start" && report["start"]?["path"] == .string(path))
        #expect(report["start"]?["trained"] == 6 && report["start"]?["frozen"] == 6)
        subject.model.unloadAdapter()
        let fresh = try subject.train().run(steps: 1, progress: quiet)
        #expect(fresh["reference"] == "base" && fresh["start"] == .null)
    }

    @Test("each training starts from what was loaded, not from what the one before it left")
    func again() throws {
        let subject = try Subject("llava")
        try subject.model.loadAdapter(folder: subject.adapter, progress: quiet)
        var losses: [Double] = []
        for _ in 0..<2 {
            let run = try subject.train(["projector": true])
            losses.append(try run.trainer.takeStep(progress: quiet).loss)
            _ = try run.trainer.takeStep(progress: quiet)
        }
        #expect(losses[0] == losses[1] && subject.model.loadedAdapter?.isTrainedFurther == true)
        // What a configuration brought is not on the model for the next one.
        let other = try Subject("llava")
        _ = try other.train(["lora": ["init": .string(other.adapter)], "projector": true]).trainer.takeStep(progress: quiet)
        let fresh = try other.train().trainer.takeStep(progress: quiet)
        #expect(abs(fresh.loss - 0.6931471805599453) < 1e-6)
    }
}
