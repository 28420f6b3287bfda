import Glibc
import HadpoBase
import HadpoEval
import HadpoTestSupport
import Testing

func readSHRRequests(_ keys: [JSON.Member]) throws -> JSON {
    let config = JSON.object([.init("schema", "hadpo.shr-requests/1")] + keys)
    return try SHRRequests.run(ConfigReader.read(config, schema: "hadpo.shr-requests/1", SHRRequestsConfig.init).config)
}

func scoreSHR(_ keys: [JSON.Member], partial: Bool = false) throws -> JSON {
    // Requests are made of annotations, replies are scored without them.
    let isAnnotated = keys.contains { $0.key == "judge" && $0.value == "annotations" }
    let used = keys.filter { isAnnotated || !["vg", "image_data", "regions"].contains($0.key) }
    let config = JSON.object(
        [.init("schema", "hadpo.shr-score/1"), .init("resamples", 200), .init("partial", .bool(partial))] + used)
    return try SHRScore.run(ConfigReader.read(config, schema: "hadpo.shr-score/1", SHRScoreConfig.init).config)
}

private func batchLine(_ id: String, _ text: JSON, finish: JSON = "stop", status: Int = 200, error: JSON = .null) -> JSON {
    [
        "id": "batch_req_1", "custom_id": .string(id), "error": error,
        "response": [
            "status_code": JSON(status), "request_id": "r",
            "body": [
                "model": "judge-1", "choices": [["index": 0, "message": ["content": text], "finish_reason": finish]],
            ],
        ],
    ]
}

/// Upstream's own run over twelve images, written out as the files it read.
private struct Recorded {
    let folder: TemporaryFolder
    let fixture: JSON

    init() throws {
        folder = try TemporaryFolder()
        fixture = try File.readJSON(File.join(fixtureFolder, "shr_upstream.json"))
        try folder.write("vg/image_data.json", fixture["image_data"]?.text() ?? "")
        try folder.write("vg/region_descriptions.json", fixture["regions"]?.text() ?? "")
        try folder.write("shr/val_images_final.json", fixture["val_images"]?.text() ?? "")
        for part in 0...1 {
            let lines = fixture["factual"]?[part]?.arrayValue ?? []
            try folder.write("shr/shr_factual_part\(part + 1).jsonl", lines.map { $0.text() + "\n" }.joined())
        }
        try folder.write("descriptions.json", fixture["descriptions"]?.text() ?? "")
        // In another order than asked.
        let replies = (fixture["replies"]?.objectValue ?? []).reversed()
        try folder.write(
            "replies.jsonl", replies.map { batchLine("run1/" + $0.key, $0.value).text(ascii: true) + "\n" }.joined())
    }

    var files: [JSON.Member] {
        [
            .init("answers", .string(folder["descriptions.json"])), .init("vg", .string(folder["vg"])),
            .init("shr", .string(folder["shr"])),
        ]
    }
}

