import HadpoBase

/// A regular expression of Python's `re`, as adapter configurations hold them to choose modules by name: literals, `.`, escapes, classes,
/// groups, alternatives, repeats, anchors at the ends. All states are followed side by side, so that no expression takes longer than its
/// length times the name's. Look-around, back references and word boundaries are not understood; such an expression is no pattern.
package struct ModulePattern: Sendable, Equatable {
    /// Bytes that a place in the expression takes.
    private struct Bytes: Sendable, Equatable {
        var low: UInt64 = 0
        var high: UInt64 = 0

        static let any = Bytes(low: ~(1 << 10), high: ~0)
        static let digits = Bytes(UInt8(ascii: "0")...UInt8(ascii: "9"))
        static let word =
            digits.union(Bytes(UInt8(ascii: "a")...UInt8(ascii: "z"))).union(Bytes(UInt8(ascii: "A")...UInt8(ascii: "Z")))
            .union(Bytes(UInt8(ascii: "_")...UInt8(ascii: "_")))
        static let space = Bytes(9...13).union(Bytes(32...32))

        init(low: UInt64, high: UInt64) {
            self.low = low
            self.high = high
        }

        init(_ range: ClosedRange<UInt8>) {
            for byte in range where byte < 128 { if byte < 64 { low |= 1 << byte } else { high |= 1 << (byte - 64) } }
        }

        func union(_ other: Bytes) -> Bytes { Bytes(low: low | other.low, high: high | other.high) }
        var inverted: Bytes { Bytes(low: ~low, high: ~high) }
        func contains(_ byte: UInt8) -> Bool {
            byte < 64 ? low & (1 << byte) != 0 : byte < 128 && high & (1 << (byte - 64)) != 0
        }
    }

    private indirect enum Node {
        case bytes(Bytes)
        case sequence([Node])
        case either([Node])
        case repeated(Node, Int, Int?)
        case begin, end
    }

    private enum Step: Sendable, Equatable {
        case take(Bytes)
        case split(Int, Int)
        case go(Int)
        case begin, end, accept
    }

    private var steps: [Step] = []
    private static let longest = 4096
    private static let mostSteps = 1 << 12
    package var count: Int { steps.count }

    /// - Returns: nil for what is not understood, or is too long.
    package init?(_ text: String) {
        var parser = Parser(bytes: Array(text.utf8))
        // Repeats of nothing leave no steps behind and take time all the same.
        var work = 4 * Self.mostSteps
        guard parser.bytes.count <= Self.longest, let node = parser.alternatives(depth: 0), parser.isAtEnd, add(node, &work)
        else { return nil }
        steps.append(.accept)
    }

    /// Whether it describes the whole name.
    package func matches(_ name: String) -> Bool {
        let bytes = Array(name.utf8)
        var current: [Int] = []
        var next: [Int] = []
        var seen = [Int](repeating: -1, count: steps.count)
        var pending: [Int] = []
        func follow(_ start: Int, at place: Int, into states: inout [Int]) {
            pending.append(start)
            while let state = pending.popLast() {
                if seen[state] == place { continue }
                seen[state] = place
                switch steps[state] {
                case .split(let one, let other): pending += [one, other]
                case .go(let other): pending.append(other)
                case .begin: if place == 0 { pending.append(state + 1) }
                case .end: if place == bytes.count { pending.append(state + 1) }
                case .take, .accept: states.append(state)
                }
            }
        }
        follow(0, at: 0, into: &current)
        for (place, byte) in bytes.enumerated() {
            next.removeAll(keepingCapacity: true)
            for state in current {
                if case .take(let taken) = steps[state], taken.contains(byte) { follow(state + 1, at: place + 1, into: &next) }
            }
            swap(&current, &next)
            if current.isEmpty { return false }
        }
        return current.contains { steps[$0] == .accept }
    }

    private mutating func add(_ node: Node, _ work: inout Int) -> Bool {
        work -= 1
        guard steps.count < Self.mostSteps, work > 0 else { return false }
        switch node {
        case .bytes(let bytes): steps.append(.take(bytes))
        case .begin: steps.append(.begin)
        case .end: steps.append(.end)
        case .sequence(let parts):
            for part in parts { guard add(part, &work) else { return false } }
        case .either(let parts):
            var ends: [Int] = []
            for (i, part) in parts.enumerated() {
                guard i + 1 < parts.count else {
                    guard add(part, &work) else { return false }
                    break
                }
                let split = steps.count
                steps.append(.split(split + 1, 0))
                guard add(part, &work) else { return false }
                ends.append(steps.count)
                steps.append(.go(0))
                steps[split] = .split(split + 1, steps.count)
            }
            for end in ends { steps[end] = .go(steps.count) }
        case .repeated(let part, let least, let most):
            for _ in 0..<least { guard add(part, &work) else { return false } }
            guard let most else {
                let split = steps.count
                steps.append(.split(split + 1, 0))
                guard add(part, &work) else { return false }
                steps.append(.go(split))
                steps[split] = .split(split + 1, steps.count)
                return true
            }
            var splits: [Int] = []
            for _ in least..<max(least, most) {
                splits.append(steps.count)
                steps.append(.split(steps.count + 1, 0))
                guard add(part, &work) else { return false }
            }
            for split in splits { steps[split] = .split(split + 1, steps.count) }
        }
        return true
    }

    private struct Parser {
        let bytes: [UInt8]
        var place = 0

        init(bytes: [UInt8]) { self.bytes = bytes }

        var isAtEnd: Bool { place == bytes.count }
        private var byte: UInt8? { place < bytes.count ? bytes[place] : nil }
        private mutating func take(_ character: Unicode.Scalar) -> Bool {
            guard byte == UInt8(ascii: character) else { return false }
            place += 1
            return true
        }

        mutating func alternatives(depth: Int) -> Node? {
            guard depth < 32 else { return nil }
            var found: [Node] = []
            repeat {
                guard let part = sequence(depth: depth) else { return nil }
                found.append(part)
            } while take("|")
            return found.count == 1 ? found[0] : .either(found)
        }

        private mutating func sequence(depth: Int) -> Node? {
            var parts: [Node] = []
            while let byte, byte != UInt8(ascii: "|"), byte != UInt8(ascii: ")") {
                guard let part = single(depth: depth), let whole = repeats(part) else { return nil }
                parts.append(whole)
            }
            return .sequence(parts)
        }

        private mutating func repeats(_ part: Node) -> Node? {
            let whole: Node
            if take("*") {
                whole = .repeated(part, 0, nil)
            } else if take("+") {
                whole = .repeated(part, 1, nil)
            } else if take("?") {
                whole = .repeated(part, 0, 1)
            } else if take("{") {
                guard let least = number() else { return nil }
                var most: Int? = least
                if take(",") { most = byte == UInt8(ascii: "}") ? nil : number() ?? -1 }
                guard take("}"), most ?? least >= least else { return nil }
                whole = .repeated(part, least, most)
            } else {
                return part
            }
            // As few as possible is the same set of names; a second repeat, and one without way back, are not read.
            if take("?") { return whole }
            return [UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "{")].contains(byte) ? nil : whole
        }

        private mutating func number() -> Int? {
            var value: Int?
            while let byte, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte), (value ?? 0) < 1000 {
                value = (value ?? 0) * 10 + Int(byte - UInt8(ascii: "0"))
                place += 1
            }
            return value.flatMap { $0 <= 1000 ? $0 : nil }
        }

        private mutating func single(depth: Int) -> Node? {
            guard let byte else { return nil }
            place += 1
            switch Unicode.Scalar(byte) {
            case "(":
                if take("?") { guard take(":") else { return nil } }
                guard let inside = alternatives(depth: depth + 1), take(")") else { return nil }
                return inside
            case "[": return set().map { .bytes($0) }
            case ".": return .bytes(.any)
            case "^": return .begin
            case "$": return .end
            case "\\": return escaped().map { .bytes($0) }
            case "*", "+", "?", "{": return nil
            default: return byte < 128 ? .bytes(Bytes(byte...byte)) : nil
            }
        }

        private mutating func escaped() -> Bytes? {
            guard let byte, byte < 128 else { return nil }
            place += 1
            switch Unicode.Scalar(byte) {
            case "d": return .digits
            case "D": return Bytes.digits.inverted
            case "w": return .word
            case "W": return Bytes.word.inverted
            case "s": return .space
            case "S": return Bytes.space.inverted
            default: return Bytes.word.contains(byte) ? nil : Bytes(byte...byte)
            }
        }

        private mutating func set() -> Bytes? {
            let isInverted = take("^")
            var found = Bytes(low: 0, high: 0)
            var isFirst = true
            while isFirst || byte != UInt8(ascii: "]") {
                isFirst = false
                guard let first = byte, first < 128 else { return nil }
                place += 1
                if first == UInt8(ascii: "\\") {
                    guard let bytes = escaped() else { return nil }
                    found = found.union(bytes)
                    continue
                }
                guard byte == UInt8(ascii: "-"), place + 1 < bytes.count, bytes[place + 1] != UInt8(ascii: "]") else {
                    found = found.union(Bytes(first...first))
                    continue
                }
                let last = bytes[place + 1]
                guard last >= first, last < 128, last != UInt8(ascii: "\\") else { return nil }
                place += 2
                found = found.union(Bytes(first...last))
            }
            guard take("]") else { return nil }
            return isInverted ? found.inverted : found
        }
    }
}

