import Glibc
import HadpoBase

/// A folder of data files that lives as long as the object.
final class DataFolder {
    let path: String

    init() throws(HadpoError) {
        var name = Array("/tmp/hadpo-data-XXXXXX".utf8CString)
        guard mkdtemp(&name) != nil else { throw HadpoError(.io, "no temporary folder") }
        path = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit { remove(path) }

    private func remove(_ folder: String) {
        for name in (try? File.list(folder)) ?? [] {
            let path = File.join(folder, name)
            if File.isDirectory(path) { remove(path) } else { unlink(path) }
        }
        rmdir(folder)
    }

    @discardableResult
    func write(_ name: String, _ text: String) throws(HadpoError) -> String {
        let file = File.join(path, name)
        try File.makeDirectories(File.folder(of: file))
        try File.writeAtomically(file, text)
        return file
    }
}
