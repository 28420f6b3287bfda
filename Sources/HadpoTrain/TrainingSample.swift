import HadpoBase
import HadpoModels
import HadpoText

/// A sample as the trainer uses it: tokens, ready to be packed.
package struct TrainingSample: Sendable {
    /// How errors and records call it.
    package let id: String
    package let imagePath: String?
    package let prompt: [PromptPiece]
    /// DPO: chosen, rejected. Language-model loss: the answer. All targets, end token included.
    package var branches: [[Int32]]

    package init(id: String, imagePath: String?, prompt: [PromptPiece], branches: [[Int32]]) {
        self.id = id
        self.imagePath = imagePath
        self.prompt = prompt
        self.branches = branches
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

    package var imagePaths: [String] { samples.compactMap(\.imagePath) }

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
