import Glibc

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
struct JSONScanner {
    private enum Step {
        case index(Int)
        case key(ClosedRange<Int>)
    }

    private let bytes: UnsafeRawBufferPointer
    private let source: String
    private let limits: JSONLimits
    /// Where a text within a larger file begins: a line of JSON Lines.
    private let firstLine: Int
    private var path: [Step] = []
    /// Keys of the objects that are open, innermost last: offsets of the text between the quotes.
    private var keys: [Range<Int>] = []
    private(set) var position = 0
    /// Offsets behind integers beyond 64 bits, with `.double` only.
    private(set) var largeIntegerEnds: [Int] = []

    init(_ bytes: UnsafeRawBufferPointer, source: String, limits: JSONLimits, firstLine: Int = 1) throws(HadpoError) {
        self.bytes = bytes
        self.source = source
        self.limits = limits
        self.firstLine = firstLine
        if bytes.count > limits.bytes {
            throw HadpoError(
                .json, "JSON text too long", at: source, found: "\(bytes.count) bytes", expected: "at most \(limits.bytes)")
        }
        if bytes.count >= 3, bytes[0] == 0xEF, bytes[1] == 0xBB, bytes[2] == 0xBF {
            throw error("byte order mark before the JSON text", found: "EF BB BF", expected: "plain UTF-8")
        }
    }

    /// One value and nothing behind it.
    mutating func scanWhole() throws(HadpoError) {
        skipSpace()
        try scanValue()
        skipSpace()
        if position < bytes.count { throw error("text after the JSON value", found: describe(position), expected: "the end") }
    }

    // MARK: a top-level array, element by element

    mutating func enterArray() throws(HadpoError) {
        skipSpace()
        guard position < bytes.count, bytes[position] == UInt8(ascii: "[") else {
            throw error("no JSON array", found: describe(position), expected: "'['")
        }
        position += 1
    }

