import HadpoBase

/// Descriptions measured against the annotation: SHR with a judge who knows the picture. Scores add up over pictures.
package struct DescriptionScore: Sendable, Equatable {
    package var descriptions = 0
    package var sentences = 0
    /// Sentences that name a category which is not in the picture. Wrong colours, sides and sizes and repetitions do not count.
    package var sentencesNamingAbsent = 0
    package var descriptionsNamingAbsent = 0
    package var words = 0
    package var present = 0
    package var presentMentioned = 0
    /// Of the mentioned objects, those whose first full sentence has the annotated colour and side.
    package var rightAttributes = 0

    package init() {}

    package init(_ text: String, of scene: Scene) {
        let parsed = ParsedDescription(text)
        descriptions = 1
        sentences = parsed.sentences.count
        sentencesNamingAbsent = parsed.sentences.count { $0.namesAbsent(from: scene) }
        descriptionsNamingAbsent = sentencesNamingAbsent > 0 ? 1 : 0
        words = text.split { " \n\t\r".contains($0) }.count
        present = scene.objects.count
        for object in scene.objects {
            guard parsed.sentences.contains(where: { $0.claimed.contains(object.category) }) else { continue }
            presentMentioned += 1
            let full = parsed.sentences.lazy.compactMap(\.statement).first { statement in
                if case .object(object.category, _, _) = statement { true } else { false }
            }
            if full == object.statement { rightAttributes += 1 }
        }
    }

    package static func += (total: inout DescriptionScore, one: DescriptionScore) {
        total.descriptions += one.descriptions
        total.sentences += one.sentences
        total.sentencesNamingAbsent += one.sentencesNamingAbsent
        total.descriptionsNamingAbsent += one.descriptionsNamingAbsent
        total.words += one.words
        total.present += one.present
        total.presentMentioned += one.presentMentioned
        total.rightAttributes += one.rightAttributes
    }

    /// All ratios are 0 when nothing was counted.
    package var hallucinatedSentenceRatio: Double { ratio(sentencesNamingAbsent, sentences) }
    package var hallucinatedDescriptionRatio: Double { ratio(descriptionsNamingAbsent, descriptions) }
    package var coverage: Double { ratio(presentMentioned, present) }
    package var attributeAccuracy: Double { ratio(rightAttributes, presentMentioned) }
    package var sentencesPerDescription: Double { ratio(sentences, descriptions) }
    package var wordsPerDescription: Double { ratio(words, descriptions) }

    private func ratio(_ part: Int, _ whole: Int) -> Double { whole == 0 ? 0 : Double(part) / Double(whole) }
}

extension DescriptionScore {
    package var report: JSON {
        [
            "descriptions": JSON(descriptions), "sentences": JSON(sentences),
            "hallucinated_sentences_ratio": JSON(hallucinatedSentenceRatio),
            "hallucinated_descriptions_ratio": JSON(hallucinatedDescriptionRatio),
            "sentences_per_description": JSON(sentencesPerDescription), "words_per_description": JSON(wordsPerDescription),
            "coverage": JSON(coverage), "attribute_accuracy": JSON(attributeAccuracy),
        ]
    }
}
