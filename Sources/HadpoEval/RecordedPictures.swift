import HadpoBase

/// Which pictures the records of a file were made of: the hashes that lie beside it, where this library wrote them.
package enum RecordedPictures {
    /// - Parameter key: of a record; nil for what is none.
    package static func hashes<Key: Hashable>(of path: String, key: (JSON) -> Key?) throws(HadpoError) -> [Key: String] {
        guard let beside = try RecordOrigins.read(beside: path) else { return [:] }
        let bytes = try File.read(path)
        // An array is another tool's, and nothing beside it is about its elements.
        if bytes.first(where: { $0 > 0x20 }) == UInt8(ascii: "[") { return [:] }
        var hashes: [Key: String] = [:]
        for line in try JSONLines.parse(bytes, source: path, dropTornLine: true) {
            if let key = key(line.value), let hash = beside[line.value]?.picture { hashes[key] = hash }
        }
        return hashes
    }

    /// Of the descriptions that a score was made of, by image; empty where they are gone or were changed since.
    package static func hashes(of scored: SHRScored) throws(HadpoError) -> (path: String, hashes: [String: String]) {
        guard let path = scored.report["answers"]?.stringValue, File.isFile(path), File.exists(RecordOrigins.path(for: path)),
            try SHA256.hex(File.read(path)) == scored.report["answers_sha256"]?.stringValue
        else { return ("", [:]) }
        let hashes = try hashes(of: path) { record -> String? in
            record["image_id"].flatMap { $0.stringValue ?? $0.intValue.map(String.init) }
        }
        return (path, hashes)
    }
}
