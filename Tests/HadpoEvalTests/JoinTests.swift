import HadpoBase
import HadpoEval
import HadpoTestSupport
import Testing

/// Captions and annotations of COCO's pictures, whichever way each file spells them.
@Suite struct JoiningCaptions {
    private func score(_ captions: JSON, _ objects: JSON, partial: Bool = false, records: Bool = false) throws -> JSON {
        let folder = try TemporaryFolder()
        try folder.write("synonyms.txt", "dog, puppy\ncat, kitten\n")
        try folder.write("objects.json", objects.text())
        try folder.write("said.json", captions.text())
        var config: JSON = [
            "schema": "hadpo.chair-score/1", "synonyms": .string(folder["synonyms.txt"]), "resamples": 0,
            "captions": .string(folder["said.json"]), "objects": .string(folder["objects.json"]), "partial": .bool(partial),
        ]
        if records { config["records"] = .string(folder["records.jsonl"]) }
        return try CHAIRScore.run(ConfigReader.read(config, schema: "hadpo.chair-score/1", CHAIRScoreConfig.init).config)
    }

    static let spellings = ["7", "000000000007.jpg", "val2014/COCO_val2014_000000000007.jpg", "COCO_val2014_000000000007.jpg"]

    @Test("every spelling of a picture meets every other", arguments: spellings, spellings)
    func spelled(_ caption: String, _ object: String) throws {
        let report = try score(
            [["image_id": .string(caption), "caption": "A dog and a cat."]], .object([.init(object, ["dog"])]))
        #expect(report["n"] == 1 && report["chair_i"] == 0.5 && report["asked"] == 1 && report["scored"] == 1)
        #expect(report["image_ids_sha256"] == .string(SHA256.hex(Array("7".utf8))))
        #expect(try score([["image": .string(caption), "text": "A dog."]], .object([.init(object, ["dog"])]))["chair_i"] == 0.0)
    }

    @Test(
        "one number with two meanings is an error",
        arguments: [
            (["COCO_val2014_000000000007.jpg", "COCO_train2014_000000000007.jpg"], ["7"]),
            (["7"], ["COCO_val2014_000000000007.jpg", "COCO_train2014_000000000007.jpg"]),
            (["COCO_val2014_000000000007.jpg"], ["COCO_train2014_000000000007.jpg"]),
            (["7", "a/7.png"], ["a/7.png", "b/7.png"]),
            (["a/7.png", "b/7.png"], ["7"]),
        ]) func ambiguous(_ captions: [String], _ objects: [String]) throws
    {
        let said = captions.map { ["image_id": .string($0), "caption": "A dog."] as JSON }
        let there = objects.enumerated().map { JSON.Member($0.element, $0.offset == 0 ? ["dog"] : ["cat"]) }
        for partial in [false, true] {
            #expect(throws: HadpoError.self) { try score(.array(said), .object(there), partial: partial) }
        }
    }

    @Test("pictures that folders number for themselves stay apart") func folders() throws {
        let report = try score(
            ["a/7.png": "A dog.", "b/7.png": "A dog."], ["a/7.png": ["dog"], "b/7.png": ["cat"]])
        #expect(report["scored"] == 2 && report["chair_s"] == 0.5)
    }

