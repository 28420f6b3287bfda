import HadpoAutograd
import HadpoBase
import HadpoModels
import HadpoTensor
import HadpoTestSupport
import HadpoText
import HadpoVision
import HadpoWeights
import Testing

/// Cases of Tests/Fixtures/make_folder_settings.py: what transformers answers when single keys of a folder say something else.
private struct SettingsCase: Sendable, CustomStringConvertible {
    let json: JSON
    var description: String { "\(json["fixture"]?.stringValue ?? ""): \(json["name"]?.stringValue ?? "")" }

    static let all: [SettingsCase] = {
        let path = File.join(File.folder(of: fixtures), "folder_settings.json")
        return ((try? File.readJSON(path))?["cases"]?.arrayValue ?? []).map(SettingsCase.init)
    }()

    func strings(_ key: String) -> [String] { (json[key]?.arrayValue ?? []).compactMap(\.stringValue) }
}

@Suite struct FolderSettingsTests {
    @Test("the cases are there")
    func present() { #expect(SettingsCase.all.count > 40) }

    // fp32 on both sides, and logits written with five decimals; 2e-5 is what is seen of values up to 4.
    @Test("a folder's settings are read as transformers reads them: answers and first logits", arguments: SettingsCase.all)
    fileprivate func asTransformers(_ tried: SettingsCase) throws {
        let name = tried.json["fixture"]?.stringValue ?? ""
        let folder = try ChangedFolder(FolderFixture.named(name))
        // Several changes of one file are one change.
        var files: [String: JSON] = [:]
        for change in tried.json["set"]?.arrayValue ?? [] {
            let file = change["file"]?.stringValue ?? ""
            let keys = (change["at"]?.arrayValue ?? []).compactMap(\.stringValue)
            files[file] = try (files[file] ?? folder.json(file)).changed(at: keys) { object in
                for member in change["members"]?.objectValue ?? [] { object[member.key] = member.value }
            }
        }
        for (file, json) in files { try folder.write(file, json) }
        for file in tried.strings("without") { try folder.write(file, nil) }
        if !tried.strings("drop").isEmpty { try folder.rewriteWeights(without: tried.strings("drop")) }

        let (model, opened) = try folder.open()
        let expected = try Expected(
            stem: File.join(File.folder(of: fixtures), name == "instructblip/hf" ? name : name + "/expected"), folder.device)
        let question = expected.json["question"]?.stringValue ?? ""
        let picture = File.join(
            File.folder(of: File.join(File.folder(of: fixtures), name == "instructblip/hf" ? name : name)),
            expected.json["picture"]?.stringValue ?? "")
        let image = try RGBImage.decode(File.read(picture))
        let request: JSON = ["schema": "hadpo.generate/1", "question": .string(question), "template": "hf", "max_new_tokens": 16]
        let config = try ConfigReader.read(request, schema: "hadpo.generate/1") {
            r throws(HadpoError) in try GenerationConfig(&r, folder: opened.generation)
        }.config
        let found = try Generation.run(model: model, request: config, image: image, progress: SilentProgress())
        #expect(ids(found) == (tried.json["ids"]?.arrayValue ?? []).compactMap { $0.intValue.map(Int32.init) })

        let logits = try firstLogits(model, question, image)
        let wanted = (tried.json["logits"]?.arrayValue ?? []).compactMap(\.doubleValue)
        #expect(wanted.count == 24)
        for (a, b) in zip(logits, wanted) { #expect(abs(Double(a) - b) < 2e-4, "\(a) and not \(b)") }
        // Where a value stands in two places, the one that does not count.
        let second = ["rope_theta", "rope_parameters", "eos_token_id"]
        let unread = opened.reading.unread.filter { line in !second.contains { line.contains($0) } }
        #expect(unread.isEmpty, "\(unread)")
    }

    private func firstLogits(_ model: any VisionLanguageModel, _ question: String, _ image: RGBImage) throws -> [Float] {
        let prompt = try model.conversation.prompt(question: question, template: .hf, sample: "test")
        let session = try PromptSession(
            model, [PromptSession.Prefix(prompt.pieces, pixels: [try model.pipeline.pixelValues(image)])], room: 1,
            progress: SilentProgress())
        var rule = Generation.Rule(maxNewTokens: 1)
        rule.keepsFirstLogits = true
        return try Generation.answers(session, [PromptSession.Continuation(prefix: 0, ids: [])], rule)[0].firstLogits
    }

    @Test("beams pass over what the folder rules out, as one token after the other does")
    func beams() throws {
        let folder = try ChangedFolder(FolderFixture.named("llava/old-f32"))
        func ask() throws -> [Int32] {
            let (model, opened) = try folder.open()
            let request: JSON = [
                "schema": "hadpo.generate/1", "question": "What is on the table?", "template": "hf", "max_new_tokens": 8,
                "num_beams": 3,
                "beam_rule": "hf-4.57",
            ]
            let config = try ConfigReader.read(request, schema: "hadpo.generate/1") {
                r throws(HadpoError) in try GenerationConfig(&r, folder: opened.generation)
            }.config
            let image = try RGBImage.decode(File.read(folder.fixture.picture))
            return ids(try Generation.run(model: model, request: config, image: image, progress: SilentProgress()))
        }
        let plain = try ask()
        try folder.change("generation_config.json", [.init("suppress_tokens", .array([.int(Int64(plain[1]))]))])
        #expect(try !ask().contains(plain[1]))
        try folder.change("generation_config.json", [.init("begin_suppress_tokens", .array([.int(Int64(plain[0]))]))])
        #expect(try ask()[0] != plain[0])
        let pair = JSON.array([.array(plain[0..<2].map { .int(Int64($0)) })])
        try folder.change("generation_config.json", [.init("bad_words_ids", pair)])
        let found = try ask()
        #expect(!zip(found, found.dropFirst()).contains { $0 == (plain[0], plain[1]) })
    }

    @Test("an evaluation, which has no key for it, waits for the folder's min_new_tokens")
    func leastTokens() throws {
        let folder = try ChangedFolder(FolderFixture.named("llava/old-f32"))
        let plain = try folder.see(newTokens: 6).ids
        let end = JSON.int(Int64(plain[0]))
        try folder.change("generation_config.json", [.init("eos_token_id", end)])
        #expect(try folder.see(newTokens: 6).ids == [plain[0]])
        try folder.change("generation_config.json", [.init("eos_token_id", end), .init("min_new_tokens", 4)])
        let ids = try folder.see(newTokens: 6).ids
        #expect(ids.count >= 4 && !ids.prefix(4).contains(plain[0]))
    }

    @Test("a folder's repetition penalty is LLaVA's protocol's, whose script passes none; the others pass theirs")
    func penalties() {
        var folder = GenerationSettings()
        folder.repetitionPenalty = 1.25
        for kind in EvaluationProtocol.allCases {
            let own = kind.questions.repetitionPenalty
            #expect(kind.completing(kind.questions, from: folder).repetitionPenalty == (kind == .llava ? 1.25 : own))
            #expect(kind.completing(kind.questions, from: GenerationSettings()) == kind.questions)
        }
    }
}
