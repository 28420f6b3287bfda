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

    @Test("objects are known in the words of captions, and one that the table lacks is refused by name") func objects() throws {
        let folder = try TemporaryFolder()
        try folder.write("synonyms.txt", "dog, puppy\ntraffic light, street light\ncar, auto\n")
        try folder.write("said.json", "{\"1\": \"A dog, two cars and a traffic light.\"}")
        func run(_ objects: String) throws -> JSON {
            try folder.write("objects.json", objects)
            return try score(
                folder, [.init("captions", .string(folder["said.json"])), .init("objects", .string(folder["objects.json"]))])
        }
        #expect(try run("{\"1\": [\"Puppies\", \"Cars\", \"Street lights\"]}")["chair_i"] == 0.0)
        for word in ["House", "houses", "building", ""] {
            let error = #expect(throws: HadpoError.self) { try run("{\"1\": [\"dog\", \"\(word)\"]}") }
            #expect(error?.place == "\(folder["objects.json"]) /1" && error?.found == "'\(word)'")
        }
    }

    @Test(
        "a record that speaks of two pictures is an error",
        arguments: [
            #"{"image_id": 1, "image": "COCO_val2014_000000000002.jpg", "caption": "A dog."}"#,
            #"{"image_id": 1, "file_name": "COCO_val2014_000000000002.jpg", "caption": "A dog."}"#,
            #"{"image": "VG_100K/1.jpg", "image_path": "COCO_val2014_000000000001.jpg", "caption": "A dog."}"#,
            #"{"image_id": "a.jpg", "image": "b.jpg", "caption": "A dog."}"#,
        ]) func twoPictures(_ record: String) throws
    {
        let folder = try TemporaryFolder()
        try folder.write("synonyms.txt", "dog, puppy\n")
        try folder.write("objects.json", "{\"1\": [\"dog\"], \"a.jpg\": [\"dog\"]}")
        let keys: [JSON.Member] = [
            .init("captions", .string(folder["said.jsonl"])), .init("objects", .string(folder["objects.json"])),
        ]
        try folder.write("said.jsonl", record + "\n")
        let error = #expect(throws: HadpoError.self) { try score(folder, keys) }
        #expect(error?.message == "a record speaks of two pictures")
        try folder.write(
            "said.jsonl", #"{"image_id": 1, "file_name": "val2014/COCO_val2014_000000000001.jpg", "caption": "A dog."}"#)
        #expect(try score(folder, keys)["chair_i"] == 0.0)
    }

    @Test("a key that is there and mistyped is named") func mistyped() throws {
        let folder = try TemporaryFolder()
        try folder.write("synonyms.txt", "dog, puppy\n")
        try folder.write("objects.json", "{\"1\": [\"dog\"]}")
        for (record, key, found) in [
            (#"{"image_id": 1.0, "caption": "A dog."}"#, "image_id", "a number: 1.0"),
            (#"{"image_id": [1], "caption": "A dog."}"#, "image_id", "an array: [1]"),
            (#"{"image_id": 1, "caption": null}"#, "caption", "null: null"),
            (#"{"image_id": 1, "caption": ["A dog."]}"#, "caption", #"an array: ["A dog."]"#),
            (#"{"image_id": 1, "caption": 5, "text": "A dog."}"#, "caption", "an integer: 5"),
        ] {
            try folder.write("said.jsonl", record + "\n")
            let error = #expect(throws: HadpoError.self) {
                try score(
                    folder,
                    [.init("captions", .string(folder["said.jsonl"])), .init("objects", .string(folder["objects.json"]))])
            }
            #expect(error?.message == "mistyped value" && error?.found == found, "\(record): \(error?.found ?? "")")
            #expect(error?.place?.hasSuffix("/\(key)") == true)
        }
    }

    @Test(
        "captions of another set than the annotations are refused, and a number that the annotations have in two sets",
        arguments: [
            ("COCO_train2014_000000000007.jpg", ["COCO_val2014_000000000007.jpg"], false),
            ("VG_100K/7.jpg", ["COCO_val2014_000000000007.jpg"], false), ("VG_100K/7.jpg", ["000000000007.jpg"], false),
            ("7", ["COCO_val2014_000000000007.jpg", "COCO_train2014_000000000007.jpg"], false),
            ("7", ["COCO_val2014_000000000007.jpg"], true), ("7", ["COCO_val2014_000000000007.jpg", "000000000007.jpg"], true),
            ("COCO_val2014_000000000007.jpg", ["COCO_val2014_000000000007.jpg"], true), ("7", ["a.jpg"], true),
        ]) func sets(_ said: String, _ files: [String], _ fits: Bool) throws
    {
        let folder = try TemporaryFolder()
        try folder.write("synonyms.txt", "dog, puppy\n")
        try folder.write("said.json", "{\"\(said)\": \"A dog.\"}")
        for asReferences in [false, true] {
            var paths: [JSON] = []
            for (index, file) in files.enumerated() {
                let text =
                    asReferences
                    ? "\"annotations\": [{\"image_id\": 7, \"caption\": \"A dog.\"}]"
                    : "\"annotations\": [{\"image_id\": 7, \"category_id\": 3}], \"categories\": [{\"id\": 3, \"name\": \"dog\"}]"
                let path = try folder.write(
                    "i\(index).json", "{\"images\": [{\"id\": 7, \"file_name\": \"\(file)\"}], \(text)}")
                paths.append(.string(path))
            }
            let keys: [JSON.Member] = [
                .init("captions", .string(folder["said.json"])), .init(asReferences ? "references" : "instances", .array(paths)),
            ]
            if fits {
                #expect(try score(folder, keys)["chair_i"] == 0.0)
            } else {
                let error = #expect(throws: HadpoError.self) { try score(folder, keys) }
                #expect(error?.message == "a picture's number stands in two sets")
            }
        }
    }
}
