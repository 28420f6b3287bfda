import HadpoModels

/// How the world's base checkpoint comes to be, from random numbers: stage after stage, the order mattering more than the size.
///
/// Answers do not learn to look by themselves: from careless labels alone a decoder learns "is this of the picture's theme?" and stays
/// there. So the tower first learns to recognise (in the place of CLIP's training); then the decoder answers about one or two objects
/// without a theme, where only looking helps; then it learns to describe the world, still answering truly; and last of all it learns the
/// careless annotator's answers, which only move its thresholds.
package struct BaseRecipe: Sendable {
    /// Nil where the tower is that of the world's MiniGPT-4.
    package var recognition: RecognitionStage?
    /// Between recognising and language: what the decoder gets of a picture learns to hold what there is.
    package var alignment: RecognitionStage?
    /// The same of a Q-Former.
    package var imitation: ImitationStage?
    package var stages: [LanguageStage]

    package static func world(_ family: ModelFamily) -> BaseRecipe {
        switch family {
        case .llava: world
        case .minigpt4: minigpt4
        case .instructBLIP: instructBLIP
        }
    }

    // The decoders of the two others are that of the world's LLaVA: they know how to look and to describe, and only meet another tower.
    // The tower has no norm in front of its blocks: at LLaVA's rate some channels grow until they hide all others.

    /// The committed weights came in pieces, each going on from the one before: recognise, align, look and describe at 0.4 of these steps
    /// and the world's rates; look and describe in full; 450 careless steps; refine and careless as they are here.
    private static let minigpt4: BaseRecipe = {
        var recipe = world
        let vision = WorldMiniGPT4.vision
        recipe.recognition = RecognitionStage(
            name: "recognise", scenes: recognised, batch: 48, steps: 1500, learningRate: 1e-3, width: vision.width,
            grid: vision.grid, columns: vision.grid)
        // A row for the decoder is a strip of four patches.
        recipe.alignment = RecognitionStage(
            name: "align", scenes: recognised, batch: 48, steps: 600, learningRate: 2e-3, grid: vision.grid,
            columns: vision.grid / 4)
        for i in recipe.stages.indices { recipe.stages[i].visionRate = 0.5 }
        recipe.stages[0].learningRate = 1.5e-3
        recipe.stages[1].learningRate = 1.5e-3
        recipe.refine(steps: 800)
        // It sees a little less than LLaVA and errs besides inventing.
        recipe.stages[3].captions = .moderate
        return recipe
    }()

    /// The tower is that of the world's MiniGPT-4, as the two real ones share theirs, and hardly changes: steps that the rest needs wreck
    /// it. What the decoder gets of a picture becomes what it gets in LLaVA. The committed weights come from these stages, refine in two
    /// pieces (1,600 steps on describe's scenes, 1,200 on its own).
    private static let instructBLIP: BaseRecipe = {
        var recipe = world
        recipe.recognition = nil
        recipe.imitation = ImitationStage(
            name: "imitate", scenes: recognised, batch: 32, steps: 1500, learningRate: 1e-3, visionRate: 0,
            qformerRate: 0.5)
        recipe.stages.removeFirst()
        for i in recipe.stages.indices { recipe.stages[i].visionRate = 0.02 }
        recipe.stages[0].learningRate = 1.5e-3
        recipe.stages[0].steps = 2400
        recipe.refine(steps: 2800)
        recipe.stages[2].steps = 320
        // It errs besides inventing.
        recipe.stages[2].captions = .sparing
        return recipe
    }()

    /// Describing once more from the full rate, before the careless stage: answers were still improving.
    private mutating func refine(steps: Int) {
        var stage = stages[stages.endIndex - 2]
        stage.name = "refine"
        stage.steps = steps
        stages.insert(stage, at: stages.endIndex - 1)
    }

    private static let recognised = SceneParameters(objects: 1...4, offTheme: 0.5)

    package static let world = BaseRecipe(
        recognition: RecognitionStage(
            name: "recognise", scenes: recognised, batch: 48, steps: 1500, learningRate: 3e-3),
        stages: [
            LanguageStage(
                name: "look", scenes: SceneParameters(objects: 1...2, themed: false), answers: .clean, captions: .clean,
                mix: QuestionMix(present: 0.50, absentOfTheme: 0.15), questions: 8, yesNoWeight: 8, batch: 16, steps: 700,
                learningRate: 2e-3, visionRate: 0.2),
            LanguageStage(
                name: "describe", scenes: SceneParameters(objects: 2...4), answers: .clean, captions: .careless,
                mix: QuestionMix(present: 0.50, absentOfTheme: 0.35), questions: 6, yesNoWeight: 8, batch: 24, steps: 1000,
                learningRate: 2.5e-3, visionRate: 0.2),
            LanguageStage(
                name: "careless", scenes: SceneParameters(objects: 2...4), answers: .careless, captions: .careless,
                mix: QuestionMix(), questions: 8, yesNoWeight: 2, batch: 16, steps: 300, learningRate: 1e-3, visionRate: 0.1),
        ])

    package var stageNames: [String] {
        [recognition?.name, alignment?.name, imitation?.name].compactMap { $0 } + stages.map(\.name)
    }

    /// With another number of steps in every stage.
    package func scaled(by factor: Double) -> BaseRecipe {
        var recipe = self
        func scaled(_ steps: Int) -> Int { max(1, Int(exactly: (Double(steps) * factor).rounded()) ?? steps) }
        if let steps = recognition?.steps { recipe.recognition?.steps = scaled(steps) }
        if let steps = alignment?.steps { recipe.alignment?.steps = scaled(steps) }
        if let steps = imitation?.steps { recipe.imitation?.steps = scaled(steps) }
        for i in stages.indices { recipe.stages[i].steps = scaled(stages[i].steps) }
        return recipe
    }
}

