import HadpoBase
import HadpoEval

/// Pictures with what was said about them: hallucinated sentences and words marked, wrong answers beside right ones. The pictures on
/// which most went wrong come first.
struct Gallery {
    private struct Card {
        let key: String
        var titles: [String]
        var said: [(role: Role, sentences: [SHRRecord])] = []
        var captions: [(role: Role, caption: CHAIRRecords.Caption)] = []
        private(set) var questions: [Question] = []
        var wrong = 0
        private var places: [Question.Content: Int] = [:]

        init(key: String, titles: [String]) { (self.key, self.titles) = (key, titles) }

        /// The same question with the same answers in several files is one.
        mutating func add(_ question: Question) {
            if let same = places[question.content] {
                questions[same].splits += question.splits
            } else {
                places[question.content] = questions.count
                questions.append(question)
                wrong += question.answers.count { question.isWrong($0) }
            }
        }
    }

    private struct Question {
        /// The question files that ask it.
        var splits: [String]
        let text: String
        let isYes: Bool
        var answers: [Answer] = []

        struct Content: Hashable {
            let text: String
            let isYes: Bool
            let answers: [Answer]
        }

        var content: Content { Content(text: text, isYes: isYes, answers: answers) }

        func isWrong(_ answer: Answer) -> Bool { answer.verdict != (isYes ? .yes : .no) }
    }

    private struct Answer: Hashable {
        let role: Role
        let text: String
        let verdict: PopeRule.Verdict
    }

    private let names: Names
    private let pictures: PictureFiles
    private var order: [String] = []
    private var cards: [String: Card] = [:]

    init(_ names: Names, _ pictures: PictureFiles) { (self.names, self.pictures) = (names, pictures) }

    /// One card a picture: POPE names files, SHR numbers images, and the file's contents make them one.
    private mutating func card(_ name: String, _ change: (inout Card) -> Void) throws(HadpoError) {
        let key = try pictures.identity(name)
        if cards[key] == nil {
            order.append(key)
            cards[key] = Card(key: key, titles: [])
        }
        guard var card = cards[key] else { return }
        cards[key] = nil
        if !card.titles.contains(name) { card.titles.append(name) }
        change(&card)
        cards[key] = card
    }

    // MARK: what was said

    mutating func add(_ pope: PopeAnswers, rule: PopeRule) throws(HadpoError) {
        for split in pope.splits {
            var asked: [Int: Question] = [:]
            var order: [(id: Int, image: String)] = []
            let runs: [(Role, [(question: PopeQuestion, answer: PopeAnswer)])] =
                split.baseline.isEmpty
                ? [(names.isPair ? .after : .single, split.run)] : [(.before, split.baseline), (.after, split.run)]
            for (role, pairs) in runs {
                for (question, answer) in pairs {
                    if asked[question.id] == nil {
                        order.append((question.id, question.image))
                        asked[question.id] = Question(
                            splits: [splitName(split.split.name)], text: question.text, isYes: question.isYes)
                    }
                    asked[question.id]?.answers.append(Answer(role: role, text: answer.text, verdict: rule.verdict(answer.text)))
                }
            }
            for (image, hash, answers) in split.pictures { try pictures.check(image, hash, of: answers) }
            for (id, image) in order {
                guard let question = asked[id] else { continue }
                try card(image) { $0.add(question) }
            }
        }
    }

    mutating func add(_ run: SHRScored, _ baseline: SHRScored?) throws(HadpoError) {
        for (role, scored) in [(Role.before, baseline), (baseline == nil && !names.isPair ? .single : .after, run)] {
            guard let scored else { continue }
            let recorded = try RecordedPictures.hashes(of: scored)
            var images: [String] = []
            var sentences: [String: [SHRRecord]] = [:]
            // Of several passes of the judge the first is shown.
            let pass = scored.records.first?.run
            for record in scored.records where record.run == pass {
                if sentences[record.image] == nil { images.append(record.image) }
                sentences[record.image, default: []].append(record)
            }
            for image in images {
                let all = sentences[image] ?? []
                if let hash = recorded.hashes[image] { try pictures.check(image, hash, of: recorded.path) }
                try card(image) { card in
                    card.said.append((role, all))
                    card.wrong += all.count { $0.classification == .hallucination }
                }
            }
        }
    }

