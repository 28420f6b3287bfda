import HadpoBase
import HadpoTestSupport
import Testing

/// Where the tests find their files.
enum Files {
    private static let tests = File.folder(of: File.folder(of: #filePath))

    static func fixture(_ name: String) -> String { File.join(File.join(tests, "Fixtures/text"), name) }

    static func json(_ name: String) throws -> JSON { try File.readJSON(fixture(name)) }

    /// A file of the optional folder with real vocabularies; without it the test is cancelled, which counts as skipped.
    static func shared(_ name: String) throws -> String { try publishedFile("data/tokenizers/\(name)") }

    static func lines(_ path: String) throws -> [JSON] { try JSONLines.parse(try File.read(path), source: path).map(\.value) }
}

extension JSON {
    var ids: [Int32]? { arrayValue?.map { Int32($0.intValue ?? -1) } }

    func require(_ key: String) throws -> JSON { try #require(self[key], "no key \(key)") }
    func string(_ key: String) throws -> String { try #require(require(key).stringValue) }
    func list(_ key: String) throws -> [JSON] { try #require(require(key).arrayValue) }
    func idList(_ key: String) throws -> [Int32] { try #require(require(key).ids) }
}

/// Equal in bytes; `==` on strings would let canonically equivalent texts pass.
func same(_ a: String, _ b: String) -> Bool { Array(a.utf8) == Array(b.utf8) }

/// The error that `body` throws.
func failure(_ body: () throws -> Void) throws -> HadpoError {
    do { try body() } catch let error as HadpoError { return error }
    throw HadpoError(.internal, "nothing was thrown")
}