    @Test("a picture captioned twice is an error unless both say the same") func twice() throws {
        let objects: JSON = ["7": ["dog"]]
        let same = try score(
            [["image_id": 7, "caption": "A dog."], ["image_id": "000000000007.jpg", "caption": "A dog."]], objects)
        #expect(same["outcomes"]?["captioned_twice"]?["count"] == 1 && same["asked"] == 1)
        let error = #expect(throws: HadpoError.self) {
            try score([["image_id": 7, "caption": "A dog."], ["image_id": "007", "caption": "A cat."]], objects, partial: true)
        }
        #expect(error?.place?.hasSuffix("said.json[1]") == true && error?.found?.contains("'A cat.'") == true)
    }

    @Test("what is missing is an error, or counted; where nothing meets, both files' names are told") func coverage() throws {
        let captions: JSON = ["7": "A dog.", "8": "A dog.", "9": "A dog."]
        let error = #expect(throws: HadpoError.self) { try score(captions, ["7": ["dog"], "9": []]) }
        #expect(error?.found == "2 of 3 captions scored; missing 8")
        let part = try score(captions, ["7": ["dog"], "9": []], partial: true)
        #expect(part["asked"] == 3 && part["scored"] == 2 && part["missing"] == 1 && part["chair_s"] == 0.5)
        let none = #expect(throws: HadpoError.self) { try score(captions, ["107": ["dog"]], partial: true) }
        #expect(none?.found == "captions of '7', '8', '9', records with keys image_id, caption")
        #expect(none?.expected?.hasSuffix("'107'") == true)
        for empty in [[:], [], ["annotations": []]] as [JSON] {
            #expect(throws: HadpoError.self) { try score(empty, ["7": ["dog"]], partial: true) }
        }
        let keys = #expect(throws: HadpoError.self) { try score([["id": 7, "said": "A dog."]], ["7": ["dog"]]) }
        #expect(keys?.found == "keys id, said" && keys?.expected?.contains("'image_id'") == true)
    }

    @Test("COCO's own form of captions is read") func coco() throws {
        let report = try score(["images": [["id": 7]], "annotations": [["image_id": 7, "caption": "A dog."]]], ["7": ["dog"]])
        #expect(report["scored"] == 1 && report["chair_s"] == 0.0)
    }
}

@Suite struct JoiningDescriptions {
    private func reply(_ id: String, _ text: String = "Judgement:\n1. correct: a") -> JSON {
        ["custom_id": .string(id), "response": ["body": ["choices": [["message": ["content": .string(text)]]]]]]
    }

    private func score(
        _ answers: JSON, _ replies: [JSON], val: JSON? = nil, partial: Bool = false, keys: [JSON.Member] = []
    ) throws -> JSON {
        let folder = try TemporaryFolder()
        try folder.write("d.json", answers.text())
        try folder.write("r.jsonl", replies.map { $0.text() + "\n" }.joined())
        var all: [JSON.Member] = [.init("answers", .string(folder["d.json"])), .init("replies", .string(folder["r.jsonl"]))]
        if let val {
            try folder.write("val.json", val.text())
            all.append(.init("val_images", .string(folder["val.json"])))
        }
        return try scoreSHR(all + keys, partial: partial)
    }

    /// Of Visual Genome's image 7, and of COCO's picture 7: one number, two pictures.
    static let collections = [
        ["7", "7.jpg", "VG_100K/7.jpg"], ["val2014/COCO_val2014_000000000007.jpg", "COCO_val2014_000000000007.jpg"],
    ]

    @Test("descriptions, evaluation and replies meet whatever their spelling", arguments: collections)
    func spelled(_ names: [String]) throws {
        for (name, other) in names.flatMap({ name in names.map { (name, $0) } }) {
            let report = try score(
                .object([.init(name, "A dog.")]), [reply("run1/\(other)")], val: [["image_id": .string(other)]])
            #expect(report["scored"] == 1 && report["asked"] == 1 && report["corrected"]?["hal_sents_ratio"] == 0.0)
            let direct = try score(.object([.init(name, "A dog.")]), [reply(other)])
            #expect(direct["scored"] == 1)
        }
    }