@Suite struct SHRAgainstUpstream {
    @Test("requests carry upstream's prompts byte for byte and its parameters") func requests() throws {
        let recorded = try Recorded()
        let report = try readSHRRequests(recorded.files + [.init("output", .string(recorded.folder["requests.jsonl"]))])
        #expect(report["requests"] == 12 && report["outcomes"]?["requested"]?["count"] == 12)
        let lines = try recorded.folder.lines("requests.jsonl")
        for line in lines {
            let id = try #require(line["custom_id"]?.stringValue)
            let prompt = try #require(line["body"]?["messages"]?[0]?["content"]?.stringValue)
            #expect(
                recorded.fixture["prompts"]?[String(id.dropFirst(5))]?.stringValue == SHA256.hex(Array(prompt.utf8)), "\(id)")
        }
        #expect(
            lines.map { $0["custom_id"]?.stringValue }
                == recorded.fixture["val_images"]?.arrayValue?.map { "run1/\($0["image_id"]?.intValue ?? 0)" })
        var body = try #require(lines[0]["body"])
        body["messages"] = nil
        #expect(
            body == [
                "model": "gpt-4", "temperature": 0.7, "top_p": 1.0, "n": 1, "max_tokens": 800, "stop": ["###"],
                "presence_penalty": 0.0, "frequency_penalty": 0.0, "stream": false, "logit_bias": ["50256": -100],
            ])
    }

    @Test("judgement.json and metrics.json of recorded replies are upstream's, figure for figure") func metrics() throws {
        let recorded = try Recorded()
        let report = try scoreSHR(
            recorded.files + [
                .init("replies", .string(recorded.folder["replies.jsonl"])), .init("output", .string(recorded.folder["out"])),
            ], partial: true)
        #expect(try File.readJSON(recorded.folder["out/metrics.json"]) == recorded.fixture["metrics"])
        #expect(report["upstream"] == recorded.fixture["metrics"])
        let judgement = try File.readJSON(recorded.folder["out/judgement.json"])
        for image in recorded.fixture["judgement"]?["run1"]?.objectValue ?? [] {
            let ours = judgement["run1"]?[image.key]
            for key in ["raw_judgement", "mode_response", "judgement"] { #expect(ours?[key] == image.value[key], "\(image.key)") }
            #expect(ours?["model_response"] == image.value["mode_response"])
        }
    }

    @Test("the mended figures keep every sentence and say where they differ") func corrected() throws {
        let recorded = try Recorded()
        let report = try scoreSHR(
            recorded.files + [
                .init("replies", .string(recorded.folder["replies.jsonl"])), .init("output", .string(recorded.folder["out"])),
            ], partial: true)
        let corrected = try #require(report["corrected"])
        let sentences = try #require(corrected["sentences"])
        // Reply 8 has a line too few; its five sentences stay in the total.
        #expect(report["outcomes"]?["judged"]?["count"] == 11 && report["outcomes"]?["count_mismatch"]?["count"] == 1)
        #expect(sentences["unjudged"] == 5 && sentences["total"] == 45)
        let judged = ["hallucination", "correct", "cannot judge"].reduce(0) { $0 + (sentences[$1]?.intValue ?? 0) }
        #expect(judged == 40)
        let ratio = try #require(corrected["hal_sents_ratio"]?.doubleValue)
        let bounds = try #require(corrected["hal_sents_ratio_bounds"]?.arrayValue).compactMap { $0.doubleValue }
        #expect(ratio == Double(sentences["hallucination"]?.intValue ?? -1) / 40)
        #expect(bounds[0] < ratio && ratio < bounds[1] && abs(bounds[1] - bounds[0] - 5.0 / 45) < 1e-12)
        let records = try recorded.folder.lines("out/sentences.jsonl")
        #expect(records.count == 45)
        let differences = try #require(report["differences"])
        #expect(differences["verdicts_read_after_trimming"]?.intValue ?? 0 >= 1)
        #expect(differences["verdicts_read_by_number"]?.intValue ?? 0 >= 1)
        #expect(differences["hal_sents_ratio"]?["upstream"] == 0.333)
        // More repetition is a larger figure here, where upstream's falls.
        #expect(report["repetition"]?["gram-1"]?["descriptions"] == 12)
    }
}

