import CHadpoJSON

extension JSON {
    /// Checks the text (`JSONScanner`), then json-c builds the value. `source` names the text in errors: a path, "config".
    package static func parse(
        _ bytes: UnsafeRawBufferPointer, source: String, limits: JSONLimits = .init()
    ) throws(HadpoError) -> JSON {
        try parse(bytes, source: source, limits: limits, firstLine: 1)
    }

    package static func parse(_ bytes: [UInt8], source: String, limits: JSONLimits = .init()) throws(HadpoError) -> JSON {
        try bytes.withUnsafeBytes { raw in
            Result { () throws(HadpoError) in try parse(raw, source: source, limits: limits, firstLine: 1) }
        }.get()
    }

    package static func parse(_ text: String, source: String, limits: JSONLimits = .init()) throws(HadpoError) -> JSON {
        try parse(Array(text.utf8), source: source, limits: limits)
    }

    static func parse(
        _ bytes: UnsafeRawBufferPointer, source: String, limits: JSONLimits, firstLine: Int
    ) throws(HadpoError) -> JSON {
        var scanner = try JSONScanner(bytes, source: source, limits: limits, firstLine: firstLine)
        try scanner.scanWhole()
        return try JSONBuilder(depth: limits.depth).build(bytes, 0, scanner.largeIntegerEnds, source)
    }

    /// Walks the elements of a top-level array without building the whole: files of hundreds of megabytes (Visual Genome's
    /// region descriptions). `body` answers false to stop; what follows is then neither read nor checked.
    package static func elements(
        _ bytes: UnsafeRawBufferPointer, source: String, limits: JSONLimits = .init(),
        _ body: (_ index: Int, _ element: JSON) throws(HadpoError) -> Bool
    ) throws(HadpoError) {
        var scanner = try JSONScanner(bytes, source: source, limits: limits)
        let builder = try JSONBuilder(depth: limits.depth)
        try scanner.enterArray()
        var index = 0
        while let range = try scanner.nextElement(index) {
            let element = try builder.build(.init(rebasing: bytes[range]), range.lowerBound, scanner.largeIntegerEnds, source)
            scanner.forgetLargeIntegers()
            if try !body(index, element) { return }
            index += 1
        }
    }
}

/// One value per line.
package enum JSONLines {
    package struct Line: Sendable, Equatable {
        /// Counts from 1.
        package let number: Int
        package let value: JSON
    }

    /// Blank lines are skipped (upstream's readers split on newlines and some files end in several). With `dropTornLine`
    /// a last line without its newline that is no JSON is left out: what a killed writer leaves behind.
    package static func parse(
        _ bytes: UnsafeRawBufferPointer, source: String, limits: JSONLimits = .init(), dropTornLine: Bool = false
    ) throws(HadpoError) -> [Line] {
        var lines: [Line] = []
        var start = 0
        var number = 0
        while start < bytes.count {
            let newline = bytes[start...].firstIndex(of: 0x0A)
            let end = newline ?? bytes.count
            number += 1
            let line = UnsafeRawBufferPointer(rebasing: bytes[start..<end])
            if !line.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) {
                do throws(HadpoError) {
                    let value = try JSON.parse(line, source: source, limits: limits, firstLine: number)
                    lines.append(Line(number: number, value: value))
                } catch {
                    if !(dropTornLine && newline == nil) { throw error }
                }
            }
            start = end + 1
        }
        return lines
    }

    package static func parse(
        _ bytes: [UInt8], source: String, limits: JSONLimits = .init(), dropTornLine: Bool = false
    ) throws(HadpoError) -> [Line] {
        try bytes.withUnsafeBytes { raw in
            Result { () throws(HadpoError) in
                try parse(raw, source: source, limits: limits, dropTornLine: dropTornLine)
            }
        }.get()
    }
}

/// A json-c tokener and the walk over what it built. The text has passed the scanner.
private final class JSONBuilder {
    private let tokener: OpaquePointer

    init(depth: Int) throws(HadpoError) {
        // One level for the array around the text, one because json-c counts the level below the last.
        guard let tokener = Self.make(depth + 2) else { throw HadpoError(.noMemory, "no memory to read JSON") }
        self.tokener = OpaquePointer(tokener)
    }

    private static func make(_ depth: Int) -> UnsafeMutablePointer<json_tokener>? {
        json_tokener_new_ex(Int32(clamping: depth))
    }

    deinit { json_tokener_free(UnsafeMutablePointer(tokener)) }

    func build(
        _ bytes: UnsafeRawBufferPointer, _ base: Int, _ largeIntegerEnds: [Int], _ source: String
    ) throws(HadpoError) -> JSON {
        json_tokener_reset(UnsafeMutablePointer(tokener))
        // Within an array of one, because json-c sees the end of a bare number only with the byte behind it.
        var object = feed("[")
        var start = 0
        for end in largeIntegerEnds {
            object = feed(bytes[start..<(end - base)])
            object = feed(".0")  // an integer beyond 64 bits becomes a double
            start = end - base
        }
        object = feed(bytes[start...])
        object = feed("]")
        guard let object, json_tokener_get_error(UnsafeMutablePointer(tokener)) == json_tokener_success else {
            throw HadpoError(.json, "json-c could not build the value", at: source)
        }
        defer { json_object_put(object) }
        return value(json_object_array_get_idx(object, 0))
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
            return .string(String(decoding: UnsafeRawBufferPointer(start: text, count: count), as: UTF8.self))
        case json_type_array:
            let count = json_object_array_length(object)
            var elements: [JSON] = []
            elements.reserveCapacity(count)
            for index in 0..<count { elements.append(value(json_object_array_get_idx(object, index))) }
            return .array(elements)
        case json_type_object:
            guard let table = json_object_get_object(object) else { return .object([]) }
            var members: [JSON.Member] = []
            members.reserveCapacity(Int(table.pointee.count))
            var entry = table.pointee.head
            while let current = entry {
                if let key = current.pointee.k?.assumingMemoryBound(to: CChar.self) {
                    members.append(JSON.Member(String(cString: key), value(OpaquePointer(current.pointee.v))))
                }
                entry = current.pointee.next
            }
            return .object(members)
        default: return .null
        }
    }
}
