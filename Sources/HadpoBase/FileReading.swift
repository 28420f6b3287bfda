import Glibc

extension File {
    /// Opens a regular file. Pipes, devices, sockets and folders are refused before they are opened: opening a pipe waits for
    /// its writer, opening a device can do anything. `expected` says what the caller reads.
    package static func openForReading(
        _ path: String, expected: String = "a regular file"
    ) throws(HadpoError) -> (descriptor: Int32, byteCount: Int) {
        try checkPath(path)
        var status = stat()
        guard stat(path, &status) == 0 else { throw failure("cannot open", path, errno) }
        try checkRegular(status, path, expected)
        // Between the two looks the path may have become a pipe: O_NONBLOCK opens even that at once.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
        guard descriptor >= 0 else { throw failure("cannot open", path, errno) }
        do throws(HadpoError) {
            guard fstat(descriptor, &status) == 0 else { throw failure("cannot look at", path, errno) }
            try checkRegular(status, path, expected)
        } catch {
            close(descriptor)
            throw error
        }
        return (descriptor, Int(status.st_size))
    }

    private static func checkRegular(_ status: stat, _ path: String, _ expected: String) throws(HadpoError) {
        let found: String
        switch status.st_mode & S_IFMT {
        case S_IFREG: return
        case S_IFDIR: found = "a folder"
        case S_IFIFO: found = "a pipe"
        case S_IFSOCK: found = "a socket"
        case S_IFCHR, S_IFBLK: found = "a device"
        default: found = "something else"
        }
        throw HadpoError(.io, "not a regular file", at: path, found: found, expected: expected)
    }

    /// The whole file, refused before it is read when it is larger than `limit`.
    package static func bytes(_ path: String, limit: Int = 1 << 31) throws(HadpoError) -> CheckedBytes {
        let file = try openForReading(path)
        defer { close(file.descriptor) }
        try checkSize(file.byteCount, limit, path)
        // A file of /proc says size 0, and a log may be growing: read until there is no more, one byte beyond the size at first.
        let block = try CheckedBytes(count: max(file.byteCount &+ 1, 1 << 12), for: "the contents of a file", at: path)
        var count = 0
        while true {
            if count == block.count { try block.resize(to: count &+ max(1 << 16, count / 2)) }
            let got = try readOnce(file.descriptor, block.base + count, block.count - count, path)
            if got == 0 { break }
            count += got
            try checkSize(count, limit, path)
        }
        try block.resize(to: count)
        return block
    }

    /// The same as an array, whose memory is asked for before.
    package static func read(_ path: String, limit: Int = 1 << 31) throws(HadpoError) -> [UInt8] {
        let file = try openForReading(path)
        defer { close(file.descriptor) }
        try checkSize(file.byteCount, limit, path)
        // As in `bytes`: one byte beyond the size at first, to see the end.
        var room = MemoryRoom(for: "the contents of a file", at: path)
        var bytes: [UInt8] = []
        var wanted = max(file.byteCount &+ 1, 1 << 12)
        while true {
            try room.take(bytes.isEmpty ? wanted : Memory.bytes(bytes.count &+ wanted, of: 2))
            var failure: HadpoError?
            let piece = [UInt8](unsafeUninitializedCapacity: wanted) { buffer, count in
                do throws(HadpoError) {
                    while let base = buffer.baseAddress, count < wanted {
                        let got = try readOnce(file.descriptor, base + count, wanted - count, path)
                        if got == 0 { break }
                        count += got
                    }
                } catch { failure = error }
            }
            if let failure { throw failure }
            if bytes.isEmpty { bytes = piece } else { bytes += piece }
            try checkSize(bytes.count, limit, path)
            if piece.count < wanted { return bytes }
            wanted = max(1 << 16, bytes.count / 2)
        }
    }

    /// The first and the last bytes of a file, fewer where it has not as many.
    package static func ends(_ path: String, first: Int, last: Int) throws(HadpoError) -> (first: [UInt8], last: [UInt8]) {
        let file = try openForReading(path)
        defer { close(file.descriptor) }
        func bytes(from start: Int, count: Int) throws(HadpoError) -> [UInt8] {
            guard lseek(file.descriptor, off_t(start), SEEK_SET) >= 0 else { throw failure("cannot read", path, errno) }
            var bytes = [UInt8](repeating: 0, count: count)
            var got = 0
            while got < count {
                let result = bytes.withUnsafeMutableBytes { raw in
                    Result { () throws(HadpoError) -> Int in
                        guard let base = raw.baseAddress else { return 0 }
                        return try readOnce(file.descriptor, base + got, count - got, path)
                    }
                }
                let more = try result.get()
                if more == 0 { break }
                got += more
            }
            return Array(bytes.prefix(got))
        }
        let head = try bytes(from: 0, count: first)
        return (head, try bytes(from: max(0, file.byteCount - last), count: last))
    }

    package static func readJSON(_ path: String, limits: JSONLimits = .init()) throws(HadpoError) -> JSON {
        try bytes(path, limit: limits.bytes).withBytes { (raw) throws(HadpoError) in
            try JSON.parse(raw, source: path, limits: limits)
        }
    }

    private static func checkSize(_ size: Int, _ limit: Int, _ path: String) throws(HadpoError) {
        if size > limit {
            throw HadpoError(.io, "file too large", at: path, found: "\(size) bytes", expected: "at most \(limit)")
        }
    }

    /// Up to `count` bytes; 0 at the end of the file.
    static func readOnce(
        _ descriptor: Int32, _ place: UnsafeMutableRawPointer, _ count: Int, _ path: String
    ) throws(HadpoError) -> Int {
        var got = 0
        // Linux moves at most 2 GiB at once.
        repeat { got = Glibc.read(descriptor, place, min(count, 1 << 30)) } while got < 0 && errno == EINTR
        if got < 0 { throw failure("cannot read", path, errno) }
        return got
    }
}
