import HadpoBase

/// The central directory of a zip archive whose entries are stored without compression, as torch.save writes it (ZIP64 included).
/// Every entry is checked to lie inside the file, before the directory, and apart from the others. Checksums are not compared:
/// that would read 14 GB.
struct ZipDirectory {
    struct Entry {
        let name: String
        /// Of the contents in the file.
        let range: Range<Int>
    }

    let entries: [Entry]
    /// Of the directory itself.
    let range: Range<Int>
    private let path: String

    init(_ file: ByteFile) throws(HadpoError) {
        path = file.path
        let (range, count) = try ZipDirectory.locate(file)
        self.range = range
        let run = try file.bytes(at: range.lowerBound, count: range.count)
        let heads = try run.withBytes { (bytes) throws(HadpoError) in try ZipDirectory.heads(bytes, count, file.path) }
        var entries: [Entry] = []
        var extents: [(range: Range<Int>, name: String)] = []
        for head in heads {
            let contents = try ZipDirectory.contents(of: head, file, limit: range.lowerBound)
            entries.append(Entry(name: head.name, range: contents))
            extents.append((head.offset..<contents.upperBound, head.name))
        }
        extents.sort { $0.range.lowerBound < $1.range.lowerBound }
        for (one, next) in zip(extents, extents.dropFirst()) where next.range.lowerBound < one.range.upperBound {
            throw ZipDirectory.malformed("the entries \(one.name) and \(next.name) overlap", file.path)
        }
        self.entries = entries
    }

    private struct Head {
        let name: String
        let offset: Int
        let byteCount: Int
    }

    private static func malformed(_ what: String, _ path: String) -> HadpoError {
        HadpoError(.format, "zip: \(what)", at: path)
    }

    /// Where the directory lies and how many entries it has, from the record at the file's end.
    private static func locate(_ file: ByteFile) throws(HadpoError) -> (Range<Int>, Int) {
        let endSize = 22
        let tailCount = min(file.byteCount, endSize + 0xFFFF)
        let tailStart = file.byteCount - tailCount
        let tail = try file.bytes(at: tailStart, count: tailCount)
        var zip64Start: Int?
        var (count, size, start) = (0, 0, 0)
        var end = 0
        try tail.withBytes { (bytes) throws(HadpoError) in
            var place = bytes.count - endSize
            // The comment's length tells a real record from the same bytes inside a comment.
            while place >= 0 {
                if bytes.starts(with: "PK\u{5}\u{6}", at: place),
                    Int(bytes.integer(UInt16.self, at: place + 20) ?? 0) == bytes.count - place - endSize
                {
                    break
                }
                place -= 1
            }
            guard place >= 0 else { throw malformed("the directory at the end is missing: the file is cut off", file.path) }
            end = tailStart + place
            count = Int(bytes.integer(UInt16.self, at: place + 10) ?? 0)
            size = Int(bytes.integer(UInt32.self, at: place + 12) ?? 0)
            start = Int(bytes.integer(UInt32.self, at: place + 16) ?? 0)
            guard count == 0xFFFF || size == 0xFFFF_FFFF || start == 0xFFFF_FFFF else { return }
            guard bytes.starts(with: "PK\u{6}\u{7}", at: place - 20), let offset = bytes.integer(UInt64.self, at: place - 12),
                let record = Int(exactly: offset)
            else { throw malformed("the ZIP64 locator is missing", file.path) }
            zip64Start = record
        }
        if let zip64Start {
            let record = try file.bytes(at: zip64Start, count: 56)
            end = zip64Start
            try record.withBytes { (bytes) throws(HadpoError) in
                guard bytes.starts(with: "PK\u{6}\u{6}"),
                    let wideCount = bytes.integer(UInt64.self, at: 32).flatMap({ Int(exactly: $0) }),
                    let wideSize = bytes.integer(UInt64.self, at: 40).flatMap({ Int(exactly: $0) }),
                    let wideStart = bytes.integer(UInt64.self, at: 48).flatMap({ Int(exactly: $0) })
                else { throw malformed("the ZIP64 record is damaged", file.path) }
                (count, size, start) = (wideCount, wideSize, wideStart)
            }
        }
        guard start <= end, size <= end - start else { throw malformed("the directory lies outside the file", file.path) }
        // 46 bytes is the least an entry takes.
        guard count <= size / 46, count <= 1 << 20 else { throw malformed("the directory claims \(count) entries", file.path) }
        return (start..<start + size, count)
    }

