/// Keys of other people's configurations that change nothing that is computed here, by where they stand. What is in no such list and is
/// read by nobody is reported as `unread`.
enum HarmlessKeys {
    /// What transformers writes into every configuration, nested ones too: where the file comes from, the type in which weights are stored
    /// (they are read as they lie), how outputs are handed over, heads of classifiers, how weights began.
    static let everywhere = [
        "_name_or_path", "_commit_hash", "_attn_implementation_autoset", "_flash_attn_2_enabled", "transformers_version",
        "torch_dtype", "dtype", "use_cache", "initializer_range", "initializer_factor", "return_dict", "output_attentions",
        "output_hidden_states", "output_scores", "output_logits", "return_dict_in_generate", "torchscript", "use_bfloat16",
        "tf_legacy_loss", "chunk_size_feed_forward", "finetuning_task", "id2label", "label2id", "num_labels", "problem_type",
        "task_specific_params", "tokenizer_class", "prefix", "is_decoder", "add_cross_attention", "cross_attention_hidden_size",
        "tie_encoder_decoder", "gradient_checkpointing", "pad_token_id", "sep_token_id", "decoder_start_token_id",
        "keys_to_ignore_at_inference",
    ]

    /// Settings of text generation, which old versions of transformers wrote into every configuration. Of a vision tower or a Q-Former
    /// they mean nothing; of a language model `GenerationSettings` reads them where there is no generation_config.json.
    static let generation = [
        "bos_token_id", "eos_token_id", "bad_words_ids", "begin_suppress_tokens", "suppress_tokens", "diversity_penalty",
        "do_sample",
        "early_stopping", "encoder_no_repeat_ngram_size", "exponential_decay_length_penalty", "forced_bos_token_id",
        "forced_eos_token_id", "length_penalty", "max_length", "min_length", "no_repeat_ngram_size", "num_beam_groups",
        "num_beams",
        "num_return_sequences", "remove_invalid_values", "repetition_penalty", "temperature", "top_k", "top_p", "typical_p",
    ]

    /// Of a part that generates no text and has no embeddings to tie; its dropout is training's.
    static let ofPart =
        everywhere + generation + [
            "architectures", "is_encoder_decoder", "tie_word_embeddings", "attention_dropout", "dropout", "hidden_dropout_prob",
            "attention_probs_dropout_prob", "projection_dim",
        ]

    /// A Llama's: `pretraining_tp` slices products without changing them; `max_sequence_length` is what early Vicunas say and nobody reads.
    static let llama = everywhere + ["attention_dropout", "pretraining_tp", "max_sequence_length"]

    /// CLIP's whole configuration: its text side is not built, and the tower's rows are taken before the projection.
    static let clip = ofPart + ["text_config", "text_config_dict", "logit_scale_init_value"]
    /// The tower's `vocab_size` is written by LLaVA's conversion.
    static let clipTower = ofPart + ["vocab_size"]

    /// LLaVA in a Hugging Face folder. The picture stands where a prompt says <image>, and takes as many rows as the tower gives; the
    /// numbers that say so again are for processors.
    static let llava = everywhere + ["ignore_index", "image_token_index", "image_token_id", "image_seq_length", "vocab_size"]

    /// LLaVA's original release: how it was trained, and settings of ways to cut pictures that are refused where they are switched on.
    /// Prompts are not cut to `tokenizer_model_max_length`.
    static let originalLLaVA =
        llama + [
            "freeze_mm_mlp_adapter", "freeze_mm_vision_resampler", "freeze_backbone", "tune_mm_mlp_adapter",
            "pretrain_mm_mlp_adapter", "mm_projector_lr",
            "mm_vision_tower_lr", "tokenizer_model_max_length", "tokenizer_padding_side", "image_grid_pinpoints",
            "image_crop_resolution",
            "image_split_resolution", "s2_scales",
        ]

    static let instructBLIP = everywhere + ["image_token_index", "image_token_id", "vocab_size"]

    /// A Q-Former has no types of tokens.
    static let qformer = ofPart + ["type_vocab_size", "classifier_dropout"]

    /// Of processor_config.json and preprocessor_config.json: who wrote it, and what a processor needs to know to write <image> often
    /// enough into a text.
    static let processor = [
        "processor_class", "image_token", "num_additional_image_tokens", "patch_size", "vision_feature_select_strategy",
        "num_query_tokens", "chat_template",
    ]
}
