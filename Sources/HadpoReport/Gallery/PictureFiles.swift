import HadpoBase
import HadpoEval
import HadpoVision

/// Pictures found by the names that questions, descriptions and captions have for them, as they go onto the page: decoded, scaled
/// down, written anew as PNG, so that nothing of the file (its place, its camera, its thumbnails) comes along.
final class PictureFiles {
    struct Shown {
        let width: Int
        let height: Int
        let source: HTML
    }

    enum Found {
        case shown(Shown)
        /// Why there is none.
        case none(String)
    }

    private let folders: [PictureFolder]
    private let width: Int
    private let limit: Int
    private(set) var bytes = 0
    private(set) var embedded = 0
    private(set) var missing = 0
    private(set) var broken = 0
    private(set) var leftOut = 0
    private var paths: [String: String?] = [:]
    private var contents: [String: String] = [:]
    /// XXH64 of files, as what lies beside answers has it.
    private var marks: [String: String] = [:]
    /// The first of those missing.
    private var lost: [String] = []
    private var coco = PictureIndex("the page")

    init(_ config: ReportConfig) throws(HadpoError) {
        folders = config.pictures
        width = config.pictureWidth
        limit = config.pictureBytes
        for folder in folders where !File.isDirectory(folder.path) {
            throw HadpoError(.io, "no folder of pictures", at: folder.path, expected: "a folder")
        }
    }

    /// The file for a name such as "COCO_val2014_000000000042.jpg", "VG_100K/1.jpg", "2345" (Visual Genome) or "391895" (COCO).
    func path(_ name: String) throws(HadpoError) -> String? {
        if let known = paths[name] { return known }
        let found = try search(name)
        paths[name] = .some(found)
        return found
    }

    /// What makes two names one picture: the contents of their files. A name without a file is itself, but for COCO's spellings.
    func identity(_ name: String) throws(HadpoError) -> String {
        if let path = try path(name) { return content(path) }
        let picture = PictureName(name)
        guard picture.isCOCO else { return name }
        return "COCO \(try coco.add(name))"
    }

    private func content(_ path: String) -> String {
        if let known = contents[path] { return known }
        var hash = path
        do throws(HadpoError) { hash = try SHA256.hex(File.bytes(path, limit: 1 << 27)) } catch { hash = path }
        contents[path] = hash
        return hash
    }

    /// The picture of that name must be the one that the records were made of: another beside them would make them wrong.
    /// - Parameters:
    ///   - hash: XXH64 of the bytes that the model saw.
    ///   - records: the file whose neighbour says so.
    func check(_ name: String, _ hash: String, of records: String) throws(HadpoError) {
        guard let path = try path(name) else { return }
        var isNow = marks[path]
        if isNow == nil {
            do throws(HadpoError) {
                var bytes = XXHash64()
                try File.bytes(path, limit: 1 << 27).withBytes { (raw) throws(HadpoError) in bytes.update(raw) }
                isNow = bytes.text
            } catch {
                // The page says by itself what cannot be read.
                if error.status == .noMemory { throw error }
                return
            }
            marks[path] = isNow
        }
        guard isNow == hash else {
            throw HadpoError(
                .format, "a picture is another one than when the model was asked about it", at: path,
                found: "'\(name)' with other bytes: xxh64 \(isNow ?? "") now, \(hash) in \(RecordOrigins.path(for: records))",
                expected: "the folders with the pictures that \(records) is about")
        }
    }

    /// The first spelling that has a file; where several do, they must be one picture.
    private func search(_ name: String) throws(HadpoError) -> String? {
        guard !folders.contains(where: { $0.refusal(name) != nil }) else { return nil }
        for spellings in PictureName(name).spellings {
            var found: [String] = []
            for folder in folders {
                for spelling in spellings where !isOfOtherSet(folder, spelling, name) {
                    if case .success(let path) = folder.find(spelling), !found.contains(path) { found.append(path) }
                }
            }
            guard let first = found.first else { continue }
            if let other = found.dropFirst().first(where: { content($0) != content(first) }) {
                throw HadpoError(
                    .format, "a picture's name has two meanings", at: name, found: "'\(first)' and '\(other)'",
                    expected: "one file for it in the folders of pictures")
            }
            return first
        }
        return nil
    }

