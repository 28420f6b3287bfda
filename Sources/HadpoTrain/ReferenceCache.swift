import HadpoBase
import HadpoModels

/// Sequence log-probabilities of the reference model, by content: the key names model, picture and tokens, so that an
/// entry can never be taken for another model's or another text's. In memory always, in a file when asked for. A line with the key
/// "origin" says whose the lines behind it are; a file of another model's is refused.
package final class ReferenceCache {
    private var entries: [String: [Double]] = [:]
    private let appender: LineAppender?
    private let identity: ModelIdentity
    private let salt: String
    /// Whether the file's last origin is this run's.
    private var hasOrigin = false
    /// For a run to say before its work.
    package private(set) var warning: JSON?

    private static let origin = "origin"

    /// - Parameters:
    ///   - identity: the reference model's.
    ///   - path: JSON Lines file to read first and to add to; nil keeps nothing.
    package init(identity: ModelIdentity, path: String?) throws(HadpoError) {
        self.identity = identity
        salt = identity.digest
        guard let path else {
            appender = nil
            return
        }
        try File.checkCanMake(File.folder(of: path))
        try File.makeDirectories(File.folder(of: path))
        // Locked before it is read, so that what another run is writing is not taken for what a killed one left.
        appender = try LineAppender(path)
        try read(path)
    }

    private init(reading path: String, identity: ModelIdentity) throws(HadpoError) {
        self.identity = identity
        salt = identity.digest
        appender = nil
        try read(path)
    }

    /// Whether a run could use the file, without writing to it.
    package static func check(identity: ModelIdentity, path: String) throws(HadpoError) {
        if File.isDirectory(path) {
            throw HadpoError(.io, "the reference cache is a folder", at: path, expected: "a file, new or of this model")
        }
        try File.checkCanMake(File.folder(of: path))
        _ = try ReferenceCache(reading: path, identity: identity)
    }

    private func read(_ path: String) throws(HadpoError) {
        // What is torn is computed again; a key that stands twice was computed twice, from the same tokens.
        guard File.isFile(path) else { return }
        for line in try AppendedLines(try File.read(path), source: path, opening: "{\"key\": ").lines {
            if line.value["key"]?.stringValue == ReferenceCache.origin {
                let earlier = try ModelIdentity(line.value["identity"] ?? .null, at: "\(path):\(line.number)")
                try compare(earlier, path)
                hasOrigin = earlier == identity
                continue
            }
            guard let (key, logps) = ReferenceCache.entry(line.value) else {
                throw HadpoError(
                    .format, "the file holds something else than log-probabilities of a reference model",
                    at: "\(path):\(line.number)", found: String(line.value.text().prefix(120)),
                    expected: "lines with key, logps and check as they were written, or a new file")
            }
            entries[key] = logps
        }
    }

    private func compare(_ earlier: ModelIdentity, _ path: String) throws(HadpoError) {
        let differences = identity.differences(from: earlier, "its log-probabilities")
        guard differences.isEmpty else {
            throw HadpoError(
                .format, "the reference cache is another model's", at: path, found: differences.joined(separator: "; "),
                expected: "the model that it was made with, or another file for this one")
        }
        let lastBits = identity.lastBits.differences(from: earlier.lastBits, "some of its log-probabilities")
        var said: [String] = []
        if !lastBits.isEmpty { said.append("\(lastBits.joined(separator: "; ")), which may differ in their last bits") }
        if let verification = identity.verification(from: earlier, "some of its log-probabilities") {
            said.append("\(verification); a change between the samples of a tensor would not be seen")
        }
        if !said.isEmpty { warning = ["event": "warning", "message": .string("\(path): \(said.joined(separator: "; "))")] }
    }

    package func key(_ sample: TrainingSample, imageHash: String) -> String {
        var hash = SHA256()
        hash.update(salt)
        hash.update(imageHash)
        func add(_ ids: [Int32]) {
            var bytes: [UInt8] = []
            for id in ids { withUnsafeBytes(of: id.littleEndian) { bytes.append(contentsOf: $0) } }
            // The separator keeps [1][2 3] and [1 2][3] apart.
            hash.update(bytes + [0xFF, 0xFF, 0xFF, 0xFF])
        }
        for piece in sample.prompt {
            switch piece {
            case .tokens(let ids): add(ids)
            case .picture(let instruction):
                add([-200])
                if !instruction.isEmpty { add(instruction) }
            }
        }
        for branch in sample.branches { add(branch) }
        return hash.hexDigest()
    }

    /// What a line holds, when it is as it was written: a changed number would move the training without a word.
    private static func entry(_ json: JSON) -> (String, [Double])? {
        guard let key = json["key"]?.stringValue, let values = json["logps"]?.arrayValue else { return nil }
        let logps = values.compactMap(\.doubleValue)
        // The logarithm of a probability; a sum of many fp32 numbers that are 0 may end a little above.
        guard logps.count == values.count, !logps.isEmpty, logps.allSatisfy({ $0.isFinite && $0 < 1 }) else { return nil }
        // Older versions wrote lines without one.
        if let check = json["check"], check.stringValue != ReferenceCache.check(key, logps) { return nil }
        return (key, logps)
    }

    private static func check(_ key: String, _ logps: [Double]) -> String {
        var hash = XXHash64()
        hash.update(Array(key.utf8))
        for value in logps { withUnsafeBytes(of: value.bitPattern.littleEndian) { hash.update($0) } }
        return hash.text
    }

    /// - Parameter count: of the answers, one log-probability each; an entry with another number of them is none.
    package subscript(key: String, count count: Int) -> [Double]? {
        guard let logps = entries[key], logps.count == count else { return nil }
        return logps
    }

    package func store(_ key: String, _ logps: [Double]) throws(HadpoError) {
        if let known = entries.updateValue(logps, forKey: key), known == logps { return }
        guard logps.allSatisfy(\.isFinite) else { return }
        if !hasOrigin { try appender?.append(["key": .string(ReferenceCache.origin), "identity": identity.json]) }
        hasOrigin = true
        try appender?.append([
            "key": .string(key), "logps": .array(logps.map { .double($0) }), "check": .string(ReferenceCache.check(key, logps)),
        ])
    }
}
