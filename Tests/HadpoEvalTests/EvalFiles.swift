import HadpoBase
import HadpoEval
import HadpoTestSupport

extension TemporaryFolder {
    func lines(_ name: String) throws -> [JSON] { try JSONLines.parse(File.read(self[name]), source: name).map(\.value) }
}

/// Fixtures of this target.
let fixtureFolder = File.join(File.folder(of: File.folder(of: #filePath)), "Fixtures")
