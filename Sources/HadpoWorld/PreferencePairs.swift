import HadpoEval

/// The world's corrector: what an annotator with the picture in front of him makes of a model's description.
package enum Corrector {
    /// The corrected description, or nil when the text names nothing absent (there is nothing to prefer then).
    ///
    /// A sentence about an object that is there keeps its place and gets the annotated colour, side or size. An invention, a
    /// repetition or a sentence that says nothing readable becomes the sentence of an object the model missed, else a true detail
    /// nobody mentions, else the background; when all is said it is dropped. Replacing instead of dropping keeps the length,
    /// without which the preferred answer would also be the shorter one.
    package static func chosen(for description: String, of scene: Scene) -> String? {
        let sentences = ParsedDescription(description).sentences
        guard sentences.contains(where: { $0.namesAbsent(from: scene) }) else { return nil }

        let kept = keepFirst(sentences.map { annotated($0, in: scene) })
        let said = Set(kept.compactMap { $0 })
        var missed = scene.objects.map(\.statement).filter { !said.contains($0) }
        var details = scene.sizeStatements.filter { !said.contains($0) }
        var background = said.contains(scene.backgroundStatement) ? [] : [scene.backgroundStatement]

        var corrected: [Statement] = []
        for statement in kept {
            if let statement {
                corrected.append(statement)
            } else if !missed.isEmpty {
                corrected.append(missed.removeFirst())
            } else if !details.isEmpty {
                // "The car is small." reads better after the car has been introduced.
                let introduced = details.firstIndex { detail in
                    corrected.contains { $0.category == detail.category }
                }
                corrected.append(details.remove(at: introduced ?? 0))
            } else if !background.isEmpty {
                corrected.append(background.removeFirst())
            }
        }
        return WorldLanguage.text(corrected)
    }

    /// The true sentence in the place of what was said; nil when the sentence is an invention or says nothing.
    private static func annotated(_ sentence: ParsedDescription.Sentence, in scene: Scene) -> Statement? {
        guard !sentence.namesAbsent(from: scene) else { return nil }
        switch sentence.statement {
        case .object(let category, _, _): return scene.object(of: category)?.statement
        case .size(let category, _): return scene.object(of: category)?.sizeStatement
        case .background: return scene.backgroundStatement
        case nil: return sentence.claimed.first.flatMap { scene.object(of: $0)?.statement }
        }
    }

    private static func keepFirst(_ statements: [Statement?]) -> [Statement?] {
        var seen: Set<Statement> = []
        return statements.map { statement in
            guard let statement, seen.insert(statement).inserted else { return nil }
            return statement
        }
    }
}

/// A question about a picture with the answer its annotation gives and the opposite one.
package struct WorldQuestion: Sendable, Equatable {
    package var category: Category
    package var present: Bool

    package init(category: Category, present: Bool) {
        self.category = category
        self.present = present
    }

    package var text: String { WorldLanguage.question(category) }
    package var rightAnswer: String { WorldLanguage.answer(category, yes: present) }
    package var wrongAnswer: String { WorldLanguage.answer(category, yes: !present) }

    /// Decided by POPE's official reading.
    package func isAnsweredRight(by answer: String) -> Bool { PopeRule.officialSaysYes(answer) == present }

    /// The questions from which preference pairs are mined: 2 present things, 2 absent ones of the theme, the absent partner of
    /// a present one, 1 unrelated.
    package static func forPreference(about scene: Scene, random: inout SceneRandom) -> [WorldQuestion] {
        let absent = Category.allCases.filter { !scene.contains($0) }
        var asked = random.sample(2, of: scene.objects.map(\.category))
        asked += random.sample(2, of: absent.filter { $0.theme == scene.theme })
        let partners = scene.objects.map(\.category.partner).filter { absent.contains($0) && !asked.contains($0) }
        asked += random.sample(1, of: partners)
        let unrelated = absent.filter {
            $0.theme != scene.theme && Annotator.relation(of: $0, to: scene) == .none && !asked.contains($0)
        }
        asked += random.sample(1, of: unrelated)
        return asked.map { WorldQuestion(category: $0, present: scene.contains($0)) }
    }
}
