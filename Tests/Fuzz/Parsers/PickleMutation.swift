/// Changes of a pickle by its instructions: one gone, twice, elsewhere, another, or with another argument.
enum PickleMutation {
    private enum Argument {
        case none, bytes(Int), lines(Int)
        /// A little-endian length of so many bytes, and as many bytes.
        case counted(Int)
    }

    private static let instructions: [UInt8: Argument] = {
        var table: [UInt8: Argument] = [:]
        for code in Array("N()]}taesu02RbQ.".utf8) + [0x81, 0x85, 0x86, 0x87, 0x88, 0x89, 0x93, 0x94] {
            table[code] = Argument.none
        }
        for (code, count) in [("J", 4), ("K", 1), ("M", 2), ("G", 8), ("q", 1), ("r", 4), ("h", 1), ("j", 4)] {
            for byte in code.utf8 { table[byte] = .bytes(count) }
        }
        for (code, count) in [("X", 4), ("U", 1), ("T", 4), ("C", 1), ("B", 4)] {
            for byte in code.utf8 { table[byte] = .counted(count) }
        }
        table[0x80] = .bytes(1)
        table[0x95] = .bytes(8)
        table[0x8A] = .counted(1)
        table[0x8C] = .counted(1)
        table[UInt8(ascii: "c")] = .lines(2)
        return table
    }()

    private static let globals = [
        "ctorch._utils\n_rebuild_tensor_v2\n", "ctorch._utils\n_rebuild_parameter\n", "ccollections\nOrderedDict\n",
        "ctorch\nFloatStorage\n",
        "ctorch\nHalfStorage\n", "ctorch\nSize\n", "cos\nsystem\n", "ctorch._utils\n_rebuild_tensor_v3\n", "ctorch\nfloat16\n",
    ]

    static func apply(_ input: [UInt8], _ random: inout SeededRandom) -> [UInt8] {
        var output = input
        for _ in 0...random.below(3) { output = once(output, &random) }
        return output
    }

    private static func once(_ input: [UInt8], _ random: inout SeededRandom) -> [UInt8] {
        let spans = split(input)
        guard !spans.isEmpty else { return made(&random) + input }
        let span = random.pick(spans)
        let start = span.lowerBound
        switch random.below(7) {
        case 0: return input.replacing(span, [])
        case 1: return input.replacing(start..<start, Array(input[span]))
        case 2: return input.replacing(start..<start, Array(input[random.pick(spans)]))
        case 3: return input.replacing(span, made(&random))
        case 4: return input.replacing(start..<start, made(&random))
        case 5:
            // A run of instructions once more, often enough to grow.
            let end = random.pick(spans).upperBound
            guard end > start, end - start < 512 else { return input }
            return input.replacing(
                end..<end, Array(repeating: Array(input[start..<end]), count: 1 << random.below(6)).flatMap { $0 })
        default:
            guard span.count > 1 else { return input.replacing(span, made(&random)) }
            return input.replacing(start + 1..<start + 2, [random.pick([0, 1, 0x7F, 0x80, 0xFF])])
        }
    }

    private static func made(_ random: inout SeededRandom) -> [UInt8] {
        func bytes(_ count: Int) -> [UInt8] {
            let number = random.pick([0, 1, 2, 0x7F, 0xFF, 0x7FFF_FFFF, .max, random.next()])
            return (0..<count).map { UInt8(truncatingIfNeeded: number >> (8 * UInt64($0))) }
        }
        let code = random.pick(instructions.keys.sorted())
        switch instructions[code] ?? .none {
        case .none: return [code]
        case .bytes(let count): return [code] + bytes(count)
        case .lines: return Array(random.pick(globals).utf8)
        case .counted(let count):
            let text = random.pick(["", "0", "storage", "cpu", "a.weight", "\u{e9}"]).utf8
            return [code, UInt8(text.count)] + [UInt8](repeating: 0, count: count - 1) + text
        }
    }

    /// Up to the first byte that is no instruction.
    private static func split(_ input: [UInt8]) -> [Range<Int>] {
        var spans: [Range<Int>] = []
        var at = 0
        while at < input.count, spans.count < 4096, let argument = instructions[input[at]] {
            var end = at + 1
            switch argument {
            case .none: break
            case .bytes(let count): end += count
            case .lines(let count):
                for _ in 0..<count { end = (input[min(end, input.count)...].firstIndex(of: 0x0A) ?? input.count) + 1 }
            case .counted(let count):
                guard end + count <= input.count else { return spans }
                let length = input[end..<end + count].reversed().reduce(0) { $0 << 8 | Int($1) }
                end += count
                guard length <= input.count - end else { return spans }
                end += length
            }
            guard end <= input.count else { return spans }
            spans.append(at..<end)
            at = end
        }
        return spans
    }
}
