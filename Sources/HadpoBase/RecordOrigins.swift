/// Where the records of a JSON Lines file come from: what lies beside a file whose own lines other tools read.
///
///     answers.jsonl             the records
///     answers.jsonl.identity    {"origin": {...}}                                      who made what follows
///                               {"record": "<hash>", "picture": "<hash>"}              one line a record
///
/// A record's line is written before the record. So a run that is killed between the two leaves a line without its record, which is made
/// again, and a record without its line is never this library's: another tool wrote it, or a person changed it.
package struct RecordOrigins: Sendable {
    package struct Entry: Sendable, Equatable {
        /// Place in `origins`.
        package let origin: Int
        /// Hash of the picture file that was looked at; nil where there was none.
        package let picture: String?
    }

    package static let suffix = ".identity"

    /// In the order in which they first stand there.
    package private(set) var origins: [JSON] = []
    private var places: [String: Int] = [:]
    private var entries: [String: Entry] = [:]
    /// Of the last line: what a line behind it would belong to.
    fileprivate private(set) var last: Int?

    package init() {}

    /// Beside the file itself, and not beside a link to it: whoever comes by another name finds it.
    package static func path(for file: String) -> String { FileLock.target(of: file) + suffix }

    /// - Returns: nil where nothing lies beside the file.
    package static func read(beside file: String) throws(HadpoError) -> RecordOrigins? {
        let path = path(for: file)
        guard File.exists(path) else { return nil }
        return try RecordOrigins(try File.read(path), path: path)
    }

    init(_ bytes: [UInt8], path: String) throws(HadpoError) {
        // A torn last line was to become a record's that is not there either.
        let lines: [JSONLines.Line]
        do throws(HadpoError) {
            lines = try JSONLines.parse(bytes, source: path, dropTornLine: true)
        } catch {
            if error.status == .noMemory { throw error }
            throw RecordOrigins.unreadable(at: error.place ?? path, found: error.found ?? error.message)
        }
        for line in lines {
            if let origin = line.value["origin"], origin.objectValue != nil {
                add(origin: origin)
            } else if let hash = line.value["record"]?.stringValue, let origin = last,
                line.value["picture"].map({ $0.isNull || $0.stringValue != nil }) ?? true
            {
                entries[hash] = Entry(origin: origin, picture: line.value["picture"]?.stringValue)
            } else {
                throw RecordOrigins.unreadable(at: "\(path):\(line.number)", found: line.value.shortText(120))
            }
        }
    }

    package static func unreadable(at place: String?, found: String?) -> HadpoError {
        HadpoError(
            .format, "the file that says which model made the records beside it cannot be read", at: place, found: found,
            expected: "what a run wrote there; remove this file to score the records as another tool's")
    }

    fileprivate mutating func add(origin: JSON) {
        let text = origin.text()
        last = places[text] ?? origins.count
        if last == origins.count {
            places[text] = last
            origins.append(origin)
        }
    }

    fileprivate mutating func add(_ hash: String, picture: String?) {
        guard let last else { return }
        entries[hash] = Entry(origin: last, picture: picture)
    }

    /// - Returns: nil of a record that nothing of this library wrote as it stands there.
    package subscript(record: JSON) -> Entry? { entries[Self.hash(of: record)] }

    /// Blanks and escapes between the record's characters do not count, so that other tools may write a file anew.
    package static func hash(of record: JSON) -> String {
        var hash = XXHash64()
        hash.update(Array(record.text(ascii: true).utf8))
        return hash.text
    }

    fileprivate static func line(_ hash: String, picture: String?) -> JSON {
        picture.map { ["record": .string(hash), "picture": .string($0)] } ?? ["record": .string(hash)]
    }

    /// The file as a run without interruption leaves it: each origin once, with its records in their order.
    fileprivate func text(_ records: [JSON]) -> String {
        var lines = [[String]](repeating: [], count: origins.count)
        for record in records {
            let hash = Self.hash(of: record)
            guard let entry = entries[hash] else { continue }
            lines[entry.origin].append(Self.line(hash, picture: entry.picture).text() + "\n")
        }
        return zip(origins, lines).map { origin, lines in
            lines.isEmpty ? "" : (["origin": origin] as JSON).text() + "\n" + lines.joined()
        }.joined()
    }
}

/// Appends to a file and to what lies beside it. For one thread, and one run: the lock is on the file of the records.
package final class OriginAppender {
    package private(set) var origins: RecordOrigins
    private let origin: JSON
    private let path: String
    private var file: LineAppender?
    /// What lay there belongs to records that are gone.
    private let isNew: Bool

    /// - Parameters:
    ///   - origins: what lies there; nil when there is nothing, or nothing that counts.
    ///   - origin: of the records of this run.
    package init(beside records: String, _ origins: RecordOrigins?, origin: JSON) {
        path = RecordOrigins.path(for: records)
        self.origins = origins ?? RecordOrigins()
        isNew = origins == nil
        self.origin = origin
    }

    /// Before work whose end is `cover`: the file is made now.
    package func prepare() throws(HadpoError) {
        guard file == nil else { return }
        let opened = try LineAppender(path)
        if isNew, try File.size(path) > 0 { try opened.replace(with: []) }
        file = opened
    }

    /// To be called before the record itself is written.
    package func cover(_ record: JSON, picture: String?) throws(HadpoError) {
        try prepare()
        let before = origins.last
        origins.add(origin: origin)
        if origins.last != before { try file?.append(["origin": origin] as JSON) }
        let hash = RecordOrigins.hash(of: record)
        try file?.append(RecordOrigins.line(hash, picture: picture))
        origins.add(hash, picture: picture)
    }

    package func sync() throws(HadpoError) { try file?.sync() }

    /// In the end the lines stand in the order of the records, however the run was cut.
    package func finish(_ records: [JSON]) throws(HadpoError) {
        guard file != nil || !isNew else { return }
        let bytes = Array(origins.text(records).utf8)
        if File.exists(path), try File.read(path) == bytes { return }
        try prepare()
        try file?.replace(with: bytes)
    }
}
