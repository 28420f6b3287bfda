import HadpoBase
import HadpoWeights

/// Keys of the language model's tokenizer_config.json: which ones move what a text becomes, which change nothing here, and which nobody
/// knows, so that they are named.
enum TokenizerKeys {
    /// Read where the tokenizer is made.
    private static let used = [
        "add_bos_token", "add_eos_token", "add_prefix_space", "added_tokens_decoder", "additional_special_tokens", "bos_token",
        "eos_token", "legacy", "pad_token", "unk_token",
    ]
    /// Who wrote it, how texts are padded and cut, templates of chats, and the picture's token, whose place the prompt's template says.
    private static let harmless = [
        "auto_map", "backend", "chat_template", "clean_up_tokenization_spaces", "extra_special_tokens", "from_slow",
        "image_token",
        "is_local", "local_files_only", "max_length", "model_input_names", "model_max_length", "name_or_path", "num_query_tokens",
        "pad_to_multiple_of",
        "pad_token_type_id", "padding_side", "processor_class", "special_tokens_map_file", "split_special_tokens",
        "spaces_between_special_tokens", "stride", "tokenizer_file", "truncation_side", "truncation_strategy",
        "use_default_system_prompt", "use_fast", "vocab_file", "return_token_type_ids", "trust_remote_code",
        "model_specific_special_tokens",
    ]
    /// Llama's, or a class that takes everything out of tokenizer.json.
    private static let classes: [JSON] = [
        "LlamaTokenizer", "LlamaTokenizerFast", "PreTrainedTokenizerFast", "TokenizersBackend",
    ]

    static func account(_ folder: String, _ reading: FolderReading) throws(HadpoError) {
        let path = File.join(folder, "tokenizer_config.json")
        guard File.exists(path) else { return }
        let fields = reading.fields(
            try File.readJSON(path, limits: JSONLimits(depth: 16, bytes: 256 << 20, largeIntegers: .double)),
            "tokenizer_config.json",
            in: folder)
        try fields.demand("sp_model_kwargs", [[:]], "the tokenizer's settings for SentencePiece are not supported")
        // A key that is read counts with all that is below it.
        fields.ignore(used + harmless)
        if let name = fields.json["tokenizer_class"], classes.contains(name) { fields.ignore(["tokenizer_class"]) }
    }
}
