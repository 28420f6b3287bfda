import HadpoBase
import HadpoTrain
import HadpoTestSupport
import Testing

@Suite struct ReadingUpstreamPairs {
    private let folder: TemporaryFolder
    private let images: VisualGenomeImages
    private let lists: JSON = ["chosen": ["c0", "c1", "c2"], "rejected": ["r0", "r1", "r2"]]

    init() throws {
        folder = try TemporaryFolder()
        let records = (1...12).map { id -> JSON in
            ["image_id": JSON(id), "url": "https://cs.stanford.edu/people/rak248/VG_100K_2/\(id).jpg", "width": 8, "height": 8]
        }
        for id in 1...12 { try folder.write("VG_100K_2/\(id).jpg", "picture") }
        images = try VisualGenomeImages(
            imageData: folder.write("image_data.json", JSON.array(records).text()),
            folder: PictureFolder(folder.path, outside: false))
    }

    @Test("a picture's name is the last two components of its url below the folder") func pictures() {
        #expect(images.count == 12)
        #expect(images[7] == "VG_100K_2/7.jpg")
        #expect(images[13] == nil)
    }

    @Test("LLaVA's set is questions, descriptions, descriptions with Python's draws of seed 42") func llava() throws {
        // Keys in an order of their own: the file's order decides, not the numbers.
        let ids = [5, 12, 3, 1, 2, 4, 6, 7, 8, 9, 10, 11]
        let descriptions = try folder.write(
            "desc_data.json", JSON.object(ids.map { .init("\($0)", lists) }).text())
        let questions = try folder.write(
            "pope_data.json",
            """
            [{"image_id": "1", "question": "Is there a cat?", "chosen": "No.", "reject": "Yes.", "answer": "no", "correct": false},
             {"image_id": "2", "question": "Is there a dog?", "chosen": "No.", "reject": "Yes.", "answer": "no", "correct": true},
             {"image_id": 3, "question": "Is there a hat?", "chosen": "Yes,\\nthere is.", "rejected": "No."}]
            """)
        let set = try UpstreamPairs.read(descriptions: descriptions, questions: questions, images: images)
        #expect(set.problems.isEmpty)
        #expect(set.samples.count == 2 + 12 + 12)
        #expect(set.samples[0].prompt == .question("Is there a cat?"))
        #expect(set.samples[0].kind == .question && set.samples[0].rejected == "Yes.")
        #expect(set.samples[1].chosen == "Yes,\nthere is." && set.samples[1].source.index == 2)
        #expect(Array(set.samples[2..<14]) == Array(set.samples[14...]))
        let triples = [
            [2, 0, 0], [2, 1, 1], [0, 0, 0], [2, 2, 0], [2, 1, 0], [0, 0, 1], [0, 2, 0], [2, 0, 3], [0, 1, 2], [0, 0, 3],
            [1, 1, 1], [0, 1, 0],
        ]
        for (index, triple) in triples.enumerated() {
            let sample = set.samples[2 + index]
            #expect(sample.chosen == "c\(triple[0])" && sample.rejected == "r\(triple[1])")
            #expect(sample.prompt == .question(UpstreamPairs.questionTemplates[triple[2]]))
            #expect(sample.id == "\(ids[index])" && sample.kind == .description)
            #expect(sample.imagePath == folder.path + "/VG_100K_2/\(ids[index]).jpg")
        }
    }

