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
        let name = try Self.name(record, place)
        let text = Self.textKeys.lazy.compactMap { record[$0]?.stringValue }.first
        if let caption = record["caption"], !caption.isNull, caption.stringValue == nil {
            throw Self.mistyped("caption", caption, place, "a text")
        }
        if text == nil, let key = Self.textKeys.first(where: { record[$0] != nil }), let value = record[key] {
            throw Self.mistyped(key, value, place, "a text")
        }
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

    private static let textKeys = ["caption", "description", "answer", "text"]

    /// The first name that the record has for its picture; the others must not be another's.
    private static func name(_ record: JSON, _ place: String) throws(HadpoError) -> String? {
        var first: (key: String, name: String)?
        var wrong: (key: String, value: JSON)?
        for key in ["image_id", "image"] + PictureName.keys.filter({ $0 != "image_id" && $0 != "image" }) {
            guard let value = record[key], !value.isNull else { continue }
            guard let name = value.intValue.map(String.init) ?? value.stringValue ?? value["path"]?.stringValue else {
                // The picture itself may stand there beside its name.
                if value.objectValue == nil && value.arrayValue == nil { throw mistyped(key, value, place, naming) }
                if wrong == nil { wrong = (key, value) }
                continue
            }
            if name.isEmpty { continue }
            guard let other = first else {
                // The keys behind these only speak of a picture that one of them names.
                guard key == "image_id" || key == "image" else { break }
                first = (key, name)
                continue
            }
            if PictureName(name).isOther(than: PictureName(other.name)) {
                throw HadpoError(
                    .format, "a record speaks of two pictures", at: "\(place), key '\(key)'", found: PictureFolder.shown(name),
                    expected: "the picture of '\(other.key)', \(PictureFolder.shown(other.name))")
            }
        }
        if first == nil, let wrong { throw mistyped(wrong.key, wrong.value, place, naming) }
        return first?.name
    }

    private static let naming = "an integer or a text"

    private static func mistyped(_ key: String, _ value: JSON, _ place: String, _ expected: String) -> HadpoError {
        HadpoError(
            .format, "mistyped value", at: "\(place) /\(key)", found: "\(value.kind): \(value.text().shortened(to: 80))",
            expected: expected)
    }

    private static func keys(_ record: JSON) -> String {
        guard let members = record.objectValue else { return record.kind }
        return members.isEmpty ? "no keys" : "keys \(members.prefix(20).map(\.key).joined(separator: ", "))"
    }
}
