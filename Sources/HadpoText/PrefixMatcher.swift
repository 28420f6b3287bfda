/// A trie that finds the longest of a set of strings beginning at a position: user-defined symbols and added tokens.
struct PrefixMatcher: Sendable {
    /// Longer entries are refused where files are read, so that one position costs at most this many steps.
    static let longestEntry = 4096

    private var children: [UInt64: Int32] = [:]
    private var values: [Int32] = [-1]
    private var rootHasChild = [Bool](repeating: false, count: 256)

    var isEmpty: Bool { values.count == 1 }

    /// A later entry with the same bytes replaces the earlier one.
    mutating func insert(_ entry: some Sequence<UInt8>, value: Int32) {
        var node: Int32 = 0
        for byte in entry {
            if node == 0 { rootHasChild[Int(byte)] = true }
            let key = Self.key(node, byte)
            if let next = children[key] {
                node = next
            } else {
                node = Int32(truncatingIfNeeded: values.count)
                children[key] = node
                values.append(-1)
            }
        }
        if node != 0 { values[Int(node)] = value }
    }

    /// The longest entry that begins at `start`.
    func longestMatch(in text: [UInt8], at start: Int, end: Int) -> (value: Int32, length: Int)? {
        guard start < end, rootHasChild[Int(text[start])] else { return nil }
        var best: (Int32, Int)?
        var node: Int32 = 0
        var position = start
        while position < end, let next = children[Self.key(node, text[position])] {
            node = next
            position &+= 1
            if values[Int(node)] >= 0 { best = (values[Int(node)], position &- start) }
        }
        return best
    }

    /// All matches from left to right, leftmost first and longest at each position, none overlapping.
    func matches(in text: [UInt8], _ range: Range<Int>) -> [(range: Range<Int>, value: Int32)] {
        guard !isEmpty else { return [] }
        var found: [(Range<Int>, Int32)] = []
        var position = range.lowerBound
        while position < range.upperBound {
            if let match = longestMatch(in: text, at: position, end: range.upperBound) {
                found.append((position..<position &+ match.length, match.value))
                position &+= match.length
            } else {
                position &+= 1
            }
        }
        return found
    }

    private static func key(_ node: Int32, _ byte: UInt8) -> UInt64 { UInt64(UInt32(bitPattern: node)) << 8 | UInt64(byte) }
}
