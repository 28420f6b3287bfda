import Glibc
import HadpoBase

/// A file of known size that is written at offsets, in any order, and appears under its name only when it is whole: beside its
/// target, synced, renamed. When writing fails or is given up, the partial file is removed; after a kill it stays under a
/// name that no reader of checkpoints takes. (`AtomicFile` is for what is written from front to back.)
final class ReservedFile {
    let path: String
    private let file: TemporaryFile

    /// - Parameter byteCount: reserved at once, so that a full disk is reported before hours of work.
    init(_ path: String, byteCount: Int) throws(HadpoError) {
        self.path = path
        file = try TemporaryFile(for: path, needed: byteCount)
        if byteCount > 0 {
            var code: Int32 = 0
            repeat { code = posix_fallocate(file.descriptor, 0, off_t(byteCount)) } while code == EINTR
            if code != 0 {
                errno = code
                throw systemError("no room for \(byteCount) bytes", path)
            }
        }
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(HadpoError) {
        var done = 0
        while done < bytes.count, let base = bytes.baseAddress {
            let put = pwrite(file.descriptor, base + done, min(bytes.count - done, 1 << 30), off_t(offset + done))
            if put < 0, errno == EINTR { continue }
            guard put > 0 else { throw systemError("cannot write the file", path) }
            done += put
        }
    }

    /// Makes the contents durable, still under the temporary name.
    func sync() throws(HadpoError) { try file.finishWriting() }

    /// After `sync`. The new name itself is durable once the folder is synced.
    func moveIntoPlace() throws(HadpoError) { try file.rename() }
}
