import HadpoBase
import HadpoModels
import HadpoVision

/// Preference pairs out of a model's own mistakes on the world's training pictures, corrected by their annotation: what HA-DPO's
/// authors did with GPT-4 and Visual Genome.
///
/// A description that names something absent is rejected, and chosen is the same text put right. A question answered wrong has the right
/// sentence as chosen and the wrong one as rejected; those answered right are in the file too, and upstream's reader skips them.
package enum WorldPairs {
    package static func run(_ model: any VisionLanguageModel, _ config: WorldPairsConfig, progress: any Progress)
        throws(HadpoError) -> JSON
    {
        let start = Clock.now()
        let pictures = Array(try WorldAnnotations(world: config.world).preference.prefix(config.images))
        guard !pictures.isEmpty else {
            throw HadpoError(
                .argument, "the world has no training pictures", at: config.world, expected: "training_images above 0")
        }
        var pixels: [Block<Float>] = []
        for picture in pictures {
            try progress.tick()
            pixels.append(try model.pipeline.pixelValues(RGBImage.read(picture.path, budget: model.device.arena)))
        }

        // Asked as evaluation asks: it is these answers that should change.
        var score = DescriptionScore()
        var pairs: [PreferenceFiles.Description] = []
        let texts = try WorldAnswers.descriptions(model, pixels: pixels, template: .hadpoEval, progress: progress)
        for (picture, text) in zip(pictures, texts) {
            score += DescriptionScore(text, of: picture.scene)
            guard let chosen = Corrector.chosen(for: text, of: picture.scene) else { continue }
            pairs.append(PreferenceFiles.Description(imageID: picture.imageID, chosen: chosen, rejected: text))
        }

        let questions = pictures.map { picture in
            var random = SceneRandom(
                seed: config.seed, split: .preference, index: picture.imageID, purpose: .preferencePairs)
            return WorldQuestion.forPreference(about: picture.scene, random: &random)
        }
        let said = try WorldAnswers.yesNo(
            model, pixels: pixels, questions: questions.map { $0.map(\.text) }, template: .hadpoEval, progress: progress)
        var answers: [PreferenceFiles.Answer] = []
        for (picture, (questions, said)) in zip(pictures, zip(questions, said)) {
            for (question, said) in zip(questions, said) {
                answers.append(
                    PreferenceFiles.Answer(imageID: picture.imageID, question: question, modelAnswer: said.text))
            }
        }

        try File.makeDirectories(config.output)
        let files = [
            ("desc_data.json", PreferenceFiles.descriptions(pairs)), ("pope_data.json", PreferenceFiles.questions(answers)),
        ]
        for (name, json) in files {
            try File.writeAtomically(File.join(config.output, name), json.text(indent: 1, ascii: true) + "\n")
        }
        let wrong = answers.filter { !$0.question.isAnsweredRight(by: $0.modelAnswer) }
        return [
            "schema": "hadpo.world-pairs-report/1", "output": .string(config.output), "images": JSON(pictures.count),
            "description_pairs": JSON(pairs.count), "questions": JSON(answers.count), "question_pairs": JSON(wrong.count),
            "question_pairs_with_yes_chosen": JSON(wrong.count { $0.question.present }), "descriptions": score.report,
            "seconds": JSON(Clock.now() - start),
        ]
    }
}
