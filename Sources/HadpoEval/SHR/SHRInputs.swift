import HadpoBase

package struct SHRRegion: Sendable {
    package let x: Double
    package let y: Double
    package let width: Double
    package let height: Double
    package let phrase: String

    package init(x: Double, y: Double, width: Double, height: Double, phrase: String) {
        (self.x, self.y, self.width, self.height, self.phrase) = (x, y, width, height, phrase)
    }
}

/// Descriptions of pictures by any model.
package struct SHRDescriptions: Sendable {
    package let path: String
    package let sha256: String
    /// In the order of the file.
    package private(set) var ids: [String] = []
    package private(set) var texts: [String: String] = [:]
    /// Ids that a JSON Lines file describes again; the first description counts.
    package private(set) var doubled: [String] = []
    private var pictures: PictureIndex

    /// `{"<image id>": "description"}`, or a line or array element each: `image_id` (or `image`) with `description` (or `caption`,
    /// `answer`, `text`).
    package init(_ path: String) throws(HadpoError) {
        self.path = path
        pictures = PictureIndex(path, mixesCOCO: false)
        let bytes = try File.read(path)
        sha256 = SHA256.hex(bytes)
        let records: [(place: String, value: JSON)]
        switch bytes.first(where: { $0 > 0x20 }) {
        case UInt8(ascii: "["):
            let elements = try JSON.parse(bytes, source: path).arrayValue ?? []
            records = elements.enumerated().map { ("\(path)[\($0.offset)]", $0.element) }
        default:
            if let whole = try? JSON.parse(bytes, source: path), whole["image_id"] == nil, whole["image"] == nil,
                let members = whole.objectValue
            {
                for member in members {
                    guard let text = member.value.stringValue else {
                        throw Self.fault("\(path) /\(member.key)", member.value.kind)
                    }
                    try add(member.key, text, "\(path) /\(member.key)")
                }
                try requireSome()
                return
            }
            records = try JSONLines.parse(bytes, source: path, dropTornLine: true).map { ("\(path):\($0.number)", $0.value) }
        }
        for (place, record) in records {
            let name = try Self.oneValue(of: ["image_id", "image"], in: record, place, Self.name) {
                Self.isOnePicture($0, $1)
            }
            let text = try Self.oneValue(of: ["description", "caption", "answer", "text"], in: record, place, \.stringValue) {
                $0.hasSameBytes($1)
            }
            guard let name, let text else { throw Self.fault(place, Self.keys(record)) }
            // "image" may say more than the number does: whose number it is.
            let file = record["image"].flatMap(Self.name)
            try add(file.map { PictureName($0).isOfCOCOSet } ?? false ? file ?? name : name, text, place)
        }
        try requireSome()
    }

    private func requireSome() throws(HadpoError) {
        if ids.isEmpty { throw Self.fault(path, "no record") }
    }

    /// The value that several keys of a record give, which must be one.
    private static func oneValue(
        of keys: [String], in record: JSON, _ place: String, _ read: (JSON) -> String?, same: (String, String) -> Bool
    ) throws(HadpoError) -> String? {
        var first: (key: String, value: String)?
        for key in keys {
            guard let member = record[key], !member.isNull else { continue }
            guard let value = read(member) else { throw fault("\(place), key '\(key)'", member.kind) }
            guard let known = first else {
                first = (key, value)
                continue
            }
            guard same(known.value, value) else {
                throw HadpoError(
                    .format, "a description's record contradicts itself", at: place,
                    found: "'\(known.key)': '\(known.value.shortened(to: 200))', and '\(key)': '\(value.shortened(to: 200))'",
                    expected: "one image and one description a record; remove the key that is not meant")
            }
        }
        return first?.value
    }

    private static func name(_ value: JSON) -> String? { value.stringValue ?? value.intValue.map(String.init) }

    /// Names of which one has no number do not contradict each other: files may be called anything.
    private static func isOnePicture(_ a: String, _ b: String) -> Bool {
        let (a, b) = (PictureName(a), PictureName(b))
        return a.number == nil || b.number == nil || a.isSame(as: b)
    }

    private static func keys(_ record: JSON) -> String {
        record.objectValue.map { "keys \($0.prefix(20).map(\.key).joined(separator: ", "))" } ?? record.kind
    }

    /// How the file calls an image that another file names.
    package func id(_ name: String, in file: String) throws(HadpoError) -> String? {
        try pictures.place(name, in: file).map { ids[$0] }
    }

    /// The description of an image, whichever way its name is spelled.
    package func text(_ name: String, in file: String) throws(HadpoError) -> String? {
        try id(name, in: file).flatMap { texts[$0] }
    }

    /// None of them is of an image of the evaluation.
    func matchNothing(of wanted: [String], in file: String) -> HadpoError {
        HadpoError(
            .format, "no description is of an image of the evaluation", at: path, found: "descriptions of \(pictures.examples)",
            expected: "names as in \(file): \(PictureIndex.examples(wanted, of: wanted.count))")
    }

    private static func fault(_ place: String, _ found: String) -> HadpoError {
        HadpoError(
            .format, "no description", at: place, found: found,
            expected: "{\"image id\": \"description\", ...}, or lines with image_id and description")
    }

    private mutating func add(_ name: String, _ text: String, _ place: String) throws(HadpoError) {
        let picture = try pictures.add(name)
        guard picture < ids.count else {
            ids.append(name)
            texts[name] = text
            return
        }
        let first = ids[picture]
        guard texts[first]?.hasSameBytes(text) ?? false else {
            throw HadpoError(
                .format, "an image is described twice, and differently", at: place, found: "'\(name)': '\(text)'",
                expected: "one description an image; '\(first)' has '\(texts[first] ?? "")'")
        }
        doubled.append(first)
    }
}

