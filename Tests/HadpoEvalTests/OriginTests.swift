import HadpoBase
import HadpoEval
import HadpoModels
import HadpoTensor
import HadpoTestSupport
import HadpoWeights
import Testing

/// Something about a run that is other than it was when the file was begun, and what the refusal must say.
private struct Change: Sendable, CustomTestStringConvertible {
    enum Kind: Sendable {
        case model(@Sendable (inout Opening) throws -> Void)
        case keys(JSON)
        case folder(@Sendable (TemporaryFolder) throws -> Void)
    }
    let name: String
    let kind: Kind
    let says: String
    var testDescription: String { name }

    static func model(_ name: String, _ says: String, _ change: @escaping @Sendable (inout Opening) throws -> Void) -> Change {
        Change(name: name, kind: .model(change), says: says)
    }
    static func keys(_ name: String, _ value: JSON) -> Change {
        Change(name: name, kind: .keys([name: value]), says: "\(name): these ")
    }

    static let all: [Change] = [
        .model("adapter", "the adapter: these answers were made without one, now there is one of content ") { $0.adapter = true },
        .model("weights", "(weights): these answers were made with stored, now it is int8") { $0.weights = .int8 },
        .model("kv_cache", "(kv_cache): these answers were made with fp32, now it is fp16") { $0.cache = .f16 },
        .model("numerics", "the numerics: these answers were made with exact, now it is fast") { $0.numerics = .fast },
        .model("processor", "(image pipeline): these answers were made with ") { $0.processor = .crop },
        .model("a byte of a tensor", "the checkpoint: these answers were made with content ") { opening in
            try opening.edit("model.safetensors") { $0[$0.count - 2] ^= 1 }
        },
        .model("config.json", "(config.json): these answers were made with content ") { opening in
            try opening.edit("config.json") { bytes in
                var json = try JSON.parse(bytes, source: "config.json")
                json["text_config"]?["rms_norm_eps"] = 3e-5
                bytes = Array(json.text().utf8)
            }
        },
        .model("eos_token_id", "what ends an answer: these answers were made with content ") { opening in
            try opening.edit("generation_config.json") { $0 = Array("{\"eos_token_id\": [2, 5]}".utf8) }
        },
        .model("min_new_tokens", "min_new_tokens: these answers were made with 0, now it is 3") { opening in
            try opening.edit("generation_config.json") { $0 = Array("{\"eos_token_id\": 2, \"min_new_tokens\": 3}".utf8) }
        },
        .model("repetition_penalty of the folder", "generation settings, or what ends an answer: these answers were made with ") {
            opening in
            try opening.edit("generation_config.json") { $0 = Array("{\"eos_token_id\": 2, \"repetition_penalty\": 1.5}".utf8) }
        },
        .model("tokenizer", "the tokenizer: these answers were made with content ") { opening in
            try opening.edit("tokenizer_config.json") { bytes in
                var json = try JSON.parse(bytes, source: "tokenizer_config.json")
                json["legacy"] = .bool(json["legacy"]?.boolValue == false)
                bytes = Array(json.text().utf8)
            }
        },
        .keys("template", "hf"), .keys("max_new_tokens", 7), .keys("num_beams", 2), .keys("repetition_penalty", 1.5),
        // Of beams alone.
        Change(
            name: "length_penalty", kind: .keys(["length_penalty": 0.5, "num_beams": 2]), says: "length_penalty: these "),
        .keys("stop", ["."]), .keys("compat", "hadpo"),
        Change(
            name: "picture",
            kind: .folder { try $0.write("tall.png", File.read(File.join(fixtureFolder, "llava/pictures/wide.jpg"))) },
            says: "other bytes"),
    ]
}

/// A model as it is opened.
private struct Opening {
    var adapter = false
    var weights = WeightFormat.stored
    var cache = DType.f32
    var numerics = Numerics.exact
    var kernels = KernelChoice.auto
    var processor = ImageProcessorChoice.pad
    var verifies = false
    /// A copy with a file changed; nil: the fixture.
    var copy: TemporaryFolder?

    mutating func edit(_ name: String, _ change: (inout [UInt8]) throws -> Void) throws {
        let source = File.join(fixtureFolder, "llava/old-f32")
        let folder = try TemporaryFolder()
        for name in try File.list(source) { try folder.write(name, File.read(File.join(source, name))) }
        var bytes = try File.read(folder[name])
        try change(&bytes)
        try folder.write(name, bytes)
        copy = folder
    }