@Suite struct SHROutcomesByName {
    private func world() throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        let ids = Array(1...9)
        try folder.write(
            "image_data.json",
            JSON.array(ids.filter { $0 != 8 }.map { ["image_id": JSON($0), "width": 100, "height": 100] }).text())
        try folder.write(
            "regions.json",
            JSON.array(
                ids.map { id in
                    let region: JSON = [
                        "image_id": JSON(id), "x": 0, "y": 0, "width": 10, "height": 10, "phrase": "a red dog",
                    ]
                    return ["id": JSON(id), "regions": id == 7 ? [] : [region]]
                }
            ).text())
        try folder.write(
            "answers.jsonl",
            """
            {"image_id": 5, "description": "A dog. A cat."}
            {"image_id": 1, "description": "A dog. A cat."}
            {"image_id": 2, "description": "A dog. A cat."}
            {"image_id": 3, "description": " . "}
            {"image_id": 4, "description": "Ein Hund. Eine Katze."}
            {"image_id": "000000000001.jpg", "description": "A dog. A cat."}
            {"image_id": 7, "description": "A dog."}
            {"image_id": 8, "description": "A dog."}
            {"image_id": 77, "description": "A dog."}

            """)
        try folder.write("val.json", "[{\"image_id\": 1}, 2, 3, 4, 5, {\"image_id\": \"6\"}, 7, 8, 1]")
        return folder
    }

    private func files(_ folder: TemporaryFolder) -> [JSON.Member] {
        [
            .init("answers", .string(folder["answers.jsonl"])), .init("image_data", .string(folder["image_data.json"])),
            .init("regions", .string(folder["regions.json"])), .init("val_images", .string(folder["val.json"])),
        ]
    }

    @Test("images that cannot be asked about are named, no other image suffers") func requests() throws {
        let folder = try world()
        let report = try readSHRRequests(files(folder) + [.init("output", .string(folder["r.jsonl"])), .init("runs", 2)])
        let outcomes = try #require(report["outcomes"])
        for (name, ids) in [
            ("requested", ["1", "2", "4", "5"]), ("no_description", ["6"]), ("empty_description", ["3"]), ("no_regions", ["7"]),
            ("not_in_image_data", ["8"]), ("described_twice", ["1"]), ("not_in_the_evaluation", ["77"]),
            ("image_listed_twice", ["1"]),
        ] {
            #expect(outcomes[name]?["first"] == JSON(ids), "\(name)")
        }
        let lines = try folder.lines("r.jsonl")
        #expect(lines.map { $0["custom_id"] }.prefix(2) == ["run1/1", "run2/1"])
        #expect(lines[0]["body"]?["seed"] == nil && lines[1]["body"]?["seed"] == 1)
        let short = try readSHRRequests(
            files(folder) + [.init("output", .string(folder["r.jsonl"])), .init("longest_prompt", 100)])
        #expect(short["outcomes"]?["prompt_too_long"]?["count"] == 4 && short["requests"] == 0)
    }

    @Test("every kind of bad reply has its name, and its sentences stay in the total") func replies() throws {
        let folder = try world()
        _ = try readSHRRequests(files(folder) + [.init("output", .string(folder["r.jsonl"]))])
        let good: JSON = "Judgement:\n1. correct: a\n2. hallucination: b"
        func score(_ lines: [JSON]) throws -> JSON {
            try folder.write("replies.jsonl", lines.map { $0.text() + "\n" }.joined() + "{\"custom_id\": \"torn")
            return try scoreSHR(
                files(folder) + [
                    .init("replies", .string(folder["replies.jsonl"])), .init("requests", .string(folder["r.jsonl"])),
                ], partial: true)
        }
        var stale = batchLine("run1/5", good)
        stale["request_key"] = "00"
        let report = try score([
            stale, batchLine("run1/4", "Urteil:\n1. richtig\n2. falsch"), batchLine("run1/1", "Judgement:\n1. correct: a"),
            batchLine("run1/2", good), batchLine("run1/2", good),
            batchLine("run1/900", good),
        ])
        let outcomes = try #require(report["outcomes"])
        for (name, ids) in [
            ("judged", ["2"]), ("count_mismatch", ["1"]), ("foreign_reply", ["4"]), ("stale", ["5"]),
            ("not_requested", ["7", "8"]), ("no_description", ["6"]), ("empty_description", ["3"]),
            ("judged_twice", ["run1/2"]), ("reply_to_an_unknown_image", ["run1/900"]),
        ] {
            #expect(outcomes[name]?["first"] == JSON(ids), "\(name): \(outcomes.text())")
        }
        let sentences = try #require(report["corrected"]?["sentences"])
        #expect(sentences["hallucination"] == 1 && sentences["correct"] == 1 && sentences["unjudged"] == 8)
        #expect(report["corrected"]?["hal_sents_ratio"] == 0.5)
        #expect(report["corrected"]?["hal_sents_ratio_bounds"] == [0.1, 0.9])

        for (line, name) in [
            (batchLine("run1/1", good, finish: "length"), "truncated"), (batchLine("run1/1", .null), "refused"),
            (batchLine("run1/1", good, finish: "content_filter"), "filtered"), (batchLine("run1/1", good, status: 500), "failed"),
            (batchLine("run1/1", good, error: "boom"), "failed"), (batchLine("run1/1", good, error: ["code": 5]), "failed"),
            (batchLine("run1/1", "  "), "failed"),
            (["custom_id": "run1/1", "response": nil, "error": ["error": ["message": "x"]]], "failed"),
            (batchLine("run1/1", "I find it correct."), "no_judgement"),
        ] as [(JSON, String)] {
            #expect(try score([line])["outcomes"]?[name]?["first"] == ["1"], "\(name)")
        }
        let unread = try score([batchLine("run1/1", .null)])
        #expect(unread["outcomes"]?["no_reply"]?["count"] == 3 && unread["upstream"]?["mean_hal_ratio"] == JSON.null)
        #expect(unread["corrected"]?["hal_sents_ratio"] == JSON.null && unread["scored"] == 0 && unread["asked"] == 8)
        #expect(throws: HadpoError.self) { try score([]) }
    }

    @Test("answers of other servers: every way to end, content in chunks, text of plain completions") func servers() throws {
        let folder = try world()
        let good = "Judgement:\n1. correct: a\n2. hallucination: b"
        let chunks: JSON = [
            ["type": "thinking", "thinking": [["type": "text", "text": "1. hallucination"]]],
            ["type": "text", "text": .string(good)],
        ]
        var lines = ["stop", "eos", "eos_token", "end", "end_turn", "STOP", "", "COMPLETE"].map {
            batchLine("run1/1", .string(good), finish: .string($0))
        }
        lines += [batchLine("run1/1", .string(good), finish: nil), batchLine("run1/1", chunks)]
        lines.append(batchLine("run1/1", .string(good), finish: "eos", error: ["code": "unfinished"]))
        lines.append(["custom_id": "run1/1", "response": ["body": ["choices": [["text": .string(good)]]]]])
        for line in lines {
            try folder.write("replies.jsonl", line.text() + "\n")
            let report = try scoreSHR(files(folder) + [.init("replies", .string(folder["replies.jsonl"]))], partial: true)
            #expect(report["outcomes"]?["judged"]?["count"] == 1, "\(line.text())")
        }
        for (finish, name) in [
            ("length", "truncated"), ("MAX_TOKENS", "truncated"), ("content_filter", "filtered"), ("tool_calls", "failed"),
        ] as [(JSON, String)] {
            try folder.write("replies.jsonl", batchLine("run1/1", .string(good), finish: finish).text() + "\n")
            let report = try scoreSHR(files(folder) + [.init("replies", .string(folder["replies.jsonl"]))], partial: true)
            #expect(report["outcomes"]?[name]?["count"] == 1, "\(name)")
        }
    }

    @Test("a failed line before or behind a good one does no harm") func retried() throws {
        let folder = try world()
        let good: JSON = "Judgement:\n1. correct: a\n2. hallucination: b"
        for order in [0, 1] {
            let lines = [batchLine("run1/1", good), batchLine("run1/1", good, status: 429)]
            try folder.write("replies.jsonl", (order == 0 ? lines : lines.reversed()).map { $0.text() + "\n" }.joined())
            let report = try scoreSHR(files(folder) + [.init("replies", .string(folder["replies.jsonl"]))], partial: true)
            #expect(report["outcomes"]?["judged"]?["count"] == 1)
        }
    }

    @Test("verdicts on other descriptions are refused, and replies that nobody asked for do not count") func others() throws {
        let folder = try world()
        _ = try readSHRRequests(files(folder) + [.init("output", .string(folder["r.jsonl"]))])
        func score(_ descriptions: JSON, _ lines: [JSON], requests: Bool = true, partial: Bool = true) throws -> JSON {
            try folder.write("other.json", descriptions.text())
            try folder.write("replies.jsonl", lines.map { $0.text() + "\n" }.joined())
            return try scoreSHR(
                [.init("answers", .string(folder["other.json"])), .init("replies", .string(folder["replies.jsonl"]))]
                    + (requests ? [.init("requests", .string(folder["r.jsonl"]))] : []), partial: partial)
        }
        let one = batchLine("run1/1", "Judgement:\n1. correct: a"),
            two = batchLine("run1/1", "Judgement:\n1. correct\n2. correct")
        for (text, reply, sentence, found) in [
            ("A dog. A cow.", two, 2, "'A cat'"), ("A dog.", one, 2, "'A cat'"),
            ("A dog. A cat. A cow.", two, 3, "no sentence 3"),
            ("A cow. A cat.", two, 1, "'A dog'"),
        ] {
            let error = #expect(throws: HadpoError.self) { try score(["1": .string(text)], [reply]) }
            #expect(error?.message == "the judge was asked about another description")
            #expect(error?.place?.hasSuffix("image 1, sentence \(sentence)") == true && error?.found == found, "\(text)")
        }
        // Its own key makes a reply one to another prompt, and so a missing one, whichever way custom_id is spelled.
        for name in ["run1/1", "run1/000000000001.jpg", "1"] {
            var stale = batchLine(name, "Judgement:\n1. correct\n2. correct")
            stale["key"] = "00"
            #expect(try score(["1": "A cow. A cat."], [stale])["outcomes"]?["stale"]?["count"] == 1)
            #expect(throws: HadpoError.self) { try score(["1": "A cow. A cat."], [stale], partial: false) }
        }
        // Image 7 has no regions, so that it was never asked about.
        let never = try score(["1": "A dog. A cat.", "7": "A dog."], [two, batchLine("run1/7", "Judgement:\n1. correct: a")])
        #expect(never["outcomes"]?["not_requested"]?["first"] == ["7"] && never["scored"] == 1)
        let notes = never["judge"]?["notes"]?.arrayValue?.compactMap(\.stringValue) ?? []
        #expect(notes.count == 1 && notes[0].hasPrefix("2 of 2 replies have no key"))
        let loose = try score(["1": "A cow. A cat."], [two], requests: false)
        #expect(loose["judge"]?["notes"]?[0]?.stringValue?.hasPrefix("no requests are given") == true)
        var keyed = two
        keyed["key"] = .string(try #require(SHRAsked.read(folder["r.jsonl"])["run1/1"]).key)
        #expect(try score(["1": "A dog. A cat."], [keyed])["judge"]?["notes"] == [])
        try folder.write(
            "r.jsonl", #"{"custom_id": "run1/1", "body": {"messages": [{"role": "user", "content": "Is it? A dog"}]}}"# + "\n")
        let own = try score(["1": "A dog. A cat."], [two])["judge"]?["notes"]?.arrayValue?.compactMap(\.stringValue) ?? []
        #expect(own.count == 2 && own[1].hasPrefix("1 requests have a prompt of their own"))
    }

    @Test("the content hash covers the body's bytes as they stand in the file") func keys() throws {
        let folder = try TemporaryFolder()
        let body = "{ \"model\":\"m\",\"x\": \"\\\"body\\\": {\", \"t\":1e0 }"
        try folder.write("r.jsonl", "{\"custom_id\": \"a\", \"note\": {\"body\": 1}, \"body\" : \(body) , \"z\": \"body\"}\n\n")
        #expect(try SHRAsked.read(folder["r.jsonl"]).mapValues(\.key) == ["a": SHA256.hex(Array(body.utf8))])
        try folder.write("r.jsonl", "{\"custom_id\": \"a\", \"body\": {}}\n{\"custom_id\": \"a\", \"body\": {}}\n")
        #expect(throws: HadpoError.self) { try SHRAsked.read(folder["r.jsonl"]) }
    }
}

@Suite struct SHRFiguresAtEqualLength {
    /// Descriptions of each image as classes: h, c, j (cannot judge), u (unjudged); every sentence has two words.
    private func records(_ images: [String]) -> String {
        var lines = ""
        for (image, classes) in images.enumerated() {
            for (index, letter) in classes.enumerated() {
                let name = ["h": "hallucination", "c": "correct", "j": "cannot judge", "u": "unjudged"][letter] ?? "?"
                let line: JSON = [
                    "run": "run1", "image_id": .string("\(image)"), "sentence": JSON(index + 1), "text": .string("s\(index) x."),
                    "class": .string(name),
                ]
                lines += line.text() + "\n"
            }
        }
        return lines
    }

    @Test("a model that says less gains in the plain ratio and not at equal length") func comparison() throws {
        let folder = try TemporaryFolder()
        // The long one is the short one and more, which is where models hallucinate.
        try folder.write("long.jsonl", records(["cchh", "chhh", "cchh"]))
        var lines = ""
        var answers: [JSON.Member] = []
        for (image, classes) in ["cc", "ch", "cc"].enumerated() {
            answers.append(
                .init("\(image)", .string(classes.indices.enumerated().map { "s\($0.offset) x." }.joined(separator: " "))))
            let verdicts = classes.enumerated().map { "\($0.offset + 1). \($0.element == "h" ? "hallucination" : "correct"): r" }
            lines += batchLine("run1/\(image)", .string("Judgement:\n" + verdicts.joined(separator: "\n"))).text() + "\n"
        }
        try folder.write("short.json", JSON.object(answers).text())
        try folder.write("replies.jsonl", lines)
        let report = try scoreSHR([
            .init("answers", .string(folder["short.json"])), .init("replies", .string(folder["replies.jsonl"])),
            .init("baseline", .string(folder["long.jsonl"])), .init("output", .string(folder["out"])),
        ])
        let comparison = try #require(report["comparison"])
        #expect(comparison["plain"]?["run"] == .double(1.0 / 6) && comparison["plain"]?["baseline"] == .double(7.0 / 12))
        #expect(comparison["same_number_of_sentences"]?["difference"] == 0.0)
        #expect(comparison["same_number_of_words"]?["difference"] == 0.0)
        #expect(comparison["descriptions_of_both"] == 3)
        let matched = try #require(report["length_matched"])
        #expect(matched["first_sentences"]?[1]?["hal_sents_ratio"] == .double(1.0 / 6))
        #expect(matched["by_position"]?[1]?["hallucinated"] == 1 && matched["by_position"]?[0]?["hallucinated"] == 0)
    }

    @Test("two verdict files are compared sentence by sentence, with kappa") func agreement() throws {
        let folder = try TemporaryFolder()
        try folder.write("a.jsonl", records(["hhcc", "hcjh", "uc"]))
        try folder.write("b.jsonl", records(["hccc", "hcch", "ch", "h"]))
        let config: JSON = [
            "schema": "hadpo.shr-agree/1", "a": .string(folder["a.jsonl"]), "b": .string(folder["b.jsonl"]), "partial": true,
        ]
        let report = try SHRAgreement.run(
            ConfigReader.read(config, schema: "hadpo.shr-agree/1", SHRAgreementConfig.init).config)
        #expect(report["asked"] == 11 && report["scored"] == 10 && report["missing"] == 1)
        #expect(report["sentences"] == 10 && report["outcomes"]?["only_in_b"] == 1)
        #expect(report["outcomes"]?["without_two_verdicts"] == 1)
        #expect(report["confusion"]?["hallucination"]?["correct"] == 1)
        // Nine sentences with two verdicts: h/h 3, h/c 1, c/h 1, c/c 3 and j/c 1, of which the last agrees as "not".
        let two = try #require(report["hallucination_or_not"])
        let chance = (4.0 / 9) * (4.0 / 9) + (5.0 / 9) * (5.0 / 9)
        #expect(two["n"] == 9 && two["agree"] == 7)
        // Sums of ninths round.
        #expect(abs((two["kappa"]?.doubleValue ?? 0) - (7.0 / 9 - chance) / (1 - chance)) < 1e-12)
        #expect(report["three_classes"]?["agree"] == 6)
        try folder.write("c.jsonl", records([]))
        let other: JSON = [
            "schema": "hadpo.shr-agree/1", "a": .string(folder["a.jsonl"]), "b": .string(folder["c.jsonl"]),
        ]
        #expect(throws: HadpoError.self) {
            try SHRAgreement.run(ConfigReader.read(other, schema: "hadpo.shr-agree/1", SHRAgreementConfig.init).config)
        }
    }
}

