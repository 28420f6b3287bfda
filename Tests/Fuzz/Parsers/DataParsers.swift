import CHadpo
import HadpoBase
import HadpoEval
import HadpoModels
import HadpoTrain

/// Files of questions, answers, annotations, pairs, verdicts and logs.
enum DataParsers {
    static let all: [Parser] = pope + training + shr + chair + reports

    // MARK: POPE

    private static let pope: [Parser] = [
        Parser("pope-questions") { bytes in
            let questions = try PopeQuestion.read(Array(bytes), source: "questions")
            let answers = questions.map { PopeAnswer(id: $0.id, question: $0.text, text: $0.text, yesMinusNo: 0.5) }
            for match in PopeScore.Match.allCases { _ = try? PopeScore(questions: questions, answers: answers, match: match) }
        },
        Parser("pope-answers") { bytes in
            let answers = try PopeAnswer.read(Array(bytes), source: "answers", dropTornLine: true)
            let questions = (1...4).map {
                PopeQuestion(id: $0, image: "\($0 / 2).jpg", text: "Is there a dog?", isYes: $0 % 2 == 0)
            }
            for match in PopeScore.Match.allCases { _ = try? PopeScore(questions: questions, answers: answers, match: match) }
            for answer in answers { for rule in PopeRule.allCases { _ = rule.verdict(answer.text) } }
        },
        Parser("pope-scenes", file: "scenes.json") { path in
            let scenes = try PopeScenes.read(path, format: .auto)
            for count in 1...3 {
                let builder = try PopeBuilder(scenes: scenes, imageCount: count, perScene: 2, seed: 1)
                for strategy in PopeBuilder.Strategy.allCases { _ = try? builder.questions(strategy) }
                _ = (builder.groundTruth, builder.coOccurrence)
            }
        },
        Parser("coco-instances", file: "instances.json") { path in _ = try PopeScenes.read(path, format: .coco) },
    ]

    // MARK: training

    private static let training: [Parser] = [
        Parser("pairs", file: "pairs.jsonl") { path in
            for form in PairForm.allCases { _ = try? SampleFiles.readPairs(path, pictures: pictures, form: form) }
            _ = try SampleFiles.readPairs(path, pictures: pictures, form: nil)
        },
        Parser("samples", file: "samples.jsonl") { path in _ = try SampleFiles.readSamples(path, pictures: pictures) },
        Parser("upstream-descriptions", file: "desc_data.json") { path in
            _ = try UpstreamPairs.read(descriptions: path, questions: nil, images: images)
        },
        Parser("upstream-questions", file: "pope_data.json") { path in
            _ = try UpstreamPairs.read(descriptions: nil, questions: path, images: images)
        },
        Parser("image-data", file: "image_data.json") { path in
            _ = try VisualGenomeImages(imageData: path, folder: pictures).count
        },
        Parser("aligned-captions", file: "filter_cap.json") { _ in _ = try AlignedCaptions.read(Scratch.folder, outside: false) },
        Parser("reference-cache", file: "reference.jsonl") { path in
            do {
                let cache = try ReferenceCache(identity: identity, path: path)
                for key in ["a", "b", ""] { _ = cache[key, count: 2] }
                try cache.store("a", [-1.5, -2.5])
            }  // closed: a cache has one user at a time
            // What a run adds must be there for the next.
            guard let again = try? ReferenceCache(identity: identity, path: path), again["a", count: 2] == [-1.5, -2.5] else {
                violated("what was added to a reference cache cannot be read")
            }
        },
    ]

    private static let pictures = PictureFolder("pictures", outside: false)

    private static let identity = ModelIdentity(
        family: "f", checkpoint: "c", verified: nil, network: "n", weights: "stored", adapter: nil, projector: nil, trained: nil,
        imagePipeline: "p", tokenizer: "t", prompts: "q", cache: "fp32", numerics: "exact",
        lastBits: .init(kernels: "k", version: "0"))

    /// Ids 1 to 3 exist.
    private static var images: VisualGenomeImages {
        get throws {
            let records: [JSON] = (1...3).map { ["image_id": JSON($0), "url": .string("https://x/VG_100K/\($0).jpg")] }
            Scratch.write("images.json", JSON.array(records).text())
            return try VisualGenomeImages(imageData: Scratch.path("images.json"), folder: pictures)
        }
    }

    // MARK: SHR

    private static let shr: [Parser] = [
        Parser("answers-identity", file: "answers.jsonl\(RecordOrigins.suffix)") { path in
            let records = String(path.dropLast(RecordOrigins.suffix.count))
            for origin in try RecordOrigins.read(beside: records)?.origins ?? [] { _ = try AnswersOrigin(origin, at: path) }
        },
        Parser("shr-descriptions", file: "descriptions.json") { path in
            let descriptions = try SHRDescriptions(path)
            for text in descriptions.texts.values {
                _ = SHRText.numbered(SHRText.sentences(text))
                for n in 1...4 { _ = SHRText.distinctGrams(text, n) }
            }
        },
        annotations("image-sizes", "image_data"), annotations("regions", "regions"),
        annotations("shr-images", "val_images"),
        Parser("shr-factual", file: "factual.jsonl") { path in
            try annotations(["factual": [.string(path)], "answers": ["1": "A dog."]])
        },
        Parser("shr-replies", file: "replies.jsonl") { path in
            let replies = try SHRReplies(path, key: { (id) throws(HadpoError) in id == "run0/1" ? "0123" : nil }).replies
            for case .text(let text) in replies.values { verdicts(text) }
        },
        Parser("shr-requests", file: "requests.jsonl") { path in
            for asked in try SHRAsked.read(path).values { _ = asked.match(["A dog."]) }
        },
        Parser("shr-verdicts", .bytes) { bytes in verdicts(String(decoding: bytes, as: UTF8.self)) },
        Parser("shr-sentences", file: "sentences.jsonl") { path in
            for record in try SHRRecord.read(path) { _ = (record.words, record.json) }
            try CInterface.run(hadpo_shr_agree, ["schema": "hadpo.shr-agree/1", "a": .string(path), "b": .string(path)])
        },
    ]