    func model() throws -> any VisionLanguageModel {
        let device = try Device(kernels: kernels, numerics: numerics)
        let files = ModelFiles(path: copy?.path ?? File.join(fixtureFolder, "llava/old-f32"))
        let folder = try ModelFamily.openFolder(files, arena: device.arena, progress: SilentProgress())
        let model = try folder.openModel(
            device: device, processor: processor, weights: weights, isVerified: verifies, progress: SilentProgress())
        model.decoder.cacheType = cache
        if adapter {
            _ = try model.loadAdapter(folder: File.join(fixtureFolder, "llava/dpo/adapter"), progress: SilentProgress())
        }
        return model
    }
}

private final class Listener: Progress {
    var warnings: [String] = []
    func tick() throws(HadpoError) {}
    func emit(_ record: JSON) throws(HadpoError) {
        if record["event"] == "warning" { warnings.append(record["message"]?.stringValue ?? "") }
    }
}

/// A task whose lines stand in a file, on two pictures.
private enum Task: String, CaseIterable, Sendable {
    case pope, describe
    var file: String { "\(self).jsonl" }
    var noun: String { self == .pope ? "answers" : "descriptions" }

    func run(
        _ folder: TemporaryFolder, _ opening: Opening = Opening(), _ keys: JSON = [:], progress: any Progress = SilentProgress()
    ) throws -> JSON {
        if !File.exists(folder["tall.png"]) {
            for picture in ["wide.jpg", "tall.png"] {
                try folder.write(picture, File.read(File.join(fixtureFolder, "llava/pictures/" + picture)))
            }
            let questions = [("wide.jpg", "Is there a dog in the image?"), ("tall.png", "Is there a cup in the image?")]
            try folder.write(
                "questions.json",
                questions.enumerated().map {
                    PopeQuestion(id: $0 + 1, image: $1.0, text: $1.1, isYes: $0 == 0).record.text() + "\n"
                }.joined())
            try folder.write(
                "val.json", "[{\"image_id\": 1, \"image\": \"wide.jpg\"}, {\"image_id\": 2, \"image\": \"tall.png\"}]")
        }
        var json: JSON = ["schema": "", "images": .string(folder.path), "max_new_tokens": 5, "num_beams": 1, "batch": 1]
        switch self {
        case .pope:
            json["schema"] = "hadpo.pope/1"
            json["questions"] = .string(folder["questions.json"])
            json["answers"] = .string(folder[file])
        case .describe:
            json["schema"] = "hadpo.shr-describe/1"
            json["val_images"] = .string(folder["val.json"])
            json["output"] = .string(folder[file])
        }
        for member in keys.objectValue ?? [] { json[member.key] = member.value }
        let model = try opening.model()
        switch self {
        case .pope:
            let config = try ConfigReader.read(json, schema: "hadpo.pope/1", PopeRunConfig.init).config
            return try PopeRun.run(model: model, config: config, progress: progress)
        case .describe:
            let config = try ConfigReader.read(json, schema: "hadpo.shr-describe/1", SHRDescribeConfig.init(_:)).config
            return try SHRDescribe.run(model: model, config: config, progress: progress)
        }
    }
}

@Suite struct OriginTests {
    @Test(
        "a file of another model, other settings or other pictures is not continued, and the refusal names what differs",
        arguments: Task.allCases, Change.all)
    fileprivate func matrix(_ task: Task, _ change: Change) throws {
        let folder = try TemporaryFolder()
        _ = try task.run(folder)
        let whole = try File.read(folder[task.file])
        let lines = whole.split(separator: 0x0A).map { Array($0) + [0x0A] }
        try #require(lines.count == 2)
        // Whole and half: the refusal does not depend on whether anything is left to do.
        for contents in [whole, lines[1]] {
            try folder.write(task.file, contents)
            var opening = Opening()
            var keys: JSON = [:]
            switch change.kind {
            case .model(let body): try body(&opening)
            case .keys(let given): keys = given
            case .folder(let body): try body(folder)
            }
            let error = #expect(throws: HadpoError.self) { try task.run(folder, opening, keys) }
            let says = change.says.replacing("answers", with: task.noun)
            #expect(error?.found?.contains(says) == true, "\(String(describing: error))")
            #expect(error?.expected?.contains("another output file") == true && error?.expected?.contains("mix") == true)
            #expect(try File.read(folder[task.file]) == contents)
            guard case .folder = change.kind else { continue }
            break
        }
    }

    @Test("the same model and settings go on, to the bits and the identity of one run", arguments: Task.allCases)
    fileprivate func same(_ task: Task) throws {
        let folder = try TemporaryFolder()
        let report = try task.run(folder)
        let whole = try File.read(folder[task.file])
        let beside = try File.read(folder[task.file + RecordOrigins.suffix])
        let identity = try Opening().model().identity
        #expect(report["identity"] == identity.json && report["protocol"]?["model"]?.stringValue == identity.digest)
        for contents in [Array(whole.prefix { $0 != 0x0A }) + [0x0A], Array(whole.prefix(30)), []] {
            try folder.write(task.file, contents)
            _ = try task.run(folder)
            #expect(try File.read(folder[task.file]) == whole)
            #expect(try File.read(folder[task.file + RecordOrigins.suffix]) == beside)
        }
        // Another tool wrote the file anew, with other blanks and escapes.
        try folder.write(task.file, try folder.lines(task.file).map { $0.text() + " \n" }.joined())
        #expect(try task.run(folder)["resumed"] == 2)
        #expect(try File.read(folder[task.file]) == whole)
    }

