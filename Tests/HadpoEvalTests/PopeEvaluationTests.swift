import HadpoBase
import HadpoEval
import HadpoTestSupport
import Testing

private func evaluate(_ config: JSON) throws -> JSON {
    try PopeEvaluation.run(ConfigReader.read(config, schema: "hadpo.pope-score/1", PopeEvaluationConfig.init).config)
}

private func questions(_ count: Int, perImage: Int = 2) -> [PopeQuestion] {
    (1...count).map { PopeQuestion(id: $0, image: "\(($0 - 1) / perImage).jpg", text: "Is there a q\($0)?", isYes: $0 % 2 == 1) }
}

private func lines(_ records: [JSON]) -> String { records.map { $0.text() + "\n" }.joined() }

@Suite struct ScoringAnswersFiles {
    private func answer(_ id: Int, _ text: String) -> JSON { ["question_id": JSON(id), "answer": .string(text)] }

    @Test("several splits, several rules, pooled figures and records stand in one report") func whole() throws {
        let folder = try TemporaryFolder()
        let asked = questions(4)
        try folder.write("coco_pope_random.json", lines(asked.map(\.record)))
        try folder.write("other.json", lines(asked.map(\.record)))
        try folder.write("a.jsonl", lines([answer(1, "Yes"), answer(2, "No"), answer(3, "No."), answer(4, "NO")]))
        // LLaVA's scripts write the answer under "text".
        try folder.write(
            "b.jsonl", lines(asked.map { ["question_id": JSON($0.id), "prompt": .string("\($0.text)\nAnswer."), "text": "Yes"] }))
        let report = try evaluate([
            "schema": "hadpo.pope-score/1", "resamples": 50, "records": .string(folder["records.jsonl"]),
            "rules": ["official", "lmms-eval", "vlmevalkit"],
            "splits": [
                ["questions": .string(folder["coco_pope_random.json"]), "answers": .string(folder["a.jsonl"])],
                ["name": "second", "questions": .string(folder["other.json"]), "answers": .string(folder["b.jsonl"])],
            ],
        ])
        let first = try #require(report["splits"]?[0]?["run"])
        #expect(report["splits"]?[0]?["name"] == "coco_pope_random" && report["splits"]?[1]?["name"] == "second")
        #expect(report["splits"]?[0]?["published"] == JSON.null)
        #expect(first["complete"] == true && first["match"] == "id")
        let official = try #require(first["rules"]?["official"])
        #expect(official["tp"] == 1 && official["fp"] == 1 && official["tn"] == 1 && official["fn"] == 1)
        let lmms = try #require(first["rules"]?["lmms-eval"])
        #expect(lmms["other_yes"] == 1 && lmms["recall"] == 1.0 && lmms["accuracy"] == 0.75)
        #expect(lmms["yes_ratio"] == 0.25 && lmms["yes_ratio_lmms_eval"] == 0.5)
        #expect(first["rules"]?["vlmevalkit"]?["accuracy"] == 0.75)
        #expect(first["ambiguous"] == 1 && first["unparsed"] == 0)
        #expect(report["pooled"]?["official"]?["n"] == 8 && report["pooled"]?["official"]?["tp"] == 3)
        let records = try folder.lines("records.jsonl")
        #expect(records.count == 8)
        #expect(records[3]["verdicts"]?["official"] == "yes" && records[3]["verdicts"]?["lmms-eval"] == "no")
        #expect(records[7]["split"] == "second" && records[7]["label"] == "no" && records[7]["answer"] == "Yes")
    }

    @Test("missing, surplus, doubled and foreign answers have names and counts, and the denominator is told") func outcomes()
        throws
    {
        let folder = try TemporaryFolder()
        var asked = questions(6)
        asked.append(PopeQuestion(id: 1, image: "9.jpg", text: "Is there a second 1?", isYes: false))
        try folder.write("q.json", lines(asked.map(\.record)))
        try folder.write(
            "a.jsonl",
            lines([
                answer(1, "Yes"), answer(1, "No"), answer(2, "No"), answer(2, "No"), answer(99, "Yes"), answer(99, "Yes"),
                ["answer": "Yes"], answer(5, "Yes"),
            ]))
        let config: JSON = [
            "schema": "hadpo.pope-score/1", "resamples": 0, "partial": true,
            "splits": [["questions": .string(folder["q.json"]), "answers": .string(folder["a.jsonl"])]],
        ]
        let run = try #require(try evaluate(config)["splits"]?[0]?["run"])
        let outcomes = try #require(run["outcomes"])
        #expect(run["complete"] == false)
        #expect(outcomes["scored"] == 4)
        #expect(outcomes["missing_answer"] == ["count": 3, "first": [3, 4, 6]])
        #expect(outcomes["question_id_shared"] == ["count": 1, "first": [1]])
        #expect(outcomes["answered_twice"] == ["count": 1, "first": [2]])
        #expect(outcomes["unknown_question"] == ["count": 2, "first": [99, 99]])
        #expect(outcomes["answer_without_id"] == ["count": 1, "first": [7]])
        #expect(run["asked"] == 7 && run["scored"] == 4 && run["missing"] == 3)
        let figures = try #require(run["rules"]?["official"])
        #expect(figures["n"] == 4 && figures["accuracy"] == 1.0)
        // Seven were asked: what is missing is not right.
        #expect(figures["accuracy_of_all_questions"] == .double(4.0 / 7))
        #expect(figures["bootstrap_95"]?["accuracy"] == JSON.null)
    }

