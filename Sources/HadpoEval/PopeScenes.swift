import HadpoBase

/// Annotated pictures from the files people have: POPE's segmentation results, COCO instances, a plain object of lists.
package enum PopeScenes {
    package enum Format: String, CaseIterable, Sendable {
        case auto
        /// `{"image": ..., "objects": [...]}` per line.
        case pope
        /// COCO `instances_*.json`: categories of a picture's annotations, crowds included, in the order they first appear.
        case coco
        /// `{"picture.jpg": ["object", ...], ...}`
        case map
    }

    /// Each picture once, each of its objects once: an object that is listed twice would be asked for twice.
    ///
    /// A name is written once for every question and every companion, so that one without a bound would multiply the file.
    package static func read(_ path: String, format: Format) throws(HadpoError) -> [PopeBuilder.Scene] {
        let scenes: [PopeBuilder.Scene] =
            switch try format == .auto ? detect(path) : format {
            case .coco: try coco(path)
            case .map: try map(path)
            case .pope, .auto: try PopeBuilder.readScenes(try File.read(path), source: path)
            }
        var seen: Set<String> = []
        var result: [PopeBuilder.Scene] = []
        for scene in scenes {
            guard seen.insert(scene.image).inserted else {
                throw HadpoError(
                    .format, "a picture is annotated twice", at: path, found: "'\(scene.image)'", expected: "each picture once")
            }
            var known: Set<String> = []
            let objects = scene.objects.filter { known.insert($0).inserted }
            guard !objects.contains("") else {
                throw HadpoError(.format, "an object without a name", at: path, found: "'\(scene.image)'", expected: "names")
            }
            if let long = objects.first(where: { $0.utf8.count > longestName })
                ?? (scene.image.utf8.count > longestPath ? scene.image : nil)
            {
                throw HadpoError(
                    .format, "a name is too long", at: path, found: "\(long.utf8.count) bytes",
                    expected: "at most \(longestName) for an object, \(longestPath) for a picture")
            }
            result.append(PopeBuilder.Scene(image: scene.image, objects: objects))
        }
        return result
    }

    private static let longestName = 256
    /// PATH_MAX of Linux.
    private static let longestPath = 4096

    private static func detect(_ path: String) throws(HadpoError) -> Format {
        guard File.isFile(path) else { return .pope }  // the reader says what is wrong
        var isCOCO = false
        do throws(HadpoError) {
            try JSONStream.elements(ofFile: path, under: ["annotations"]) { _, _ in
                isCOCO = true
                return false
            }
        } catch {
            return .pope  // several lines, or broken, which the line reader will place
        }
        if isCOCO { return .coco }
        let whole = try File.readJSON(path)
        return whole["image"]?.stringValue != nil && whole["objects"]?.arrayValue != nil ? .pope : .map
    }

    private static func map(_ path: String) throws(HadpoError) -> [PopeBuilder.Scene] {
        guard let members = try File.readJSON(path).objectValue else {
            throw HadpoError(
                .format, "no pictures with their objects", at: path, expected: "{\"picture\": [\"object\", ...], ...}")
        }
        var scenes: [PopeBuilder.Scene] = []
        for member in members {
            let objects = member.value.arrayValue
            let names = objects?.compactMap(\.stringValue)
            guard let names, names.count == objects?.count else {
                throw HadpoError(
                    .format, "a picture without a list of objects", at: "\(path) /\(member.key)", found: member.value.kind,
                    expected: "an array of strings")
            }
            scenes.append(PopeBuilder.Scene(image: member.key, objects: names))
        }
        return scenes
    }

    private static func coco(_ path: String) throws(HadpoError) -> [PopeBuilder.Scene] {
        let instances = try COCOInstances(path)
        return try instances.images.map { image throws(HadpoError) in
            var names: [String] = []
            for id in image.categories {
                guard let name = instances.categories[id] else {
                    throw HadpoError(
                        .format, "an annotation of a category that is not in the file", at: path, found: "category_id \(id)",
                        expected: "an id under 'categories'")
                }
                names.append(name)
            }
            return PopeBuilder.Scene(image: image.file, objects: names)
        }
    }
}

/// What the evaluators need of COCO's `instances_*.json`, streamed: real files have hundreds of megabytes, mostly polygons.
package struct COCOInstances: Sendable {
    package struct Image: Sendable {
        package let id: Int
        package let file: String
        /// Categories of the annotations, each once, in the order they first appear in the file.
        package fileprivate(set) var categories: [Int] = []
    }

    private struct Pair: Hashable {
        let image: Int
        let category: Int
    }

    package private(set) var images: [Image] = []
    package private(set) var categories: [Int: String] = [:]

    package init(_ path: String) throws(HadpoError) {
        var places: [Int: Int] = [:]
        // Annotations may stand before the pictures they belong to.
        var waiting: [Int: [Int]] = [:]
        var known: Set<Pair> = []
        var images: [Image] = []
        var categories: [Int: String] = [:]
        try JSONStream.elements(ofFile: path, under: ["images", "annotations", "categories"]) {
            key, element throws(HadpoError) in
            switch key {
            case "images":
                let record = try element.parse()
                guard let id = record["id"]?.intValue, let file = record["file_name"]?.stringValue else {
                    throw Self.fault(element, "'id': an integer, 'file_name': a string")
                }
                guard places.updateValue(images.count, forKey: id) == nil else {
                    throw HadpoError(
                        .format, "a picture id is used twice", at: element.name, found: "\(id)", expected: "each once")
                }
                images.append(Image(id: id, file: file, categories: waiting.removeValue(forKey: id) ?? []))
            case "categories":
                let record = try element.parse()
                guard let id = record["id"]?.intValue, let name = record["name"]?.stringValue else {
                    throw Self.fault(element, "'id': an integer, 'name': a string")
                }
                categories[id] = name
            default:
                guard let image = element.firstInteger("image_id"), let category = element.firstInteger("category_id") else {
                    throw Self.fault(element, "'image_id' and 'category_id': integers")
                }
                guard known.insert(Pair(image: image, category: category)).inserted else { break }
                if let place = places[image] {
                    images[place].categories.append(category)
                } else {
                    waiting[image, default: []].append(category)
                }
            }
            return true
        }
        if let orphan = waiting.keys.min() {
            throw HadpoError(
                .format, "annotations of a picture that is not in the file", at: path, found: "image_id \(orphan)",
                expected: "an id under 'images'")
        }
        guard !categories.isEmpty else {
            throw HadpoError(
                .format, "no COCO instances", at: path, found: "no categories", expected: "'images', 'annotations', 'categories'")
        }
        self.images = images
        self.categories = categories
    }

    private static func fault(_ element: JSONElement, _ expected: String) -> HadpoError {
        HadpoError(.format, "no COCO record", at: element.name, expected: expected)
    }
}
