/// The vocabulary index: bytes of a piece -> id.
///
/// Keys are bytes, never `String`: Swift compares strings by canonical equivalence, and vocabularies hold both "é" as one
/// scalar and "é" as two, which must stay different pieces. The hash is Swift's randomly seeded one, so that a vocabulary
/// file cannot be made of collisions.
struct PieceTable: Sendable {
    private var bytes: [UInt8] = []
    /// Entry e owns `bytes[starts[e]..<starts[e + 1]]`.
    private var starts: [Int] = [0]
    private var ids: [Int32] = []
    /// Open addressing; -1 is empty, otherwise an entry. The count is a power of two, at most half is used.
    private var slots: [Int32]
    private(set) var longest = 0

    init(capacity: Int) {
        var size = 16
        while size < 2 &* max(capacity, 1) { size &*= 2 }
        slots = [Int32](repeating: -1, count: size)
    }

    var count: Int { ids.count }

    /// False, with nothing changed, when the piece is there already.
    mutating func insert(_ piece: some Collection<UInt8>, id: Int32) -> Bool {
        if 2 &* (ids.count &+ 1) > slots.count { grow() }
        let key = Array(piece)
        let slot = key.withUnsafeBufferPointer { self.slot(of: $0) }
        guard slots[slot] < 0 else { return false }
        slots[slot] = Int32(truncatingIfNeeded: ids.count)
        ids.append(id)
        bytes.append(contentsOf: key)
        starts.append(bytes.count)
        longest = max(longest, key.count)
        return true
    }

    func id(of piece: UnsafeBufferPointer<UInt8>) -> Int32? {
        guard piece.count <= longest else { return nil }
        let entry = slots[slot(of: piece)]
        return entry < 0 ? nil : ids[Int(entry)]
    }

    func id(of piece: some Collection<UInt8>) -> Int32? {
        if let found = piece.withContiguousStorageIfAvailable({ id(of: $0) }) { return found }
        return Array(piece).withUnsafeBufferPointer { id(of: $0) }
    }

    /// The slot that holds `piece`, or the empty one where it belongs.
    private func slot(of piece: UnsafeBufferPointer<UInt8>) -> Int {
        var hasher = Hasher()
        hasher.combine(bytes: UnsafeRawBufferPointer(piece))
        let mask = slots.count &- 1
        var slot = hasher.finalize() & mask
        while slots[slot] >= 0, !entry(Int(slots[slot]), equals: piece) { slot = (slot &+ 1) & mask }
        return slot
    }

    private func entry(_ entry: Int, equals piece: UnsafeBufferPointer<UInt8>) -> Bool {
        let start = starts[entry]
        guard starts[entry &+ 1] &- start == piece.count else { return false }
        for offset in 0..<piece.count where bytes[start &+ offset] != piece[offset] { return false }
        return true
    }

    private mutating func grow() {
        slots = [Int32](repeating: -1, count: slots.count &* 2)
        for entry in ids.indices {
            let slot = bytes[starts[entry]..<starts[entry &+ 1]].withUnsafeBufferPointer { self.slot(of: $0) }
            slots[slot] = Int32(truncatingIfNeeded: entry)
        }
    }
}
