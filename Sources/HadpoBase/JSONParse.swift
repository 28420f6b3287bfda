import Glibc

/// Reads one text after the other: each is checked (`JSONScanner`), then json-c builds its value. What both need is kept from
/// text to text, so that a file of short lines costs no more than a long one.
final class JSONParser {
    private let scanner = JSONScanner()
    private var builder: JSONBuilder?

    private func builder(_ limits: JSONLimits) throws(HadpoError) -> JSONBuilder {
        if let builder, builder.canRead(depth: limits.depth) { return builder }
        let fresh = try JSONBuilder(depth: limits.depth)
        builder = fresh
        return fresh
    }

    func parse(
        _ bytes: UnsafeRawBufferPointer, source: String, limits: JSONLimits, firstLine: Int = 1
    ) throws(HadpoError) -> JSON {
        let range: Range<Int>
        do throws(HadpoError) {
            try scanner.begin(bytes, source: source, limits: limits, firstLine: firstLine)
            range = try scanner.scanWhole()
        } catch {
            // A file of another kind is named for what it is; further lines of a file begin with anything.
            guard firstLine == 1, error.status == .json, !bytes.isEmpty else { throw error }
            throw ForeignContent.error(bytes, status: .json, at: source, expected: "JSON text") ?? error
        }
        return try builder(limits).build(range, of: scanner)
    }

    func elements(
        _ bytes: UnsafeRawBufferPointer, source: String, limits: JSONLimits,
        _ body: (_ index: Int, _ element: JSON) throws(HadpoError) -> Bool
    ) throws(HadpoError) {
        let builder = try builder(limits)
        do throws(HadpoError) {
            try scanner.begin(bytes, source: source, limits: limits, isArray: true)
            try scanner.enterArray()
        } catch {
            guard error.status == .json, !bytes.isEmpty else { throw error }
            throw ForeignContent.error(bytes, status: .json, at: source, expected: "a JSON array") ?? error
        }
        var index = 0
        while let range = try scanner.nextElement(index) {
            if try !body(index, try builder.build(range, of: scanner)) { return }
            index += 1
        }
    }
}

extension JSON {
    /// `source` names the text in errors: a path, "config".
    package static func parse(
        _ bytes: UnsafeRawBufferPointer, source: String, limits: JSONLimits = .init()
    ) throws(HadpoError) -> JSON {
        try JSONParser().parse(bytes, source: source, limits: limits)
    }

    package static func parse(_ bytes: [UInt8], source: String, limits: JSONLimits = .init()) throws(HadpoError) -> JSON {
        try bytes.withUnsafeBytes { raw in
            Result { () throws(HadpoError) in try parse(raw, source: source, limits: limits) }
        }.get()
    }

    package static func parse(_ text: String, source: String, limits: JSONLimits = .init()) throws(HadpoError) -> JSON {
        try parse(Array(text.utf8), source: source, limits: limits)
    }

    /// Walks the elements of a top-level array without building the whole: files of hundreds of megabytes (Visual Genome's
    /// region descriptions). `body` answers false to stop; what follows is then neither read nor checked.
    package static func elements(
        _ bytes: UnsafeRawBufferPointer, source: String, limits: JSONLimits = .init(),
        _ body: (_ index: Int, _ element: JSON) throws(HadpoError) -> Bool
    ) throws(HadpoError) {
        try JSONParser().elements(bytes, source: source, limits: limits, body)
    }
}

/// One value per line.
package enum JSONLines {
    package struct Line: Sendable, Equatable {
        /// Counts from 1.
        package let number: Int
        package let value: JSON
    }

    /// What a file of another kind is, told by the line with which it begins. It is no torn line either, where it has no newline.
    static func foreign(_ line: UnsafeRawBufferPointer, _ error: HadpoError, isFirst: Bool, _ source: String) -> HadpoError? {
        guard isFirst, error.status == .json else { return nil }
        return ForeignContent.error(line, status: .json, at: source, expected: "JSON Lines")
    }

    /// Blank lines are skipped (upstream's readers split on newlines and some files end in several). With `dropTornLine`
    /// a last line without its newline that is no JSON is left out: what a killed writer leaves behind.
    package static func forEach(
        _ bytes: UnsafeRawBufferPointer, source: String, limits: JSONLimits = .init(), dropTornLine: Bool = false,
        _ body: (Line) throws(HadpoError) -> Void
    ) throws(HadpoError) {
        guard let base = bytes.baseAddress else { return }
        let parser = JSONParser()
        var isFirst = true
        var start = 0
        var number = 0
        while start < bytes.count {
            let newline = memchr(base + start, 0x0A, bytes.count - start).map { UnsafeRawPointer($0) - base }
            let end = newline ?? bytes.count
            number += 1
            let line = UnsafeRawBufferPointer(rebasing: bytes[start..<end])
            start = end + 1
            if line.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) { continue }
            let value: JSON
            do throws(HadpoError) {
                value = try parser.parse(line, source: source, limits: limits, firstLine: number)
            } catch {
                if let foreign = foreign(line, error, isFirst: isFirst, source) { throw foreign }
                if dropTornLine, newline == nil, error.status == .json { return }
                throw error
            }
            isFirst = false
            try body(Line(number: number, value: value))
        }
    }

    /// All lines at once: for files whose lines are all needed together.
    package static func parse(
        _ bytes: UnsafeRawBufferPointer, source: String, limits: JSONLimits = .init(), dropTornLine: Bool = false
    ) throws(HadpoError) -> [Line] {
        var lines: [Line] = []
        var room = MemoryRoom(for: "the lines of a file", at: source)
        try forEach(bytes, source: source, limits: limits, dropTornLine: dropTornLine) { line throws(HadpoError) in
            try room.append(line, to: &lines)
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
