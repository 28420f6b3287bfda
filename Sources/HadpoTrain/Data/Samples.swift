import HadpoBase

/// Where a sample came from: an element of a JSON file, or a line of JSON Lines.
package struct SampleSource: Sendable, Equatable, CustomStringConvertible {
    package let file: String
    /// Counts from 0 in the order of the file.
    package let index: Int
    /// Counts from 1; JSON Lines only.
    package let line: Int?

    package init(file: String, index: Int, line: Int? = nil) {
        self.file = file
        self.index = index
        self.line = line
    }
    package var description: String { line.map { "\(file):\($0)" } ?? "\(file)[\(index)]" }
}

/// What stands before the answer.
package enum SamplePrompt: Sendable, Equatable {
    /// Goes into the model's conversation template.
    case question(String)
    /// The whole text before the answer, with `<image>` where the picture stands.
    case raw(String)

    package var text: String {
        switch self {
        case .question(let text), .raw(let text): text
        }
    }
}

/// Two answers to one prompt about one picture.
package struct PreferencePair: Sendable, Equatable {
    /// `description` and `question` are upstream's two files, `pair` is one of the user's own.
    package enum Kind: String, Sendable { case description, question, pair }

    package let id: String
    package let imagePath: String
    package let prompt: SamplePrompt
    package let chosen: String
    package let rejected: String
    package let kind: Kind
    /// How often the pair counts in the mean of a step.
    package let weight: Double
    package let source: SampleSource

    package init(
        id: String, imagePath: String, prompt: SamplePrompt, chosen: String, rejected: String, kind: Kind, weight: Double = 1,
        source: SampleSource
    ) {
        self.id = id
        self.imagePath = imagePath
        self.prompt = prompt
        self.chosen = chosen
        self.rejected = rejected
        self.kind = kind
        self.weight = weight
        self.source = source
    }
}

/// One answer to learn: the auxiliary language-model loss and supervised training.
package struct CaptionSample: Sendable, Equatable {
    package let id: String
    package let imagePath: String
    package let prompt: SamplePrompt
    package let answer: String
    /// How often each of its tokens counts in the mean of a step.
    package let weight: Double
    /// Asked with one of the description questions, whichever is drawn.
    package let drawsQuestion: Bool
    package let source: SampleSource

    package init(
        id: String, imagePath: String, prompt: SamplePrompt, answer: String, weight: Double = 1, drawsQuestion: Bool = false,
        source: SampleSource
    ) {
        self.id = id
        self.imagePath = imagePath
        self.prompt = prompt
        self.answer = answer
        self.weight = weight
        self.drawsQuestion = drawsQuestion
        self.source = source
    }
}

/// A sample that cannot be trained on.
package struct SampleProblem: Sendable, Equatable {
    package let source: SampleSource
    package let id: String
    package let reason: String

    package init(_ source: SampleSource, id: String, _ reason: String) {
        self.source = source
        self.id = id
        self.reason = reason
    }

    package var record: JSON {
        [
            "file": .string(source.file), "index": JSON(source.index), "line": JSON(source.line), "id": .string(id),
            "reason": .string(reason),
        ]
    }
}

/// The samples of one or more files in the order of training, and those that were left out.
package struct SampleSet<Sample: Sendable>: Sendable {
    package var samples: [Sample] = []
    package var problems: [SampleProblem] = []
    /// In which form the file was, where files have several.
    package var form: String?

    package init() {}

    package mutating func append(_ other: SampleSet<Sample>) {
        samples += other.samples
        problems += other.problems
    }

    /// For a training that takes all or nothing: an error naming the first problems.
    package func requireClean() throws(HadpoError) {
        guard let first = problems.first else { return }
        let names = problems.prefix(10).map { "\($0.source) (id \($0.id)): \($0.reason)" }.joined(separator: "; ")
        let more = problems.count > 10 ? "; and \(problems.count - 10) more" : ""
        throw HadpoError(
            .format, "\(problems.count) samples cannot be trained on", at: "\(first.source)", found: names + more,
            expected: "samples that can all be trained on")
    }
}
