import HadpoBase
import HadpoModels

/// Whose answers stand in a file, and how they were made.
package struct AnswersOrigin: Sendable {
    package let identity: ModelIdentity
    /// All that decides besides the model what is answered: the keys of the configuration as it spells them.
    package let settings: JSON
    /// What is worth knowing and decides nothing, such as the hash of the question file: each record is compared with its own question.
    package let about: JSON

    package init(_ identity: ModelIdentity, settings: JSON, about: JSON = .object([])) {
        self.identity = identity
        self.settings = settings
        self.about = about
    }

    package init(_ json: JSON, at place: String) throws(HadpoError) {
        identity = try ModelIdentity(json["identity"] ?? .null, at: place)
        settings = json["settings"] ?? .null
        about = json["about"] ?? .null
    }

    package var json: JSON { ["identity": identity.json, "settings": settings, "about": about] }

    /// Of what decides the answers' meaning, and of nothing else.
    package var key: String {
        String(SHA256.hex(Array((identity.digest + settings.text()).utf8)).prefix(16))
    }

    /// Sentences: what is not as it was.
    /// - Parameter these: "these answers".
    package func differences(from earlier: AnswersOrigin, _ these: String) -> [String] {
        identity.differences(from: earlier.identity, these) + settings.differences(from: earlier.settings, these)
    }
}

/// A file of answers or descriptions that runs append to, one record a line, with what beside it says who made each of them. Records of
/// this run's model and settings are taken over; others are refused, or left where they are when the configuration says `mix`.
struct AnswersFile<Key: Hashable & Sendable> {
    /// What a file holds, in words.
    struct Words {
        /// "answers"
        let records: String
        /// "what is missing is asked again"
        let again: String
        /// How a line begins.
        let opening: String
        /// "answers to random.json, or a new file"
        let expected: String
        /// "the answers file holds something else than answers to these questions"
        let stranger: String
    }

    let path: String
    private(set) var records: [Key: JSON] = [:]
    /// About the file, to be said before the work.
    private(set) var warnings: [JSON] = []
    /// The record's own, where others are in the file too.
    private(set) var others: [AnswersOrigin] = []
    /// Records that nothing says the origin of.
    private(set) var strangers = 0
    private let appender: LineAppender
    private let origins: OriginAppender
    private let origin: AnswersOrigin

    /// - Parameters:
    ///   - mixes: the key `mix`.
    ///   - key: of a record, and how it is called in errors ("question_id 7"); nil for what is no such record.
    ///   - picture: hash of the picture that a record is about, as it is now.
    init(
        _ path: String, _ origin: AnswersOrigin, mixes: Bool, _ words: Words,
        key: (JSON) -> (key: Key, name: String)?, picture: (Key) throws(HadpoError) -> String?
    ) throws(HadpoError) {
        self.path = path
        self.origin = origin
        appender = try LineAppender(path)
        if let warning = appender.warning { warnings.append(warning) }
        let stored = try AppendedLines(try File.read(path), source: path, opening: words.opening)
        var found = RecordsByKey<Key>()
        var order: [(key: Key, name: String, line: JSONLines.Line)] = []
        for line in stored.lines {
            guard let (key, name) = key(line.value) else {
                throw HadpoError(
                    .format, words.stranger, at: "\(path):\(line.number)", found: line.value.shortText(120),
                    expected: words.expected)
            }
            try found.add(line, key, name, source: path)
            order.append((key, name, line))
        }
        records = found.values
        warnings += stored.warnings(path, repeated: found.repeated, again: words.again)
        let beside = order.isEmpty ? nil : try RecordOrigins.read(beside: path)
        origins = OriginAppender(beside: path, beside, origin: origin.json)
        var known: [AnswersOrigin] = []
        for json in beside?.origins ?? [] { known.append(try AnswersOrigin(json, at: RecordOrigins.path(for: path))) }
        var seen: Set<Int> = []
        for (key, name, line) in order {
            guard let entry = beside?[line.value], entry.origin < known.count else {
                strangers += 1
                if mixes { continue }
                throw HadpoError(
                    .format, "nothing says which model made this record: another tool wrote it, or it was changed",
                    at: "\(path):\(line.number)",
                    found: beside == nil
                        ? "no \(RecordOrigins.path(for: path))"
                        : "\(name), which is not as \(RecordOrigins.path(for: path)) has it",
                    expected: Self.wayOut(words))
            }
            if seen.insert(entry.origin).inserted { try note(known[entry.origin], words, mixes: mixes) }
            guard !mixes, let was = entry.picture else { continue }
            let isNow = try picture(key)
            guard was == isNow else {
                throw HadpoError(
                    .format, "the picture is another one than when this record was made", at: "\(path):\(line.number): \(name)",
                    found: "a picture of the same name with other bytes (xxh64 \(was) then, \(isNow ?? "none") now)",
                    expected: "the picture that was there, " + Self.wayOut(words))
            }
        }
        if others.isEmpty, strangers == 0 { return }
        warnings.append([
            "event": "warning",
            "message": .string(
                "\(path) mixes \(words.records): \(strangers) of unknown origin, and those of \(others.count) other models or settings; "
                    + "its figures are no one model's"),
        ])
    }