    @Test("a run that was killed between the two writes makes the record again", arguments: Task.allCases)
    fileprivate func killed(_ task: Task) throws {
        let folder = try TemporaryFolder()
        _ = try task.run(folder)
        let whole = try File.read(folder[task.file])
        let beside = try File.read(folder[task.file + RecordOrigins.suffix])
        // The line beside is there and the record is not; then the line is torn too.
        try folder.write(task.file, Array(whole.prefix { $0 != 0x0A }) + [0x0A])
        _ = try task.run(folder)
        try folder.write(task.file, Array(whole.prefix { $0 != 0x0A }) + [0x0A])
        try folder.write(task.file + RecordOrigins.suffix, beside.dropLast(9) + [])
        #expect(try task.run(folder)["resumed"] == 1)
        #expect(try File.read(folder[task.file]) == whole)
        #expect(try File.read(folder[task.file + RecordOrigins.suffix]) == beside)
    }

    @Test("records that another tool wrote, or that were changed, are not continued", arguments: Task.allCases)
    fileprivate func strangers(_ task: Task) throws {
        let folder = try TemporaryFolder()
        _ = try task.run(folder)
        let text = try folder.text(task.file)
        let field = task == .pope ? "\"answer\": \"" : "\"description\": \""
        let changed = text.replacing(field, with: field + "x", maxReplacements: 1)
        try #require(changed != text)
        try folder.write(task.file, changed)
        let edited = #expect(throws: HadpoError.self) { try task.run(folder) }
        #expect(edited?.place?.hasSuffix("\(task.file):1") == true && edited?.message.contains("another tool wrote it") == true)
        try folder.write(task.file, text)
        try File.remove(folder[task.file + RecordOrigins.suffix])
        let bare = #expect(throws: HadpoError.self) { try task.run(folder) }
        #expect(bare?.found == "no \(folder[task.file])\(RecordOrigins.suffix)" && bare?.expected?.contains("--mix") == true)
        #expect(try folder.text(task.file) == text)
        try folder.write(task.file + RecordOrigins.suffix, "{\"notes\": 1}\n")
        let other = #expect(throws: HadpoError.self) { try task.run(folder) }
        #expect(other?.place == folder[task.file] + "\(RecordOrigins.suffix):1")
    }

    @Test("who says so mixes, and the result says what is in it", arguments: Task.allCases)
    fileprivate func mixing(_ task: Task) throws {
        let folder = try TemporaryFolder()
        _ = try task.run(folder)
        let lines = try folder.text(task.file).split(separator: "\n").map { String($0) + "\n" }
        try folder.write(task.file, lines[0])
        let listener = Listener()
        let report = try task.run(folder, Opening(weights: .int8), ["mix": true], progress: listener)
        #expect(report["resumed"] == 1 && report["mixed_with"]?["unknown"] == 0)
        #expect(report["mixed_with"]?["origins"]?[0]?["identity"]?["weights"] == "stored")
        #expect(listener.warnings.contains { $0.contains("mixes \(task.noun)") })
        #expect(try folder.text(task.file).hasPrefix(lines[0]))
        // Neither model's own run takes it for its own.
        for weights in [WeightFormat.stored, .int8] {
            #expect(throws: HadpoError.self) { try task.run(folder, Opening(weights: weights)) }
        }
        #expect(try task.run(folder, Opening(weights: .int8), ["mix": true])["resumed"] == 2)

        try File.remove(folder[task.file + RecordOrigins.suffix])
        try folder.write(task.file, lines[0])
        #expect(try task.run(folder, Opening(), ["mix": true])["mixed_with"]?["unknown"] == 1)
    }

