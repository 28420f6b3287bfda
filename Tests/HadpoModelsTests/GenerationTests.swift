import HadpoAutograd
import HadpoBase
import HadpoModels
import HadpoNN
import HadpoTensor
import HadpoText
import HadpoVision
import Testing

let layouts = ["old-f32", "new-bf16", "tf5-f16", "original-f16"]

/// A fixture model with its picture, for asking.
struct Subject {
    let model: LLaVA15
    let expected: Expected
    let image: RGBImage
    let device: Device

    init(_ name: String, threads: Int = 0, memoryLimit: Int = 0) throws {
        device = try Device(threads: threads, numerics: .exact, arena: Arena(limit: memoryLimit))
        (model, expected) = try LLaVAForwardTests.open(name, device)
        image = try RGBImage.decode(try File.read(File.join(fixtures, expected.json["picture"]?.stringValue ?? "")))
    }

    func text(_ key: String) -> String { expected.json[key]?.stringValue ?? "" }

    /// The fixture's question in the fixture's template, with further keys.
    func generate(_ keys: [JSON.Member], progress: any Progress = SilentProgress()) throws -> JSON {
        var request: [JSON.Member] = [.init("schema", "hadpo.generate/1")]
        if !keys.contains(where: { ["question", "prompt"].contains($0.key) }) {
            request += [.init("question", .string(text("question"))), .init("template", .string(text("template")))]
        }
        if !keys.contains(where: { $0.key == "max_new_tokens" }) {
            request.append(.init("max_new_tokens", expected.json["max_new_tokens"] ?? 24))
        }
        let config = try ConfigReader.read(.object(request + keys), schema: "hadpo.generate/1", GenerationConfig.init).config
        return try Generation.run(model: model, request: config, image: image, progress: progress)
    }

    func pieces(_ question: String) throws -> PromptTokens {
        try PromptTokens(question: question, template: .hf, tokenizer: model.tokenizer, sample: "test")
    }

    func pixels(_ picture: String? = nil) throws -> Block<Float> {
        guard let picture else { return try model.pipeline.pixelValues(image) }
        return try model.pipeline.pixelValues(try RGBImage.decode(try File.read(File.join(fixtures, "pictures/" + picture))))
    }

    /// Logits behind a prompt and some ids, in one pass without a cache.
    func uncached(_ prompt: PromptTokens, _ ids: [Int32]) throws -> [Float] {
        let tape = Tape(device: device, progress: SilentProgress())
        var rows = PackedRows(imageRows: model.imageRows)
        _ = rows.addPrefix([.tokens(prompt.before), .image, .tokens(prompt.after + ids)])
        let projected = try model.project(tape, try model.features(tape, [try pixels()]), rows.instructions, reference: false)
        let hidden = try model.decoder(tape, try model.embed(tape, rows, projected: projected), rows.plan)
        return try model.decoder.logits(tape, hidden, rows: [Int32(rows.count - 1)]).floats()
    }
}

func ids(_ result: JSON) -> [Int32] { (result["ids"]?.arrayValue ?? []).compactMap { $0.intValue.map(Int32.init) } }

/// Keeps the records.
final class Listener: Progress {
    var records: [JSON] = []
    func tick() throws(HadpoError) {}
    func emit(_ record: JSON) throws(HadpoError) { records.append(record) }
    var tokens: String { records.filter { $0["event"] == "token" }.compactMap { $0["text"]?.stringValue }.joined() }
}

@Suite struct GenerationTests {
    @Test("greedy ids equal transformers'", arguments: layouts)
    func greedy(_ name: String) throws {
        let subject = try Subject(name)
        let result = try subject.generate([])
        #expect(ids(result) == subject.expected.ids("greedy_ids"))
        #expect(result["finish_reason"]?.stringValue == (ids(result).last == 2 ? "eos" : "length"))
        #expect(result["prompt_tokens"] == subject.expected.json["prompt_positions"])
    }

    @Test(
        "the ids of five beams equal transformers' under both rules", arguments: layouts,
        [("hf-4.31", "beam5_ids.hf-4.31"), ("hf-4.57", "beam5_ids")])
    func beams(_ name: String, _ rule: (name: String, key: String)) throws {
        let subject = try Subject(name)
        let result = try subject.generate([.init("num_beams", 5), .init("beam_rule", .string(rule.name))])
        #expect(ids(result) == subject.expected.ids(rule.key))
    }

