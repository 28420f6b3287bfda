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

    /// Hugging Face and original folders both say model_type "llava"; the fields tell them apart.
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
        self.text = try LlamaConfig(text)
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
        projectorActivation = try fields.activation("projector_hidden_act", "gelu")
        imageTokenID = Int32(exactly: try fields.int("image_token_index", json["image_token_id"]?.intValue ?? 32000))
    }

    /// - Parameter tower: config.json of the vision tower's own folder.
    package init(original json: JSON, tower: JSON) throws(HadpoError) {
        let fields = ModelFields(json, "config.json")
        text = try LlamaConfig(fields)
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
            activation: try fields.activation("hidden_act", "quick_gelu"))
        guard config.patchSize <= config.imageSize, config.imageSize <= 4096, config.width % config.heads == 0 else {
            throw HadpoError(
                .weights, "the vision tower's sizes do not fit together", at: fields.place,
                found: "image \(config.imageSize), patch \(config.patchSize), width \(config.width), \(config.heads) heads")
        }
        return config
    }
}
