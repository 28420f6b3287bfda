import HadpoBase
import HadpoModels
import HadpoText
import HadpoVision

/// Token ids of everything that is asked and said in the world, each text tokenised once.
package struct WorldTexts {
    private let conversation: any Conversation
    private var prompts: [String: PromptTokens] = [:]
    private var sentences: [String: [Int32]] = [:]

    package init(_ conversation: any Conversation) { self.conversation = conversation }

    package mutating func prompt(_ question: String, _ template: PromptTemplate) throws(HadpoError) -> PromptTokens {
        let key = template.rawValue + question
        if let known = prompts[key] { return known }
        let tokens = try conversation.prompt(question: question, template: template, sample: question)
        prompts[key] = tokens
        return tokens
    }

    /// An answer's ids, end token included: those of its sentences one after the other, since a sentence begins with a space and no
    /// token of this vocabulary goes across one.
    package mutating func answer(_ parts: [String]) -> [Int32] {
        var ids: [Int32] = []
        for part in parts {
            let known = sentences[part] ?? conversation.tokenizer.encode(part, addBOS: false)
            sentences[part] = known
            ids += known
        }
        if let end = conversation.tokenizer.eosID { ids.append(end) }
        return ids
    }
}

/// One step's pictures with what is asked and said about each: prompts up to the picture once, every question and the description as
/// branches that share it.
package struct LanguageBatch {
    package private(set) var pixels: [Block<Float>] = []
    /// Which picture each picture piece of `rows` shows.
    package private(set) var uses: [Int] = []
    package private(set) var rows: PackedRows
    /// Weight of each target token in the loss.
    package private(set) var weights: [Float] = []
    /// Which targets are a "Yes" or a "No".
    package private(set) var decisions: [Int] = []

    /// Pictures `indices` of the stage's own scenes.
    package init(
        _ stage: LanguageStage, _ scenes: SceneGenerator, _ indices: Range<Int>, texts: inout WorldTexts,
        rasterizer: SceneRasterizer, pipeline: ImagePipeline, imageRows: Int
    ) throws(HadpoError) {
        rows = PackedRows(imageRows: imageRows)
        for index in indices {
            let scene = scenes.scene(index)
            pixels.append(try pipeline.pixelValues(rasterizer.draw(scene, size: pipeline.outputSize.width)))
            // HA-DPO asks with one template in training and with another in evaluation: the base must know both.
            let template: PromptTemplate = index % 2 == 0 ? .hadpoEval : .hadpoTrain

            var random = scenes.random(index, for: .caption)
            let others = WorldLanguage.descriptionRequests
            let request = random.chance(0.5) ? WorldLanguage.descriptionRequest : random.element(of: others) ?? others[0]
            let asked = try texts.prompt(request, template)
            // What stands before the answers is there once a picture, or once a question where a Q-Former reads the question.
            var prefixes: [(pieces: [PromptPiece], rows: PackedRows.Prefix)] = []
            func prefix(_ prompt: PromptTokens) -> PackedRows.Prefix {
                if let known = prefixes.first(where: { $0.pieces == prompt.prefix }) { return known.rows }
                let added = rows.addPrefix(prompt.prefix)
                uses.append(pixels.count - 1)
                prefixes.append((prompt.prefix, added))
                return added
            }
            let description = stage.captions.description(of: scene, random: &random).map(\.sentence)
            add(prefix(asked), asked.after, texts.answer(description), firstWeight: 1)

            var questions = scenes.random(index, for: .questions)
            var answers = scenes.random(index, for: .answers)
            for number in 0..<stage.questions {
                let category = stage.mix.category(for: scene, random: &questions)
                let yes = stage.answers.saysYes(to: category, in: scene, random: &answers)
                let asked = try texts.prompt(WorldLanguage.question(category), template)
                var answer = texts.answer([WorldLanguage.answer(category, yes: yes)])
                if number >= stage.wholeAnswers { answer.removeLast(answer.count - 1) }
                decisions.append(weights.count)
                add(prefix(asked), asked.after, answer, firstWeight: stage.yesNoWeight)
            }
        }
    }

    private mutating func add(_ prefix: PackedRows.Prefix, _ question: [Int32], _ answer: [Int32], firstWeight: Float) {
        rows.addBranch(prefix, question + answer, firstTarget: question.count)
        weights.append(firstWeight)
        weights.append(contentsOf: repeatElement(1, count: answer.count - 1))
    }
}

extension LanguageBatch {
    /// Mean cross-entropy of all targets by weight, and of the decisions alone.
    func losses(_ logps: [Float]) -> (all: Double, decisions: Double) {
        let weighted = zip(logps, weights).reduce(0.0) { $0 - Double($1.0 * $1.1) }
        let decided = decisions.reduce(0.0) { $0 - Double(logps[$1]) }
        return (weighted / Double(weights.reduce(0, +)), decided / Double(max(1, decisions.count)))
    }
}
