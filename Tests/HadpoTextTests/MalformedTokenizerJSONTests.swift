import HadpoBase
import HadpoText
import Testing

/// A sound file, changed at one place.
private func read(_ change: (inout JSON) throws -> Void) throws -> HadpoError {
    var json = try File.readJSON(Files.fixture("fast-legacy/tokenizer.json"))
    try change(&json)
    return try failure { _ = try FastLlamaTokenizer(json, source: "t") }
}

@Suite("Malformed and unsupported tokenizer.json files")
struct MalformedTokenizerJSONTests {
    @Test(
        "a component of another kind is named",
        arguments: [
            ("normalizer", #"{"type":"NFKC"}"#, "/normalizer", "NFKC"),
            (
                "normalizer", #"{"type":"Sequence","normalizers":[{"type":"Lowercase"}]}"#, "/normalizer/normalizers/0",
                "Lowercase"
            ),
            ("normalizer", #"{"type":"Replace","pattern":{"Regex":"a+"},"content":"b"}"#, "/normalizer/pattern", "an object"),
            ("pre_tokenizer", #"{"type":"ByteLevel"}"#, "/pre_tokenizer", "ByteLevel"),
            (
                "pre_tokenizer", #"{"type":"Metaspace","replacement":"_","prepend_scheme":"last"}"#,
                "/pre_tokenizer/prepend_scheme", "last"
            ),
            ("post_processor", #"{"type":"BertProcessing"}"#, "/post_processor", "BertProcessing"),
            ("decoder", #"{"type":"WordPiece"}"#, "/decoder", "WordPiece"),
            ("decoder", "null", "/decoder", "null"),
            (
                "decoder", #"{"type":"Sequence","decoders":[{"type":"Fuse"},{"type":"ByteFallback"}]}"#, "/decoder/decoders/1",
                "ByteFallback"
            ),
            ("model", #"{"type":"Unigram","vocab":[]}"#, "/model/type", "Unigram"),
            ("model", #"{"type":"WordPiece","vocab":{}}"#, "/model/type", "WordPiece"),
        ])
    func unsupported(_ key: String, _ value: String, _ pointer: String, _ found: String) throws {
        let error = try read { $0[key] = try JSON.parse(value, source: "") }
        #expect(error.status == .unsupported)
        #expect(error.place == "t#" + pointer)
        #expect(error.found == found)
    }

    @Test(
        "model options that change ids are not ignored",
        arguments: [
            ("dropout", "0.1"), ("continuing_subword_prefix", "\"##\""), ("end_of_word_suffix", "\"</w>\""),
        ])
    func modelOptions(_ key: String, _ value: String) throws {
        let error = try read { $0["model"]?[key] = try JSON.parse(value, source: "") }
        #expect(error.status == .unsupported)
        #expect(error.place == "t#/model/\(key)")
    }

    @Test("added tokens that match whole words are not supported")
    func singleWord() throws {
        let error = try read {
            $0["added_tokens"] = try JSON.parse(#"[{"id":0,"content":"<unk>","single_word":true}]"#, source: "")
        }
        #expect(error.status == .unsupported)
    }

    @Test(
        "malformed parts are refused with their place",
        arguments: [
            ("model", "[]", "/model"), ("model", #"{"type":"BPE","merges":[]}"#, "/model/vocab"),
            ("model", #"{"type":"BPE","vocab":{"a":0}}"#, "/model/merges"),
            ("model", #"{"type":"BPE","vocab":{"a":-1},"merges":[]}"#, "/model/vocab/a"),
            ("model", #"{"type":"BPE","vocab":{"a":4294967296},"merges":[]}"#, "/model/vocab/a"),
            ("model", #"{"type":"BPE","vocab":{"a":"0"},"merges":[]}"#, "/model/vocab/a"),
            ("model", #"{"type":"BPE","vocab":{"a":0,"b":0},"merges":[]}"#, "/model/vocab/b"),
            ("model", #"{"type":"BPE","vocab":{"a":0,"b":1},"merges":["a b"]}"#, "/model/merges/0"),
            ("model", #"{"type":"BPE","vocab":{"a":0},"merges":["a"]}"#, "/model/merges/0"),
            ("model", #"{"type":"BPE","vocab":{"a":0},"merges":["a a a"]}"#, "/model/merges/0"),
            ("model", #"{"type":"BPE","vocab":{"a":0},"merges":[["a"]]}"#, "/model/merges/0"),
            ("model", #"{"type":"BPE","vocab":{"a":0},"merges":[["a",1]]}"#, "/model/merges/0"),
            ("model", #"{"type":"BPE","vocab":{"a":0},"merges":[7]}"#, "/model/merges/0"),
            ("model", #"{"type":"BPE","vocab":{"a":0},"merges":[],"unk_token":"<u>"}"#, "/model/unk_token"),
            ("added_tokens", "{}", "/added_tokens"), ("added_tokens", #"[{"id":0}]"#, "/added_tokens/0/content"),
            ("added_tokens", #"[{"id":-3,"content":"x"}]"#, "/added_tokens/0/id"),
            ("added_tokens", #"[{"id":2147483647,"content":"<x>"}]"#, "/added_tokens/0/id"),
            ("added_tokens", #"[{"id":7,"content":"<s>"}]"#, "/added_tokens/0/id"),
            ("added_tokens", #"[{"id":1,"content":"<x>"}]"#, "/added_tokens/0/id"),
            ("added_tokens", #"[{"id":9000,"content":"<x>"},{"id":9000,"content":"<y>"}]"#, "/added_tokens/1"),
            ("added_tokens", #"[{"id":9000,"content":"<x>"},{"id":9001,"content":"<x>"}]"#, "/added_tokens/1"),
            ("added_tokens", #"[{"id":9000,"content":""}]"#, "/added_tokens/0/content"),
            ("added_tokens", #"[{"id":9000,"content":"<x>","lstrip":1}]"#, "/added_tokens/0/lstrip"),
            ("normalizer", #"{"type":"Sequence"}"#, "/normalizer/normalizers"), ("normalizer", "3", "/normalizer/type"),
            ("post_processor", #"{"type":"TemplateProcessing"}"#, "/post_processor/single"),
            ("post_processor", #"{"type":"TemplateProcessing","single":[]}"#, "/post_processor/single"),
            (
                "post_processor", #"{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<x>"}}],"special_tokens":{}}"#,
                "/post_processor/special_tokens/<x>"
            ),
        ])
    func malformed(_ key: String, _ value: String, _ pointer: String) throws {
        let error = try read { $0[key] = try JSON.parse(value, source: "") }
        #expect(error.status == .format)
        #expect(error.place == "t#" + pointer)
    }

    @Test("a template with an id beyond the vocabulary is refused")
    func templateID() throws {
        let error = try read {
            $0["post_processor"]?["special_tokens"] = try JSON.parse(
                #"{"<s>":{"id":"<s>","ids":[99999],"tokens":["<s>"]}}"#, source: "")
        }
        #expect(error.message == "the template adds a token that is not in the vocabulary")
    }

    @Test("replacements that let text grow without bound are refused")
    func growth() throws {
        let step = #"{"type":"Replace","pattern":{"String":"a"},"content":"aaaaaaaa"}"#
        #expect(try read { $0["normalizer"] = try JSON.parse(step, source: "") }.status == .unsupported)
        let double = #"{"type":"Replace","pattern":{"String":"a"},"content":"aa"}"#
        let many = #"{"type":"Sequence","normalizers":["# + Array(repeating: double, count: 60).joined(separator: ",") + "]}"
        #expect(try read { $0["normalizer"] = try JSON.parse(many, source: "") }.status == .format)
    }

    @Test("a folder without a tokenizer is an error that names it")
    func noFile() throws {
        let error = try failure { _ = try TokenizerFile.load(directory: Files.fixture("no-such-folder")) }
        #expect(error.status == .io)
        #expect(error.place == Files.fixture("no-such-folder"))
    }

    @Test("the kind that was asked for is the kind that is opened")
    func kind() throws {
        #expect(
            try failure { _ = try TokenizerFile.load(directory: Files.fixture("slow-bare"), kind: .fast) }.expected
                == "tokenizer.json")
        #expect(
            try failure { _ = try TokenizerFile.load(directory: Files.fixture("fast-legacy"), kind: .slow) }.expected
                == "tokenizer.model")
    }
}
