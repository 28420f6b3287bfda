/// A picture as a file calls it. COCO's pictures have a number, and it is written in many ways: `7`, `000000000007.jpg`,
/// `val2014/COCO_val2014_000000000007.jpg`. The number is the picture, whatever the spelling.
package struct PictureName: Sendable {
    /// As it is written.
    package let text: String
    /// COCO's or Visual Genome's number; nil where the name is another one.
    package let number: Int?
    /// The sets that a picture is in one of, such as COCO's of 2014, and the one that is written: ("2014", "val").
    let set: (family: String, part: String)?
    /// The folder, where it is none of the known sets: two folders may number their own pictures.
    private let folder: String?
    private let isPadded: Bool

    /// Under which keys records of answers and captions name their picture.
    package static let keys = [
        "image", "image_id", "image_name", "image_file", "image_path", "image_source", "file_name",
    ]

    package init(_ text: String) {
        self.text = text
        let slashes = text.utf8.map { $0 == UInt8(ascii: "\\") ? UInt8(ascii: "/") : $0 }
        let parts = slashes.split(separator: UInt8(ascii: "/"))
        var stem = parts.last ?? []
        if let dot = stem.lastIndex(of: UInt8(ascii: ".")) {
            let ending = String(decoding: stem[(dot + 1)...].map { $0 | 0x20 }, as: UTF8.self)
            if Self.endings.contains(ending) { stem = stem[..<dot] }
        }
        var set = parts.dropLast().last.flatMap { Self.set(String(decoding: $0, as: UTF8.self)) }
        if stem.starts(with: "COCO_".utf8), let underscore = stem.lastIndex(of: UInt8(ascii: "_")) {
            let named = stem.dropFirst(5).prefix { $0 != UInt8(ascii: "_") }
            set = Self.set(String(decoding: named, as: UTF8.self)) ?? set
            stem = stem[(underscore + 1)...]
        }
        // Eighteen digits are below Int.max.
        let isNumber = (1...18).contains(stem.count) && stem.allSatisfy { (0x30...0x39).contains($0) }
        isPadded = isNumber && stem.count == 12
        number = isNumber ? Int(String(decoding: stem, as: UTF8.self)) : nil
        self.set = number == nil ? nil : set
        let hasFolder = number != nil && set == nil && parts.count > 1
        folder = hasFolder ? String(decoding: slashes.dropLast(parts.last?.count ?? 0), as: UTF8.self) : nil
    }

    /// What equal names have in common: the number in decimal, or the name.
    package var key: String {
        guard let number, folder == nil else { return text }
        return String(number)
    }

    /// Whether two files mean the same picture.
    package func isSame(as other: PictureName) -> Bool {
        guard let number, let others = other.number else { return text.utf8.elementsEqual(other.text.utf8) }
        return number == others && !contradicts(other)
    }

    /// One number in two sets that have no picture in common: COCO's train and val of 2014, or COCO and Visual Genome, which number
    /// their own pictures.
    package func contradicts(_ other: PictureName) -> Bool {
        if isVisualGenome ? other.isCOCO : isCOCO && other.isVisualGenome { return true }
        guard let set, let others = other.set else { return false }
        return set.family == others.family && set.part != others.part
    }

    /// Written as COCO's files are called: in one of its sets, or with twelve digits.
    package var isCOCO: Bool { number != nil && (set.map { $0.family != "VG" } ?? isPadded) }

    /// Written with one of COCO's sets, so that its number is COCO's and no other collection's.
    package var isOfCOCOSet: Bool { self.set.map { $0.family != "VG" } ?? false }
    private var isVisualGenome: Bool { self.set?.family == "VG" }

    /// Whether two fields of one record speak of different pictures. A number and a name without one may be of the same.
    package func isOther(than other: PictureName) -> Bool {
        if number != nil, other.number != nil { return !isSame(as: other) }
        return number == nil && other.number == nil && !stem.utf8.elementsEqual(other.stem.utf8)
    }

    /// The file's name without folders and ending.
    private var stem: String {
        let name = text.utf8.split { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "\\") }.last ?? text.utf8[...]
        let dot = name.lastIndex(of: UInt8(ascii: "."))
        let end = dot.flatMap { Self.endings.contains(String(decoding: name[$0...].dropFirst(), as: UTF8.self)) ? $0 : nil }
        return String(decoding: name[..<(end ?? name.endIndex)], as: UTF8.self)
    }

    /// How a file may be called below a folder of pictures: as written, then as the likeliest kinds, each in its spellings.
    package var spellings: [[String]] {
        let endings = [".jpg", ".png", ".jpeg"]
        func all(_ folders: [String], _ stem: String) -> [String] { folders.flatMap { f in endings.map { f + stem + $0 } } }
        var kinds = [[text]]
        guard let number else { return kinds + [all(["", "VG_100K/", "VG_100K_2/"], text)] }
        let digits = String(number)
        let long = String(repeating: "0", count: max(0, 12 - digits.count)) + digits
        if !isCOCO { kinds.append(all(set.map { ["\($0.part)/"] } ?? ["", "VG_100K/", "VG_100K_2/"], digits)) }
        guard isCOCO || set == nil else { return kinds }
        let sets = set.map { ["\($0.part)\($0.family)"] } ?? ["train2014", "val2014", "test2014", "test2015"]
        kinds.append(sets.flatMap { all(["", "\($0)/"], "COCO_\($0)_" + long) })
        let folders = set.map { ["", "\($0.part)\($0.family)/"] } ?? ["", "train2017/", "val2017/", "test2017/"]
        kinds.append(all(folders, long))
        if isCOCO { kinds.append(all([""], digits)) }
        return kinds
    }

    private static let endings: Swift.Set<String> = ["jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff"]

    private static func set(_ name: String) -> (family: String, part: String)? {
        if name == "VG_100K" || name == "VG_100K_2" { return ("VG", name) }
        let year = String(decoding: name.utf8.suffix(4), as: UTF8.self)
        let part = String(decoding: name.utf8.dropLast(4), as: UTF8.self)
        guard ["train", "val", "test", "unlabeled"].contains(part), year == "2014" || year == "2015" || year == "2017" else {
            return nil
        }
        return (year, part)
    }
}