    @Test("the score of the best of five beams is transformers' under the rule of 4.31", arguments: layouts)
    func beamScore(_ name: String) throws {
        let subject = try Subject(name)
        let result = try subject.generate([.init("num_beams", 5), .init("beam_rule", "hf-4.31")])
        let score = try #require(result["score"]?.doubleValue)
        let wanted = try #require(subject.expected.json["beam5_scores.hf-4.31"]?[0]?.doubleValue)
        // A sum of up to 24 fp32 log-probabilities, each within 1e-5 of the oracle's, divided by the length.
        #expect(abs(score - wanted) < 1e-5, "\(score) \(wanted)")
    }

    @Test("a cached step gives the bits of the whole sequence computed at once", arguments: layouts)
    func cachedEqualsUncached(_ name: String) throws {
        let subject = try Subject(name)
        let prompt = try subject.pieces("Is there a dog in the image?")
        let session = try PromptSession(
            subject.model, [.init(prompt.pieces, pixels: [try subject.pixels()])], progress: SilentProgress())
        let ids: [Int32] = [5, 17, 90, 33, 33, 200, 4]
        var logits = try session.open([.init(prefix: 0, ids: [])], room: 2)
        #expect(try logits.floats() == subject.uncached(prompt, []))
        for k in ids.indices {
            logits = try session.extend([0], by: [ids[k]])
            #expect(try logits.floats() == subject.uncached(prompt, Array(ids[...k])), "step \(k)")
        }
    }

    @Test("a branch that outgrew its room several times still has the bits of the whole sequence")
    func growth() throws {
        let subject = try Subject("old-f32")
        let prompt = try subject.pieces("Is there a dog in the image?")
        let session = try PromptSession(
            subject.model, [.init(prompt.pieces, pixels: [try subject.pixels()])], progress: SilentProgress())
        var logits = try session.open([.init(prefix: 0, ids: [7]), .init(prefix: 0, ids: []), .init(prefix: 0, ids: [9, 9])])
        var grown: [Int32] = [9, 9]
        for k in 0..<150 {
            let token = Int32(3 + k * 7 % 300)
            grown.append(token)
            // Branch 1 ends early and branch 0 later: what goes on must not depend on them.
            let active = k < 70 ? [0, 1, 2] : k < 100 ? [0, 2] : [2]
            logits = try session.extend(active, by: active.map { $0 == 2 ? token : 11 })
        }
        #expect(try logits.floats() == subject.uncached(prompt, grown))
    }

    @Test(
        "questions that share a picture's prefix are answered as each alone, to the bit", arguments: ["old-f32", "original-f16"])
    func sharedPrefix(_ name: String) throws {
        let subject = try Subject(name)
        let questions = ["Is there a dog in the image?", "What is on the table?", "Describe this image in detail.", "Who?"]
        let prompts = try questions.map { try subject.pieces($0) }
        let picture = [try subject.pixels()]
        var rule = Generation.Rule(maxNewTokens: 20)
        rule.keepsFirstLogits = true
        let session = try PromptSession(
            subject.model, [.init([.tokens(prompts[0].before), .image], pixels: picture)], progress: SilentProgress())
        let together = try Generation.answers(session, prompts.map { .init(prefix: 0, ids: $0.after) }, rule)
        for (prompt, answer) in zip(prompts, together) {
            let alone = try PromptSession(subject.model, [.init(prompt.pieces, pixels: picture)], progress: SilentProgress())
            #expect(try Generation.answers(alone, [.init(prefix: 0, ids: [])], rule) == [answer])
            #expect(answer.promptCount == prompt.count(imageCount: subject.model.imageRows))
        }
        #expect(Set(together.map(\.ids)).count > 1, "the questions do not tell anything apart")
    }

