import HadpoBase
import HadpoEval
import HadpoTestSupport
import Testing

/// What a record of an answers file says of its question is compared with the question it is joined to.
@Suite struct JoiningAnswersToQuestions {
    private let nouns = ["cat", "dog", "cup", "tie", "boat", "fork"]
    private func question(_ id: Int, _ noun: String, image: String = "COCO_val2014_000000000042.jpg") -> JSON {
        [
            "question_id": JSON(id), "image": .string(image), "text": .string("Is there a \(noun) in the image?"),
            "label": id % 2 == 1 ? "yes" : "no",
        ]
    }
    private func lines(_ records: [JSON]) -> String { records.map { $0.text() + "\n" }.joined() }

    private func score(
        _ folder: TemporaryFolder, questions: String, answers: [JSON], keys: [JSON.Member] = [], name: String? = nil
    ) throws -> JSON {
        try folder.write("answers.jsonl", lines(answers))
        var split: JSON = ["questions": .string(folder[questions]), "answers": .string(folder["answers.jsonl"])]
        if let name { split["name"] = .string(name) }
        let config = JSON.object(
            [.init("schema", "hadpo.pope-score/1"), .init("resamples", 0), .init("splits", [split])] + keys)
        let report = try PopeEvaluation.run(
            ConfigReader.read(config, schema: "hadpo.pope-score/1", PopeEvaluationConfig.init).config)
        return try #require(report["splits"]?[0]?["run"])
    }

