/// Finds the longest of a set of strings that begins at each position of a text: user-defined symbols and added tokens.
///
/// The automaton of Aho and Corasick (1975) over the reversed strings reads the text once from its end, so that a text costs its
/// length, however long the strings are and however alike.
package struct PrefixMatcher: Sendable {
    /// Longer entries are refused where files are read.
    package static let longestEntry = 4096

    private struct Node {
        let parent: Int32
        let byte: UInt8
        let depth: Int32
        /// Of the string that ends here, -1 without one.
        var value: Int32 = -1
        /// The longest proper ending that is in the tree too.
        var ending: Int32 = 0
        /// The longest string that this ends with, as a node; 0 without one.
        var longest: Int32 = 0
    }

    private var nodes = [Node(parent: 0, byte: 0, depth: 0)]
    private var children: [UInt64: Int32] = [:]
    private var rootHasChild = [Bool](repeating: false, count: 256)

    var isEmpty: Bool { nodes.count == 1 }

    package init() {}

    /// Of entries with the same bytes the last counts; empty ones are left out.
    package init(_ entries: some Sequence<(bytes: [UInt8], value: Int32)>) {
        for (bytes, value) in entries { insert(bytes, value) }
        link()
    }

    private mutating func insert(_ entry: [UInt8], _ value: Int32) {
        var node: Int32 = 0
        for byte in entry.reversed() {
            if node == 0 { rootHasChild[Int(byte)] = true }
            let key = Self.key(node, byte)
            if let next = children[key] {
                node = next
            } else {
                let next = Int32(truncatingIfNeeded: nodes.count)
                nodes.append(Node(parent: node, byte: byte, depth: nodes[Int(node)].depth &+ 1))
                children[key] = next
                node = next
            }
        }
        if node != 0 { nodes[Int(node)].value = value }
    }

    private mutating func link() {
        // Shorter ones first: an ending is shorter than what it ends.
        let order = nodes.indices.dropFirst().sorted { nodes[$0].depth < nodes[$1].depth }
        for index in order {
            let node = nodes[index]
            if node.parent != 0 { nodes[index].ending = step(nodes[Int(node.parent)].ending, node.byte) }
            nodes[index].longest = node.value >= 0 ? Int32(truncatingIfNeeded: index) : nodes[Int(nodes[index].ending)].longest
        }
    }

    private func step(_ node: Int32, _ byte: UInt8) -> Int32 {
        var node = node
        while true {
            if node == 0, !rootHasChild[Int(byte)] { return 0 }
            if let next = children[Self.key(node, byte)] { return next }
            if node == 0 { return 0 }
            node = nodes[Int(node)].ending
        }
    }

    /// What begins at each position of a stretch of text and ends within it.
    package struct Matches {
        fileprivate let start: Int
        fileprivate var found: [(value: Int32, length: Int32)]

        package subscript(position: Int) -> (value: Int32, length: Int)? {
            let place = position &- start
            guard found.indices.contains(place), found[place].length > 0 else { return nil }
            return (found[place].value, Int(found[place].length))
        }
    }

    package func longestMatches(in text: [UInt8], _ range: Range<Int>) -> Matches {
        guard !isEmpty else { return Matches(start: range.lowerBound, found: []) }
        var matches = Matches(start: range.lowerBound, found: [(Int32, Int32)](repeating: (0, 0), count: range.count))
        var node: Int32 = 0
        for position in range.reversed() {
            node = step(node, text[position])
            let longest = nodes[Int(nodes[Int(node)].longest)]
            matches.found[position &- range.lowerBound] = (longest.value, longest.depth)
        }
        return matches
    }

    /// All matches from left to right, leftmost first and longest at each position, none overlapping.
    package func matches(in text: [UInt8], _ range: Range<Int>) -> [(range: Range<Int>, value: Int32)] {
        guard !isEmpty else { return [] }
        let longest = longestMatches(in: text, range)
        var found: [(Range<Int>, Int32)] = []
        var position = range.lowerBound
        while position < range.upperBound {
            if let match = longest[position] {
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