    mutating func add(_ run: CHAIRRecords, _ baseline: CHAIRRecords?) throws(HadpoError) {
        for (role, records) in [(Role.before, baseline), (baseline == nil && !names.isPair ? .single : .after, run)] {
            for caption in records?.captions ?? [] where !caption.hallucinated.isEmpty {
                try card(caption.image) { card in
                    card.captions.append((role, caption))
                    card.wrong += caption.hallucinated.count
                }
            }
        }
    }

    // MARK: the page

    /// - Returns: nil where there is nothing to show, and what was shown and left out.
    func html(most: Int, partial: Bool) throws(HadpoError) -> (html: HTML?, json: JSON) {
        let all = order.compactMap { cards[$0] }
        // Stable: equal ones in the order of the files.
        let wrong = all.enumerated().filter { $0.element.wrong > 0 }.sorted {
            ($1.element.wrong, $0.offset) < ($0.element.wrong, $1.offset)
        }.map(\.element)
        let chosen = wrong.prefix(most)
        var shown: [HTML] = []
        for card in chosen { shown.append(try html(card)) }
        try pictures.requireFound(of: chosen.flatMap(\.titles), cards: chosen.count, partial: partial)
        var results = pictures.json
        results["pictures"] = JSON(all.count)
        results["with_something_wrong"] = JSON(wrong.count)
        results["cards"] = JSON(chosen.count)
        guard !chosen.isEmpty else { return (nil, results) }
        let place = Place(results, "/gallery")
        var notes: HTML =
            "\(place["cards"].count) of the \(place["with_something_wrong"].count) pictures with something wrong, out of \(place["pictures"].count); those with most come first."
        if pictures.leftOut > 0 {
            notes += " \(place["left_out"].count) pictures are named but not shown: together they would be too large."
        }
        if pictures.missing > 0 { notes += " \(place["missing"].count) were not in the folders given." }
        if pictures.broken > 0 { notes += " \(place["broken"].count) could not be read." }
        let html: HTML = """
            <p class="note">\(notes)</p>
            <ul class="marks"><li><span class="mark bad">\u{2717}</span> <em class="bad">hallucination</em>, or a wrong answer</li>\
            <li><span class="mark good">\u{2713}</span> right answer</li><li><span class="mark open">?</span> without a verdict</li></ul>
            <div class="cards">
            \(shown)</div>
            """
        return (html, results)
    }

    private func html(_ card: Card) throws(HadpoError) -> HTML {
        let title = card.titles.max { $0.utf8.count < $1.utf8.count } ?? card.key
        let others = card.titles.filter { $0 != title }.map { ", also \(shortened($0, 60))" }.joined()
        let picture: HTML
        let caption: HTML
        switch try pictures.show(card.titles) {
        case .shown(let shown):
            let words = "The picture \(shortened(title, 120)), \(shown.width) by \(shown.height) pixels"
            picture = "<img src=\"\(shown.source)\" alt=\"\(words)\" decoding=\"async\">"
            caption = "\(shown.width) \u{00D7} \(shown.height)\(others)"
        case .none(let why):
            picture = "<div class=\"nopicture\">\(why)</div>"
            caption = "\(others)"
        }
        return """
            <article class="card"><figure>\(picture)<figcaption>\(caption)</figcaption></figure><div>
            <h3>\(said(shortened(title, 120)))</h3>
            \(descriptions(card))\(captions(card))\(questions(card))</div></article>

            """
    }

    private func heading(_ what: String, _ role: Role) -> HTML {
        role == .single
            ? "<h4>\(what)</h4>" : "<h4>\(Chart.key(names.name(role), role))<span class=\"away\">: \(what)</span></h4>"
    }

    private func descriptions(_ card: Card) -> HTML {
        guard !card.said.isEmpty else { return "" }
        let columns = card.said.map { role, sentences -> HTML in
            let items = sentences.prefix(40).map(item)
            let more: HTML = sentences.count > 40 ? "<li class=\"why\">and \(sentences.count - 40) more</li>" : ""
            return "<div>\(heading("Description", role))<ol class=\"said\">\(items)\(more)</ol></div>"
        }
        return "<div class=\"pair\">\(columns)</div>\n"
    }

