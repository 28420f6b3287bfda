/// The standard library compares and hashes strings by canonical equivalence, and puts the combining marks behind a letter in order by
/// insertion to do so: its time grows with the number of pairs of marks that stand the wrong way round. A string of 160 KB of
/// them takes half a minute to hash. Text of files is checked once, where it becomes a string.
package enum CombiningMarks {
    /// Pairs that any text may have, whatever its length: a few hundred marks behind one letter.
    private static let allowance = 1 << 16

    /// Fewer bytes than this cannot hold as many pairs: 2 bytes a mark, each out of order with each.
    private static let shortest = 700

    /// False for a text whose marks would take longer to put in order than the text takes to read. No language has such text.
    package static func areOrdered(_ text: String) -> Bool {
        guard text.utf8.count >= shortest, text.utf8.contains(where: { $0 >= 0xCC }) else { return true }
        let limit = allowance + 16 * text.utf8.count
        var run = Run()
        for scalar in text.unicodeScalars {
            switch scalar.value {
            case ..<0x300: run.end()
            // No marks themselves, but they are taken apart into two.
            case 0xF73, 0xF81: run.add(129, 130)
            case 0xF75: run.add(129, 132)
            case 0x344: run.add(230, 230)
            default:
                let order = scalar.properties.canonicalCombiningClass
                if order == .notReordered { run.end() } else { run.add(order.rawValue) }
            }
            if run.pairs > limit { return false }
        }
        return true
    }

    /// The same as an error.
    package static func check(_ text: String, _ status: Status, at place: String) throws(HadpoError) {
        guard areOrdered(text) else {
            throw HadpoError(
                status, "a text of combining marks without order", at: place, found: "\(text.utf8.count) bytes",
                expected: "letters with a few marks each")
        }
    }

    /// The marks behind one letter, counted by their combining class.
    private struct Run {
        private(set) var pairs = 0
        private var counts: [(order: UInt8, count: Int)] = []

        mutating func end() {
            if !counts.isEmpty { counts.removeAll(keepingCapacity: true) }
        }

        mutating func add(_ orders: UInt8...) {
            for order in orders {
                var place: Int?
                for (index, known) in counts.enumerated() {
                    if known.order > order { pairs += known.count }
                    if known.order == order { place = index }
                }
                if let place { counts[place].count += 1 } else { counts.append((order, 1)) }
            }
        }
    }
}
