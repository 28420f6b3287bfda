import HadpoBase
import HadpoNN

extension LlamaConfig {
    /// - Parameter json: config.json of a language model, or the text_config of another's.
    package init(config json: JSON, at place: String) throws(HadpoError) { try self.init(ModelFields(json, place)) }

    /// A language model in a folder, or in a `text_config`, of its own: it must be a Llama (Vicuna is one).
    init(languageModel fields: ModelFields) throws(HadpoError) {
        try fields.demand("model_type", ["llama"], "this language model is not a Llama, which is the only one that is built here")
        try fields.demand(
            "architectures", [["LlamaForCausalLM"], ["LLaMAForCausalLM"], ["LlamaModel"]],
            "this language model is not a Llama, which is the only one that is built here")
        try self.init(fields)
    }

    /// Missing fields take the defaults of transformers' LlamaConfig, which is what llava-hf's own config.json relies on.
    init(_ fields: ModelFields) throws(HadpoError) {
        let width = try fields.size("hidden_size", 4096)
        let heads = try fields.size("num_attention_heads", 32)
        let maxPositions = try fields.size("max_position_embeddings", 2048)
        let rope = try RopeFields(fields, maxPositions)
        self.init(
            width: width, feedForward: try fields.size("intermediate_size", 11008),
            layers: try fields.size("num_hidden_layers", 32),
            heads: heads, kvHeads: try fields.size("num_key_value_heads", heads),
            headWidth: try fields.size("head_dim", max(1, width / heads)), vocabulary: try fields.size("vocab_size", 32000),
            rmsEpsilon: Float(try fields.number("rms_norm_eps", 1e-6)), ropeTheta: rope.theta, maxPositions: maxPositions)
        ropeScaling = rope.scaling
        tiedEmbeddings = try fields.bool("tie_word_embeddings") ?? false
        guard width % heads == 0, heads % kvHeads == 0, headWidth % 2 == 0, headWidth <= 1024 else {
            throw HadpoError(
                .weights, "attention heads do not fit together", at: fields.place,
                found:
                    "hidden_size \(width), num_attention_heads \(heads), num_key_value_heads \(kvHeads), head_dim \(headWidth)",
                expected: "heads a divisor of the width and a multiple of key/value heads, even head width")
        }
        try Self.demandPlainLlama(fields)
        fields.ignore(HarmlessKeys.llama)
    }

    /// What other decoders have and this one has not.
    private static func demandPlainLlama(_ fields: ModelFields) throws(HadpoError) {
        try fields.demand("hidden_act", ["silu", "swish"], "the decoder's activation is not supported")
        for key in ["attention_bias", "mlp_bias", "qkv_bias"] {
            try fields.demand(key, [false], "biases in the decoder are not supported")
        }
        try fields.demand(
            "sliding_window", [], "the decoder's attention has no sliding window here: every token sees all before it")
        try fields.demand("use_sliding_window", [false], "the decoder's attention has no sliding window here")
        try fields.demand("quantization_config", [], quantized)
        try fields.demand("compression_config", [], quantized)
        try fields.demand("is_encoder_decoder", [false], "the language model is a decoder alone here")
        try fields.demand("pruned_heads", [.object([]), .array([])], "heads that were pruned away are not supported")
        if let types = fields["layer_types"], types.arrayValue?.contains(where: { $0 != "full_attention" }) ?? true {
            throw HadpoError(
                .unsupported, "a layer of the decoder attends in another way than to all tokens before it",
                at: fields.at("layer_types"), found: types.shortText(), expected: "full_attention in every layer")
        }
    }

    static let quantized =
        "weights that another library quantised are not read; give the checkpoint that was quantised, and weights: \"int8\" or \"int4\""
}

/// How positions become angles, as transformers 5 reads it: `rope_scaling` where it says anything, else `rope_parameters`; the base is taken
/// from that object before it is taken from beside it.
private struct RopeFields {
    var theta = 10000.0
    var scaling = LlamaConfig.RopeScaling.none

    init(_ fields: ModelFields, _ maxPositions: Int) throws(HadpoError) {
        let old = try fields.optionalObject("rope_scaling")
        let isOld = old?.json.objectValue?.isEmpty == false
        let rope = try isOld ? old : fields.optionalObject("rope_parameters")
        if let inner = try rope?.optionalNumber("rope_theta") {
            theta = inner
        } else {
            theta = try fields.number("rope_theta", theta)
        }
        for place in [fields, rope].compactMap({ $0 }) {
            try place.demand("partial_rotary_factor", [1, 1.0], "only whole heads are rotated here")
        }
        guard let rope else { return }
        let named = try rope.string("rope_type")
        var kind = named ?? "default"
        if named == nil {
            kind = try rope.string("type") ?? kind
        } else {
            try rope.demand("type", [.string(kind)], "rope_type and type say different things")
        }
        switch kind {
        case "default": break
        case "linear": scaling = .linear(factor: try Self.needed(rope, "factor", kind))
        case "llama3":
            scaling = .llama3(
                factor: try Self.needed(rope, "factor", kind), lowFrequency: try Self.needed(rope, "low_freq_factor", kind),
                highFrequency: try Self.needed(rope, "high_freq_factor", kind),
                originalPositions: try rope.number("original_max_position_embeddings", Double(maxPositions)))
        default:
            throw HadpoError(
                .unsupported, "this rope scaling is not supported", at: rope.at(named == nil ? "type" : "rope_type"), found: kind,
                expected: "default, linear or llama3")
        }
    }

    private static func needed(_ rope: ModelFields, _ key: String, _ kind: String) throws(HadpoError) -> Double {
        guard let value = try rope.optionalNumber(key) else {
            throw HadpoError(
                .weights, "rope scaling of type \(kind) needs its \(key)", at: rope.at(key), found: "nothing",
                expected: "a number above 0")
        }
        return value
    }
}
