/// What is said about pictures: requests, questions, answers and descriptions, in plain English.
package enum WorldLanguage {
    /// HA-DPO's four requests for a description, in upstream's order; the first is the one used for evaluation.
    package static let descriptionRequests = [
        "Describe this image in detail.",
        "Take a look at this image and describe what you notice.",
        "Please provide a detailed description of the picture.",
        "Could you describe the contents of this image for me?",
    ]

    package static let descriptionRequest = "Describe this image in detail."

    static func article(before word: String) -> String {
        guard let first = word.first else { return "a" }
        return "aeiou".contains(first) ? "an" : "a"
    }

    static func phrase(_ side: Side) -> String {
        switch side {
        case .left: "on the left"
        case .middle: "in the middle"
        case .right: "on the right"
        }
    }

    /// POPE's template.
    package static func question(_ category: Category) -> String {
        "Is there \(article(before: category.rawValue)) \(category.rawValue) in the image?"
    }

    package static func answer(_ category: Category, yes: Bool) -> String {
        yes
            ? "Yes, there is \(article(before: category.rawValue)) \(category.rawValue) in the image."
            : "No, there is no \(category.rawValue) in the image."
    }

    package static func text(_ statements: [Statement]) -> String {
        statements.map(\.sentence).joined(separator: " ")
    }

    /// Every sentence that the world can utter or be asked, once each: the vocabulary's source.
    package static var allSentences: [String] {
        var sentences: [String] = []
        for category in Category.allCases {
            for side in Side.allCases {
                sentences += ObjectColor.allCases.map { Statement.object(category, $0, side).sentence }
            }
            sentences += ObjectSize.allCases.map { Statement.size(category, $0).sentence }
            sentences += [question(category), answer(category, yes: true), answer(category, yes: false)]
        }
        return sentences + Tint.allCases.map { Statement.background($0).sentence } + descriptionRequests
    }
}