    private static func heads(_ bytes: UnsafeRawBufferPointer, _ count: Int, _ path: String) throws(HadpoError) -> [Head] {
        var heads: [Head] = []
        var names = Set<String>()
        var place = 0
        for _ in 0..<count {
            guard bytes.starts(with: "PK\u{1}\u{2}", at: place),
                let flags = bytes.integer(UInt16.self, at: place + 8), let method = bytes.integer(UInt16.self, at: place + 10),
                let packed = bytes.integer(UInt32.self, at: place + 20), let size = bytes.integer(UInt32.self, at: place + 24),
                let nameCount = bytes.integer(UInt16.self, at: place + 28),
                let extraCount = bytes.integer(UInt16.self, at: place + 30),
                let commentCount = bytes.integer(UInt16.self, at: place + 32),
                let offset = bytes.integer(UInt32.self, at: place + 42),
                Int(nameCount) + Int(extraCount) + Int(commentCount) <= bytes.count - place - 46
            else { throw malformed("the directory is damaged", path) }
            let extraStart = place + 46 + Int(nameCount)
            guard let name = String(validating: bytes[place + 46..<extraStart], as: UTF8.self) else {
                throw malformed("an entry's name is not UTF-8", path)
            }
            guard CombiningMarks.areOrdered(name) else { throw malformed("an entry's name is nothing but combining marks", path) }
            guard flags & 1 == 0 else { throw malformed("entry \(name) is encrypted", path) }
            guard method == 0 else {
                throw HadpoError(
                    .unsupported, "zip: entry \(name) is compressed: load the file in torch and save it again", at: path,
                    found: "method \(method)", expected: "0 (stored)")
            }
            let extra = UnsafeRawBufferPointer(rebasing: bytes[extraStart..<extraStart + Int(extraCount)])
            let wide = try widened([size, packed, offset], extra, name, path)
            guard wide[0] == wide[1] else { throw malformed("entry \(name) is stored and has two sizes", path) }
            guard names.insert(name).inserted else { throw malformed("two entries have the name \(name)", path) }
            heads.append(Head(name: name, offset: wide[2], byteCount: wide[0]))
            place = extraStart + Int(extraCount) + Int(commentCount)
        }
        guard place == bytes.count else { throw malformed("the directory holds more than its entries", path) }
        return heads
    }

    /// Fields of all ones stand in the ZIP64 extra field (id 1) with 64 bits, in this order.
    private static func widened(
        _ fields: [UInt32], _ extra: UnsafeRawBufferPointer, _ name: String, _ path: String
    ) throws(HadpoError) -> [Int] {
        guard fields.contains(.max) else { return fields.map { Int($0) } }
        var place = 0
        while let id = extra.integer(UInt16.self, at: place), let count = extra.integer(UInt16.self, at: place + 2) {
            if id == 1 {
                var next = place + 4
                let end = next + Int(count)
                var wide: [Int] = []
                for field in fields {
                    guard field == .max else {
                        wide.append(Int(field))
                        continue
                    }
                    guard next + 8 <= end, let value = extra.integer(UInt64.self, at: next), let number = Int(exactly: value)
                    else {
                        throw malformed("entry \(name) has a damaged ZIP64 field", path)
                    }
                    wide.append(number)
                    next += 8
                }
                return wide
            }
            place += 4 + Int(count)
        }
        throw malformed("entry \(name) lacks its ZIP64 field", path)
    }

    /// The local header's own lengths decide where the contents begin: torch pads there to align them.
    private static func contents(of head: Head, _ file: ByteFile, limit: Int) throws(HadpoError) -> Range<Int> {
        guard head.offset <= limit - 30 else { throw malformed("entry \(head.name) lies outside the file", file.path) }
        let local = try file.bytes(at: head.offset, count: 30)
        let skip = try local.withBytes { (bytes) throws(HadpoError) -> Int in
            guard bytes.starts(with: "PK\u{3}\u{4}"), let nameCount = bytes.integer(UInt16.self, at: 26),
                let extraCount = bytes.integer(UInt16.self, at: 28)
            else { throw malformed("entry \(head.name) has no local header", file.path) }
            return 30 + Int(nameCount) + Int(extraCount)
        }
        let start = head.offset + skip
        guard start <= limit, head.byteCount <= limit - start else {
            throw malformed("entry \(head.name) lies outside the file", file.path)
        }
        return start..<start + head.byteCount
    }
}
