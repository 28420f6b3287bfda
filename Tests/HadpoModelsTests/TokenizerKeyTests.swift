import HadpoBase
import HadpoModels
import Testing

@Suite struct TokenizerKeyTests {
    @Test("Keys of tokenizer_config.json that nobody knows, and a class of tokenizers that is none of Llama's, are told")
    func unread() throws {
        let folder = try ChangedFolder(.named("llava/old-f32"))
        func told(_ changes: [JSON.Member]) throws -> [String] {
            try folder.change("tokenizer_config.json", changes)
            return try folder.open().1.reading.unread.filter { $0.hasPrefix("tokenizer_config.json") }
        }
        #expect(try told([]) == [])
        #expect(try told([.init("tokenizer_class", "LlamaTokenizerFast"), .init("sp_model_kwargs", [:])]) == [])
        #expect(
            try told([.init("from_the_future", true), .init("tokenizer_class", "GPT2Tokenizer")]).sorted() == [
                "tokenizer_config.json: /from_the_future", "tokenizer_config.json: /tokenizer_class",
            ])
    }
}
