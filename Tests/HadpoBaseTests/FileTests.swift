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
}
