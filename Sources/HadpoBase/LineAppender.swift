import Glibc

/// Appends lines to a file, each with one write, so that a killed run leaves whole lines and at most one torn one; opening
/// such a file again removes the torn line. For one thread.
package final class LineAppender {
    package let path: String
    private let descriptor: Int32

    package init(_ path: String) throws(HadpoError) {
        try File.checkPath(path)
        let opened = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0o666)
        guard opened >= 0 else { throw File.failure("cannot open", path, errno) }
        self.path = path
        descriptor = opened
        try mendLastLine()
    }

    deinit { close(descriptor) }

    /// The line is with the system when this returns; `sync` brings it to the disk.
    package func append(_ line: String) throws(HadpoError) {
        var bytes = Array(line.utf8)
        bytes.append(0x0A)
        try bytes.withUnsafeBytes { raw in
            Result { () throws(HadpoError) in try File.writeAll(descriptor, raw, path, needed: raw.count) }
        }.get()
    }

    package func append(_ record: JSON, ascii: Bool = true) throws(HadpoError) {
        try append(record.text(ascii: ascii))
    }

    package func sync() throws(HadpoError) {
        if fdatasync(descriptor) != 0 { throw File.failure("cannot sync", path, errno) }
    }

    /// A last line without its newline is either whole (somebody's editor) or torn (a kill): JSON or not decides.
    private func mendLastLine() throws(HadpoError) {
        let size = lseek(descriptor, 0, SEEK_END)
        if size <= 0 { return }
        var last: UInt8 = 0
        guard pread(descriptor, &last, 1, size - 1) == 1, last != 0x0A else { return }
        let bytes = try File.read(path)
        let start = (bytes.lastIndex(of: 0x0A) ?? -1) + 1
        do throws(HadpoError) {
            _ = try JSON.parse(Array(bytes[start...]), source: path)
        } catch {
            if ftruncate(descriptor, off_t(start)) != 0 { throw File.failure("cannot mend the last line", path, errno) }
            return
        }
        try append("")
    }
}
