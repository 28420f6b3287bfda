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
            origins.append(try AnswersOrigin(beside.origins[place], at: RecordOrigins.path(for: path)))
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

    /// A copy of the run's file is no baseline. Two models that say the same are one, where it is known that they are two.
    package static func requireDifferentFiles(
        _ run: (sha256: String, origin: JSON?), _ baseline: (sha256: String, origin: JSON?), at place: String
    ) throws(HadpoError) {
        guard run.sha256.hasSameBytes(baseline.sha256) else { return }
        let areKnown = [run.origin, baseline.origin].allSatisfy { $0?["identity"]?.objectValue != nil }
        if areKnown {
            // Throws where they are one.
            return try requireDifferent(run.origin, baseline.origin, at: place)
        }
        throw HadpoError(
            .config, "the baseline is the run itself", at: place, found: "the same bytes, SHA-256 \(run.sha256.prefix(16))",
            expected: "another model's, or the same model's before its training; was the wrong file given?")
    }

    /// Two columns of one model with the same settings are no comparison.
    package static func requireDifferent(_ run: JSON?, _ baseline: JSON?, at place: String) throws(HadpoError) {
        guard let run, let baseline, run["identity"]?.objectValue != nil, baseline["identity"]?.objectValue != nil else { return }
        let (one, other) = (try AnswersOrigin(run, at: place), try AnswersOrigin(baseline, at: place))
        guard one.differences(from: other, "").isEmpty else { return }
        throw HadpoError(
            .config, "run and baseline are of one model with the same settings", at: place,
            found: "identity \(one.identity.digest.prefix(16)) in both",
            expected: "before and after, or two models; was the adapter left out?")
    }
}
