import Glibc

/// Appends lines to a file, each with one write, so that a killed run leaves whole lines and at most one torn one; the first line
/// that is appended later takes the torn one's place. For one thread.
///
/// The file is this run's alone as long as the object lives: a second one on the same file, of this process or another, is refused.
/// The lock is on the file itself and nothing lies beside it; the system drops it with the process, however that ends.
package final class LineAppender {
    package let path: String
    /// What the system said when the file cannot be locked, as on some network file systems; nil when it is.
    package let lockFailure: String?
    private var descriptor: Int32
    /// Whether the last line may be torn.
    private var isMended = false
    /// False of pipes and devices, which nobody continues.
    package let isRegular: Bool

    package init(_ path: String) throws(HadpoError) {
        try File.checkPath(path)
        let file = try FileLock.open(path)
        self.path = path
        descriptor = file.descriptor
        lockFailure = file.failure
        isRegular = file.isRegular
    }

    // Closing drops the lock. An explicit unlock would drop it for a parent of this process too.
    deinit { close(descriptor) }

    /// For a run to say before its work: nobody stops a second one.
    package var warning: JSON? {
        lockFailure.map {
            ["event": "warning", "message": .string("\(path) cannot be locked (\($0)): no second run may write to it meanwhile")]
        }
    }

    /// The line is with the system when this returns; `sync` brings it to the disk.
    package func append(_ line: String) throws(HadpoError) {
        try mendLastLine()
        var bytes = Array(line.utf8)
        bytes.append(0x0A)
        // When the disk is full, a part of the line may be there already.
        isMended = false
        try bytes.withUnsafeBytes { raw in
            Result { () throws(HadpoError) in try File.writeAll(descriptor, raw, path, needed: raw.count) }
        }.get()
        isMended = true
    }

    package func append(_ record: JSON, ascii: Bool = true) throws(HadpoError) {
        try append(record.text(ascii: ascii))
    }

    package func sync() throws(HadpoError) {
        if isRegular, fdatasync(descriptor) != 0 { throw File.failure("cannot sync", path, errno) }
    }

    /// Puts `bytes`, which end in a newline, in the place of the file's, all or nothing. The lock is on the new file before it has
    /// its name, so that nobody comes between.
    package func replace(with bytes: [UInt8]) throws(HadpoError) {
        guard isRegular else { throw HadpoError(.io, "not a file whose contents can be replaced", at: path, expected: "a file") }
        // Where the path is a link, the file that it leads to is replaced, and not the link.
        let file = try AtomicFile(FileLock.target(of: path))
        let kept = fcntl(file.descriptor, F_DUPFD_CLOEXEC, 0)
        guard kept >= 0 else { throw File.failure("cannot open", path, errno) }
        do throws(HadpoError) {
            if lockFailure == nil, let failure = FileLock.take(kept) { throw File.failure("cannot lock", path, failure) }
            if fcntl(kept, F_SETFL, O_APPEND) != 0 { throw File.failure("cannot append to", path, errno) }
            try file.write(bytes)
            try file.commit()
        } catch {
            close(kept)
            throw error
        }
        close(descriptor)
        descriptor = kept
        isMended = true
    }

    /// Before work whose end is `replace`: whether a file can be made in the folder.
    package func checkFolder() throws(HadpoError) {
        let folder = File.folder(of: FileLock.target(of: path))
        if isRegular, access(folder, W_OK | X_OK) != 0 { throw File.failure("cannot write into the folder", folder, errno) }
    }

    /// A last line without its newline is torn when it begins like a record and is no JSON; else it is whole, and somebody's editor
    /// left the newline out.
    private func mendLastLine() throws(HadpoError) {
        if isMended || !isRegular { return }
        var start = max(0, Int(lseek(descriptor, 0, SEEK_END)))
        var tail: [UInt8] = []
        while start > 0 {
            let from = max(0, start - max(1 << 16, tail.count))
            var piece = [UInt8](repeating: 0, count: start - from)
            guard pread(descriptor, &piece, piece.count, off_t(from)) == piece.count else {
                throw File.failure("cannot read", path, errno)
            }
            let newline = piece.lastIndex(of: 0x0A)
            tail = piece[((newline ?? -1) + 1)...] + tail
            start = newline.map { from + $0 + 1 } ?? from
            if newline != nil { break }
        }
        isMended = tail.isEmpty
        if isMended { return }
        if tail.first == UInt8(ascii: "{") || tail.first == 0 {
            do throws(HadpoError) {
                _ = try JSON.parse(tail, source: path)
            } catch {
                if ftruncate(descriptor, off_t(start)) != 0 { throw File.failure("cannot mend the last line", path, errno) }
                isMended = true
                return
            }
        }
        try [UInt8(0x0A)].withUnsafeBytes { raw in
            Result { () throws(HadpoError) in try File.writeAll(descriptor, raw, path, needed: 1) }
        }.get()
        isMended = true
    }
}
