import HadpoBase
import HadpoEval
import Testing

@Suite struct BuildingPope {
    private func fixture() throws -> JSON {
        let root = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3).joined(separator: "/")
        return try File.readJSON(root + "/Tests/Fixtures/pope_builder.json")
    }

    private func scenes(_ fixture: JSON) throws -> [PopeBuilder.Scene] {
        let lines = (fixture["scenes"]?.arrayValue ?? []).map { $0.text() }.joined(separator: "\n")
        return try PopeBuilder.readScenes(Array(lines.utf8), source: "scenes")
    }

    @Test("the questions are those of a Python rendering of the procedure", arguments: PopeBuilder.Strategy.allCases)
    func golden(_ strategy: PopeBuilder.Strategy) throws {
        let fixture = try fixture()
        let builder = try PopeBuilder(scenes: scenes(fixture), imageCount: 8, perScene: 3, seed: 7)
        let questions = try builder.questions(strategy)
        #expect(questions.count == 48)
        #expect(questions.map(\.record) == fixture[strategy.rawValue]?.arrayValue)
        #expect(builder.groundTruth == fixture["frequency"])
        #expect(builder.coOccurrence == fixture["companions"])
    }

    @Test("the article follows the object and nothing else in the template changes") func article() throws {
        let scenes = [
            PopeBuilder.Scene(image: "1", objects: ["Orange"]), PopeBuilder.Scene(image: "2", objects: ["cat"]),
            PopeBuilder.Scene(image: "3", objects: ["ox"]),
        ]
        func texts(_ template: String) throws -> Set<String> {
            let builder = try PopeBuilder(scenes: scenes, imageCount: 3, perScene: 1, seed: 1, template: template)
            return Set(try builder.questions(.popular).filter(\.isYes).map(\.text))
        }
        #expect(
            try texts("Is there a {} in a image?") == [
                "Is there an Orange in a image?", "Is there a cat in a image?", "Is there an ox in a image?",
            ])
        #expect(try texts("a {}") == ["an Orange", "a cat", "an ox"])
        #expect(try texts("extra {}") == ["extra Orange", "extra cat", "extra ox"])
        #expect(try texts("no hole") == ["no hole"])
    }

    @Test("too few pictures and too few objects are errors instead of an endless search") func tooFew() throws {
        let scene = PopeBuilder.Scene(image: "1", objects: ["a", "b", "c"])
        #expect(throws: HadpoError.self) { try PopeBuilder(scenes: [scene], imageCount: 2, seed: 1) }
        #expect(throws: HadpoError.self) { try PopeBuilder(scenes: [], imageCount: 0, seed: 1) }
        let alone = try PopeBuilder(scenes: [scene], imageCount: 1, seed: 1)
        for strategy in PopeBuilder.Strategy.allCases {
            let error = #expect(throws: HadpoError.self) { try alone.questions(strategy) }
            #expect(error?.message == "no absent object is left to ask for")
        }
        #expect(throws: HadpoError.self) {
            try PopeBuilder.readScenes(Array(#"{"image": "1", "objects": [1]}"#.utf8), source: "s")
        }
    }
}
