import HadpoBase

/// Captions in the order of the file; of a picture that comes again the first caption counts, and another one is an error.
struct CHAIRCaptions {
    struct Caption {
        /// Its place in `pictures`.
        let picture: Int
        let id: String
        let text: String
        let isFirst: Bool
    }

    private(set) var all: [Caption] = []
    private(set) var pictures: PictureIndex
    /// Of the first record, for errors.
    private(set) var keys = "no keys"
    private var firsts: [(place: String, text: String, id: String)] = []

    /// Lines, an array, {"id": "text"}, the original's imgToEval, or COCO's own "annotations".
    init(_ bytes: [UInt8], _ path: String) throws(HadpoError) {
        pictures = PictureIndex(path)
        var records: [(place: String, value: JSON)] = []
        if let whole = try? JSON.parse(bytes, source: path) {
            let list = whole.arrayValue ?? whole["imgToEval"]?.objectValue?.map(\.value) ?? whole["annotations"]?.arrayValue
            if let list {
                records = list.enumerated().map { ("\(path)[\($0.offset)]", $0.element) }
            } else if whole["caption"] == nil, whole["image_id"] == nil, let members = whole.objectValue {
                records = members.map { ("\(path) /\($0.key)", ["image_id": .string($0.key), "caption": $0.value]) }
            } else {
                records = [(path, whole)]
            }
        } else {
            records = try JSONLines.parse(bytes, source: path, dropTornLine: true).map { ("\(path):\($0.number)", $0.value) }
        }
        guard let first = records.first else {
            throw HadpoError(
                .format, "no captions", at: path, found: "no record", expected: "records of 'image_id' and 'caption'")
        }
        keys = Self.keys(first.value)
        for (place, record) in records { try add(place, record) }
    }

    private mutating func add(_ place: String, _ record: JSON) throws(HadpoError) {
        let name = ["image_id", "image"].lazy.compactMap { record[$0].flatMap { $0.intValue.map(String.init) ?? $0.stringValue } }
            .first
        let text = ["caption", "description", "answer", "text"].lazy.compactMap { record[$0]?.stringValue }.first
        guard let name, let text else {
            throw HadpoError(
                .format, "no caption", at: place, found: Self.keys(record),
                expected: "'image_id' (or 'image') and 'caption' (or 'description', 'answer', 'text')")
        }
        let picture = try pictures.add(name)
        let isFirst = picture == firsts.count
        if isFirst {
            firsts.append((place, text, PictureName(name).key))
        } else if !firsts[picture].text.hasSameBytes(text) {
            throw HadpoError(
                .format, "a picture is captioned twice, and differently", at: place,
                found: "image_id '\(name)', caption '\(text)'; \(firsts[picture].place) has '\(firsts[picture].text)'",
                expected: "one caption a picture")
        }
        all.append(Caption(picture: picture, id: firsts[picture].id, text: text, isFirst: isFirst))
    }

    private static func keys(_ record: JSON) -> String {
        guard let members = record.objectValue else { return record.kind }
        return members.isEmpty ? "no keys" : "keys \(members.prefix(20).map(\.key).joined(separator: ", "))"
    }
}