/// Where Visual Genome's and SHR's files are: upstream's folders, or each file by itself.
package struct SHRFiles: Sendable {
    package let imageData: String?
    package let regions: String?
    package let factual: [String]
    package let validation: String?

    package init(_ r: inout ConfigReader) throws(HadpoError) {
        let vg = try r.optionalString("vg", help: "folder with Visual Genome's image_data.json and region_descriptions.json")
        let shr = try r.optionalString(
            "shr", help: "folder with val_images_final.json and shr_factual_part1.jsonl, ...part2.jsonl")
        let imageData = try r.optionalString("image_data", help: "instead of the folder's")
        let regions = try r.optionalString("regions", help: "instead of the folder's")
        let factual = try r.strings(
            "factual", default: [], help: "instead of the folder's: lines {\"<image id>\": [\"fact\", ...]}")
        let validation = try r.optionalString(
            "val_images", help: "instead of the folder's: array with image_id; without any, the described images")
        self.imageData = imageData ?? vg.map { File.join($0, "image_data.json") }
        self.regions = regions ?? vg.map { File.join($0, "region_descriptions.json") }
        self.validation = validation ?? shr.map { File.join($0, "val_images_final.json") }
        self.factual =
            factual.isEmpty
            ? shr.map { folder in ["1", "2"].map { File.join(folder, "shr_factual_part\($0).jsonl") } } ?? [] : factual
        try r.refuse(
            ["vg"], unless: imageData == nil || regions == nil, because: "image_data and regions are given in its place")
        try r.refuse(
            ["shr"], unless: validation == nil || factual.isEmpty, because: "val_images and factual are given in its place")
    }

    /// The files that are read.
    var inputs: [OutputPlace.Named] {
        [("/image_data", imageData), ("/regions", regions), ("/val_images", validation)] + factual.map { ("/factual", $0) }
    }

    /// The images of the evaluation, in order, each once.
    package func validationIDs(_ descriptions: SHRDescriptions) throws(HadpoError) -> (ids: [String], doubled: [String]) {
        guard let validation else { return (descriptions.ids, []) }
        var ids: [String] = []
        var doubled: [String] = []
        var known = PictureIndex(validation, mixesCOCO: false)
        try JSONStream.elements(ofFile: validation) { _, element throws(HadpoError) in
            let record = try element.parse()
            let id = record["image_id"] ?? record
            guard let name = id.intValue.map(String.init) ?? id.stringValue else {
                throw HadpoError(
                    .format, "no image of the evaluation", at: element.name, found: record.kind, expected: "'image_id'")
            }
            let place = try known.add(name)
            if place == ids.count { ids.append(name) } else { doubled.append(ids[place]) }
            return true
        }
        guard !ids.isEmpty else {
            throw HadpoError(
                .format, "no images of the evaluation", at: validation, found: "an empty list",
                expected: "records of 'image_id'")
        }
        return (ids, doubled)
    }
}

