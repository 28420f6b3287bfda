import HadpoBase
import HadpoModels
import HadpoNN
import HadpoTensor
import HadpoText
import HadpoVision
import HadpoWeights

/// The world's MiniGPT-4 as the real one is published: the language model's folder, EVA's file and the projection's file.
package struct WorldMiniGPT4: WorldLayout {
    private static let languageModel = "Llama-2-7b-chat-hf"
    private static let tower = "eva_vit_g.pth"
    private static let projection = "pretrained_minigpt4_llama2_7b.pth"
    /// Four neighbours become one row for the decoder: of patches half as wide, as many rows as LLaVA's tower gives.
    static let vision = WorldParts.vision(patch: 8)

    let tokenizer = WorldTokenizer(
        texts: [
            "Give the following image: ImageContent You will be able to see the image once I provide it to you. "
                + "Please answer my questions."
        ],
        marks: ["[INST]", "<Img>", "</Img>", "[/INST]", "<Img>ImageContent</Img>."])

    package init() {}

    package var pieces: [String] { tokenizer.pieces.map(\.text) }
    package var weightFiles: [String] { [Self.languageModel + "/model.safetensors", Self.tower, Self.projection] }

    package func isFrozen(_ parameter: String) -> Bool { parameter.hasPrefix(EVAFiles.norm) }

    private var rows: Int { (tokenizer.pieces.count + 7) / 8 * 8 }

    package func write(to folder: String) throws(HadpoError) {
        let files: [(name: String, json: JSON)] = [
            ("config.json", WorldParts.llama(rows: rows)),
            ("generation_config.json", ["bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0]),
            (
                "tokenizer_config.json",
                [
                    "tokenizer_class": "LlamaTokenizer", "add_bos_token": true, "add_eos_token": false, "bos_token": "<s>",
                    "eos_token": "</s>", "unk_token": "<unk>", "pad_token": nil, "clean_up_tokenization_spaces": false,
                    "legacy": false, "model_max_length": 1024,
                ]
            ), ("special_tokens_map.json", ["bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"]),
        ]
        let place = File.join(folder, Self.languageModel)
        try WorldParts.write(files, to: place)
        try File.writeAtomically(File.join(place, "tokenizer.model"), tokenizer.model())
    }

    package func model(
        _ source: any ParameterSource, folder: String, device: Device
    ) throws(HadpoError) -> any VisionLanguageModel {
        let place = File.join(folder, Self.languageModel)
        let tokenizer = try TokenizerFile.loadSlow(directory: place)
        return try MiniGPT4(
            vision: Self.vision,
            text: LlamaConfig(config: File.readJSON(File.join(place, "config.json")), at: place), source: source, device: device,
            tokenizer: tokenizer, pipeline: .blip(size: WorldParts.imageSize))
    }

    package func save(
        _ parameters: [(name: String, tensor: Tensor)], to folder: String, as dtype: DType, device: Device,
        progress: any Progress
    ) throws(HadpoError) {
        let prefix = "language_model."
        try WorldParts.write(
            parameters.filter { $0.name.hasPrefix(prefix) }.map { (String($0.name.dropFirst(prefix.count)), $0.tensor) },
            to: File.join(folder, Self.languageModel), as: dtype, device: device, progress: progress)

        let vision = parameters.filter { $0.name.hasPrefix(EVAFiles.prefix + ".") && !isFrozen($0.name) }
        var tower: [(name: String, tensor: Tensor)] = []
        for (name, tensor) in try WorldParts.fused(vision, keyBias: false, device: device) {
            tower.append(try towerTensor(name, tensor, as: dtype, device))
        }
        let file = try TorchWriter(
            File.join(folder, Self.tower), tower.map { TensorPlan($0.name, $0.tensor.dtype, $0.tensor.shape) }, progress: progress
        )
        for (name, tensor) in tower { try file.write(name, tensor) }
        try file.finish()

        let projection = parameters.filter { $0.name.hasPrefix("llama_proj.") }
        let rest = try TorchWriter(
            File.join(folder, Self.projection), projection.map { TensorPlan($0.name, dtype, $0.tensor.shape) }, under: "model",
            progress: progress)
        for (name, tensor) in projection { try rest.write(name, try WorldParts.rounded(tensor, dtype, device)) }
        try rest.finish()
    }

    /// Under EVA's own name, in its shape and in the type it has there: matrices half, the rest full precision.
    private func towerTensor(
        _ name: String, _ tensor: Tensor, as dtype: DType, _ device: Device
    ) throws(HadpoError) -> (name: String, tensor: Tensor) {
        var own = name.dropFirst(EVAFiles.prefix.count + 1).description
        var shape = tensor.shape
        switch own {
        case "embeddings.class_embedding": (own, shape) = ("cls_token", [1, 1] + shape)
        case "embeddings.position_embedding": (own, shape) = ("pos_embed", [1] + shape)
        default:
            for (from, to) in [
                ("embeddings.patch_embedding", "patch_embed.proj"), ("encoder.layers.", "blocks."),
                ("self_attn.projection", "attn.proj"),
                ("self_attn.", "attn."), ("layer_norm", "norm"),
            ] {
                if let place = PromptTokens.split(own, at: from).first, place.utf8.count < own.utf8.count {
                    own = place + to + own.dropFirst(place.count + from.count)
                }
            }
        }
        let isMatrix = own.hasSuffix(".weight") && shape.count > 1
        return (own, try WorldParts.rounded(tensor, isMatrix ? dtype : .f32, device).reshaped(shape))
    }
}
