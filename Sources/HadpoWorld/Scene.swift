/// The things the world is made of. Raw values are the words of its language.

package enum Theme: String, CaseIterable, Sendable {
    case kitchen, street, beach, room

    package var categories: [Category] { Category.allCases.filter { $0.theme == self } }
}

/// 24 kinds of objects. Six of a kind make a theme, in the order of `Theme`; neighbours (0-1, 2-3, ...) are partners, which
/// appear together often enough that a careless observer expects the one where he sees the other.
package enum Category: String, CaseIterable, Sendable {
    case cup, plate, fork, bottle, apple, pan
    case car, bus, house, tree, lantern, bench
    case boat, umbrella, ball, kite, fish, star
    case lamp, chair, bed, clock, book, window

    package var theme: Theme {
        switch self {
        case .cup, .plate, .fork, .bottle, .apple, .pan: .kitchen
        case .car, .bus, .house, .tree, .lantern, .bench: .street
        case .boat, .umbrella, .ball, .kite, .fish, .star: .beach
        case .lamp, .chair, .bed, .clock, .book, .window: .room
        }
    }

    package var partner: Category {
        switch self {
        case .cup: .plate
        case .plate: .cup
        case .fork: .bottle
        case .bottle: .fork
        case .apple: .pan
        case .pan: .apple
        case .car: .bus
        case .bus: .car
        case .house: .tree
        case .tree: .house
        case .lantern: .bench
        case .bench: .lantern
        case .boat: .umbrella
        case .umbrella: .boat
        case .ball: .kite
        case .kite: .ball
        case .fish: .star
        case .star: .fish
        case .lamp: .chair
        case .chair: .lamp
        case .bed: .clock
        case .clock: .bed
        case .book: .window
        case .window: .book
        }
    }

    /// The colour most objects of this kind have.
    package var usualColor: ObjectColor {
        switch self {
        case .apple, .car, .boat, .clock: .red
        case .bottle, .tree, .kite, .chair: .green
        case .cup, .bench, .ball, .bed: .blue
        case .plate, .bus, .star, .lamp: .yellow
        case .fork, .lantern, .umbrella, .book: .purple
        case .pan, .house, .fish, .window: .orange
        }
    }
}

package enum ObjectColor: String, CaseIterable, Sendable {
    case red, green, blue, yellow, purple, orange
}

/// Colour of the plain background; no object has one of these.
package enum Tint: String, CaseIterable, Sendable {
    case white, gray, pink, cyan, beige
}

/// The column of the 3x3 layout in which an object stands.
package enum Side: String, CaseIterable, Sendable {
    case left, middle, right
}

package enum ObjectSize: String, CaseIterable, Sendable {
    case small, big
}

/// One object: a square of `side` picture units with its upper left corner at (x, y), in one of 3x3 cells.
package struct SceneObject: Sendable, Equatable {
    package var category: Category
    package var color: ObjectColor
    package var column: Int
    package var row: Int
    package var x: Double
    package var y: Double
    package var side: Double

    package init(category: Category, color: ObjectColor, column: Int, row: Int, x: Double, y: Double, side: Double) {
        self.category = category
        self.color = color
        self.column = column
        self.row = row
        self.x = x
        self.y = y
        self.side = side
    }

    /// Between the limits 14 and 21 of the sides, so that half of the objects are small.
    package static let bigFrom = 17.5

    package var place: Side { column <= 0 ? .left : column == 1 ? .middle : .right }
    package var size: ObjectSize { side < Self.bigFrom ? .small : .big }
}

/// A picture before it is drawn, and its annotation. Objects are listed by column, then by height, with no category twice.
package struct Scene: Sendable, Equatable {
    /// Width and height of the picture in the units of `SceneObject`.
    package static let extent = 64.0

    package var theme: Theme
    package var background: Tint
    package var objects: [SceneObject]

    package init(theme: Theme, background: Tint, objects: [SceneObject]) {
        self.theme = theme
        self.background = background
        self.objects = objects
    }

    package func object(of category: Category) -> SceneObject? { objects.first { $0.category == category } }
    package func contains(_ category: Category) -> Bool { object(of: category) != nil }
}
