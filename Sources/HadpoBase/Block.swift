import CHadpoMemory
import Glibc

/// A fixed number of numbers in memory of their own: pixels, the values made of them, a written picture. Swift's arrays end the process
/// when there is no memory; a block is refused, and it counts against a budget as long as it lives.
package final class Block<Element: BitwiseCopyable>: @unchecked Sendable {
    package let base: UnsafeMutablePointer<Element>
    package let count: Int
    /// What this block counts against, and what is made of it too.
    package let budget: (any MemoryBudget)?
    private let reservation: MemoryReservation?
    /// Whose memory this is, if it is another block's.
    private let owner: Block?

    /// Not initialised. `what` is for the error: "a picture".
    package init(count: Int, for what: String, budget: (any MemoryBudget)? = nil) throws(HadpoError) {
        let (byteCount, overflow) = count.multipliedReportingOverflow(by: MemoryLayout<Element>.stride)
        guard count >= 0, !overflow, byteCount < Int.max / 2 else {
            throw HadpoError(.noMemory, "\(what) is larger than any memory", found: "\(count) elements")
        }
        reservation = try budget?.reserve(byteCount, for: what)
        guard let memory = hm_malloc(max(1, byteCount)) else {
            throw HadpoError(.noMemory, "no memory for \(what)", expected: "\(byteCount) bytes")
        }
        base = memory.assumingMemoryBound(to: Element.self)
        self.count = count
        self.budget = budget
        owner = nil
    }

    /// Takes over memory of C's malloc that has been reserved already.
    package init(
        adopting base: UnsafeMutablePointer<Element>, count: Int, budget: (any MemoryBudget)?, reservation: MemoryReservation?
    ) {
        (self.base, self.count, self.budget, self.reservation, owner) = (base, count, budget, reservation, nil)
    }

    /// The same memory, counted against `budget` as long as this object lives.
    package init(_ other: Block, against budget: any MemoryBudget, for what: String) throws(HadpoError) {
        reservation = try budget.reserve(other.rawBytes.count, for: what)
        (base, count, self.budget, owner) = (other.base, other.count, budget, other)
    }

    deinit { if owner == nil { free(base) } }

    /// A copy, for looking at: of a large block it needs memory that cannot be refused.
    package var elements: [Element] { Array(UnsafeBufferPointer(start: base, count: count)) }

    /// Valid as long as the block lives.
    package var rawBytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: base, count: count * MemoryLayout<Element>.stride)
    }
}

extension Block: Equatable {
    package static func == (a: Block, b: Block) -> Bool {
        a === b || a.count == b.count && memcmp(a.base, b.base, a.rawBytes.count) == 0
    }
}
