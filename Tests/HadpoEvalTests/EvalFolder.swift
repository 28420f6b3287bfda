import Glibc
import HadpoBase
import Testing

/// A folder for one test's files, which goes away with the object.
final class EvalFolder {
    let path: String

    init() throws {
        var template = Array("/tmp/hadpo-eval-XXXXXX".utf8CString)
        path = try #require(
            template.withUnsafeMutableBufferPointer { $0.baseAddress.flatMap { mkdtemp($0) }.map { String(cString: $0) } })
    }

    deinit { Self.empty(path) }

    private static func empty(_ folder: String) {
        for name in (try? File.list(folder)) ?? [] {
            let inner = File.join(folder, name)
            if File.isDirectory(inner) { empty(inner) } else { try? File.remove(inner) }
        }
        rmdir(folder)
    }

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
