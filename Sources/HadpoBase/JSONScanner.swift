import CHadpoScan

package struct JSONLimits: Sendable {
    package enum LargeIntegers: Sendable { case reject, double }

    /// Arrays and objects inside each other.
    package var depth = 64
    package var bytes = 1 << 31
    /// Integers beyond 64 bits. Hugging Face writes `"model_max_length": 1000000000000000019884624838656` into
    /// tokenizer_config.json, so files of a checkpoint are read with `.checkpoint`.
    package var largeIntegers = LargeIntegers.reject

    package init(depth: Int = 64, bytes: Int = 1 << 31, largeIntegers: LargeIntegers = .reject) {
        self.depth = depth
        self.bytes = bytes
        self.largeIntegers = largeIntegers
    }
    package static let checkpoint = JSONLimits(largeIntegers: .double)
}

/// Checks a text against RFC 8259 byte by byte before json-c sees it. json-c 0.16 in its strict mode still replaces duplicate
/// keys silently, takes NaN, 'a', `1.` and lone surrogates, saturates large integers and cuts keys at an embedded NUL.
///
/// The grammar is in C (`hs_scan_value`), where checking is as fast as reading; here faults become errors with their place.
final class JSONScanner {
    private var scan = hs_scan()
    private(set) var bytes = UnsafeRawBufferPointer(start: nil, count: 0)
    private(set) var source = ""
    private var limits = JSONLimits()
    /// Where a text within a larger file begins: a line of JSON Lines.
    private var firstLine = 1

    init() { hs_init(&scan) }

    deinit { hs_free(&scan) }

    /// Another text. `isArray`: its elements are asked for one by one.
    func begin(
        _ bytes: UnsafeRawBufferPointer, source: String, limits: JSONLimits, firstLine: Int = 1, isArray: Bool = false
    ) throws(HadpoError) {
        self.bytes = bytes
        self.source = source
        self.limits = limits
        self.firstLine = firstLine
        let limit = min(limits.bytes, Int(UInt32.max))
        if bytes.count > limit {
            throw HadpoError(.json, "JSON text too long", at: source, found: "\(bytes.count) bytes", expected: "at most \(limit)")
        }
        let result = hs_begin(
            &scan, bytes.assumingMemoryBound(to: UInt8.self).baseAddress, bytes.count, max(0, limits.depth), isArray ? 1 : 0)
        if result != HS_DONE { throw fault(result) }
        if bytes.count >= 3, bytes[0] == 0xEF, bytes[1] == 0xBB, bytes[2] == 0xBF {
            throw error(
                "byte order mark before the JSON text", found: "EF BB BF", expected: "plain UTF-8", isBetweenElements: true)
        }
    }

    private var position: Int {
        get { scan.position }
        set { scan.position = newValue }
    }

    /// One value and nothing behind it. Answers its bytes.
    func scanWhole() throws(HadpoError) -> Range<Int> {
        skipSpace()
        let start = position
        try scanValue()
        let end = position
        skipSpace()
        if position < bytes.count { throw error("text after the JSON value", found: describe(position), expected: "the end") }
        return start..<end
    }

    // MARK: a top-level array, element by element

    func enterArray() throws(HadpoError) {
        skipSpace()
        guard position < bytes.count, bytes[position] == UInt8(ascii: "[") else {
            throw error("no JSON array", found: describe(position), expected: "'['", isBetweenElements: true)
        }
        position += 1
    }

    /// Scans element number `index` and answers its bytes; nil behind the last one, when the rest must be blank.
    func nextElement(_ index: Int) throws(HadpoError) -> Range<Int>? {
        skipSpace()
        scan.levels[0].index = index
        scan.large_integer_count = 0
        scan.span_count = 0
        scan.value_count = 0
        scan.text_bytes = 0
        if position < bytes.count, bytes[position] == UInt8(ascii: "]") {
            position += 1
            skipSpace()
            if position < bytes.count {
                throw error(
                    "text after the JSON value", found: describe(position), expected: "the end", isBetweenElements: true)
            }
            return nil
        }
        if index > 0 {
            guard position < bytes.count, bytes[position] == UInt8(ascii: ",") else {
                throw error("broken array", found: describe(position), expected: "',' or ']'")
            }
            position += 1
            skipSpace()
        }
        let start = position
        try scanValue()
        return start..<position
    }

