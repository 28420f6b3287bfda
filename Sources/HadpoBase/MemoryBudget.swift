/// A limit on memory that several kinds of things share: an engine's tensors, its pictures, what it reads.
package protocol MemoryBudget: AnyObject, Sendable {
    /// Counts `byteCount` bytes until the reservation goes away; refuses what would pass the limit. Nothing is allocated. `what` is for
    /// the error: "a picture".
    func reserve(_ byteCount: Int, for what: String) throws(HadpoError) -> MemoryReservation
}

/// Bytes that count against a budget as long as this object lives.
package final class MemoryReservation: @unchecked Sendable {
    private let release: () -> Void
    package init(release: @escaping () -> Void) { self.release = release }
    deinit { release() }
}
