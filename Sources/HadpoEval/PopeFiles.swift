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
    package static func read(_ bytes: [UInt8], source: String) throws(HadpoError) -> [PopeQuestion] {
        var questions: [PopeQuestion] = []
        for (place, record) in try popeRecords(bytes, source) {
            let id = try record.popeInteger("question_id", place)
            let label = try record.popeText("label", place)
            guard ["yes", "no"].contains(label) else {
                throw HadpoError(.format, "no such label", at: place, found: "'\(label)'", expected: "'yes' or 'no'")
            }
            questions.append(
                PopeQuestion(
                    id: id, image: try record.popeText("image", place), text: try record.popeText("text", place),
                    isYes: label == "yes"))
        }
        return questions
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
        _ bytes: [UInt8], source: String, dropTornLine: Bool = false
    ) throws(HadpoError) -> [PopeAnswer] {
        var answers: [PopeAnswer] = []
        for (place, record) in try popeRecords(bytes, source, dropTornLine: dropTornLine) {
            let hasID = record["question_id"].map { !$0.isNull } ?? false
            let score = record["yes_minus_no"] ?? .null
            guard score.isNull || score.doubleValue != nil else {
                throw HadpoError(.format, "mistyped value", at: "\(place) /yes_minus_no", found: score.kind, expected: "a number")
            }
            answers.append(
                PopeAnswer(
                    id: hasID ? try record.popeInteger("question_id", place) : nil, question: record["question"]?.stringValue,
                    text: try record.popeText(
                        record["answer"] == nil && record["label"] == nil && record["text"] != nil ? "text" : "answer", place),
                    yesMinusNo: score.doubleValue))
        }
        return answers
    }
}

private func popeRecords(
    _ bytes: [UInt8], _ source: String, dropTornLine: Bool = false
) throws(HadpoError) -> [(place: String, record: JSON)] {
    if bytes.first(where: { $0 > 0x20 }) == UInt8(ascii: "[") {
        let elements = try JSON.parse(bytes, source: source).arrayValue ?? []
        return elements.enumerated().map { ("\(source)[\($0.offset)]", $0.element) }
    }
    return try JSONLines.parse(bytes, source: source, dropTornLine: dropTornLine).map { ("\(source):\($0.number)", $0.value) }
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
