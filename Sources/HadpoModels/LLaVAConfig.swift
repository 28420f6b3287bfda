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
    /// `unfreeze_mm_vision_tower` of an original folder: the tower was trained and lies in the checkpoint.
    package var trainedTower = false

    /// Blocks of the tower up to the selected layer; see `CLIPVision.evaluatedBlocks`.
    var evaluatedBlocks: Int { max(0, selectLayer < 0 ? vision.layers + 1 + selectLayer : selectLayer) }

    /// Hugging Face and original folders both say model_type "llava"; the fields tell them apart.
    package static func isOriginal(_ json: JSON) -> Bool { json["mm_vision_tower"] != nil && json["vision_config"] == nil }

    package init(huggingFace json: JSON) throws(HadpoError) { try self.init(huggingFace: ModelFields(json, "config.json")) }

    init(huggingFace fields: ModelFields) throws(HadpoError) {
        try fields.demand("model_type", ["llava"], Self.another)
        try fields.demand("architectures", [["LlavaForConditionalGeneration"]], Self.another)
        try fields.demand("quantization_config", [], LlamaConfig.quantized)
        try fields.demand("is_encoder_decoder", [false], "the language model is a decoder alone here")
        try Self.demandWholePicture(fields)
        let (text, vision) = (try fields.object("text_config"), try fields.object("vision_config"))
        self.text = try LlamaConfig(languageModel: text)
        // Either may say so, and a false beside a true counts for nothing, as in transformers.
        let tied = try fields.bool("tie_word_embeddings") ?? false
        self.text.tiedEmbeddings = tied || self.text.tiedEmbeddings
        self.vision = try LLaVAConfig.clip(vision)
        selectLayer = try fields.int("vision_feature_layer", -2)
        switch try fields.string("vision_feature_select_strategy") ?? "default" {
        case "default": keepsClassRow = false
        case "full": keepsClassRow = true
        case let other:
            throw HadpoError(
                .unsupported, "unknown vision_feature_select_strategy", at: fields.at("vision_feature_select_strategy"),
                found: other, expected: "default or full")
        }
        projectorActivation = try fields.activation("projector_hidden_act", "gelu")
        try fields.demand("multimodal_projector_bias", [true], "a projector without biases is not supported")
        fields.ignore(HarmlessKeys.llava)
        let marker = fields.json["image_token_index"]?.intValue ?? fields.json["image_token_id"]?.intValue
        imageTokenID = Int32(exactly: marker ?? 32000)
    }

    /// - Parameter tower: config.json of the vision tower's own folder.
    init(original fields: ModelFields, tower: ModelFields) throws(HadpoError) {
        try fields.demand("model_type", ["llava", "llava_llama"], Self.another)
        try fields.demand("architectures", [["LlavaLlamaForCausalLM"]], Self.another)
        text = try LlamaConfig(fields)
        vision = try LLaVAConfig.clip(tower: tower)
        selectLayer = try fields.int("mm_vision_select_layer", -2)
        switch try fields.string("mm_vision_select_feature") ?? "patch" {
        case "patch": keepsClassRow = false
        case "cls_patch": keepsClassRow = true
        case let other:
            throw HadpoError(
                .unsupported, "unknown mm_vision_select_feature", at: fields.at("mm_vision_select_feature"), found: other,
                expected: "patch or cls_patch")
        }
        visionTowerName = try fields.string("mm_vision_tower")
        switch try fields.string("mm_projector_type") ?? "linear" {
        case "linear": projectorLayers = 1
        case "mlp2x_gelu": projectorLayers = 2
        case "mlp3x_gelu": projectorLayers = 3
        case let other:
            throw HadpoError(
                .unsupported, "unknown mm_projector_type", at: fields.at("mm_projector_type"), found: other,
                expected: "mlp2x_gelu, mlp3x_gelu or linear")
        }
        if let given = try fields.optionalSize("mm_hidden_size"), given != vision.width {
            throw HadpoError(
                .weights, "the projector reads rows of another width than the vision tower gives",
                at: fields.at("mm_hidden_size"),
                found: "\(given)",
                expected: "\(vision.width), hidden_size in the tower's vision_config; give the folder that mm_vision_tower names")
        }
        trainedTower = try fields.bool("unfreeze_mm_vision_tower") ?? false
        switch try fields.string("image_aspect_ratio") ?? "square" {
        case "pad": padsImages = true
        case "square": padsImages = false
        case let other:
            throw HadpoError(
                .unsupported, Self.another + ": it cuts a picture into several (LLaVA-1.6)", at: fields.at("image_aspect_ratio"),
                found: other, expected: "pad or square")
        }
        try Self.demandOnePicture(fields)
        fields.ignore(HarmlessKeys.originalLLaVA)
    }

    private static let another = "this is another model than LLaVA-1.5"

    /// A picture that is cut into several is LLaVA-1.6's, whoever converted the folder. Whether one is padded, the processor says.
    private static func demandWholePicture(_ fields: ModelFields) throws(HadpoError) {
        for (key, allowed) in [("image_aspect_ratio", ["pad", "square"] as [JSON]), ("image_grid_pinpoints", [])] {
            guard let found = fields.json[key], !found.isNull, !allowed.contains(found) else { continue }
            throw HadpoError(
                .unsupported, Self.another + ": it cuts a picture into several (LLaVA-1.6)", at: fields.at(key),
                found: found.shortText(), expected: allowed.isEmpty ? "null, or a folder without it" : "pad or square")
        }
    }

    /// What later models of the same release switch on.
    private static func demandOnePicture(_ fields: ModelFields) throws(HadpoError) {
        for key in ["mm_use_im_start_end", "mm_use_im_patch_token", "tune_mm_vision_resampler"] {
            try fields.demand(key, [false], "\(key) is not supported")
        }
        try fields.demand("use_mm_proj", [true], "a model that does not use its projector is not supported")
        try fields.demand("mm_resampler_type", [], "resamplers between vision tower and decoder are not supported")
        try fields.demand(
            "mm_patch_merge_type", ["flat"], another + ": the parts of a picture are put together in space (LLaVA-1.6)")
        try fields.demand("s2", [false], another + ": it looks at a picture in several sizes (S2)")
        for key in ["mm_image_tower", "mm_video_tower"] {
            try fields.demand(key, [], another + ": it has a tower for videos (Video-LLaVA)")
        }
    }

    /// A tower's own folder: CLIP's whole configuration, or that of its tower alone.
    private static func clip(tower fields: ModelFields) throws(HadpoError) -> CLIPVisionConfig {
        guard let inner = try fields.optionalObject("vision_config") else { return try clip(fields) }
        try fields.demand("model_type", ["clip"], "this vision tower is not supported")
        try fields.demand("quantization_config", [], LlamaConfig.quantized)
        // Early folders say the tower's sizes twice, and transformers takes these.
        let second = fields["vision_config_dict"]
        for key in [
            "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "image_size", "patch_size",
            "layer_norm_eps", "hidden_act", "num_channels",
        ] {
            guard let value = second?[key], value != .null, inner.json[key] != value else { continue }
            throw HadpoError(
                .weights, "vision_config and vision_config_dict say different things", at: inner.at(key),
                found: inner.json[key]?.shortText() ?? "nothing", expected: "\(value.shortText()), as in vision_config_dict")
        }
        fields.ignore(HarmlessKeys.clip)
        return try clip(inner)
    }

    private static func clip(_ fields: ModelFields) throws(HadpoError) -> CLIPVisionConfig {
        try fields.demand("model_type", ["clip_vision_model", "clip"], "this vision tower is not supported")
        try fields.demand("quantization_config", [], LlamaConfig.quantized)
        try fields.demand("pruned_heads", [.object([]), .array([])], "heads that were pruned away are not supported")
        try fields.demand("num_channels", [3], "pictures have three channels here")
        let config = CLIPVisionConfig(
            width: try fields.size("hidden_size", 768), feedForward: try fields.size("intermediate_size", 3072),
            layers: try fields.size("num_hidden_layers", 12), heads: try fields.size("num_attention_heads", 12),
            imageSize: try fields.size("image_size", 224), patchSize: try fields.size("patch_size", 32),
            epsilon: Float(try fields.number("layer_norm_eps", 1e-5)),
            activation: try fields.activation("hidden_act", "quick_gelu"))
        guard config.patchSize <= config.imageSize, config.imageSize <= 4096, config.width % config.heads == 0 else {
            throw HadpoError(
                .weights, "the vision tower's sizes do not fit together", at: fields.place,
                found:
                    "image_size \(config.imageSize), patch_size \(config.patchSize), hidden_size \(config.width), num_attention_heads \(config.heads)"
            )
        }
        fields.ignore(HarmlessKeys.clipTower)
        return config
    }
}
