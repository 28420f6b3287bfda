import HadpoBase

/// The log of a training, for one that is resumed: what the steps behind the saved one wrote is taken out, as they are taken again.
/// Only of a file that is this training's log: any other that was named by mistake stays as it is.
struct StepLog {
    private let path: String
    private var lines: [Line] = []
    /// Where the records of the last training in the file begin; those of one before it stay.
    private var start = 0

    private struct Line {
        let record: JSON
        let event: String
        let step: Int
        /// As it stands in the file.
        let bytes: ArraySlice<UInt8>
    }

    private static let events = ["step", "guard", "guard_stop"]

    /// Whether a file begins as a training's log does, or with what a killed training left of its first record.
    static func isLog(_ path: String) throws(HadpoError) -> Bool {
        let bytes = try File.ends(path, first: 1 << 16, last: 0).first
        let line = bytes.prefix { $0 != 0x0A }
        guard let record = try? JSON.parse(Array(line), source: path) else {
            return line.count == bytes.count && Self.events.contains { line.starts(with: "{\"event\": \"\($0)\"".utf8) }
        }
        return Self.events.contains(record["event"]?.stringValue ?? "") && record["step"]?.intValue ?? -1 >= 0
    }

    init(_ path: String) throws(HadpoError) {
        self.path = path
        let bytes = try File.read(path)
        let whole = bytes.split(separator: 0x0A, omittingEmptySubsequences: false)
        let appended = try AppendedLines(bytes, source: path, opening: "{\"event\": ")
        for line in appended.lines {
            let record = line.value
            guard let event = record["event"]?.stringValue, Self.events.contains(event),
                let step = record["step"]?.intValue, step >= 0
            else {
                throw HadpoError(
                    .format, "the file named as log holds something else than a training's records", at: "\(path):\(line.number)",
                    found: String(record.text().prefix(120)), expected: "the log of this training, or a new file")
            }
            if let before = lines.last, step < before.step || (step == before.step && event == before.event) {
                start = lines.count
            }
            // Beside a piece that a killed run left, the record alone.
            let isAlone = !appended.torn.contains(line.number) && appended.lines.count { $0.number == line.number } == 1
            lines.append(
                Line(
                    record: record, event: event, step: step,
                    bytes: isAlone ? whole[line.number - 1] : Array(record.text(ascii: true).utf8)[...]))
        }
    }

    /// - Parameters:
    ///   - lastRecord: of the saved training, as `comparable` makes it.
    ///   - isOwn: this very training has written to the file; before its first step nothing else can prove it.
    ///   - looks: steps at which the saved training's guard has looked; nil without a guard.
    /// - Returns: the file's new contents; nil when it stays as it is.
    func cut(behind step: Int, lastRecord: String?, looks: Set<Int>?, isOwn: Bool) throws(HadpoError) -> [UInt8]? {
        let kept = lines[start...].filter { line in
            guard line.step <= step else { return false }
            switch line.event {
            case "guard": return looks?.contains(line.step) ?? true
            case "guard_stop": return false  // a training that goes on, or is stopped again, says so itself
            default: return true
            }
        }
        let isCut = kept.count < lines.count - start
        let own = kept.last { $0.event == "step" }.map { StepLog.comparable($0.record) }
        guard lines.isEmpty || (isOwn && step == 0) || (own != nil && own == lastRecord) || (!isCut && own == nil) else {
            throw HadpoError(
                .config,
                "the file named as log is not the log of the saved training, and lines would be "
                    + (isCut ? "cut out of it" : "added to it"), at: path, found: own ?? "no record of step \(step)",
                expected: lastRecord.map { "\($0) of step \(step), or a new file" } ?? "a new file")
        }
        if !isCut { return nil }
        return Array((lines[..<start] + kept).map { $0.bytes + [0x0A] }.joined())
    }

    /// A record by which a training is known: all but how long it took.
    static func comparable(_ record: JSON) -> String {
        var record = record
        record["seconds"] = nil
        return record.text(ascii: true)
    }
}
