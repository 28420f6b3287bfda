import HadpoBase

/// A world's pictures and what is in them, read back from its `annotations.json`.
package struct WorldAnnotations: Sendable {
    package struct Picture: Sendable {
        /// Visual Genome's image_id.
        package let imageID: Int
        package let path: String
        package let isEvaluation: Bool
        /// Categories, colours, columns and sizes are those of the picture; where in its column an object stands is not needed.
        package let scene: Scene
    }

    package let pictures: [Picture]
    package var preference: [Picture] { pictures.filter { !$0.isEvaluation } }
    package var evaluation: [Picture] { pictures.filter(\.isEvaluation) }

    package init(world folder: String) throws(HadpoError) {
        let path = WorldFiles.Layout(folder).annotations
        let files = PictureFolder(folder, outside: nil)
        let json = try File.readJSON(path)
        guard json["schema"]?.stringValue == "hadpo.annotations/1", let images = json["images"]?.arrayValue else {
            throw HadpoError(.format, "not the annotations of a world", at: path, expected: "schema hadpo.annotations/1")
        }
        var pictures: [Picture] = []
        for (index, image) in images.enumerated() {
            let place = "\(path): /images/\(index)"
            guard let id = image["image_id"]?.intValue, let file = image["file"]?.stringValue,
                let split = image["split"]?.stringValue, let objects = image["objects"]?.arrayValue
            else {
                throw HadpoError(
                    .format, "an annotated picture is incomplete", at: place, expected: "image_id, file, split and objects")
            }
            let theme: Theme = try Self.name(image, "theme", place)
            let background: Tint = try Self.name(image, "background", place)
            var scene = Scene(theme: theme, background: background, objects: [])
            for (number, object) in objects.enumerated() {
                scene.objects.append(try Self.object(object, "\(place)/objects/\(number)"))
            }
            pictures.append(
                Picture(imageID: id, path: try files.file(file, at: place), isEvaluation: split == "evaluation", scene: scene))
        }
        self.pictures = pictures
    }

    private static func object(_ json: JSON, _ place: String) throws(HadpoError) -> SceneObject {
        let side: Side = try name(json, "side", place)
        let size: ObjectSize = try name(json, "size", place)
        return SceneObject(
            category: try name(json, "category", place), color: try name(json, "color", place),
            column: Side.allCases.firstIndex(of: side) ?? 0, row: 0, x: 0, y: 0,
            side: size == .big ? SceneObject.bigFrom : SceneGenerator.sides.lowerBound)
    }

    private static func name<Name: RawRepresentable & CaseIterable>(_ json: JSON, _ key: String, _ place: String)
        throws(HadpoError) -> Name where Name.RawValue == String
    {
        guard let text = json[key]?.stringValue, let name = Name(rawValue: text) else {
            throw HadpoError(
                .format, "an annotation has no such \(key)", at: place, found: json[key]?.shortText() ?? "nothing",
                expected: Name.allCases.map(\.rawValue).joined(separator: ", "))
        }
        return name
    }
}
