import Glibc
import HadpoAutograd
import HadpoBase
import HadpoModels
import HadpoTensor
import HadpoTestSupport
import HadpoVision
import HadpoWeights

/// A fixture folder of one of the families, in every layout, and a picture to ask it about.
struct FolderFixture: Sendable, CustomStringConvertible {
    let name: String
    let path: String
    let picture: String
    /// The JSON files whose keys a model reads, by their place in the folder, with what `unread` calls them.
    let files: [(path: String, name: String)]

    var description: String { name }

    private static let root = File.join(File.folder(of: File.folder(of: #filePath)), "Fixtures")
    private static let picture = File.join(root, "llava/pictures/wide.jpg")

    static let all: [FolderFixture] =
        ["old-f32", "new-bf16", "tf5-f16"].map { layout in
            FolderFixture(
                name: "llava/" + layout, path: File.join(root, "llava/" + layout), picture: picture,
                files: ["config.json", "processor_config.json", "generation_config.json", "preprocessor_config.json"].filter {
                    File.exists(File.join(root, "llava/\(layout)/\($0)"))
                }.map { ($0, $0) })
        } + [
            FolderFixture(
                name: "llava/original-f16", path: File.join(root, "llava/original-f16"), picture: picture,
                files: ["config.json", "generation_config.json"].map { ($0, $0) }
                    + ["config.json", "preprocessor_config.json"].map {
                        ("openai/clip-vit-tiny-patch14-42/" + $0, "vision_tower/" + $0)
                    }),
            FolderFixture(
                name: "instructblip/hf", path: File.join(root, "instructblip/hf"), picture: picture,
                files: ["config.json", "preprocessor_config.json", "processor_config.json", "generation_config.json"].map {
                    ($0, $0)
                }),
            FolderFixture(
                name: "instructblip/lavis", path: File.join(root, "instructblip/lavis"), picture: picture,
                files: [
                    ("llm/config.json", "config.json"), ("llm/generation_config.json", "generation_config.json"),
                    ("bert-base-uncased/config.json", "bert/config.json"),
                ]),
            FolderFixture(
                name: "minigpt4", path: File.join(root, "minigpt4/model"), picture: picture,
                files: [("llm/config.json", "config.json"), ("llm/generation_config.json", "generation_config.json")]),
        ]

    static func named(_ name: String) -> FolderFixture { all.first { $0.name == name } ?? all[0] }

    /// The models' files when the fixture lies at `folder`.
    func modelFiles(_ folder: String) -> ModelFiles {
        var files = ModelFiles(path: folder)
        if name == "instructblip/lavis" { files.visionTower = File.join(Self.root, "minigpt4/model/eva_vit_g.pth") }
        return files
    }
}

/// A copy of a fixture in which single files can be changed; the others are links.
final class ChangedFolder {
    let fixture: FolderFixture
    let device: Device
    private let folder = try? TemporaryFolder()
    private let image: RGBImage

    var path: String { folder?.path ?? "" }

    init(_ fixture: FolderFixture) throws {
        self.fixture = fixture
        device = try Device(threads: 1, numerics: .exact)
        image = try RGBImage.decode(File.read(fixture.picture))
        try link(fixture.path, path)
    }

    private func link(_ source: String, _ target: String) throws {
        try File.makeDirectories(target)
        for name in try File.list(source) {
            let (from, to) = (File.join(source, name), File.join(target, name))
            if File.isDirectory(from) { try link(from, to) } else { symlink(from, to) }
        }
    }

    /// The file as the fixture has it.
    func json(_ file: String) throws -> JSON { try File.readJSON(File.join(fixture.path, file)) }

    /// - Parameter json: nil takes the file away.
    func write(_ file: String, _ json: JSON?) throws {
        let place = File.join(path, file)
        unlink(place)
        if let json { try File.writeAtomically(place, json.text()) }
    }

    /// With some keys of an object set; a value of `null` takes a key away.
    func change(_ file: String, under pointer: [String] = [], _ changes: [JSON.Member]) throws {
        try write(
            file,
            try json(file).changed(at: pointer) { object in
                for change in changes { object[change.key] = change.value == .null ? nil : change.value }
            })
    }

    /// model.safetensors without some tensors, or with others beside those it has.
    func rewriteWeights(_ file: String = "model.safetensors", without: [String] = [], adding: [(name: String, shape: [Int])] = [])
        throws
    {
        let source = try Checkpoint.open(
            File.join(fixture.path, file), load: .read, arena: device.arena, progress: SilentProgress())
        let kept = source.names.filter { !without.contains($0) }
        let added = try adding.map {
            ($0.name, try device.tensor([Float](repeating: 0.5, count: $0.shape.reduce(1, *)), $0.shape))
        }
        let place = File.join(path, file)
        unlink(place)
        let writer = try SafetensorsWriter(
            place,
            try kept.map { TensorPlan($0, try source.tensor($0).dtype, try source.tensor($0).shape) }
                + added.map { TensorPlan($0.0, .f32, $0.1.shape) }, progress: SilentProgress())
        for name in kept { try writer.write(name, try source.tensor(name)) }
        for (name, tensor) in added { try writer.write(name, tensor) }
        try writer.finish()
    }

    /// What a model says of itself and answers, and how it read its folder.
    struct Seen {
        let sight: String
        let notes: String
        let logits: [Float]
        let ids: [Int32]
        let reading: FolderReading

        func isSame(_ other: Seen) -> Bool {
            sight == other.sight && ids == other.ids && logits.map(\.bitPattern) == other.logits.map(\.bitPattern)
        }
    }

    func open(_ processor: ImageProcessorChoice = .checkpoint) throws(HadpoError) -> (any VisionLanguageModel, any ModelFolder) {
        let folder = try ModelFamily.openFolder(fixture.modelFiles(path), arena: device.arena, progress: SilentProgress())
        return (try folder.openModel(device: device, processor: processor, weights: .stored, progress: SilentProgress()), folder)
    }

    /// - Parameters:
    ///   - other: what is described otherwise than this is not asked.
    ///   - newTokens: how many tokens are asked for.
    func see(_ processor: ImageProcessorChoice = .checkpoint, unless other: Seen? = nil, newTokens: Int = 3) throws -> Seen {
        let (model, folder) = try open(processor)
        let described: [String] = [
            model.family.rawValue, folder.layoutName, "\(model.decoder.config)", "\(model.decoder.config.inverseFrequencies)",
            model.visionDescription.text(), model.pipeline.identity, "\(model.imageRows)", "\(model.eosIDs)",
            "\(model.conversation.history([5], rule: .v431))",
            "\(model.generation)",
            (model as? LLaVA15).map { model in
                var config = model.config
                config.imageTokenID = nil  // nobody's but the processors'
                return "\(config)"
            } ?? "", (model as? InstructBLIP).map { "\($0.config)" } ?? "",
            (model as? MiniGPT4).map { "\($0.visionConfig)" } ?? "",
        ]
        let sight = described.joined(separator: "\n").replacingPath(path)
        let notes = (folder.notes + folder.reading.notes).joined(separator: "\n").replacingPath(path)
        if let other, other.sight != sight {
            return Seen(sight: sight, notes: notes, logits: [], ids: [], reading: folder.reading)
        }
        let prompt = try model.conversation.prompt(question: "What is on the table?", template: .hf, sample: "test")
        let pixels = try model.pipeline.pixelValues(image)
        let session = try PromptSession(
            model, [PromptSession.Prefix(prompt.pieces, pixels: [pixels])], room: newTokens, progress: SilentProgress())
        var rule = Generation.Rule(maxNewTokens: newTokens)
        rule.keepsFirstLogits = true
        let answer = try Generation.answers(
            session, [PromptSession.Continuation(prefix: 0, ids: [])], rule,
            histories: [model.conversation.history(prompt.ids, rule: .v431)])[0]
        return Seen(sight: sight, notes: notes, logits: answer.firstLogits, ids: answer.ids, reading: folder.reading)
    }
}

extension String {
    /// Without the temporary folder's name, which differs from copy to copy.
    func replacingPath(_ path: String) -> String {
        split(separator: path, omittingEmptySubsequences: false).joined(separator: "~")
    }
}

extension JSON {
    /// The same with the value at a path of keys changed.
    func changed(at pointer: [String], _ body: (inout JSON) -> Void) -> JSON {
        var copy = self
        guard let key = pointer.first else {
            body(&copy)
            return copy
        }
        copy[key] = (self[key] ?? .object([])).changed(at: Array(pointer.dropFirst()), body)
        return copy
    }

    func value(at pointer: [String]) -> JSON? {
        var value: JSON? = self
        for key in pointer { value = value?[key] }
        return value
    }
}
