import Glibc
import HadpoBase
import HadpoTestSupport
import Testing

@Suite struct PictureFolders {
    private let folder: TemporaryFolder
    private let pictures: PictureFolder

    init() throws {
        folder = try TemporaryFolder()
        try folder.write("pictures/a.png", "a")
        try folder.write("pictures/sub/b.png", "b")
        try folder.write("elsewhere/c.png", "c")
        pictures = PictureFolder(folder["pictures"], outside: false)
        // What a user has in a folder: links to files and to folders, out of it.
        #expect(symlink("../elsewhere/c.png", folder["pictures/link.png"]) == 0)
        #expect(symlink(folder["elsewhere"], folder["pictures/cache"]) == 0)
    }

    private func content(_ name: String, _ from: PictureFolder? = nil) throws -> String {
        String(decoding: try File.read(try (from ?? pictures).file(name, at: "here")), as: UTF8.self)
    }

    private func refused(_ name: String, _ from: PictureFolder? = nil) -> HadpoError? {
        #expect(throws: HadpoError.self) { try (from ?? pictures).file(name, at: "question 3") }
    }

    @Test("names below the folder lead to its files, through its links too") func inside() throws {
        for (name, wanted) in [
            ("a.png", "a"), ("./a.png", "a"), ("sub/b.png", "b"), ("sub//b.png", "b"), ("link.png", "c"), ("cache/c.png", "c"),
        ] { #expect(try content(name) == wanted) }
        try folder.write("pictures/..a.png", "dots")
        try folder.write("pictures/a..", "dots")
        #expect(try content("..a.png") == "dots" && content("a..") == "dots")
    }

    @Test(
        "absolute names and those that climb are refused by name, whatever lies there",
        arguments: [
            "../elsewhere/c.png", "sub/../a.png", "cache/../pictures/a.png", "..", "sub/..", "/etc/passwd", "//etc/passwd", "/",
        ])
    func outside(_ name: String) throws {
        let error = refused(name)
        #expect(error?.status == .format && error?.message == "a picture's name leads out of its folder")
        #expect(error?.place == "question 3" && error?.found == "'\(name)'")
        #expect(error?.expected == "a name below '\(folder["pictures"])', or \"outside\": true")
        #expect(
            refused(name, PictureFolder(folder["pictures"], outside: nil))?.expected == "a name below '\(folder["pictures"])'")
    }

    @Test("with the key they are followed, to files alone") func allowed() throws {
        let wide = PictureFolder(folder["pictures"], outside: true)
        for name in [
            "../elsewhere/c.png", "cache/../elsewhere/c.png", folder["elsewhere/c.png"], "/" + folder["elsewhere/c.png"],
        ] {
            #expect(try content(name, wide) == "c")
        }
        #expect(try content("sub/../a.png", wide) == "a")
        for name in ["", "a\0.png", "..", "/dev/zero"] { #expect(refused(name, wide) != nil) }
    }

    @Test("names that no file can have are refused with or without the key")
    func impossible() throws {
        for name in ["", "\0", "a.png\0", "../\0", String(repeating: "x", count: 10_000), String(repeating: "../", count: 4000)] {
            for outside in [false, true] {
                let error = refused(name, PictureFolder(folder["pictures"], outside: outside))
                #expect(error?.message == "a picture's name that no file can have")
                #expect((error?.found?.utf8.count ?? 0) < 400)
            }
        }
        // A component that is too long is a file that is not there.
        #expect(refused(String(repeating: "x", count: 300))?.message == "a picture is missing")
    }

    @Test("folders, devices, pipes and sockets are no pictures, through links either") func special() throws {
        #expect(symlink("/dev/zero", folder["pictures/zero.png"]) == 0)
        #expect(symlink("loop.png", folder["pictures/loop.png"]) == 0)
        #expect(symlink("nothing.png", folder["pictures/dangling.png"]) == 0)
        #expect(mkfifo(folder["pictures/pipe.png"], 0o600) == 0)
        #expect(mknod(folder["pictures/socket.png"], S_IFSOCK | 0o600, 0) == 0)
        for (name, kind) in [
            ("sub", "a folder"), (".", "a folder"), ("cache", "a folder"), ("zero.png", "a device"), ("pipe.png", "a pipe"),
            ("socket.png", "a socket"),
        ] {
            let error = refused(name)
            #expect(error?.status == .io && error?.message == "a picture is no file")
            #expect(error?.found == "'\(folder["pictures"])/\(name)', \(kind)")
        }
        #expect(refused("a.png/")?.message == "a picture is missing")
        #expect(refused("dangling.png")?.message == "a picture is missing")
        #expect(refused("loop.png")?.message.hasPrefix("cannot look at: ") == true)
    }

    @Test("a name in a message cannot move a terminal's cursor or turn its writing") func shown() {
        #expect(PictureFolder.shown("\u{1B}[2J\u{202E}gnp\n") == "'\\u{1b}[2J\\u{202e}gnp\\u{a}'")
        #expect(PictureFolder.shown("Bücher/猫.png") == "'Bücher/猫.png'")
        #expect(PictureFolder.shown(String(repeating: "é", count: 1000)).hasSuffix("é'... (2000 bytes)"))
    }
}
