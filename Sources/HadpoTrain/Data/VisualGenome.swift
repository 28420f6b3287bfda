import HadpoBase

/// Names of picture files by Visual Genome's image id, from `image_data.json`.
package struct VisualGenomeImages: Sendable {
    package let folder: PictureFolder
    private let names: [Int: String]

    /// `folder` holds VG_100K and VG_100K_2: a picture's name below it is the last two components of its url.
    package init(imageData path: String, folder: PictureFolder) throws(HadpoError) {
        let bytes = try File.read(path)
        var names: [Int: String] = [:]
        try bytes.withUnsafeBytes { raw in
            Result { () throws(HadpoError) in
                try JSON.elements(raw, source: path) { index, element throws(HadpoError) in
                    guard let id = imageID(element["image_id"]), let url = element["url"]?.stringValue else {
                        throw HadpoError(
                            .format, "no Visual Genome image record", at: "\(path)[\(index)]", found: element.kind,
                            expected: "an object with image_id and url")
                    }
                    let parts = url.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).suffix(2)
                    names[id] = parts.map { String(decoding: $0, as: UTF8.self) }.joined(separator: "/")
                    return true
                }
            }
        }.get()
        self.folder = folder
        self.names = names
    }

    package subscript(id: Int) -> String? { names[id] }
    package var count: Int { names.count }
}

/// Upstream coerces every id with `int()`: a number or its decimal text.
func imageID(_ value: JSON?) -> Int? {
    if let number = value?.intValue { return number }
    guard let text = value?.stringValue else { return nil }
    let spaces: (UInt8) -> Bool = { $0 == 0x20 }
    return Int(String(decoding: Array(text.utf8.drop(while: spaces).reversed().drop(while: spaces).reversed()), as: UTF8.self))
}
