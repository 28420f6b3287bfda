import CHadpoMemory
import Glibc

/// Memory whose size somebody else decides: a file, a picture, a configuration. Swift's own containers end the process when
/// the system has no more; what is asked for here is an error with status NO_MEMORY.
package enum Memory {
    /// Below this size nothing is asked: whoever has less left than that cannot report an error either.
    static let smallest = 1 << 20

    /// Throws unless `byteCount` more bytes can be had at this moment: they are asked of the system and given back at once,
    /// untouched. For what is about to go into Swift containers, whose allocations cannot be checked. `what` is named in the
    /// error ("the elements of an array"), `place` as well (a path).
    package static func require(_ byteCount: Int, for what: String, at place: String? = nil) throws(HadpoError) {
        try checkReserve()
        if byteCount < smallest, byteCount >= 0 { return }
        let flags = MAP_PRIVATE | MAP_ANONYMOUS
        guard byteCount >= 0, byteCount < Int.max / 2, let probe = mmap(nil, byteCount, PROT_READ | PROT_WRITE, flags, -1, 0),
            probe != MAP_FAILED
        else { throw unavailable(byteCount, what, place) }
        munmap(probe, byteCount)
    }

    /// Throws when the call on this thread got memory that malloc had refused, out of the reserve that libhadpo.so keeps for what
    /// cannot be refused. The call ends; its memory goes back.
    package static func checkReserve() throws(HadpoError) {
        if hm_is_short() != 0 {
            throw HadpoError(.noMemory, "the process has no memory left", expected: "free memory and address space")
        }
    }

    /// One call of the host, on this thread: `checkReserve` looks at what happened since.
    package static func beginCall() -> Int32 { hm_begin() }
    /// `before`: what `beginCall` answered; a call may have been made from another's event callback.
    package static func endCall(_ before: Int32) { hm_end(before) }

    /// `count * size`, or Int.max where that is more: `require` then refuses it.
    package static func bytes(_ count: Int, of size: Int) -> Int {
        let (product, overflow) = count.multipliedReportingOverflow(by: size)
        return overflow ? Int.max : product
    }

    static func unavailable(_ byteCount: Int, _ what: String, _ place: String?) -> HadpoError {
        HadpoError(
            .noMemory, "no memory for \(what)", at: place, found: "less than \(byteCount) bytes to be had",
            expected: "\(byteCount) bytes of free memory and address space")
    }
}

/// Asks from time to time whether there is memory to go on with, for arrays that grow with a file and whose end is not known.
package struct MemoryRoom {
    /// So much is there after each question.
    private static let step = 16 << 20
    private let what: String
    private let place: String?
    private var left = 0

    package init(for what: String, at place: String? = nil) {
        self.what = what
        self.place = place
    }

    /// About to take `byteCount` more.
    package mutating func take(_ byteCount: Int) throws(HadpoError) {
        if byteCount > left {
            let (wanted, overflow) = max(0, byteCount).addingReportingOverflow(Self.step)
            try Memory.require(overflow ? Int.max : wanted, for: what, at: place)
            left = Self.step
        } else {
            left -= max(0, byteCount)
        }
    }

    /// Appends to an array whose next, larger block can be had. What the element itself points at is not counted.
    package mutating func append<Element>(_ element: Element, to array: inout [Element]) throws(HadpoError) {
        if array.count == array.capacity {
            let larger = max(16, array.count * 2)
            try take(Memory.bytes(larger, of: MemoryLayout<Element>.stride))
            array.reserveCapacity(larger)
        }
        array.append(element)
    }
}

/// A block of the C allocator, which can say that there is no more memory. Its contents are not initialised.
package final class CheckedBytes: @unchecked Sendable {
    package private(set) var base: UnsafeMutableRawPointer
    package private(set) var count: Int
    private let what: String
    private let place: String?

    package init(count: Int, for what: String, at place: String? = nil) throws(HadpoError) {
        guard count >= 0, let block = hm_malloc(max(1, count)) else { throw Memory.unavailable(count, what, place) }
        base = block
        self.count = count
        self.what = what
        self.place = place
    }

    /// A copy of `bytes`.
    package convenience init(copying bytes: UnsafeRawBufferPointer, for what: String, at place: String? = nil) throws(HadpoError)
    {
        try self.init(count: bytes.count, for: what, at: place)
        if let source = bytes.baseAddress { base.copyMemory(from: source, byteCount: bytes.count) }
    }

    deinit { free(base) }

    /// Another size; what was within both stays, pointers into the block do not.
    package func resize(to newCount: Int) throws(HadpoError) {
        guard newCount >= 0, let block = realloc(base, max(1, newCount)) else { throw Memory.unavailable(newCount, what, place) }
        base = block
        count = newCount
    }

    /// The bytes are valid within `body` alone.
    package func withBytes<Result>(
        _ body: (UnsafeRawBufferPointer) throws(HadpoError) -> Result
    ) throws(HadpoError) -> Result {
        defer { withExtendedLifetime(self) {} }
        return try body(UnsafeRawBufferPointer(start: base, count: count))
    }

    package func withMutableBytes<Result>(
        _ body: (UnsafeMutableRawBufferPointer) throws(HadpoError) -> Result
    ) throws(HadpoError) -> Result {
        defer { withExtendedLifetime(self) {} }
        return try body(UnsafeMutableRawBufferPointer(start: base, count: count))
    }
}