    private func item(_ record: SHRRecord) -> HTML {
        let text = said(shortened(record.text, 600))
        let why: HTML = record.judgement.map { "<small class=\"why\">\(said(shortened($0, 300)))</small>" } ?? ""
        switch record.classification {
        case .hallucination:
            return """
                <li class="bad"><span class="mark" aria-hidden="true">\u{2717}</span><span class="away">hallucination: </span>\
                <span class="words">\(text)</span>\(why)</li>
                """
        case .unjudged, .unrecognised:
            let outcome = record.classification == .unjudged ? outcomeWords(record.outcome) : "the verdict is none of the three"
            return """
                <li class="open"><span class="mark" aria-hidden="true">?</span><span class="away">no verdict: </span>\
                <span class="words">\(text)</span><small class="why">\(outcome)</small></li>
                """
        case .correct, .cannotJudge: return "<li>\(text)</li>"
        }
    }

    private func outcomeWords(_ name: String) -> String { String(name.map { $0 == "_" ? " " : $0 }) }

    private func captions(_ card: Card) -> HTML {
        guard !card.captions.isEmpty else { return "" }
        let columns = card.captions.map { role, caption -> HTML in
            var words: [HTML] = []
            for (word, node) in caption.hallucinated {
                words.append(
                    word == node ? "<em class=\"bad\">\(said(word))</em>" : "<em class=\"bad\">\(said(word))</em> (\(said(node)))"
                )
            }
            var listed: HTML = ""
            for (index, word) in words.enumerated() { listed += index == 0 ? word : ", \(word)" }
            return """
                <div>\(heading("Caption", role))<ol class="said"><li class="bad"><span class="mark" aria-hidden="true">\u{2717}</span>\
                \(said(shortened(caption.text, 1200)))<small class="why">not in the picture: \(listed)</small></li></ol></div>
                """
        }
        return "<div class=\"pair\">\(columns)</div>\n"
    }

    private func questions(_ card: Card) -> HTML {
        let wrong = card.questions.filter { question in question.answers.contains { question.isWrong($0) } }
        guard !wrong.isEmpty else { return "" }
        var roles: [Role] = []
        for answer in wrong.flatMap(\.answers) where !roles.contains(answer.role) { roles.append(answer.role) }
        roles.sort { a, _ in a == .before }
        let rows = wrong.prefix(24).map { question -> HTML in
            let cells = roles.map { role -> HTML in
                let given = question.answers.filter { $0.role == role }
                let label = role == .single ? "answer" : names.name(role)
                if given.isEmpty {
                    return "<td class=\"text\" data-label=\"\(label)\"><span class=\"none\">no answer</span></td>"
                }
                var cell: HTML = ""
                for answer in given {
                    let mark: HTML =
                        question.isWrong(answer)
                        ? "<span class=\"mark bad\" aria-hidden=\"true\">\u{2717}</span><span class=\"away\">wrong: </span>"
                        : "<span class=\"mark good\" aria-hidden=\"true\">\u{2713}</span><span class=\"away\">right: </span>"
                    let read: HTML = answer.verdict == .other ? "<small class=\"why\">neither yes nor no</small>" : ""
                    cell += "\(mark) \(said(shortened(answer.text, 160)))\(read) "
                }
                return "<td class=\"text\" data-label=\"\(label)\">\(cell)</td>"
            }
            return """
                <tr><th scope="row">\(said(shortened(question.text, 200)))<small class="why">\(said(question.splits.joined(separator: ", ")))</small></th>\
                <td class="text" data-label="truth">\(question.isYes ? "yes" : "no")</td>\(cells)</tr>

                """
        }
        let head = roles.map { role -> HTML in
            "<th scope=\"col\" class=\"text\">\(role == .single ? "answer" : names.name(role))</th>"
        }
        let more: HTML = wrong.count > 24 ? "<p class=\"note\">and \(wrong.count - 24) more questions</p>" : ""
        return """
            <div class="scroll" role="region" tabindex="0" aria-label="wrong answers"><table><caption><span>Answered wrongly: \
            \(wrong.count) of \(count(card.questions.count, "question", "questions"))</span></caption>
            <thead><tr><th scope="col" class="text">Question</th><th scope="col" class="text">Truth</th>\(head)</tr></thead>
            <tbody>\(Array(rows))</tbody></table></div>\(more)

            """
    }
}
