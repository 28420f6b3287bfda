import HadpoBase
import HadpoModels
import HadpoNN
import HadpoTensor
import HadpoText
import HadpoVision

/// Everything of the world's LLaVA checkpoint except its weights, in the layout of llava-hf.
package struct WorldCheckpoint: WorldLayout {
    package var hiddenSize = 128
    package var decoderLayers = 4
    package var decoderHeads = 4
    package var decoderIntermediateSize = 352
    package var visionLayers = 4  // LLaVA reads the second to last, so the last one is never computed
    package var visionHeads = 4
    package var visionIntermediateSize = 512
    package var imageSize = 64
    package var patchSize = 16

    package let tokenizer = WorldTokenizer()

    package init() {}

    /// `<image>` and `<pad>` follow the vocabulary of tokenizer.model, as in llava-hf.
    package var imageTokenID: Int { tokenizer.pieces.count }
    package var padTokenID: Int { imageTokenID + 1 }
    /// Rows of the embedding: the tokens, rounded up to a multiple of 8.
    package var embeddingRows: Int { (padTokenID + 1 + 7) / 8 * 8 }

    package func write(to folder: String) throws(HadpoError) {
        try File.makeDirectories(folder)
        try File.writeAtomically(File.join(folder, "tokenizer.model"), tokenizer.model())
        for (name, json) in files {
            try File.writeAtomically(File.join(folder, name), json.text(indent: 2) + "\n")
        }
    }

    package var files: [(name: String, json: JSON)] {
        [
            ("config.json", config),
            ("generation_config.json", ["bos_token_id": 1, "eos_token_id": 2, "pad_token_id": JSON(padTokenID)]),
            ("preprocessor_config.json", preprocessor), ("processor_config.json", processor),
            ("tokenizer_config.json", tokenizerConfig),
            ("tokenizer.json", tokenizer.json(added: addedTokens)),
            ("added_tokens.json", ["<image>": JSON(imageTokenID), "<pad>": JSON(padTokenID)]),
            ("special_tokens_map.json", ["bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"]),
        ]
    }

    var config: JSON {
        [
            "architectures": ["LlavaForConditionalGeneration"], "model_type": "llava", "ignore_index": -100,
            "image_token_index": JSON(imageTokenID), "pad_token_id": JSON(padTokenID),
            "image_seq_length": JSON((imageSize / patchSize) * (imageSize / patchSize)),
            "projector_hidden_act": "gelu", "vision_feature_layer": -2, "vision_feature_select_strategy": "default",
            "tie_word_embeddings": false, "torch_dtype": "float16",
            "text_config": [
                "model_type": "llama", "hidden_size": JSON(hiddenSize), "intermediate_size": JSON(decoderIntermediateSize),
                "num_hidden_layers": JSON(decoderLayers), "num_attention_heads": JSON(decoderHeads),
                "num_key_value_heads": JSON(decoderHeads), "vocab_size": JSON(embeddingRows),
                "max_position_embeddings": 1024, "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "hidden_act": "silu",
                "torch_dtype": "float16",
            ],
            "vision_config": [
                "model_type": "clip_vision_model", "hidden_size": JSON(hiddenSize),
                "intermediate_size": JSON(visionIntermediateSize), "num_hidden_layers": JSON(visionLayers),
                "num_attention_heads": JSON(visionHeads), "image_size": JSON(imageSize), "patch_size": JSON(patchSize),
                "projection_dim": JSON(hiddenSize), "hidden_act": "quick_gelu", "layer_norm_eps": 1e-05,
            ],
        ]
    }

    /// CLIP's own normalisation; the pictures are square and of the right size already, so nothing is resized or cut.
    private var preprocessor: JSON {
        [
            "image_processor_type": "CLIPImageProcessor", "processor_class": "LlavaProcessor", "do_convert_rgb": true,
            "do_resize": true, "size": ["shortest_edge": JSON(imageSize)], "resample": 3, "do_center_crop": true,
            "crop_size": ["height": JSON(imageSize), "width": JSON(imageSize)], "do_rescale": true,
            "rescale_factor": 0.00392156862745098, "do_normalize": true,
            "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711],
        ]
    }

    private var processor: JSON {
        [
            "processor_class": "LlavaProcessor", "image_token": "<image>", "patch_size": JSON(patchSize),
            "num_additional_image_tokens": 1, "vision_feature_select_strategy": "default",
        ]
    }

    private var addedTokens: [(String, Int)] {
        [("<unk>", 0), ("<s>", 1), ("</s>", 2), ("<image>", imageTokenID), ("<pad>", padTokenID)]
    }

    private var tokenizerConfig: JSON {
        [
            "tokenizer_class": "LlamaTokenizer", "processor_class": "LlavaProcessor", "add_bos_token": true,
            "add_eos_token": false,
            "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>", "image_token": "<image>",
            "clean_up_tokenization_spaces": false, "legacy": false, "model_max_length": 1024, "padding_side": "left",
            "added_tokens_decoder": .object(
                addedTokens.map { text, id in
                    JSON.Member(
                        String(id),
                        [
                            "content": .string(text), "lstrip": false, "normalized": false, "rstrip": false, "single_word": false,
                            "special": true,
                        ])
                }),
        ]
    }
}

extension WorldCheckpoint {
    package var pieces: [String] { tokenizer.pieces.map(\.text) }
    package var weightFiles: [String] { ["model.safetensors"] }
    package func isFrozen(_ parameter: String) -> Bool { false }

    package func model(
        _ source: any ParameterSource, folder: String, device: Device
    ) throws(HadpoError) -> any VisionLanguageModel {
        try LLaVA15(
            config: LLaVAConfig(huggingFace: File.readJSON(File.join(folder, "config.json"))), source: source, device: device,
            tokenizer: TokenizerFile.load(directory: folder),
            pipeline: ImagePipeline(preprocessorConfig: File.readJSON(File.join(folder, "preprocessor_config.json"))))
    }

    /// LLaVA reads the second to last block of its tower; what follows it belongs to the layout and is never computed, so it is written
    /// as zeros, which make that block the identity.
    package func save(
        _ parameters: [(name: String, tensor: Tensor)], to folder: String, as dtype: DType, device: Device,
        progress: any Progress
    ) throws(HadpoError) {
        var tensors = parameters
        func unused(_ name: String, _ shape: [Int]) throws(HadpoError) {
            let isNormWeight = name.contains("norm") && name.hasSuffix("weight")
            let numbers = [Float](repeating: isNormWeight ? 1 : 0, count: shape.reduce(1, *))
            tensors.append((name, try device.tensor(numbers, shape)))
        }
        let layers = LLaVANames.vision + ".encoder.layers."
        let last = "\(visionLayers - 1)"
        for (name, tensor) in parameters where name.hasPrefix(layers + "0.") {
            try unused(layers + last + name.dropFirst(layers.count + 1), tensor.shape)
        }
        for suffix in ["weight", "bias"] { try unused(LLaVANames.vision + ".post_layernorm." + suffix, [hiddenSize]) }
        try WorldParts.write(tensors, to: folder, as: dtype, device: device, progress: progress)
    }
}