/// The pictures that one file names, to be found by another file's names for them.
package struct PictureIndex: Sendable {
    private let source: String
    private var names: [PictureName] = []
    private var places: [String: Int] = [:]
    /// The pictures of a number: one, but for folders that number their own.
    private var numbered: [Int: [Int]] = [:]

    /// Whether a number alone may be COCO's: not in an evaluation of other pictures, whose numbers COCO's files have too.
    private let mixesCOCO: Bool

    package init(_ source: String, mixesCOCO: Bool = true) { (self.source, self.mixesCOCO) = (source, mixesCOCO) }

    package var count: Int { names.count }

    /// The picture's place in the order of first sight, from 0; a picture that was there keeps its place.
    @discardableResult
    package mutating func add(_ text: String) throws(HadpoError) -> Int {
        let name = PictureName(text)
        if let known = places[name.key] {
            try check(name, names[known])
            // The spelling that says most, against those to come.
            if names[known].set == nil, name.set != nil { names[known] = name }
            return known
        }
        places[name.key] = names.count
        if let number = name.number { numbered[number, default: []].append(names.count) }
        names.append(name)
        return names.count - 1
    }

    /// - Parameter file: which names it.
    package func place(_ text: String, in file: String) throws(HadpoError) -> Int? {
        let name = PictureName(text)
        if let known = places[name.key] {
            try check(name, names[known], in: file)
            return known
        }
        guard let number = name.number, let candidates = numbered[number], let first = candidates.first else { return nil }
        guard candidates.count == 1 else {
            let spelled = candidates.prefix(3).map { "'\(names[$0].text)'" }.joined(separator: ", ")
            throw HadpoError(
                .format, "a picture's name has two meanings", at: file, found: "'\(text)'; \(source) has \(spelled)",
                expected: "one picture of number \(number)")
        }
        try check(name, names[first], in: file)
        return first
    }

    /// Fails where another file's name for the picture at `place` is one of another set.
    package func check(_ text: String, at place: Int, in file: String) throws(HadpoError) {
        try check(PictureName(text), names[place], in: file)
    }

    /// For errors: how the file spells its names.
    package var examples: String { Self.examples(names.prefix(4).map(\.text), of: names.count) }

    package static func examples(_ names: some Sequence<String>, of count: Int) -> String {
        let shown = names.prefix(4).map { PictureFolder.shown($0.shortened(to: 80)) }
        return count == 0 ? "none" : shown.joined(separator: ", ") + (count > shown.count ? ", ... (\(count))" : "")
    }

    private func check(_ a: PictureName, _ b: PictureName, in file: String? = nil) throws(HadpoError) {
        if !mixesCOCO, a.isOfCOCOSet != b.isOfCOCOSet {
            throw HadpoError(
                .format, "a picture of COCO meets a number that is not COCO's", at: file ?? source,
                found: file == nil ? "'\(b.text)' and '\(a.text)'" : "'\(a.text)'; \(source) has '\(b.text)'",
                expected: "names of one collection: COCO's file and Visual Genome's image of one number are two pictures")
        }
        guard a.contradicts(b) else { return }
        throw HadpoError(
            .format, "a picture's number stands in two sets", at: file ?? source,
            found: file == nil ? "'\(b.text)' and '\(a.text)'" : "'\(a.text)'; \(source) has '\(b.text)'",
            expected: "one of them: COCO's sets, and Visual Genome's, have no picture in common")
    }
}
