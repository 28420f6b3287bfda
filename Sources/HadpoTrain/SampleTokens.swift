import HadpoBase
import HadpoModels
import HadpoText

/// Texts to tokens, and what does not fit is found before the first step.
package struct SampleTokens {
    package private(set) var samples: [TrainingSample] = []
    package private(set) var truncated = 0
    package private(set) var skipped = 0
    package private(set) var longest = 0
    private let model: any VisionLanguageModel
    private let config: TrainConfig
    private let template: PromptTemplate

    package init(_ model: any VisionLanguageModel, _ config: TrainConfig) {
        self.model = model
        self.config = config
        template = PromptTemplate(rawValue: config.template) ?? .hadpoTrain
    }

    package mutating func add(_ pair: PreferencePair) throws(HadpoError) {
        try add(id: "\(pair.source)", imagePath: pair.imagePath, prompt: pair.prompt, answers: [pair.chosen, pair.rejected])
    }

    package mutating func add(_ sample: CaptionSample) throws(HadpoError) {
        try add(id: "\(sample.source)", imagePath: sample.imagePath, prompt: sample.prompt, answers: [sample.answer])
    }

    private mutating func add(id: String, imagePath: String, prompt: SamplePrompt, answers: [String]) throws(HadpoError) {
        let template: PromptTemplate = if case .raw = prompt { .raw } else { self.template }
        let tokens = try model.conversation.prompt(question: prompt.text, template: template, sample: id)
        var branches: [[Int32]] = []
        for answer in answers { branches.append(try tokens.answer(answer, tokenizer: model.tokenizer, sample: id)) }
        var sample = TrainingSample(id: id, imagePath: imagePath, prompt: tokens.pieces, branches: branches)
        let prefix = sample.prefixRows(imageRows: model.imageRows)
        let length = sample.longestSequence(imageRows: model.imageRows)
        let limit = min(config.maxLength, model.decoder.config.maxPositions)
        if length > limit {
            switch config.onLong {
            case .truncate where prefix < limit:
                // On the right and never inside prompt or picture, as upstream cuts.
                for i in sample.branches.indices { sample.branches[i] = Array(sample.branches[i].prefix(limit - prefix)) }
                truncated += 1
            case .skip:
                skipped += 1
                return
            case .error, .truncate:
                throw HadpoError(
                    .config, "a sample is longer than max_length", at: id,
                    found: "\(length) rows, \(prefix) of them prompt and picture",
                    expected: "at most \(limit); or on_long \"truncate\" or \"skip\"")
            }
        }
        longest = max(longest, min(length, limit))
        samples.append(sample)
    }
}