    /// Scans element number `index` and answers its bytes; nil behind the last one, when the rest must be blank.
    mutating func nextElement(_ index: Int) throws(HadpoError) -> Range<Int>? {
        skipSpace()
        path = [.index(index)]
        defer { path = [] }
        if position < bytes.count, bytes[position] == UInt8(ascii: "]") {
            path = []
            position += 1
            skipSpace()
            if position < bytes.count {
                throw error("text after the JSON value", found: describe(position), expected: "the end")
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

    mutating func forgetLargeIntegers() { largeIntegerEnds = [] }

    // MARK: grammar

    private mutating func skipSpace() {
        while position < bytes.count {
            switch bytes[position] {
            case 0x20, 0x0A, 0x0D, 0x09: position += 1
            default: return
            }
        }
    }

    private mutating func scanValue() throws(HadpoError) {
        guard position < bytes.count else { throw error("JSON text ends early", found: "the end", expected: "a value") }
        switch bytes[position] {
        case UInt8(ascii: "{"): try scanObject()
        case UInt8(ascii: "["): try scanArray()
        case UInt8(ascii: "\""): _ = try scanString()
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): try scanNumber()
        case UInt8(ascii: "t"): try scanWord("true")
        case UInt8(ascii: "f"): try scanWord("false")
        case UInt8(ascii: "n"): try scanWord("null")
        default: throw error("not a JSON value", found: describe(position), expected: "a value")
        }
    }

    private mutating func scanWord(_ word: StaticString) throws(HadpoError) {
        let start = position
        for offset in 0..<word.utf8CodeUnitCount {
            guard position < bytes.count, bytes[position] == word.utf8Start[offset] else {
                position = start
                throw error("not a JSON value", found: describe(start), expected: "\(word)")
            }
            position += 1
        }
        if position < bytes.count, isWordByte(bytes[position]) {
            position = start
            throw error("not a JSON value", found: describe(start), expected: "\(word)")
        }
    }

    private mutating func checkDepth() throws(HadpoError) {
        if path.count >= limits.depth {
            throw error("JSON nested too deeply", found: "depth \(path.count + 1)", expected: "at most \(limits.depth)")
        }
    }

    private mutating func scanArray() throws(HadpoError) {
        try checkDepth()
        position += 1
        skipSpace()
        if position < bytes.count, bytes[position] == UInt8(ascii: "]") {
            position += 1
            return
        }
        path.append(.index(0))
        var index = 0
        while true {
            try scanValue()
            skipSpace()
            guard position < bytes.count else {
                throw error("JSON text ends early", found: "the end", expected: "',' or ']'")
            }
            switch bytes[position] {
            case UInt8(ascii: ","):
                position += 1
                index += 1
                path[path.count - 1] = .index(index)
                skipSpace()
            case UInt8(ascii: "]"):
                position += 1
                path.removeLast()
                return
            default: throw error("broken array", found: describe(position), expected: "',' or ']'")
            }
        }
    }

    private mutating func scanObject() throws(HadpoError) {
        try checkDepth()
        position += 1
        skipSpace()
        if position < bytes.count, bytes[position] == UInt8(ascii: "}") {
            position += 1
            return
        }
        let firstKey = keys.count
        var manyKeys: Set<[UInt8]>?
        path.append(.index(0))
        while true {
            let start = position
            guard position < bytes.count, bytes[position] == UInt8(ascii: "\"") else {
                path.removeLast()
                throw error("broken object", found: describe(position), expected: "a key in double quotes")
            }
            let key = try scanString()
            path[path.count - 1] = .key(start...(position - 1))
            try addKey(key, start, firstKey, &manyKeys)
            skipSpace()
            guard position < bytes.count, bytes[position] == UInt8(ascii: ":") else {
                throw error("broken object", found: describe(position), expected: "':'")
            }
            position += 1
            skipSpace()
            try scanValue()
            skipSpace()
            guard position < bytes.count else {
                throw error("JSON text ends early", found: "the end", expected: "',' or '}'")
            }
            switch bytes[position] {
            case UInt8(ascii: ","):
                position += 1
                skipSpace()
            case UInt8(ascii: "}"):
                position += 1
                path.removeLast()
                keys.removeSubrange(firstKey...)
                return
            default: throw error("broken object", found: describe(position), expected: "',' or '}'")
            }
        }
    }

    /// Small objects compare each key with those before; vocabularies of a hundred thousand entries go into a set.
    private mutating func addKey(
        _ key: Range<Int>, _ start: Int, _ firstKey: Int, _ manyKeys: inout Set<[UInt8]>?
    ) throws(HadpoError) {
        var known = false
        if manyKeys == nil, keys.count - firstKey < 16 {
            known = keys[firstKey...].contains { sameKey($0, key) }
            keys.append(key)
        } else {
            var set = manyKeys.take() ?? Set(keys[firstKey...].map { decoded($0) })
            known = !set.insert(decoded(key)).inserted
            manyKeys = consume set
        }
        if known {
            position = start
            throw error("duplicate key", found: "'\(String(decoding: decoded(key), as: UTF8.self))'", expected: "each key once")
        }
        if bytes[key].contains(UInt8(ascii: "\\")), decoded(key).contains(0) {
            position = start
            throw error("key with an embedded NUL", found: "\\u0000", expected: "a key without it")
        }
    }

    private func sameKey(_ a: Range<Int>, _ b: Range<Int>) -> Bool {
        if a.count == b.count, bytes[a].elementsEqual(bytes[b]) { return true }
        guard bytes[a].contains(UInt8(ascii: "\\")) || bytes[b].contains(UInt8(ascii: "\\")) else { return false }
        return decoded(a) == decoded(b)
    }

    /// Scans a string from its opening quote; answers what is between the quotes.
    private mutating func scanString() throws(HadpoError) -> Range<Int> {
        let start = position + 1
        position = start
        while position < bytes.count {
            let byte = bytes[position]
            switch byte {
            case UInt8(ascii: "\""):
                position += 1
                return start..<(position - 1)
            case UInt8(ascii: "\\"): try scanEscape()
            case 0..<0x20:
                throw error("control character in a string", found: describe(position), expected: "an escape such as \\n")
            case 0x20..<0x80: position += 1
            default: try scanMultibyte(byte)
            }
        }
        throw error("JSON text ends early", found: "the end", expected: "the closing '\"' of a string")
    }

    private mutating func scanEscape() throws(HadpoError) {
        guard position + 1 < bytes.count else { throw error("JSON text ends early", found: "the end", expected: "an escape") }
        switch bytes[position + 1] {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
            UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            position += 2
        case UInt8(ascii: "u"):
            let unit = try hexUnit(position)
            if (0xDC00..<0xE000).contains(unit) { throw loneSurrogate() }
            if (0xD800..<0xDC00).contains(unit) {
                guard position + 7 < bytes.count, bytes[position + 6] == UInt8(ascii: "\\"),
                    bytes[position + 7] == UInt8(ascii: "u"), (0xDC00..<0xE000).contains(try hexUnit(position + 6))
                else { throw loneSurrogate() }
                position += 6
            }
            position += 6
        default: throw error("unknown escape in a string", found: describe(position + 1), expected: "one of \" \\ / b f n r t u")
        }
    }

    private func loneSurrogate() -> HadpoError {
        error("half a surrogate pair in a string", found: describe(position), expected: "a pair \\uD8xx\\uDCxx")
    }

    /// The value of `\uXXXX` at `offset`.
    private func hexUnit(_ offset: Int) throws(HadpoError) -> Int {
        guard offset + 5 < bytes.count else { throw error("JSON text ends early", found: "the end", expected: "\\uXXXX") }
        var unit = 0
        for byte in bytes[(offset + 2)..<(offset + 6)] {
            guard let digit = hexDigit(byte) else {
                throw error("broken \\u escape", found: describe(offset), expected: "four hexadecimal digits")
            }
            unit = unit << 4 | digit
        }
        return unit
    }

    /// Well-formed UTF-8 after Unicode table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF.
    private mutating func scanMultibyte(_ lead: UInt8) throws(HadpoError) {
        let (count, second): (Int, ClosedRange<UInt8>) =
            switch lead {
            case 0xC2...0xDF: (2, 0x80...0xBF)
            case 0xE0: (3, 0xA0...0xBF)
            case 0xED: (3, 0x80...0x9F)
            case 0xE1...0xEF: (3, 0x80...0xBF)
            case 0xF0: (4, 0x90...0xBF)
            case 0xF1...0xF3: (4, 0x80...0xBF)
            case 0xF4: (4, 0x80...0x8F)
            default: (0, 0...0)
            }
        guard count > 0, position + count <= bytes.count, second.contains(bytes[position + 1]),
            bytes[(position + 2)..<(position + count)].allSatisfy({ $0 & 0xC0 == 0x80 })
        else { throw error("not UTF-8", found: describe(position), expected: "well-formed UTF-8") }
        position += count
    }

    private mutating func scanNumber() throws(HadpoError) {
        let start = position
        if bytes[position] == UInt8(ascii: "-") { position += 1 }
        let digitsStart = position
        guard skipDigits() else { throw numberError(start) }
        if bytes[digitsStart] == UInt8(ascii: "0"), position - digitsStart > 1 { throw numberError(start) }
        var isInteger = true
        if position < bytes.count, bytes[position] == UInt8(ascii: ".") {
            isInteger = false
            position += 1
            guard skipDigits() else { throw numberError(start) }
        }
        if position < bytes.count, bytes[position] | 0x20 == UInt8(ascii: "e") {
            isInteger = false
            position += 1
            if position < bytes.count, bytes[position] == UInt8(ascii: "+") || bytes[position] == UInt8(ascii: "-") {
                position += 1
            }
            guard skipDigits() else { throw numberError(start) }
        }
        if position < bytes.count, isWordByte(bytes[position]) || bytes[position] == UInt8(ascii: ".") {
            throw numberError(start)
        }
        let text = { [bytes, position] in String(decoding: bytes[start..<position], as: UTF8.self) }
        if isInteger, position - digitsStart > 18, Int64(text()) == nil {
            guard limits.largeIntegers == .double else {
                let found = describe(start)
                position = start
                throw error("integer beyond 64 bits", found: found, expected: "-9223372036854775808 to 9223372036854775807")
            }
            largeIntegerEnds.append(position)
            isInteger = false
        }
        // Only a long run of digits or an exponent can leave the range of a double.
        if !isInteger, position - start > 4, !(Double(text())?.isFinite ?? false) {
            let found = describe(start)
            position = start
            throw error("number beyond the range of a double", found: found, expected: "a magnitude below 1.8e308")
        }
    }

    private mutating func skipDigits() -> Bool {
        let start = position
        while position < bytes.count, bytes[position] &- UInt8(ascii: "0") < 10 { position += 1 }
        return position > start
    }

    private mutating func numberError(_ start: Int) -> HadpoError {
        position = start
        return error("not a JSON number", found: describe(start), expected: "digits, as in 0, -1.5 or 1e-3")
    }

    private func isWordByte(_ byte: UInt8) -> Bool {
        (byte | 0x20) &- UInt8(ascii: "a") < 26 || byte &- UInt8(ascii: "0") < 10 || byte == UInt8(ascii: "_")
    }

    // MARK: errors

    private func hexDigit(_ byte: UInt8) -> Int? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): Int(byte) - 48
        case UInt8(ascii: "a")...UInt8(ascii: "f"): Int(byte) - 87
        case UInt8(ascii: "A")...UInt8(ascii: "F"): Int(byte) - 55
        default: nil
        }
    }

    /// The bytes a checked string stands for.
    private func decoded(_ range: Range<Int>) -> [UInt8] {
        guard bytes[range].contains(UInt8(ascii: "\\")) else { return Array(bytes[range]) }
        var result: [UInt8] = []
        var at = range.lowerBound
        func unit(_ offset: Int) -> UInt32 {
            bytes[(offset + 2)..<(offset + 6)].reduce(0) { $0 << 4 | UInt32(hexDigit($1) ?? 0) }
        }
        while at < range.upperBound {
            guard bytes[at] == UInt8(ascii: "\\") else {
                result.append(bytes[at])
                at += 1
                continue
            }
            switch bytes[at + 1] {
            case UInt8(ascii: "u"):
                var scalar = unit(at)
                at += 6
                if (0xD800..<0xDC00).contains(scalar) {
                    scalar = 0x10000 + (scalar - 0xD800) << 10 + (unit(at) - 0xDC00)
                    at += 6
                }
                if let scalar = Unicode.Scalar(scalar) { result.append(contentsOf: String(Character(scalar)).utf8) }
                continue
            case UInt8(ascii: "b"): result.append(8)
            case UInt8(ascii: "f"): result.append(12)
            case UInt8(ascii: "n"): result.append(10)
            case UInt8(ascii: "r"): result.append(13)
            case UInt8(ascii: "t"): result.append(9)
            default: result.append(bytes[at + 1])
            }
            at += 2
        }
        return result
    }

    private func describe(_ offset: Int) -> String {
        guard offset < bytes.count else { return "the end" }
        let byte = bytes[offset]
        guard (0x20..<0x7F).contains(byte) else { return "byte 0x" + String(byte, radix: 16, uppercase: true) }
        let word = bytes[offset..<min(bytes.count, offset + 24)]
            .prefix { isWordByte($0) || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "+") }
        return "'" + String(decoding: word.isEmpty ? bytes[offset...offset] : word, as: UTF8.self) + "'"
    }

    private var pointer: String {
        path.reduce("") { pointer, step in
            switch step {
            case .index(let index): "\(pointer)/\(index)"
            case .key(let quoted):
                pointer + "/"
                    + escapedPointer(String(decoding: decoded((quoted.lowerBound + 1)..<quoted.upperBound), as: UTF8.self))
            }
        }
    }

    /// Lines and columns count from 1; a column is a character (Unicode scalar).
    private func error(_ message: String, found: String, expected: String) -> HadpoError {
        let end = min(position, bytes.count)
        var line = firstLine
        var lineStart = 0
        for offset in 0..<end where bytes[offset] == 0x0A {
            line += 1
            lineStart = offset + 1
        }
        let column = bytes[lineStart..<end].reduce(1) { $1 & 0xC0 == 0x80 ? $0 : $0 + 1 }
        let at = pointer
        return HadpoError(
            .json, message, at: "\(source):\(line):\(column)" + (at.isEmpty ? "" : " \(at)"), found: found, expected: expected)
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
