import HadpoBase
import HadpoEval
import HadpoTestSupport
import Testing

@Suite struct CHAIRAgainstTheOriginal {
    private var fixture: JSON { get throws { try File.readJSON(File.join(fixtureFolder, "chair_captions.json")) } }

    @Test("200 captions fall into the original's words: tokens, singulars, pairs") func tokens() throws {
        let objects = ObjectWords(words: [])
        let captions = try #require(try fixture["captions"]?.arrayValue)
        #expect(captions.count == 200)
        for caption in captions {
            let text = try #require(caption["caption"]?.stringValue)
            #expect(JSON(objects.tokens(text)) == caption["tokens"], "\(text)")
        }
    }

    @Test("CHAIRs, CHAIRi and every hallucinated word of 200 captions are the original's") func figures() throws {
        let table = try publishedFile("data/chair/synonyms.txt")
        let fixture = try fixture
        let captions = try #require(fixture["captions"]?.arrayValue)
        let objects = try ObjectWords(synonyms: table)
        #expect(objects.isPublished)
        for caption in captions {
            let text = try #require(caption["caption"]?.stringValue)
            #expect(JSON(objects.mentions(text).map(\.node)) == caption["nodes"], "\(text)")
        }
        let folder = try TemporaryFolder()
        try folder.write(
            "captions.jsonl",
            captions.map { ["image_id": $0["image_id"] ?? nil, "caption": $0["caption"] ?? nil] as JSON }.map { $0.text() + "\n" }
                .joined())
        try folder.write(
            "objects.json",
            JSON.object(captions.map { .init("\($0["image_id"]?.intValue ?? 0)", $0["truth"] ?? nil) }).text())
        let config: JSON = [
            "schema": "hadpo.chair-score/1", "captions": .string(folder["captions.jsonl"]), "synonyms": .string(table),
            "objects": .string(folder["objects.json"]), "records": .string(folder["records.jsonl"]), "resamples": 200,
        ]
        let report = try CHAIRScore.run(ConfigReader.read(config, schema: "hadpo.chair-score/1", CHAIRScoreConfig.init).config)
        #expect(report["chair_s"] == fixture["CHAIRs"] && report["chair_i"] == fixture["CHAIRi"])
        #expect(report["n"] == 200 && report["synonyms_published"] == true)
        #expect(try folder.lines("records.jsonl").map { $0["mscoco_hallucinated_words"] } == captions.map { $0["hallucinated"] })
    }

    @Test("the sentences measured for the two implementations give the original's words") func goldens() throws {
        let table = try publishedFile("data/chair/synonyms.txt")
        let objects = try ObjectWords(synonyms: table)
        for (caption, nodes) in [
            ("A bus is parked next to two buses.", "bus"),
            ("A man seated at a table with a wine glass and two wine glasses.", "person,dining table,wine glass,wine glass"),
            ("A woman is skiing down the slope while a boy is biking.", "person,person"),
            ("Two vases and a vase on a table.", "vase,vase,dining table"), ("He wears a bow tie; three ties hang there.", "tie"),
            ("A passenger train and a passenger jet.", "train,airplane"), ("A passenger plane on the runway.", "person,airplane"),
            ("A baby elephant with an adult elephant.", "elephant,elephant"), ("The toilet seat is up.", "toilet"),
            ("The seat of the toilet is up.", "toilet"), ("A tennis racket and a sports ball.", "tennis racket,sports ball"),
            ("A man rides a motor bike on a train track.", "person"),
            ("A potted plant near a parking meter.", "potted plant,parking meter"),
            ("A stove top oven and a hot dog.", "oven,oven,hot dog"), ("She is bowling while he is boating.", ""),
            ("People and children near the home plate.", "person,person"),
            ("A laptop computer and a computer mouse.", "laptop,laptop,mouse"), ("A slice of cheesecake and an iPhone.", ""),
            ("Smartphones and a fire hydrant.", "cell phone,fire hydrant"),
            ("A traffic light and street lights.", "traffic light,traffic light"),
            ("A polar bear cub and a baby cub.", "bear"),
        ] {
            #expect(objects.mentions(caption).map(\.node).joined(separator: ",") == nodes, "\(caption)")
        }
    }
}

@Suite struct CHAIRScoring {
    private func score(_ folder: TemporaryFolder, _ keys: [JSON.Member]) throws -> JSON {
        let config = JSON.object(
            [
                .init("schema", "hadpo.chair-score/1"), .init("synonyms", .string(folder["synonyms.txt"])),
                .init("resamples", 20),
            ] + keys)
        return try CHAIRScore.run(ConfigReader.read(config, schema: "hadpo.chair-score/1", CHAIRScoreConfig.init).config)
    }

    @Test("truth is the union of instances and reference captions, over several files") func truth() throws {
        let folder = try TemporaryFolder()
        try folder.write("synonyms.txt", "dog, puppy\ncat, kitten\ncar, auto\n")
        try folder.write(
            "instances.json",
            """
            {"images": [{"id": 7, "file_name": "a.jpg"}, {"id": 8, "file_name": "b.jpg"}],
             "annotations": [{"image_id": 7, "category_id": 3}], "categories": [{"id": 3, "name": "dog"}]}
            """)
        try folder.write(
            "captions.json",
            "{\"images\": [{\"id\": 8}], \"annotations\": [{\"image_id\": 8, \"caption\": \"Two kittens.\"}, {\"image_id\": 99, \"caption\": \"A car.\"}]}"
        )
        try folder.write(
            "said.jsonl",
            """
            {"image_id": 7, "caption": "A puppy and a cat and a cat."}
            {"image_id": "COCO_val2014_000000000008.jpg", "caption": "A cat, a cat."}
            {"image_id": 9, "caption": "A car."}
            {"image_id": "000000000007.jpg", "caption": "A puppy and a cat and a cat."}

            """)
        let report = try score(
            folder,
            [
                .init("captions", .string(folder["said.jsonl"])), .init("instances", [.string(folder["instances.json"])]),
                .init("references", [.string(folder["captions.json"])]), .init("partial", true),
            ])
        #expect(report["asked"] == 3 && report["scored"] == 2 && report["missing"] == 1)
        #expect(report["n"] == 2 && report["chair_s"] == 0.5 && report["mentions"] == 5 && report["chair_i"] == .double(2.0 / 5))
        #expect(report["recall"] == 1.0 && report["length"] == .double((9.0 + 6) / 2))
        #expect(report["outcomes"]?["image_without_annotations"] == ["count": 1, "first": ["9"]])
        #expect(report["outcomes"]?["captioned_twice"] == ["count": 1, "first": ["7"]])
        #expect(report["by_object"]?["cat"] == ["mentions": 4, "hallucinated": 2])
    }

    @Test("captions without objects have no CHAIRi instead of a division by zero") func empty() throws {
        let folder = try TemporaryFolder()
        try folder.write("synonyms.txt", "dog, puppy\n")
        try folder.write("objects.json", "{\"1\": [], \"2\": []}")
        try folder.write("said.json", "{\"1\": \"Nothing here.\", \"2\": \"\"}")
        let report = try score(
            folder, [.init("captions", .string(folder["said.json"])), .init("objects", .string(folder["objects.json"]))])
        #expect(report["chair_i"] == JSON.null && report["chair_s"] == 0.0 && report["recall"] == JSON.null)
        #expect(report["outcomes"]?["empty_caption"]?["count"] == 1)
        #expect(throws: HadpoError.self) { try score(folder, [.init("captions", .string(folder["said.json"]))]) }
    }
}
