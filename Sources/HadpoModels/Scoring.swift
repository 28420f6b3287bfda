import HadpoAutograd
import HadpoBase
import HadpoTensor
import HadpoText
import HadpoVision

/// "hadpo.score/1": a prompt and what the model is to have answered.
package struct ScoringConfig: Sendable {
    package let asked: AskedConfig
    package let completion: String

    package init(_ r: inout ConfigReader) throws(HadpoError) {
        asked = try AskedConfig(&r)
        completion = try r.string("completion", help: "the answer whose tokens are scored; its end token is added")
    }
}

package enum Scoring {
    /// Log-probability in nats of each token of the completion, end token included.
    package static func run(
        model: any VisionLanguageModel, request: ScoringConfig, image: RGBImage?, progress: any Progress
    ) throws(HadpoError) -> [Float] {
        let prompt = try AskedPrompt(request.asked, hasImage: image != nil, conversation: model.conversation)
        let completion = try prompt.completion(request.completion, tokenizer: model.tokenizer)
        try checkLength(model, prompt, completion)
        let tape = Tape(device: model.device, progress: progress)
        var features: Value?
        if let image { features = try model.features(tape, [try model.pipeline.pixelValues(image)]) }
        var packed = PackedRows(imageRows: model.imageRows)
        packed.addBranch(packed.addPrefix(prompt.pieces), completion)
        let values = try model.logProbs(tape, packed, features: features).data.floats()
        if let token = values.firstIndex(where: { !$0.isFinite }) {
            throw HadpoError(
                .numerics, "a token's log-probability is not a number", at: "completion, token \(token + 1) of \(values.count)",
                found: "\(values[token])", expected: "finite weights and activations")
        }
        return values
    }

    static func checkLength(
        _ model: any VisionLanguageModel, _ prompt: AskedPrompt, _ completion: [Int32]
    ) throws(HadpoError) {
        let rows = PromptSession.rows(prompt.pieces, model)
        let limit = model.decoder.config.maxPositions
        guard rows > 0, rows + completion.count <= limit else {
            throw HadpoError(
                .argument, "the prompt and its completion do not fit the model",
                at: completion.isEmpty ? "/question" : "/completion",
                found: "\(rows) positions, picture included, and \(completion.count) tokens",
                expected: "at most \(limit) positions")
        }
    }
}
