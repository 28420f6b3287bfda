import CHadpoJSON
import CHadpoScan

/// Builds the values of a text that has passed the scanner. json-c builds them, in pieces of at most 64 KiB where an array or
/// object is larger, so that its own tree never stands beside the whole result. Larger strings are taken from the text itself.
final class JSONBuilder {
    private static let large = Int(HS_LARGE)
    private let tokener: OpaquePointer
    private let depth: Int
    private var bytes = UnsafeRawBufferPointer(start: nil, count: 0)
    private var source = ""
    private var largeIntegerEnds = UnsafeBufferPointer<Int>(start: nil, count: 0)
    /// Values are built in the order of the text: the first of `largeIntegerEnds` that is still to come.
    private var nextLargeInteger = 0
    private var largeValues: [Int: (end: Int, count: Int)] = [:]
    /// False once a string was built that the standard library would compare too slowly.
    private var isOrdered = true

    init(depth: Int) throws(HadpoError) {
        // One level for the array around the text, one because json-c counts the level below the last.
        guard let tokener = json_tokener_new_ex(Int32(clamping: depth + 2)) else {
            throw Memory.unavailable(depth, "reading JSON", nil)
        }
        self.tokener = OpaquePointer(tokener)
        self.depth = depth
    }

    deinit { json_tokener_free(UnsafeMutablePointer(tokener)) }

    func canRead(depth: Int) -> Bool { depth <= self.depth }

    /// The value in `range` of the scanner's text, which it has just checked.
    func build(_ range: Range<Int>, of scanner: JSONScanner) throws(HadpoError) -> JSON {
        let size = scanner.builtBytes
        try Memory.require(size, for: "the values of a JSON text", at: scanner.source)
        bytes = scanner.bytes
        source = scanner.source
        largeIntegerEnds = scanner.largeIntegerEnds
        nextLargeInteger = 0
        isOrdered = true
        let result: JSON
        if range.count <= Self.large {
            result = try small(range)
        } else {
            largeValues = scanner.largeValues
            defer { largeValues = [:] }
            result = try value(range, count: largeValues[range.lowerBound]?.count ?? 0)
        }
        guard isOrdered else {
            throw HadpoError(
                .json, "a text of combining marks without order", at: source, expected: "letters with a few marks each")
        }
        return result
    }

    private func checked(_ text: String) -> String {
        if !CombiningMarks.areOrdered(text) { isOrdered = false }
        return text
    }

    // MARK: what is larger than a piece

    private func value(_ range: Range<Int>, count: Int) throws(HadpoError) -> JSON {
        if range.count > Self.large {
            switch bytes[range.lowerBound] {
            case UInt8(ascii: "\""): return .string(string(range))
            case UInt8(ascii: "["): return .array(try elements(range, count))
            case UInt8(ascii: "{"): return .object(try members(range, count))
            default: break  // a number of many digits
            }
        }
        return try small(range)
    }

    private func elements(_ range: Range<Int>, _ count: Int) throws(HadpoError) -> [JSON] {
        var elements: [JSON] = []
        elements.reserveCapacity(count)
        try pieces(range) { [self] (piece, isRun) throws(HadpoError) in
            if isRun {
                let object = try parse("[", piece, "]")
                defer { json_object_put(object) }
                for index in 0..<json_object_array_length(object) {
                    elements.append(value(json_object_array_get_idx(object, index)))
                }
                return piece.upperBound
            }
            let element = valueRange(piece.lowerBound)
            elements.append(try value(element.range, count: element.count))
            return element.range.upperBound
        }
        return elements
    }

    private func members(_ range: Range<Int>, _ count: Int) throws(HadpoError) -> [JSON.Member] {
        var members: [JSON.Member] = []
        members.reserveCapacity(count)
        try pieces(range) { [self] (piece, isRun) throws(HadpoError) in
            if isRun {
                let object = try parse("{", piece, "}")
                defer { json_object_put(object) }
                append(object, to: &members)
                return piece.upperBound
            }
            let key = piece.lowerBound..<valueEnd(piece.lowerBound)
            let element = valueRange(skipSpace(skipSpace(key.upperBound) + 1))
            members.append(JSON.Member(string(key), try value(element.range, count: element.count)))
            return element.range.upperBound
        }
        return members
    }

    /// Goes through an array or object: runs of small elements, and large ones one by one. `body` answers where what it has
    /// taken ends.
    private func pieces(
        _ range: Range<Int>, _ body: (_ piece: Range<Int>, _ isRun: Bool) throws(HadpoError) -> Int
    ) throws(HadpoError) {
        var at = skipSpace(range.lowerBound + 1)
        let end = range.upperBound - 1
        while at < end {
            let run = hs_run_of_elements(base, at, range.upperBound, Self.large)
            at = skipSpace(try body(at..<(run > at ? run : end), run > at))
            // Behind an element is the comma or the closing bracket.
            if at < end { at = skipSpace(at + 1) }
        }
    }

