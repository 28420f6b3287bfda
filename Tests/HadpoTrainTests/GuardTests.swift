import HadpoBase
import HadpoModels
import HadpoTensor
import HadpoTrain
import Testing
import HadpoTestSupport

private let fixtures = File.join(File.folder(of: File.folder(of: #filePath)), "Fixtures/llava")
private let quiet = SilentProgress()

/// Says what it was told to, one value after the other, and then the last again.
private final class ScriptedGauge: ModelGauge {
    let figures = ["pope.accuracy", "pope.precision", "pope.recall", "pope.f1", "pope.yes_ratio", "pope.roc_area"]
    var accuracies: [Double?]
    private(set) var asked = 0
    init(_ accuracies: [Double?]) { self.accuracies = accuracies }
    func measure(progress: any Progress) throws(HadpoError) -> [Double?] {
        try progress.tick()
        defer { asked += 1 }
        return [accuracies[min(asked, accuracies.count - 1)], nil, nil, nil, nil, nil]
    }
}

/// Is asked to stop while the guard looks: after `calls` of it.
private final class Interruption: Progress {
    var calls: Int
    init(after calls: Int) { self.calls = calls }
    func tick() throws(HadpoError) {
        calls -= 1
        if calls < 0 { throw HadpoError(.cancelled, "the call was interrupted") }
    }
    func emit(_ record: JSON) throws(HadpoError) {}
}

private func configuration(_ guarding: JSON?, _ changes: [String: JSON] = [:]) throws -> (TrainConfig, JSON) {
    var json: JSON = [
        "schema": "hadpo.train/1",
        "data": [
            "format": "pairs", "pairs": .string(File.join(fixtures, "dpo/pairs.jsonl")),
            "images": .string(File.join(fixtures, "pictures")),
        ],
        "batch": 2, "steps": 10, "optimizer": ["learning_rate": 0.001], "lora": ["rank": 2, "alpha": 4], "projector": false,
    ]
    if let guarding { json["guard"] = guarding }
    for (key, value) in changes { json[key] = value }
    return try ConfigReader.read(json, schema: "hadpo.train/1", TrainConfig.init)
}

private func run(_ guarding: JSON?, gauge: (any ModelGauge)? = nil, _ changes: [String: JSON] = [:]) throws -> TrainingRun {
    let device = try Device(threads: 1, numerics: .exact)
    let folder = try LLaVAFolder(ModelFiles(path: File.join(fixtures, "old-f32")), arena: device.arena, progress: quiet)
    let model = try folder.openLLaVA(device: device, processor: .pad, progress: quiet)
    let (config, resolved) = try configuration(guarding, changes)
    return try TrainingRun(model, folder, config, resolved: resolved, gauge: gauge, progress: quiet)
}

private let asking: JSON = ["every": 3, "pope": ["questions": "q", "images": "i"]]

private func asking(_ more: [String: JSON]) -> JSON {
    var json = asking
    for (key, value) in more { json[key] = value }
    return json
}

private func weights(_ run: TrainingRun) throws -> [[Float]] {
    try run.trainer.optimizer.parameters.map { try $0.value.data.floats() }
}

private func lines(_ path: String) throws -> [JSON] {
    try JSONLines.parse(try File.read(path), source: path).map { line in
        var record = line.value
        record["seconds"] = nil
        return record
    }
}

@Suite struct GuardTests {
    @Test("a guard that does not stop changes no bit of the training, and looks before the first and after the last step")
    func readsOnly() throws {
        let plain = try run(nil)
        _ = try plain.run(steps: 0, progress: quiet)
        let watched = try run(asking, gauge: ScriptedGauge([0.5, 0.6]))
        let report = try watched.run(steps: 0, progress: quiet)
        #expect(try weights(plain) == weights(watched))
        let steps = report["guard"]?["records"]?.arrayValue?.compactMap { $0["step"]?.intValue }
        #expect(steps == [0, 3, 6, 9, 10])
        #expect(report["guard"]?["stopped"]?.isNull == true && report["finished"]?.boolValue == true)
    }

    @Test("what it says of the answers is what the steps say: before training, policy and reference agree")
    func logProbs() throws {
        let watched = try run(["every": 100, "pairs": 1000], ["batch": 6, "steps": 1])
        let report = try watched.run(steps: 0, progress: quiet)
        let record = try #require(report["guard"]?["records"]?.arrayValue?.first)
        // The one step holds all six pairs; the same numbers in another packing, sums in double of fp32 values near 100.
        for (figure, key) in [("chosen_logprob", "reference_logps/chosen"), ("rejected_logprob", "reference_logps/rejected")] {
            let guarded = try #require(record["figures"]?[figure]?.doubleValue)
            let stepped = try #require(report["last"]?[key]?.doubleValue)
            #expect(abs(guarded - stepped) < 1e-3)
        }
    }

    @Test(
        "each rule ends the training at its measurement and names itself",
        arguments: [
            (["figure": "pope.accuracy", "below": 0.55], [0.6, 0.7, 0.5, 0.9], 6),
            (["figure": "pope.accuracy", "above": 0.75], [0.6, 0.7, 0.8], 6),
            (["figure": "pope.accuracy", "falls": 0.15], [0.6, 0.8, 0.7, 0.6], 9),
            (["figure": "pope.accuracy", "rises": 0.15], [0.6, 0.5, 0.6, 0.7], 9),
            // One bad look is forgiven, two in a row are not; a good one between them begins the count again.
            (["figure": "pope.accuracy", "below": 0.55, "patience": 2], [0.5, 0.6, 0.5, 0.5], 9),
        ] as [(JSON, [Double], Int)])
    func rules(_ rule: JSON, _ values: [Double], _ step: Int) throws {
        try withTemporaryFolder { folder in
            let log = File.join(folder, "log.jsonl")
            let output = File.join(folder, "adapter")
            let watched = try run(
                asking(["stop": [rule]]), gauge: ScriptedGauge(values), ["log": .string(log), "output": .string(output)])
            let report = try watched.run(steps: 0, progress: quiet)
            let stop = try #require(report["guard"]?["stopped"])
            #expect(report["step"]?.intValue == step && report["finished"]?.boolValue == false)
            #expect(stop["step"]?.intValue == step && stop["figure"]?.stringValue == "pope.accuracy")
            #expect(stop["value"]?.doubleValue == values[step / 3])
            #expect(rule[stop["rule"]?.stringValue ?? ""]?.doubleValue == stop["limit"]?.doubleValue)
            #expect(try lines(log).last == stop)
            // Complete without any call of the host: adapter, configuration, state.
            for name in ["adapter_model.safetensors", "adapter_config.json", "train_config.json", TrainState.fileName] {
                #expect(File.isFile(File.join(output, name)))
            }
            // Stopped is stopped, and said once in the log.
            let again = try watched.run(steps: 0, progress: quiet)
            #expect(again["step"]?.intValue == step && !(again["guard"]?["stopped"]?.isNull ?? true))
            #expect(try lines(log).count { $0["event"] == "guard_stop" } == 1)
        }
    }

    @Test("a figure that is not defined breaks no rule")
    func undefined() throws {
        let watched = try run(
            asking(["stop": [["figure": "pope.accuracy", "below": 0.9]]]), gauge: ScriptedGauge([nil]))
        #expect(try watched.run(steps: 0, progress: quiet)["finished"]?.boolValue == true)
    }

    @Test("the best step is kept, bit for bit as it was then")
    func best() throws {
        try withTemporaryFolder { folder in
            let output = File.join(folder, "adapter")
            let watched = try run(
                asking(["keep": "best"]), gauge: ScriptedGauge([0.9, 0.5, 0.8, 0.8, 0.7]), ["output": .string(output)])
            let report = try watched.run(steps: 0, progress: quiet)
            // The untrained model's 0.9 is no candidate, and of equals the earlier stays.
            #expect(report["guard"]?["best"]?["step"]?.intValue == 6)
            let folder = try #require(report["guard"]?["best"]?["folder"]?.stringValue)
            let sixth = try run(nil)
            _ = try sixth.run(steps: 6, progress: quiet)
            let kept = try run(nil)
            try kept.resume(from: folder, progress: quiet)
            #expect(kept.trainer.step == 6)
            #expect(try weights(kept) == weights(sixth))
        }
    }

    @Test("an interrupted look is taken again after a resume, and the log is that of a run without the interruption")
    func resume() throws {
        try withTemporaryFolder { folder in
            let (log, whole) = (File.join(folder, "log.jsonl"), File.join(folder, "whole.jsonl"))
            let rules: JSON = asking(["stop": [["figure": "pope.accuracy", "falls": 0.25]]])
            let undisturbed = try run(rules, gauge: ScriptedGauge([0.6, 0.7, 0.8, 0.5]), ["log": .string(whole)])
            _ = try undisturbed.run(steps: 0, progress: quiet)

            let changes: [String: JSON] = [
                "log": .string(log), "output": .string(File.join(folder, "adapter")), "save_every": 2,
            ]
            // The log is the first run's as long as it is there.
            do {
                let first = try run(rules, gauge: ScriptedGauge([0.6, 0.7]), changes)
                _ = try first.run(steps: 5, progress: quiet)
                // Step 6 is taken; the look after it is cut short.
                var allowed = 0
                #expect(throws: HadpoError.self) {
                    while true {
                        do {
                            _ = try first.run(steps: 1, progress: Interruption(after: allowed))
                        } catch  where first.trainer.step < 6 {
                            allowed += 1
                        }
                    }
                }
                #expect(first.trainer.step == 6)
                try first.save(to: File.join(folder, "adapter"), progress: quiet)
            }

            let second = try run(rules, gauge: ScriptedGauge([0.8, 0.5]), changes)
            try second.resume(from: File.join(folder, "adapter"), progress: quiet)
            let report = try second.run(steps: 0, progress: quiet)
            #expect(report["guard"]?["stopped"]?["step"]?.intValue == 9)
            #expect(try lines(log) == lines(whole))
            #expect(try weights(second) == weights(undisturbed))
        }
    }

    @Test("a stopped training goes on under a milder rule, which its state does not forbid")
    func milder() throws {
        try withTemporaryFolder { folder in
            let output = File.join(folder, "adapter")
            let strict = try run(
                asking(["stop": [["figure": "pope.accuracy", "below": 0.55]]]), gauge: ScriptedGauge([0.6, 0.5]),
                ["output": .string(output)])
            #expect(try strict.run(steps: 0, progress: quiet)["step"]?.intValue == 3)
            let mild = try run(
                asking(["stop": [["figure": "pope.accuracy", "below": 0.45]]]), gauge: ScriptedGauge([0.5]),
                ["output": .string(output)])
            try mild.resume(from: output, progress: quiet)
            let report = try mild.run(steps: 0, progress: quiet)
            #expect(report["finished"]?.boolValue == true)
            #expect(report["guard"]?["records"]?.arrayValue?.compactMap { $0["step"]?.intValue } == [0, 3, 6, 9, 10])
        }
    }

    @Test(
        "a rule about what nothing measures, two limits or none, and a best step without a folder are refused",
        arguments: [
            ["stop": [["figure": "pope.accuracy", "below": 0.5]]],
            ["stop": [["figure": "chosen_logprob", "below": 0.5, "falls": 1]]],
            ["stop": [["figure": "chosen_logprob"]]],
            ["best": "describe.words"], ["keep": "best"], ["every": 0], ["pope": ["questions": "q"]], ["stopp": []],
        ] as [JSON])
    func refused(_ guarding: JSON) throws {
        #expect(throws: HadpoError.self) { _ = try configuration(guarding) }
    }

    @Test("a rule that was broken before the first step is said to have been; an amount below nothing is refused")
    func fromStart() throws {
        let rule: JSON = [["figure": "pope.accuracy", "below": 0.8, "patience": 2]]
        func message(_ accuracies: [Double?]) throws -> String? {
            let report = try run(asking(["stop": rule]), gauge: ScriptedGauge(accuracies)).run(steps: 0, progress: quiet)
            return report["guard"]?["stopped"]?["message"]?.stringValue
        }
        #expect(try message([0.5])?.contains("so it was before step 1") == true)
        #expect(try message([0.9, 0.5])?.contains("before step 1") == false)
        for kind in ["falls", "rises"] {
            let stop: JSON = .array([.object([.init("figure", "pope.accuracy"), .init(kind, .double(-0.1))])])
            let error = #expect(throws: HadpoError.self) { try configuration(asking(["stop": stop])) }
            #expect(error?.place == "/guard/stop/0/\(kind)")
        }
    }
}