@Suite struct AnnotationsAsJudge {
    private func score(_ folder: TemporaryFolder, _ keys: [JSON.Member] = []) throws -> JSON {
        try folder.write(
            "regions.json",
            """
            [{"id": 1, "regions": [{"image_id": 1, "x": 0, "y": 0, "width": 1, "height": 1, "phrase": "a red dog on grass"}]},
             {"id": 2, "regions": [{"image_id": 2, "x": 0, "y": 0, "width": 1, "height": 1, "phrase": "blue kittens"}]},
             {"id": 3, "regions": []}]
            """)
        try folder.write(
            "d.json",
            """
            {"1": "A puppy on the grass. There is a cat. It is a sunny day. There is no cat here",
             "2": "Two cats. A red cat", "3": "A dog."}
            """)
        return try scoreSHR(
            [
                .init("answers", .string(folder["d.json"])), .init("regions", .string(folder["regions.json"])),
                .init("judge", "annotations"), .init("output", .string(folder["out"])),
            ] + keys, partial: true)
    }

    @Test("objects of a sentence are looked up among the image's, by synonyms, and denials are no claims") func synonyms() throws
    {
        let folder = try TemporaryFolder()
        try folder.write("synonyms.txt", "dog, puppy\ncat, kitten\n")
        let report = try score(folder, [.init("synonyms", .string(folder["synonyms.txt"]))])
        #expect(report["judge"]?["kind"] == "annotations" && report["outcomes"]?["no_regions"]?["first"] == ["3"])
        let classes = try folder.lines("out/sentences.jsonl").map { $0["class"]?.stringValue }
        #expect(
            classes == ["correct", "hallucination", "cannot judge", "cannot judge", "correct", "correct", "unjudged"])
        // The file is upstream's format, so that it can be read back as verdicts.
        #expect(try SHRRecord.read(folder["out/judgement.json"]).count == 6)
    }

    @Test("without synonyms the annotations' own words are the vocabulary") func words() throws {
        let folder = try TemporaryFolder()
        _ = try score(folder)
        let lines = try folder.lines("out/sentences.jsonl")
        // Nobody annotated a puppy or a cat; grass is right, red is not of image 2.
        #expect(lines.map { $0["class"]?.stringValue }.prefix(2) == ["correct", "cannot judge"])
        #expect(lines[5]["class"] == "hallucination" && lines[5]["judgement"]?.stringValue?.hasSuffix("red") == true)
    }
}
