import HadpoBase

/// Picture files by Visual Genome's image id, from `image_data.json`.
package struct VisualGenomeImages: Sendable {
    private let paths: [Int: String]

    /// `folder` holds VG_100K and VG_100K_2: a picture's path is the last two components of its url below that folder.
    package init(imageData path: String, folder: String) throws(HadpoError) {
        let bytes = try File.read(path)
        var paths: [Int: String] = [:]
        try bytes.withUnsafeBytes { raw in
            Result { () throws(HadpoError) in
                try JSON.elements(raw, source: path) { index, element throws(HadpoError) in
                    guard let id = imageID(element["image_id"]), let url = element["url"]?.stringValue else {
                        throw HadpoError(
                            .format, "no Visual Genome image record", at: "\(path)[\(index)]", found: element.kind,
                            expected: "an object with image_id and url")
                    }
                    let parts = url.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).suffix(2)
                    let name = parts.map { String(decoding: $0, as: UTF8.self) }.joined(separator: "/")
                    paths[id] = File.join(folder, name)
                    return true
                }
            }
        }.get()
        self.paths = paths
    }

    package subscript(id: Int) -> String? { paths[id] }
    package var count: Int { paths.count }
}

/// Upstream coerces every id with `int()`: a number or its decimal text.
func imageID(_ value: JSON?) -> Int? {
    if let number = value?.intValue { return number }
    guard let text = value?.stringValue else { return nil }
    let spaces: (UInt8) -> Bool = { $0 == 0x20 }
    return Int(String(decoding: Array(text.utf8.drop(while: spaces).reversed().drop(while: spaces).reversed()), as: UTF8.self))
}
