import HadpoBase
import HadpoTrain
import HadpoTestSupport
import Testing

@Suite struct ReadingSampleFiles {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        try folder.write("img/a.png", "picture")
    }

    private var images: String { folder.path + "/img" }
    private var pictures: PictureFolder { PictureFolder(images, outside: false) }

    @Test("pairs of one's own are read with questions, raw prompts, ids and extra keys") func pairs() throws {
        let file = try folder.write(
            "pairs.jsonl",
            """
            {"schema": "hadpo.pairs/1"}
            {"image": "a.png", "question": "What?", "chosen": "yes", "rejected": "no", "note": [1]}

            {"image": "a.png", "prompt": "USER: <image>\\nWhat? ASSISTANT:", "chosen": "é", "rejected": "e", "id": "own"}
            {"image": "./a.png", "question": "What?", "chosen": "1", "rejected": "2", "id": 12}
            """)
        let set = try SampleFiles.readPairs(file, pictures: pictures)
        #expect(set.problems.isEmpty)
        #expect(set.samples.map(\.id) == ["0", "own", "12"])
        #expect(set.samples.map(\.source.line) == [2, 4, 5])
        #expect(set.samples[1].prompt == .raw("USER: <image>\nWhat? ASSISTANT:"))
        #expect(set.samples.allSatisfy { File.isFile($0.imagePath) && $0.kind == .pair })
    }

    @Test("every kind of unusable pair is named with its line and reason") func problems() throws {
        let cases: [(String, String)] = [
            (#""image": "a.png", "question": "q", "chosen": "", "rejected": "r""#, "empty chosen"),
            (#""image": "a.png", "question": "q", "chosen": "c", "rejected": " \n\t""#, "empty rejected"),
            (#""image": "a.png", "question": "q", "chosen": "s", "rejected": "s""#, "chosen and rejected are the same text"),
            (#""image": "b.png", "question": "q", "chosen": "c", "rejected": "r""#, "missing picture '\(images)/b.png'"),
            (#""image": "", "question": "q", "chosen": "c", "rejected": "r""#, "'image' is not the name of a picture"),
            (
                #""image": "../img/a.png", "question": "q", "chosen": "c", "rejected": "r""#,
                "a picture's name leads out of its folder: '../img/a.png' (\"outside\": true allows it)"
            ),
            (#""question": "q", "chosen": "c", "rejected": "r""#, "'image' is not the name of a picture"),
            (#""image": "a.png", "question": "q", "chosen": "a<image>", "rejected": "r""#, "chosen contains '<image>'"),
            (
                #""image": "a.png", "question": "q", "chosen": "c", "rejected": "x ASSISTANT: y""#,
                "rejected contains ' ASSISTANT: '"
            ),
            (#""image": "a.png", "question": "q", "chosen": "c</s>\u0301", "rejected": "r""#, "chosen contains '</s>'"),
            (#""image": "a.png", "question": "<image> q", "chosen": "c", "rejected": "r""#, "question contains '<image>'"),
            (
                #""image": "a.png", "prompt": "no picture", "chosen": "c", "rejected": "r""#,
                "prompt contains '<image>' 0 times instead of once"
            ),
            (
                #""image": "a.png", "question": "q", "prompt": "p", "chosen": "c", "rejected": "r""#,
                "both 'question' and 'prompt' are given"
            ),
            (#""image": "a.png", "chosen": "c", "rejected": "r""#, "neither 'question' nor 'prompt' is a text"),
            (#""image": "a.png", "question": "q", "choosen": "c", "rejected": "r""#, "'chosen' is not a text"),
            (#""image": "a.png", "question": "q", "chosen": "c", "rejected": 1"#, "'rejected' is not a text"),
        ]
        let lines =
            cases.map { "{\($0.0)}" } + [
                "[1]", #"{"id": "0", "image": "a.png", "question": "q", "chosen": "c", "rejected": "r"}"#,
            ]
        let file = try folder.write("bad.jsonl", lines.joined(separator: "\n"))
        let set = try SampleFiles.readPairs(file, pictures: pictures)
        #expect(set.samples.isEmpty)
        #expect(
            set.problems.map(\.reason) == cases.map(\.1) + ["the line is an array instead of an object", "the id is used twice"])
        #expect(set.problems.map(\.source.line) == Array(1...18))
    }

    @Test("samples for supervised training carry weights") func samples() throws {
        let file = try folder.write(
            "s.jsonl",
            """
            {"image": "a.png", "question": "q", "answer": "x"}
            {"image": "a.png", "question": "q", "answer": "y", "weight": 0.5}
            {"image": "a.png", "question": "q", "answer": "y", "weight": -1}
            {"image": "a.png", "question": "q", "answer": "y", "weight": "1"}
            {"image": "a.png", "question": "q"}
            """)
        let set = try SampleFiles.readSamples(file, pictures: pictures)
        #expect(set.samples.map(\.weight) == [1, 0.5])
        #expect(
            set.problems.map(\.reason) == ["weight -1.0 is not 0 or more", "'weight' is not a number", "'answer' is not a text"])
    }

    @Test("broken JSON names its line and another schema is refused") func broken() throws {
        let file = try folder.write("x.jsonl", "{\"image\": \"a.png\"}\n{\"image\": }\n")
        let error = #expect(throws: HadpoError.self) { try SampleFiles.readPairs(file, pictures: pictures) }
        #expect(error?.place == "\(file):2:11 /image")
        let other = try folder.write("y.jsonl", "{\"schema\": \"hadpo.samples/1\"}\n")
        #expect(throws: HadpoError.self) { try SampleFiles.readPairs(other, pictures: pictures) }
    }
}

@Suite struct OrderingSamples {
    @Test("file order is the file's and a shuffle is the documented permutation of its epoch") func shuffle() throws {
        #expect(try SampleOrder(count: 5, kind: .file, seed: 1).indices(epoch: 3) == [0, 1, 2, 3, 4])
        let order = try SampleOrder(count: 100, kind: .shuffled, seed: 1)
        var random = Philox(seed: 1, stream: 2)
        #expect(order.indices(epoch: 2) == random.permutation(100))
        #expect(order.indices(epoch: 2) == order.indices(epoch: 2))
        #expect(order.indices(epoch: 2) != order.indices(epoch: 1))
        #expect(try SampleOrder(count: 100, kind: .shuffled, seed: 2).indices(epoch: 2) != order.indices(epoch: 2))
        // From an independent implementation in Python; a change here would change every training that resumes.
        #expect(try SampleOrder(count: 8, kind: .shuffled, seed: 42).indices(epoch: 0) == [0, 2, 4, 1, 6, 5, 7, 3])
    }

    @Test("processes share an epoch equally and together see every sample") func processes() throws {
        let whole = try SampleOrder(count: 10, kind: .shuffled, seed: 5).indices(epoch: 0)
        let shares = try (0..<4).map {
            try SampleOrder(count: 10, kind: .shuffled, seed: 5, rank: $0, worldSize: 4).indices(epoch: 0)
        }
        #expect(shares.map(\.count) == [3, 3, 3, 3])
        let dealt = (0..<12).map { place in shares[place % 4][place / 4] }
        #expect(dealt == whole + Array(whole[..<2]))
        #expect(try SampleOrder(count: 0, kind: .shuffled, seed: 5).indices(epoch: 0).isEmpty)
        #expect(try SampleOrder(count: 2, kind: .file, seed: 5, rank: 4, worldSize: 5).indices(epoch: 0) == [0])
        for (rank, world) in [(1, 1), (-1, 2), (0, 0), (0, -3)] {
            #expect(throws: HadpoError.self) { try SampleOrder(count: 1, kind: .file, seed: 0, rank: rank, worldSize: world) }
        }
    }
}
