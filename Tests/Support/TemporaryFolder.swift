import Glibc
import HadpoBase

/// A folder for one test's files, in TMPDIR where that is set; it goes away with the object.
package final class TemporaryFolder {
    package let path: String

    package init() throws(HadpoError) {
        path = try makeTemporaryFolder()
    }

    deinit { removeFolder(path) }

    package subscript(name: String) -> String { File.join(path, name) }
    package var entries: [String] { get throws(HadpoError) { try File.list(path) } }

    /// Makes the folders above `name` too.
    /// - Returns: the path.
    @discardableResult package func write(_ name: String, _ bytes: [UInt8]) throws(HadpoError) -> String {
        try File.makeDirectories(File.folder(of: self[name]))
        try File.writeAtomically(self[name], bytes)
        return self[name]
    }

    @discardableResult package func write(_ name: String, _ text: String) throws(HadpoError) -> String {
        try write(name, Array(text.utf8))
    }

    package func text(_ name: String) throws(HadpoError) -> String { String(decoding: try File.read(self[name]), as: UTF8.self) }
}

/// A new folder. `removeFolder` takes it away.
private func makeTemporaryFolder() throws(HadpoError) -> String {
    let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    var template = Array(File.join(parent, "hadpo-test-XXXXXX").utf8CString)
    guard mkdtemp(&template) != nil else { throw HadpoError(.io, "no temporary folder can be made", at: parent) }
    return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

/// With all that is in it; links are not followed.
private func removeFolder(_ path: String) {
    for name in (try? File.list(path)) ?? [] {
        let inner = File.join(path, name)
        if unlink(inner) != 0 { removeFolder(inner) }
    }
    rmdir(path)
}

package func withTemporaryFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
    let folder = try TemporaryFolder()
    return try withExtendedLifetime(folder) { try body(folder.path) }
}
