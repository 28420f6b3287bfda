import Glibc
import HadpoBase
import Testing

/// A published file that is not in the repository (a real vocabulary, POPE's questions, CHAIR's synonyms), below the folder that
/// HADPO_SHARED names, or `shared` beside the repository. Without it the test is cancelled, which counts as skipped.
package func publishedFile(_ name: String) throws -> String {
    let root = File.folder(of: File.folder(of: File.folder(of: #filePath)))
    let folder = getenv("HADPO_SHARED").map { String(cString: $0) } ?? File.join(root, "../shared")
    let path = File.join(folder, name)
    guard File.exists(path) else { try Test.cancel("no published file \(name)") }
    return path
}