    @Test("beam searches that advance together find what each finds alone, to the bit", arguments: ["old-f32", "original-f16"])
    func beamsTogether(_ name: String) throws {
        let subject = try Subject(name)
        let questions = ["Is there a dog in the image?", "What is on the table?", "Who?"]
        let prompts = try questions.map { try subject.pieces($0) }
        let picture = [try subject.pixels()]
        var rule = Generation.BeamRule(count: 3, maxNewTokens: 40)
        rule.keepsFirstLogits = true
        rule.repetitionPenalty = 1.3
        let histories = prompts.map { subject.model.conversation.history($0.ids, rule: rule.transformers) }
        let session = try PromptSession(
            subject.model, [.init([.tokens(prompts[0].before), .image], pixels: picture)], progress: SilentProgress())
        let together = try Generation.beams(session, prompts.map { .init(prefix: 0, ids: $0.after) }, rule, histories: histories)
        for (i, prompt) in prompts.enumerated() {
            let alone = try PromptSession(subject.model, [.init(prompt.pieces, pixels: picture)], progress: SilentProgress())
            let found = try Generation.beams(alone, [.init(prefix: 0, ids: [])], rule, histories: [histories[i]])
            #expect(found.count == 1 && found[0].generated == together[i].generated && found[0].score == together[i].score)
        }
        #expect(Set(together.map(\.generated.ids)).count > 1, "the questions do not tell anything apart")
    }

    @Test("keys and values in fp16 take half the bytes and round, no more")
    func halfCache() throws {
        let subject = try Subject("old-f32")
        let prompt = try subject.pieces("Is there a dog in the image?")
        let whole = try subject.uncached(prompt, [5])
        let wide = subject.model.decoder.cacheRowBytes
        subject.model.decoder.cacheType = .f16
        defer { subject.model.decoder.cacheType = .f32 }
        #expect(subject.model.decoder.cacheRowBytes * 2 == wide)
        let session = try PromptSession(
            subject.model, [.init(prompt.pieces, pixels: [try subject.pixels()])], progress: SilentProgress())
        _ = try session.open([.init(prefix: 0, ids: [])], room: 2)
        let logits = try session.extend([0], by: [5]).floats()
        let largest = whole.map(abs).max() ?? 0
        let worst = zip(logits, whole).map { abs($0 - $1) }.max() ?? .infinity
        // Keys and values carry 2^-11; a few layers on, the logits differ by some thousandths of the largest and not by nothing.
        #expect(worst > 0 && worst < 5e-3 * largest, "\(worst) of \(largest)")
    }

    @Test("many pictures in batches give what each gives alone, to the bit", arguments: layouts)
    func pictures(_ name: String) throws {
        let subject = try Subject(name)
        let prompts = try ["wide.jpg", "tall.png", "wide.jpg", "tall.png", "wide.jpg"].enumerated().map { i, picture in
            PromptSession.Prefix(
                try subject.pieces(i % 3 == 0 ? "Describe this image in detail." : "Is there a chair?").pieces,
                pixels: [try subject.pixels(picture)])
        }
        func generate(_ batch: Int) throws -> [Generated] {
            try Generation.generate(
                subject.model, prompts: prompts, maxNewTokens: 16, batch: batch, progress: SilentProgress())
        }
        let alone = try generate(1)
        #expect(try generate(5) == alone)
        #expect(try generate(2) == alone)
        #expect(Set(alone.map(\.ids)).count > 1)
    }

    @Test("one thread and two threads give the same bits")
    func threads() throws {
        let results = try [1, 2].map { threads in
            let subject = try Subject("old-f32", threads: threads)
            let prompt = try subject.pieces("What is on the table?")
            let session = try PromptSession(
                subject.model, [.init(prompt.pieces, pixels: [try subject.pixels()])], progress: SilentProgress())
            var rule = Generation.Rule(maxNewTokens: 16)
            rule.keepsFirstLogits = true
            return try Generation.answers(session, [.init(prefix: 0, ids: []), .init(prefix: 0, ids: [20, 21])], rule)
        }
        #expect(results[0] == results[1])
    }

    @Test("the token events put together are the text, and a stop string never shows")
    func streaming() throws {
        let subject = try Subject("old-f32")
        let listener = Listener()
        let whole = try subject.generate([.init("stream", true)], progress: listener)
        let text = whole["text"]?.stringValue ?? ""
        #expect(listener.tokens == text)
        #expect(text.count > 6)

        let stop = String(Array(text)[3...4])
        let stopping = Listener()
        let cut = try subject.generate([.init("stream", true), .init("stop", JSON([stop]))], progress: stopping)
        let shown = cut["text"]?.stringValue ?? ""
        #expect(stopping.tokens == shown)
        #expect(cut["finish_reason"] == "stop")
        #expect(!shown.contains(stop) && text.hasPrefix(shown) && shown.count < text.count)
    }