    private func skipSpace() { position = hs_skip_space(scan.bytes, scan.position, scan.count) }

    private func scanValue() throws(HadpoError) {
        while true {
            let result = hs_scan_value(&scan)
            switch result {
            case HS_DONE: return
            case HS_LARGE_INTEGER:
                guard limits.largeIntegers == .double else {
                    throw error(
                        "integer beyond 64 bits", at: scan.token, found: describe(scan.token),
                        expected: "-9223372036854775808 to 9223372036854775807")
                }
                try checkRange()
                if !hs_note_large_integer(&scan) { throw fault(HS_NO_MEMORY) }
            case HS_LARGE_NUMBER: try checkRange()
            default: throw fault(result)
            }
        }
    }

    /// The number from the token to the position, as a double.
    private func checkRange() throws(HadpoError) {
        let number = UnsafeRawBufferPointer(rebasing: bytes[scan.token..<position])
        // More digits than these are zeros or lead beyond a double; a fraction of any length is cut by the reader itself.
        try Memory.require(number.count, for: "a number", at: source)
        guard let value = Double(String(decoding: number, as: UTF8.self)), value.isFinite else {
            throw error(
                "number beyond the range of a double", at: scan.token, found: describe(scan.token),
                expected: "a magnitude below 1.8e308")
        }
    }

    // MARK: what was found out on the way

    /// Offsets behind integers beyond 64 bits, with `.double` only.
    var largeIntegerEnds: UnsafeBufferPointer<Int> { .init(start: scan.large_integers, count: scan.large_integer_count) }

    /// Arrays, objects and strings of more than 64 KiB: where each begins, where it ends, how many elements it has.
    var largeValues: [Int: (end: Int, count: Int)] {
        var spans: [Int: (end: Int, count: Int)] = [:]
        for span in UnsafeBufferPointer(start: scan.spans, count: scan.span_count) { spans[span.start] = (span.end, span.count) }
        return spans
    }

    /// What the values take at most when they are built: each in its place, long texts beside them.
    var builtBytes: Int {
        let places = Memory.bytes(scan.value_count, of: MemoryLayout<JSON.Member>.stride)
        let (sum, overflow) = places.addingReportingOverflow(scan.text_bytes)
        return overflow ? Int.max : sum
    }

    // MARK: errors

    private func fault(_ result: hs_result) -> HadpoError {
        func broken(_ message: String, _ expected: String) -> HadpoError {
            error(message, found: describe(scan.token), expected: expected)
        }
        func early(_ expected: String) -> HadpoError {
            error("JSON text ends early", found: "the end", expected: expected)
        }
        switch result {
        case HS_NO_MEMORY: return Memory.unavailable(bytes.count, "checking JSON", source)
        case HS_END_OF_VALUE: return early("a value")
        case HS_END_OF_ARRAY: return early("',' or ']'")
        case HS_END_OF_OBJECT: return early("',' or '}'")
        case HS_END_OF_STRING: return early("the closing '\"' of a string")
        case HS_END_OF_ESCAPE: return early("an escape")
        case HS_END_OF_UNICODE_ESCAPE: return early("\\uXXXX")
        case HS_NO_VALUE: return broken("not a JSON value", "a value")
        case HS_NO_TRUE: return broken("not a JSON value", "true")
        case HS_NO_FALSE: return broken("not a JSON value", "false")
        case HS_NO_NULL: return broken("not a JSON value", "null")
        case HS_NO_NUMBER: return broken("not a JSON number", "digits, as in 0, -1.5 or 1e-3")
        case HS_NO_KEY: return broken("broken object", "a key in double quotes")
        case HS_NO_COLON: return broken("broken object", "':'")
        case HS_BROKEN_ARRAY: return broken("broken array", "',' or ']'")
        case HS_BROKEN_OBJECT: return broken("broken object", "',' or '}'")
        case HS_TOO_DEEP:
            return error("JSON nested too deeply", found: "depth \(scan.depth + 1)", expected: "at most \(limits.depth)")
        case HS_DUPLICATE_KEY:
            let level = scan.levels[scan.depth - 1]
            return error(
                "duplicate key", found: "'\(beginning(level.key_start..<level.key_end))'", expected: "each key once")
        case HS_KEY_WITH_NUL: return error("key with an embedded NUL", found: "\\u0000", expected: "a key without it")
        case HS_CONTROL_CHARACTER: return broken("control character in a string", "an escape such as \\n")
        case HS_UNKNOWN_ESCAPE: return broken("unknown escape in a string", "one of \" \\ / b f n r t u")
        case HS_BROKEN_UNICODE_ESCAPE: return broken("broken \\u escape", "four hexadecimal digits")
        case HS_HALF_SURROGATE_PAIR: return broken("half a surrogate pair in a string", "a pair \\uD8xx\\uDCxx")
        case HS_NO_UTF8: return broken("not UTF-8", "well-formed UTF-8")
        default: return HadpoError(.internal, "an unknown fault of a JSON text", at: source, found: "\(result.rawValue)")
        }
    }