    @Test("other last bits are said and go on", arguments: Task.allCases)
    fileprivate func lastBits(_ task: Task) throws {
        let folder = try TemporaryFolder()
        _ = try task.run(folder)
        try folder.write(task.file, String(try folder.text(task.file).split(separator: "\n")[0]) + "\n")
        let listener = Listener()
        #expect(try task.run(folder, Opening(kernels: .portable), progress: listener)["resumed"] == 1)
        #expect(
            listener.warnings.contains {
                $0.contains("kernels: some of these \(task.noun) were made with ") && $0.contains("now with portable")
            })
        let beside = try folder.lines(task.file + RecordOrigins.suffix)
        #expect(beside.count { $0["origin"] != nil } == 2 && beside.count { $0["record"] != nil } == 2)
        // And from there on in either way.
        for kernels in [KernelChoice.auto, .portable] {
            #expect(try task.run(folder, Opening(kernels: kernels))["resumed"] == 2)
        }
    }

    @Test("weights that were read whole once and now are not are said, and are no model compared with itself")
    func verifiedOnOneSide() throws {
        let folder = try TemporaryFolder()
        _ = try Task.pope.run(folder, Opening(verifies: true))
        for (opening, says) in [
            (Opening(), "were made with verified weights, now they are not read whole"), (Opening(verifies: true), nil),
        ] {
            let listener = Listener()
            #expect(try Task.pope.run(folder, opening, progress: listener)["resumed"] == 2)
            #expect(listener.warnings.contains { $0.contains("verified weights") } == (says != nil))
            #expect(says.map { said in listener.warnings.contains { $0.contains(said) } } ?? true, "\(listener.warnings)")
        }
        let other = try TemporaryFolder()
        _ = try Task.pope.run(other)
        let listener = Listener()
        _ = try Task.pope.run(other, Opening(verifies: true), progress: listener)
        #expect(
            listener.warnings.contains { $0.contains("were made with weights that were not read whole, now they are verified") })
        let origins = try [folder, other].map { try ScoredOrigin(beside: $0[Task.pope.file]).json }
        try ScoredOrigin.requireDifferent(origins[0], origins[1], at: "test")
        for origin in origins {
            #expect(throws: HadpoError.self) { try ScoredOrigin.requireDifferent(origin, origin, at: "test") }
        }
    }

    @Test("a file beside answers that is no identity says what it is for")
    func garbage() throws {
        let folder = try TemporaryFolder()
        let file = try folder.write("answers.jsonl", "{\"question_id\": 1, \"answer\": \"yes\"}\n")
        for contents in ["garbage\n", "{\"notes\": 1}\n"] {
            try folder.write("answers.jsonl" + RecordOrigins.suffix, contents)
            let error = #expect(throws: HadpoError.self) { try ScoredOrigin(beside: file) }
            #expect(
                error?.place?.contains("answers.jsonl.identity") == true && error?.message.contains("which model made") == true)
            #expect(error?.expected?.contains("remove this file") == true)
        }
    }

    @Test("two spellings of one place are one, whether something is there or not")
    func places() throws {
        let folder = try TemporaryFolder()
        for _ in 0..<2 {
            let place = File.place(of: folder["one.jsonl"])
            #expect(place == File.place(of: folder["./one.jsonl"]) && place == File.place(of: folder["a/../one.jsonl"]))
            #expect(place != File.place(of: folder["two.jsonl"]))
            try folder.write("one.jsonl", "x")
        }
        #expect(File.place(of: "no-such.jsonl") == File.place(of: "./no-such.jsonl"))
    }

    @Test("what lies beside a file that is gone or empty counts for nothing", arguments: Task.allCases)
    fileprivate func begunAnew(_ task: Task) throws {
        let folder = try TemporaryFolder()
        _ = try task.run(folder)
        try File.remove(folder[task.file])
        #expect(try task.run(folder, Opening(weights: .int8))["resumed"] == 0)
        let beside = try folder.lines(task.file + RecordOrigins.suffix)
        #expect(beside.count == 3 && beside[0]["origin"]?["identity"]?["weights"] == "int8")
    }

    @Test("verify reads every byte: what samples do not tell apart is told apart, and a run without it goes on")
    func verified() throws {
        // What one byte between samples does to the hash is the fingerprint's own test: a model of this size is read whole.
        var changed = Opening(verifies: true)
        try changed.edit("model.safetensors") { $0[$0.count - 2] ^= 1 }
        let one = try Opening(verifies: true).model().identity
        #expect(try changed.model().identity.verified != one.verified && one.verified?.utf8.count == 64)
        var other = one
        other.verified = String(repeating: "0", count: 64)
        #expect(other.differences(from: one).first?.hasPrefix("the checkpoint, byte for byte: ") == true)
        #expect(try Opening().model().identity.differences(from: one) == [])
    }

    @Test("an identity is the same after a way through JSON, and a changed one is refused")
    func json() throws {
        let identity = try Opening(adapter: true).model().identity
        #expect(try ModelIdentity(JSON.parse(identity.json.text(), source: ""), at: "") == identity)
        #expect(try Opening(adapter: true).model().identity == identity)
        for field in ModelIdentity.Field.allCases {
            var json = identity.json
            json[field.rawValue] = "other"
            #expect(throws: HadpoError.self) { try ModelIdentity(json, at: "") }
        }
    }
}
