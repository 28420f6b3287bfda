import HadpoAutograd
import HadpoBase
import HadpoModels
import HadpoTensor
import HadpoTestSupport
import HadpoTrain
import HadpoVision
import Testing

private let fixtures = File.join(File.folder(of: File.folder(of: #filePath)), "Fixtures/llava")
private let quiet = SilentProgress()

/// Keeps the records that a host would get.
private final class Listener: Progress {
    var records: [JSON] = []
    /// Throws at the step record with this number.
    var failsAt = -1
    func tick() throws(HadpoError) {}
    func emit(_ record: JSON) throws(HadpoError) {
        records.append(record)
        if record["event"] == "step", record["step"]?.intValue == failsAt {
            throw HadpoError(.io, "the disk is gone", expected: "a disk")
        }
    }
}

private func opened() throws -> (LLaVA15, LLaVAFolder) {
    let device = try Device(threads: 1, numerics: .exact)
    let folder = try LLaVAFolder(ModelFiles(path: File.join(fixtures, "old-f32")), arena: device.arena, progress: quiet)
    return (try folder.openLLaVA(device: device, processor: .pad, progress: quiet), folder)
}

private func configuration(_ changes: [String: JSON], data: [String: JSON] = [:]) throws -> (TrainConfig, JSON) {
    var json: JSON = [
        "schema": "hadpo.train/1",
        "data": [
            "format": "pairs", "pairs": .string(File.join(fixtures, "dpo/pairs.jsonl")),
            "images": .string(File.join(fixtures, "pictures")), "order": "file",
        ],
        "batch": 2, "steps": 3, "optimizer": ["learning_rate": 0.001], "lora": ["rank": 2, "alpha": 4], "projector": false,
    ]
    for (key, value) in data { json["data"]?[key] = value }
    for (key, value) in changes { json[key] = value }
    return try ConfigReader.read(json, schema: "hadpo.train/1", TrainConfig.init)
}

private func training(_ changes: [String: JSON] = [:], data: [String: JSON] = [:]) throws -> TrainingRun {
    let (model, folder) = try opened()
    let (config, resolved) = try configuration(changes, data: data)
    return try TrainingRun(model, folder, config, resolved: resolved, progress: quiet)
}

private func refused(_ changes: [String: JSON] = [:], data: [String: JSON] = [:]) throws -> (train: HadpoError?, check: [JSON]) {
    let (model, folder) = try opened()
    let (config, resolved) = try configuration(changes, data: data)
    let report = try TrainingRun.check(model, folder, config, progress: quiet)
    do throws(HadpoError) {
        let run = try TrainingRun(model, folder, config, resolved: resolved, progress: quiet)
        _ = try run.run(steps: 1, progress: quiet)
        return (nil, report["refused"]?.arrayValue ?? [])
    } catch { return (error, report["refused"]?.arrayValue ?? []) }
}

private func gradients(_ changes: [String: JSON] = [:], data: [String: JSON] = [:]) throws -> (loss: Double, [[Float]]) {
    let run = try training(changes, data: data)
    let record = try run.trainer.accumulateGradients(progress: quiet)
    return (record.loss, try run.trainer.optimizer.parameters.map { try $0.value.gradient?.floats() ?? [] })
}

/// ||found - expected|| / ||expected|| over all tensors.
private func relative(_ found: [[Float]], _ expected: [[Float]]) -> Double {
    let pairs = zip(found.joined(), expected.joined())
    let difference = pairs.reduce(0.0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }
    return (difference / expected.joined().reduce(1e-60) { $0 + Double($1) * Double($1) }).squareRoot()
}

@Suite struct SampleWeightTests {
    private func lines(_ file: String, _ weights: [String]) throws -> String {
        let text = String(decoding: try File.read(File.join(fixtures, "dpo/\(file).jsonl")), as: UTF8.self)
        let all = text.split(separator: "\n").prefix(weights.count)
        return zip(all, weights).map { line, weight in
            weight.isEmpty ? String(line) : line.dropLast() + #", "weight": \#(weight)}"#
        }.joined(separator: "\n") + "\n"
    }

    // The same numbers in another order of sums.
    @Test("weight 2 is the sample twice, weight 0 is not there, in pairs and in samples", arguments: ["pairs", "samples"])
    func twice(_ kind: String) throws {
        let folder = try TemporaryFolder()
        let supervised = kind == "samples"
        func of(_ text: String, _ name: String, batch: Int) throws -> (loss: Double, [[Float]]) {
            let file = try folder.write(name, text)
            // A and B of an adapter that has begun, so that both have gradients.
            var changes: [String: JSON] = [
                "batch": JSON(batch), "lora": ["rank": 4, "alpha": 8, "init": .string(File.join(fixtures, "dpo/adapter"))],
            ]
            if supervised { changes["method"] = "sft" }
            return try gradients(
                changes,
                data: supervised
                    ? ["format": "samples", "pairs": .null, "samples": .string(file)] : ["pairs": .string(file)])
        }
        let weighted = try of(lines(kind, ["2", "", "0"]), "a.jsonl", batch: 3)
        let first = try lines(kind, [""]).replacing(#"{"id": "0", "#, with: #"{"id": "again", "#)
        let twice = try of(first + lines(kind, ["", ""]).replacing("\n", with: "\n"), "b.jsonl", batch: 3)
        #expect(abs(weighted.loss - twice.loss) < 1e-6, "\(weighted.loss), \(twice.loss)")
        #expect(relative(weighted.1, twice.1) < 1e-5)
        // The weights matter.
        let plain = try of(lines(kind, ["", "", ""]), "c.jsonl", batch: 3)
        #expect(relative(plain.1, twice.1) > 1e-2)
        // All of one weight are as without.
        let same = try of(lines(kind, ["3", "3", "3"]), "d.jsonl", batch: 3)
        #expect(abs(same.loss - plain.loss) < 1e-6 && relative(same.1, plain.1) < 1e-5)
    }

    @Test("a weighted step's gradient is the slope of its loss")
    func slope() throws {
        let folder = try TemporaryFolder()
        let file = try folder.write("s.jsonl", lines("samples", ["0.5", "3"]))
        let run = try training(
            ["method": "sft", "lora": ["rank": 4, "alpha": 8, "init": .string(File.join(fixtures, "dpo/adapter"))]],
            data: ["format": "samples", "pairs": .null, "samples": .string(file)])
        _ = try run.trainer.accumulateGradients(progress: quiet)
        let parameters = run.trainer.optimizer.parameters
        let gradients = try parameters.map { try $0.value.gradient?.floats() ?? [] }
        let norm = gradients.joined().reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
        // Along the gradient, where the slope is its norm: far above the rounding of fp32.
        func loss(_ distance: Double) throws -> Double {
            let before = try parameters.map { try $0.value.data.floats() }
            for (parameter, (values, gradient)) in zip(parameters, zip(before, gradients)) {
                let moved = zip(values, gradient).map { $0 + Float(distance / norm) * $1 }
                try run.model.device.copy(run.model.device.tensor(moved, parameter.value.shape), into: parameter.value.data)
            }
            run.trainer.optimizer.clearGradients()
            let loss = try run.trainer.accumulateGradients(progress: quiet).loss
            for (parameter, values) in zip(parameters, before) {
                try run.model.device.copy(run.model.device.tensor(values, parameter.value.shape), into: parameter.value.data)
            }
            return loss
        }
        let step = 1e-2
        let found = (try loss(step) - loss(-step)) / (2 * step)
        // The third derivative times step^2 / 6, and fp32 losses of 7 digits.
        #expect(abs(found / norm - 1) < 1e-2, "slope \(found), gradient \(norm)")
    }

    @Test("a weight that is no weight is named", arguments: ["-1", "1e9", "\"2\"", "null"])
    func wrong(_ weight: String) throws {
        let folder = try TemporaryFolder()
        let file = try folder.write("p.jsonl", lines("pairs", [weight]))
        let set = try SampleFiles.readPairs(file, pictures: PictureFolder(File.join(fixtures, "pictures"), outside: false))
        #expect(set.samples.isEmpty && set.problems.first?.reason.contains("weight") == true)
    }
}

@Suite struct TrainingEdgeTests {
    @Test("what cannot move on its data is refused by check and before the first step")
    func standstill() throws {
        let folder = try TemporaryFolder()
        func pairs(_ name: String, _ chosen: String, _ rejected: String, _ more: String = "") throws -> JSON {
            .string(
                try folder.write(
                    name,
                    #"{"image": "wide.jpg", "question": "What?", "chosen": "\#(chosen)", "rejected": "\#(rejected)"\#(more)}"#
                        + "\n"))
        }
        let cases: [(String, [String: JSON], [String: JSON])] = [
            ("rate", ["steps": 1, "schedule": ["warmup_steps": 1]], [:]),
            ("rate", ["steps": .null, "epochs": 1, "batch": 128, "schedule": ["warmup_ratio": 0.03]], [:]),
            (
                "same tokens", ["max_answer": 2, "on_long": "truncate"],
                ["pairs": try pairs("cut.jsonl", "A cup of tea.", "A cup of mud.")]
            ),
            ("weight 0", [:], ["pairs": try pairs("zero.jsonl", "A cup.", "A dog.", #", "weight": 0"#)]),
        ]
        for (word, changes, data) in cases {
            var changes = changes
            if changes["steps"] == .null { changes["steps"] = 0 }
            let found = try refused(changes, data: data)
            #expect(
                found.train?.status == .config && found.train?.found?.contains(word) == true,
                "\(word): \(found.train.map(\.description) ?? "accepted")")
            #expect(found.check.count == 1 && found.check[0]["found"]?.stringValue == found.train?.found)
        }
        #expect(try refused().train == nil && refused().check.isEmpty)
    }

    @Test("unreadable pictures are named before the first step", arguments: ["empty", "cut", "cut JPEG", "page", "pointer"])
    func pictures(_ kind: String) throws {
        let folder = try TemporaryFolder()
        let png = try File.read(File.join(fixtures, "pictures/tall.png"))
        let jpeg = try File.read(File.join(fixtures, "pictures/wide.jpg"))
        let contents: [String: [UInt8]] = [
            "empty": [], "cut": Array(png.prefix(png.count / 2)), "cut JPEG": Array(jpeg.prefix(jpeg.count / 2)),
            "page": Array("<html>404 Not Found</html>".utf8),
            "pointer": Array("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n".utf8),
        ]
        try folder.write("img/good.png", png)
        try folder.write("img/bad.png", contents[kind] ?? [])
        var text = ""
        for (number, name) in ["good", "bad", "good", "bad"].enumerated() {
            text += #"{"image": "\#(name).png", "question": "What?", "chosen": "A cup \#(number).", "rejected": "A dog."}"# + "\n"
        }
        let file = try folder.write("pairs.jsonl", text)
        for decodes in [false, true] {
            let found = try refused(
                data: ["pairs": .string(file), "images": .string(folder["img"]), "decode": .bool(decodes)])
            #expect(found.train?.message == "2 samples cannot be trained on" && found.train?.found?.contains("bad.png") == true)
            #expect(found.check.count == 1 && found.check[0]["message"] == "2 samples cannot be trained on")
        }
    }

    @Test("damage between the ends of a picture is found when pictures are decoded")
    func decoding() throws {
        let folder = try TemporaryFolder()
        var png = try File.read(File.join(fixtures, "pictures/tall.png"))
        for place in png.count / 3..<png.count / 2 { png[place] ^= 0x5A }
        try folder.write("img/bad.png", png)
        let file = try folder.write(
            "pairs.jsonl", #"{"image": "bad.png", "question": "What?", "chosen": "A cup.", "rejected": "A dog."}"# + "\n")
        let (model, at) = try opened()
        func problems(_ decodes: Bool) throws -> Int? {
            let (config, _) = try configuration(
                [:], data: ["pairs": .string(file), "images": .string(folder["img"]), "decode": .bool(decodes)])
            return try TrainingRun.check(model, at, config, progress: quiet)["problems"]?.arrayValue?.count
        }
        #expect(try problems(false) == 0 && problems(true) == 1)
    }

    @Test("what follows the end of a picture does no harm")
    func trailing() throws {
        let folder = try TemporaryFolder()
        for (name, source) in [("a.png", "tall.png"), ("b.jpg", "wide.jpg")] {
            let path = try folder.write(name, File.read(File.join(fixtures, "pictures/" + source)) + Array("tail\n".utf8))
            #expect(try PictureCheck.reason(path, decoding: false, budget: nil) == nil)
        }
    }

    @Test("another training's adapter and log stay as they are without overwrite")
    func overwriting() throws {
        let folder = try TemporaryFolder()
        let keys: [String: JSON] = ["output": .string(folder["out"]), "log": .string(folder["log.jsonl"])]
        func twoSteps() throws {
            let first = try training(keys)
            for _ in 1...2 {
                _ = try first.run(steps: 1, progress: quiet)
                // What it has saved itself it may replace.
                try first.save(to: folder["out"], progress: quiet)
            }
        }
        try twoSteps()
        let (adapter, log) = (try File.read(folder["out/adapter_model.safetensors"]), try File.read(folder["log.jsonl"]))
        for changes: [String: JSON] in [["output": keys["output"] ?? .null], ["log": keys["log"] ?? .null]] {
            let found = try refused(changes)
            #expect(found.train?.status == .io && found.train?.expected?.contains("overwrite") == true)
            #expect(found.check.count == 1 && found.check[0]["message"]?.stringValue == found.train?.message)
        }
        let other = try training()
        _ = try other.run(steps: 1, progress: quiet)
        #expect(throws: HadpoError.self) { try other.save(to: folder["out/../out"], progress: quiet) }
        #expect(try File.read(folder["out/adapter_model.safetensors"]) == adapter && File.read(folder["log.jsonl"]) == log)

        // Resumed it goes on in both.
        func resumed() throws {
            let resumed = try training(keys)
            try resumed.resume(from: folder["out"], progress: quiet)
            _ = try resumed.run(steps: 0, progress: quiet)
            try resumed.save(to: folder["out"], progress: quiet)
        }
        try resumed()
        #expect(try File.read(folder["log.jsonl"]).split(separator: 0x0A).count == 3)

        let anew = try training(keys.merging(["overwrite": true]) { $1 })
        _ = try anew.run(steps: 1, progress: quiet)
        try anew.save(to: folder["out"], progress: quiet)
        #expect(try File.read(folder["log.jsonl"]).split(separator: 0x0A).count == 1)
    }

    @Test("a place that cannot be written is found before the first step")
    func places() throws {
        let folder = try TemporaryFolder()
        try folder.write("file", "x")
        for key in ["output", "log"] {
            let found = try refused([key: .string(folder["file/sub/place"])])
            #expect(found.train?.status == .io && found.check.count == 1, "\(key)")
        }
        let listener = Listener()
        let run = try training(["output": .string(folder["new/out"]), "log": .string(folder["logs/a.jsonl"])])
        _ = try run.run(steps: 1, progress: listener)
        #expect(try File.list(folder["new/out"]).isEmpty && File.exists(folder["logs/a.jsonl"]))
        #expect(listener.records[0]["plan"]?["samples_per_step"] == 2)
    }

    @Test("a failure on the way saves the steps that were taken and says so")
    func failure() throws {
        let folder = try TemporaryFolder()
        let listener = Listener()
        listener.failsAt = 2
        let run = try training(["output": .string(folder["out"])])
        let error = #expect(throws: HadpoError.self) { try run.run(steps: 0, progress: listener) }
        #expect(error?.message == "the disk is gone" && error?.expected?.hasPrefix("a disk; ") == true)
        #expect(error?.expected?.contains("until step 2 is saved in \(folder["out"])") == true)
        // It goes on to the same bits.
        let whole = try training()
        _ = try whole.run(steps: 0, progress: quiet)
        let resumed = try training(["output": .string(folder["out"])])
        try resumed.resume(from: folder["out"], progress: quiet)
        _ = try resumed.run(steps: 0, progress: quiet)
        for (a, b) in zip(resumed.trainer.optimizer.parameters, whole.trainer.optimizer.parameters) {
            #expect(try a.value.data.floats() == b.value.data.floats())
        }
    }
}
