import HadpoBase
import HadpoEval
import HadpoModels
import HadpoTensor
import HadpoVision
import HadpoTestSupport
import Testing

@Suite struct DescribingPictures {
    private let pictures = File.join(fixtureFolder, "llava/pictures")

    private func model() throws -> LLaVA15 {
        let device = try Device(numerics: .exact)
        let folder = try LLaVAFolder(
            ModelFiles(path: File.join(fixtureFolder, "llava/old-f32")), arena: device.arena, progress: SilentProgress())
        return try folder.openLLaVA(device: device, processor: .pad, progress: SilentProgress())
    }

    private func describe(_ folder: TemporaryFolder, _ model: LLaVA15, _ keys: [JSON.Member]) throws -> JSON {
        // One picture through Visual Genome's url, the others by their own file names; 4 is listed twice.
        try folder.write(
            "val.json",
            """
            [{"image_id": 4}, {"image_id": 2, "image": "tall.png"}, {"image_id": 9, "image": "wide.jpg"}, {"image_id": 4}]
            """)
        try folder.write(
            "image_data.json",
            "[{\"image_id\": 4, \"url\": \"https://x.org/pictures/wide.jpg\"}, {\"image_id\": 5, \"url\": \"https://x.org/a/b.jpg\"}]"
        )
        let config = JSON.object(
            [
                .init("schema", "hadpo.shr-describe/1"), .init("val_images", .string(folder["val.json"])),
                .init("image_data", .string(folder["image_data.json"])),
                .init("images", .string(File.join(fixtureFolder, "llava"))), .init("max_new_tokens", 12),
            ] + keys)
        let read = try ConfigReader.read(config, schema: "hadpo.shr-describe/1", SHRDescribeConfig.init(_:)).config
        return try SHRDescribe.run(model: model, config: read, progress: SilentProgress())
    }

    @Test("pictures are found by Visual Genome's urls or by name, and a missing one is named before work") func files() throws {
        let folder = try TemporaryFolder()
        let missing = #expect(throws: HadpoError.self) {
            try describe(folder, try model(), [.init("output", .string(folder["a.jsonl"]))])
        }
        // Image 4 is at pictures/wide.jpg by its url; image 2 is looked for beside the folder.
        #expect(missing?.message == "a picture is missing" && missing?.place == "image 2")
        #expect(!File.exists(folder["a.jsonl"]))
    }

    @Test("a cut run is continued to the same file, and another run's file is refused", arguments: [1, 3])
    func resume(_ beams: Int) throws {
        let folder = try TemporaryFolder()
        let model = try model()
        func run(_ output: String, _ more: [JSON.Member] = []) throws -> JSON {
            try folder.write(
                "val.json",
                "[{\"image_id\": 2, \"image\": \"tall.png\"}, {\"image_id\": 9, \"image\": \"wide.jpg\"}, {\"image_id\": 7, \"image\": \"wide.jpg\"}]"
            )
            let config = JSON.object(
                [
                    .init("schema", "hadpo.shr-describe/1"), .init("val_images", .string(folder["val.json"])),
                    .init("images", .string(pictures)), .init("max_new_tokens", 12), .init("num_beams", JSON(beams)),
                    .init("output", .string(folder[output])),
                ] + more)
            let read = try ConfigReader.read(config, schema: "hadpo.shr-describe/1", SHRDescribeConfig.init(_:)).config
            return try SHRDescribe.run(model: model, config: read, progress: SilentProgress())
        }
        let report = try run("a.jsonl")
        #expect(report["described"] == 3 && report["resumed"] == 0)
        let whole = try File.read(folder["a.jsonl"])
        let lines = try folder.lines("a.jsonl")
        #expect(lines.map { $0["image_id"] } == [2, 9, 7])
        #expect(lines[1]["description"] == lines[2]["description"] && lines[0]["description"] != lines[1]["description"])

        // As the model describes the picture when it is asked alone.
        let request = try ConfigReader.read(
            [
                "schema": "hadpo.generate/1", "question": "Describe this image in detail.", "max_new_tokens": 12,
                "num_beams": JSON(beams),
            ], schema: "hadpo.generate/1", GenerationConfig.init
        ).config
        let image = try RGBImage.decode(try File.read(File.join(pictures, "wide.jpg")))
        let answer = try Generation.run(model: model, request: request, image: image, progress: SilentProgress())
        #expect(lines[1]["description"] == answer["text"])

        _ = try run("b.jsonl", [.init("batch", 1)])
        #expect(try File.read(folder["b.jsonl"]) == whole)

        // The second line is there, the first is torn.
        let parts = whole.split(separator: 0x0A)
        try File.writeAtomically(folder["a.jsonl"], Array(parts[1]) + [0x0A] + Array(parts[0].prefix(30)))
        let second = try run("a.jsonl")
        #expect(second["described"] == 2 && second["resumed"] == 1)
        #expect(try File.read(folder["a.jsonl"]) == whole)
        let refused = #expect(throws: HadpoError.self) { try run("a.jsonl", [.init("question", "What is it?")]) }
        #expect(refused?.message == "the descriptions in the file were made by another model or in another way")
        #expect(try File.read(folder["a.jsonl"]) == whole)
    }

    @Test("pictures of others are refused by name unless the key allows them, from urls and from names")
    func outside() throws {
        let folder = try TemporaryFolder()
        let model = try model()
        try folder.write("pictures/../secret", "root:x:0:0")
        try folder.write(
            "image_data.json",
            "[{\"image_id\": 4, \"url\": \"https://x.org/../secret\"}, {\"image_id\": 5, \"url\": \"https:///secret\"}]")
        func error(_ val: String, _ keys: [JSON.Member] = []) throws -> HadpoError? {
            try folder.write("val.json", val)
            let config = JSON.object(
                [
                    .init("schema", "hadpo.shr-describe/1"), .init("val_images", .string(folder["val.json"])),
                    .init("image_data", .string(folder["image_data.json"])), .init("images", .string(folder["pictures"])),
                    .init("output", .string(folder["a.jsonl"])), .init("max_new_tokens", 2),
                ] + keys)
            let read = try ConfigReader.read(config, schema: "hadpo.shr-describe/1", SHRDescribeConfig.init(_:)).config
            return #expect(throws: HadpoError.self) {
                try SHRDescribe.run(model: model, config: read, progress: SilentProgress())
            }
        }
        for val in [
            "[4]", "[5]", "[{\"image_id\": 1, \"image\": \"../secret\"}]", "[{\"image_id\": 1, \"image\": \"/etc/passwd\"}]",
        ] {
            #expect(try error(val)?.message == "a picture's name leads out of its folder")
        }
        #expect(!File.exists(folder["a.jsonl"]))
        #expect(try error("[4]", [.init("outside", true)])?.message == "neither a PNG nor a JPEG file")
        let first = try LineAppender(folder["a.jsonl"])
        #expect(try error("[4]", [.init("outside", true)])?.status == .busy)
        try first.sync()
    }

    @Test("the defaults are upstream's decoding for the family") func defaults() throws {
        let text = try ConfigReader.describe("hadpo.shr-describe/1", SHRDescribeConfig.init(_:)).defaults
        #expect(text["num_beams"] == 5 && text["max_new_tokens"] == 512 && text["repetition_penalty"] == 1.0)
        #expect(text["question"] == "Describe this image in detail.")
    }
}