    private func folder() throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        try folder.write("q.json", lines(nouns.enumerated().map { question($0.offset + 1, $0.element) }))
        return folder
    }

    private func answers(_ change: (inout JSON, _ id: Int, _ noun: String) -> Void) -> [JSON] {
        nouns.enumerated().map { index, noun in
            var answer: JSON = ["question_id": JSON(index + 1), "answer": index % 2 == 0 ? "Yes" : "No"]
            change(&answer, index + 1, noun)
            return answer
        }
    }

    @Test(
        "a record's word for its question, picture, label or split must be the question's",
        arguments: [
            ("question", "Is there a cow in the image?"), ("prompt", "Is there a cow in the image?\nAnswer yes or no."),
            ("query", "USER: <image>\nIs there a cow in the image? ASSISTANT:"), ("text", "Is there a cow in the image?"),
            ("image", "COCO_val2014_000000000043.jpg"), ("image", "COCO_train2014_000000000042.jpg"), ("image_id", 43),
            ("image", "VG_100K/42.jpg"), ("image_source", "COCO_val2014_000000000043"),
            ("image_path", "/data/val2014/COCO_val2014_000000000007.jpg"), ("image", ["path": "7.jpg"]), ("label", "no"),
            ("label", "perhaps"), ("gt_answer", "No"), ("category", "popular"),
        ] as [(String, JSON)], ["id", "position", "automatic"])
    func contradictions(_ claim: (String, JSON), _ match: String) throws {
        let folder = try folder()
        let given = answers { answer, id, _ in if id == 3 { answer[claim.0] = claim.1 } }
        for partial in [false, true] {
            let error = #expect(throws: HadpoError.self, "\(claim)") {
                try score(
                    folder, questions: "q.json", answers: given,
                    keys: [.init("match", .string(match)), .init("partial", .bool(partial))], name: "random")
            }
            #expect(error?.message == "an answer to another question")
            #expect(error?.place == "\(folder["answers.jsonl"]):3, question_id 3, key '\(claim.0)'")
            #expect(error?.found != nil && error?.expected != nil)
        }
    }

    @Test(
        "other spellings of the same are no contradiction",
        arguments: [
            ("prompt", "Is there a NOUN in the image?\nAnswer the question using a single word or phrase."),
            ("question", "is there a  NOUN in the image? "),
            ("prompt", "USER: <image>\nIs there a NOUN in the image? ASSISTANT:"),
            ("prompt", "<image>Is there a NOUN in the image?Answer yes or no."), ("text", "Is there a NOUN in the image?"),
            ("image", "42"), ("image_id", 42), ("image", "val2017/000000000042.jpg"), ("label", "LABEL"), ("gt", " LABEL "),
            ("category", "Random"), ("category", "existence"), ("question", nil), ("image", nil), ("question", ""), ("image", ""),
        ] as [(String, JSON)])
    func agreements(_ key: String, _ value: JSON) throws {
        let given = answers { answer, id, noun in
            let text = value.stringValue?.replacing("NOUN", with: noun).replacing("LABEL", with: id % 2 == 1 ? "Yes" : "No")
            answer[key] = text.map { .string($0) } ?? value
        }
        let run = try score(folder(), questions: "q.json", answers: given, name: "random")
        #expect(run["rules"]?["official"]?["accuracy"] == 1.0 && run["scored"] == 6 && run["missing"] == 0)
    }

    @Test("every key that names the picture is compared, not the first one alone") func pictures() throws {
        let given = answers { answer, id, _ in
            answer["image"] = "COCO_val2014_000000000042.jpg"
            if id == 2 { answer["image_source"] = "COCO_val2014_000000000043" }
        }
        let error = #expect(throws: HadpoError.self) { try score(folder(), questions: "q.json", answers: given) }
        #expect(error?.place?.hasSuffix("key 'image_source'") == true)
    }

    @Test("ids in quotes are numbers; by position they must be the questions', or a running number beside the question")
    func numbers() throws {
        let folder = try folder()
        func run(_ change: (inout JSON, _ id: Int, _ noun: String) -> Void) throws -> JSON {
            try score(folder, questions: "q.json", answers: answers(change), keys: [.init("match", "position")])
        }
        #expect(try run { answer, id, _ in answer["question_id"] = .string("\(id)") }["scored"] == 6)
        #expect(
            try run { answer, id, noun in
                answer["question_id"] = JSON(id - 1)
                answer["text"] = .string("Is there a \(noun) in the image?")
            }["scored"] == 6)
        let bare = #expect(throws: HadpoError.self) { try run { answer, id, _ in answer["question_id"] = JSON(id - 1) } }
        #expect(bare?.place == "\(folder["answers.jsonl"]):1, key 'question_id'" && bare?.found == "question_id 0")
        #expect(bare?.expected?.hasPrefix("question_id 1,") == true)
        let mixed = #expect(throws: HadpoError.self) {
            try run { answer, id, noun in
                answer["question_id"] = JSON(id == 5 ? 6 : id == 6 ? 5 : id)
                answer["text"] = .string("Is there a \(noun) in the image?")
            }
        }
        #expect(mixed?.place == "\(folder["answers.jsonl"]):5, key 'question_id'")
    }

    @Test("an id that two questions share and one answer has is named") func shared() throws {
        let folder = try folder()
        try folder.write("twice.json", lines((nouns + ["cow"]).enumerated().map { question($0.offset % 6 + 1, $0.element) }))
        for partial in [false, true] {
            let error = #expect(throws: HadpoError.self) {
                try score(
                    folder, questions: "twice.json", answers: answers { _, _, _ in }, keys: [.init("partial", .bool(partial))])
            }
            #expect(error?.message == "a question id is used twice in the questions")
            #expect(error?.found?.hasPrefix("question_id 1 2 times") == true)
        }
    }

    @Test("a part of the questions is an error, or a part: of answers by id, by position, and by no id that is asked")
    func coverage() throws {
        let folder = try folder()
        let few = Array(answers { _, _, _ in }.prefix(4))
        let bare = few.map { JSON.object([.init("answer", $0["answer"] ?? nil)]) }
        for given in [few, bare] {
            let error = #expect(throws: HadpoError.self) { try score(folder, questions: "q.json", answers: given) }
            #expect(error?.found?.hasPrefix("4 of 6 questions") == true && error?.found?.hasSuffix("question_id 5, 6") == true)
            let run = try score(folder, questions: "q.json", answers: given, keys: [.init("partial", true)])
            #expect(run["asked"] == 6 && run["scored"] == 4 && run["missing"] == 2)
        }
        for foreign in [[], [["question_id": 9, "answer": "yes"]]] as [[JSON]] {
            let error = #expect(throws: HadpoError.self) {
                try score(folder, questions: "q.json", answers: foreign, keys: [.init("partial", true)])
            }
            #expect(error?.expected?.contains("question_id 1, 2, 3, 4, 5, ... (6)") == true)
            #expect(error?.found == (foreign.isEmpty ? "0 answers: no answers" : "1 answers: question_id 9"))
        }
    }

    @Test("a question answered twice is an error unless both say the same") func doubled() throws {
        let folder = try folder()
        let given = answers { _, _, _ in }
        #expect(try score(folder, questions: "q.json", answers: given + [given[1]])["outcomes"]?["answered_twice"]?["count"] == 1)
        for partial in [false, true] {
            let error = #expect(throws: HadpoError.self) {
                try score(
                    folder, questions: "q.json", answers: given + [["question_id": 2, "answer": "Yes"]],
                    keys: [.init("partial", .bool(partial))])
            }
            #expect(error?.place == "\(folder["answers.jsonl"]):7, question_id 2")
        }
    }

    // MARK: three sets in one file

    private let first = ["adversarial": 0, "random": 10_000_000, "popular": 20_000_000]
    private let absent = ["adversarial": ["dog", "tie"], "random": ["kite", "boat"], "popular": ["person", "car"]]

    private func oneFile(_ folder: TemporaryFolder, named: (String) -> String = { "coco_pope_\($0).json" }) throws -> [JSON] {
        var given: [JSON] = []
        for set in PopeSets.names {
            var asked: [JSON] = []
            for (index, noun) in zip(["cat", "cup"], absent[set] ?? []).flatMap({ [$0, $1] }).enumerated() {
                let record = question(index + 1, noun)
                asked.append(record)
                let isYes = index % 2 == 0 || set == "adversarial"
                given.append([
                    "question_id": JSON((first[set] ?? 0) + index + 1), "text": isYes ? "Yes" : "No",
                    "prompt": .string("\(record["text"]?.stringValue ?? "")\nAnswer the question using a single word or phrase."),
                ])
            }
            try folder.write(named(set), lines(asked))
        }
        return given
    }

    @Test("LLaVA's file of three sets scores each set by its own answers", arguments: PopeSets.names)
    func blocks(_ set: String) throws {
        let folder = try TemporaryFolder()
        let given = try oneFile(folder)
        for answers in [
            given,
            given.map {
                var a = $0; a["prompt"] = nil; return a
            }, given.reversed(),
        ] {
            let run = try score(folder, questions: "coco_pope_\(set).json", answers: answers)
            #expect(run["rules"]?["official"]?["accuracy"] == (set == "adversarial" ? 0.5 : 1.0))
            #expect(run["scored"] == 4 && run["answer_count"] == 12 && run["outcomes"]?["other_split"]?["count"] == 8)
            #expect(run["rules"]?["official"]?["yes_ratio"] == (set == "adversarial" ? 1.0 : 0.5))
        }
    }

    @Test("a file whose name says nothing is known by its questions; where nothing tells, it is said") func unnamed() throws {
        let folder = try TemporaryFolder()
        let given = try oneFile(folder) { "\($0.utf8.count).json" }
        let run = try score(folder, questions: "6.json", answers: given)
        #expect(run["rules"]?["official"]?["accuracy"] == 1.0)
        let bare = given.map { answer in
            var answer = answer
            answer["prompt"] = nil
            return answer
        }
        #expect(throws: HadpoError.self) { try score(folder, questions: "6.json", answers: bare) }
        #expect(try score(folder, questions: "6.json", answers: bare, name: "random")["scored"] == 4)
        // The name of another set does not outweigh the questions themselves.
        #expect(try score(folder, questions: "6.json", answers: given, name: "popular")["rules"]?["official"]?["accuracy"] == 1.0)
    }

    @Test("splits in one file are told by their category as well") func categories() throws {
        let folder = try TemporaryFolder()
        let given = try oneFile(folder).map { answer in
            var answer = answer
            let id = answer["question_id"]?.intValue ?? 0
            answer["category"] = .string(PopeSets.names[id / 10_000_000])
            answer["question_id"] = JSON(id % 10_000_000)
            answer["prompt"] = nil
            return answer
        }
        let run = try score(folder, questions: "coco_pope_popular.json", answers: given)
        #expect(run["scored"] == 4 && run["outcomes"]?["other_split"]?["count"] == 8)
        let one = given.filter { $0["category"] == "random" }
        #expect(throws: HadpoError.self) { try score(folder, questions: "coco_pope_popular.json", answers: one) }
    }

    @Test("answers of one set do not pass for another's", arguments: PopeSets.names) func otherSet(_ set: String) throws {
        let folder = try TemporaryFolder()
        let given = try oneFile(folder)
        let block = given.filter { ($0["question_id"]?.intValue ?? 0) / 10_000_000 == (first[set] ?? 0) / 10_000_000 }
        for other in PopeSets.names {
            for answers in [
                block,
                block.map { answer in
                    var answer = answer
                    answer["question_id"] = JSON((answer["question_id"]?.intValue ?? 0) % 10_000_000)
                    return answer
                },
            ] {
                if other == set {
                    #expect(try score(folder, questions: "coco_pope_\(other).json", answers: answers)["scored"] == 4)
                } else {
                    #expect(throws: HadpoError.self) {
                        try score(folder, questions: "coco_pope_\(other).json", answers: answers, keys: [.init("partial", true)])
                    }
                }
            }
        }
    }
}
