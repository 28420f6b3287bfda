import HadpoBase
import HadpoNN
import HadpoTensor

/// Sizes and rules of a LLaVA-1.5, from config.json of a Hugging Face folder or of the original release.
package struct LLaVAConfig: Sendable {
    package var text: LlamaConfig
    package var vision: CLIPVisionConfig
    package var projectorActivation: Activation = .geluErf
    /// Linear layers of the projector; 2 in LLaVA-1.5 ("mlp2x_gelu").
    package var projectorLayers = 2
    package var selectLayer: Int
    /// True: the class row is kept ("full"); LLaVA-1.5 drops it ("default", "patch").
    package var keepsClassRow = false
    /// Id of the text token that stands for the picture, if the vocabulary has one.
    package var imageTokenID: Int32?
    /// What `image_aspect_ratio` says in an original folder; nil in a Hugging Face folder, where the processor says.
    package var padsImages: Bool?
    /// `mm_vision_tower` of an original folder.
    package var visionTowerName: String?

    /// Hugging Face and original folders both say model_type "llava"; the fields tell them apart (models.md 1.0).
    package static func isOriginal(_ json: JSON) -> Bool { json["mm_vision_tower"] != nil && json["vision_config"] == nil }

    package init(huggingFace json: JSON) throws(HadpoError) {
        let fields = ModelFields(json, "config.json")
        let text = try fields.object("text_config")
        let vision = try fields.object("vision_config")
        if let type = text.json["model_type"]?.stringValue, !["llama", "vicuna"].contains(type) {
            throw HadpoError(
                .unsupported, "this language model family is not supported", at: "config.json: /text_config/model_type",
                found: type,
                expected: "llama")
        }
        self.text = try LLaVAConfig.llama(text)
        self.text.tiedEmbeddings = json["tie_word_embeddings"]?.boolValue ?? text.json["tie_word_embeddings"]?.boolValue ?? false
        self.vision = try LLaVAConfig.clip(vision)
        selectLayer = try fields.int("vision_feature_layer", -2)
        switch json["vision_feature_select_strategy"]?.stringValue ?? "default" {
        case "default": keepsClassRow = false
        case "full": keepsClassRow = true
        case let other:
            throw HadpoError(
                .unsupported, "unknown vision_feature_select_strategy", at: "config.json", found: other,
                expected: "default or full")
        }
        projectorActivation = try LLaVAConfig.activation(
            json["projector_hidden_act"]?.stringValue ?? "gelu", "/projector_hidden_act")
        imageTokenID = Int32(exactly: try fields.int("image_token_index", json["image_token_id"]?.intValue ?? 32000))
    }

    /// - Parameter tower: config.json of the vision tower's own folder.
    package init(original json: JSON, tower: JSON) throws(HadpoError) {
        let fields = ModelFields(json, "config.json")
        text = try LLaVAConfig.llama(fields)
        vision = try LLaVAConfig.clip(ModelFields(tower["vision_config"] ?? tower, "vision tower's config.json"))
        selectLayer = try fields.int("mm_vision_select_layer", -2)
        switch json["mm_vision_select_feature"]?.stringValue ?? "patch" {
        case "patch": keepsClassRow = false
        case "cls_patch": keepsClassRow = true
        case let other:
            throw HadpoError(
                .unsupported, "unknown mm_vision_select_feature", at: "config.json", found: other, expected: "patch or cls_patch")
        }
        visionTowerName = json["mm_vision_tower"]?.stringValue
        switch json["mm_projector_type"]?.stringValue ?? "linear" {
        case "linear": projectorLayers = 1
        case "mlp2x_gelu": projectorLayers = 2
        case "mlp3x_gelu": projectorLayers = 3
        case let other:
            throw HadpoError(
                .unsupported, "unknown mm_projector_type", at: "config.json", found: other,
                expected: "mlp2x_gelu, mlp3x_gelu or linear")
        }
        for key in ["mm_use_im_start_end", "mm_use_im_patch_token"] where json[key]?.boolValue == true {
            throw HadpoError(.unsupported, "\(key) is not supported", at: "config.json", found: "true", expected: "false")
        }
        padsImages = json["image_aspect_ratio"]?.stringValue == "pad"
    }

    private static func llama(_ fields: ModelFields) throws(HadpoError) -> LlamaConfig {
        // Missing fields take LlamaConfig's defaults, which is what llava-hf's own config.json relies on.
        let width = try fields.size("hidden_size", 4096)
        let heads = try fields.size("num_attention_heads", 32)
        let headWidth = fields.json["head_dim"]?.intValue ?? (width / heads)
        let rope = fields.json["rope_parameters"] ?? fields.json["rope_scaling"]
        var config = LlamaConfig(
            width: width, feedForward: try fields.size("intermediate_size", 11008),
            layers: try fields.size("num_hidden_layers", 32),
            heads: heads, kvHeads: try fields.size("num_key_value_heads", heads), headWidth: headWidth,
            vocabulary: try fields.size("vocab_size", 32000),
            rmsEpsilon: Float(try fields.number("rms_norm_eps", 1e-6)),
            ropeTheta: try fields.number("rope_theta", rope?["rope_theta"]?.doubleValue ?? 10000),
            maxPositions: try fields.size("max_position_embeddings", 2048))
        guard config.heads % config.kvHeads == 0, headWidth > 0, headWidth % 2 == 0, headWidth <= 1024 else {
            throw HadpoError(
                .weights, "attention heads do not fit together", at: fields.place,
                found: "\(config.heads) heads, \(config.kvHeads) key/value heads, head width \(headWidth)",
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
            case "linear": config.ropeScaling = .linear(factor: number("factor", 1))
            case "llama3":
                config.ropeScaling = .llama3(
                    factor: number("factor", 8), lowFrequency: number("low_freq_factor", 1),
                    highFrequency: number("high_freq_factor", 4),
                    originalPositions: number("original_max_position_embeddings", 8192))
            default:
                throw HadpoError(
                    .unsupported, "this rope scaling is not supported", at: fields.place, found: kind,
                    expected: "default, linear or llama3")
            }
        }
        return config
    }

    private static func clip(_ fields: ModelFields) throws(HadpoError) -> CLIPVisionConfig {
        if let type = fields.json["model_type"]?.stringValue, !["clip_vision_model", "clip"].contains(type) {
            throw HadpoError(
                .unsupported, "this vision tower is not supported", at: fields.place, found: type, expected: "clip_vision_model")
        }
        let config = CLIPVisionConfig(
            width: try fields.size("hidden_size", 768), feedForward: try fields.size("intermediate_size", 3072),
            layers: try fields.size("num_hidden_layers", 12), heads: try fields.size("num_attention_heads", 12),
            imageSize: try fields.size("image_size", 224), patchSize: try fields.size("patch_size", 32),
            epsilon: Float(try fields.number("layer_norm_eps", 1e-5)),
            activation: try activation(fields.json["hidden_act"]?.stringValue ?? "quick_gelu", "/vision_config/hidden_act"))
        guard config.patchSize <= config.imageSize, config.imageSize <= 4096, config.width % config.heads == 0 else {
            throw HadpoError(
                .weights, "the vision tower's sizes do not fit together", at: fields.place,
                found: "image \(config.imageSize), patch \(config.patchSize), width \(config.width), \(config.heads) heads")
        }
        return config
    }

    private static func activation(_ name: String, _ place: String) throws(HadpoError) -> Activation {
        switch name {
        case "gelu": return .geluErf
        case "quick_gelu": return .geluQuick
        case "gelu_pytorch_tanh", "gelu_new": return .geluTanh
        case "silu": return .silu
        case "relu": return .relu
        default:
            throw HadpoError(
                .unsupported, "unknown activation", at: "config.json: \(place)", found: name,
                expected: "gelu, quick_gelu, silu or relu")
        }
    }
}

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
            throw HadpoError(.weights, "\(key) is not an integer", at: place, found: value.text(), expected: "an integer")
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
            throw HadpoError(.weights, "\(key) is not a positive number", at: place, found: value.text())
        }
        return number
    }
}
