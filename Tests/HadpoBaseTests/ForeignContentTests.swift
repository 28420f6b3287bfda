import HadpoBase
import HadpoTestSupport
import Testing

@Suite("Files of another kind") struct ForeignContentTests {
    private static let pointer = Array("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 499723\n".utf8)
    private static let page = Array("\r\n <!DOCTYPE HTML><html>Access to this model is restricted</html>".utf8)
    private static let utf16: [UInt8] = [0xFF, 0xFE] + "{\"a\": 1}".utf16.flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] }

    static let kinds: [([UInt8], String)] = [
        (pointer, "git lfs pull"), (page, "HTML"), (Array("<HTML>".utf8), "HTML"),
        (Array("<?xml version=\"1.0\"?><Error>".utf8), "XML"),
        (utf16, "UTF-16"), ([0xFE, 0xFF, 0, 0x7B], "UTF-16"), ([0xFF, 0xFE, 0, 0, 0x7B, 0, 0, 0], "UTF-32"),
        ([0x1F, 0x8B, 8, 0], "gzip"),
        ([0x28, 0xB5, 0x2F, 0xFD, 0], "zstd"), (Array("PK\u{3}\u{4}abc".utf8), "zip"), (Array("GIF89a".utf8), "GIF"),
        (Array("RIFF....WEBPVP8 ".utf8), "WebP"), (Array("%PDF-1.7".utf8), "PDF"), ([0xFF, 0xD8, 0xFF, 0xE0], "JPEG"),
        ([0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A], "PNG"), ([UInt8](repeating: 0, count: 600), "zeros"),
    ]

    private func message(_ body: () throws(HadpoError) -> Void) -> String? {
        do { try body() } catch { return error.message }
        return nil
    }

    @Test("each is named by every reader of JSON", arguments: kinds) func readers(bytes: [UInt8], name: String) throws {
        #expect(ForeignContent.describe(bytes)?.contains(name) == true)
        let folder = try TemporaryFolder()
        try folder.write("x.json", bytes)
        let path = folder["x.json"]
        let messages = [
            message { () throws(HadpoError) in _ = try File.readJSON(path) },
            message { () throws(HadpoError) in _ = try JSONLines.parse(bytes, source: path) },
            // A page of one line without its end is no torn line.
            message { () throws(HadpoError) in _ = try JSONLines.parse(bytes, source: path, dropTornLine: true) },
            message { () throws(HadpoError) in try JSONStream.elements(ofFile: path) { _, _ in true } },
        ]
        for message in messages {
            #expect(message?.hasPrefix("this is ") == true && message?.contains(name) == true, "\(message ?? "nothing")")
        }
    }

    @Test("a byte order mark is named, and what is only damaged is not called something else") func others() {
        #expect(
            message { () throws(HadpoError) in _ = try JSON.parse([0xEF, 0xBB, 0xBF, 0x7B, 0x7D], source: "x") }?.contains(
                "byte order mark") == true)
        #expect(ForeignContent.describe([]) == "an empty file")
        for text in ["{", "[1,", "nonsense", "{\"version\": 1", "<pad>\n<unk>", "BZ", "version 1"] {
            #expect(ForeignContent.describe(Array(text.utf8)) == nil, "\(text)")
        }
    }
}
