import Glibc

/// The lines of a JSON Lines file one by one: memory is one line and its value, whatever the size of the file.
///
///     let lines = try JSONLineReader(path)
///     while let line = try lines.next() { ... }
///
/// Blank lines are skipped, as by `JSONLines`.
package final class JSONLineReader {
    package let path: String
    private let limits: JSONLimits
    private let dropTornLine: Bool
    private let descriptor: Int32
    private let buffer: CheckedBytes
    private let parser = JSONParser()
    private var hash: SHA256?
    private var position = 0
    private var end = 0
    private var number = 0
    private var isAtEnd = false
    private var isFirst = true

    /// With `dropTornLine` a last line without its newline that is no JSON is left out. `isHashed`: `sha256` is wanted.
    package init(
        _ path: String, limits: JSONLimits = .init(), dropTornLine: Bool = false, isHashed: Bool = false
    ) throws(HadpoError) {
        self.path = path
        self.limits = limits
        self.dropTornLine = dropTornLine
        hash = isHashed ? SHA256() : nil
        buffer = try CheckedBytes(count: 1 << 18, for: "a line of a file", at: path)
        descriptor = try File.openForReading(path).descriptor
    }

    deinit { close(descriptor) }

    /// Of the whole file, after `next` has answered nil.
    package var sha256: String? { isAtEnd ? hash?.hexDigest() : nil }

    package func next() throws(HadpoError) -> JSONLines.Line? {
        var searched = 0
        while true {
            let start = UnsafeRawPointer(buffer.base) + position
            let newline = memchr(start + searched, 0x0A, end - position - searched).map { UnsafeRawPointer($0) - start }
            if newline == nil, !isAtEnd {
                searched = end - position
                try refill()
                continue
            }
            let length = newline ?? end - position
            if newline == nil, length == 0 { return nil }
            position += length + (newline == nil ? 0 : 1)
            number += 1
            searched = 0
            let bytes = UnsafeRawBufferPointer(start: start, count: length)
            if bytes.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) { continue }
            do throws(HadpoError) {
                let value = try parser.parse(bytes, source: path, limits: limits, firstLine: number)
                isFirst = false
                return JSONLines.Line(number: number, value: value)
            } catch {
                if let foreign = JSONLines.foreign(bytes, error, isFirst: isFirst, path) { throw foreign }
                if dropTornLine, newline == nil, error.status == .json { return nil }
                throw error
            }
        }
    }

    /// Reads on behind what is there, which moves to the front.
    private func refill() throws(HadpoError) {
        if position > 0 {
            memmove(buffer.base, buffer.base + position, end - position)
            end -= position
            position = 0
        }
        if end == buffer.count {
            guard end <= limits.bytes else {
                throw HadpoError(
                    .json, "a line of the file is too long", at: "\(path):\(number + 1)", found: "more than \(end) bytes",
                    expected: "at most \(limits.bytes)")
            }
            try buffer.resize(to: buffer.count * 2)
        }
        let got = try File.readOnce(descriptor, buffer.base + end, buffer.count - end, path)
        if got == 0 { isAtEnd = true }
        hash?.update(UnsafeRawBufferPointer(start: buffer.base + end, count: got))
        end += got
    }
}
