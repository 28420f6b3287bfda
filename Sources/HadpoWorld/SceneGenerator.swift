/// Independent sets of scenes: no two splits share a random stream, so no picture is ever in two of them.
package enum SceneSplit: Sendable, Equatable {
    /// Pictures that the base is trained on, a set of its own for each stage of its schedule.
    case base(stage: Int)
    /// Pictures whose descriptions and answers become preference pairs.
    case preference
    /// Pictures on which POPE and SHR are measured.
    case evaluation

    var number: UInt64 {
        switch self {
        case .preference: 0
        case .evaluation: 1
        case .base(let stage): 2 &+ UInt64(truncatingIfNeeded: stage)
        }
    }
}

/// How scenes are composed. The default is the world as it is; the early stages of a base's training look at easier scenes.
package struct SceneParameters: Sendable, Equatable {
    package var objects: ClosedRange<Int> = 2...4
    /// Without a theme all categories are equally likely and partners mean nothing.
    package var themed = true
    /// Probability that the next object comes from all 24 categories.
    package var offTheme = 0.12
    /// Probability that the next object is the partner of the one before it.
    package var partner = 0.40
    /// Probability that an object has its category's usual colour; otherwise the six colours are equally likely.
    package var usualColor = 0.40

    package init(objects: ClosedRange<Int> = 2...4, themed: Bool = true, offTheme: Double = 0.12) {
        self.objects = objects
        self.themed = themed
        self.offTheme = offTheme
    }

    /// POPE asks about three present objects per picture, so its pictures have three or four.
    package static let evaluation = SceneParameters(objects: 3...4)
}

/// Scene number `index` of a (seed, split) is a pure function of these and the parameters.
package struct SceneGenerator: Sendable {
    package let seed: UInt64
    package let split: SceneSplit
    package let parameters: SceneParameters

    package init(seed: UInt64, split: SceneSplit, parameters: SceneParameters = SceneParameters()) {
        self.seed = seed
        self.split = split
        self.parameters = parameters
    }

    static let grid = 3
    static let sides = 14.0..<21.0

    package func random(_ index: Int, for purpose: SceneRandom.Purpose, epoch: Int = 0) -> SceneRandom {
        SceneRandom(seed: seed, split: split, index: index, purpose: purpose, epoch: epoch)
    }

    package func scene(_ index: Int) -> Scene {
        var random = random(index, for: .scene)
        let theme = random.element(of: Theme.allCases) ?? .kitchen
        let background = random.element(of: Tint.allCases) ?? .white
        let cells = Self.grid * Self.grid
        let low = min(max(1, parameters.objects.lowerBound), cells)
        let high = min(max(low, parameters.objects.upperBound), cells)
        let count = low + random.index(below: high - low + 1)
        let places = random.sample(count, of: Array(0..<cells))

        var objects: [SceneObject] = []
        for place in places {
            let category = nextCategory(after: objects.map(\.category), theme: theme, random: &random)
            objects.append(object(category, cell: place, random: &random))
        }
        objects.sort { ($0.column, $0.y) < ($1.column, $1.y) }
        return Scene(theme: theme, background: background, objects: objects)
    }

    /// A category that is not there yet.
    private func nextCategory(after present: [Category], theme: Theme, random: inout SceneRandom) -> Category {
        let free = Category.allCases.filter { !present.contains($0) }
        let mates = free.filter { $0.theme == theme }
        let kind = random.unit()
        if parameters.themed && kind >= parameters.offTheme {
            if kind < parameters.offTheme + parameters.partner, let partner = present.last?.partner, free.contains(partner) {
                return partner
            }
            if let mate = random.element(of: mates) { return mate }
        }
        return random.element(of: free) ?? .cup  // nine cells never use up 24 categories
    }

    private func object(_ category: Category, cell: Int, random: inout SceneRandom) -> SceneObject {
        let width = Scene.extent / Double(Self.grid)
        let side = random.uniform(Self.sides)
        let (column, row) = (cell % Self.grid, cell / Self.grid)
        let any = random.element(of: ObjectColor.allCases) ?? category.usualColor
        return SceneObject(
            category: category, color: random.chance(parameters.usualColor) ? category.usualColor : any,
            column: column, row: row,
            x: Double(column) * width + random.unit() * (width - side),
            y: Double(row) * width + random.unit() * (width - side), side: side)
    }
}
