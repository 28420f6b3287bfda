extension JSON {
    /// The text Python's `json.dumps` would write with the same indent (`ascii` as its ensure_ascii), numbers in their shortest
    /// round-trip form. A number that is not finite becomes null, because JSON has no word for it.
    package func text(indent: Int? = nil, ascii: Bool = false) -> String {
        var writer = JSONWriter(indent: indent, ascii: ascii)
        writer.write(self, 0)
        return String(decoding: writer.bytes, as: UTF8.self)
    }
}

private struct JSONWriter {
    let indent: Int?
    let ascii: Bool
    var bytes: [UInt8] = []

    init(indent: Int?, ascii: Bool) {
        self.indent = indent
        self.ascii = ascii
    }

    mutating func write(_ value: JSON, _ level: Int) {
        switch value {
        case .null: put("null")
        case .bool(let flag): put(flag ? "true" : "false")
        case .int(let number): bytes.append(contentsOf: String(number).utf8)
        case .double(let number): bytes.append(contentsOf: (number.isFinite ? number.description : "null").utf8)
        case .string(let text): write(text)
        case .array(let elements):
            put("[")
            for (index, element) in elements.enumerated() {
                separate(index, level + 1)
                write(element, level + 1)
            }
            if !elements.isEmpty { newLine(level) }
            put("]")
        case .object(let members):
            put("{")
            for (index, member) in members.enumerated() {
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
        bytes.append(UInt8(ascii: "\""))
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": put("\\\"")
            case "\\": put("\\\\")
            case "\u{8}": put("\\b")
            case "\u{C}": put("\\f")
            case "\n": put("\\n")
            case "\r": put("\\r")
            case "\t": put("\\t")
            default:
                if scalar.value < 0x20 || (ascii && scalar.value > 0x7E) {
                    for unit in Character(scalar).utf16 { escape(unit) }
                } else {
                    bytes.append(contentsOf: Character(scalar).utf8)
                }
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }

    private mutating func escape(_ unit: UInt16) {
        let digits = String(unit, radix: 16)
        put("\\u")
        bytes.append(contentsOf: repeatElement(UInt8(ascii: "0"), count: 4 - digits.utf8.count))
        bytes.append(contentsOf: digits.utf8)
    }
}
