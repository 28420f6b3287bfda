import HadpoBase
import HadpoEval
import HadpoModels

/// How a model does on pictures of the world: POPE's three splits, and descriptions judged by the annotation.
package enum WorldEvaluation {
    package static func run(_ model: any VisionLanguageModel, seed: UInt64, images: Int, progress: any Progress)
        throws(HadpoError) -> JSON
    {
        let parameters = WorldFiles.Parameters(seed: seed, preferencePictures: 0, evaluationPictures: images)
        let entries = WorldFiles.evaluation(parameters)
        let rasterizer = SceneRasterizer()
        let size = model.pipeline.outputSize.width
        var pixels: [Block<Float>] = []
        var places: [String: Int] = [:]
        for (place, entry) in entries.enumerated() {
            try progress.tick()
            pixels.append(try model.pipeline.pixelValues(rasterizer.draw(entry.scene, size: size)))
            places[entry.cocoName ?? ""] = place
        }

        // A question that is in several splits is asked once.
        let pope = try WorldFiles.pope(parameters)
        var splits: [(name: String, questions: [PopeQuestion])] = []
        for strategy in PopeBuilder.Strategy.allCases {
            splits.append((strategy.rawValue, try pope.questions(strategy)))
        }
        var asked = [[String]](repeating: [], count: entries.count)
        for question in splits.flatMap(\.questions) {
            guard let place = places[question.image], !asked[place].contains(question.text) else { continue }
            asked[place].append(question.text)
        }
        let answers = try WorldAnswers.yesNo(
            model, pixels: pixels, questions: asked, template: .hadpoEval, progress: progress)
        var report: [JSON.Member] = [.init("seed", .string(String(seed))), .init("images", JSON(images))]
        for (name, questions) in splits {
            let given = questions.compactMap { question -> PopeAnswer? in
                guard let place = places[question.image], let number = asked[place].firstIndex(of: question.text) else {
                    return nil
                }
                let answer = answers[place][number]
                return PopeAnswer(
                    id: question.id, question: question.text, text: answer.text, yesMinusNo: answer.yesMinusNo)
            }
            report.append(.init(name, try PopeScore(questions: questions, answers: given).report))
        }

        var score = DescriptionScore()
        let texts = try WorldAnswers.descriptions(model, pixels: pixels, template: .hadpoEval, progress: progress)
        for (entry, text) in zip(entries, texts) { score += DescriptionScore(text, of: entry.scene) }
        report.append(.init("descriptions", score.report))
        report.append(.init("examples", JSON(Array(texts.prefix(3)))))
        return .object(report)
    }
}
