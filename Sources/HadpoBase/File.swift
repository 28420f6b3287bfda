import Glibc

/// Files without Foundation. Every error names the path and what the system said.
package enum File {
    // MARK: paths

    /// `name` below `folder`; an absolute name stays as it is.
    package static func join(_ folder: String, _ name: String) -> String {
        if folder.isEmpty || name.utf8.first == UInt8(ascii: "/") { return name }
        return folder.utf8.last == UInt8(ascii: "/") ? folder + name : folder + "/" + name
    }

    /// Everything before the last slash: "." without one, "/" for a name in the root.
    package static func folder(of path: String) -> String {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
        return slash == path.utf8.startIndex ? "/" : String(decoding: path.utf8[..<slash], as: UTF8.self)
    }

    /// One text for every spelling of one place, also where nothing is yet: links followed as far as they lead, "." and double slashes left
    /// out.
    package static func place(of path: String) -> String {
        let whole = FileLock.target(of: path)
        if exists(whole) { return whole }
        var parts: [Substring] = []
        for part in path.split(separator: "/") where part != "." {
            if part == "..", let last = parts.last, last != ".." { parts.removeLast() } else { parts.append(part) }
        }
        let name = parts.popLast() ?? ""
        let isAbsolute = path.utf8.first == UInt8(ascii: "/")
        let folder = (isAbsolute ? "/" : parts.isEmpty ? "." : "") + parts.joined(separator: "/")
        return join(FileLock.target(of: folder), String(name))
    }

    /// Everything behind the last slash.
    package static func name(of path: String) -> String {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return path }
        return String(decoding: path.utf8[path.utf8.index(after: slash)...], as: UTF8.self)
    }

    // MARK: looking

    package static func exists(_ path: String) -> Bool { kind(path) != nil }
    package static func isDirectory(_ path: String) -> Bool { kind(path) == S_IFDIR }
    /// Also what cannot be looked at counts as a file that is there: whoever opens it then says why, and nobody takes a disk's
    /// error for a file that is not there and goes on without it.
    package static func isFile(_ path: String) -> Bool { kind(path) == S_IFREG }

    private static func kind(_ path: String) -> mode_t? {
        var status = stat()
        if path.utf8.contains(0) { return nil }
        if stat(path, &status) == 0 { return status.st_mode & S_IFMT }
        return [ENOENT, ENOTDIR, ENAMETOOLONG].contains(errno) ? nil : S_IFREG
    }

    package static func size(_ path: String) throws(HadpoError) -> Int {
        try checkPath(path)
        var status = stat()
        guard stat(path, &status) == 0 else { throw failure("cannot look at", path, errno) }
        return Int(status.st_size)
    }

    /// Names in a folder without "." and "..", in byte order, so that nothing depends on the file system.
    package static func list(_ path: String) throws(HadpoError) -> [String] {
        try checkPath(path)
        guard let directory = opendir(path) else { throw failure("cannot list", path, errno) }
        defer { closedir(directory) }
        var names: [String] = []
        errno = 0
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if name != ".", name != ".." { names.append(name) }
            errno = 0
        }
        if errno != 0 { throw failure("cannot list", path, errno) }
        return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    // MARK: writing

    /// All or nothing: the file at `path` is the old one or the new one, whatever happens.
    package static func writeAtomically(_ path: String, _ bytes: [UInt8]) throws(HadpoError) {
        try bytes.withUnsafeBytes { raw in Result { () throws(HadpoError) in try writeAtomically(path, raw) } }.get()
    }

    package static func writeAtomically(_ path: String, _ bytes: UnsafeRawBufferPointer) throws(HadpoError) {
        let file = try AtomicFile(path)
        try file.write(bytes)
        try file.commit()
    }

    package static func writeAtomically(_ path: String, _ text: String) throws(HadpoError) {
        try writeAtomically(path, Array(text.utf8))
    }

    /// The folder and those above it.
    package static func makeDirectories(_ path: String) throws(HadpoError) {
        try checkPath(path)
        if path.isEmpty || isDirectory(path) { return }
        let parent = folder(of: path)
        if parent != path, parent != "." { try makeDirectories(parent) }
        if mkdir(path, 0o777) != 0, errno != EEXIST || !isDirectory(path) { throw failure("cannot make the folder", path, errno) }
    }

    /// The file or folder itself, whatever it is called; nil when it is not there.
    package static func identity(_ path: String) -> String? {
        var status = stat()
        guard !path.utf8.contains(0), stat(path, &status) == 0 else { return nil }
        return "\(status.st_dev):\(status.st_ino)"
    }

    /// Whether the folder could be made, as far as can be told without making it.
    package static func checkCanMake(_ path: String) throws(HadpoError) {
        try checkPath(path)
        var place = path.isEmpty ? "." : path
        while !exists(place) {
            let parent = folder(of: place)
            if parent == place { break }
            place = parent
        }
        guard isDirectory(place) else { throw failure("cannot make the folder", path, ENOTDIR) }
        if access(place, W_OK | X_OK) != 0 { throw failure("cannot write into the folder", place, errno) }
    }

    /// Whether a file can be written into the folder, by writing one and taking it away.
    package static func checkCanWrite(_ folder: String) throws(HadpoError) {
        try AtomicFile(join(folder, "hadpo_write_test")).write(Array("hadpo\n".utf8))
    }

    /// Absent is fine.
    package static func remove(_ path: String) throws(HadpoError) {
        try checkPath(path)
        if unlink(path) != 0, errno != ENOENT { throw failure("cannot remove", path, errno) }
    }

    /// The file, or the folder with all that is in it; links are removed and not followed. Absent is fine.
    package static func removeTree(_ path: String) throws(HadpoError) {
        try checkPath(path)
        var status = stat()
        guard lstat(path, &status) == 0 else {
            if errno == ENOENT { return }
            throw failure("cannot look at", path, errno)
        }
        guard status.st_mode & S_IFMT == S_IFDIR else { return try remove(path) }
        for name in try list(path) { try removeTree(join(path, name)) }
        try removeEmptyFolder(path)
    }

    /// Absent is fine.
    package static func removeEmptyFolder(_ path: String) throws(HadpoError) {
        try checkPath(path)
        if rmdir(path) != 0, errno != ENOENT { throw failure("cannot remove the folder", path, errno) }
    }

    package static func rename(_ old: String, to new: String) throws(HadpoError) {
        try checkPath(old)
        try checkPath(new)
        if Glibc.rename(old, new) != 0 { throw failure("cannot rename to '\(new)'", old, errno) }
        syncDirectory(folder(of: new))
    }

    /// A rename is on disk only when its folder is. File systems that cannot sync a folder are left as they are.
    package static func syncDirectory(_ path: String) {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if descriptor >= 0 {
            _ = fsync(descriptor)
            close(descriptor)
        }
    }

    // MARK: shared with the writers

    /// A NUL would cut the path short on its way to the system.
    static func checkPath(_ path: String) throws(HadpoError) {
        if path.utf8.contains(0) { throw HadpoError(.io, "a path with an embedded NUL", at: path, expected: "a path without it") }
    }

    static func failure(_ action: String, _ path: String, _ code: Int32, needed: Int? = nil) -> HadpoError {
        if code == ENOSPC || code == EDQUOT {
            return HadpoError(
                .io, "no space left", at: path, found: freeBytes(path).map { "\($0) bytes free" },
                expected: needed.map { "needs \($0) bytes" })
        }
        var buffer = [CChar](repeating: 0, count: 256)
        let known = strerror_r(code, &buffer, buffer.count) == 0
        let reason =
            known ? String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self) : "error \(code)"
        return HadpoError(.io, "\(action): \(reason)", at: path)
    }

    private static func freeBytes(_ path: String) -> UInt64? {
        var status = statvfs()
        guard statvfs(folder(of: path), &status) == 0 else { return nil }
        return UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize)).partialValue
    }

    /// Writes everything or throws. `needed` is for the message about a full disk.
    static func writeAll(
        _ descriptor: Int32, _ bytes: UnsafeRawBufferPointer, _ path: String, needed: Int
    ) throws(HadpoError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let piece = UnsafeRawBufferPointer(rebasing: rest.prefix(1 << 30))
            let written = write(descriptor, piece.baseAddress, piece.count)
            if written < 0 {
                if errno == EINTR { continue }
                throw failure("cannot write", path, errno, needed: needed)
            }
            rest = rest.dropFirst(written)
        }
    }
}
