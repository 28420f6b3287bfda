import HadpoBase
import HadpoText
import Testing

@Suite("LLaVA prompts and answers")
struct PromptTests {
    /// HA-DPO's prompt for "Describe this image in detail.", measured with transformers 4.31; -200 is the picture.
    static let described: [Int32] = [
        1, 319, 13563, 1546, 263, 12758, 1404, 322, 385, 23116, 21082, 20255, 29889, 450, 20255, 4076, 8444, 29892, 13173, 29892,
        322,
        1248, 568, 6089, 304, 278, 1404, 29915, 29879, 5155, 29889, 3148, 1001, 29901, 29871, -200, 29871, 13, 4002, 29581, 445,
        1967,
        297, 9493, 29889, 319, 1799, 9047, 13566, 29901,
    ]

    static func real() throws -> [any Tokenizer] {
        try ["llama", "llava-hf"].map { try TokenizerFile.load(directory: Files.shared($0)) }
    }

    static func flat(_ tokens: PromptTokens) -> [Int32] { tokens.before + [-200] + tokens.after }

    @Test("the texts of the templates")
    func texts() {
        #expect(
            PromptTemplate.hadpoTrain.prompt(question: "Q?")
                == "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite answers to the user's questions. USER: <image>\nQ? ASSISTANT:"
        )
        #expect(
            PromptTemplate.hadpoEval.prompt(question: "Q?")
                == "A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite answers to the human's questions. USER: <image>\nQ? ASSISTANT:"
        )
        #expect(PromptTemplate.hf.prompt(question: "Q?") == "USER: <image>\nQ? ASSISTANT:")
        #expect(PromptTemplate.raw.prompt(question: "<image> Q?") == "<image> Q?")
        #expect(PromptTemplate.allCases.map(\.rawValue) == ["hadpo-train", "hadpo-eval", "hf", "raw"])
    }

    @Test("the training and evaluation prompts have upstream's 50 entries with the real vocabularies")
    func fiftyEntries() throws {
        for tokenizer in try Self.real() {
            let question = "Describe this image in detail."
            let train = try PromptTokens(question: question, template: .hadpoTrain, tokenizer: tokenizer, sample: "s")
            #expect(Self.flat(train) == Self.described)
            #expect(train.count(imageCount: 576) == 625)
            let evaluation = try PromptTokens(question: question, template: .hadpoEval, tokenizer: tokenizer, sample: "s")
            #expect(Self.flat(evaluation) == Self.described.map { $0 == 1404 ? 5199 : $0 })
        }
    }

    @Test("the hf prompt has the ids of the HF processor with the real vocabularies")
    func hf() throws {
        for tokenizer in try Self.real() {
            let tokens = try PromptTokens(
                question: "Describe this image in detail.", template: .hf, tokenizer: tokenizer, sample: "s")
            #expect(
                tokens.pieces == [
                    .tokens([1, 3148, 1001, 29901, 29871]), .image,
                    .tokens([29871, 13, 4002, 29581, 445, 1967, 297, 9493, 29889, 319, 1799, 9047, 13566, 29901]),
                ])
        }
    }

    @Test("prompt and answer have upstream's 59 ids, the answer's first 1939 and last 2")
    func answer() throws {
        for tokenizer in try Self.real() {
            let prompt = try PromptTokens(
                question: "Is there a dog in the image?", template: .hadpoTrain, tokenizer: tokenizer, sample: "s")
            let answer = try prompt.answer("No, there is no dog.", tokenizer: tokenizer, sample: "s")
            #expect(prompt.count(imageCount: 1) + answer.count == 59)
            #expect(answer == [1939, 29892, 727, 338, 694, 11203, 29889, 2])
            #expect(try prompt.answer("", tokenizer: tokenizer, sample: "s") == [29871, 2])
            #expect(try prompt.answer(" two", tokenizer: tokenizer, sample: "s").last == 2)
            #expect(try prompt.answer("a\n\nb", tokenizer: tokenizer, sample: "s") == [263, 13, 13, 29890, 2])
        }
    }

    @Test(
        "every tokenizer cuts a prompt into the same text",
        arguments: ["slow-bare", "slow-modern", "slow-map", "fast-legacy", "fast-first"])
    func small(_ folder: String) throws {
        let tokenizer = try TokenizerFile.load(directory: Files.fixture(folder))
        for template in [PromptTemplate.hadpoTrain, .hadpoEval, .hf] {
            let prompt = try PromptTokens(question: "Is there a cat?", template: template, tokenizer: tokenizer, sample: "s")
            #expect(prompt.before.first == tokenizer.bosID)
            #expect(!prompt.after.contains(1))
            #expect(
                tokenizer.decode(prompt.before, skipSpecial: true).hasSuffix("USER:")
                    || tokenizer.decode(prompt.before, skipSpecial: true).hasSuffix("USER: "))
            let answer = try prompt.answer("There is no cat.", tokenizer: tokenizer, sample: "s")
            #expect(tokenizer.decode(answer, skipSpecial: true) == "There is no cat.")
            #expect(answer.last == tokenizer.eosID)
        }
    }

    @Test("by chunks, the text behind the picture begins like a text")
    func chunks() throws {
        let tokenizer = try TokenizerFile.load(directory: Files.fixture("slow-map"))
        let prompt = try PromptTokens("the dog <image>the dog", splitting: .chunks, tokenizer: tokenizer, sample: "s")
        #expect(prompt.before == tokenizer.encode("the dog ", addBOS: true))
        #expect(prompt.after == tokenizer.encode("the dog", addBOS: false))
    }

    @Test(
        "no picture, or two, is an error that names the sample",
        arguments: ["no picture", "<image><image>", "<image> and <image>"])
    func pictures(_ text: String) throws {
        for folder in ["slow-bare", "fast-legacy"] {
            let tokenizer = try TokenizerFile.load(directory: Files.fixture(folder))
            let error = try failure {
                _ = try PromptTokens(question: text, template: .raw, tokenizer: tokenizer, sample: "pairs.jsonl:7")
            }
            #expect(error.status == .argument)
            #expect(error.place == "pairs.jsonl:7")
        }
        let tokenizer = try TokenizerFile.load(directory: Files.fixture("slow-bare"))
        #expect(throws: HadpoError.self) {
            try PromptTokens(question: "what is <image>?", template: .hf, tokenizer: tokenizer, sample: "s")
        }
    }

    @Test(
        "an answer with the template's own marks is an error that names the sample",
        arguments: ["a</s>", "<image>", "x ASSISTANT: y"])
    func marks(_ answer: String) throws {
        let tokenizer = try TokenizerFile.load(directory: Files.fixture("slow-bare"))
        let prompt = try PromptTokens(question: "Q?", template: .hadpoTrain, tokenizer: tokenizer, sample: "s")
        let error = try failure { _ = try prompt.answer(answer, tokenizer: tokenizer, sample: "pairs.jsonl:7, rejected") }
        #expect(error.status == .argument)
        #expect(error.place == "pairs.jsonl:7, rejected")
    }

    @Test("a raw prompt that ends in a space grows together with the answer and is refused")
    func trailingSpace() throws {
        let tokenizer = try TokenizerFile.load(directory: Files.fixture("slow-bare"))
        let prompt = try PromptTokens(question: "<image>\nthe ", template: .raw, tokenizer: tokenizer, sample: "s")
        let error = try failure { _ = try prompt.answer("  the dog", tokenizer: tokenizer, sample: "s") }
        #expect(error.message == "the prompt's last token and the answer's first grow together")
    }
}
