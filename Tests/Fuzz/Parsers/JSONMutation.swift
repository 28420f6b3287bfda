/// Changes of a JSON text, or of lines of them, that mostly leave it a JSON text: values of another type or size, members twice,
/// elements gone, values inside values.
enum JSONMutation {
    /// A value's bytes.
    private typealias Span = Range<Int>

    static func apply(_ input: [UInt8], _ random: inout SeededRandom) -> [UInt8] {
        var output = input
        for _ in 0...random.below(3) { output = once(output, &random) }
        return output
    }

    private static func once(_ input: [UInt8], _ random: inout SeededRandom) -> [UInt8] {
        let spans = values(input)
        guard !spans.isEmpty else { return value(&random, depth: 3) }
        let span = random.pick(spans)
        let old = Array(input[span])
        switch random.below(9) {
        case 0, 1: return input.replacing(span, scalar(&random))
        case 2: return input.replacing(span, value(&random, depth: 3))
        case 3: return input.replacing(span, old + comma + old)
        case 4: return input.replacing(span, Array(input[random.pick(spans)]))
        case 5: return input.replacing(separated(input, span), [])
        case 6:
            let depth = 1 << random.below(8)
            let (before, after) = random.below(2) == 0 ? ("[", "]") : ("{\"a\":", "}")
            return input.replacing(span, repeated(before, depth) + old + repeated(after, depth))
        case 7:
            // A line, or the whole, once more.
            let start = input[..<span.lowerBound].lastIndex(of: 0x0A).map { $0 + 1 } ?? 0
            let end = input[span.upperBound...].firstIndex(of: 0x0A) ?? input.count
            return input.replacing(end..<end, [0x0A] + input[start..<end])
        default: return input.replacing(span, number(old, &random))
        }
    }

    private static let comma: [UInt8] = [UInt8(ascii: ",")]

    private static func repeated(_ text: String, _ count: Int) -> [UInt8] { Array(String(repeating: text, count: count).utf8) }

    /// Every value and every key; brackets need not match.
    private static func values(_ input: [UInt8]) -> [Span] {
        var spans: [Span] = []
        var open: [Int] = []
        var at = 0
        while at < input.count, spans.count < 4096 {
            let start = at
            switch input[at] {
            case UInt8(ascii: "\""):
                at += 1
                while at < input.count, input[at] != UInt8(ascii: "\"") { at += input[at] == UInt8(ascii: "\\") ? 2 : 1 }
                at = min(input.count, at + 1)
                spans.append(start..<at)
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                open.append(at)
                at += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                at += 1
                if let begin = open.popLast() { spans.append(begin..<at) }
            case UInt8(ascii: ","), UInt8(ascii: ":"), 0x00...0x20: at += 1
            default:
                while at < input.count, !",:[]{}\"".utf8.contains(input[at]), input[at] > 0x20 { at += 1 }
                spans.append(start..<at)
            }
        }
        return spans
    }

    /// With the comma behind it, or else before it.
    private static func separated(_ input: [UInt8], _ span: Span) -> Span {
        if span.upperBound < input.count, input[span.upperBound] == comma[0] { return span.lowerBound..<span.upperBound + 1 }
        if span.lowerBound > 0, input[span.lowerBound - 1] == comma[0] { return span.lowerBound - 1..<span.upperBound }
        return span
    }

    // MARK: what is put in

    private static let scalars: [String] = [
        "0", "-0", "1", "-1", "2", "0.1", "1e308", "-1e308", "1e-400", "1e999", "2147483647", "2147483648", "-2147483649",
        "4294967296",
        "9007199254740993", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "18446744073709551616", "1e18",
        "1e19",
        "4611686018427387904", "true", "false", "null", "[]", "{}", "\"\"", "[0]", "[[]]", "\"\\u0000\"", "\"\\ud83d\\ude00\"",
        "\"\\ud800\"",
        "\"\\udc00\"", "\"\u{FEFF}\"", "\"a\u{301}\"", "\"../../x\"", "\"/dev/null\"", "\"yes\"", "\"no\"", "\"1\"", "\" 1 \"",
        "\"-1\"",
        "\"F32\"", "\"BF16\"", "\"<image>\"", "\"\\n\"", "\"%s%n\"", "NaN", "-Infinity", "\"image_id\"", "\"id\"", "\"step\"",
    ]

    static func scalar(_ random: inout SeededRandom) -> [UInt8] {
        switch random.below(16) {
        case 0: return Array("\"\(String(repeating: "long ", count: 1 << random.below(9)))\"".utf8)
        case 1: return Array("[\(Array(repeating: "0", count: 1 << random.below(10)).joined(separator: ","))]".utf8)
        case 2: return Array("\(Int64(bitPattern: random.next()) >> Int64(random.below(63)))".utf8)
        default: return Array(random.pick(scalars).utf8)
        }
    }

    static func value(_ random: inout SeededRandom, depth: Int) -> [UInt8] {
        guard depth > 0, random.below(3) != 0 else { return scalar(&random) }
        let isObject = random.below(2) == 0
        var text: [UInt8] = [UInt8(ascii: isObject ? "{" : "[")]
        for index in 0..<random.below(5) {
            if index > 0 { text += comma }
            if isObject { text += Array("\"\(random.pick(["a", "id", "image_id", "text", "", "\\u00e9"]))\":".utf8) }
            text += value(&random, depth: depth - 1)
        }
        return text + [UInt8(ascii: isObject ? "}" : "]")]
    }

    /// A neighbour of a number, in quotes if it was; of anything else, some number.
    private static func number(_ old: [UInt8], _ random: inout SeededRandom) -> [UInt8] {
        let quote = UInt8(ascii: "\"")
        if old.count > 2, old.first == quote, old.last == quote {
            let inner = Array(old.dropFirst().dropLast())
            guard Int64(String(decoding: inner, as: UTF8.self)) != nil else { return scalar(&random) }
            return [quote] + number(inner, &random) + [quote]
        }
        guard let value = Int64(String(decoding: old, as: UTF8.self)) else { return scalar(&random) }
        if random.below(3) == 0 {
            return Array("\(random.pick([Int64.max, .min, .max - 1, 1 << 62, 1 << 32, 1 << 31, -1]))".utf8)
        }
        let (changed, overflow) =
            switch random.below(4) {
            case 0: value.addingReportingOverflow(1)
            case 1: value.subtractingReportingOverflow(1)
            case 2: value.multipliedReportingOverflow(by: 1 << Int64(1 + random.below(40)))
            default: value.multipliedReportingOverflow(by: -1)
            }
        return Array("\(overflow ? Int64.max : changed)".utf8)
    }
}

extension [UInt8] {
    func replacing(_ range: Range<Int>, _ bytes: [UInt8]) -> [UInt8] {
        self[..<range.lowerBound] + bytes + self[range.upperBound...]
    }
}
