import HadpoBase
import HadpoNN
import HadpoTensor

/// Reads sizes of a model's config.json: defaults as transformers has them, absurd values refused before anything is allocated.
struct ModelFields {
    let json: JSON
    let place: String

    init(_ json: JSON, _ place: String) {
        self.json = json
        self.place = place
    }

    func object(_ key: String) throws(HadpoError) -> ModelFields {
        guard let value = json[key], value.objectValue != nil else {
            throw HadpoError(.weights, "\(key) is missing or not an object", at: place)
        }
        return ModelFields(value, "\(place): /\(key)")
    }

    func int(_ key: String, _ standard: Int) throws(HadpoError) -> Int {
        guard let value = json[key], value != .null else { return standard }
        guard let int = value.intValue else {
            throw HadpoError(.weights, "\(key) is not an integer", at: place, found: value.shortText(), expected: "an integer")
        }
        return int
    }

    func size(_ key: String, _ standard: Int) throws(HadpoError) -> Int {
        let value = try int(key, standard)
        guard value > 0, value <= 1 << 24 else {
            throw HadpoError(.weights, "\(key) is out of range", at: place, found: "\(value)", expected: "1...\(1 << 24)")
        }
        return value
    }

    func number(_ key: String, _ standard: Double) throws(HadpoError) -> Double {
        guard let value = json[key], value != .null else { return standard }
        guard let number = value.doubleValue, number.isFinite, number > 0 else {
            throw HadpoError(.weights, "\(key) is not a positive number", at: place, found: value.shortText())
        }
        return number
    }

    func activation(_ key: String, _ standard: String) throws(HadpoError) -> Activation {
        let name = json[key]?.stringValue ?? standard
        switch name {
        case "gelu": return .geluErf
        case "quick_gelu": return .geluQuick
        case "gelu_pytorch_tanh", "gelu_new": return .geluTanh
        case "silu": return .silu
        case "relu": return .relu
        default:
            throw HadpoError(
                .unsupported, "unknown activation", at: "\(place): /\(key)", found: name,
                expected: "gelu, quick_gelu, silu or relu")
        }
    }
}

extension LlamaConfig {
    /// - Parameter json: config.json of a language model, or the text_config of another's.
    package init(config json: JSON, at place: String) throws(HadpoError) { try self.init(ModelFields(json, place)) }

    /// Missing fields take the defaults of transformers' LlamaConfig, which is what llava-hf's own config.json relies on.
    init(_ fields: ModelFields) throws(HadpoError) {
        let width = try fields.size("hidden_size", 4096)
        let heads = try fields.size("num_attention_heads", 32)
        let each = fields.json["head_dim"]?.intValue ?? (width / heads)
        let rope = fields.json["rope_parameters"] ?? fields.json["rope_scaling"]
        self.init(
            width: width, feedForward: try fields.size("intermediate_size", 11008),
            layers: try fields.size("num_hidden_layers", 32),
            heads: heads, kvHeads: try fields.size("num_key_value_heads", heads), headWidth: each,
            vocabulary: try fields.size("vocab_size", 32000),
            rmsEpsilon: Float(try fields.number("rms_norm_eps", 1e-6)),
            ropeTheta: try fields.number("rope_theta", rope?["rope_theta"]?.doubleValue ?? 10000),
            maxPositions: try fields.size("max_position_embeddings", 2048))
        guard self.heads % kvHeads == 0, headWidth > 0, headWidth % 2 == 0, headWidth <= 1024 else {
            throw HadpoError(
                .weights, "attention heads do not fit together", at: fields.place,
                found: "\(self.heads) heads, \(kvHeads) key/value heads, head width \(headWidth)",
                expected: "heads a multiple of key/value heads, even head width")
        }
        if let act = fields.json["hidden_act"]?.stringValue, act != "silu" {
            throw HadpoError(
                .unsupported, "the decoder's activation is not supported", at: fields.place, found: act, expected: "silu")
        }
        if fields.json["attention_bias"]?.boolValue == true || fields.json["mlp_bias"]?.boolValue == true {
            throw HadpoError(.unsupported, "biases in the decoder are not supported", at: fields.place)
        }
        if let rope, let kind = (rope["rope_type"] ?? rope["type"])?.stringValue, kind != "default" {
            func number(_ key: String, _ standard: Double) -> Double { rope[key]?.doubleValue ?? standard }
            switch kind {
            case "linear": ropeScaling = .linear(factor: number("factor", 1))
            case "llama3":
                ropeScaling = .llama3(
                    factor: number("factor", 8), lowFrequency: number("low_freq_factor", 1),
                    highFrequency: number("high_freq_factor", 4),
                    originalPositions: number("original_max_position_embeddings", 8192))
            default:
                throw HadpoError(
                    .unsupported, "this rope scaling is not supported", at: fields.place, found: kind,
                    expected: "default, linear or llama3")
            }
        }
    }
}