    private func describe(_ offset: Int) -> String {
        guard offset < bytes.count else { return "the end" }
        let byte = bytes[offset]
        guard (0x20..<0x7F).contains(byte) else { return "byte 0x" + String(byte, radix: 16, uppercase: true) }
        let word = bytes[offset..<min(bytes.count, offset + 24)].prefix { isWordByte($0) || [0x2E, 0x2D, 0x2B].contains($0) }
        return "'" + String(decoding: word.isEmpty ? bytes[offset...offset] : word, as: UTF8.self) + "'"
    }

    private func isWordByte(_ byte: UInt8) -> Bool {
        (byte | 0x20) &- UInt8(ascii: "a") < 26 || byte &- UInt8(ascii: "0") < 10 || byte == UInt8(ascii: "_")
    }

    /// What a checked string stands for, as far as an error shows it. An escape of six bytes is one character at least.
    private func beginning(_ range: Range<Int>) -> String {
        let end = min(range.upperBound, range.lowerBound + 6 * (String.messageLimit + 1))
        return JSONText.decoded(UnsafeRawBufferPointer(rebasing: bytes[range.lowerBound..<end])).shortened()
    }

    private var pointer: String {
        var pointer = ""
        for level in UnsafeBufferPointer(start: scan.levels, count: scan.depth) {
            if !level.is_object {
                pointer += "/\(level.index)"
            } else if level.has_key {
                pointer += "/" + escapedPointer(beginning(level.key_start..<level.key_end))
            }
        }
        return pointer
    }

    /// Lines and columns count from 1; a column is a character (Unicode scalar). Between the elements of an array there is
    /// none to point at.
    private func error(
        _ message: String, at offset: Int? = nil, found: String, expected: String, isBetweenElements: Bool = false
    ) -> HadpoError {
        let end = min(offset ?? position, bytes.count)
        let before = UnsafeRawBufferPointer(rebasing: bytes[..<end])
        let line = firstLine + Int(hs_count_lines(before.assumingMemoryBound(to: UInt8.self).baseAddress, end))
        let lineStart = before.lastIndex(of: 0x0A).map { $0 + 1 } ?? 0
        let column = before[lineStart...].reduce(1) { $1 & 0xC0 == 0x80 ? $0 : $0 + 1 }
        let at = isBetweenElements ? "" : pointer
        return HadpoError(
            .json, message, at: "\(source):\(line):\(column)" + (at.isEmpty ? "" : " \(at)"), found: found, expected: expected)
    }
}

/// The text of strings that have been checked.
enum JSONText {
    /// What stands between the quotes, escapes resolved; written once, where it stays.
    static func decoded(_ text: UnsafeRawBufferPointer) -> String {
        guard let base = text.assumingMemoryBound(to: UInt8.self).baseAddress else { return "" }
        return String(unsafeUninitializedCapacity: text.count) { hs_decode(base, 0, text.count, $0.baseAddress) }
    }
}

/// RFC 6901.
func escapedPointer(_ key: String) -> String {
    guard key.utf8.contains(where: { $0 == UInt8(ascii: "~") || $0 == UInt8(ascii: "/") }) else { return key }
    var result = ""
    for scalar in key.unicodeScalars {
        switch scalar {
        case "~": result += "~0"
        case "/": result += "~1"
        default: result.unicodeScalars.append(scalar)
        }
    }
    return result
}