    @Test("drawn tokens depend on the seed alone")
    func sampling() throws {
        let subject = try Subject("new-bf16")
        func draw(_ seed: Int) throws -> [Int32] {
            ids(try subject.generate([.init("do_sample", true), .init("temperature", 1.5), .init("seed", JSON(seed))]))
        }
        #expect(try draw(1) == draw(1))
        #expect(try draw(1) != draw(2))
    }

    @Test("no answer ends before min_new_tokens, as transformers 5.23 goes on")
    func forced() throws {
        let subject = try Subject("tf5-f16")
        let keys: [JSON.Member] = [.init("min_new_tokens", 22), .init("max_new_tokens", 24)]
        let greedy = try subject.generate(keys)
        #expect(
            ids(greedy) == [
                285, 44, 308, 55, 138, 98, 214, 285, 44, 44, 121, 214, 23, 228, 167, 210, 35, 259, 315, 285, 249, 330, 2,
            ])
        #expect(greedy["finish_reason"] == "eos")
        let beams = try subject.generate(keys + [.init("num_beams", 5), .init("beam_rule", "hf-4.57")])
        #expect(
            ids(beams) == [
                285, 44, 255, 284, 285, 6, 128, 274, 95, 95, 96, 285, 6, 275, 33, 249, 33, 95, 49, 95, 323, 274, 95, 252,
            ])
        #expect(throws: HadpoError.self) { try subject.generate([.init("min_new_tokens", 25), .init("max_new_tokens", 24)]) }
    }

    @Test("several end ids end an answer as well as one")
    func endIDs() throws {
        let subject = try Subject("old-f32")
        let whole = subject.expected.ids("greedy_ids")
        subject.model.eosIDs = [2, whole[4]]
        let result = try subject.generate([])
        #expect(ids(result) == Array(whole[...4]))
        #expect(result["finish_reason"] == "eos")
    }

    @Test("what does not fit the model or the memory limit is refused before work starts")
    func refusals() throws {
        let subject = try Subject("old-f32")
        func error(_ keys: [JSON.Member], _ subject: Subject) -> HadpoError? {
            do { _ = try subject.generate(keys) } catch { return error as? HadpoError }
            return nil
        }
        // 1024 positions, 45 of them the prompt's; the last token is not read.
        let long = error([.init("max_new_tokens", 981)], subject)
        #expect(long?.status == .argument && long?.expected?.contains("up to 980") == true, "\(String(describing: long))")
        #expect(error([.init("question", "a"), .init("prompt", "<image> b")], subject)?.place == "/question")
        #expect(error([.init("prompt", "no picture")], subject)?.status == .argument)

        // 945 rows of 384 bytes in the cache, under a limit that leaves 300 KB beside nothing at all.
        let small = try Subject("old-f32", memoryLimit: 300_000)
        let memory = error([.init("max_new_tokens", 900)], small)
        #expect(memory?.status == .noMemory && memory?.message.contains("cache") == true, "\(String(describing: memory))")

        let config = try ConfigReader.parse(
            "{\"schema\":\"hadpo.generate/1\",\"question\":\"What?\"}", schema: "hadpo.generate/1",
            GenerationConfig.init
        ).config
        #expect(throws: HadpoError.self) {
            try Generation.run(model: subject.model, request: config, image: nil, progress: SilentProgress())
        }
    }

    @Test("a prompt without a picture is answered without one")
    func noPicture() throws {
        let subject = try Subject("old-f32")
        let config = try ConfigReader.parse(
            "{\"schema\":\"hadpo.generate/1\",\"prompt\":\"Is there a dog?\",\"max_new_tokens\":5}",
            schema: "hadpo.generate/1",
            GenerationConfig.init
        ).config
        let result = try Generation.run(model: subject.model, request: config, image: nil, progress: SilentProgress())
        #expect(ids(result).count > 0)
    }
}
