import HadpoBase

/// How a judge is asked. Defaults are upstream's, to the odd logit bias (id 50256 was end-of-text for GPT-2 and GPT-3; GPT-4's
/// tokenizer has another token there).
package struct SHRJudgeConfig: Sendable {
    package let model: String
    private let temperature: Double
    private let topP: Double
    private let maxTokens: Int
    private let maxTokensKey: String
    private let stop: [String]
    private let hasLogitBias: Bool

    package init(_ r: inout ConfigReader) throws(HadpoError) {
        model = try r.string("model", default: "gpt-4", help: "name the server knows the judge by")
        temperature = try r.double("temperature", default: 0.7, in: 0...2, help: "0 makes verdicts repeat, as far as servers do")
        topP = try r.double("top_p", default: 1, in: 0...1, help: "nucleus sampling")
        maxTokens = try r.int("max_tokens", default: 800, in: 1...1 << 20, help: "of the reply")
        maxTokensKey = try r.choice(
            "max_tokens_key", default: "max_tokens", of: ["max_tokens", "max_completion_tokens"],
            help: "what the server calls it; newer OpenAI models refuse the first")
        stop = try r.strings("stop", default: ["###"], help: "texts that end the reply")
        hasLogitBias = try r.bool(
            "logit_bias", default: true, help: "upstream's {\"50256\": -100}; off for servers that refuse it")
    }

    /// The request's body. Run 1 is upstream's; the others differ by a seed, so that no two bodies are equal.
    package func body(prompt: String, run: Int) -> JSON {
        var body: JSON = [
            "model": .string(model), "messages": [["role": "user", "content": .string(prompt)]],
            "temperature": .double(temperature), "top_p": .double(topP), "n": 1,
        ]
        body[maxTokensKey] = JSON(maxTokens)
        if !stop.isEmpty { body["stop"] = JSON(stop) }
        body["presence_penalty"] = 0.0
        body["frequency_penalty"] = 0.0
        body["stream"] = false
        if hasLogitBias { body["logit_bias"] = ["50256": -100] }
        if run > 1 { body["seed"] = JSON(run - 1) }
        return body
    }
}

/// "hadpo.shr-requests/1": descriptions to be judged, and what the judge is told.
package struct SHRRequestsConfig: Sendable {
    /// The largest of "runs", which docs/reference.md takes from the line below.
    static let mostRuns = 1000

    package let answers: String
    package let files: SHRFiles
    package let output: String
    package let judge: SHRJudgeConfig
    package let runs: Int
    package let longestPrompt: Int

    package init(_ r: inout ConfigReader) throws(HadpoError) {
        answers = try r.string(
            "answers", help: "descriptions of any model: {\"image id\": text} or lines of image_id, description")
        files = try SHRFiles(&r)
        output = try r.string("output", help: "requests: OpenAI batch input, one a line")
        judge = try r.object("judge", help: "who is asked, and how", SHRJudgeConfig.init)
        runs = try r.int("runs", default: 1, in: 1...1000, help: "how often each description is judged")
        longestPrompt = try r.int(
            "longest_prompt", default: 0, in: 0...Int.max,
            help: "leave out images whose prompt has more characters; upstream's LLaVA script: 15000; 0: none is left out")
        let files = files
        try r.check(
            files.imageData != nil && files.regions != nil, "vg", "the judge needs Visual Genome's annotations",
            found: files.imageData == nil ? "no image_data" : "no regions", expected: "vg, or image_data and regions")
    }
}

/// Writes the judge's requests. Every image of the evaluation is in the file or under a named outcome.
package enum SHRRequests {
    package static func run(_ config: SHRRequestsConfig) throws(HadpoError) -> JSON {
        try OutputPlace.require(
            [("/output", config.output)], apartFrom: [("/answers", config.answers)] + config.files.inputs)
        let descriptions = try SHRDescriptions(config.answers)
        let (ids, doubledImages) = try config.files.validationIDs(descriptions)
        let annotations = try SHRAnnotations(config.files, ids: ids)
        var outcomes = SHROutcomes()
        for id in doubledImages { outcomes.add("image_listed_twice", id) }
        for id in descriptions.doubled { outcomes.add("described_twice", id) }
        let evaluation = config.files.validation ?? config.answers
        var described: Set<String> = []
        for id in ids { if let name = try descriptions.id(id, in: evaluation) { described.insert(name) } }
        for id in descriptions.ids where !described.contains(id) { outcomes.add("not_in_the_evaluation", id) }
        guard !described.isEmpty else { throw descriptions.matchNothing(of: ids, in: evaluation) }
        try File.makeDirectories(File.folder(of: config.output))
        let file = try AtomicFile(config.output)
        var hash = SHA256()
        var count = 0
        for id in ids {
            guard let text = try descriptions.text(id, in: evaluation) else {
                outcomes.add("no_description", id)
                continue
            }
            let sentences = SHRText.sentences(text)
            if sentences.isEmpty {
                outcomes.add("empty_description", id)
                continue
            }
            let image = annotations.images[id] ?? .init()
            guard let width = image.width, let height = image.height, width > 0, height > 0 else {
                outcomes.add("not_in_image_data", id)
                continue
            }
            guard let regions = image.regions, !regions.isEmpty else {
                outcomes.add("no_regions", id)
                continue
            }
            let prompt = SHRText.prompt(
                regions: regions.map { SHRText.regionLine($0, width: width, height: height) }.joined(),
                factual: image.factual.map { $0 + "\n" }.joined(), sentences: SHRText.numbered(sentences))
            if config.longestPrompt > 0, prompt.unicodeScalars.count > config.longestPrompt {
                outcomes.add("prompt_too_long", id)
                continue
            }
            for run in 1...config.runs {
                let request: JSON = [
                    "custom_id": .string("run\(run)/\(id)"), "method": "POST", "url": "/v1/chat/completions",
                    "body": config.judge.body(prompt: prompt, run: run),
                ]
                let line = Array((request.text(ascii: true) + "\n").utf8)
                hash.update(line)
                try file.write(line)
                count += 1
            }
            outcomes.add("requested", id)
        }
        try file.commit()
        return [
            "schema": "hadpo.shr-requests-report/1", "output": .string(config.output), "sha256": .string(hash.hexDigest()),
            "requests": JSON(count), "images": JSON(ids.count), "answers": .string(config.answers),
            "answers_sha256": .string(descriptions.sha256), "judge": .string(config.judge.model), "runs": JSON(config.runs),
            "outcomes": outcomes.json, "origin": try ScoredOrigin(beside: config.answers).json,
        ]
    }
}

/// Images by what became of them, in the order of first sight.
package struct SHROutcomes: Sendable {
    private var names: [String] = []
    private var ids: [String: [String]] = [:]

    package mutating func add(_ name: String, _ id: String) {
        if ids[name] == nil { names.append(name) }
        ids[name, default: []].append(id)
    }

    package func count(_ name: String) -> Int { ids[name]?.count ?? 0 }

    /// The outcomes but for those named, each with its first images.
    package func summary(without left: Set<String>) -> String {
        names.filter { !left.contains($0) }.map { "\($0): \(Coverage.first(ids[$0] ?? []))" }.joined(separator: "; ")
    }

    /// Counts, with the first images of each kind.
    package var json: JSON {
        .object(
            names.map { name in
                let all = ids[name] ?? []
                return .init(name, ["count": JSON(all.count), "first": JSON(Array(all.prefix(10)))])
            })
    }
}
