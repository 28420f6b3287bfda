import CHadpoScan
import Glibc

/// Elements of arrays in a JSON file that is too large to hold: Visual Genome's region descriptions (an array of 700 MB), COCO's
/// instances (an object whose arrays make up 450 MB). Memory is a window of the file and one element.
///
/// Only brackets, strings and separators are followed on the way; an element is checked in full when it is parsed.
package enum JSONStream {
    /// Walks a top-level array (`key` is then ""), or the arrays under `keys` of a top-level object. `body` answers false to stop.
    package static func elements(
        ofFile path: String, under keys: [String] = [], elementLimit: Int = 1 << 28,
        _ body: (_ key: String, _ element: JSONElement) throws(HadpoError) -> Bool
    ) throws(HadpoError) {
        let window = try JSONWindow(path, elementLimit)
        switch try window.nextByte("a JSON array or object") {
        case UInt8(ascii: "["):
            window.skip(1)
            if try !walk(window, "", body) { return }
        case UInt8(ascii: "{"):
            if keys.isEmpty { throw window.error("no JSON array", found: UInt8(ascii: "{"), expected: "'['") }
            window.skip(1)
            if try !members(window, keys, body) { return }
        case let byte:
            throw ForeignContent.error(window.start, status: .json, at: path, expected: "a JSON array or object")
                ?? window.error("no JSON array or object", found: byte, expected: "'[' or '{'")
        }
        if let byte = try window.byteOrEnd() {
            throw window.error("text after the JSON value", found: byte, expected: "the end")
        }
    }

    private static func walk(
        _ window: JSONWindow, _ key: String, _ body: (_ key: String, _ element: JSONElement) throws(HadpoError) -> Bool
    ) throws(HadpoError) -> Bool {
        var index = 0
        if try window.nextByte("an element or ']'") == UInt8(ascii: "]") {
            window.skip(1)
            return true
        }
        while true {
            _ = try window.nextByte("an element")
            let line = window.line
            let range = try window.scanValue(keep: true)
            let place = JSONElement.Place(source: window.path, key: key, index: index, line: line)
            if try !window.give(range, place, key, body) { return false }
            index += 1
            switch try window.nextByte("',' or ']'") {
            case UInt8(ascii: ","): window.skip(1)
            case UInt8(ascii: "]"):
                window.skip(1)
                return true
            case let byte: throw window.error("broken array", found: byte, expected: "',' or ']'")
            }
        }
    }

    private static func members(
        _ window: JSONWindow, _ keys: [String], _ body: (_ key: String, _ element: JSONElement) throws(HadpoError) -> Bool
    ) throws(HadpoError) -> Bool {
        if try window.nextByte("a key or '}'") == UInt8(ascii: "}") {
            window.skip(1)
            return true
        }
        while true {
            guard try window.nextByte("a key") == UInt8(ascii: "\"") else {
                throw window.error("broken object", found: try window.nextByte("a key"), expected: "a key")
            }
            let key = window.text(try window.scanValue(keep: true))
            guard try window.nextByte("':'") == UInt8(ascii: ":") else {
                throw window.error("broken object", found: try window.nextByte("':'"), expected: "':'")
            }
            window.skip(1)
            if try window.nextByte("a value") == UInt8(ascii: "["), keys.contains(where: { sameBytes($0, key) }) {
                window.skip(1)
                if try !walk(window, key, body) { return false }
            } else {
                _ = try window.scanValue(keep: false)
            }
            switch try window.nextByte("',' or '}'") {
            case UInt8(ascii: ","): window.skip(1)
            case UInt8(ascii: "}"):
                window.skip(1)
                return true
            case let byte: throw window.error("broken object", found: byte, expected: "',' or '}'")
            }
        }
    }
}

/// One element as it stands in the file; valid during the callback only.
package struct JSONElement {
    struct Place {
        let source: String
        let key: String
        let index: Int
        let line: Int
    }

    let bytes: UnsafeRawBufferPointer
    let place: Place
    let parser: JSONParser

    package var index: Int { place.index }
    /// For error messages: file, array, element.
    package var name: String { "\(place.source)\(place.key.isEmpty ? "" : " /\(place.key)")[\(place.index)]" }

    package func parse(limits: JSONLimits = .init()) throws(HadpoError) -> JSON {
        try parser.parse(bytes, source: place.source, limits: limits, firstLine: place.line)
    }

    /// The integer that first stands behind `"key":` at any depth: enough to tell whether an element is wanted, without building
    /// it. nil when there is no plain integer.
    package func firstInteger(_ key: StaticString) -> Int? {
        let name = UnsafeRawBufferPointer(start: key.utf8Start, count: key.utf8CodeUnitCount)
        var from = 0
        while let start = find(name, from: from) {
            from = start + 1
            let quoted =
                start > 0 && bytes[start - 1] == UInt8(ascii: "\"") && (start < 2 || bytes[start - 2] != UInt8(ascii: "\\"))
            var at = start + name.count
            guard quoted, at < bytes.count, bytes[at] == UInt8(ascii: "\"") else { continue }
            at += 1
            skipSpace(&at)
            guard at < bytes.count, bytes[at] == UInt8(ascii: ":") else { continue }
            at += 1
            skipSpace(&at)
            return integer(at)
        }
        return nil
    }

    private func find(_ name: UnsafeRawBufferPointer, from: Int) -> Int? {
        guard let base = bytes.baseAddress, let wanted = name.baseAddress, let first = name.first else { return nil }
        var at = from
        while at + name.count <= bytes.count {
            guard let found = memchr(base + at, Int32(first), bytes.count - name.count - at + 1) else { return nil }
            at = UnsafeRawPointer(found) - base
            if memcmp(found, wanted, name.count) == 0 { return at }
            at += 1
        }
        return nil
    }

    private func skipSpace(_ at: inout Int) {
        while at < bytes.count, isJSONSpace(bytes[at]) { at += 1 }
    }

    private func integer(_ start: Int) -> Int? {
        var value = 0
        var at = start
        while at < bytes.count, bytes[at] &- UInt8(ascii: "0") < 10 {
            let (product, tooLarge) = value.multipliedReportingOverflow(by: 10)
            if tooLarge { return nil }
            value = product &+ Int(bytes[at] - UInt8(ascii: "0"))
            if value < 0 { return nil }
            at += 1
        }
        // 1.5, 1e3 and broken numbers are left to the parser.
        guard at > start, at < bytes.count, isJSONSpace(bytes[at]) || [0x2C, 0x5D, 0x7D].contains(bytes[at]) else { return nil }
        return value
    }
}

