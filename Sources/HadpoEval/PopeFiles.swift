import HadpoBase

/// One yes-or-no question about a picture.
package struct PopeQuestion: Sendable, Equatable {
    package let id: Int
    package let image: String
    package let text: String
    package let isYes: Bool
    /// The split, where the file names it: questions of several splits may stand in one file.
    package let category: String?

    package init(id: Int, image: String, text: String, isYes: Bool, category: String? = nil) {
        self.id = id
        self.image = image
        self.text = text
        self.isYes = isYes
        self.category = category
    }

    /// A line of POPE's files, keys in their order.
    package var record: JSON {
        ["question_id": JSON(id), "image": .string(image), "text": .string(text), "label": isYes ? "yes" : "no"]
    }

    /// POPE's question files: JSON Lines whatever their suffix says, or a JSON array (the SEEM sets).
    package static func read(_ bytes: UnsafeRawBufferPointer, source: String) throws(HadpoError) -> [PopeQuestion] {
        var questions: [PopeQuestion] = []
        var room = MemoryRoom(for: "questions", at: source)
        try forEachRecord(bytes, source) { place, record throws(HadpoError) in
            let id = try record.popeInteger("question_id", place.text)
            let label = try record.popeText("label", place.text)
            guard ["yes", "no"].contains(label) else {
                throw HadpoError(.format, "no such label", at: place.text, found: "'\(label)'", expected: "'yes' or 'no'")
            }
            let question = PopeQuestion(
                id: id, image: try record.popeText("image", place.text), text: try record.popeText("text", place.text),
                isYes: label == "yes", category: record["category"]?.stringValue)
            try room.append(question, to: &questions)
        }
        return questions
    }

    package static func read(_ bytes: [UInt8], source: String) throws(HadpoError) -> [PopeQuestion] {
        try bytes.withUnsafeBytes { raw in Result { () throws(HadpoError) in try read(raw, source: source) } }.get()
    }
}

/// One answer as HA-DPO's scripts write it, and what other tools' records say beside it.
package struct PopeAnswer: Sendable {
    /// nil when the file has none, which only matching by position forgives.
    package let id: Int?
    package let question: String?
    package let text: String
    /// log p(yes) - log p(no) of the first answer token, for the area under the ROC curve.
    package let yesMinusNo: Double?
    /// What the record says of the question that it answers.
    package let claims: PopeClaims
    /// Where the record stands: a line from 1, or an element from 0.
    private let place: (number: Int, isElement: Bool)

    package init(
        id: Int?, question: String?, text: String, yesMinusNo: Double? = nil, claims: PopeClaims = PopeClaims(),
        place: (number: Int, isElement: Bool) = (0, false)
    ) {
        self.id = id
        self.question = question
        self.text = text
        self.yesMinusNo = yesMinusNo
        let asks = claims.question == nil && !(question ?? "").pythonStripped.isEmpty
        self.claims = asks ? claims.asking(question ?? "") : claims
        self.place = place
    }

    /// The same answer under another number.
    func renumbered(_ id: Int) -> PopeAnswer {
        PopeAnswer(id: id, question: question, text: text, yesMinusNo: yesMinusNo, claims: claims, place: place)
    }

    func place(in source: String) -> String { place.isElement ? "\(source)[\(place.number)]" : "\(source):\(place.number)" }

    /// How a line of an answers file begins.
    static let opening = "{\"question\": "

    /// A line of an answers file, keys in HA-DPO's order.
    package var record: JSON {
        var record: JSON = ["question": JSON(question), "answer": .string(text), "question_id": JSON(id)]
        if let yesMinusNo { record["yes_minus_no"] = .double(yesMinusNo) }
        return record
    }

    /// `dropTornLine` forgives what a killed run left at the end. LLaVA's answers stand under "text".
    package static func read(
        _ bytes: UnsafeRawBufferPointer, source: String, dropTornLine: Bool = false
    ) throws(HadpoError) -> [PopeAnswer] {
        var answers: [PopeAnswer] = []
        var room = MemoryRoom(for: "answers", at: source)
        try forEachRecord(bytes, source, dropTornLine: dropTornLine) { place, record throws(HadpoError) in
            let hasID = record["question_id"].map { !$0.isNull } ?? false
            let score = record["yes_minus_no"] ?? .null
            guard score.isNull || score.doubleValue != nil else {
                throw HadpoError(
                    .format, "mistyped value", at: "\(place.text) /yes_minus_no", found: score.kind, expected: "a number")
            }
            guard score.doubleValue?.isFinite ?? true else {
                throw HadpoError(
                    .format, "a score that is no number", at: "\(place.text) /yes_minus_no", expected: "a finite number, or null")
            }
            let key = record["answer"] == nil && record["label"] == nil && record["text"] != nil ? "text" : "answer"
            let answer = PopeAnswer(
                id: hasID ? try record.popeInteger("question_id", place.text) : nil, question: record["question"]?.stringValue,
                text: try record.popeText(key, place.text), yesMinusNo: score.doubleValue,
                claims: PopeClaims(record, answerKey: key), place: (place.number, place.isElement))
            try room.append(answer, to: &answers)
        }
        return answers
    }

    package static func read(
        _ bytes: [UInt8], source: String, dropTornLine: Bool = false
    ) throws(HadpoError) -> [PopeAnswer] {
        try bytes.withUnsafeBytes { raw in
            Result { () throws(HadpoError) in try read(raw, source: source, dropTornLine: dropTornLine) }
        }.get()
    }
}

