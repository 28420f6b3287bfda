import Glibc
import HadpoBase
import HadpoModels
import HadpoTensor
import HadpoTestSupport
import HadpoTrain
import Testing

private let fixtures = File.join(File.folder(of: File.folder(of: #filePath)), "Fixtures/llava")
private let pairs = File.join(fixtures, "dpo/pairs.jsonl")
private let quiet = SilentProgress()

private final class Listener: Progress {
    var records: [JSON] = []
    func tick() throws(HadpoError) {}
    func emit(_ record: JSON) throws(HadpoError) { records.append(record) }
    var steps: [JSON] { records.filter { $0["event"] == "step" } }
}

private func prepared(_ changes: [String: JSON], data: [String: JSON]) throws -> (LLaVA15, LLaVAFolder, TrainConfig, JSON) {
    let device = try Device(threads: 1, numerics: .exact)
    let folder = try LLaVAFolder(ModelFiles(path: File.join(fixtures, "old-f32")), arena: device.arena, progress: quiet)
    let model = try folder.openLLaVA(device: device, processor: .pad, progress: quiet)
    var json: JSON = [
        "schema": "hadpo.train/1",
        "data": [
            "format": "pairs", "pairs": .string(pairs), "images": .string(File.join(fixtures, "pictures")), "order": "file",
        ],
        "batch": 2, "steps": 3, "optimizer": ["learning_rate": 0.001], "lora": ["rank": 2, "alpha": 4], "projector": false,
    ]
    for (key, value) in data { json["data"]?[key] = value }
    for (key, value) in changes { json[key] = value }
    let (config, resolved) = try ConfigReader.read(json, schema: "hadpo.train/1", TrainConfig.init)
    return (model, folder, config, resolved)
}

private func training(_ changes: [String: JSON] = [:], data: [String: JSON] = [:]) throws -> TrainingRun {
    let (model, folder, config, resolved) = try prepared(changes, data: data)
    return try TrainingRun(model, folder, config, resolved: resolved, progress: quiet)
}

private func check(_ changes: [String: JSON] = [:], data: [String: JSON] = [:]) throws -> JSON {
    let (model, folder, config, _) = try prepared(changes, data: data)
    return try TrainingRun.check(model, folder, config, progress: quiet)
}

/// What a training that takes one step says, and the message of a check.
private func refused(_ changes: [String: JSON], data: [String: JSON] = [:]) throws -> (train: HadpoError?, check: String?) {
    let found = try check(changes, data: data)["refused"]?[0]?["message"]?.stringValue
    let error = #expect(throws: HadpoError.self) { _ = try training(changes, data: data).run(steps: 1, progress: quiet) }
    return (error, found)
}

private func poison(_ run: TrainingRun) throws {
    let parameter = run.trainer.optimizer.parameters[0].value
    var values = try parameter.data.floats()
    values[0] = .nan
    try run.model.device.copy(run.model.device.tensor(values, parameter.shape), into: parameter.data)
}

@Suite struct TrainingPlacesTests {
    @Test("an output folder is one training's, from its first step until it is freed")
    func claimed() throws {
        let folder = try TemporaryFolder()
        let output: [String: JSON] = ["output": .string(folder["out"]), "overwrite": true, "save_every": 1]
        func both() throws {
            let first = try training(output)
            _ = try first.run(steps: 1, progress: quiet)
            let saved = try File.list(folder["out"])
            let second = try training(["output": .string(folder["out/../out"]), "overwrite": true])
            let listener = Listener()
            let error = #expect(throws: HadpoError.self) { try second.run(steps: 1, progress: listener) }
            #expect(error?.status == .busy && listener.records.isEmpty)
            let other = #expect(throws: HadpoError.self) { try second.save(to: folder["out"], progress: quiet) }
            #expect(other?.status == .busy)
            #expect(try check(output)["refused"]?[0]?["status"]?.intValue == Int(Status.busy.rawValue))
            #expect(try File.list(folder["out"]) == saved)
            try first.save(to: folder["elsewhere"], progress: quiet)
            _ = try first.run(steps: 0, progress: quiet)
            try first.save(to: folder["out"], progress: quiet)
            withExtendedLifetime(second) {}
        }
        try both()
        let names = try File.list(folder["out"])
        #expect(!names.contains(FolderSave.partialName) && !names.contains(FolderSave.nextName))
        _ = try training(output).run(steps: 1, progress: quiet)
        #expect(try File.list(folder["out"]) == names)
    }

    @Test("a file that is named twice, or as a save's, is refused before anything is written")
    func names() throws {
        let folder = try TemporaryFolder()
        #expect(symlink(pairs, folder["link.jsonl"]) == 0)
        let cases: [(String, [String: JSON])] = [
            ("/log", ["log": .string(folder["link.jsonl"])]),
            ("/log", ["log": .string(pairs), "overwrite": true]),
            ("/reference/cache", ["reference": ["cache": .string(folder["link.jsonl"])]]),
            ("/log", ["log": .string(folder["a"]), "reference": ["cache": .string(folder["./a"])]]),
            ("/log", ["log": .string(folder["out"]), "output": .string(folder["out/"])]),
            ("/log", ["log": .string(folder["out"]), "output": .string(folder["out/sub"])]),
            ("/log", ["log": .string(folder["out/./train_config.json"]), "output": .string(folder["out"])]),
            ("/log", ["log": .string(folder["out/hadpo_save.partial/x"]), "output": .string(folder["out"])]),
            ("/log", ["log": .string(folder["out/hadpo_save.json"]), "output": .string(folder["out"])]),
            (
                "/log",
                [
                    "log": .string(folder["out/best/adapter_model.safetensors"]), "output": .string(folder["out"]),
                    "guard": ["keep": "best"],
                ]
            ),
            (
                "/reference/cache",
                [
                    "reference": ["cache": .string(folder["out/adapter_config.json"])], "output": .string(folder["out"]),
                ]
            ),
        ]
        let before = try File.read(pairs)
        for (place, changes) in cases {
            let (error, found) = try refused(changes)
            #expect(error?.status == .config && error?.place == place, "\(changes): \(error.map(\.description) ?? "")")
            #expect(found == error?.message, "\(changes)")
        }
        #expect(try File.list(folder.path) == ["link.jsonl"] && File.read(pairs) == before)
        // Beside the saves a log may lie.
        _ = try training(["log": .string(folder["out/log.jsonl"]), "output": .string(folder["out"])]).run(
            steps: 1, progress: quiet)
    }

    @Test("only a training's log is replaced by overwrite")
    func overwritten() throws {
        let folder = try TemporaryFolder()
        for text in ["my notes\n", "{\"a\": 1}\n", "{\"event\": \"step\"}\n"] {
            let log = try folder.write("log", text)
            let (error, found) = try refused(["log": .string(log), "overwrite": true])
            #expect(error?.status == .io && error?.place == log && found == error?.message)
            #expect(try File.read(log) == Array(text.utf8))
        }
        for text in ["{\"event\": \"step\", \"step\": 1}\nx\n", "{\"event\": \"guard\", \"st", ""] {
            let log = try folder.write("log", text)
            _ = try training(["log": .string(log), "overwrite": true]).run(steps: 1, progress: quiet)
            #expect(try File.read(log).split(separator: 0x0A).count == 1)
        }
    }

    @Test("numbers that are not finite are never saved", arguments: [false, true])
    func notFinite(_ hasSaved: Bool) throws {
        let folder = try TemporaryFolder()
        let run = try training(["output": .string(folder["out"])])
        _ = try run.run(steps: 1, progress: quiet)
        if hasSaved { try run.save(to: folder["out"], progress: quiet) }
        let names = try File.list(folder["out"])
        let bytes = hasSaved ? try File.read(folder["out/adapter_model.safetensors"]) : []
        try poison(run)
        let error = #expect(throws: HadpoError.self) { try run.run(steps: 0, progress: quiet) }
        #expect(error?.status == .numerics)
        let said = hasSaved ? "are not saved; the save of step 1 is in \(folder["out"])" : "are not saved; nothing is"
        #expect(error?.expected?.contains(said) == true, "\(error?.expected ?? "")")
        #expect(throws: HadpoError.self) { try run.save(to: folder["out"], progress: quiet) }
        #expect(try File.list(folder["out"]) == names)
        if hasSaved { #expect(try File.read(folder["out/adapter_model.safetensors"]) == bytes) }
    }

    @Test("what lies where a save works, and is none, is found before the first step and stays")
    func strangers() throws {
        let cases = [
            "hadpo_save.partial/mine.txt", "hadpo_save.partial/deep/mine.txt", "hadpo_save.next/mine.txt", "hadpo_save.next",
            "train_config.json/mine.txt", "hadpo_save.json/mine.txt", "adapter_config.json/mine.txt",
        ]
        for name in cases {
            let folder = try TemporaryFolder()
            let file = try folder.write("out/" + name, "mine")
            let (error, found) = try refused(["output": .string(folder["out"]), "overwrite": true])
            let first = name.split(separator: "/")[0]
            #expect(error?.status == .io && error?.found?.hasPrefix(first) == true, "\(name): \(error?.description ?? "")")
            #expect(found == error?.message)
            #expect(throws: HadpoError.self, "\(name)") { try training().save(to: folder["out"], progress: quiet) }
            #expect(try File.read(file) == Array("mine".utf8))
        }
        // What a killed save left goes as before.
        let folder = try TemporaryFolder()
        try folder.write("out/hadpo_save.partial/adapter_model.safetensors.hadpo-0.partial", "x")
        try folder.write("out/hadpo_save.partial/adapter_config.json", "x")
        _ = try training(["output": .string(folder["out"])]).run(steps: 1, progress: quiet)
        #expect(try File.list(folder["out"]).isEmpty)
    }

    @Test("a sample of weight 0 is in no step, so that each step measures something")
    func weightless() throws {
        let folder = try TemporaryFolder()
        let lines = String(decoding: try File.read(pairs), as: UTF8.self).split(separator: "\n").prefix(3)
        let text = zip(lines, ["1", "0", "1"]).map { $0.dropLast() + #", "weight": \#($1)}"# }.joined(separator: "\n") + "\n"
        let file = try folder.write("pairs.jsonl", text)
        let keys: [String: JSON] = ["batch": 1, "steps": 0, "epochs": 1]
        let listener = Listener()
        let report = try training(keys, data: ["pairs": .string(file)]).run(steps: 0, progress: listener)
        #expect(report["samples"] == 2 && report["weightless"] == 1 && report["steps"] == 2)
        #expect(listener.steps.count == 2)
        #expect(
            listener.steps.allSatisfy { ($0["loss"]?.doubleValue ?? 0) > 0 && ($0["policy_logps/chosen"]?.doubleValue ?? 0) < 0 })
        #expect(try check(keys, data: ["pairs": .string(file)])["weightless"] == 1)
    }

    @Test("a reference cache is looked at by check as by train, and its folder is made")
    func cache() throws {
        let folder = try TemporaryFolder()
        let foreign = try folder.write("notes.txt", "mine\n")
        let (error, found) = try refused(["reference": ["cache": .string(foreign)]])
        #expect(error != nil && found == error?.message)
        let under = try refused(["reference": ["cache": .string(folder["notes.txt/cache"])]])
        #expect(under.train?.status == .io && under.check == under.train?.message)
        let fresh: [String: JSON] = ["reference": ["cache": .string(folder["new/sub/cache"])]]
        #expect(try check(fresh)["refused"] == [])
        #expect(!File.exists(folder["new"]))
        _ = try training(fresh).run(steps: 1, progress: quiet)
        #expect(try File.size(folder["new/sub/cache"]) > 0)
    }
}
