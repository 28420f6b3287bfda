import HadpoBase
import HadpoEval
import HadpoModels
import HadpoTensor
import HadpoText
import HadpoVision
import Testing
import HadpoTestSupport

/// A fixture model, six questions on two of its pictures in mixed order, and a folder that goes away.
private final class PopeSubject {
    let fixtures = File.join(File.folder(of: File.folder(of: #filePath)), "Fixtures/llava")
    let folder: TemporaryFolder
    let model: LLaVA15

    /// - Parameter words: the tokenizer has words for yes and no, as real ones do; the fixture's begins both with the same token.
    init(_ name: String = "old-f32", words: Bool = false) throws {
        folder = try TemporaryFolder()
        let device = try Device(numerics: .exact)
        let checkpoint = try LLaVAFolder(
            ModelFiles(path: File.join(fixtures, name)), arena: device.arena, progress: SilentProgress())
        let opened = try checkpoint.openLLaVA(device: device, processor: .pad, progress: SilentProgress())
        model =
            words
            ? try LLaVA15(
                config: checkpoint.config, source: checkpoint.parameters(device: device), device: device,
                tokenizer: WordTokenizer(base: opened.tokenizer), pipeline: opened.pipeline) : opened
        for picture in ["wide.jpg", "tall.png"] {
            try File.writeAtomically(folder[picture], try File.read(File.join(fixtures, "pictures/" + picture)))
        }
        try write("questions.json", PopeSubject.questions)
    }

    static let questions = [
        PopeQuestion(id: 1, image: "wide.jpg", text: "Is there a dog in the image?", isYes: true),
        PopeQuestion(id: 2, image: "tall.png", text: "Is there a dog in the image?", isYes: false),
        PopeQuestion(id: 3, image: "wide.jpg", text: "Is there a table in the image?", isYes: true),
        PopeQuestion(id: 4, image: "wide.jpg", text: "Is there a cat in the image?", isYes: false),
        PopeQuestion(id: 5, image: "tall.png", text: "Is there a cup in the image?", isYes: true),
        PopeQuestion(id: 6, image: "tall.png", text: "Is there a man in the image?", isYes: false),
    ]

    func write(_ name: String, _ questions: [PopeQuestion]) throws {
        try folder.write(name, questions.map { $0.record.text() + "\n" }.joined())
    }

    func run(_ keys: [JSON.Member] = [], answers: String = "answers.jsonl", progress: any Progress = SilentProgress()) throws
        -> JSON
    {
        let config = try ConfigReader.read(
            .object(
                [
                    .init("schema", "hadpo.pope/1"), .init("questions", .string(folder["questions.json"])),
                    .init("images", .string(folder.path)), .init("answers", .string(folder[answers])),
                    .init("max_new_tokens", 10),
                ] + keys), schema: "hadpo.pope/1", PopeRunConfig.init
        ).config
        return try PopeRun.run(model: model, config: config, progress: progress)
    }
}

/// The fixture's tokenizer with two words more, in the two rows of the embedding that no token has.
private struct WordTokenizer: Tokenizer {
    let base: any Tokenizer
    var vocabularyCount: Int { 344 }
    var bosID: Int32? { base.bosID }
    var eosID: Int32? { base.eosID }
    var padID: Int32? { base.padID }
    var unkID: Int32? { base.unkID }
    var fingerprint: String { base.fingerprint + " words" }
    func id(ofPiece piece: String) -> Int32? { base.id(ofPiece: piece) }
    func isAdded(_ id: Int32) -> Bool { base.isAdded(id) }
    func makeTextDecoder(skipSpecial: Bool) -> any TextDecoding { base.makeTextDecoder(skipSpecial: skipSpecial) }

    func encode(_ text: String, addBOS: Bool) -> [Int32] {
        var ids = base.encode(text, addBOS: addBOS)
        for (word, id) in [("Yes", Int32(342)), ("No", 343)] {
            let pieces = base.encode(word, addBOS: false)
            if let place = ids.indices.first(where: { ids[$0...].starts(with: pieces) }) {
                ids.replaceSubrange(place..<place + pieces.count, with: [id])
            }
        }
        return ids
    }
}

private final class Listener: Progress {
    var records: [JSON] = []
    func tick() throws(HadpoError) {}
    func emit(_ record: JSON) throws(HadpoError) { records.append(record) }
}

@Suite struct PopeRunTests {
    @Test("answers are those of each question asked alone, whatever the batch", arguments: ["none", "hadpo"])
    func alone(_ compat: String) throws {
        let subject = try PopeSubject()
        let report = try subject.run([.init("compat", .string(compat))])
        let lines = try subject.folder.lines("answers.jsonl")
        #expect(lines.map { $0["question_id"]?.intValue } == [1, 2, 3, 4, 5, 6])
        for (question, line) in zip(PopeSubject.questions, lines) {
            let request = try ConfigReader.read(
                ["schema": "hadpo.generate/1", "question": .string(question.text), "max_new_tokens": 10],
                schema: "hadpo.generate/1", GenerationConfig.init
            ).config
            let image = try RGBImage.decode(try File.read(subject.folder[question.image]))
            let answer = try Generation.run(model: subject.model, request: request, image: image, progress: SilentProgress())
            let ids = (answer["ids"]?.arrayValue ?? []).compactMap { $0.intValue.map(Int32.init) }
            let wanted = compat == "hadpo" ? subject.model.tokenizer.decodeStripped(ids) : answer["text"]?.stringValue
            #expect(line["answer"]?.stringValue == wanted)
            #expect(line["question"]?.stringValue == question.text)
        }
        #expect(Set(lines.map { $0["answer"]?.stringValue }).count > 1, "the answers do not tell anything apart")
        let whole = try File.read(subject.folder["answers.jsonl"])
        for batch in [1, 2, 7] {
            _ = try subject.run([.init("compat", .string(compat)), .init("batch", JSON(batch))], answers: "other.jsonl")
            #expect(try File.read(subject.folder["other.jsonl"]) == whole)
            try File.remove(subject.folder["other.jsonl"])
        }
        #expect(report["n"]?.intValue == 6)
        #expect(report["asked"]?.intValue == 6)
        #expect(
            report["protocol"]?["questions_sha256"]?.stringValue == SHA256.hex(try File.read(subject.folder["questions.json"])))
        // Without words for yes and no there is nothing to compare at the first token.
        #expect(report["roc_area"]?.isNull == true && lines[0]["yes_minus_no"] == nil)
    }

    @Test("yes_minus_no is the difference of the two first tokens' log-probabilities")
    func scores() throws {
        let subject = try PopeSubject(words: true)
        let report = try subject.run()
        #expect(report["roc_area"]?.doubleValue != nil)
        let lines = try subject.folder.lines("answers.jsonl")
        let question = PopeSubject.questions[4]
        func first(_ completion: String) throws -> Float {
            let request = try ConfigReader.read(
                ["schema": "hadpo.score/1", "question": .string(question.text), "completion": .string(completion)],
                schema: "hadpo.score/1", ScoringConfig.init
            ).config
            let image = try RGBImage.decode(try File.read(subject.folder[question.image]))
            return try Scoring.run(model: subject.model, request: request, image: image, progress: SilentProgress())[0]
        }
        // Logits here, log-probabilities there: their common denominator rounds in fp32.
        let difference = try #require(lines[4]["yes_minus_no"]?.doubleValue)
        #expect(try abs(difference - Double(first("Yes") - first("No"))) < 1e-5)
    }

    @Test("a cut run is continued, a torn line asked again, and the file ends as without the cut")
    func resume() throws {
        let subject = try PopeSubject()
        let first = try subject.run()
        let whole = try File.read(subject.folder["answers.jsonl"])
        var lines = whole.split(separator: 0x0A).map { Array($0) + [0x0A] }
        lines.swapAt(0, 4)
        try File.writeAtomically(subject.folder["answers.jsonl"], Array(lines[..<3].joined()) + lines[3].prefix(20))
        let listener = Listener()
        let second = try subject.run(progress: listener)
        #expect(try File.read(subject.folder["answers.jsonl"]) == whole)
        #expect(second["asked"]?.intValue == 3)
        #expect(second["resumed"]?.intValue == 3)
        #expect(second["accuracy"] == first["accuracy"])
        #expect(listener.records.contains { $0["event"] == "warning" })
        #expect(listener.records.last { $0["event"] == "progress" }?["done"]?.intValue == 3)

        let third = try subject.run()
        #expect(third["asked"]?.intValue == 0)
        #expect(try File.read(subject.folder["answers.jsonl"]) == whole)
    }

    @Test("a missing picture is named before work, an unreadable one when it comes, and nothing is lost")
    func pictures() throws {
        let subject = try PopeSubject()
        try subject.write(
            "questions.json", PopeSubject.questions + [PopeQuestion(id: 7, image: "none.jpg", text: "Is it?", isYes: true)])
        func error() -> HadpoError? {
            do { _ = try subject.run([.init("batch", 1)]) } catch { return error as? HadpoError }
            return nil
        }
        let missing = error()
        #expect(missing?.status == .io && missing?.place?.contains("question 7") == true)
        #expect(missing?.found?.contains("none.jpg") == true)
        #expect(try File.read(subject.folder["answers.jsonl"]).isEmpty)

        try File.writeAtomically(subject.folder["none.jpg"], "no picture")
        let unreadable = error()
        #expect(unreadable?.place?.contains("question 7") == true && unreadable?.place?.contains("none.jpg") == true)
        #expect(try subject.folder.lines("answers.jsonl").count == 6)
        try File.writeAtomically(subject.folder["none.jpg"], try File.read(subject.folder["wide.jpg"]))
        #expect(try subject.run()["asked"]?.intValue == 1)
    }

    @Test("an answers file of other questions is refused and stays as it is")
    func foreign() throws {
        let subject = try PopeSubject()
        let line = PopeAnswer(id: 1, question: "Another question?", text: "Yes").record.text() + "\n"
        try File.writeAtomically(subject.folder["answers.jsonl"], line)
        #expect(throws: HadpoError.self) { try subject.run() }
        #expect(try File.read(subject.folder["answers.jsonl"]) == Array(line.utf8))
    }

    @Test("what two killed runs left is read: pieces in the middle, answers twice; two different answers are for a person")
    func leftBehind() throws {
        let subject = try PopeSubject()
        _ = try subject.run()
        let whole = try File.read(subject.folder["answers.jsonl"])
        let lines = whole.split(separator: 0x0A).map { Array($0) + [0x0A] }
        // Line 2 is a piece of the fourth answer with the third behind it; line 4 is the first again.
        let left = lines[0] + lines[3].prefix(40) + lines[2] + lines[1] + lines[0] + lines[5].prefix(10)
        try File.writeAtomically(subject.folder["answers.jsonl"], left)
        let listener = Listener()
        let report = try subject.run(progress: listener)
        #expect(report["asked"] == 3 && report["resumed"] == 3)
        #expect(try File.read(subject.folder["answers.jsonl"]) == whole)
        let messages = listener.records.compactMap { $0["event"] == "warning" ? $0["message"]?.stringValue : nil }
        #expect(messages.contains { $0.contains("in lines 2, 5 of ") } && messages.contains { $0.hasPrefix("line 4 of ") })

        let other = Array(String(decoding: lines[0], as: UTF8.self).replacing("\"answer\": \"", with: "\"answer\": \"x").utf8)
        try File.writeAtomically(subject.folder["answers.jsonl"], whole + other)
        let error = #expect(throws: HadpoError.self) { try subject.run() }
        #expect(error?.place?.hasSuffix("answers.jsonl:7") == true && error?.found?.contains("which line 1 has") == true)
        #expect(try File.read(subject.folder["answers.jsonl"]) == whole + other)
    }

    @Test("a second run on an answers file is refused while the first has it, and somebody's text stays as it is")
    func busy() throws {
        let subject = try PopeSubject()
        do {
            let first = try LineAppender(subject.folder["answers.jsonl"])
            let error = #expect(throws: HadpoError.self) { try subject.run() }
            #expect(error?.status == .busy && error?.place == subject.folder["answers.jsonl"])
            try first.sync()
        }
        #expect(try subject.run()["asked"] == 6)
        for text in ["notes of mine", "{\"notes\": 1}\n{\"of\": \"mine"] {
            try subject.folder.write("answers.jsonl", text)
            #expect(throws: HadpoError.self) { try subject.run() }
            #expect(try subject.folder.text("answers.jsonl") == text)
        }
    }

    @Test("a question file names pictures below the folder; others need the key, and nothing of a file is quoted")
    func outside() throws {
        let subject = try PopeSubject()
        try subject.folder.write("secret", "root:x:0:0 secret")
        try subject.folder.write("pictures/in.png", "root:x:0:0 secret")
        func error(_ name: String, _ keys: [JSON.Member] = []) throws -> HadpoError? {
            try subject.write("questions.json", [PopeQuestion(id: 1, image: name, text: "Is it?", isYes: true)])
            return #expect(throws: HadpoError.self) { try subject.run(keys) }
        }
        for name in ["pictures/../secret", subject.folder["secret"], "/" + subject.folder["wide.jpg"]] {
            let refused = try error(name)
            #expect(
                refused?.message == "a picture's name leads out of its folder"
                    && refused?.place?.hasPrefix("question 1 of") == true)
        }
        for (name, keys) in [("pictures/in.png", []), ("pictures/../secret", [.init("outside", true)])]
            as [(String, [JSON.Member])]
        {
            #expect(try error(name, keys)?.message == "neither a PNG nor a JPEG file")
        }
        try subject.write("questions.json", [PopeQuestion(id: 1, image: "pictures/../wide.jpg", text: "Is it?", isYes: true)])
        #expect(try subject.run([.init("outside", true)])["asked"] == 1)
    }

    @Test("several files in one call ask a shared question once, write each file's answers, and are continued")
    func several() throws {
        let subject = try PopeSubject()
        _ = try subject.run()
        let alone = try File.read(subject.folder["answers.jsonl"])
        // Questions 1 and 5 again under other ids, and one of its own.
        let second = [
            PopeQuestion(id: 1, image: "tall.png", text: "Is there a cup in the image?", isYes: true),
            PopeQuestion(id: 2, image: "wide.jpg", text: "Is there a dog in the image?", isYes: true),
            PopeQuestion(id: 3, image: "wide.jpg", text: "Is there a sofa in the image?", isYes: false),
        ]
        try subject.write("second.json", second)
        func further(_ answers: String) -> JSON.Member {
            .init(
                "further", [["questions": .string(subject.folder["second.json"]), "answers": .string(subject.folder[answers])]])
        }
        let report = try subject.run([further("b.jsonl")], answers: "a.jsonl")
        #expect(report["asked"] == 7 && report["resumed"] == 0)
        #expect(report["splits"]?[0]?["n"] == 6 && report["splits"]?[1]?["n"] == 3)
        #expect(try File.read(subject.folder["a.jsonl"]) == alone)
        let whole = try File.read(subject.folder["b.jsonl"])
        let lines = try JSONLines.parse(whole, source: "b").map(\.value)
        let first = try JSONLines.parse(alone, source: "a").map(\.value)
        #expect(lines.map { $0["question_id"] } == [1, 2, 3])
        #expect(lines[0]["answer"] == first[4]["answer"] && lines[1]["answer"] == first[0]["answer"])

        // Cut off within the second file's first line, the answers that the first file has are not asked for again.
        try File.writeAtomically(subject.folder["b.jsonl"], Array(whole.prefix(20)))
        let resumed = try subject.run([further("b.jsonl")], answers: "a.jsonl")
        #expect(resumed["asked"] == 1 && resumed["resumed"] == 6)
        #expect(try File.read(subject.folder["b.jsonl"]) == whole)
        #expect(throws: HadpoError.self) { try subject.run([further("a.jsonl")], answers: "a.jsonl") }
    }

    @Test("beams answer as each question alone")
    func beams() throws {
        let subject = try PopeSubject("new-bf16")
        _ = try subject.run([.init("num_beams", 3)])
        let lines = try subject.folder.lines("answers.jsonl")
        let question = PopeSubject.questions[3]
        let request = try ConfigReader.read(
            ["schema": "hadpo.generate/1", "question": .string(question.text), "max_new_tokens": 10, "num_beams": 3],
            schema: "hadpo.generate/1", GenerationConfig.init
        ).config
        let image = try RGBImage.decode(try File.read(subject.folder[question.image]))
        let answer = try Generation.run(model: subject.model, request: request, image: image, progress: SilentProgress())
        #expect(lines[3]["answer"] == answer["text"])
    }
}
