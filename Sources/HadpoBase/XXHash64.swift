/// XXH64 of xxHash (seed 0), which `xxhsum -H1` prints: tells files apart as fast as memory delivers them. It protects against mix-ups and
/// damage, not against somebody who wants two files to look alike.
package struct XXHash64 {
    private static let prime1: UInt64 = 0x9E37_79B1_85EB_CA87
    private static let prime2: UInt64 = 0xC2B2_AE3D_27D4_EB4F
    private static let prime3: UInt64 = 0x1656_67B1_9E37_79F9
    private static let prime4: UInt64 = 0x85EB_CA77_C2B2_AE63
    private static let prime5: UInt64 = 0x27D4_EB2F_1656_67C5

    private var lanes = (prime1 &+ prime2, prime2, UInt64(0), 0 &- prime1)
    /// Fewer than 32 bytes that wait for the next ones.
    private var pending: [UInt8] = []
    private var byteCount: UInt64 = 0

    package init() {}

    package mutating func update(_ bytes: [UInt8]) { bytes.withUnsafeBytes { update($0) } }

    package mutating func update(_ bytes: UnsafeRawBufferPointer) {
        byteCount &+= UInt64(bytes.count)
        var rest = bytes[...]
        if !pending.isEmpty {
            let missing = rest.prefix(32 - pending.count)
            pending.append(contentsOf: missing)
            rest = rest.dropFirst(missing.count)
            if pending.count < 32 { return }
            let stripe = pending
            stripe.withUnsafeBytes { addStripes($0) }
            pending.removeAll(keepingCapacity: true)
        }
        let whole = rest.count & ~31
        addStripes(UnsafeRawBufferPointer(rebasing: rest.prefix(whole)))
        pending.append(contentsOf: rest.dropFirst(whole))
    }

    /// - Parameter bytes: a multiple of 32.
    private mutating func addStripes(_ bytes: UnsafeRawBufferPointer) {
        var (a, b, c, d) = lanes
        var offset = 0
        while offset < bytes.count {
            a = XXHash64.round(a, XXHash64.word(bytes, offset))
            b = XXHash64.round(b, XXHash64.word(bytes, offset + 8))
            c = XXHash64.round(c, XXHash64.word(bytes, offset + 16))
            d = XXHash64.round(d, XXHash64.word(bytes, offset + 24))
            offset += 32
        }
        lanes = (a, b, c, d)
    }

    @inline(__always)
    private static func word(_ bytes: UnsafeRawBufferPointer, _ offset: Int) -> UInt64 {
        UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    @inline(__always)
    private static func rotated(_ value: UInt64, _ count: UInt64) -> UInt64 { value << count | value >> (64 - count) }

    @inline(__always)
    private static func round(_ lane: UInt64, _ word: UInt64) -> UInt64 {
        rotated(lane &+ word &* prime2, 31) &* prime1
    }

    private static func merged(_ hash: UInt64, _ lane: UInt64) -> UInt64 {
        (hash ^ round(0, lane)) &* prime1 &+ prime4
    }

    /// Of everything so far; more may follow.
    package var value: UInt64 {
        var hash: UInt64
        if byteCount >= 32 {
            let (a, b, c, d) = lanes
            hash =
                XXHash64.rotated(a, 1) &+ XXHash64.rotated(b, 7) &+ XXHash64.rotated(c, 12) &+ XXHash64.rotated(d, 18)
            for lane in [a, b, c, d] { hash = XXHash64.merged(hash, lane) }
        } else {
            hash = XXHash64.prime5
        }
        hash &+= byteCount
        pending.withUnsafeBytes { bytes in
            var offset = 0
            while offset + 8 <= bytes.count {
                hash ^= XXHash64.round(0, XXHash64.word(bytes, offset))
                hash = XXHash64.rotated(hash, 27) &* XXHash64.prime1 &+ XXHash64.prime4
                offset += 8
            }
            if offset + 4 <= bytes.count {
                let half = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
                hash ^= UInt64(half) &* XXHash64.prime1
                hash = XXHash64.rotated(hash, 23) &* XXHash64.prime2 &+ XXHash64.prime3
                offset += 4
            }
            for byte in bytes[offset...] {
                hash ^= UInt64(byte) &* XXHash64.prime5
                hash = XXHash64.rotated(hash, 11) &* XXHash64.prime1
            }
        }
        hash = (hash ^ hash >> 33) &* XXHash64.prime2
        hash = (hash ^ hash >> 29) &* XXHash64.prime3
        return hash ^ hash >> 32
    }

    /// Sixteen hexadecimal digits.
    package var text: String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