    /// A bare number in a folder of another data set, such as VG_100K for a picture of COCO's.
    private func isOfOtherSet(_ folder: PictureFolder, _ spelling: String, _ name: String) -> Bool {
        guard !spelling.utf8.elementsEqual(name.utf8), let last = folder.path.utf8.split(separator: UInt8(ascii: "/")).last
        else { return false }
        return PictureName("\(Substring(last))/\(spelling)").contradicts(PictureName(name))
    }

    /// Fails when pictures were given and cards have none.
    func requireFound(of names: [String], cards: Int, partial: Bool) throws(HadpoError) {
        guard !folders.isEmpty, missing > 0 else { return }
        let (place, shown) = (folders.map(\.path).joined(separator: ", "), PictureIndex.examples(lost, of: missing))
        if missing == cards, !lost.contains(where: isOutside), !partial {
            throw HadpoError(
                .format, "no picture of the page is in the folders given", at: place, found: "nothing called \(shown)",
                expected: "the folders that the names in the files begin in")
        }
        try Coverage(asked: cards, scored: cards - missing).require(
            partial: partial, "pictures of the page are not in the folders given", at: place, "pictures",
            missing: shown, expected: "the pictures below these folders")
    }

    private func isOutside(_ name: String) -> Bool {
        if case .outside = folders.first?.refusal(name) { true } else { false }
    }

    /// For the page; each counts against the limit.
    func show(_ names: [String]) throws(HadpoError) -> Found {
        guard !folders.isEmpty else { return .none("no folder of pictures was given") }
        var path: String?
        for name in names where path == nil { path = try self.path(name) }
        guard let path else {
            missing += 1
            if lost.count < 4, let name = names.first { lost.append(name) }
            return .none(
                names.contains(where: isOutside) ? "its name leads out of the folders given" : "not in the folders given")
        }
        do throws(HadpoError) {
            let image = try RGBImage.read(path, limit: 1 << 27)
            let small = try scaled(image)
            let png = try small.png()
            defer { withExtendedLifetime(png) {} }  // its bytes are borrowed below
            guard bytes + png.count <= limit else {
                leftOut += 1
                return .none("left out: the page\u{2019}s pictures would pass \(limit >> 10) KiB")
            }
            let coded = try base64(png.rawBytes)
            bytes += png.count
            embedded += 1
            return .shown(Shown(width: image.width, height: image.height, source: "data:image/png;base64,\(HTML(data: coded))"))
        } catch {
            if error.status == .noMemory { throw error }
            broken += 1
            return .none("cannot be read: \(error.message)")
        }
    }

    private func scaled(_ image: RGBImage) throws(HadpoError) -> RGBImage {
        // Tall ones by their height, so that no picture is larger than a square of the width.
        let longest = max(image.width, image.height)
        guard longest > width else { return image }
        return try image.resized(
            width: max(1, image.width * width / longest), height: max(1, image.height * width / longest), .lanczos)
    }

    var json: JSON {
        [
            "embedded": JSON(embedded), "bytes": JSON(bytes), "missing": JSON(missing), "broken": JSON(broken),
            "left_out": JSON(leftOut),
        ]
    }
}

/// RFC 4648.
package func base64(_ bytes: UnsafeRawBufferPointer) throws(HadpoError) -> Block<UInt8> {
    let text = try Block<UInt8>(count: (bytes.count + 2) / 3 * 4, for: "a picture in the page")
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    var place = text.base
    for start in stride(from: 0, to: bytes.count, by: 3) {
        let count = min(3, bytes.count - start)
        var bits = 0
        for offset in 0..<3 { bits = bits << 8 | (offset < count ? Int(bytes[start + offset]) : 0) }
        for digit in 0..<4 { place[digit] = digit <= count ? alphabet[bits >> (18 - 6 * digit) & 63] : UInt8(ascii: "=") }
        place += 4
    }
    return text
}