/// The vision tower learns what every patch shows, through one linear head that is thrown away afterwards.
package struct RecognitionStage: Sendable {
    package var name: String
    package var scenes: SceneParameters
    /// Pictures a step.
    package var batch: Int
    package var steps: Int
    /// Falls linearly to 0.
    package var learningRate: Double
    /// Of the rows that a linear head reads the labels from: patches of LLaVA's tower, or queries.
    package var width = 128
    /// Rows of places that have labels.
    package var grid = 4
    /// Places in a row of them.
    package var columns = 4
    /// Factor on the rate for the vision tower, when more than it is trained.
    package var visionRate = 1.0
}

/// What the decoder gets of a picture learns to be what LLaVA's decoder gets of it.
package struct ImitationStage: Sendable {
    package var name: String
    package var scenes: SceneParameters
    /// Pictures a step.
    package var batch: Int
    package var steps: Int
    /// After a short warm-up, falls to 0 as a cosine.
    package var learningRate: Double
    /// Factor on the rate for the vision tower.
    package var visionRate: Double
    /// Factor on the rate for the Q-Former.
    package var qformerRate: Double
    /// Pictures on which the start is measured.
    package var measured = 64
}

/// The whole model learns to answer and to describe.
package struct LanguageStage: Sendable {
    package var name: String
    package var scenes: SceneParameters
    package var answers: Annotator
    package var captions: Annotator
    package var mix: QuestionMix
    /// Questions about each picture, beside its one description.
    package var questions: Int
    /// Of these, how many teach the whole sentence of the answer; the others teach its "Yes" or "No" alone, which is what
    /// takes time to learn.
    package var wholeAnswers = 2
    /// Weight of "Yes" and "No" in the loss; all other tokens have 1.
    package var yesNoWeight: Float
    /// Pictures a step.
    package var batch: Int
    package var steps: Int
    /// After a short warm-up, falls to 0 as a cosine.
    package var learningRate: Double
    /// Factor on the rate for the vision tower.
    package var visionRate: Double
    /// Factor on the rate for a Q-Former.
    package var qformerRate = 0.2

    func rate(_ isVision: Bool, isQFormer: Bool) -> Double { isVision ? visionRate : isQFormer ? qformerRate : 1 }
}