    @Test("the array container gives the same pairs as the object") func containers() throws {
        let object = try folder.write("a.json", JSON.object((1...12).map { .init("\($0)", lists) }).text())
        let array = try folder.write(
            "b.json",
            JSON.array(
                (1...12).map {
                    ["image_id": JSON("\($0)"), "chosen": lists["chosen"] ?? [], "rejected": lists["rejected"] ?? []]
                }
            )
            .text())
        var reader = UpstreamPairs(images: images)
        let a = try reader.descriptionPairs(object).samples
        let b = try reader.descriptionPairs(array).samples
        #expect(a.count == 12)
        #expect(
            a.map { [$0.id, $0.chosen, $0.rejected, $0.prompt.text] }
                == b.map { [$0.id, $0.chosen, $0.rejected, $0.prompt.text] })
        let other = try reader.descriptionPairs(object, seed: 43).samples
        #expect(a.map(\.chosen) != other.map(\.chosen))
    }

    @Test("a sample that cannot be trained on is named and the others keep their draws") func problems() throws {
        let descriptions = try folder.write(
            "d.json",
            """
            {"1": {"chosen": ["c0", "c1", "c2"], "rejected": ["r0", "r1", "r2"]},
             "99": {"chosen": ["c0", "c1", "c2"], "rejected": ["r0", "r1", "r2"]},
             "x": {"chosen": ["c0", "c1", "c2"], "rejected": ["r0", "r1", "r2"]},
             "2": {"chosen": ["same", "same", "same"], "rejected": ["same"]},
             "3": {"chosen": [], "rejected": ["r0"]},
             "4": {"chosen": [1], "rejected": ["r0"]}}
            """)
        let questions = try folder.write(
            "q.json", #"[{"image_id": "1", "question": "q", "chosen": "a </s> b", "reject": "n"}, {"image_id": "1"}, 7]"#)
        let set = try UpstreamPairs.read(descriptions: descriptions, questions: questions, images: images)
        #expect(set.samples.map(\.id) == ["1", "1"])
        #expect(set.samples[0].chosen == "c2" && set.samples[0].rejected == "r0")
        #expect(
            set.problems.map(\.reason) == [
                "chosen contains '</s>'", "'question', 'chosen' and 'reject' are not all texts",
                "'question', 'chosen' and 'reject' are not all texts", "image id 99 is not in Visual Genome's image data",
                "image id is no integer", "chosen and rejected are the same text", "an empty list of chosen texts",
                "'chosen' and 'rejected' are not both lists of texts",
            ])
        #expect(set.problems[3].source == SampleSource(file: descriptions, index: 1))
        let error = #expect(throws: HadpoError.self) { try set.requireClean() }
        #expect(error?.message == "8 samples cannot be trained on")
        #expect(error?.place == "\(questions)[0]")
    }

    @Test("a url, or a caption's image id, that leads out of the folder is a problem of its samples and opens nothing")
    func outside() throws {
        try folder.write("VG/VG_100K/1.jpg", "picture")
        try folder.write("elsewhere/secret", "secret")
        try folder.write("captions/image/1.jpg", "picture")
        try folder.write("elsewhere/2.jpg", "picture")
        let data = try folder.write(
            "vg.json",
            "[{\"image_id\": 1, \"url\": \"https://x.org/VG_100K/1.jpg\"}, {\"image_id\": 2, \"url\": \"https://x.org/../secret\"}]"
        )
        let desc = try folder.write(
            "desc.json",
            "{\"2\": {\"chosen\": [\"a\"], \"rejected\": [\"b\"]}, \"1\": {\"chosen\": [\"a\"], \"rejected\": [\"b\"]}}")
        func read(_ root: String, outside: Bool) throws -> SampleSet<PreferencePair> {
            let pictures = PictureFolder(folder[root], outside: outside)
            return try UpstreamPairs.read(
                descriptions: desc, questions: nil, images: VisualGenomeImages(imageData: data, folder: pictures))
        }
        let refused = try read("VG", outside: false)
        #expect(
            refused.problems.map(\.reason) == [
                "a picture's name leads out of its folder: '../secret' (\"outside\": true allows it)"
            ])
        #expect(refused.samples.map(\.imagePath) == [String](repeating: folder["VG/VG_100K/1.jpg"], count: 2))
        try folder.write("secret", "secret")
        #expect(try read("VG", outside: true).problems.isEmpty)

        try folder.write(
            "captions/filter_cap.json",
            "{\"annotations\": [{\"image_id\": 1, \"caption\": \"c\"}, {\"image_id\": \"../../elsewhere/2\", \"caption\": \"c\"}]}"
        )
        let captions = try AlignedCaptions.read(folder["captions"], outside: false)
        #expect(captions.samples.map(\.id) == ["1"] && captions.problems.map(\.id) == ["../../elsewhere/2"])
        #expect(try AlignedCaptions.read(folder["captions"], outside: true).samples.count == 2)
    }

    @Test("a file of another shape is refused") func shapes() throws {
        var reader = UpstreamPairs(images: images)
        let text = try folder.write("t.json", "\"x\"")
        let object = try folder.write("o.json", "{}")
        #expect(throws: HadpoError.self) { try reader.descriptionPairs(text) }
        #expect(throws: HadpoError.self) { try reader.questionPairs(object) }
        #expect(throws: HadpoError.self) {
            try VisualGenomeImages(
                imageData: folder.write("v.json", "[{\"image_id\": 1}]"), folder: PictureFolder("", outside: nil))
        }
    }
}