    @Test("images without a verdict are an error, or counted") func coverage() throws {
        let answers: JSON = ["1": "A dog.", "2": "A cat."]
        let val: JSON = [1, 2, 3]
        let replies = [reply("run1/1"), reply("run1/2", "Judgement:\n1. correct: a\n2. correct: b\n3. correct")]
        let error = #expect(throws: HadpoError.self) { try score(answers, replies, val: val) }
        #expect(
            error?.found
                == "1 of 3 descriptions of \(error?.found?.split(separator: " ")[5] ?? "") scored; missing count_mismatch: 2; no_description: 3"
        )
        let part = try score(answers, replies, val: val, partial: true)
        #expect(part["asked"] == 3 && part["scored"] == 1 && part["missing"] == 2)
        // Nothing in common at all is an error in any case, and names what each side has.
        let none = #expect(throws: HadpoError.self) { try score(answers, replies, val: [71, 72], partial: true) }
        #expect(none?.found == "descriptions of '1', '2'" && none?.expected?.hasSuffix("'71', '72'") == true)
        let unheard = #expect(throws: HadpoError.self) { try score(answers, [reply("run1/5")], partial: true) }
        #expect(unheard?.found == "custom_id 'run1/5'" && unheard?.expected?.contains("'run1/1'") == true)
    }

    @Test("sentences whose verdict cannot be read are not scored") func unread() throws {
        let answers: JSON = ["1": "A dog. A cat.", "2": "A cat."]
        let replies = [
            reply("run1/1", "Judgement:\n1. correct: a\n2. incorrect: b"), reply("run1/2", "Judgement:\n1. correct: a"),
        ]
        let error = #expect(throws: HadpoError.self) { try score(answers, replies) }
        #expect(error?.found?.hasPrefix("1 of 2 descriptions") == true)
        #expect(
            error?.found?.hasSuffix("missing unread_verdicts: 1; 1 of 3 sentences have a verdict that is none of the three")
                == true)
        let part = try score(answers, replies, partial: true)
        #expect(part["scored"] == 1 && part["outcomes"]?["unread_verdicts"]?["first"] == ["1"])
        #expect(part["corrected"]?["sentences"]?["unrecognised"] == 1 && part["upstream"]?["mean_hal_ratio"] == 0.0)
        // Read back without their report, and as a baseline.
        let folder = try TemporaryFolder()
        try folder.write("b.jsonl", sentence("2", 1, "A cat.", "unrecognised").text() + "\n")
        #expect(try SHRScored(folder["b.jsonl"], resamples: 0, seed: 0).coverage == Coverage(asked: 1, scored: 0))
        let baseline = [JSON.Member("baseline", .string(folder["b.jsonl"]))]
        let one = #expect(throws: HadpoError.self) { try score(["2": "A bus."], [replies[1]], keys: baseline) }
        #expect(one?.message == "sentences of the baseline without a verdict")
    }

    @Test("what is said twice must be the same") func twice() throws {
        let one = reply("run1/7")
        func list(_ second: String) -> JSON {
            [["image_id": 7, "description": "A dog."], ["image_id": "000000000007.jpg", "description": .string(second)]]
        }
        #expect(try score(list("A dog."), [one, one])["outcomes"]?["judged_twice"]?["count"] == 1)
        for partial in [false, true] {
            #expect(throws: HadpoError.self) { try score(list("A cat."), [one], partial: partial) }
            #expect(throws: HadpoError.self) {
                try score(list("A dog."), [one, reply("run1/7", "Judgement:\n1. hallucination: a")], partial: partial)
            }
            #expect(throws: HadpoError.self) {
                try score(
                    list("A dog."), [one, reply("run1/007", "Judgement:\n1. hallucination: a")], partial: partial)
            }
        }
    }

    // MARK: two files of verdicts

    private func sentence(_ image: String, _ number: Int, _ text: String = "A dog.", _ verdict: String = "correct") -> JSON {
        [
            "run": "run1", "image_id": .string(image), "sentence": JSON(number), "text": .string(text), "class": .string(verdict),
        ]
    }

    private func agree(_ a: [JSON], _ b: [JSON], partial: Bool = false) throws -> JSON {
        let folder = try TemporaryFolder()
        try folder.write("a.jsonl", a.map { $0.text() + "\n" }.joined())
        try folder.write("b.jsonl", b.map { $0.text() + "\n" }.joined())
        let config: JSON = [
            "schema": "hadpo.shr-agree/1", "a": .string(folder["a.jsonl"]), "b": .string(folder["b.jsonl"]),
            "partial": .bool(partial),
        ]
        return try SHRAgreement.run(
            ConfigReader.read(config, schema: "hadpo.shr-agree/1", SHRAgreementConfig.init).config)
    }

    @Test("COCO's picture is not Visual Genome's image of its number", arguments: collections[1]) func coco(_ coco: String) throws
    {
        for (described, listed, replied) in [(coco, "7", "7"), ("7", coco, coco), ("7", "7", coco), (coco, coco, "7")] {
            let error = #expect(throws: HadpoError.self) {
                try score(
                    .object([.init(described, "A dog.")]), [reply("run1/\(replied)")], val: [["image_id": .string(listed)]],
                    partial: true)
            }
            #expect(error?.message.hasPrefix("a picture of COCO meets") == true && error?.found?.contains(coco) == true)
        }
        // A record may say in "image" whose number "image_id" is.
        #expect(throws: HadpoError.self) {
            try score([["image_id": 7, "image": .string(coco), "description": "A dog."]], [reply("run1/7")])
        }
        #expect(throws: HadpoError.self) { try agree([sentence("7", 1)], [sentence(coco, 1)], partial: true) }
        let folder = try TemporaryFolder()
        try folder.write("b.jsonl", sentence(coco, 1).text() + "\n")
        #expect(throws: HadpoError.self) {
            try score(["7": "A dog."], [reply("run1/7")], keys: [.init("baseline", .string(folder["b.jsonl"]))])
        }
    }

    @Test("a record that contradicts itself is refused, with both values") func contradiction() throws {
        for (record, found) in [
            (
                ["image_id": 7, "image": "VG_100K_2/8.png", "description": "A dog."],
                "'image_id': '7', and 'image': 'VG_100K_2/8.png'"
            ),
            (["image_id": 7, "description": "A dog.", "caption": "A cat."], "'description': 'A dog.', and 'caption': 'A cat.'"),
            (["image_id": 7, "answer": "A dog.", "text": "A cat."], "'answer': 'A dog.', and 'text': 'A cat.'"),
        ] as [(JSON, String)] {
            let error = #expect(throws: HadpoError.self) { try score([record], [reply("run1/7")]) }
            #expect(error?.found == found && error?.place?.hasSuffix("d.json[0]") == true)
        }
        let mistyped = #expect(throws: HadpoError.self) {
            try score([["image_id": 7, "description": 5, "caption": "A dog."]], [reply("run1/7")])
        }
        #expect(mistyped?.place?.hasSuffix("key 'description'") == true)
        let same: JSON = ["image_id": 7, "image": "VG_100K_2/7.png", "description": "A dog.", "text": "A dog.", "caption": nil]
        #expect(try score([same], [reply("run1/7")])["scored"] == 1)
    }

    @Test("a verdict that cannot be read names the key") func verdictKeys() throws {
        let good = sentence("7", 1)
        for (key, value, found) in [
            ("class", "maybe", "'class' is 'maybe', which is none of 'hallucination', "), ("class", nil, "no 'class'"),
            ("image_id", 7, "'image_id' is 7, which is not a string"), ("text", nil, "no 'text'"),
            ("sentence", "1", "'sentence' is \"1\", which is not a whole number"),
        ] as [(String, JSON, String)] {
            var line = good
            line[key] = value.isNull ? nil : value
            let error = #expect(throws: HadpoError.self) { try agree([good], [line]) }
            #expect(error?.found?.hasPrefix(found) == true, "\(error?.found ?? "")")
        }
    }

    @Test(
        "judges agree on images of one number, and on the same sentences only", arguments: collections[0])
    func agreement(_ name: String) throws {
        let mine = [sentence("7", 1), sentence("7", 2, "A cat.")]
        let report = try agree(mine, [sentence(name, 2, "A cat."), sentence(name, 1)])
        #expect(report["sentences"] == 2 && report["asked"] == 2 && report["missing"] == 0)
        let other = #expect(throws: HadpoError.self) {
            try agree(mine, [sentence(name, 1), sentence(name, 2, "A cow.")], partial: true)
        }
        #expect(other?.found == "'A cow.'" && other?.place?.hasSuffix("sentence 2, key 'text'") == true)
        for (a, b) in [(mine, [sentence(name, 1)]), ([sentence(name, 1)], mine)] {
            let error = #expect(throws: HadpoError.self) { try agree(a, b) }
            #expect(error?.found?.hasPrefix("1 of 2 sentences scored") == true)
            #expect(try agree(a, b, partial: true)["missing"] == 1)
        }
        let twice = [sentence("7", 1), sentence(name, 1, "A dog.", "hallucination")]
        #expect(throws: HadpoError.self) { try agree(twice, twice, partial: true) }
        #expect(throws: HadpoError.self) { try agree(mine, [sentence("8", 1)], partial: true) }
        #expect(throws: HadpoError.self) { try agree([], mine, partial: true) }
    }

    @Test("a copy of the run is no baseline, and two judges are named") func sameDescriptions() throws {
        let folder = try TemporaryFolder()
        func reply(_ verdict: String, _ model: String) -> JSON {
            let body: JSON = [
                "model": .string(model), "choices": [["message": ["content": .string("Judgement:\n1. \(verdict): a")]]],
            ]
            return ["custom_id": "run1/7", "response": ["body": body]]
        }
        func judged(_ text: String, _ reply: JSON, against: String? = nil, into: String? = nil) throws -> JSON? {
            var keys: [JSON.Member] = []
            if let against { keys.append(.init("baseline", .string(folder[against]))) }
            if let into { keys.append(.init("output", .string(folder[into]))) }
            return try score(["7": .string(text)], [reply], keys: keys)["comparison"]
        }
        _ = try judged("A dog.", reply("correct", "m"), into: "one")
        try folder.write("copy.jsonl", String(decoding: File.read(folder["one/sentences.jsonl"]), as: UTF8.self))
        for path in ["one/sentences.jsonl", "copy.jsonl"] {
            let error = #expect(throws: HadpoError.self) { try judged("A dog.", reply("correct", "m"), against: path) }
            #expect(error?.message == "run and baseline are the same file")
        }
        let (one, copy) = try (
            SHRScored(folder["one"], resamples: 0, seed: 0), SHRScored(folder["copy.jsonl"], resamples: 0, seed: 0)
        )
        #expect(throws: HadpoError.self) { try one.comparison(with: copy, resamples: 0, seed: 0, partial: false) }
        func notes(_ comparison: JSON?) -> [String] { comparison?["notes"]?.arrayValue?.compactMap(\.stringValue) ?? [] }
        let two = try judged("A dog.", reply("hallucination", "n"), against: "one/sentences.jsonl")
        #expect(two?["judge"]?["differs"] == true && two?["same_descriptions"] == 1)
        #expect(notes(two).map { $0.prefix(10) } == ["two judges", "two judges"])
        let same = try judged("A dog.", reply("hallucination", "m"), against: "one/sentences.jsonl")
        #expect(same?["judge"]?["differs"] == false && notes(same).count == 1)
        let unknown = try judged("A cow.", reply("hallucination", "m"), against: "copy.jsonl")
        #expect(unknown?["judge"]?["differs"] == .some(.null) && notes(unknown).count == 1)
        #expect(try notes(judged("A cow.", reply("correct", "m"), against: "one/sentences.jsonl")) == [])
        #expect(try notes(judged("A cow.", reply("correct", "n"), against: "one/sentences.jsonl")).count == 1)
        // One file of replies by two models.
        let more = try score(
            ["7": "A dog.", "8": "A dog."],
            [reply("correct", "m"), ["custom_id": "8", "response": reply("correct", "n")["response"] ?? .null]])
        #expect(more["judge"]?["notes"]?[1]?.stringValue?.hasPrefix("the replies are of 2 models, m, n") == true)
    }

    @Test("a baseline of other images is an error, or compared on those of both") func baseline() throws {
        let folder = try TemporaryFolder()
        let answers: JSON = ["7": "A dog.", "8": "A dog."]
        let replies = [reply("run1/7"), reply("run1/8")]
        func compare(_ images: [String], partial: Bool = false) throws -> JSON? {
            try folder.write("b.jsonl", images.map { sentence($0, 1).text() + "\n" }.joined())
            return try score(answers, replies, partial: partial, keys: [.init("baseline", .string(folder["b.jsonl"]))])[
                "comparison"]
        }
        #expect(try compare(["000000000008.jpg", "000000000007.jpg"])?["descriptions_of_both"] == 2)
        #expect(throws: HadpoError.self) { try compare(["7"]) }
        #expect(throws: HadpoError.self) { try compare(["7", "8", "9"]) }
        #expect(try compare(["7", "9"], partial: true)?["only_in_baseline"] == 1)
        #expect(throws: HadpoError.self) { try compare(["9"], partial: true) }
    }
}
