import Glibc
import HadpoBase

/// A file of known size that is written at offsets, in any order, and appears under its name only when it is whole: beside its
/// target, synced, renamed. When writing fails or is given up, the partial file is removed; after a kill it stays under a
/// name that no reader of checkpoints takes. (`AtomicFile` is for what is written from front to back.)
final class ReservedFile {
    let path: String
    private let temporary: String
    private var descriptor: Int32
    private var isInPlace = false

    /// - Parameter byteCount: reserved at once, so that a full disk is reported before hours of work.
    init(_ path: String, byteCount: Int) throws(HadpoError) {
        self.path = path
        var descriptor: Int32 = -1
        var temporary = ""
        for attempt in 0..<100 {
            temporary = "\(path).\(getpid())-\(attempt).partial"
            descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
            if descriptor >= 0 || errno != EEXIST { break }
        }
        guard descriptor >= 0 else { throw systemError("cannot create the file", path) }
        self.temporary = temporary
        self.descriptor = descriptor
        if byteCount > 0 {
            let code = posix_fallocate(descriptor, 0, off_t(byteCount))
            if code != 0 {
                errno = code
                throw systemError("no room for \(byteCount) bytes", path)
            }
        }
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
        if !isInPlace { unlink(temporary) }
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(HadpoError) {
        var done = 0
        while done < bytes.count, let base = bytes.baseAddress {
            let put = pwrite(descriptor, base + done, min(bytes.count - done, 1 << 30), off_t(offset + done))
            if put < 0, errno == EINTR { continue }
            guard put > 0 else { throw systemError("cannot write the file", path) }
            done += put
        }
    }

    /// Makes the contents durable, still under the temporary name.
    func sync() throws(HadpoError) {
        guard fsync(descriptor) == 0 else { throw systemError("cannot write the file to disk", path) }
        let closed = close(descriptor)
        descriptor = -1
        // Network file systems report a full disk only here.
        guard closed == 0 else { throw systemError("cannot write the file to disk", path) }
    }

    /// After `sync`. The new name itself is durable once the folder is synced.
    func moveIntoPlace() throws(HadpoError) {
        guard rename(temporary, path) == 0 else { throw systemError("cannot rename the finished file", path) }
        isInPlace = true
        File.syncDirectory(File.folder(of: path))
    }
}
