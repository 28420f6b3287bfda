import Glibc

/// A file under a temporary name beside the one it is to become. It goes away with the object when it was not renamed. A killed process
/// leaves it behind; the next one that writes to the same target takes it away.
///
/// Whether its process lives is told by a lock on the file, which the system takes back from a dead process. The number of a process would
/// not do: in containers every run has the same one, and a process of another container or machine cannot be seen.
package final class TemporaryFile {
    /// The name it will have.
    package let target: String
    private let name: String
    /// For writing; -1 after `close`.
    package private(set) var descriptor: Int32
    /// Keeps the lock until the file has its final name.
    private let lock: Int32
    private var isRenamed = false

    private static let slots = 8

    /// Whether a file of the name may have been left by a process that wrote `target`.
    static func isTemporary(_ name: String, of target: String) -> Bool {
        (0..<slots).contains { name == TemporaryFile.name(target, $0) }
    }

    private static func name(_ target: String, _ slot: Int) -> String { "\(target).hadpo-\(slot).partial" }

    /// - Parameter needed: bytes, where they are known: what a full disk is told.
    package init(for target: String, needed: Int? = nil) throws(HadpoError) {
        try File.checkPath(target)
        if File.isDirectory(target) { throw File.failure("cannot write", target, EISDIR) }
        for slot in 0..<TemporaryFile.slots { TemporaryFile.removeAbandoned(TemporaryFile.name(target, slot)) }
        var opened: Int32 = -1
        var candidate = ""
        for slot in 0..<1000 {
            candidate = TemporaryFile.name(target, slot)
            opened = open(candidate, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
            if opened < 0, errno == EEXIST { continue }
            guard opened >= 0 else { throw File.failure("cannot create", target, errno, needed: needed) }
            // Between the two calls another process may have taken the file for an abandoned one.
            _ = FileLock.take(opened)
            if TemporaryFile.isNamed(opened, candidate) != false { break }
            close(opened)
            opened = -1
        }
        guard opened >= 0 else { throw File.failure("cannot create", target, EEXIST) }
        self.target = target
        name = candidate
        descriptor = opened
        lock = fcntl(opened, F_DUPFD_CLOEXEC, 0)
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
        if !isRenamed { unlink(name) }
        if lock >= 0 { close(lock) }
    }

    /// Makes the contents durable; nothing can be written afterwards.
    package func finishWriting(needed: Int? = nil) throws(HadpoError) {
        guard descriptor >= 0 else { throw HadpoError(.internal, "a file was finished twice", at: target) }
        if fsync(descriptor) != 0 { throw File.failure("cannot write to disk", target, errno, needed: needed) }
        let closed = close(descriptor)
        let code = errno
        descriptor = -1
        // Network file systems report a full disk only here.
        if closed != 0 { throw File.failure("cannot close", target, code, needed: needed) }
    }

    /// After `finishWriting`.
    package func rename() throws(HadpoError) {
        guard Glibc.rename(name, target) == 0 else { throw File.failure("cannot rename into place", target, errno) }
        isRenamed = true
        File.syncDirectory(File.folder(of: target))
    }

    /// Whether the open file still has the name; nil when that cannot be found out.
    private static func isNamed(_ descriptor: Int32, _ name: String) -> Bool? {
        var (held, named) = (stat(), stat())
        if fstat(descriptor, &held) != 0 { return nil }
        if lstat(name, &named) != 0 { return errno == ENOENT ? false : nil }
        return held.st_ino == named.st_ino && held.st_dev == named.st_dev
    }

    /// Takes the file away when it is a plain file of this user that no living process holds.
    private static func removeAbandoned(_ name: String) {
        let descriptor = open(name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_uid == geteuid(),
            status.st_nlink == 1, FileLock.take(descriptor) == nil, isNamed(descriptor, name) == true
        else { return }
        unlink(name)
    }
}