    private var base: UnsafePointer<UInt8>? { bytes.assumingMemoryBound(to: UInt8.self).baseAddress }

    private func skipSpace(_ position: Int) -> Int { hs_skip_space(base, position, bytes.count) }

    private func valueEnd(_ start: Int) -> Int { hs_value_end(base, start, bytes.count) }

    private func valueRange(_ start: Int) -> (range: Range<Int>, count: Int) {
        if let known = largeValues[start] { return (start..<known.end, known.count) }
        return (start..<valueEnd(start), 0)
    }

    private func string(_ quoted: Range<Int>) -> String {
        checked(JSONText.decoded(UnsafeRawBufferPointer(rebasing: bytes[(quoted.lowerBound + 1)..<(quoted.upperBound - 1)])))
    }

    // MARK: json-c

    private func small(_ range: Range<Int>) throws(HadpoError) -> JSON {
        // A number or word goes within an array of one: json-c sees its end only with the byte behind it.
        let first = bytes[range.lowerBound]
        if first != UInt8(ascii: "{"), first != UInt8(ascii: "[") {
            let object = try parse("[", range, "]")
            defer { json_object_put(object) }
            return value(json_object_array_get_idx(object, 0))
        }
        let object = try parse("", range, "")
        defer { json_object_put(object) }
        return value(object)
    }

    private func parse(_ before: StaticString, _ range: Range<Int>, _ behind: StaticString) throws(HadpoError) -> OpaquePointer {
        json_tokener_reset(UnsafeMutablePointer(tokener))
        var object = feed(before)
        var start = range.lowerBound
        while nextLargeInteger < largeIntegerEnds.count, largeIntegerEnds[nextLargeInteger] <= range.upperBound {
            let end = largeIntegerEnds[nextLargeInteger]
            nextLargeInteger += 1
            object = feed(bytes[start..<end])
            object = feed(".0")  // an integer beyond 64 bits becomes a double
            start = end
        }
        if start < range.upperBound { object = feed(bytes[start..<range.upperBound]) }
        if behind.utf8CodeUnitCount > 0 { object = feed(behind) }
        guard let object, json_tokener_get_error(UnsafeMutablePointer(tokener)) == json_tokener_success else {
            // The text has been checked: only memory can be missing.
            throw Memory.unavailable(range.count, "the values of a JSON text", source)
        }
        return object
    }

    private func feed(_ text: StaticString) -> OpaquePointer? {
        feed(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)[...])
    }

    /// json-c takes lengths as int: long texts go in pieces, it keeps its place.
    private func feed(_ bytes: Slice<UnsafeRawBufferPointer>) -> OpaquePointer? {
        var object: OpaquePointer?
        var rest = bytes
        while !rest.isEmpty {
            let piece = UnsafeRawBufferPointer(rebasing: rest.prefix(1 << 30))
            object = json_tokener_parse_ex(
                UnsafeMutablePointer(tokener), piece.assumingMemoryBound(to: CChar.self).baseAddress, Int32(clamping: piece.count)
            )
            rest = rest.dropFirst(piece.count)
        }
        return object
    }

    private func value(_ object: OpaquePointer?) -> JSON {
        guard let object else { return .null }
        switch json_object_get_type(object) {
        case json_type_boolean: return .bool(json_object_get_boolean(object) != 0)
        case json_type_int: return .int(json_object_get_int64(object))
        case json_type_double: return .double(json_object_get_double(object))
        case json_type_string:
            guard let text = json_object_get_string(object) else { return .string("") }
            let count = Int(json_object_get_string_len(object))
            return .string(checked(String(decoding: UnsafeRawBufferPointer(start: text, count: count), as: UTF8.self)))
        case json_type_array:
            let count = json_object_array_length(object)
            var elements: [JSON] = []
            elements.reserveCapacity(count)
            for index in 0..<count { elements.append(value(json_object_array_get_idx(object, index))) }
            return .array(elements)
        case json_type_object:
            var members: [JSON.Member] = []
            append(object, to: &members)
            return .object(members)
        default: return .null
        }
    }

    private func append(_ object: OpaquePointer, to members: inout [JSON.Member]) {
        guard let table = json_object_get_object(object) else { return }
        if members.isEmpty { members.reserveCapacity(Int(table.pointee.count)) }
        var entry = table.pointee.head
        while let current = entry {
            if let key = current.pointee.k?.assumingMemoryBound(to: CChar.self) {
                members.append(JSON.Member(checked(String(cString: key)), value(OpaquePointer(current.pointee.v))))
            }
            entry = current.pointee.next
        }
    }
}
