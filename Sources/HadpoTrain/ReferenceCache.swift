import HadpoBase

/// Sequence log-probabilities of the reference model, by content: the key names weights, picture and tokens, so that an
/// entry can never be taken for another model's or another text's. In memory always, in a file when asked for.
package final class ReferenceCache {
    private var entries: [String: [Double]] = [:]
    private let appender: LineAppender?
    private let salt: String

    /// - Parameters:
    ///   - salt: fingerprint of model, frozen parts and numerics.
    ///   - path: JSON Lines file to read first and to add to; nil keeps nothing.
    package init(salt: String, path: String?) throws(HadpoError) {
        self.salt = salt
        guard let path else {
            appender = nil
            return
        }
        // Locked before it is read, so that what another run is writing is not taken for what a killed one left.
        appender = try LineAppender(path)
        // What is torn is computed again; a key that stands twice was computed twice, from the same tokens.
        guard File.isFile(path) else { return }
        for line in try AppendedLines(try File.read(path), source: path, opening: "{\"key\": ").lines {
            guard let (key, logps) = ReferenceCache.entry(line.value) else {
                throw HadpoError(
                    .format, "the file holds something else than log-probabilities of a reference model",
                    at: "\(path):\(line.number)", found: String(line.value.text().prefix(120)),
                    expected: "lines with key, logps and check as they were written, or a new file")
            }
            entries[key] = logps
        }
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
        try appender?.append([
            "key": .string(key), "logps": .array(logps.map { .double($0) }), "check": .string(ReferenceCache.check(key, logps)),
        ])
    }
}
