/// What a file holds instead of what was wanted: people clone without git-lfs, save the page that asks for a login, leave a file
/// packed, or let an editor write a byte order mark. Readers ask this when they refuse a file, so that the error names the cause.
package enum ForeignContent {
    /// What the bytes are and what to do about it; nil when their beginning says nothing.
    package static func describe(_ bytes: some Collection<UInt8>) -> String? {
        let start = Array(bytes.prefix(512))
        if start.isEmpty { return "an empty file" }
        for (beginning, name) in beginnings where start.starts(with: beginning) { return name }
        if start.starts(with: "RIFF".utf8), start.dropFirst(8).starts(with: "WEBP".utf8) { return "a WebP picture" }
        // Pages may begin with blanks and in any case.
        let text = start.drop { $0 <= 0x20 }.map { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) ? $0 | 0x20 : $0 }
        for tag in ["<!doctype html", "<html", "<head", "<body"] where text.starts(with: tag.utf8) { return page }
        if text.starts(with: "<?xml".utf8) || text.starts(with: "<error".utf8) {
            return "an XML document, perhaps a server's error: open it in a browser, then download the file itself"
        }
        if start.count == 512, start.allSatisfy({ $0 == 0 }) { return "nothing but zeros: a download that was not finished" }
        return nil
    }

    /// The error for such a file; nil when its beginning says nothing, or when it is empty, for which every reader has its own words.
    package static func error(
        _ bytes: some Collection<UInt8>, status: Status = .format, at place: String, expected: String
    ) -> HadpoError? {
        guard !bytes.isEmpty, let kind = describe(bytes) else { return nil }
        return HadpoError(status, "this is \(kind)", at: place, expected: expected)
    }

    private static let page =
        "a saved web page (HTML): open it in a browser, it may ask for a login, then download the file itself"

    private static let beginnings: [([UInt8], String)] = [
        (Array("version https://git-lfs".utf8), "a git-lfs pointer: run `git lfs pull` in the folder it came from"),
        ([0xEF, 0xBB, 0xBF], "text behind a byte order mark: save it as UTF-8 without one"),
        ([0xFF, 0xFE, 0x00, 0x00], "UTF-32 text: save it as UTF-8"),
        ([0x00, 0x00, 0xFE, 0xFF], "UTF-32 text: save it as UTF-8"),
        ([0xFF, 0xFE], "UTF-16 text: save it as UTF-8"),
        ([0xFE, 0xFF], "UTF-16 text: save it as UTF-8"),
        ([0x1F, 0x8B], "gzip data: unpack it with gunzip"),
        ([0x28, 0xB5, 0x2F, 0xFD], "zstd data: unpack it with unzstd"),
        ([0xFD, 0x37, 0x7A, 0x58, 0x5A, 0x00], "xz data: unpack it with unxz"),
        (Array("BZh".utf8), "bzip2 data: unpack it with bunzip2"),
        ([0x50, 0x4B, 0x03, 0x04], "a zip archive: unpack it"),
        ([0x37, 0x7A, 0xBC, 0xAF, 0x27, 0x1C], "a 7z archive: unpack it"),
        ([0x89, 0x50, 0x4E, 0x47], "a PNG picture"),
        ([0xFF, 0xD8, 0xFF], "a JPEG picture"),
        (Array("GIF8".utf8), "a GIF picture"),
        (Array("%PDF-".utf8), "a PDF document"),
        (Array("GGUF".utf8), "a GGUF file of llama.cpp"),
        (Array("PAR1".utf8), "a Parquet file: write its records as JSON Lines and its pictures as files"),
        (Array("ARROW1".utf8), "an Arrow file: write its records as JSON Lines and its pictures as files"),
    ]
}
