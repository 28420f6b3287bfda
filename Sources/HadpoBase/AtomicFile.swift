import Glibc

/// Writes a file from front to back under a temporary name beside its own and renames it in `commit`, after everything is on disk.
/// Without a commit the temporary file goes away with the object. For one thread.
package final class AtomicFile {
    package let path: String
    package private(set) var byteCount = 0
    private let file: TemporaryFile
    private let expectedSize: Int

    /// -1 after a commit.
    var descriptor: Int32 { file.descriptor }

    /// `expectedSize`, where it is known, is what a full disk is told to need.
    package init(_ path: String, expectedSize: Int = 0) throws(HadpoError) {
        file = try TemporaryFile(for: path, needed: expectedSize)
        self.path = path
        self.expectedSize = expectedSize
    }

    package func write(_ bytes: UnsafeRawBufferPointer) throws(HadpoError) {
        guard file.descriptor >= 0 else { throw HadpoError(.internal, "write after commit", at: path) }
        try File.writeAll(file.descriptor, bytes, path, needed: max(expectedSize, byteCount &+ bytes.count))
        byteCount &+= bytes.count
    }

    package func write(_ bytes: [UInt8]) throws(HadpoError) {
        try bytes.withUnsafeBytes { raw in Result { () throws(HadpoError) in try write(raw) } }.get()
    }

    package func commit() throws(HadpoError) {
        try file.finishWriting(needed: max(expectedSize, byteCount))
        try file.rename()
    }
}