    private static func verdicts(_ text: String) {
        for count in [0, 1, 3] {
            _ = SHRVerdicts.upstream(text, sentences: count)
            _ = SHRVerdicts.corrected(text, sentences: count)
        }
    }

    /// A file of annotations under its key, and the requests that are made of it.
    private static func annotations(_ name: String, _ key: String) -> Parser {
        Parser(name, file: "\(name).json") { path in
            try annotations([key: .string(path), "answers": ["1": "A dog. A cat.", "2": "", "3": "Nothing."]])
        }
    }

    private static func annotations(_ changes: JSON) throws {
        var config: JSON = [
            "schema": "hadpo.shr-requests/1", "image_data": .string(Scratch.path("good-sizes.json")),
            "regions": .string(Scratch.path("good-regions.json")), "answers": .string(Scratch.path("good-answers.json")),
            "output": .string(Scratch.path("requests-out.jsonl")), "judge": ["model": "m"],
        ]
        Scratch.write(
            "good-sizes.json", #"[{"image_id": 1, "width": 100, "height": 50}, {"image_id": 2, "width": 7, "height": 9}]"#)
        Scratch.write(
            "good-regions.json",
            #"[{"id": 1, "regions": [{"image_id": 1, "x": 1, "y": 2, "width": 3, "height": 4, "phrase": "a dog"}]}]"#)
        for member in changes.objectValue ?? [] where member.key != "answers" { config[member.key] = member.value }
        Scratch.write("good-answers.json", (changes["answers"] ?? [:]).text())
        try CInterface.run(hadpo_shr_requests, config)
    }

    // MARK: CHAIR

    private static let chair: [Parser] = [
        Parser("chair-captions", file: "captions.json") { path in
            try chair(["captions": .string(path)])
        },
        Parser("chair-references", file: "references.json") { path in try chair(["references": [.string(path)]]) },
        Parser("chair-objects", file: "objects.json") { path in try chair(["objects": .string(path)]) },
        Parser("chair-synonyms", .bytes, file: "synonyms.txt") { path in
            _ = try ObjectWords(synonyms: path).mentions("Two hot dogs and a baby elephant beside the toilet seats.")
        },
        Parser("caption-text", .bytes) { bytes in
            let text = String(decoding: bytes, as: UTF8.self)
            let words = ObjectWords(words: ["dog", "cat", "hot dog"])
            _ = words.mentions(text)
            for word in words.tokens(text) { _ = Singular.of(word) }
        },
    ]

    private static func chair(_ changes: JSON) throws {
        Scratch.write("good-synonyms.txt", "dog, puppy\ncat, kitten\n")
        Scratch.write("good-captions.json", #"{"1": "A dog and a cat.", "2": "Puppies."}"#)
        Scratch.write("good-objects.json", #"{"1": ["dog"], "2": ["cat"]}"#)
        var config: JSON = [
            "schema": "hadpo.chair-score/1", "captions": .string(Scratch.path("good-captions.json")),
            "synonyms": .string(Scratch.path("good-synonyms.txt")), "objects": .string(Scratch.path("good-objects.json")),
            "resamples": 3,
        ]
        for member in changes.objectValue ?? [] { config[member.key] = member.value }
        try CInterface.run(hadpo_chair_score, config)
    }

    // MARK: reports

    private static let reports: [Parser] = [
        Parser("training-log", file: "log.jsonl") { path in try report(["training": [.string(path)]]) },
        Parser("chair-records", file: "records.jsonl") { path in try report(["chair": ["records": .string(path)]]) },
        Parser("shr-scored", file: "scored.jsonl") { path in try report(["shr": ["scored": .string(path)]]) },
        Parser("report-pope", file: "report-answers.jsonl") { path in
            Scratch.write(
                "good-questions.json",
                """
                {"question_id": 1, "image": "a.jpg", "text": "Is there a dog in the image?", "label": "yes"}
                {"question_id": 2, "image": "b.jpg", "text": "Is there a cat in the image?", "label": "no"}
                """)
            try report([
                "pope": ["splits": [["questions": .string(Scratch.path("good-questions.json")), "answers": .string(path)]]]
            ])
        },
    ]

    private static func report(_ part: JSON) throws {
        var config: JSON = [
            "schema": "hadpo.report/1", "output": .string(Scratch.path("report.html")), "resamples": 3, "cards": 2,
        ]
        for member in part.objectValue ?? [] { config[member.key] = member.value }
        if config["pope"] != nil { config["pope"]?["resamples"] = 3 }
        try CInterface.run(hadpo_report_write, config)
    }
}
