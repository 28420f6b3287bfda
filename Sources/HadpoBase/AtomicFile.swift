import Glibc

/// Writes a file under a temporary name beside its own and renames it in `commit`, after everything is on disk. Without a
/// commit the temporary file goes away with the object. For one thread.
package final class AtomicFile {
    package let path: String
    package private(set) var byteCount = 0
    private let temporaryPath: String
    private(set) var descriptor: Int32
    private let expectedSize: Int

    /// `expectedSize`, where it is known, is what a full disk is told to need.
    package init(_ path: String, expectedSize: Int = 0) throws(HadpoError) {
        try File.checkPath(path)
        if File.isDirectory(path) { throw File.failure("cannot write", path, EISDIR) }
        // Names left behind by a killed process are stepped over; the process id keeps processes apart.
        var attempt = 0
        var candidate = ""
        var opened: Int32 = -1
        repeat {
            candidate = "\(path).tmp-\(getpid())-\(attempt)"
            opened = open(candidate, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
            attempt += 1
        } while opened < 0 && errno == EEXIST && attempt < 1000
        guard opened >= 0 else { throw File.failure("cannot create", path, errno, needed: expectedSize) }
        self.path = path
        self.expectedSize = expectedSize
        temporaryPath = candidate
        descriptor = opened
    }

    package func write(_ bytes: UnsafeRawBufferPointer) throws(HadpoError) {
        guard descriptor >= 0 else { throw HadpoError(.internal, "write after commit", at: path) }
        try File.writeAll(descriptor, bytes, path, needed: max(expectedSize, byteCount &+ bytes.count))
        byteCount &+= bytes.count
    }

    package func write(_ bytes: [UInt8]) throws(HadpoError) {
        try bytes.withUnsafeBytes { raw in Result { () throws(HadpoError) in try write(raw) } }.get()
    }

    package func commit() throws(HadpoError) {
        guard descriptor >= 0 else { throw HadpoError(.internal, "commit twice", at: path) }
        if fsync(descriptor) != 0 { throw File.failure("cannot sync", path, errno, needed: max(expectedSize, byteCount)) }
        let closed = close(descriptor)
        let code = errno
        descriptor = -1
        guard closed == 0 else {
            unlink(temporaryPath)
            throw File.failure("cannot close", path, code, needed: max(expectedSize, byteCount))
        }
        guard rename(temporaryPath, path) == 0 else {
            let code = errno
            unlink(temporaryPath)
            throw File.failure("cannot rename into place", path, code)
        }
        File.syncDirectory(File.folder(of: path))
    }

    deinit {
        if descriptor >= 0 {
            close(descriptor)
            unlink(temporaryPath)
        }
    }
}
