import HadpoBase
import HadpoModels
import HadpoTensor
import HadpoTestSupport
import HadpoTrain
import HadpoWeights
import Testing

private let fixtures = File.join(File.folder(of: File.folder(of: #filePath)), "Fixtures/llava")
private let quiet = SilentProgress()

/// A training, and what may be another one's.
private struct Opening {
    var weights = WeightFormat.stored
    var cache = DType.f32
    var numerics = Numerics.exact
    var kernels = KernelChoice.auto
    var processor = ImageProcessorChoice.pad
    var adapter: String?
    var keys: JSON = [:]
    var pairs: String?
    /// A picture's bytes.
    var wide = "wide.jpg"

    func run(_ folder: TemporaryFolder) throws -> TrainingRun {
        let device = try Device(threads: 1, kernels: kernels, numerics: numerics)
        let checkpoint = try ModelFamily.openFolder(
            ModelFiles(path: File.join(fixtures, "old-f32")), arena: device.arena, progress: quiet)
        let model = try checkpoint.openModel(device: device, processor: processor, weights: weights, progress: quiet)
        model.decoder.cacheType = cache
        for name in try File.list(File.join(fixtures, "pictures")) {
            let source = name == "wide.jpg" ? wide : name
            try folder.write("pictures/" + name, File.read(File.join(fixtures, "pictures/" + source)))
        }
        var json: JSON = [
            "schema": "hadpo.train/1",
            "data": [
                "format": "pairs", "pairs": .string(pairs ?? File.join(fixtures, "dpo/pairs.jsonl")),
                "images": .string(folder["pictures"]),
            ],
            "batch": 2, "steps": 4, "optimizer": ["learning_rate": 0.001], "lora": ["rank": 4, "alpha": 8], "projector": true,
            "reference": ["cache": .string(folder["reference.jsonl"])],
        ]
        if let adapter { json["lora"]?["init"] = .string(adapter) }
        for member in keys.objectValue ?? [] { json[member.key] = member.value }
        let (config, resolved) = try ConfigReader.read(json, schema: "hadpo.train/1", TrainConfig.init)
        return try TrainingRun(model, checkpoint, config, resolved: resolved, progress: quiet)
    }
}

private struct Change: Sendable, CustomTestStringConvertible {
    let name: String
    let says: String
    let change: @Sendable (inout Opening, TemporaryFolder) throws -> Void
    var testDescription: String { name }

    init(_ name: String, _ says: String, _ change: @escaping @Sendable (inout Opening, TemporaryFolder) throws -> Void) {
        (self.name, self.says, self.change) = (name, says, change)
    }

    static let model: [Change] = [
        Change("weights", "(weights): these were made with stored, now it is int4") { opening, _ in opening.weights = .int4 },
        Change("kv_cache", "(kv_cache): these were made with fp32, now it is fp16") { opening, _ in opening.cache = .f16 },
        Change("numerics", "the numerics: these were made with exact, now it is fast") { opening, _ in opening.numerics = .fast },
        Change("processor", "(image pipeline): these were made with ") { opening, _ in opening.processor = .crop },
    ]

    static let training: [Change] = [
        Change("learning rate", "optimizer.learning_rate: these were made with 0.001, now it is 0.002") { opening, _ in
            opening.keys["optimizer"] = ["learning_rate": 0.002]
        },
        Change("beta", "beta: these were made with ") { opening, _ in opening.keys["beta"] = 0.25 },
        Change("template", "template: these were made with ") { opening, _ in opening.keys["template"] = "hf" },
        Change("adapter", "what the training starts from: no adapter then, now the adapter of content ") { opening, folder in
            // Another start under the same name is no other training's only by its content.
            opening.adapter = File.join(fixtures, "dpo/adapter")
        },
        Change("questions", "the questions and answers: content ") { opening, folder in
            let text = String(decoding: try File.read(File.join(fixtures, "dpo/pairs.jsonl")), as: UTF8.self)
            opening.pairs = try folder.write("pairs.jsonl", text.replacing("\"question\": \"", with: "\"question\": \"Now, "))
        },
        Change("a pair less", "the data: ") { opening, folder in
            let text = String(decoding: try File.read(File.join(fixtures, "dpo/pairs.jsonl")), as: UTF8.self)
            let lines = text.split(separator: "\n").dropLast().map { String($0) + "\n" }
            opening.pairs = try folder.write("pairs.jsonl", lines.joined())
        },
        Change("a picture's bytes", "the pictures' bytes: content ") { opening, _ in opening.wide = "tall.png" },
    ]
}

private final class Listener: Progress {
    var warnings: [String] = []
    func tick() throws(HadpoError) {}
    func emit(_ record: JSON) throws(HadpoError) {
        if record["event"] == "warning" { warnings.append(record["message"]?.stringValue ?? "") }
    }
}

@Suite struct TrainingIdentityTests {
    @Test(
        "a saved training goes on under no other model, settings or data, and the refusal names what differs",
        arguments: Change.model + Change.training)
    fileprivate func state(_ change: Change) throws {
        let folder = try TemporaryFolder()
        let first = try Opening().run(folder)
        _ = try first.run(steps: 1, progress: quiet)
        try first.save(to: folder["saved"], progress: quiet)
        try File.remove(folder["reference.jsonl"])
        var opening = Opening()
        try change.change(&opening, folder)
        let other = try opening.run(folder)
        let error = #expect(throws: HadpoError.self) { try other.resume(from: folder["saved"], progress: quiet) }
        let says = change.says.replacing("these were", with: "its steps were")
        #expect(error?.found?.contains(says) == true, "\(String(describing: error))")
        #expect(other.trainer.step == 0)
    }

    @Test("the same training goes on to the same bits, from a copy of its data elsewhere; other kernels are said")
    func same() throws {
        let folder = try TemporaryFolder()
        let first = try Opening().run(folder)
        let report = try first.run(steps: 1, progress: quiet)
        #expect(report["identity"] == first.identity.model.json)
        try first.save(to: folder["saved"], progress: quiet)
        _ = try first.run(steps: 1, progress: quiet)
        try first.save(to: folder["whole"], progress: quiet)
        let elsewhere = try TemporaryFolder()
        let again = try Opening().run(elsewhere)
        try again.resume(from: folder["saved"], progress: quiet)
        _ = try again.run(steps: 1, progress: quiet)
        try again.save(to: elsewhere["whole"], progress: quiet)
        let name = TrainState.fileName
        #expect(try File.read(elsewhere["whole/" + name]) == File.read(folder["whole/" + name]))
        let text = String(decoding: try File.read(folder["whole/" + name]), as: UTF8.self)
        #expect(!text.contains(folder.path) && !text.contains(elsewhere.path))

        let listener = Listener()
        try Opening(kernels: .portable).run(try TemporaryFolder()).resume(from: folder["saved"], progress: listener)
        #expect(listener.warnings.contains { $0.contains("kernels: its steps were made with ") && $0.contains("portable") })
    }

    @Test("a reference cache is read under no other model, and the refusal names what differs", arguments: Change.model)
    fileprivate func referenceCache(_ change: Change) throws {
        let folder = try TemporaryFolder()
        _ = try Opening().run(folder).run(steps: 1, progress: quiet)
        let whole = try File.read(folder["reference.jsonl"])
        var opening = Opening()
        try change.change(&opening, folder)
        let error = #expect(throws: HadpoError.self) { try opening.run(folder) }
        let says = change.says.replacing("these were", with: "its log-probabilities were")
        #expect(error?.found?.contains(says) == true, "\(String(describing: error))")
        #expect(error?.place == folder["reference.jsonl"] && error?.expected?.contains("another file") == true)
        #expect(try File.read(folder["reference.jsonl"]) == whole)
        // The same model reads it, whatever it is trained with.
        _ = try Opening(keys: ["beta": 0.25]).run(folder).run(steps: 1, progress: quiet)
        #expect(try File.read(folder["reference.jsonl"]) == whole)
        let listener = Listener()
        _ = try Opening(kernels: .portable).run(folder).run(steps: 4, progress: listener)
        #expect(listener.warnings.contains { $0.contains("kernels: some of its log-probabilities were made with ") })
    }
}
