/// One sentence of a description, as a fact about a picture.
package enum Statement: Sendable, Hashable {
    case object(Category, ObjectColor, Side)
    case size(Category, ObjectSize)
    case background(Tint)

    package var sentence: String {
        switch self {
        case .object(let category, let color, let side):
            "There is \(WorldLanguage.article(before: color.rawValue)) \(color.rawValue) \(category.rawValue) "
                + "\(WorldLanguage.phrase(side))."
        case .size(let category, let size): "The \(category.rawValue) is \(size.rawValue)."
        case .background(let tint): "The background is \(tint.rawValue)."
        }
    }

    /// The object that the sentence is about.
    package var category: Category? {
        switch self {
        case .object(let category, _, _), .size(let category, _): category
        case .background: nil
        }
    }
}

extension SceneObject {
    package var statement: Statement { .object(category, color, place) }
    package var sizeStatement: Statement { .size(category, size) }
}

extension Scene {
    /// Every true sentence about an object's size, in the order of the objects.
    package var sizeStatements: [Statement] { objects.map(\.sizeStatement) }
    package var backgroundStatement: Statement { .background(background) }
}
