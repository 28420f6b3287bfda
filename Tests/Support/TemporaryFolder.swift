import Glibc
import HadpoBase

/// A new folder, in TMPDIR where that is set. `removeFolder` takes it away.
package func makeTemporaryFolder() throws(HadpoError) -> String {
    let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    var template = Array(File.join(parent, "hadpo-test-XXXXXX").utf8CString)
    guard mkdtemp(&template) != nil else { throw HadpoError(.io, "no temporary folder can be made", at: parent) }
    return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

/// With all that is in it; links are not followed.
package func removeFolder(_ path: String) {
    for name in (try? File.list(path)) ?? [] {
        let inner = File.join(path, name)
        if unlink(inner) != 0 { removeFolder(inner) }
    }
    rmdir(path)
}

package func withTemporaryFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
    let folder = try makeTemporaryFolder()
    defer { removeFolder(folder) }
    return try body(folder)
}