    @Test("answers in another order find their questions, answers without ids go by position, foreign files are refused")
    func order() throws {
        let folder = try TemporaryFolder()
        try folder.write("q.json", lines(questions(4).map(\.record)))
        try folder.write("shuffled.jsonl", lines([answer(4, "no"), answer(1, "yes"), answer(3, "yes"), answer(2, "no")]))
        try folder.write("bare.jsonl", lines(["yes", "no", "yes", "no", "yes"].map { ["answer": .string($0)] }))
        try folder.write("foreign.jsonl", lines([answer(77, "yes")]))
        func run(_ answers: String) throws -> JSON {
            try #require(
                try evaluate([
                    "schema": "hadpo.pope-score/1", "resamples": 0,
                    "splits": [["questions": .string(folder["q.json"]), "answers": .string(folder[answers])]],
                ])["splits"]?[0]?["run"])
        }
        #expect(try run("shuffled.jsonl")["rules"]?["official"]?["accuracy"] == 1.0)
        let bare = try run("bare.jsonl")
        #expect(bare["match"] == "position" && bare["rules"]?["official"]?["accuracy"] == 1.0)
        #expect(bare["outcomes"]?["surplus_answer"] == ["count": 1, "first": [5]] && bare["complete"] == false)
        #expect(throws: HadpoError.self) { try run("foreign.jsonl") }
    }

    @Test("two runs are compared question by question on the same resampled pictures") func comparison() throws {
        let folder = try TemporaryFolder()
        let asked = questions(400, perImage: 4)
        try folder.write("q.json", lines(asked.map(\.record)))
        // 30 questions only the run gets right, 14 only the baseline; the order of the baseline's file does not matter.
        func right(_ q: PopeQuestion) -> String { q.isYes ? "Yes" : "No" }
        func wrong(_ q: PopeQuestion) -> String { q.isYes ? "No" : "Yes" }
        try folder.write("a.jsonl", lines(asked.map { answer($0.id, (31...44).contains($0.id) ? wrong($0) : right($0)) }))
        try folder.write("b.jsonl", lines(asked.reversed().map { answer($0.id, $0.id <= 30 ? wrong($0) : right($0)) }))
        func compare(_ seed: Int) throws -> JSON {
            try #require(
                try evaluate([
                    "schema": "hadpo.pope-score/1", "resamples": 400, "seed": JSON(seed),
                    "splits": [
                        [
                            "questions": .string(folder["q.json"]), "answers": .string(folder["a.jsonl"]),
                            "baseline": .string(folder["b.jsonl"]),
                        ]
                    ],
                ])["splits"]?[0]?["comparison"])
        }
        let comparison = try compare(3)
        let rule = try #require(comparison["rules"]?["official"])
        #expect(rule["only_run_right"] == 30 && rule["only_baseline_right"] == 14 && rule["n"] == 400)
        #expect(abs((rule["mcnemar_p"]?.doubleValue ?? 0) - 0.0226288) < 5e-8)
        let accuracy = try #require(rule["differences"]?["accuracy"])
        // 386/400 - 370/400; the subtraction rounds.
        #expect(abs((accuracy["difference"]?.doubleValue ?? 0) - 0.04) < 1e-12)
        let interval = try #require(accuracy["bootstrap_95"]?.arrayValue).compactMap { $0.doubleValue }
        #expect(interval.count == 2 && interval[0] < 0.04 && interval[1] > 0.04)
        #expect(try compare(3) == comparison)
        #expect(try compare(4) != comparison)
    }

    @Test("the published sets are known by their hash") func published() throws {
        let split = try PopeSplit(Array("".utf8), path: "x/my.split.json")
        #expect(split.name == "my.split" && split.published == JSON.null)
    }

    @Test("configs that say nothing or nonsense are refused") func config() {
        for config in [
            ["schema": "hadpo.pope-score/1"] as JSON,
            ["schema": "hadpo.pope-score/1", "splits": [["questions": "q", "answers": "a"]], "rules": ["best"]],
            ["schema": "hadpo.pope-score/1", "splits": [["questions": "q", "answers": "a"]], "rules": []],
        ] {
            #expect(throws: HadpoError.self) { try evaluate(config) }
        }
    }
}