extension PopeAnswer: Equatable {
    /// Wherever the records stand.
    package static func == (a: PopeAnswer, b: PopeAnswer) -> Bool {
        a.id == b.id && a.question == b.question && a.text == b.text && a.yesMinusNo == b.yesMinusNo && a.claims == b.claims
    }
}

private struct RecordPlace {
    let source: String
    let number: Int
    let isElement: Bool
    var text: String { isElement ? "\(source)[\(number)]" : "\(source):\(number)" }
}

/// The lines of a text, or the elements of its array, each with its place.
private func forEachRecord(
    _ bytes: UnsafeRawBufferPointer, _ source: String, dropTornLine: Bool = false,
    _ body: (_ place: RecordPlace, _ record: JSON) throws(HadpoError) -> Void
) throws(HadpoError) {
    if bytes.first(where: { $0 > 0x20 }) == UInt8(ascii: "[") {
        try JSON.elements(bytes, source: source) { index, element throws(HadpoError) in
            try body(RecordPlace(source: source, number: index, isElement: true), element)
            return true
        }
    } else {
        try JSONLines.forEach(bytes, source: source, dropTornLine: dropTornLine) { line throws(HadpoError) in
            try body(RecordPlace(source: source, number: line.number, isElement: false), line.value)
        }
    }
}

extension JSON {
    fileprivate func popeText(_ key: String, _ place: String) throws(HadpoError) -> String {
        guard let text = self[key]?.stringValue else { throw wrong(key, place, "a string") }
        return text
    }

    fileprivate func popeInteger(_ key: String, _ place: String) throws(HadpoError) -> Int {
        let value = self[key]
        if let number = value?.intValue { return number }
        // Some tools write their numbers in quotes; "007" and "+7" are nobody's.
        if let text = value?.stringValue, let number = Int(text), String(number).utf8.elementsEqual(text.utf8) { return number }
        throw wrong(key, place, "an integer")
    }

    private func wrong(_ key: String, _ place: String, _ expected: String) -> HadpoError {
        if let value = self[key] {
            return HadpoError(
                .format, "mistyped value", at: "\(place) /\(key)", found: "\(value.kind): \(value.text().shortened(to: 80))",
                expected: expected)
        }
        let found = objectValue == nil ? kind : "keys \(objectValue?.map(\.key).joined(separator: ", ") ?? "")"
        return HadpoError(.format, "no '\(key)'", at: place, found: found, expected: "'\(key)': \(expected)")
    }
}
