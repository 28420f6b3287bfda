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
        let log = try write(folder, "log", events + events.prefix(3))
        let (results, _) = try report(folder, [.init("training", [log])])
        let kinds = results["training"]?[0]?["other_records"]?.objectValue ?? []
        #expect(kinds.map(\.key) == (0..<20_000).map { "kind \($0)" })
        #expect(kinds.map(\.value) == (0..<20_000).map { JSON($0 < 3 ? 2 : 1) })
    }

    @Test func theGuardsTableHasNoMoreColumnsThanAPageCanShow() throws {
        let folder = try TemporaryFolder()
        let figures = JSON.object((0..<500).map { .init("figure \($0)", JSON($0)) })
        let log = try write(folder, "log", [["event": "guard", "step": 1, "figures": figures]])
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
}
