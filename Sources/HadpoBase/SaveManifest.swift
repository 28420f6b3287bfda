/// What a save consists of: the list that lies beside its files as `hadpo_save.json`.
package struct SaveManifest: Sendable, Equatable {
    package static let fileName = "hadpo_save.json"
    private static let schema = "hadpo.save/1"

    package struct Entry: Sendable, Equatable {
        package let name: String
        /// Size and hash of a file; nil of what nobody compares (the files of an exported model).
        package let contents: Contents?
    }

    package struct Contents: Sendable, Equatable {
        package let byteCount: Int
        package let hash: String
    }

    /// In the order in which they are put in place.
    package let entries: [Entry]

    package init(_ entries: [Entry]) { self.entries = entries }

    package subscript(name: String) -> Entry? { entries.first { $0.name == name } }

    package var text: String {
        let files = entries.map { entry -> JSON in
            guard let contents = entry.contents else { return ["name": .string(entry.name)] }
            return ["name": .string(entry.name), "bytes": JSON(contents.byteCount), "xxh64": .string(contents.hash)]
        }
        return (["schema": .string(SaveManifest.schema), "files": .array(files)] as JSON).text(indent: 2) + "\n"
    }

    /// - Returns: nil where there is none.
    package static func read(_ folder: String) throws(HadpoError) -> SaveManifest? {
        let path = File.join(folder, fileName)
        guard File.exists(path) else { return nil }
        let json: JSON
        do throws(HadpoError) {
            json = try File.readJSON(path)
        } catch {
            // Another process, which saves, may have moved it since.
            if !File.exists(path) { return nil }
            throw error
        }
        return try SaveManifest(json, path: path)
    }

    init(_ json: JSON, path: String) throws(HadpoError) {
        func malformed(_ found: JSON?) -> HadpoError {
            HadpoError(
                .format, "not the list of a save's files", at: path, found: found.map { String($0.text().prefix(120)) },
                expected: "schema \(SaveManifest.schema) with each file's name, bytes and xxh64")
        }
        guard json["schema"]?.stringValue == SaveManifest.schema, let files = json["files"]?.arrayValue else {
            throw malformed(json["schema"])
        }
        var entries: [Entry] = []
        var names: Set<String> = []
        for file in files {
            // Names only: a list must not lead out of its folder.
            guard let name = file["name"]?.stringValue, SaveManifest.isPlain(name), names.insert(name).inserted else {
                throw malformed(file)
            }
            if file["bytes"] == nil, file["xxh64"] == nil {
                entries.append(Entry(name: name, contents: nil))
                continue
            }
            guard let bytes = file["bytes"]?.intValue, bytes >= 0, let hash = file["xxh64"]?.stringValue else {
                throw malformed(file)
            }
            entries.append(Entry(name: name, contents: Contents(byteCount: bytes, hash: hash)))
        }
        self.entries = entries
    }

    private static func isPlain(_ name: String) -> Bool {
        !name.isEmpty && name != "." && name != ".." && name != fileName && !name.utf8.contains(0)
            && !name.utf8.contains(UInt8(ascii: "/"))
    }
}
