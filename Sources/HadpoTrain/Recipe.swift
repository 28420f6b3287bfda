import HadpoModels

/// Whose published training the defaults of "hadpo.train/1" are: upstream's effective values, which are not always those that its
/// command lines name. Batches are those of all its GPUs together.
package enum Recipe: String, Sendable, CaseIterable {
    case llava = "hadpo-llava"
    case minigpt4 = "hadpo-minigpt4"
    case instructBLIP = "hadpo-instructblip"

    package init(_ family: ModelFamily) {
        switch family {
        case .llava: self = .llava
        case .minigpt4: self = .minigpt4
        case .instructBLIP: self = .instructBLIP
        }
    }

    var rank: Int { self == .llava ? 128 : 64 }
    var alpha: Double { self == .llava ? 256 : 16 }
    var targets: [String] { self == .llava ? TrainConfig.LoRAConfig.known : ["q_proj", "k_proj", "v_proj"] }
    /// Upstream's LLaVA trains its projector by accident of the order of two calls, and saves it.
    var trainsProjector: Bool { self == .llava }

    var learningRate: Double {
        switch self {
        case .llava: 2e-6
        case .minigpt4: 1e-4
        case .instructBLIP: 4e-6
        }
    }
    var maxGradNorm: Double { self == .llava ? 0 : 1 }
    /// nil: by `warmupRatio`.
    var warmupSteps: Int? { self == .minigpt4 ? 100 : nil }
    var warmupRatio: Double { self == .llava ? 0.03 : 0 }
    var steps: Int { self == .minigpt4 ? 1000 : 0 }
    var batch: Int { self == .llava ? 128 : 4 }
    var accumulation: Int { self == .llava ? 1 : 8 }
    var gamma: Double { self == .minigpt4 ? 0.5 : 0 }

    /// Tokens of an answer, end token included. InstructBLIP's 256 count a BOS that is dropped again.
    var maxAnswer: Int {
        switch self {
        case .llava: 0
        case .minigpt4: 320
        case .instructBLIP: 255
        }
    }
    var maxPrompt: Int { self == .instructBLIP ? 128 : 0 }

    var questionRepeats: Int { self == .instructBLIP ? 2 : 1 }
    var descriptionRepeats: Int { self == .llava ? 2 : 1 }
    /// Questions before descriptions in the data.
    var questionsFirst: Bool { self == .llava }
    var drawsQuestionsOnce: Bool { self == .llava }
    /// MiniGPT-4 and InstructBLIP delete the newlines of descriptions, without a space in their place.
    var deletesNewlines: Bool { self != .llava }
}

/// What upstream does to training pictures: a crop of half the area or more, InstructBLIP's perhaps mirrored.
package enum Augmentation: Sendable, Equatable {
    case none
    /// Drawn anew whenever the sample is used.
    case eachTime(flips: Bool)
    /// Drawn once: upstream decodes these pictures at start-up.
    case once(flips: Bool)

    static func descriptions(_ recipe: Recipe) -> Augmentation {
        recipe == .llava ? .none : .eachTime(flips: recipe == .instructBLIP)
    }
    static func questions(_ recipe: Recipe) -> Augmentation { recipe == .instructBLIP ? .once(flips: true) : .none }
    static func captions(_ recipe: Recipe) -> Augmentation { recipe == .minigpt4 ? .once(flips: false) : .none }
}
