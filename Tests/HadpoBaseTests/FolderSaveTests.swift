import Glibc
import HadpoBase
import HadpoTestSupport
import Testing

private let quiet = SilentProgress()

/// Two files that belong together, of a generation.
private func save(_ generation: Int, into folder: String, _ names: [String] = ["a", "b"]) throws {
    let save = try FolderSave(into: folder)
    for name in names { try File.writeAtomically(File.join(save.workFolder, name), "\(name)\(generation)") }
    try save.commit(progress: quiet)
}

/// What a reader of both files gets.
private func contents(_ folder: String, _ names: [String] = ["a", "b"], progress: any Progress = quiet) throws -> [String] {
    try SavedFolder.read(folder, progress: progress) { (saved) throws(HadpoError) in
        var texts: [String] = []
        try saved.check(names, progress: quiet)
        for name in names {
            guard let path = try saved.path(name) else { continue }
            texts.append(String(decoding: try File.read(path), as: UTF8.self))
        }
        return texts
    }
}

private func inode(_ path: String) -> UInt {
    var status = stat()
    return lstat(path, &status) == 0 ? UInt(status.st_ino) : 0
}

private final class Warnings: Progress {
    var messages: [String] = []
    func tick() throws(HadpoError) {}
    func emit(_ record: JSON) throws(HadpoError) { messages.append(record["message"]?.stringValue ?? "") }
}

@Suite struct FolderSaves {
    @Test(
        "XXH64 is that of xxHash",
        arguments: [
            ("", "ef46db3751d8e999"), ("a", "d24ec4f1a98c6e5b"), ("abc", "44bc2cf5ad770999"),
            ("Nobody inspects the spammish repetition", "fbcea83c8a378bf1"),
        ]) func xxh64(_ text: String, _ expected: String)
    {
        for piece in [1, 5, 31, 32, 100] {
            var hash = XXHash64()
            let bytes = Array(text.utf8)
            for start in stride(from: 0, to: bytes.count, by: piece) {
                hash.update(Array(bytes[start..<min(bytes.count, start + piece)]))
            }
            #expect(hash.text == expected)
        }
    }

    @Test("what lies in the folder and is not of the save stays as it is, an open log included") func strangers() throws {
        let folder = try TemporaryFolder()
        let place = folder["adapter"]
        try save(1, into: place)
        let log = try LineAppender(File.join(place, "log.jsonl"))
        try log.append("before")
        try folder.write("adapter/README.md", "mine")
        try folder.write("adapter/best/a", "best")
        #expect(symlink("README.md", File.join(place, "link")) == 0)
        #expect(mkfifo(File.join(place, "pipe"), 0o600) == 0)
        let names = ["log.jsonl", "README.md", "best", "link", "pipe"]
        let before = names.map { inode(File.join(place, $0)) }
        try save(2, into: place)
        try log.append("after")
        #expect(names.map { inode(File.join(place, $0)) } == before)
        #expect(try folder.text("adapter/log.jsonl") == "before\nafter\n")
        #expect(try folder.text("adapter/best/a") == "best")
        #expect(try File.list(place) == ["README.md", "a", "b", "best", "hadpo_save.json", "link", "log.jsonl", "pipe"])
        #expect(try contents(place) == ["a2", "b2"])
    }

    @Test("a process that ends between two renames leaves the new save whole, and readers say where they found it")
    func betweenRenames() throws {
        for moved in 0...2 {
            let folder = try TemporaryFolder()
            let place = folder["adapter"]
            try save(1, into: place)
            try save(2, into: folder["new"])
            try File.rename(folder["new"], to: File.join(place, FolderSave.nextName))
            for name in ["a", "b"].prefix(moved) {
                try File.rename(File.join(place, FolderSave.nextName + "/" + name), to: File.join(place, name))
            }
            let warnings = Warnings()
            #expect(try contents(place, progress: warnings) == ["a2", "b2"])
            #expect(warnings.messages.count == 1 && warnings.messages[0].contains(place))
            try FolderSave.recover(place)
            #expect(try File.list(place) == ["a", "b", "hadpo_save.json"])
            #expect(try contents(place) == ["a2", "b2"])
            #expect(try folder.text("adapter/b") == "b2")
        }
    }

    @Test("files that were never committed are no save, and the next one takes them away") func uncommitted() throws {
        let folder = try TemporaryFolder()
        try save(1, into: folder.path)
        try folder.write(FolderSave.partialName + "/a", "a2")
        #expect(try contents(folder.path) == ["a1", "b1"])
        try save(3, into: folder.path)
        #expect(try folder.entries == ["a", "b", "hadpo_save.json"])
        #expect(try contents(folder.path) == ["a3", "b3"])
    }