/// `target_modules` and `exclude_modules` of PEFT: ends of names, or an expression over whole names.
struct ModuleChoice: Sendable, Equatable {
    private var names: Set<String>?
    private var pattern: ModulePattern?
    private let takesAll: Bool

    init(_ targets: AdapterConfig.Targets) {
        takesAll = targets == .pattern("all-linear")
        switch targets {
        case .names(let list): names = Set(list)
        case .pattern(let text): pattern = ModulePattern(text)
        }
    }

    var steps: Int { pattern?.count ?? 0 }
    var isUnderstood: Bool { takesAll || names != nil || pattern != nil }

    /// - Returns: nil when the expression is not understood.
    func takes(_ module: String) -> Bool? {
        if takesAll { return true }
        guard let names else { return pattern?.matches(module) }
        var rest = module[...]
        while !names.contains(String(rest)) {
            guard let dot = rest.firstIndex(of: ".") else { return false }
            rest = rest[rest.index(after: dot)...]
        }
        return true
    }
}

/// `rank_pattern` and `alpha_pattern` of PEFT: numbers for modules whose names end as a key describes. The first key that fits counts.
package struct ModuleNumbers: Sendable, Equatable {
    private var exact: [String: Entry] = [:]
    private var patterns: [Entry] = []

    private struct Entry: Sendable, Equatable {
        let order: Int
        let number: Double
        var pattern: ModulePattern?
    }

    package static let none = ModuleNumbers()
    /// Keys that are looked at for every module; names alone are found at once, and there may be any number of them.
    private static let mostPatterns = 256

    private init() {}

    /// Of all expressions.
    package var steps: Int { patterns.reduce(0) { $0 + ($1.pattern?.count ?? 0) } }

    package init(_ json: JSON?, field: String, path: String, isAllowed: (Double) -> Bool, expected: String) throws(HadpoError) {
        guard let json, json != .null else { return }
        guard let members = json.objectValue else {
            throw HadpoError(
                .format, "adapter field \(field) has the wrong type", at: path, found: json.shortText(),
                expected: "names of modules with numbers")
        }
        for (order, member) in members.enumerated() {
            guard let number = member.value.doubleValue, isAllowed(number) else {
                throw HadpoError(
                    .format, "adapter field \(field) has a value that is none", at: path,
                    found: "\"\(member.key)\": \(member.value.shortText())", expected: expected)
            }
            if member.key.utf8.allSatisfy({ ModuleNumbers.isPlain($0) }) {
                exact[member.key] = exact[member.key] ?? Entry(order: order, number: number)
                continue
            }
            guard let pattern = ModulePattern("(.*\\.)?(\(member.key))") else {
                throw HadpoError(
                    .unsupported, "adapter: a regular expression that is not understood", at: path,
                    found: "\(field) \"\(member.key)\"", expected: "names of modules, or expressions without look-around")
            }
            patterns.append(Entry(order: order, number: number, pattern: pattern))
        }
        guard patterns.count <= Self.mostPatterns else {
            throw HadpoError(
                .unsupported, "adapter: too many regular expressions", at: path, found: "\(patterns.count) in \(field)",
                expected: "at most \(Self.mostPatterns), and any number of plain names")
        }
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        switch Unicode.Scalar(byte) {
        case "a"..."z", "A"..."Z", "0"..."9", "_", ".": true
        default: false
        }
    }

    package subscript(module: String) -> Double? {
        var best: Entry?
        var rest = module[...]
        while true {
            if let found = exact[String(rest)], found.order < best?.order ?? Int.max { best = found }
            guard let dot = rest.firstIndex(of: ".") else { break }
            rest = rest[rest.index(after: dot)...]
        }
        for entry in patterns where entry.order < best?.order ?? Int.max {
            if entry.pattern?.matches(module) == true { return entry.number }
        }
        return best?.number
    }
}
