import HadpoAutograd
import HadpoBase
import HadpoModels
import HadpoTensor
import HadpoTestSupport
import HadpoTrain
import HadpoWeights
import Testing

private let fixtures = File.join(File.folder(of: File.folder(of: #filePath)), "Fixtures/llava")
private let quiet = SilentProgress()
private let parts = [
    "adapter_config.json", "adapter_model.safetensors", "hadpo_save.json", "non_lora_trainables.safetensors", "train_config.json",
    "trainer_state.safetensors",
]

private func run(_ changes: [String: JSON] = [:]) throws -> TrainingRun {
    let device = try Device(threads: 1, numerics: .exact)
    let folder = try LLaVAFolder(ModelFiles(path: File.join(fixtures, "old-f32")), arena: device.arena, progress: quiet)
    let model = try folder.openLLaVA(device: device, processor: .pad, progress: quiet)
    var json: JSON = [
        "schema": "hadpo.train/1",
        "data": [
            "format": "pairs", "pairs": .string(File.join(fixtures, "dpo/pairs.jsonl")),
            "images": .string(File.join(fixtures, "pictures")),
        ],
        "batch": 2, "steps": 6, "optimizer": ["learning_rate": 0.001], "lora": ["rank": 2, "alpha": 4], "projector": true,
    ]
    for (key, value) in changes { json[key] = value }
    let (config, resolved) = try ConfigReader.read(json, schema: "hadpo.train/1", TrainConfig.init)
    return try TrainingRun(model, folder, config, resolved: resolved, progress: quiet)
}

private func bytes(_ folder: String) throws -> [[UInt8]] { try parts.map { try File.read(File.join(folder, $0)) } }

/// Is asked to stop after `calls` looks.
private final class Interruption: Progress {
    var calls: Int
    init(after calls: Int) { self.calls = calls }
    func tick() throws(HadpoError) {
        calls -= 1
        if calls < 0 { throw HadpoError(.cancelled, "the call was interrupted") }
    }
    func emit(_ record: JSON) throws(HadpoError) {}
}

private func failure(of run: TrainingRun, into folder: String, _ progress: any Progress) -> HadpoError? {
    do throws(HadpoError) {
        try run.save(to: folder, progress: progress)
        return nil
    } catch {
        return error
    }
}

@Suite struct SaveTests {
    @Test("a save that is interrupted at any moment leaves the old one, file for file, and one that is not leaves the new one")
    func interrupted() throws {
        let folder = try TemporaryFolder()
        let run = try run()
        _ = try run.run(steps: 1, progress: quiet)
        try run.save(to: folder["old"], progress: quiet)
        try run.save(to: folder["x"], progress: quiet)
        _ = try run.run(steps: 1, progress: quiet)
        try run.save(to: folder["new"], progress: quiet)
        let (old, new) = (try bytes(folder["old"]), try bytes(folder["new"]))
        #expect(old[1] != new[1] && old[3] != new[3] && old[5] != new[5])
        var interruptions = 0
        while let error = failure(of: run, into: folder["x"], Interruption(after: interruptions)) {
            #expect(error.status == .cancelled)
            #expect(try File.list(folder["x"]) == parts && bytes(folder["x"]) == old)
            interruptions += 1
        }
        #expect(interruptions > parts.count)
        #expect(try File.list(folder["x"]) == parts && bytes(folder["x"]) == new)
    }

    @Test("an adapter beside the projector or the state of another step is refused", arguments: [1, 3, 5])
    func mixed(_ part: Int) throws {
        let folder = try TemporaryFolder()
        let run = try run()
        for step in 1...2 {
            _ = try run.run(steps: 1, progress: quiet)
            try run.save(to: folder["\(step)"], progress: quiet)
        }
        try folder.write("2/" + parts[part], try File.read(folder["1/" + parts[part]]))
        let error = #expect(throws: HadpoError.self) { try run.resume(from: folder["2"], progress: quiet) }
        #expect(error?.status == .format && error?.place?.hasSuffix(parts[part]) == true)
        // The state is not what a model reads.
        if part == 5 {
            _ = try run.model.loadAdapter(folder: folder["2"], progress: quiet)
        } else {
            #expect(throws: HadpoError.self) { try run.model.loadAdapter(folder: folder["2"], progress: quiet) }
        }
    }

    @Test("a projector of another training is not left beside an adapter that has none") func projector() throws {
        let folder = try TemporaryFolder()
        let both = try run()
        try both.save(to: folder["x"], progress: quiet)
        let alone = try run(["projector": false, "overwrite": true])
        try alone.save(to: folder["x"], progress: quiet)
        #expect(try File.list(folder["x"]) == parts.filter { !$0.hasPrefix("non_lora") })
        // One that is in no list of ours may be anybody's.
        try folder.write("y/non_lora_trainables.bin", "mine")
        #expect(throws: HadpoError.self) { try alone.save(to: folder["y"], progress: quiet) }
        #expect(throws: HadpoError.self) { try run(["projector": false, "output": .string(folder["y"])]) }
        #expect(try File.list(folder["y"]) == ["non_lora_trainables.bin"])
    }

    @Test("any number of steps runs to the end") func manySteps() throws {
        let run = try run()
        _ = try run.run(steps: 1, progress: quiet)
        #expect(try run.run(steps: Int.max, progress: quiet)["step"]?.intValue == 6)
        #expect(try run.run(steps: Int.max, progress: quiet)["step"]?.intValue == 6)
    }

    @Test("a resumed training cuts out of its own log only")
    func logs() throws {
        let folder = try TemporaryFolder()
        let log = folder["log.jsonl"]
        let first = try run(["log": .string(log)])
        _ = try first.run(steps: 2, progress: quiet)
        try first.save(to: folder["saved"], progress: quiet)
        _ = try first.run(steps: 2, progress: quiet)
        let four = try folder.text("log.jsonl")
        let two = four.split(separator: "\n").prefix(2).map { $0 + "\n" }.joined()
        let wide = "  {\"event\": \"step\", \"step\": 9, \"loss\": 1}\n"

        // Records of a training before it in the same file, whatever they look like, stay.
        try folder.write("log.jsonl", wide + four + "{\"event\": \"st")
        try run(["log": .string(log)]).resume(from: folder["saved"], progress: quiet)
        #expect(try folder.text("log.jsonl") == wide + two)

        for foreign in [
            "{\"name\": \"x\", \"step\": 7}\n", "hello\n", "hello", four + "{\"event\": \"eval\", \"step\": 9}\n", "[1]\n", "7\n",
            // The log of another training.
            four.split(separator: "\n").map { $0.split(separator: "\"loss\": ").joined(separator: "\"loss\": 1") + "\n" }
                .joined(),
            wide,
        ] {
            try folder.write("log.jsonl", foreign)
            let again = try run(["log": .string(log)])
            let error = #expect(throws: HadpoError.self) { try again.resume(from: folder["saved"], progress: quiet) }
            #expect(error?.place?.hasPrefix(log) == true)
            #expect(try folder.text("log.jsonl") == foreign)
            #expect(again.trainer.step == 0)
        }
    }
}
