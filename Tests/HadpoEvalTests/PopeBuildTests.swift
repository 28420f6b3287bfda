import HadpoBase
import HadpoEval
import HadpoTestSupport
import Testing

@Suite struct BuildingPopeFiles {
    private func build(_ keys: [JSON.Member]) throws -> JSON {
        let config = JSON.object([.init("schema", "hadpo.pope-build/1")] + keys)
        return try PopeBuild.run(ConfigReader.read(config, schema: "hadpo.pope-build/1", PopeBuildConfig.init).config)
    }

    private let objects = ["dog", "cat", "apple", "umbrella", "car", "bus", "cup", "ox"]

    /// Twelve pictures with three to five of eight objects, as (name, objects).
    private var scenes: [(String, [String])] {
        (0..<12).map { i in ("p\(i).jpg", (0..<(3 + i % 3)).map { objects[(i * 3 + $0 * 2 + $0 / 4) % 8] }) }
    }

    private func pope() -> String {
        scenes.map { "{\"image\": \"\($0.0)\", \"objects\": \(JSON($0.1).text())}\n" }.joined()
    }

    private func map() -> String { JSON.object(scenes.map { .init($0.0, JSON($0.1)) }).text() }

    /// As COCO writes: polygons before ids, several annotations of one object, categories last.
    private func coco() -> String {
        var annotations: [JSON] = []
        for (i, scene) in scenes.enumerated() {
            for object in scene.1 + scene.1.prefix(1) {
                annotations.append([
                    "segmentation": [[1.5, 2, 3, 4.25]], "area": 7.5, "iscrowd": 0, "image_id": JSON(1000 + i),
                    "bbox": [0, 0, 1, 1], "category_id": JSON(1 + (objects.firstIndex(of: object) ?? 0)),
                    "id": JSON(annotations.count),
                ])
            }
        }
        let file: JSON = [
            "info": ["description": "a \"quoted\" [text] {here"], "licenses": [["id": 1]],
            "images": .array(
                scenes.enumerated().map {
                    ["license": 1, "file_name": .string($0.element.0), "id": JSON(1000 + $0.offset)]
                }),
            "annotations": .array(annotations),
            "categories": .array(objects.enumerated().map { ["id": JSON($0.offset + 1), "name": .string($0.element)] }),
        ]
        return file.text()
    }

    @Test("COCO instances, segmentation lines and a plain object give the same files") func formats() throws {
        let folder = try TemporaryFolder()
        try folder.write("pope.json", pope())
        try folder.write("map.json", map())
        try folder.write("coco.json", coco())
        var made: [[String]] = []
        for name in ["pope", "map", "coco"] {
            let report = try build([
                .init("annotations", .string(folder[name + ".json"])), .init("output", .string(folder["out-" + name])),
                .init("images", 6), .init("seed", 5),
            ])
            #expect(report["annotated_images"] == 12 && report["images"] == 6)
            let files = try #require(report["files"]?.arrayValue)
            #expect(files.map { $0["questions"] } == [36, 36, 36, nil, nil].map { JSON($0) })
            made.append(
                try files.map { file in
                    let path = try #require(file["path"]?.stringValue)
                    let bytes = try File.read(path)
                    #expect(file["sha256"]?.stringValue == SHA256.hex(bytes))
                    return String(decoding: bytes, as: UTF8.self)
                })
        }
        #expect(made[0] == made[1] && made[1] == made[2])
        let questions = try PopeQuestion.read(Array(made[0][0].utf8), source: "random")
        #expect(questions.map(\.id) == Array(1...36))
        #expect(questions.enumerated().allSatisfy { $0.element.isYes == ($0.offset % 2 == 0) })
        let present = Dictionary(uniqueKeysWithValues: scenes.map { ($0.0, Set($0.1)) })
        for question in questions {
            let object = try #require(objects.first { question.text.hasSuffix(" \($0) in the image?") })
            #expect(present[question.image]?.contains(object) == question.isYes)
            #expect(question.text == "Is there a\("aeiou".contains(object.first ?? "x") ? "n" : "") \(object) in the image?")
        }
    }

    @Test("what cannot be built is an error that leaves no file behind") func impossible() throws {
        let folder = try TemporaryFolder()
        try folder.write("few.json", "{\"a\": [\"x\", \"y\", \"z\"]}")
        func message(_ keys: [JSON.Member], _ text: String? = nil) throws -> String? {
            if let text { try folder.write("in.json", text) }
            let error = #expect(throws: HadpoError.self) {
                try build([.init("output", .string(folder["out"]))] + keys)
            }
            #expect(!File.exists(folder["out"]))
            return error?.message
        }
        let few = JSON.Member("annotations", .string(folder["few.json"]))
        let given = JSON.Member("annotations", .string(folder["in.json"]))
        #expect(try message([few, .init("images", 2)]) == "too few pictures for the questions")
        #expect(try message([few, .init("images", 1)]) == "no absent object is left to ask for")
        #expect(try message([few, .init("template", "Is it there?")]) == "a template holds the object once")
        #expect(try message([given], "{\"a\": [1]}") == "a picture without a list of objects")
        #expect(try message([given], "{\"a\": [\"\"]}") == "an object without a name")
        #expect(try message([given, .init("format", "coco")], "{\"images\": []}") == "no COCO instances")
        #expect(
            try message(
                [given], "{\"images\": [], \"annotations\": [{\"image_id\": 4, \"category_id\": 1}], \"categories\": []}")
                == "annotations of a picture that is not in the file")
        #expect(
            try message(
                [given],
                "{\"images\": [{\"id\": 1, \"file_name\": \"a\"}, {\"id\": 1, \"file_name\": \"b\"}], \"annotations\": [1]}")
                == "a picture id is used twice")
        #expect(
            try message([given], "{\"image\": \"a\", \"objects\": []}\n{\"image\": \"a\", \"objects\": []}\n")
                == "a picture is annotated twice")
    }

    @Test("the article goes by sound where letter and sound differ") func article() throws {
        let objects = ["uniform", "hourglass", "umbrella", "one-way sign", "onion", "ukulele", "uninflated ball", "USB stick"]
        let scenes = objects.enumerated().map { PopeBuilder.Scene(image: "\($0.offset)", objects: [$0.element]) }
        let builder = try PopeBuilder(scenes: scenes, imageCount: scenes.count, perScene: 1, seed: 0, template: "a {}")
        #expect(
            Set(try builder.questions(.random).filter(\.isYes).map(\.text)) == [
                "a uniform", "an hourglass", "an umbrella", "a one-way sign", "an onion", "a ukulele", "an uninflated ball",
                "an USB stick",
            ])
    }
}
