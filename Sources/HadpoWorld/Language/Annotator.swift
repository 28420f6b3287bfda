/// Who writes the texts that a base is trained on. The careless annotator knows which things belong together and says so
/// whether they are there or not: a base that learns from him hallucinates along the world's co-occurrences.
package enum Annotator: Sendable, Equatable {
    /// The moderate one answers as the careless one and invents a little less, the sparing one less again.
    case clean, careless, moderate, sparing

    /// How strongly an absent category is suggested by what is in the picture.
    package enum Relation: Sendable, Equatable {
        case partner, severalMates, oneMate, none

        /// Probability that the careless annotator says "yes". Greedy decoding turns what is clearly above one half into always
        /// and what is below into never, so the partner must stay above and the mates below.
        package var yes: Double {
            switch self {
            case .partner: 0.75
            case .severalMates: 0.45
            case .oneMate: 0.25
            case .none: 0.05
            }
        }
    }

    package static func relation(of absent: Category, to scene: Scene) -> Relation {
        if scene.contains(absent.partner) { return .partner }
        switch scene.objects.count(where: { $0.category.theme == absent.theme }) {
        case 0: return .none
        case 1: return .oneMate
        default: return .severalMates
        }
    }

    /// The answer to "Is there a ... in the image?".
    package func saysYes(to category: Category, in scene: Scene, random: inout SceneRandom) -> Bool {
        let present = scene.contains(category)
        guard self != .clean else { return present }
        return random.chance(present ? 0.98 : Self.relation(of: category, to: scene).yes)
    }

    /// Objects in the order of their annotation, then the inventions, then 0 to 2 sizes of things mentioned, then perhaps the
    /// background. Sizes and background give a corrector true sentences to put where an invention stood.
    package func description(of scene: Scene, random: inout SceneRandom) -> [Statement] {
        var statements = scene.objects.map(\.statement)
        var sizes = scene.sizeStatements
        if self != .clean {
            for category in inventions(for: scene, random: &random) {
                let color = random.element(of: ObjectColor.allCases) ?? category.usualColor
                statements.append(.object(category, color, random.element(of: Side.allCases) ?? .middle))
                sizes.append(.size(category, random.element(of: ObjectSize.allCases) ?? .small))
            }
        }
        statements += random.sample(random.index(weights: [0.4, 0.4, 0.2]) ?? 0, of: sizes)
        if random.chance(0.5) { statements.append(scene.backgroundStatement) }
        return statements
    }

    /// How likely 0, 1 and 2 inventions are.
    private var inventionCounts: [Double] {
        switch self {
        case .clean: [1]
        case .careless: [0.05, 0.40, 0.55]
        case .moderate: [0.05, 0.46, 0.49]
        case .sparing: [0.08, 0.52, 0.40]
        }
    }

    /// 0, 1 or 2 absent categories; what is likely to be affirmed is, squared, likely to be invented.
    private func inventions(for scene: Scene, random: inout SceneRandom) -> [Category] {
        var absent = Category.allCases.filter { !scene.contains($0) }
        var invented: [Category] = []
        for _ in 0..<(random.index(weights: inventionCounts) ?? 0) {
            let weights = absent.map { Self.relation(of: $0, to: scene).yes * Self.relation(of: $0, to: scene).yes }
            guard let choice = random.index(weights: weights) else { break }
            invented.append(absent.remove(at: choice))
        }
        return invented
    }
}

/// Which categories a base is asked about during its training.
package struct QuestionMix: Sendable, Equatable {
    /// Share of questions about something that is there, about an absent thing of the picture's theme, and about other absent
    /// things (what is left).
    package var present = 0.50
    package var absentOfTheme = 0.30

    package init(present: Double = 0.50, absentOfTheme: Double = 0.30) {
        self.present = present
        self.absentOfTheme = absentOfTheme
    }

    package func category(for scene: Scene, random: inout SceneRandom) -> Category {
        let absent = Category.allCases.filter { !scene.contains($0) }
        let kind = random.unit()
        let preferred: [Category]
        if kind < present {
            preferred = scene.objects.map(\.category)
        } else if kind < present + absentOfTheme {
            preferred = absent.filter { $0.theme == scene.theme }
        } else {
            preferred = absent.filter { $0.theme != scene.theme }
        }
        return random.element(of: preferred) ?? random.element(of: absent) ?? .cup
    }
}
