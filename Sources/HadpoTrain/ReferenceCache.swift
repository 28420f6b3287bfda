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
        guard File.exists(path) else { return }
        for line in try AppendedLines(try File.read(path), source: path, opening: "{\"key\": ").lines {
            guard let key = line.value["key"]?.stringValue, let values = line.value["logps"]?.arrayValue else { continue }
            entries[key] = values.compactMap(\.doubleValue)
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

    package subscript(key: String) -> [Double]? { entries[key] }

    package func store(_ key: String, _ logps: [Double]) throws(HadpoError) {
        entries[key] = logps
        try appender?.append(.object([.init("key", .string(key)), .init("logps", .array(logps.map { .double($0) }))]))
    }
}
