import HadpoBase
import HadpoTestSupport

/// A folder of data files that lives as long as the object.
final class DataFolder {
    let path: String

    init() throws(HadpoError) {
        path = try makeTemporaryFolder()
    }

    deinit { removeFolder(path) }

    @discardableResult
    func write(_ name: String, _ text: String) throws(HadpoError) -> String {
        let file = File.join(path, name)
        try File.makeDirectories(File.folder(of: file))
        try File.writeAtomically(file, text)
        return file
    }
}
