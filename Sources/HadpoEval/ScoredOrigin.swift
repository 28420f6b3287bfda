import HadpoBase

/// Whose answers are in a file that is scored: what lies beside it says so, or nothing does. Answers of any model and tool can be
/// scored; the result then says that nobody knows whose they are.
package struct ScoredOrigin: Sendable {
    /// nil: not known, or not one model's.
    package let origin: AnswersOrigin?
    package let note: String?
    private let path: String

    package init(beside path: String) throws(HadpoError) {
        self.path = path
        guard let beside = try RecordOrigins.read(beside: path) else {
            origin = nil
            note = "nothing says which model made the records of \(path): no \(RecordOrigins.path(for: path))"
            return
        }
        var used: Set<Int> = []
        var strangers = 0
        let bytes = try File.read(path)
        if bytes.first(where: { $0 > 0x20 }) == UInt8(ascii: "[") {
            // Another tool made an array of them: its elements are read for their answers alone.
            strangers = try JSON.parse(bytes, source: path).arrayValue?.count ?? 0
        } else {
            for line in try JSONLines.parse(bytes, source: path, dropTornLine: true) {
                if let entry = beside[line.value] { used.insert(entry.origin) } else { strangers += 1 }
            }
        }
        var origins: [AnswersOrigin] = []
        for place in used.sorted() {
            do throws(HadpoError) {
                origins.append(try AnswersOrigin(beside.origins[place], at: RecordOrigins.path(for: path)))
            } catch {
                throw RecordOrigins.unreadable(at: error.place, found: error.found)
            }
        }
        // Of what differs in its last bits alone the last run stands for all.
        let differs = origins.contains { origins.last?.differences(from: $0, "").isEmpty == false }
        origin = differs || strangers > 0 ? nil : origins.last
        note =
            strangers > 0
            ? "\(strangers) records of \(path) were written by another tool, or changed: these are no one model's figures"
            : differs ? "\(path) mixes answers of several models or settings: these are no one model's figures" : nil
    }

    package var json: JSON {
        var json: JSON = origin?.json ?? ["identity": nil, "settings": nil, "about": nil]
        json["note"] = JSON(note)
        return json
    }

    /// A file compared with itself, or with its copy. Equal answers of two models are no copies, where what lies beside says whose they
    /// are.
    package static func requireTwoFiles(
        _ run: (path: String, sha256: String, origin: JSON?), _ baseline: (path: String, sha256: String, origin: JSON?)
    ) throws(HadpoError) {
        guard run.sha256 == baseline.sha256 else { return }
        let isKnown = [run.origin, baseline.origin].allSatisfy { $0?["identity"]?.objectValue != nil }
        if isKnown { return try requireDifferent(run.origin, baseline.origin, at: baseline.path) }
        throw HadpoError(
            .config, "run and baseline are the same file", at: baseline.path,
            found: run.path == baseline.path
                ? "one path for both" : "the bytes of \(run.path) (SHA-256 \(run.sha256.prefix(16)))",
            expected: "before and after, or two models: two files")
    }

    /// Two columns of one model with the same settings are no comparison.
    package static func requireDifferent(_ run: JSON?, _ baseline: JSON?, at place: String) throws(HadpoError) {
        guard let run, let baseline, run["identity"]?.objectValue != nil, baseline["identity"]?.objectValue != nil else { return }
        let (one, other) = (try AnswersOrigin(run, at: place), try AnswersOrigin(baseline, at: place))
        // Where one was read whole and the other was not, nobody knows.
        guard one.differences(from: other, "").isEmpty, one.identity.verification(from: other.identity, "") == nil else { return }
        throw HadpoError(
            .config, "run and baseline are of one model with the same settings", at: place,
            found: "identity \(one.identity.digest.prefix(16)) in both",
            expected: "before and after, or two models; was the adapter left out?")
    }
}
