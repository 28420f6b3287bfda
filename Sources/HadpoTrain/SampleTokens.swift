import HadpoBase
import HadpoModels
import HadpoText

/// Texts to tokens, and what does not fit is found before the first step.
package struct SampleTokens {
    package private(set) var samples: [TrainingSample] = []
    package private(set) var truncated = 0
    package private(set) var skipped = 0
    package private(set) var longest = 0
    /// Pairs whose answers are the same tokens, so that nothing can be learnt from them: texts that differ behind the place where they
    /// were cut.
    package private(set) var equal = 0
    /// Samples of weight 0: they are in no step, as one of them alone would be a step in which nothing is measured.
    package private(set) var weightless = 0
    private let model: any VisionLanguageModel
    private let config: TrainConfig
    private let template: PromptTemplate

    package init(_ model: any VisionLanguageModel, _ config: TrainConfig) {
        self.model = model
        self.config = config
        template = PromptTemplate(rawValue: config.template) ?? .hadpoTrain
    }

    package mutating func add(_ pair: PreferencePair) throws(HadpoError) {
        let isDescription = pair.kind == .description
        let augmentation: Augmentation =
            switch pair.kind {
            case .description: .descriptions(config.recipe)
            case .question: .questions(config.recipe)
            case .pair: .none
            }
        try add(
            id: "\(pair.source)", imagePath: pair.imagePath,
            prompts: isDescription && !config.data.rule.drawsQuestionsOnce ? Self.drawn : [pair.prompt],
            answers: [pair.chosen, pair.rejected], augmentation, weight: pair.weight)
    }

    package mutating func add(_ sample: CaptionSample) throws(HadpoError) {
        try add(
            id: "\(sample.source)", imagePath: sample.imagePath, prompts: sample.drawsQuestion ? Self.drawn : [sample.prompt],
            answers: [sample.answer], sample.drawsQuestion ? .captions(config.recipe) : .none, weight: sample.weight)
    }

    private static let drawn = UpstreamPairs.questionTemplates.map { SamplePrompt.question($0) }

    private mutating func add(
        id: String, imagePath: String, prompts: [SamplePrompt], answers: [String], _ augmentation: Augmentation,
        weight: Double
    ) throws(HadpoError) {
        var turns: [TrainingSample.Turn] = []
        var wasCut = false
        for prompt in prompts {
            let template: PromptTemplate = if case .raw = prompt { .raw } else { self.template }
            let tokens = try model.conversation.prompt(question: prompt.text, template: template, sample: id)
            var branches: [[Int32]] = []
            for answer in answers { branches.append(try tokens.answer(answer, tokenizer: model.tokenizer, sample: id)) }
            switch try fitted(tokens, branches, id: id) {
            case .fits(let turn, let isCut):
                turns.append(turn)
                wasCut = wasCut || isCut
            case .skipped:
                skipped += 1
                return
            }
        }
        guard let first = turns.first else { return }
        if weight == 0 {
            weightless += 1
            return
        }
        if wasCut { truncated += 1 }
        if turns.allSatisfy({ $0.branches.count == 2 && $0.branches[0] == $0.branches[1] }) { equal += 1 }
        var sample = TrainingSample(id: id, imagePath: imagePath, prompt: first.prompt, branches: first.branches)
        if turns.count > 1 { sample.turns = turns }
        if config.data.augments { sample.augmentation = augmentation }
        sample.weight = weight
        samples.append(sample)
    }

    private enum Fitting {
        case fits(TrainingSample.Turn, isCut: Bool)
        case skipped
    }

    /// What is too long is an error, cut, or left out. Cutting is upstream's: prompts on the left, behind BOS (InstructBLIP), answers on
    /// the right, which may take the end token; never inside the picture.
    private mutating func fitted(_ tokens: PromptTokens, _ answers: [[Int32]], id: String) throws(HadpoError) -> Fitting {
        var tokens = tokens
        var branches = answers
        let text = tokens.before.count + tokens.after.count
        let longestAnswer = branches.map(\.count).max() ?? 0
        var prefix = text + model.imageRows
        let limit = min(config.maxLength, model.decoder.config.maxPositions)
        var problem: (what: String, found: String, expected: String)?
        if config.maxPrompt > 0, text > config.maxPrompt {
            problem = ("a prompt is longer than max_prompt", "\(text) tokens", "at most \(config.maxPrompt)")
        } else if config.maxAnswer > 0, longestAnswer > config.maxAnswer {
            problem = ("an answer is longer than max_answer", "\(longestAnswer) tokens", "at most \(config.maxAnswer)")
        } else if prefix + longestAnswer > limit {
            problem = (
                "a sample is longer than max_length", "\(prefix + longestAnswer) rows, \(prefix) of them prompt and picture",
                "at most \(limit)"
            )
        }
        if let problem {
            if config.onLong == .skip { return .skipped }
            if config.onLong == .truncate, config.maxPrompt > 0, text > config.maxPrompt, tokens.before.count < config.maxPrompt {
                tokens = tokens.keepingRight(config.maxPrompt - tokens.before.count)
                prefix = tokens.before.count + tokens.after.count + model.imageRows
            }
            guard config.onLong == .truncate, prefix < limit else {
                throw HadpoError(
                    .config, problem.what, at: id, found: problem.found,
                    expected: problem.expected + "; or on_long \"truncate\" or \"skip\"")
            }
            var room = limit - prefix
            if config.maxAnswer > 0 { room = min(room, config.maxAnswer) }
            for i in branches.indices { branches[i] = Array(branches[i].prefix(room)) }
        }
        longest = max(longest, prefix + (branches.map(\.count).max() ?? 0))
        return .fits(TrainingSample.Turn(prompt: tokens.pieces, branches: branches), isCut: problem != nil)
    }
}