/// Annotations of the evaluated images alone, picked out of files of any size.
package struct SHRAnnotations: Sendable {
    package struct Image: Sendable {
        package var width: Double?
        package var height: Double?
        /// Lines of the prompt; nil when the image is not in the region file.
        package var regions: [SHRRegion]?
        package var factual: [String] = []
    }

    package private(set) var images: [String: Image] = [:]

    package init(_ files: SHRFiles, ids: [String]) throws(HadpoError) {
        var pictures = PictureIndex("the images of the evaluation", mixesCOCO: false)
        for id in ids { try pictures.add(id) }
        let numbers = Set(ids.compactMap { PictureName($0).number })
        var images: [String: Image] = [:]
        for id in ids { images[id] = Image() }
        func wanted(_ value: JSON?, _ path: String) throws(HadpoError) -> String? {
            guard let name = value?.intValue.map(String.init) ?? value?.stringValue else { return nil }
            return try pictures.place(name, in: path).map { ids[$0] }
        }
        if let path = files.imageData {
            try JSONStream.elements(ofFile: path) { _, element throws(HadpoError) in
                if let id = element.firstInteger("image_id"), !numbers.contains(id) { return true }
                let record = try element.parse()
                guard let id = try wanted(record["image_id"], path) else { return true }
                images[id]?.width = record["width"]?.doubleValue
                images[id]?.height = record["height"]?.doubleValue
                return true
            }
        }
        if let path = files.regions {
            try JSONStream.elements(ofFile: path) { _, element throws(HadpoError) in
                // Upstream knows an image by its first region's image_id; one without regions has only "id".
                if let id = element.firstInteger("image_id") ?? element.firstInteger("id"), !numbers.contains(id) { return true }
                let record = try element.parse()
                guard let regions = record["regions"]?.arrayValue else {
                    throw HadpoError(.format, "no regions", at: element.name, found: record.kind, expected: "'regions': an array")
                }
                guard let id = try wanted(regions.first?["image_id"] ?? record["id"], path) else { return true }
                images[id]?.regions = try Self.regions(regions, element.name)
                return true
            }
        }
        for path in files.factual {
            let lines = try JSONLineReader(path)
            while let line = try lines.next() {
                let first = line.value.objectValue?.first
                let texts = first?.value.arrayValue
                let facts = texts?.compactMap(\.stringValue)
                guard let first, let facts, facts.count == texts?.count else {
                    throw HadpoError(
                        .format, "no factual lines", at: "\(path):\(line.number)", found: line.value.kind,
                        expected: "{\"<image id>\": [\"fact\", ...]}")
                }
                if let id = try wanted(.string(first.key), path) { images[id]?.factual = facts }
            }
        }
        self.images = images
    }

    private static func regions(_ records: [JSON], _ place: String) throws(HadpoError) -> [SHRRegion] {
        var regions: [SHRRegion] = []
        for (index, record) in records.enumerated() {
            guard let x = record["x"]?.doubleValue, let y = record["y"]?.doubleValue, let width = record["width"]?.doubleValue,
                let height = record["height"]?.doubleValue, let phrase = record["phrase"]?.stringValue
            else {
                throw HadpoError(
                    .format, "no region", at: "\(place) /regions/\(index)", found: record.kind,
                    expected: "'x', 'y', 'width', 'height': numbers, 'phrase': a string")
            }
            if !phrase.isEmpty { regions.append(SHRRegion(x: x, y: y, width: width, height: height, phrase: phrase)) }
        }
        return regions
    }
}
