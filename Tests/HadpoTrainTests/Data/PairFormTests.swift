import HadpoBase
import HadpoTestSupport
import HadpoTrain
import Testing

private let question = "Is there a cat?"
private let good = "No, there is no cat."
private let bad = "Yes, there is a cat."

private func turn(_ role: String, _ text: JSON) -> JSON { ["role": .string(role), "content": text] }
private func shareGPT(_ role: String, _ text: String) -> JSON { ["from": .string(role), "value": .string(text)] }
private func coded(_ question: String = question) -> JSON {
    .string((["question": .string(question), "chosen": .string(good), "rejected": .string(bad)] as JSON).text())
}
private let chunks: JSON = [["type": "image"], ["type": "text", "text": .string(question)]]
private func text(_ text: String) -> JSON { [["type": "text", "text": .string(text)]] }

/// Preference files as other tools write them.
@Suite struct ReadingPairsOfOtherTools {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        try folder.write("img/a.png", "picture")
        try folder.write("img/b.png", "picture")
    }

    private func read(_ text: String, form: PairForm? = nil, name: String = "pairs.jsonl") throws -> SampleSet<PreferencePair> {
        try SampleFiles.readPairs(
            folder.write(name, text), pictures: PictureFolder(folder["img"], outside: false), form: form)
    }

    static let records: [(PairForm, JSON)] = {
        let answers: [JSON.Member] = [.init("chosen", .string(good)), .init("rejected", .string(bad))]
        let turns: [JSON.Member] = [
            .init("chosen", [turn("assistant", text(good))]), .init("rejected", [turn("assistant", text(bad))]),
        ]
        func with(_ members: [JSON.Member], _ more: JSON) -> JSON { .object((more.objectValue ?? []) + members) }
        return [
            (.pairs, with(answers, ["image": "a.png", "question": .string(question)])),
            (.pairs, with(answers, ["image": "a.png", "question": .string("<image>\n\(question)")])),
            (.pairs, with(answers, ["image": "a.png", "question": .string("\(question)\n<image>")])),
            (.trl, with(answers, ["images": ["a.png"], "prompt": .string(question)])),
            (.trl, with(turns, ["images": ["a.png"], "prompt": [turn("user", chunks)]])),
            (.trl, with(turns, ["image": "a.png", "prompt": [turn("user", .string(question))]])),
            (
                .trl,
                with(
                    turns,
                    [
                        "prompt": [
                            turn("user", [["type": "image", "image": "a.png"], ["type": "text", "text": .string(question)]])
                        ]
                    ])
            ),
            (.trl, with(answers, ["images": ["a.png"], "prompt": [turn("user", chunks)]])),
            (
                .trl,
                [
                    "images": [["bytes": nil, "path": "a.png"]],
                    "chosen": [turn("user", chunks), turn("assistant", .string(good))],
                    "rejected": [turn("user", chunks), turn("assistant", .string(bad))],
                ]
            ),
            (
                .llamaFactory,
                [
                    "conversations": [shareGPT("human", "<image>\(question)")], "chosen": shareGPT("gpt", good),
                    "rejected": shareGPT("gpt", bad), "images": ["a.png"],
                ]
            ),
            (
                .llamaFactory,
                [
                    "messages": [turn("system", ""), turn("user", .string("<image>\n\(question)"))],
                    "chosen": turn("assistant", .string(good)), "rejected": turn("assistant", .string(bad)), "images": ["a.png"],
                    "system": "",
                ]
            ),
            (.llamaFactory, with(answers, ["instruction": "<image>Is there", "input": "a cat?", "images": "a.png"])),
            (
                .msSwift,
                [
                    "messages": [turn("user", .string("<image>\(question)")), turn("assistant", .string(good))],
                    "rejected_response": .string(bad), "images": ["a.png"],
                ]
            ),
            (
                .msSwift,
                [
                    "messages": [turn("user", .string(question)), turn("assistant", .string(good))],
                    "images": [["path": "a.png"]],
                    "rejected_messages": [turn("user", .string(question)), turn("assistant", .string(bad))],
                ]
            ),
            (
                .msSwift,
                [
                    "query": .string("\(question)<image>"), "response": .string(good), "rejected_response": .string(bad),
                    "images": ["a.png"], "history": [],
                ]
            ),
            (.rlhfV, ["idx": 0, "ds_name": "RLHF-V", "image": ["bytes": nil, "path": "a.png"], "text": coded()]),
            (.rlhfV, ["image_path": "a.png", "image": nil, "text": coded()]),
            (
                .rlhfV,
                ["image": "a.png", "text": ["question": .string(question), "chosen": .string(good), "rejected": .string(bad)]]
            ),
            (.rlaifV, with(answers, ["idx": 0, "image": ["bytes": nil, "path": "a.png"], "question": .string(question)])),
            (.rlaifV, with(answers, ["image": nil, "image_path": "a.png", "question": .string(question), "origin_split": "{}"])),
            (.rlaifV, with(answers, ["images": ["a.png"], "question": .string(question)])),
            (
                .povid,
                [
                    "id": 1, "image": "a.png",
                    "conversations": [shareGPT("human", "<image>\n\(question)"), shareGPT("gpt", good)],
                    "rejected_conversations": [shareGPT("human", "<image>\n\(question)"), shareGPT("gpt", bad)],
                ]
            ),
        ]
    }()

    @Test("each form is known by its keys and gives the same pair, as lines and as an array", arguments: records)
    func forms(_ form: PairForm, _ record: JSON) throws {
        for whole in [record.text() + "\n" + record.text() + "\n", JSON.array([record, record]).text(indent: 1)] {
            for named in [nil, form] {
                let twice = record["id"].map { $0.isNull } ?? true || form != .pairs
                let set = try read(whole, form: named)
                #expect(set.form == form.rawValue && set.problems.isEmpty, "\(set.problems)")
                #expect(set.samples.count == (twice ? 2 : 1) && Set(set.samples.map(\.id)).count == set.samples.count)
                for pair in set.samples {
                    // Alpaca's two fields stand on two lines.
                    let asked = record["input"] == nil ? question : "Is there\na cat?"
                    #expect(pair.prompt == .question(asked) && pair.chosen == good && pair.rejected == bad)
                    #expect(pair.imagePath == folder["img/a.png"])
                }
            }
        }
    }

    @Test("TRL's prompt with a place for the picture is the whole text before the answer") func raw() throws {
        let prompt = "USER: <image>\n\(question) ASSISTANT:"
        let record: JSON = ["images": ["a.png"], "prompt": .string(prompt), "chosen": .string(good), "rejected": .string(bad)]
        #expect(try read(record.text()).samples.first?.prompt == .raw(prompt))
    }

    @Test("what a pair cannot hold is named with its key, and the other records are read") func refused() throws {
        func changed(_ form: PairForm, _ changes: JSON) -> JSON {
            var record = Self.records.first { $0.0 == form }?.1 ?? nil
            for change in changes.objectValue ?? [] { record[change.key] = change.value }
            return record
        }
        let human = shareGPT("human", question)
        let long = [turn("user", .string(question)), turn("assistant", "x"), turn("user", "y"), turn("assistant", .string(good))]
        let cases: [(JSON, PairForm, String)] = [
            (changed(.trl, ["images": ["a.png", "b.png"]]), .trl, "'images' has 2 pictures"),
            (changed(.trl, ["images": []]), .trl, "no picture under 'images', 'image' or 'image_path'"),
            (changed(.trl, ["images": nil]), .trl, "no picture"),
            (changed(.trl, ["image": "b.png"]), .trl, "two pictures are named: 'a.png' and 'b.png'"),
            (
                changed(.trl, ["images": [["bytes": "iVBORw0KGgo=", "path": "a.png"]]]), .trl,
                "the picture itself stands under 'images'"
            ),
            (changed(.trl, ["images": ["data:image/png;base64,iVBORw0KGgo="]]), .trl, "the picture itself stands under 'images'"),
            (changed(.trl, ["images": ["https://example.org/a.png"]]), .trl, "'images' is an address"),
            (changed(.trl, ["images": [5]]), .trl, "'images' is an integer"),
            (changed(.trl, ["images": ["c.png"]]), .trl, "missing picture"),
            (changed(.trl, ["prompt": "<image><image> Which?"]), .trl, "'prompt' has a place for 2 pictures"),
            (changed(.trl, ["prompt": "USER: Is there a cat? ASSISTANT:"]), .trl, "'<image>' is missing"),
            (changed(.trl, ["prompt": [turn("system", "Be brief."), turn("user", chunks)]]), .trl, "'prompt' has a system text"),
            (changed(.trl, ["prompt": .array(long)]), .trl, "'prompt' has 4 turns"),
            (changed(.trl, ["prompt": [turn("tool", "x")]]), .trl, "'prompt' has a turn of 'tool'"),
            (changed(.trl, ["prompt": [turn("user", [["type": "video"]])]]), .trl, "'prompt' has a part of type 'video'"),
            (
                changed(.trl, ["prompt": [turn("user", [["type": "image"], ["type": "image"]])]]), .trl,
                "'prompt' has a place for 2"
            ),
            (changed(.trl, ["chosen": .array(long)]), .trl, "'chosen' has 4 turns"),
            (changed(.trl, ["rejected": 5]), .trl, "'rejected' is an integer"),
            (changed(.trl, ["tools": ["x"]]), .trl, "'tools' is given"),
            (changed(.llamaFactory, ["system": "Be brief."]), .llamaFactory, "'system' is given"),
            (changed(.llamaFactory, ["videos": ["v.mp4"]]), .llamaFactory, "'videos' is given"),
            (
                changed(.llamaFactory, ["conversations": [human, shareGPT("gpt", "x"), human]]), .llamaFactory,
                "'conversations' has 3 turns"
            ),
            (
                changed(.llamaFactory, ["conversations": [shareGPT("human", "What <image> is it?")]]), .llamaFactory,
                "'<image>' in the middle"
            ),
            (changed(.msSwift, ["messages": .array(long)]), .msSwift, "'messages' has 4 turns"),
            (changed(.msSwift, ["rejected_images": ["b.png"]]), .msSwift, "'rejected_images' is given"),
            (
                changed(.msSwift, ["rejected_messages": [turn("user", "Other?"), turn("assistant", "x")]]), .msSwift,
                "ask different questions"
            ),
            (changed(.rlhfV, ["text": "{\"question\": 5"]), .rlhfV, "'text' is not JSON"),
            (changed(.rlhfV, ["text": "{\"question\": \"q\", \"chosen\": \"c\"}"]), .rlhfV, "no 'rejected'"),
            (changed(.rlhfV, ["image": ["bytes": "aGk=", "path": nil]]), .rlhfV, "the picture itself stands under 'image'"),
            (changed(.rlaifV, ["image": ["path": nil, "bytes": nil]]), .rlaifV, "no picture"),
            (changed(.rlaifV, ["image": "a.png", "image_path": "b.png"]), .rlaifV, "two pictures are named"),
            (
                changed(.povid, ["rejected_conversations": [human, shareGPT("gpt", bad)]]), .povid,
                "ask different questions"
            ),
            (changed(.povid, ["conversations": [human]]), .povid, "'conversations' has 1 turns"),
            (
                changed(
                    .povid,
                    ["rejected_conversations": [human, shareGPT("gpt", good)], "conversations": [human, shareGPT("gpt", good)]]),
                .povid, "same text"
            ),
            (changed(.rlhfV, ["chosen": "Other."]), .rlhfV, "'chosen' contradicts"),
            (changed(.rlhfV, ["rejected": "Other."]), .rlhfV, "'rejected' contradicts"),
            (changed(.rlhfV, ["question": "Other?"]), .rlhfV, "'question' contradicts"),
            (changed(.rlhfV, ["image_path": "b.png"]), .rlhfV, "two pictures are named"),
            (changed(.rlhfV, ["image_path": "img/ba.png"]), .rlhfV, "two pictures are named"),
            (
                changed(.msSwift, ["rejected_messages": [turn("user", .string("<image>\(question)")), turn("assistant", "x")]]),
                .msSwift,
                "'rejected_response' contradicts"
            ),
            (changed(.msSwift, ["query": "Other?"]), .msSwift, "'query' contradicts"),
            (changed(.msSwift, ["response": "Other."]), .msSwift, "'response' contradicts"),
            (changed(.trl, ["question": "Other?"]), .trl, "'question' contradicts"),
            (
                changed(.trl, ["messages": [turn("user", .string(question)), turn("assistant", "x")]]), .trl,
                "'messages' contradicts"
            ),
            (
                changed(
                    .trl,
                    [
                        "prompt": [
                            turn(
                                "user", [["type": "text", "text": "Is"], ["type": "image"], ["type": "text", "text": "a cat?"]])
                        ]
                    ]), .trl, "'prompt' has '<image>' in the middle"
            ),
            (
                changed(.trl, ["prompt": [turn("user", [["type": "image"], ["type": "text", "text": "<image>Is there?"]])]]),
                .trl,
                "'prompt' has a place for 2"
            ),
            (changed(.trl, ["chosen": [turn("assistant", [["type": "image"]])]]), .trl, "'chosen' has a picture in the answer"),
            (
                changed(.trl, ["chosen": [["role": "assistant", "content": "No.", "tool_calls": [["id": "x"]]]]]), .trl,
                "'tool_calls' is given"
            ),
            (changed(.povid, ["chosen": "Other."]), .povid, "'chosen' contradicts"),
            (changed(.povid, ["rejected": "Other."]), .povid, "'rejected' contradicts"),
            (changed(.llamaFactory, ["prompt": "Other?"]), .llamaFactory, "'prompt' contradicts"),
            (changed(.llamaFactory, ["output": "Other."]), .llamaFactory, "'output' contradicts"),
            (changed(.llamaFactory, ["instruction": .string(question), "input": 5]), .llamaFactory, "'input' is an integer"),
            (changed(.pairs, ["system": "Be brief."]), .pairs, "'system' is given"),
            (changed(.pairs, ["history": [["a", "b"]]]), .pairs, "'history' is given"),
            (changed(.pairs, ["tools": ["x"]]), .pairs, "'tools' is given"),
            (changed(.pairs, ["videos": ["v.mp4"]]), .pairs, "'videos' is given"),
            (changed(.pairs, ["image": "https://example.org/a.png"]), .pairs, "'image' is an address"),
            (changed(.pairs, ["image": "data:image/png;base64,iVBORw0KGgo="]), .pairs, "the picture itself stands under 'image'"),
            (changed(.pairs, ["chosen": "<s> No."]), .pairs, "chosen begins with '<s>'"),
            (changed(.pairs, ["question": "<video> Is it?"]), .pairs, "question contains '<video>'"),
            (changed(.pairs, ["rejected": "At <bbox>."]), .pairs, "rejected contains '<bbox>'"),
            (changed(.trl, ["prompt": "<ref-object> Is it?"]), .trl, "question contains '<ref-object>'"),
            (changed(.trl, ["prompt": "USER: <image> <audio> ASSISTANT:"]), .trl, "prompt contains '<audio>'"),
            (changed(.llamaFactory, ["chosen": shareGPT("gpt", "<img>b.png</img>")]), .llamaFactory, "chosen contains '<img>'"),
        ]
        for (record, form, reason) in cases {
            let fine = Self.records.first { $0.0 == form }?.1 ?? nil
            let set = try read(fine.text() + "\n" + record.text() + "\n" + fine.text() + "\n", form: form)
            #expect(set.samples.count == 2, "\(reason)")
            #expect(set.problems.count == 1 && set.problems[0].source.line == 2, "\(record.text())")
            #expect(set.problems.first?.reason.contains(reason) == true, "\(set.problems.first?.reason ?? "") is not \(reason)")
        }
    }

    @Test("what stands twice and says the same is no contradiction") func agreeing() throws {
        func changed(_ form: PairForm, _ changes: JSON) -> JSON {
            var record = Self.records.first { $0.0 == form }?.1 ?? nil
            for change in changes.objectValue ?? [] { record[change.key] = change.value }
            return record
        }
        for (form, record) in [
            (.rlhfV, changed(.rlhfV, ["image_path": "img/a.png", "chosen": .string(good), "question": .string(question)])),
            (.msSwift, changed(.msSwift, ["query": .string("<image>\n\(question)"), "response": .string(good)])),
            (.trl, changed(.trl, ["prompt": .string("USER: <image>\n\(question) ASSISTANT:"), "question": .string(question)])),
            (.rlaifV, changed(.rlaifV, ["prompt": .string("USER: <image>\n\(question) ASSISTANT:")])),
            (.llamaFactory, changed(.llamaFactory, ["output": "", "system": ""])),
            (.pairs, changed(.pairs, ["objects": ["cat"], "notes": "of their owner", "system": nil])),
        ] as [(PairForm, JSON)] {
            let set = try read(record.text() + "\n", form: form)
            #expect(set.samples.count == 1, "\(record.text()): \(set.problems.first?.reason ?? "")")
        }
    }

    @Test("a record of another form in a file says which") func mixed() throws {
        let trl = Self.records.first { $0.0 == .trl }?.1 ?? nil
        let swift = Self.records.first { $0.0 == .msSwift }?.1 ?? nil
        let set = try read(trl.text() + "\n" + swift.text() + "\n")
        #expect(set.samples.count == 1 && set.form == "trl")
        #expect(set.problems.first?.reason == "no 'chosen' (read as trl; the record looks like ms-swift)")
        let named = try read(trl.text() + "\n", form: .povid)
        #expect(named.samples.isEmpty && named.problems[0].reason.hasSuffix("(read as povid; the record looks like trl)"))
    }

    @Test(
        "an unknown form lists its keys and every form that is read",
        arguments: [
            #"{"image": "a.png", "answer_good": "c", "answer_bad": "r"}"#, #"{"image": "a.png", "text": "a caption"}"#, "[[1]]",
            #""pairs""#,
            #"[{"image": "a.png", "chosen": "c", "rejected": "r"}]"#, "{}",
        ]) func unknown(_ text: String) throws
    {
        let error = #expect(throws: HadpoError.self) { try read(text) }
        for form in PairForm.allCases { #expect(error?.expected?.contains(form.rawValue) == true) }
        if text.contains("answer_good") { #expect(error?.found == "keys image, answer_good, answer_bad") }
        #expect(error?.place?.hasPrefix(folder["pairs.jsonl"]) == true)
    }

    @Test("containers that are no JSON are named") func containers() throws {
        let error = #expect(throws: HadpoError.self) { try read("PAR1\u{15}\u{4}\u{15}", name: "train.parquet") }
        #expect(error?.message.contains("Parquet") == true)
        #expect(try read("").samples.isEmpty)
        #expect(try read("[]").samples.isEmpty)
    }

    @Test("our samples and pairs may stand in an array, behind the name of their schema") func arrays() throws {
        let pair = Self.records[0].1
        #expect(
            try read(JSON.array([["schema": "hadpo.pairs/1"], pair, pair]).text(), form: .pairs).samples.map(\.id) == ["0", "1"])
        let set = try read(JSON.array([pair, 5]).text(), form: .pairs)
        #expect("\(set.problems[0].source)" == "\(folder["pairs.jsonl"])[1]")
        let path = try folder.write("s.json", #"[{"image": "a.png", "question": "q", "answer": "x"}]"#)
        #expect(try SampleFiles.readSamples(path, pictures: PictureFolder(folder["img"], outside: false)).samples.count == 1)
    }
}
