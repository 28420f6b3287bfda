/// Tells which texts of a list stand inside an earlier one. The automaton of Aho and Corasick (1975) holds all texts as one tree of
/// prefixes and reads them once, so that the time grows with their length and not with its square: a stranger's description may
/// have a hundred thousand sentences.
struct FirstOccurrences {
    /// The tree: for each prefix its first longer one, the next that shares its beginning, and its last byte. 0 is the root, and
    /// stands for "none".
    private var firstChild: [UInt32] = [0]
    private var sibling: [UInt32] = [0]
    private var last: [UInt8] = [0]
    /// The longest proper ending of each prefix that is a prefix too.
    private var ending: [UInt32] = [0]
    /// Where each prefix ends for the first time in all texts, one behind the other.
    private var firstEnd: [UInt32] = [.max]

    /// One answer a text: true when none before it contains it, byte for byte.
    static func of(_ texts: [String]) -> [Bool] {
        var automaton = FirstOccurrences()
        let nodes = texts.map { automaton.insert($0) }
        let order = automaton.linkEndings()
        var position: UInt32 = 0
        var ends: [UInt32] = []
        for text in texts {
            automaton.read(text, from: &position)
            ends.append(position)
        }
        // What ends somewhere has its own endings end there too; the longest first.
        for node in order.reversed() {
            let shorter = Int(automaton.ending[Int(node)])
            automaton.firstEnd[shorter] = min(automaton.firstEnd[shorter], automaton.firstEnd[Int(node)])
        }
        return zip(nodes, ends).map { automaton.firstEnd[Int($0)] == $1 }
    }

    private func child(_ node: UInt32, _ byte: UInt8) -> UInt32 {
        var child = firstChild[Int(node)]
        while child != 0, last[Int(child)] != byte { child = sibling[Int(child)] }
        return child
    }

    private mutating func insert(_ text: String) -> UInt32 {
        var node: UInt32 = 0
        for byte in text.utf8 {
            var next = child(node, byte)
            if next == 0 {
                next = UInt32(truncatingIfNeeded: last.count)
                firstChild.append(0)
                sibling.append(firstChild[Int(node)])
                last.append(byte)
                ending.append(0)
                firstEnd.append(.max)
                firstChild[Int(node)] = next
            }
            node = next
        }
        return node
    }

    /// - Returns: all prefixes, shorter ones before longer ones.
    private mutating func linkEndings() -> [UInt32] {
        var order: [UInt32] = []
        order.reserveCapacity(last.count)
        func appendChildren(_ node: UInt32) {
            var child = firstChild[Int(node)]
            while child != 0 {
                order.append(child)
                child = sibling[Int(child)]
            }
        }
        appendChildren(0)
        var place = 0
        while place < order.count {
            let node = order[place]
            place += 1
            var child = firstChild[Int(node)]
            while child != 0 {
                ending[Int(child)] = step(ending[Int(node)], last[Int(child)])
                child = sibling[Int(child)]
            }
            appendChildren(node)
        }
        return order
    }

    /// The longest prefix that the text ends with, one byte later.
    private func step(_ node: UInt32, _ byte: UInt8) -> UInt32 {
        var node = node
        while true {
            let next = child(node, byte)
            if next != 0 || node == 0 { return next }
            node = ending[Int(node)]
        }
    }

    /// Texts do not run into each other: each begins at the root.
    private mutating func read(_ text: String, from position: inout UInt32) {
        var node: UInt32 = 0
        for byte in text.utf8 {
            node = step(node, byte)
            position &+= 1
            firstEnd[Int(node)] = min(firstEnd[Int(node)], position)
        }
    }
}
