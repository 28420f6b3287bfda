import HadpoBase

/// One yes-or-no question about a picture.
package struct PopeQuestion: Sendable, Equatable {
    package let id: Int
    package let image: String
    package let text: String
    package let isYes: Bool

    package init(id: Int, image: String, text: String, isYes: Bool) {
        self.id = id
        self.image = image
        self.text = text
        self.isYes = isYes
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
            let id = try record.popeInteger("question_id", place)
            let label = try record.popeText("label", place)
            guard ["yes", "no"].contains(label) else {
                throw HadpoError(.format, "no such label", at: place, found: "'\(label)'", expected: "'yes' or 'no'")
            }
            let question = PopeQuestion(
                id: id, image: try record.popeText("image", place), text: try record.popeText("text", place),
                isYes: label == "yes")
            try room.append(question, to: &questions)
        }
        return questions
    }

    package static func read(_ bytes: [UInt8], source: String) throws(HadpoError) -> [PopeQuestion] {
        try bytes.withUnsafeBytes { raw in Result { () throws(HadpoError) in try read(raw, source: source) } }.get()
    }
}

/// One answer as HA-DPO's scripts write it.
package struct PopeAnswer: Sendable, Equatable {
    /// nil when the file has none, which only matching by position forgives.
    package let id: Int?
    package let question: String?
    package let text: String
    /// log p(yes) - log p(no) of the first answer token, for the area under the ROC curve.
    package let yesMinusNo: Double?

    package init(id: Int?, question: String?, text: String, yesMinusNo: Double? = nil) {
        self.id = id
        self.question = question
        self.text = text
        self.yesMinusNo = yesMinusNo
    }

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
                throw HadpoError(.format, "mistyped value", at: "\(place) /yes_minus_no", found: score.kind, expected: "a number")
            }
            let answer = PopeAnswer(
                id: hasID ? try record.popeInteger("question_id", place) : nil, question: record["question"]?.stringValue,
                text: try record.popeText(
                    record["answer"] == nil && record["label"] == nil && record["text"] != nil ? "text" : "answer", place),
                yesMinusNo: score.doubleValue)
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

/// The lines of a text, or the elements of its array, each with its place.
private func forEachRecord(
    _ bytes: UnsafeRawBufferPointer, _ source: String, dropTornLine: Bool = false,
    _ body: (_ place: String, _ record: JSON) throws(HadpoError) -> Void
) throws(HadpoError) {
    if bytes.first(where: { $0 > 0x20 }) == UInt8(ascii: "[") {
        try JSON.elements(bytes, source: source) { index, element throws(HadpoError) in
            try body("\(source)[\(index)]", element)
            return true
        }
    } else {
        try JSONLines.forEach(bytes, source: source, dropTornLine: dropTornLine) { line throws(HadpoError) in
            try body("\(source):\(line.number)", line.value)
        }
    }
}

extension JSON {
    fileprivate func popeText(_ key: String, _ place: String) throws(HadpoError) -> String {
        guard let text = self[key]?.stringValue else { throw wrong(key, place, "a string") }
        return text
    }

    fileprivate func popeInteger(_ key: String, _ place: String) throws(HadpoError) -> Int {
        guard let number = self[key]?.intValue else { throw wrong(key, place, "an integer") }
        return number
    }

    private func wrong(_ key: String, _ place: String, _ expected: String) -> HadpoError {
        let found = objectValue == nil ? kind : self[key]?.kind ?? "keys \(objectValue?.map(\.key).joined(separator: ", ") ?? "")"
        return HadpoError(.format, "no '\(key)'", at: place, found: found, expected: "'\(key)': \(expected)")
    }
}
