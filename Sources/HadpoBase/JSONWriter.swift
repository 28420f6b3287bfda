extension JSON {
    /// The text Python's `json.dumps` would write with the same indent (`ascii` as its ensure_ascii), numbers in their shortest
    /// round-trip form. A number that is not finite becomes null, because JSON has no word for it.
    package func text(indent: Int? = nil, ascii: Bool = false) -> String {
        var writer = JSONWriter(indent: indent, ascii: ascii)
        writer.write(self, 0)
        return String(decoding: writer.bytes, as: UTF8.self)
    }

    /// The text as an error shows it: what is longer than `limit` bytes ends in "...".
    package func shortText(_ limit: Int = String.messageLimit) -> String {
        var writer = JSONWriter(indent: nil, ascii: false, limit: limit)
        writer.write(self, 0)
        return String(decoding: writer.bytes, as: UTF8.self).shortened(to: limit)
    }
}

private struct JSONWriter {
    let indent: Int?
    let ascii: Bool
    /// Behind so many bytes nothing more is written.
    let limit: Int
    var bytes: [UInt8] = []

    init(indent: Int?, ascii: Bool, limit: Int = .max) {
        self.indent = indent
        self.ascii = ascii
        self.limit = limit
    }

    mutating func write(_ value: JSON, _ level: Int) {
        if bytes.count > limit { return }
        switch value {
        case .null: put("null")
        case .bool(let flag): put(flag ? "true" : "false")
        case .int(let number): put(String(number))
        case .double(let number): put(number.isFinite ? number.description : "null")
        case .string(let text): write(text)
        case .array(let elements):
            put("[")
            for (index, element) in elements.enumerated() where bytes.count <= limit {
                separate(index, level + 1)
                write(element, level + 1)
            }
            if !elements.isEmpty { newLine(level) }
            put("]")
        case .object(let members):
            put("{")
            for (index, member) in members.enumerated() where bytes.count <= limit {
                separate(index, level + 1)
                write(member.key)
                put(": ")
                write(member.value, level + 1)
            }
            if !members.isEmpty { newLine(level) }
            put("}")
        }
    }

    private mutating func put(_ text: StaticString) {
        bytes.append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    private mutating func put(_ text: String) {
        var text = text
        text.withUTF8 { bytes.append(contentsOf: $0) }
    }

    private mutating func separate(_ index: Int, _ level: Int) {
        if index > 0 { put(indent == nil ? ", " : ",") }
        newLine(level)
    }

    private mutating func newLine(_ level: Int) {
        guard let indent else { return }
        bytes.append(0x0A)
        bytes.append(contentsOf: repeatElement(0x20, count: max(0, indent) * level))
    }

    private mutating func write(_ text: String) {
        var text = text.shortened(to: limit)
        bytes.append(UInt8(ascii: "\""))
        text.withUTF8 { utf8 in
            // What needs no escape is copied in one piece.
            var start = 0
            var at = 0
            while at < utf8.count {
                let byte = utf8[at]
                if byte >= 0x20, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte < 0x7F || !ascii {
                    at += 1
                    continue
                }
                bytes.append(contentsOf: UnsafeBufferPointer(rebasing: utf8[start..<at]))
                at += escape(utf8, at)
                start = at
            }
            bytes.append(contentsOf: UnsafeBufferPointer(rebasing: utf8[start...]))
        }
        bytes.append(UInt8(ascii: "\""))
    }

    /// Writes the character at `at` as an escape; answers how many bytes it has.
    private mutating func escape(_ utf8: UnsafeBufferPointer<UInt8>, _ at: Int) -> Int {
        switch utf8[at] {
        case UInt8(ascii: "\""): put("\\\"")
        case UInt8(ascii: "\\"): put("\\\\")
        case 0x08: put("\\b")
        case 0x0C: put("\\f")
        case 0x0A: put("\\n")
        case 0x0D: put("\\r")
        case 0x09: put("\\t")
        case let byte where byte < 0x80: escape(unit: UInt32(byte))
        case let lead:
            let length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4
            // A string of Swift is well-formed UTF-8: the lead holds 5, 4 or 3 bits, each byte behind it 6.
            let scalar = utf8[at...].dropFirst().prefix(length - 1).reduce(UInt32(lead & (0xFF >> UInt8(length + 1)))) {
                $0 << 6 | UInt32($1 & 0x3F)
            }
            if scalar < 0x10000 {
                escape(unit: scalar)
            } else {
                escape(unit: 0xD7C0 + scalar >> 10)
                escape(unit: 0xDC00 + scalar & 0x3FF)
            }
            return length
        }
        return 1
    }

    private mutating func escape(unit: UInt32) {
        put("\\u")
        for shift: UInt32 in [12, 8, 4, 0] {
            let digit = UInt8(truncatingIfNeeded: unit >> shift & 0xF)
            bytes.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
        }
    }
}
