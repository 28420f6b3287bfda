import Glibc
import HadpoBase
import Testing
import HadpoTestSupport

@Suite struct Files {
    @Test("paths are joined and split") func paths() {
        #expect(File.join("a", "b") == "a/b")
        #expect(File.join("a/", "b") == "a/b")
        #expect(File.join("", "b") == "b")
        #expect(File.join("a", "/b") == "/b")
        #expect(File.folder(of: "a/b/c") == "a/b")
        #expect(File.folder(of: "c") == ".")
        #expect(File.folder(of: "/c") == "/")
        #expect(File.name(of: "a/b.json") == "b.json")
    }

    @Test("what was written atomically is read back and no temporary file stays") func roundTrip() throws {
        let folder = try TemporaryFolder()
        let path = folder["x.bin"]
        let bytes = (0..<200_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        try File.writeAtomically(path, [1, 2, 3])
        try File.writeAtomically(path, bytes)
        #expect(try File.read(path) == bytes)
        #expect(try File.size(path) == 200_000)
        #expect(try File.list(folder.path) == ["x.bin"])
        #expect(throws: HadpoError.self) { try File.read(path, limit: 1000) }
    }

    @Test("what cannot be looked at counts as there, and its reader says why") func notToBeLookedAt() throws {
        let folder = try TemporaryFolder()
        let loop = folder["config.json"]
        #expect(symlink("config.json", loop) == 0)
        #expect(File.exists(loop) && File.isFile(loop) && !File.isDirectory(loop))
        #expect(throws: HadpoError.self) { try File.read(loop) }
        #expect(!File.exists(folder["missing"]) && !File.exists(loop + "x/y"))
    }

    @Test("an abandoned write leaves the old file and no temporary one") func abandoned() throws {
        let folder = try TemporaryFolder()
        let path = folder["x"]
        try File.writeAtomically(path, "old")
        do {
            let file = try AtomicFile(path)
            try file.write(Array("new".utf8))
        }
        #expect(try File.read(path) == Array("old".utf8))
        #expect(try File.list(folder.path) == ["x"])
    }

    @Test("a full disk is an I/O error that says how much is needed") func full() throws {
        // /dev/full answers ENOSPC to every write.
        let log = try LineAppender("/dev/full")
        let error = #expect(throws: HadpoError.self) { try log.append("12345") }
        #expect(error?.status == .io)
        #expect(error?.message == "no space left")
        #expect(error?.expected == "needs 6 bytes")
    }

    @Test("missing files, folders in their place and NUL in paths are errors with the path") func missing() throws {
        let folder = try TemporaryFolder()
        let error = #expect(throws: HadpoError.self) { try File.read(folder.path + "/none") }
        #expect(error?.place == folder.path + "/none")
        #expect(error?.message == "cannot open: No such file or directory")
        #expect(throws: HadpoError.self) { try File.read(folder.path) }
        #expect(throws: HadpoError.self) { try File.writeAtomically(folder.path, "x") }
        #expect(throws: HadpoError.self) { try File.writeAtomically(folder.path + "/a/b", "x") }
        #expect(throws: HadpoError.self) { try File.read("/etc/passwd\0.txt") }
        #expect(!File.exists("/etc/passwd\0"))
        #expect(try File.read("/proc/self/stat").count > 10)
    }

    @Test("folders are made with those above them") func directories() throws {
        let folder = try TemporaryFolder()
        try File.makeDirectories(folder.path + "/a/b/c")
        #expect(File.isDirectory(folder.path + "/a/b/c"))
        try File.makeDirectories(folder.path + "/a/b/c")
        try File.writeAtomically(folder.path + "/f", "x")
        #expect(throws: HadpoError.self) { try File.makeDirectories(folder.path + "/f/g") }
        for below in ["/a/b/c", "/a/b", "/a"] { rmdir(folder.path + below) }
    }

    @Test("what is no regular file is refused before anything could wait for it") func special() throws {
        let folder = try TemporaryFolder()
        let pipe = folder["pipe"]
        try #require(mkfifo(pipe, 0o644) == 0)
        let socketPath = folder["socket"]
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(socketPath.utf8).prefix(107)) }
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        let bound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try #require(bound == 0)
        for (path, kind) in [
            (pipe, "a pipe"), (socketPath, "a socket"), ("/dev/zero", "a device"), (folder.path, "a folder"),
        ] {
            for read in [
                { () throws -> Void in _ = try File.read(path) }, { _ = try File.bytes(path) }, { _ = try File.readJSON(path) },
                { try JSONStream.elements(ofFile: path) { _, _ in true } },
            ] as [() throws -> Void] {
                let error = #expect(throws: HadpoError.self) { try read() }
                #expect(error?.status == .io && error?.message == "not a regular file" && error?.found == kind)
                #expect(error?.place == path)
            }
        }
        #expect(!File.isFile(pipe) && File.exists(pipe))
    }

    @Test("a file larger than the memory that is left is refused with its name") func memory() throws {
        let folder = try TemporaryFolder()
        let path = folder["sparse"]
        try File.writeAtomically(path, "x")
        // More than the address space of the processor, where the file system takes such a size at all.
        let error = #expect(throws: HadpoError.self) { try Memory.require(1 << 50, for: "a test", at: path) }
        #expect(error?.status == .noMemory && error?.place == path && error?.message == "no memory for a test")
        #expect(throws: HadpoError.self) { try Memory.require(Int.max, for: "a test") }
        #expect(throws: HadpoError.self) { try Memory.require(-1, for: "a test") }
        #expect(throws: HadpoError.self) { try CheckedBytes(count: 1 << 50, for: "a test") }
        #expect(Memory.bytes(1 << 40, of: 1 << 40) == Int.max && Memory.bytes(3, of: 4) == 12)
        try Memory.require(1 << 20, for: "a test")
        let block = try CheckedBytes(count: 3, for: "a test")
        try block.withMutableBytes { (bytes) throws(HadpoError) in bytes.copyBytes(from: [1, 2, 3]) }
        try block.resize(to: 1 << 16)
        #expect(throws: HadpoError.self) { try block.resize(to: 1 << 50) }
        #expect(try block.withBytes { (bytes) throws(HadpoError) in Array(bytes.prefix(3)) } == [1, 2, 3])
    }
}

@Suite struct Errors {
    @Test("no part of an error is longer than 2 KiB, and none ends within a character") func short() throws {
        let long = String(repeating: "é", count: 3000)
        var error = HadpoError(.format, long, at: "x" + long, found: long, expected: String(repeating: "a", count: 2048))
        for part in [error.message, error.place, error.found] {
            let part = try #require(part)
            #expect(part.utf8.count <= 2048 && part.utf8.count >= 2046)
            #expect(part.hasSuffix("é...") && !part.unicodeScalars.contains("\u{FFFD}"))
        }
        #expect(error.expected?.utf8.count == 2048 && error.expected?.hasSuffix("a") == true)
        error.place = long
        #expect(error.place?.utf8.count == 2047)
        #expect("abc".shortened(to: 3) == "abc" && "abcd".shortened(to: 3) == "..." && "é".shortened() == "é")
    }
}