    private static func wayOut(_ words: Words) -> String {
        "another output file, or \"mix\": true (--mix) to add \(words.records) beside those that are there"
    }

    /// An origin that records of the file have.
    private mutating func note(_ earlier: AnswersOrigin, _ words: Words, mixes: Bool) throws(HadpoError) {
        let differences = origin.differences(from: earlier, "these \(words.records)")
        if !differences.isEmpty {
            guard mixes else {
                throw HadpoError(
                    .format, "the \(words.records) in the file were made by another model or in another way", at: path,
                    found: differences.joined(separator: "; "),
                    expected: "the same model and settings, " + Self.wayOut(words))
            }
            others.append(earlier)
            return
        }
        if let verification = origin.identity.verification(from: earlier.identity, "some of these \(words.records)") {
            warnings.append([
                "event": "warning",
                "message": .string("\(path): \(verification); a change between the samples of a tensor would not be seen"),
            ])
        }
        let lastBits = origin.identity.lastBits.differences(from: earlier.identity.lastBits, "some of these \(words.records)")
        if !lastBits.isEmpty {
            warnings.append([
                "event": "warning",
                "message": .string(
                    "\(lastBits.joined(separator: "; ")): the last bits of \(path) may not be those of one run"),
            ])
        }
    }

    /// For a run to say, and to write into its result.
    var mixture: JSON? {
        if others.isEmpty, strangers == 0 { return nil }
        return ["origins": .array(others.map(\.json)), "unknown": JSON(strangers)]
    }

    /// Whether the record was made by this model in this way, so that it may stand in another file of this run.
    func isOwn(_ record: JSON) -> Bool {
        guard let entry = origins.origins[record] else { return false }
        return others.isEmpty || origins.origins.origins[entry.origin].text() == origin.json.text()
    }

    // MARK: writing

    /// Before the first answer: whether both files can be written.
    func prepare() throws(HadpoError) {
        try appender.checkFolder()
        try origins.prepare()
    }

    mutating func keep(_ record: JSON, _ key: Key, picture: String?) throws(HadpoError) {
        try origins.cover(record, picture: picture)
        try appender.append(record)
        records[key] = record
    }

    func sync() throws(HadpoError) {
        try origins.sync()
        try appender.sync()
    }

    /// In the end the lines stand in their order, however the run was cut.
    /// - Returns: the file's bytes.
    func finish(_ lines: [JSON]) throws(HadpoError) -> [UInt8] {
        let bytes = Array(lines.map { $0.text(ascii: true) + "\n" }.joined().utf8)
        if try File.read(path) != bytes { try appender.replace(with: bytes) }
        try origins.finish(lines)
        return bytes
    }
}
