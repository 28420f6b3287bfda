import HadpoBase
import HadpoModels
import HadpoNN
import HadpoTensor
import HadpoText
import HadpoVision
import HadpoWeights

/// The world's InstructBLIP in the layout of transformers: one folder, with the Q-Former's vocabulary in a folder of its own.
package struct WorldInstructBLIP: WorldLayout {
    let tokenizer = WorldTokenizer(texts: [], marks: [])

    /// One query for each row by which the world's LLaVA shows a picture.
    static let queries = 16
    /// The tower of the world's MiniGPT-4.
    static let vision = WorldMiniGPT4.vision

    package init() {}

    package var pieces: [String] { tokenizer.pieces.map(\.text) }
    package var weightFiles: [String] { ["model.safetensors"] }

    package func isFrozen(_ parameter: String) -> Bool { false }

    private var padID: Int { tokenizer.pieces.count }
    private var rows: Int { (padID + 1 + 7) / 8 * 8 }

    /// Of BERT's special pieces, every character of the world's texts alone and inside a word, and every word.
    var vocabulary: [String] {
        var pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        let texts = WorldLanguage.allSentences.map { $0.lowercased() }
        let characters = Set(texts.joined()).filter { $0 != " " }.sorted()
        pieces += characters.map { String($0) } + characters.filter(\.isLetter).map { "##\($0)" }
        var seen = Set(pieces)
        for word in texts.flatMap({ $0.split { !$0.isLetter } }) where seen.insert(String(word)).inserted {
            pieces.append(String(word))
        }
        return pieces
    }

    private var qformer: QFormerConfig {
        QFormerConfig(
            width: 128, feedForward: 256, layers: 2, heads: 4, crossFrequency: 2, featureWidth: Self.vision.width,
            queries: Self.queries, vocabulary: vocabulary.count + 1, maxPositions: 64)
    }

    package func write(to folder: String) throws(HadpoError) {
        let (v, q) = (Self.vision, qformer)
        let special: JSON = ["bos_token": "</s>", "eos_token": "</s>", "unk_token": "</s>", "pad_token": "[PAD]"]
        let files: [(name: String, json: JSON)] = [
            (
                "config.json",
                [
                    "architectures": ["InstructBlipForConditionalGeneration"], "model_type": "instructblip",
                    "num_query_tokens": JSON(q.queries), "torch_dtype": "float16", "text_config": WorldParts.llama(rows: rows),
                    "vision_config": [
                        "model_type": "instructblip_vision_model", "hidden_size": JSON(v.width),
                        "intermediate_size": JSON(v.feedForward), "num_hidden_layers": JSON(v.layers),
                        "num_attention_heads": JSON(v.heads), "image_size": JSON(v.imageSize), "patch_size": JSON(v.patchSize),
                        "hidden_act": "gelu", "layer_norm_eps": 1e-6, "qkv_bias": true,
                    ],
                    "qformer_config": [
                        "model_type": "instructblip_qformer", "hidden_size": JSON(q.width),
                        "intermediate_size": JSON(q.feedForward), "num_hidden_layers": JSON(q.layers),
                        "num_attention_heads": JSON(q.heads), "cross_attention_frequency": JSON(q.crossFrequency),
                        "encoder_hidden_size": JSON(q.featureWidth), "vocab_size": JSON(q.vocabulary),
                        "max_position_embeddings": JSON(q.maxPositions), "layer_norm_eps": 1e-12, "hidden_act": "gelu",
                    ],
                ]
            ), ("generation_config.json", ["bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0]),
            (
                "preprocessor_config.json",
                [
                    "image_processor_type": "BlipImageProcessor", "processor_class": "InstructBlipProcessor",
                    "do_convert_rgb": true,
                    "do_resize": true, "size": ["height": JSON(v.imageSize), "width": JSON(v.imageSize)], "resample": 3,
                    "do_rescale": true, "rescale_factor": 0.00392156862745098, "do_normalize": true,
                    "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711],
                ]
            ),
            (
                "tokenizer_config.json",
                .object(
                    [
                        .init("tokenizer_class", "LlamaTokenizer"), .init("add_bos_token", true), .init("add_eos_token", false),
                        .init("clean_up_tokenization_spaces", false), .init("legacy", true), .init("model_max_length", 1024),
                    ] + (special.objectValue ?? []))
            ), ("special_tokens_map.json", special), ("added_tokens.json", ["[PAD]": JSON(padID)]),
        ]
        try WorldParts.write(files, to: folder)
        try File.writeAtomically(File.join(folder, "tokenizer.model"), tokenizer.model())
        let place = File.join(folder, "qformer_tokenizer")
        try WorldParts.write(
            [
                (
                    "tokenizer_config.json",
                    [
                        "tokenizer_class": "BertTokenizer", "do_lower_case": true, "bos_token": "[DEC]", "cls_token": "[CLS]",
                        "mask_token": "[MASK]", "pad_token": "[PAD]", "sep_token": "[SEP]", "unk_token": "[UNK]",
                    ]
                ), ("added_tokens.json", ["[DEC]": JSON(vocabulary.count)]),
            ], to: place)
        try File.writeAtomically(File.join(place, "vocab.txt"), vocabulary.joined(separator: "\n") + "\n")
    }

    package func model(
        _ source: any ParameterSource, folder: String, device: Device
    ) throws(HadpoError) -> any VisionLanguageModel {
        let json = try File.readJSON(File.join(folder, "config.json"))
        let text = try LlamaConfig(config: json["text_config"] ?? .null, at: folder)
        let tokenizer = try TokenizerFile.load(directory: folder)
        let vocabulary = try WordPieceTokenizer.load(directory: File.join(folder, "qformer_tokenizer"))
        return try InstructBLIP(
            config: InstructBLIPConfig(vision: Self.vision, normEpsilon: 1e-6, qformer: qformer, text: text),
            source: source,
            device: device,
            conversation: InstructBLIPConversation(
                tokenizer, instructions: vocabulary, longestInstruction: qformer.maxPositions),
            pipeline: .blip(size: WorldParts.imageSize))
    }

    package func save(
        _ parameters: [(name: String, tensor: Tensor)], to folder: String, as dtype: DType, device: Device,
        progress: any Progress
    ) throws(HadpoError) {
        var tensors: [(name: String, tensor: Tensor)] = []
        for (name, tensor) in try WorldParts.fused(parameters, keyBias: true, device: device) {
            switch name {
            case EVAFiles.prefix + ".embeddings.class_embedding":
                tensors.append((name, try tensor.reshaped([1, 1] + tensor.shape)))
            case EVAFiles.prefix + ".embeddings.position_embedding", InstructBLIPNames.queries:
                tensors.append((name, try tensor.reshaped([1] + tensor.shape)))
            default: tensors.append((name, tensor))
            }
        }
        try WorldParts.write(tensors, to: folder, as: dtype, device: device, progress: progress)
    }
}
