import Glibc

/// One run a file: `flock` on the file itself. The lock belongs to the open file, so that two objects of one process keep each other
/// out, and it goes when the last descriptor is closed: a process that was forked meanwhile and lives on keeps it.
enum FileLock {
    struct Opened {
        let descriptor: Int32
        let isRegular: Bool
        /// What the system said when it has no locks for this file.
        let failure: String?
    }

    /// Opens for reading and appending, made when absent, and locks. Pipes and devices (/dev/null) are anybody's, and not locked.
    static func open(_ path: String) throws(HadpoError) -> Opened {
        // The holder may put another file in the place between opening and locking: then what is locked is not what has the name.
        for _ in 0..<100 {
            let descriptor = HadpoBase.open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0o666)
            guard descriptor >= 0 else { throw File.failure("cannot open", path, errno) }
            var opened = stat()
            guard fstat(descriptor, &opened) == 0 else {
                let code = errno
                close(descriptor)
                throw File.failure("cannot look at", path, code)
            }
            if opened.st_mode & S_IFMT != S_IFREG { return Opened(descriptor: descriptor, isRegular: false, failure: nil) }
            switch take(descriptor) {
            case EWOULDBLOCK?:
                close(descriptor)
                throw busy(path)
            case let code?:
                return Opened(descriptor: descriptor, isRegular: true, failure: File.failure("no lock", path, code).message)
            case nil: break
            }
            var named = stat()
            if stat(path, &named) == 0, named.st_dev == opened.st_dev, named.st_ino == opened.st_ino {
                return Opened(descriptor: descriptor, isRegular: true, failure: nil)
            }
            close(descriptor)
        }
        throw busy(path)
    }

    /// - Returns: nil when it is locked, otherwise the system's number.
    static func take(_ descriptor: Int32) -> Int32? {
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            if errno != EINTR { return errno }
        }
        return nil
    }

    /// The file that a path leads to; the path itself where that cannot be found out.
    static func target(of path: String) -> String {
        guard let resolved = realpath(path, nil) else { return path }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    private static func busy(_ path: String) -> HadpoError {
        HadpoError(
            .busy, "another run is writing to this file", at: path, found: "its lock",
            expected: "that the other run ends first, or another file for this one")
    }
}
