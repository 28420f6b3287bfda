import HadpoBase
import HadpoNN
import HadpoTensor
import HadpoText

/// Sequences packed one below the other, nothing padded. A prefix (prompt with its picture) is there once; branches
/// (chosen, rejected, several questions) continue it: they see the prefix and themselves, and take positions from its end.
///
///     prefix 0 | branch | branch | prefix 1 | branch | branch ...
package struct PackedRows: Sendable {
    /// A run of rows: either token ids or all rows of a picture.
    enum Run: Sendable {
        case tokens(Range<Int>)  // of `tokenIDs`
        case picture(Int)  // index of the picture
    }

    private(set) var runs: [Run] = []
    /// Ids of all text rows in order.
    private(set) var tokenIDs: [Int32] = []
    package private(set) var plan = RowPlan(positions: [], segments: [])
    /// Row of the hidden state that predicts each target token, and that token.
    package private(set) var targetRows: [Int32] = []
    package private(set) var targetIDs: [Int32] = []
    /// Of each picture in order: what a Q-Former reads beside it.
    package private(set) var instructions: [[Int32]] = []
    package var images: Int { instructions.count }
    /// Rows that one picture takes.
    package let imageRows: Int

    package init(imageRows: Int) { self.imageRows = imageRows }

    package var count: Int { plan.positions.count }

    package struct Prefix: Sendable {
        package let rows: Range<Int>
    }

    private mutating func append(_ ids: some Collection<Int32>, from position: Int) {
        let start = tokenIDs.count
        tokenIDs.append(contentsOf: ids)
        runs.append(.tokens(start..<tokenIDs.count))
        for i in 0..<ids.count { plan.positions.append(Int32(truncatingIfNeeded: position + i)) }
    }

    /// - Returns: the prefix, for its branches. Each picture piece takes the next picture.
    package mutating func addPrefix(_ pieces: [PromptPiece]) -> Prefix {
        let start = count
        for piece in pieces {
            switch piece {
            case .tokens(let ids): append(ids, from: count - start)
            case .picture(let instruction):
                let position = count - start
                runs.append(.picture(images))
                instructions.append(instruction)
                for i in 0..<imageRows { plan.positions.append(Int32(truncatingIfNeeded: position + i)) }
            }
        }
        let rows = start..<count
        plan.segments.append(AttentionSegment(queries: rows, own: rows))
        return Prefix(rows: rows)
    }

    /// A continuation of a prefix; those tokens from `firstTarget` on become targets, each predicted by the row before it.
    /// The last token is predicted but predicts nothing, so it needs no row.
    /// - Returns: the targets' range in `targetRows`.
    @discardableResult
    package mutating func addBranch(_ prefix: Prefix, _ ids: [Int32], firstTarget: Int = 0) -> Range<Int> {
        let start = count
        append(ids.dropLast(), from: prefix.rows.count)
        let rows = start..<count
        if !rows.isEmpty { plan.segments.append(AttentionSegment(queries: rows, context: prefix.rows, own: rows)) }
        let first = targetRows.count
        for i in min(firstTarget, ids.count)..<ids.count {
            targetRows.append(Int32(truncatingIfNeeded: i == 0 ? prefix.rows.upperBound - 1 : start + i - 1))
            targetIDs.append(ids[i])
        }
        return first..<targetRows.count
    }
}
