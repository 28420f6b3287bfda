import HadpoBase
import Testing
import HadpoTestSupport

/// A folder for one test's files, which goes away with the object.
final class EvalFolder {
    let path: String

    init() throws {
        path = try makeTemporaryFolder()
    }

    deinit { removeFolder(path) }

    subscript(name: String) -> String { File.join(path, name) }

    /// - Returns: the path.
    @discardableResult func write(_ name: String, _ text: String) throws -> String {
        try File.makeDirectories(File.folder(of: self[name]))
        try File.writeAtomically(self[name], text)
        return self[name]
    }

    func text(_ name: String) throws -> String { String(decoding: try File.read(self[name]), as: UTF8.self) }
    func lines(_ name: String) throws -> [JSON] { try JSONLines.parse(File.read(self[name]), source: name).map(\.value) }
}

/// Fixtures of this target.
let fixtureFolder = File.join(File.folder(of: File.folder(of: #filePath)), "Fixtures")
