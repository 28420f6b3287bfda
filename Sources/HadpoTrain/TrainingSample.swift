import HadpoBase
import HadpoModels
import HadpoText

/// A sample as the trainer uses it: tokens, ready to be packed.
package struct TrainingSample: Sendable {
    /// A prompt and what is answered to it.
    package struct Turn: Sendable {
        package let prompt: [PromptPiece]
        /// DPO: chosen, rejected. Language-model loss: the answer. All targets, end token included.
        package var branches: [[Int32]]

        package init(prompt: [PromptPiece], branches: [[Int32]]) {
            self.prompt = prompt
            self.branches = branches
        }
    }

    /// How errors and records call it.
    package let id: String
    package let imagePath: String?
    package private(set) var prompt: [PromptPiece]
    /// DPO: chosen, rejected. Language-model loss: the answer. All targets, end token included.
    package private(set) var branches: [[Int32]]
    /// The same answers behind other questions, one of which is drawn whenever the sample is used; empty: always the same.
    package var turns: [Turn] = []
    package var augmentation = Augmentation.none
    /// How often it counts in a mean.
    package var weight = 1.0
    /// The part of the picture that is looked at this time.
    package private(set) var view = PictureView.whole
    /// Which use of the sample this is.
    private var draw: UInt64 = 0

    package init(id: String, imagePath: String?, prompt: [PromptPiece], branches: [[Int32]]) {
        self.id = id
        self.imagePath = imagePath
        self.prompt = prompt
        self.branches = branches
    }

    /// What a number is drawn for. The streams of the adapter's start and of the order are below these.
    private enum Purpose: UInt64 { case question = 2, crop, referenceQuestion }

    private static func stream(_ purpose: Purpose, _ number: UInt64) -> UInt64 { purpose.rawValue << 56 | number }

    /// The sample as it is used the `number`-th time in the training (of all samples, counting on over epochs): question and part of the
    /// picture drawn, from numbers that depend on nothing but seed and place, so that a resumed training draws the same.
    package func drawn(seed: UInt64, index: Int, epoch: Int, count: Int) -> TrainingSample {
        var sample = self
        sample.draw = UInt64(clamping: epoch) &* UInt64(clamping: count) &+ UInt64(clamping: index)
        sample.turn(seed, .question)
        switch augmentation {
        case .none: break
        case .eachTime(let flips): sample.view = .crop(seed: seed, stream: Self.stream(.crop, sample.draw), flips: flips)
        case .once(let flips): sample.view = .crop(seed: seed, stream: Self.stream(.crop, UInt64(clamping: index)), flips: flips)
        }
        return sample
    }

    /// The same use with a question that the reference model draws for itself.
    package func withOwnQuestion(seed: UInt64) -> TrainingSample {
        var sample = self
        sample.turn(seed, .referenceQuestion)
        return sample
    }

    private mutating func turn(_ seed: UInt64, _ purpose: Purpose) {
        guard !turns.isEmpty else { return }
        var random = Philox(seed: seed, stream: Self.stream(purpose, draw))
        let chosen = turns[Int(random.nextUInt32()) % turns.count]
        (prompt, branches) = (chosen.prompt, chosen.branches)
    }

    /// Rows of prompt and picture.
    package func prefixRows(imageRows: Int) -> Int {
        prompt.reduce(0) { sum, piece in
            switch piece {
            case .tokens(let ids): sum + ids.count
            case .picture: sum + imageRows
            }
        }
    }

    /// Rows this sample takes when packed: the prefix once, every branch without its last token.
    package func packedRows(imageRows: Int) -> Int {
        branches.reduce(prefixRows(imageRows: imageRows)) { $0 + max(0, $1.count - 1) }
    }

    /// Rows of its longest single sequence, as the original computes it.
    package func longestSequence(imageRows: Int) -> Int {
        prefixRows(imageRows: imageRows) + (branches.map(\.count).max() ?? 0)
    }
}

/// Samples computed together: their rows packed, and which targets belong to which branch.
package struct SamplePack: Sendable {
    package let samples: [TrainingSample]
    package let rows: PackedRows
    /// Targets of every branch, [sample][branch].
    package let targets: [[Range<Int>]]

    package init(_ samples: [TrainingSample], imageRows: Int) {
        var rows = PackedRows(imageRows: imageRows)
        var targets: [[Range<Int>]] = []
        for sample in samples {
            let prefix = rows.addPrefix(sample.prompt)
            var ranges: [Range<Int>] = []
            for branch in sample.branches { ranges.append(rows.addBranch(prefix, branch)) }
            targets.append(ranges)
        }
        self.samples = samples
        self.rows = rows
        self.targets = targets
    }

    package var pictures: [Picture] {
        samples.compactMap { sample in sample.imagePath.map { Picture(path: $0, view: sample.view) } }
    }

    /// Packs of at most `limit` rows in the given order; a sample larger than that is a pack of its own.
    package static func make(_ samples: [TrainingSample], imageRows: Int, limit: Int) -> [SamplePack] {
        var packs: [SamplePack] = []
        var current: [TrainingSample] = []
        var rows = 0
        for sample in samples {
            let size = sample.packedRows(imageRows: imageRows)
            if !current.isEmpty, rows + size > limit {
                packs.append(SamplePack(current, imageRows: imageRows))
                current = []
                rows = 0
            }
            current.append(sample)
            rows += size
        }
        if !current.isEmpty { packs.append(SamplePack(current, imageRows: imageRows)) }
        return packs
    }
}
