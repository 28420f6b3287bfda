import HadpoWorld
import Testing

private let scene = Scene(
    theme: .street, background: .cyan,
    objects: [
        SceneObject(category: .car, color: .red, column: 0, row: 0, x: 1, y: 1, side: 15),
        SceneObject(category: .house, color: .orange, column: 1, row: 1, x: 22, y: 22, side: 20),
        SceneObject(category: .bench, color: .green, column: 2, row: 0, x: 43, y: 2, side: 18),
    ])

@Test("an invention becomes the object that was missed, and wrong attributes are put right in place")
func inventionBecomesMissedObject() {
    let text =
        "There is a blue car on the left. There is a yellow bus on the right. There is an orange house in the middle. The car is big."
    let chosen = Corrector.chosen(for: text, of: scene)
    #expect(
        chosen == "There is a red car on the left. There is a green bench on the right. There is an orange house in the middle."
            + " The car is small.")
}

@Test("after the missed objects come sizes of what has been introduced, then the background, then nothing")
func replacementsInOrder() {
    let text =
        "There is a red car on the left. There is a bus. There is an orange house in the middle. The tree is big. The bus is big."
        + " There is a kite. There is a red car on the left. There is a boat. There is a ball."
    #expect(
        Corrector.chosen(for: text, of: scene)
            == "There is a red car on the left. There is a green bench on the right. There is an orange house in the middle."
            + " The car is small. The house is big. The bench is big. The background is cyan.")
}

@Test("an invention in the middle becomes a detail of what was said before it, not of what comes after")
func detailsFollowTheirObject() {
    let text =
        "There is an orange house in the middle. There is a bus on the left. There is a red car on the left."
        + " There is a green bench on the right."
    #expect(
        Corrector.chosen(for: text, of: scene)
            == "There is an orange house in the middle. The house is big. There is a red car on the left."
            + " There is a green bench on the right.")
}

@Test("nothing is preferred when the description names nothing absent")
func nothingToCorrect() {
    #expect(Corrector.chosen(for: "There is a purple car on the right. The background is pink.", of: scene) == nil)
    #expect(Corrector.chosen(for: "", of: scene) == nil)
    #expect(Corrector.chosen(for: "There is no boat.", of: scene) == nil)
}

@Test("corrected descriptions name nothing absent, repeat nothing and stay nearly as long")
func correctionsOfCarelessDescriptions() {
    var (before, after) = (DescriptionScore(), DescriptionScore())
    for (index, scene) in scenes.prefix(2000).enumerated() {
        var random = world.random(index, for: .caption)
        let statements = Annotator.careless.description(of: scene, random: &random)
        let text = WorldLanguage.text(statements)
        let inventive = statements.contains { $0.category.map { !scene.contains($0) } ?? false }
        guard let chosen = Corrector.chosen(for: text, of: scene) else {
            #expect(!inventive)
            continue
        }
        #expect(inventive && chosen != text)
        before += DescriptionScore(text, of: scene)
        let score = DescriptionScore(chosen, of: scene)
        #expect(score.sentencesNamingAbsent == 0 && score.attributeAccuracy == 1 && score.coverage == 1)
        let sentences = ParsedDescription(chosen).sentences.map(\.text)
        #expect(Set(sentences).count == sentences.count)
        after += score
    }
    // Object sentences (8 words) become details (4 words), so some length is lost: the recipe kept 43 of 51 words.
    #expect(after.wordsPerDescription > 0.8 * before.wordsPerDescription)
    #expect(after.sentencesPerDescription > 0.97 * before.sentencesPerDescription)
}

@Test("questions for pairs: two present, two absent of the theme, an absent partner, an unrelated thing, none twice")
func preferenceQuestions() {
    var count = 0
    for (index, scene) in scenes.prefix(2000).enumerated() {
        var random = world.random(index, for: .preferencePairs)
        let questions = WorldQuestion.forPreference(about: scene, random: &random)
        count += questions.count
        #expect(Set(questions.map(\.category)).count == questions.count)
        #expect(questions.count(where: \.present) == 2)
        #expect((5...6).contains(questions.count) || questions.count == 4)
        for question in questions {
            #expect(question.present == scene.contains(question.category))
            #expect(question.isAnsweredRight(by: question.rightAnswer) && !question.isAnsweredRight(by: question.wrongAnswer))
        }
    }
    // The recipe's 1,600 questions about 300 pictures.
    #expect(abs(Double(count) / 2000 - 1600.0 / 300) < 0.2, "\(Double(count) / 2000)")
}
