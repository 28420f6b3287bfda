import HadpoBase
import HadpoEval
import HadpoReport
import HadpoTestSupport
import Testing

/// A report of files with more kinds and questions than any real one. Each took half a minute when kinds were searched for.
@Suite struct LongLogTests {
    private func report(_ folder: TemporaryFolder, _ keys: [JSON.Member]) throws -> (results: JSON, page: String) {
        let config = JSON.object([.init("schema", "hadpo.report/1"), .init("output", .string(folder["page"]))] + keys)
        let results = try Report.run(ConfigReader.read(config, schema: "hadpo.report/1", ReportConfig.init).config)
        return (results, String(decoding: try File.read(folder["page"]), as: UTF8.self))
    }

    private func write(_ folder: TemporaryFolder, _ name: String, _ records: [JSON]) throws -> JSON {
        try File.writeAtomically(folder[name], records.map { $0.text() + "\n" }.joined())
        return .string(folder[name])
    }

    @Test func everyKindOfEventIsCounted() throws {
        let folder = try TemporaryFolder()
        let events = (0..<20_000).map { i -> JSON in ["event": .string("kind \(i)"), "step": JSON(i), "x": JSON(i)] }
        let log = try write(folder, "log", [["event": "step", "step": 1, "loss": 1]] + events + events.prefix(3))
        let (results, _) = try report(folder, [.init("training", [log])])
        let kinds = results["training"]?[0]?["other_records"]?.objectValue ?? []
        #expect(kinds.map(\.key) == (0..<20_000).map { "kind \($0)" })
        #expect(kinds.map(\.value) == (0..<20_000).map { JSON($0 < 3 ? 2 : 1) })
    }

    @Test func theGuardsTableHasNoMoreColumnsThanAPageCanShow() throws {
        let folder = try TemporaryFolder()
        let figures = JSON.object((0..<500).map { .init("figure \($0)", JSON($0)) })
        let log = try write(
            folder, "log", [["event": "step", "step": 1, "loss": 1], ["event": "guard", "step": 1, "figures": figures]])
        let (results, page) = try report(folder, [.init("training", [log])])
        #expect(results["training"]?[0]?["guard"]?["records"]?[0]?["figures"] == figures)
        #expect(page.contains("460 more figures are in the results alone"))
    }

    @Test func equalQuestionsOnOnePictureAreOneAndOthersStayApart() throws {
        let folder = try TemporaryFolder()
        func questions(_ count: Int) -> [JSON] {
            (0..<count).map {
                PopeQuestion(id: $0, image: "a.jpg", text: "Is there a thing \($0)?", isYes: true).record
            }
        }
        let answers = try write(folder, "answers", (0..<12_000).map { ["question_id": JSON($0), "answer": "no"] })
        let splits: JSON = [
            ["name": "one", "questions": try write(folder, "q", questions(12_000)), "answers": answers],
            ["name": "two", "questions": try write(folder, "q2", questions(12_000)), "answers": answers],
        ]
        let (results, page) = try report(folder, [.init("pope", ["splits": splits, "resamples": 0])])
        #expect(results["gallery"]?["with_something_wrong"] == 1)
        #expect(page.contains("one, two") && page.contains("12000 of 12000 questions"))
    }

    @Test("a file that is no log is refused by what it is; a step without its loss is said")
    func strangers() throws {
        let folder = try TemporaryFolder()
        for (records, what): ([JSON], String) in [
            ([["question_id": 1, "question": "Is it?", "answer": "yes"]], "answers to POPE questions"),
            ([["key": "a", "logps": [-1.5]]], "a reference cache"), ([[:]], "no step among its records"),
            ([["event": "training", "steps": 4]], "no step among its records"), ([], "without records"),
        ] {
            let file = try write(folder, "file", records)
            let error = #expect(throws: HadpoError.self) { try report(folder, [.init("training", [file])]) }
            #expect(error?.status == .format && error?.found?.contains(what) == true, "\(String(describing: error))")
        }
        let log = try write(
            folder, "log", [["event": "step", "step": 1, "loss": 1], ["event": "step", "step": 2, "loss": nil]])
        let (results, page) = try report(folder, [.init("training", [log])])
        #expect(results["training"]?[0]?["steps_without_loss"] == 1)
        #expect(results["training"]?[0]?["first_step_without_loss"] == 2)
        #expect(page.contains("no loss</span>"))
    }

    @Test("a file is not compared with itself or its copy")
    func sameFile() throws {
        let folder = try TemporaryFolder()
        let questions = try write(folder, "q", [PopeQuestion(id: 1, image: "a.jpg", text: "Is it?", isYes: true).record])
        let record: JSON = ["question_id": 1, "answer": "yes"]
        let (one, copy) = (try write(folder, "one", [record]), try write(folder, "copy", [record]))
        let caption: JSON = [
            "image_id": "1", "caption": "A dog.", "mscoco_hallucinated_words": [], "mscoco_generated_words": [],
            "mscoco_gt_words": [],
        ]
        let (captions, twin) = (try write(folder, "chair", [caption]), try write(folder, "twin", [caption]))
        for other in [one, copy] {
            let splits: JSON = [["questions": questions, "answers": one, "baseline": other]]
            let error = #expect(throws: HadpoError.self) { try report(folder, [.init("pope", ["splits": splits])]) }
            #expect(error?.status == .config && error?.message == "run and baseline are the same file")
        }
        for other in [captions, twin] {
            let chair: JSON = ["records": captions, "baseline": other]
            let error = #expect(throws: HadpoError.self) { try report(folder, [.init("chair", chair)]) }
            #expect(error?.status == .config && error?.message == "run and baseline are the same file")
        }
    }
}