    @Test("a save that is given up, or that cannot be put in place, leaves the old one") func givenUp() throws {
        let folder = try TemporaryFolder()
        try save(1, into: folder.path)
        do {
            let save = try FolderSave(into: folder.path)
            try File.writeAtomically(File.join(save.workFolder, "a"), "a2")
            // The folder is taken for as long.
            #expect(throws: HadpoError.self) { try FolderSave(into: folder.path) }
        }
        try File.makeDirectories(folder["c"])
        #expect(throws: HadpoError.self) { try save(2, into: folder.path, ["a", "b", "c"]) }
        #expect(try folder.entries == ["a", "b", "c", "hadpo_save.json"])
        #expect(try contents(folder.path) == ["a1", "b1"])
    }

    @Test("a file of another save, a missing one and one that was not saved are refused with the file's name") func mixed() throws
    {
        let folder = try TemporaryFolder()
        let place = folder["adapter"]
        try save(1, into: place)
        try folder.write("adapter/b", "b2")
        let error = #expect(throws: HadpoError.self) { try contents(place) }
        #expect(error?.status == .format && error?.place == File.join(place, "b"))
        // A reader that does not need the file does not mind.
        #expect(try contents(place, ["a"]) == ["a1"])
        try File.remove(File.join(place, "b"))
        #expect(throws: HadpoError.self) { try contents(place) }
        try folder.write("adapter/c", "c")
        #expect(throws: HadpoError.self) { try contents(place, ["a", "c"]) }
        // Without the list it is a folder like any other.
        try File.remove(File.join(place, "hadpo_save.json"))
        #expect(try contents(place, ["a", "c"]) == ["a1", "c"])
    }

    @Test("a part that the new save does not have goes away, unless somebody has put another in its place") func fewerParts()
        throws
    {
        let folder = try TemporaryFolder()
        try save(1, into: folder.path)
        try save(2, into: folder.path, ["a"])
        #expect(try folder.entries == ["a", "hadpo_save.json"])
        try save(3, into: folder.path)
        try folder.write("b", "mine")
        try save(4, into: folder.path, ["a"])
        #expect(try folder.text("b") == "mine")
        try folder.write("d", "mine")
        #expect(throws: HadpoError.self) { try FolderSave.checkStrangers(folder.path, readable: ["d"]) }
    }

    @Test("a list of files leads nowhere else", arguments: ["../x", "/etc/passwd", "..", "", "a/b", "hadpo_save.json"])
    func names(_ name: String) throws {
        let folder = try TemporaryFolder()
        let list: JSON = ["schema": "hadpo.save/1", "files": [["name": .string(name), "bytes": 1, "xxh64": "0"]]]
        try folder.write("hadpo_save.json", list.text())
        #expect(throws: HadpoError.self) { try SaveManifest.read(folder.path) }
    }

    @Test("into an empty folder: what a killed one left is replaced, anything else is refused, and no list stays") func onlyOnce()
        throws
    {
        let folder = try TemporaryFolder()
        let place = folder["model"]
        let list: JSON = ["schema": "hadpo.save/1", "files": [["name": "a"], ["name": "b"]]]
        // Killed with one of two files in its place.
        try folder.write("model/a", "a1")
        try folder.write("model/\(FolderSave.nextName)/b", "b1")
        try folder.write(
            "model/\(FolderSave.nextName)/hadpo_save.json", list.text())
        let save = try FolderSave(intoEmpty: place)
        for name in ["a", "b"] { try File.writeAtomically(File.join(save.workFolder, name), "\(name)2") }
        try save.commit(last: "a", progress: quiet)
        #expect(try File.list(place) == ["a", "b"])
        #expect(try folder.text("model/b") == "b2")
        let error = #expect(throws: HadpoError.self) { try FolderSave(intoEmpty: place) }
        #expect(error?.message == "the folder to export to is not empty")
        #expect(try File.list(place) == ["a", "b"])
    }

    @Test("the next writer takes away what a dead one left beside the target, and nothing else") func leavings() throws {
        let folder = try TemporaryFolder()
        let target = folder["x"]
        try folder.write("x.hadpo-0.partial", "of a dead process")
        try folder.write("x.hadpo-3.partial", "of a dead process")
        let strangers = ["x.tmp-1-0", "x.hadpo-.partial", "x.hadpo-0.partial.txt", "y.hadpo-0.partial"]
        for name in strangers { try folder.write(name, "mine") }
        #expect(symlink("x.tmp-1-0", folder["x.hadpo-1.partial"]) == 0)
        let living = try AtomicFile(target)
        try living.write(Array("first".utf8))
        try File.writeAtomically(target, "second")
        #expect(try folder.text("x") == "second")
        try living.commit()
        #expect(try folder.text("x") == "first")
        #expect(try folder.entries == (strangers + ["x", "x.hadpo-1.partial"]).sorted())
    }
}
