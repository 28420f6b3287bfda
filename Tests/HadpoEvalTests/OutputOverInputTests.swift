import HadpoBase
import HadpoEval
import HadpoTestSupport
import Testing

/// Scores that would write over what they read are refused before anything is written.
@Suite struct OutputOverInputTests {
    private let folder: TemporaryFolder
    private let files = [
        "q.json": #"{"question_id":1,"image":"a.jpg","text":"Is there a dog in the image?","label":"yes"}"#,
        "a.jsonl": #"{"question_id":1,"question":"Is there a dog in the image?","answer":"Yes"}"#,
        "captions.jsonl": #"{"image_id":1,"caption":"A dog."}"#, "synonyms.txt": "dog, puppy", "objects.json": #"{"1":["dog"]}"#,
        "descriptions.json": #"{"1":"A dog."}"#,
        "image_data.json": #"[{"image_id":1,"url":"a/b/1.png","width":8,"height":8}]"#,
        "regions.json":
            #"[{"id":1,"regions":[{"image_id":1,"x":0,"y":0,"width":2,"height":2,"phrase":"a dog"}]}]"#,
    ]

    init() throws {
        folder = try TemporaryFolder()
        for (name, text) in files { try folder.write(name, text + "\n") }
    }

    /// - Parameter key: which says where the output goes.
    private func expectRefused(_ key: String, over names: [String], _ run: (String) throws -> Void) throws {
        for name in names {
            do {
                try run(folder["./" + name])
                Issue.record("\(name) was written over")
            } catch let error as HadpoError {
                #expect(error.status == .config && error.place == key, "\(name): \(error)")
            }
            #expect(try folder.text(name) == (files[name] ?? "") + "\n")
        }
        try run(folder["new"])
    }

    @Test func popeRecords() throws {
        try expectRefused("/records", over: ["q.json", "a.jsonl"]) { path in
            let config: JSON = [
                "schema": "hadpo.pope-score/1", "records": .string(path), "resamples": 0,
                "splits": [["questions": .string(folder["q.json"]), "answers": .string(folder["a.jsonl"])]],
            ]
            _ = try PopeEvaluation.run(
                ConfigReader.read(config, schema: "hadpo.pope-score/1", PopeEvaluationConfig.init).config)
        }
    }

    @Test func chairRecords() throws {
        try expectRefused("/records", over: ["captions.jsonl", "synonyms.txt", "objects.json"]) { path in
            let config: JSON = [
                "schema": "hadpo.chair-score/1", "records": .string(path), "captions": .string(folder["captions.jsonl"]),
                "synonyms": .string(folder["synonyms.txt"]), "objects": .string(folder["objects.json"]), "resamples": 0,
            ]
            _ = try CHAIRScore.run(ConfigReader.read(config, schema: "hadpo.chair-score/1", CHAIRScoreConfig.init).config)
        }
    }

    @Test func shrRequests() throws {
        try expectRefused("/output", over: ["descriptions.json", "image_data.json", "regions.json"]) { path in
            let config: JSON = [
                "schema": "hadpo.shr-requests/1", "output": .string(path), "answers": .string(folder["descriptions.json"]),
                "image_data": .string(folder["image_data.json"]), "regions": .string(folder["regions.json"]),
            ]
            _ = try SHRRequests.run(ConfigReader.read(config, schema: "hadpo.shr-requests/1", SHRRequestsConfig.init).config)
        }
    }

    @Test("A score replaces an earlier score, and nothing else") func shrScore() throws {
        func score(_ output: String, baseline: String? = nil) throws {
            var config: JSON = [
                "schema": "hadpo.shr-score/1", "output": .string(folder[output]), "answers": .string(folder["descriptions.json"]),
                "judge": "annotations", "regions": .string(folder["regions.json"]), "resamples": 0,
            ]
            if let baseline { config["baseline"] = .string(folder[baseline]) }
            _ = try SHRScore.run(ConfigReader.read(config, schema: "hadpo.shr-score/1", SHRScoreConfig.init).config)
        }
        try folder.write("theirs/report.json", "{}")
        #expect(throws: HadpoError.self) { try score("theirs") }
        #expect(try folder.text("theirs/report.json") == "{}")
        try score("ours")
        try score("ours")
        #expect(throws: HadpoError.self) { try score("ours", baseline: "ours/sentences.jsonl") }
    }
}
