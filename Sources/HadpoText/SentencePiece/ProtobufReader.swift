import HadpoBase

/// Walks the fields of one protocol buffer message (wire format of protobuf 2 and 3), trusting nothing in it.
struct ProtobufReader {
    enum Value {
        case varint(UInt64)
        case fixed64(UInt64)
        case bytes(Range<Int>)
        case fixed32(UInt32)
    }

    struct Field {
        let number: Int
        let value: Value
        /// Where the field begins, for messages.
        let offset: Int
    }

    private let data: [UInt8]
    private var position: Int
    private let end: Int
    private let source: String

    init(_ data: [UInt8], _ range: Range<Int>, source: String) {
        self.data = data
        self.source = source
        position = range.lowerBound
        end = range.upperBound
    }

    /// The next field, nil at the end of the message.
    mutating func next() throws(HadpoError) -> Field? {
        guard position < end else { return nil }
        let offset = position
        let tag = try varint()
        guard let number = Int(exactly: tag >> 3), number > 0, number < 1 << 29 else {
            throw failure("a protobuf field number is out of range", found: "\(tag >> 3)", expected: "1 to 536870911", at: offset)
        }
        switch tag & 7 {
        case 0: return Field(number: number, value: .varint(try varint()), offset: offset)
        case 1: return Field(number: number, value: .fixed64(try littleEndian(8)), offset: offset)
        case 5: return Field(number: number, value: .fixed32(UInt32(truncatingIfNeeded: try littleEndian(4))), offset: offset)
        case 2:
            let length = try varint()
            guard length <= UInt64(end - position), let count = Int(exactly: length) else {
                throw failure(
                    "a protobuf field is longer than its message", found: "\(length) bytes",
                    expected: "at most \(end - position)", at: offset)
            }
            let start = position
            position += count
            return Field(number: number, value: .bytes(start..<position), offset: offset)
        default:
            throw failure(
                "a protobuf field has a wire type that is not used here", found: "\(tag & 7)", expected: "0, 1, 2 or 5",
                at: offset)
        }
    }

    private mutating func varint() throws(HadpoError) -> UInt64 {
        let start = position
        var result: UInt64 = 0
        for index in 0..<10 {
            guard position < end else { throw truncated(at: start) }
            let byte = data[position]
            position += 1
            if index == 9, byte > 1 { break }
            result |= UInt64(byte & 0x7F) << UInt64(7 * index)
            if byte < 0x80 { return result }
        }
        throw failure("a protobuf integer is too long", found: "more than 64 bits", expected: "at most 64 bits", at: start)
    }

    private mutating func littleEndian(_ count: Int) throws(HadpoError) -> UInt64 {
        guard end - position >= count else { throw truncated(at: position) }
        var result: UInt64 = 0
        for index in 0..<count { result |= UInt64(data[position + index]) << UInt64(8 * index) }
        position += count
        return result
    }

    private func truncated(at offset: Int) -> HadpoError {
        failure("the protobuf message ends inside a field", found: "\(end) bytes", expected: "more", at: offset)
    }

    private func failure(_ message: String, found: String, expected: String, at offset: Int) -> HadpoError {
        HadpoError(.format, message, at: "\(source), byte \(offset)", found: found, expected: expected)
    }
}