private func isJSONSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 }

/// A stretch of the file that moves forward and grows only where one element needs it.
private final class JSONWindow {
    let path: String
    private(set) var line = 1
    private let descriptor: Int32
    private let elementLimit: Int
    private let buffer: CheckedBytes
    private let parser = JSONParser()
    private var position = 0
    private var end = 0
    private var isAtEnd = false

    init(_ path: String, _ elementLimit: Int) throws(HadpoError) {
        self.path = path
        self.elementLimit = elementLimit
        buffer = try CheckedBytes(count: 1 << 20, for: "an element of a JSON file", at: path)
        descriptor = try File.openForReading(path).descriptor
    }

    deinit { close(descriptor) }

    private var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: buffer.base, count: end) }

    /// Reads on; bytes from `keep` stay, at the front. False at the end of the file.
    private func refill(keeping keep: Int) throws(HadpoError) -> Bool {
        if isAtEnd { return false }
        if keep > 0 {
            if end > keep { memmove(buffer.base, buffer.base + keep, end - keep) }
            end -= keep
            position -= keep
        }
        if end == buffer.count {
            guard end < elementLimit else {
                throw HadpoError(
                    .json, "an element of the JSON file is too large", at: "\(path):\(line)", found: "more than \(end) bytes",
                    expected: "at most \(elementLimit)")
            }
            try buffer.resize(to: buffer.count * 2)
        }
        let got = try File.readOnce(descriptor, buffer.base + end, buffer.count - end, path)
        isAtEnd = got == 0
        end += got
        return got > 0
    }

    func skip(_ count: Int) { position += count }

    /// The next byte that is no space; nil at the end.
    func byteOrEnd() throws(HadpoError) -> UInt8? {
        while true {
            let base = UnsafePointer(buffer.base.assumingMemoryBound(to: UInt8.self))
            let next = hs_skip_space(base, position, end)
            line += hs_count_lines(base + position, next - position)
            position = next
            if position < end { return base[position] }
            if try !refill(keeping: position) { return nil }
        }
    }

    /// What has been read and not been passed.
    var start: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: buffer.base + position, count: end - position) }

    func nextByte(_ expected: String) throws(HadpoError) -> UInt8 {
        if let byte = try byteOrEnd() { return byte }
        throw HadpoError(.json, "JSON text ends early", at: "\(path):\(line)", found: "the end", expected: expected)
    }

    /// The value that begins at the position; its bytes stay in the buffer with `keep`.
    func scanValue(keep: Bool) throws(HadpoError) -> Range<Int> {
        let firstLine = line
        var start = position
        var skip = hs_skip()
        while true {
            let result = hs_skip_value(buffer.base.assumingMemoryBound(to: UInt8.self), &position, end, &skip)
            line = firstLine + skip.lines
            if result == HS_SKIP_CLOSED { return start..<position }
            if result == HS_SKIP_DELIMITER { return try scalar(start, bytes[position]) }
            let from = keep ? start : position
            let more = try refill(keeping: from)
            start = max(0, start - from)
            if !more {
                if skip.depth > 0 || skip.in_string { _ = try nextByte("the end of a value") }
                return try scalar(start, 0)
            }
        }
    }

    private func scalar(_ start: Int, _ byte: UInt8) throws(HadpoError) -> Range<Int> {
        if position > start { return start..<position }
        throw error("not a JSON value", found: byte, expected: "a value")
    }

    /// A key's text between its quotes; escapes in it are not decoded, keys that are looked for have none.
    func text(_ range: Range<Int>) -> String {
        String(decoding: bytes[range].dropFirst().dropLast(), as: UTF8.self)
    }

    func give(
        _ range: Range<Int>, _ place: JSONElement.Place, _ key: String,
        _ body: (_ key: String, _ element: JSONElement) throws(HadpoError) -> Bool
    ) throws(HadpoError) -> Bool {
        try body(key, JSONElement(bytes: UnsafeRawBufferPointer(rebasing: bytes[range]), place: place, parser: parser))
    }

    func error(_ message: String, found byte: UInt8, expected: String) -> HadpoError {
        let found =
            (0x21..<0x7F).contains(byte)
            ? "'\(Character(Unicode.Scalar(byte)))'" : "byte 0x" + String(byte, radix: 16, uppercase: true)
        return HadpoError(.json, message, at: "\(path):\(line)", found: found, expected: expected)
    }
}
