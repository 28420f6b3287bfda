import HadpoText

/// How HA-DPO's scripts let each of its models answer: what the published numbers were made with.
package enum EvaluationProtocol: String, Sendable, CaseIterable {
    case llava = "hadpo-llava"
    case minigpt4 = "hadpo-minigpt4"
    case instructBLIP = "hadpo-instructblip"

    package struct Decoding: Sendable, Equatable {
        package var beams: Int
        package var maxNewTokens: Int
        package var repetitionPenalty: Double
        package var stop: [String]
    }

    /// Yes-no questions.
    package var questions: Decoding {
        switch self {
        case .llava: Decoding(beams: 1, maxNewTokens: 512, repetitionPenalty: 1, stop: [])
        case .minigpt4: Decoding(beams: 1, maxNewTokens: 300, repetitionPenalty: 1, stop: ["###"])
        // max_length 256, of which one is the BOS that 4.31 begins with.
        case .instructBLIP: Decoding(beams: 5, maxNewTokens: 255, repetitionPenalty: 1.5, stop: [])
        }
    }

    /// With what this protocol's script leaves to the checkpoint: LLaVA's passes no repetition penalty, and transformers then takes the one
    /// of generation_config.json; the others pass theirs.
    package func completing(_ decoding: Decoding, from folder: GenerationSettings) -> Decoding {
        var decoding = decoding
        if self == .llava, let penalty = folder.repetitionPenalty { decoding.repetitionPenalty = penalty }
        return decoding
    }

    /// Descriptions for SHR: beams for everybody.
    package var descriptions: Decoding {
        var decoding = questions
        decoding.beams = 5
        return decoding
    }

    /// How the decoder's weights were held when the published numbers were made.
    package var weights: WeightFormat { self == .minigpt4 ? .bnbFP4 : .stored }
}

extension ModelFamily {
    package var evaluation: EvaluationProtocol {
        switch self {
        case .llava: .llava
        case .minigpt4: .minigpt4
        case .instructBLIP: .instructBLIP
        }
    }
}
