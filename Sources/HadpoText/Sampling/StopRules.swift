import HadpoBase

/// Token sequences that end a generation when they are its last ids, as MiniGPT-4's `###` (835 or 2277 29937).
package struct StopSequences: Sendable, Equatable {
    private let sequences: [[Int32]]

    package init(_ sequences: [[Int32]]) { self.sequences = sequences.filter { !$0.isEmpty } }

    package func end(_ ids: [Int32]) -> Bool {
        sequences.contains { ids.count >= $0.count && ids.suffix($0.count).elementsEqual($0) }
    }
}

/// Cuts generated text at the first of some strings. Text that may turn out to begin one is held back, so that no part of a stop
/// string is ever given out.
package struct StopStrings: Sendable {
    private let strings: [[UInt8]]
    private var held: [UInt8] = []
    package private(set) var isStopped = false

    package init(_ strings: [String]) throws(HadpoError) {
        for text in strings where text.isEmpty || text.utf8.count > PrefixMatcher.longestEntry {
            throw HadpoError(
                .argument, "a stop string has no usable length", found: "\(text.utf8.count) bytes",
                expected: "1 to \(PrefixMatcher.longestEntry) bytes")
        }
        self.strings = strings.map { Array($0.utf8) }
    }

    /// What can be given out now: nothing more once a stop string has come.
    package mutating func push(_ text: String) -> String {
        guard !isStopped else { return "" }
        held.append(contentsOf: text.utf8)
        for position in held.indices {
            let rest = held[position...]
            if strings.contains(where: { rest.starts(with: $0) }) {
                isStopped = true
                return release(position)
            }
            // a longer beginning counts first: what follows may complete it
            if strings.contains(where: { $0.count > rest.count && $0.starts(with: rest) }) { return release(position) }
        }
        return release(held.count)
    }

    /// What was held back, when the text ends without a stop string.
    package mutating func finish() -> String { isStopped ? "" : release(held.count) }

    private mutating func release(_ count: Int) -> String {
        let text = String(decoding: held[..<count], as: UTF8.self)
        held.removeFirst(count)
        if isStopped { held = [] }
        return text
    }
}
