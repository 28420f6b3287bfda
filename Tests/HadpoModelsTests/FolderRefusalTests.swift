import HadpoBase
import HadpoModels
import HadpoTensor
import HadpoTestSupport
import HadpoVision
import HadpoWeights
import Testing

/// Folders that look like a known model and are another: each is refused by a sentence that names what tells it.
@Suite struct FolderRefusalTests {
    private struct Stranger: Sendable, CustomStringConvertible {
        let name: String
        let fixture: String
        var file = "config.json"
        var under: [String] = []
        let changes: JSON
        /// What the refusal says.
        let named: String

        var description: String { name }
    }

    private static let hf = "llava/old-f32", original = "llava/original-f16", blip = "instructblip/hf"

    private static let strangers: [Stranger] = [
        Stranger(
            name: "LLaVA-1.6, original", fixture: original,
            changes: [
                "image_aspect_ratio": "anyres", "mm_patch_merge_type": "spatial_unpad", "image_grid_pinpoints": [[336, 672]],
            ],
            named: "/image_aspect_ratio"),
        Stranger(
            name: "another SentencePiece", fixture: "llava/old-f32", file: "tokenizer_config.json",
            changes: ["sp_model_kwargs": ["enable_sampling": true]], named: "/sp_model_kwargs"),
        Stranger(
            name: "LLaVA-1.6, converted", fixture: "llava/old-f32", changes: ["image_aspect_ratio": "anyres"],
            named: "/image_aspect_ratio"),
        Stranger(
            name: "its grid alone", fixture: "llava/old-f32", changes: ["image_grid_pinpoints": [[336, 672]]],
            named: "/image_grid_pinpoints"),
        Stranger(
            name: "parts put together in space", fixture: original, changes: ["mm_patch_merge_type": "spatial_unpad"],
            named: "/mm_patch_merge_type"),
        Stranger(name: "highres", fixture: original, changes: ["image_aspect_ratio": "highres"], named: "/image_aspect_ratio"),
        Stranger(name: "S2", fixture: original, changes: ["s2": true, "s2_scales": "336,672,1008"], named: "/s2"),
        Stranger(
            name: "LLaVA on Mistral, original", fixture: original, changes: ["model_type": "llava_mistral"], named: "/model_type"),
        Stranger(
            name: "its architecture alone", fixture: original, changes: ["architectures": ["LlavaMistralForCausalLM"]],
            named: "/architectures"),
        Stranger(name: "LLaVA on Qwen, original", fixture: original, changes: ["model_type": "llava_qwen"], named: "/model_type"),
        Stranger(name: "MobileVLM", fixture: original, changes: ["mm_projector_type": "ldpnetv2"], named: "/mm_projector_type"),
        Stranger(
            name: "a resampler", fixture: original, changes: ["mm_resampler_type": "perceiver"], named: "/mm_resampler_type"),
        Stranger(
            name: "Video-LLaVA, original", fixture: original, changes: ["mm_video_tower": "LanguageBind/Video"],
            named: "/mm_video_tower"),
        Stranger(
            name: "a tower that was trained and is not there", fixture: original, changes: ["unfreeze_mm_vision_tower": true],
            named: "/unfreeze_mm_vision_tower"),
        Stranger(
            name: "a projector for another tower", fixture: original, changes: ["mm_hidden_size": 1024], named: "/mm_hidden_size"),
        Stranger(name: "without its projector", fixture: original, changes: ["use_mm_proj": false], named: "/use_mm_proj"),
        Stranger(name: "a window", fixture: original, changes: ["sliding_window": 4096], named: "/sliding_window"),
        Stranger(
            name: "another CLIP", fixture: original, file: "openai/clip-vit-tiny-patch14-42/config.json",
            under: ["vision_config"], changes: ["model_type": "siglip_vision_model"], named: "/vision_config/model_type"),
        Stranger(
            name: "two sizes of a tower", fixture: original, file: "openai/clip-vit-tiny-patch14-42/config.json",
            changes: ["vision_config_dict": ["hidden_size": 16, "patch_size": 7]], named: "/vision_config/patch_size"),
        Stranger(name: "LLaVA-1.6", fixture: hf, changes: ["model_type": "llava_next"], named: "/model_type"),
        Stranger(name: "VipLLaVA", fixture: hf, changes: ["model_type": "vipllava"], named: "/model_type"),
        Stranger(name: "LLaVA-OneVision", fixture: hf, changes: ["model_type": "llava_onevision"], named: "/model_type"),
        Stranger(name: "Video-LLaVA", fixture: hf, changes: ["model_type": "video_llava"], named: "/model_type"),
        Stranger(
            name: "BakLLaVA", fixture: hf, under: ["text_config"], changes: ["model_type": "mistral"],
            named: "/text_config/model_type"),
        Stranger(
            name: "Qwen within LLaVA", fixture: hf, under: ["text_config"], changes: ["model_type": "qwen2"],
            named: "/text_config/model_type"),
        Stranger(
            name: "its architecture alone within", fixture: hf, under: ["text_config"],
            changes: ["architectures": ["MistralForCausalLM"]], named: "/text_config/architectures"),
        Stranger(
            name: "biases", fixture: hf, under: ["text_config"], changes: ["attention_bias": true],
            named: "/text_config/attention_bias"),
        Stranger(
            name: "biases, as a number", fixture: hf, under: ["text_config"], changes: ["attention_bias": 1],
            named: "/text_config/attention_bias"),
        Stranger(
            name: "biases of the MLP", fixture: hf, under: ["text_config"], changes: ["mlp_bias": true],
            named: "/text_config/mlp_bias"),
        Stranger(
            name: "a window within", fixture: hf, under: ["text_config"], changes: ["sliding_window": 4096],
            named: "/text_config/sliding_window"),
        Stranger(
            name: "windows by layer", fixture: hf, under: ["text_config"],
            changes: ["layer_types": ["full_attention", "sliding_attention", "full_attention"]], named: "/text_config/layer_types"
        ),
        Stranger(
            name: "half a head rotated", fixture: hf, under: ["text_config"], changes: ["partial_rotary_factor": 0.5],
            named: "/text_config/partial_rotary_factor"),
        Stranger(
            name: "rope that grows", fixture: hf, under: ["text_config"],
            changes: ["rope_scaling": ["type": "dynamic", "factor": 2]], named: "/text_config/rope_scaling/type"),
        Stranger(
            name: "yarn", fixture: hf, under: ["text_config"], changes: ["rope_parameters": ["rope_type": "yarn", "factor": 2]],
            named: "/text_config/rope_parameters/rope_type"),
        Stranger(
            name: "linear rope by nothing", fixture: hf, under: ["text_config"], changes: ["rope_scaling": ["type": "linear"]],
            named: "/text_config/rope_scaling/factor"),
        Stranger(
            name: "llama3 rope by nothing", fixture: hf, under: ["text_config"],
            changes: ["rope_scaling": ["rope_type": "llama3", "factor": 8]], named: "/text_config/rope_scaling/low_freq_factor"),
        Stranger(
            name: "two types of rope", fixture: hf, under: ["text_config"],
            changes: ["rope_scaling": ["rope_type": "linear", "type": "dynamic", "factor": 2]],
            named: "/text_config/rope_scaling/type"),
        Stranger(
            name: "GPTQ", fixture: hf, changes: ["quantization_config": ["quant_method": "gptq", "bits": 4]],
            named: "/quantization_config"),
        Stranger(
            name: "AWQ within", fixture: hf, under: ["text_config"], changes: ["quantization_config": ["quant_method": "awq"]],
            named: "/text_config/quantization_config"),
        Stranger(
            name: "several layers of the tower", fixture: hf, changes: ["vision_feature_layer": [-2, -5]],
            named: "/vision_feature_layer"),
        Stranger(
            name: "a projector without biases", fixture: hf, changes: ["multimodal_projector_bias": false],
            named: "/multimodal_projector_bias"),
        Stranger(
            name: "an activation nobody has", fixture: hf, under: ["vision_config"], changes: ["hidden_act": "swiglu"],
            named: "/vision_config/hidden_act"),
        Stranger(
            name: "one channel", fixture: hf, under: ["vision_config"], changes: ["num_channels": 1],
            named: "/vision_config/num_channels"),
        Stranger(
            name: "LLaVA-1.6's processor", fixture: hf, file: "preprocessor_config.json",
            changes: ["image_processor_type": "LlavaNextImageProcessor"], named: "/image_processor_type"),
        Stranger(
            name: "BLIP-2", fixture: blip, changes: ["model_type": "blip-2", "architectures": ["Blip2ForConditionalGeneration"]],
            named: "/model_type"),
        Stranger(
            name: "InstructBLIP for videos", fixture: blip, changes: ["model_type": "instructblipvideo"], named: "/model_type"),
        Stranger(
            name: "InstructBLIP on Flan-T5", fixture: blip, under: ["text_config"],
            changes: ["model_type": "t5", "architectures": ["T5ForConditionalGeneration"]], named: "/text_config/model_type"),
        Stranger(
            name: "the same, by its own word", fixture: blip, changes: ["use_decoder_only_language_model": false],
            named: "/use_decoder_only_language_model"),
        Stranger(
            name: "a Q-Former with relative positions", fixture: blip, under: ["qformer_config"],
            changes: ["position_embedding_type": "relative_key"], named: "/qformer_config/position_embedding_type"),
        Stranger(
            name: "a Q-Former that reads nothing", fixture: blip, under: ["qformer_config"],
            changes: ["use_qformer_text_input": false], named: "/qformer_config/use_qformer_text_input"),
        Stranger(
            name: "a tower without biases", fixture: blip, under: ["vision_config"], changes: ["qkv_bias": false],
            named: "/vision_config/qkv_bias"),
        Stranger(
            name: "MiniGPT-4 on Mistral", fixture: "minigpt4", file: "llm/config.json", changes: ["model_type": "mistral"],
            named: "/model_type"),
        Stranger(
            name: "MiniGPT-4 on Mistral, by its architecture", fixture: "minigpt4", file: "llm/config.json",
            changes: ["architectures": ["MistralForCausalLM"]], named: "/architectures"),
        Stranger(
            name: "LAVIS on a Llama with a window", fixture: "instructblip/lavis", file: "llm/config.json",
            changes: ["sliding_window": 512], named: "/sliding_window"),
        Stranger(
            name: "another BERT", fixture: "instructblip/lavis", file: "bert-base-uncased/config.json",
            changes: ["hidden_size": 64], named: "/hidden_size"),
        Stranger(
            name: "no runs of three", fixture: hf, file: "generation_config.json", changes: ["no_repeat_ngram_size": 3],
            named: "/no_repeat_ngram_size"),
        Stranger(
            name: "a first token that must come", fixture: hf, file: "generation_config.json",
            changes: ["forced_bos_token_id": 5], named: "/forced_bos_token_id"),
        Stranger(
            name: "a bad word of no token", fixture: hf, file: "generation_config.json",
            changes: ["bad_words_ids": [[5, 99999]]], named: "bad_words_ids"),
        Stranger(
            name: "a bad word that is no list", fixture: hf, file: "generation_config.json", changes: ["bad_words_ids": [5]],
            named: "/bad_words_ids"),
        Stranger(
            name: "an end that is no id", fixture: hf, file: "generation_config.json", changes: ["eos_token_id": "</s>"],
            named: "/eos_token_id"),
    ]

    @Test("other models and unbuilt parts are refused by name, whatever the processor", arguments: strangers)
    private func refused(_ stranger: Stranger) throws {
        let folder = try ChangedFolder(FolderFixture.named(stranger.fixture))
        try folder.change(stranger.file, under: stranger.under, stranger.changes.objectValue ?? [])
        let isLLaVA = stranger.fixture.hasPrefix("llava")
        for processor in isLLaVA ? ImageProcessorChoice.allCases : [.checkpoint] {
            let error = #expect(throws: HadpoError.self) { try folder.open(processor) }
            let text = error.map { "\($0)" } ?? ""
            #expect(text.contains(stranger.named), "\(text)")
            #expect(error?.expected != nil, "\(text)")
        }
    }

    @Test("without a processor file a LLaVA-1.6 is refused too, and a LLaVA-1.5 says what it assumes")
    func noProcessor() throws {
        let folder = try ChangedFolder(FolderFixture.named(Self.hf))
        for file in ["preprocessor_config.json", "processor_config.json"] { try folder.write(file, nil) }
        #expect(try folder.see().notes.contains("no preprocessor_config.json"))
        try folder.change("config.json", [.init("model_type", "llava_next")])
        #expect(throws: HadpoError.self) { try folder.open() }
    }

    @Test("a key nobody knows is reported where it stands, and changes nothing")
    func unread() throws {
        let folder = try ChangedFolder(FolderFixture.named(Self.hf))
        let base = try folder.see()
        #expect(base.reading.unread.isEmpty)
        try folder.change("config.json", under: ["vision_config"], [.init("a/key~", 3)])
        let seen = try folder.see()
        #expect(seen.reading.unread == ["config.json: /vision_config/a~1key~0"])
        #expect(seen.isSame(base))
    }

    // MARK: tensors

    @Test(
        "weights beside the model's own that nothing reads are an error",
        arguments: [
            (hf, "language_model.model.layers.0.self_attn.q_proj.bias", [32]),
            (hf, "language_model.model.layers.1.self_attn.k_norm.weight", [8]),
            (hf, "language_model.model.layers.3.mlp.up_proj.weight", [4, 4]),
            (hf, "multi_modal_projector.linear_3.weight", [4, 4]),
            (hf, "vision_tower.vision_model.encoder.layers.0.self_attn.q_norm.weight", [4]),
            (hf, "vision_tower.vision_model.encoder.layers.3.mlp.fc1.bias", [4]),
            (hf, "language_model.image_newline", [32]), ("llava/tf5-f16", "model.image_newline", [32]),
            (blip, "language_model.model.layers.0.mlp.gate_proj.bias", [56]),
            (blip, "qformer.encoder.layer.1.crossattention.output.dense.bias", [32]),
            (blip, "vision_model.encoder.layers.2.mlp.fc1.bias", [32]), (blip, "language_projection.lora_A.weight", [4, 4]),
        ] as [(String, String, [Int])])
    func strangeTensors(_ fixture: String, _ name: String, _ shape: [Int]) throws {
        let folder = try ChangedFolder(FolderFixture.named(fixture))
        try folder.rewriteWeights(adding: [(name, shape)])
        let error = #expect(throws: HadpoError.self) { try folder.open() }
        #expect(error?.message == "the checkpoint holds weights that the network built from config.json has no place for")
        #expect(error?.found == name)
    }

    @Test(
        "tensors that everybody computes anew, or that lie behind what is used, are left alone",
        arguments: [
            (hf, "language_model.model.layers.0.self_attn.rotary_emb.inv_freq"),
            (hf, "vision_tower.vision_model.embeddings.position_ids"),
            (blip, "language_model.model.rotary_emb.inv_freq"),
        ])
    func harmlessTensors(_ fixture: String, _ name: String) throws {
        let folder = try ChangedFolder(FolderFixture.named(fixture))
        let base = try folder.see()
        try folder.rewriteWeights(adding: [(name, [4])])
        let seen = try folder.see()
        #expect(seen.isSame(base) && seen.notes == base.notes)
    }

    @Test("tensors of another part altogether are said")
    func apart() throws {
        let folder = try ChangedFolder(FolderFixture.named(Self.hf))
        let base = try folder.see()
        try folder.rewriteWeights(adding: [("optimizer.state.0", [4]), ("value_head.weight", [4])])
        let seen = try folder.see()
        #expect(seen.isSame(base))
        #expect(seen.notes.contains("2 tensors are not used: optimizer.state.0, value_head.weight"))
    }

    // MARK: pictures

    @Test("a folder's colours and filter hold under every processor", arguments: ImageProcessorChoice.allCases)
    func colours(_ choice: ImageProcessorChoice) throws {
        for (fixture, file) in [
            (Self.hf, "preprocessor_config.json"), (Self.original, "openai/clip-vit-tiny-patch14-42/preprocessor_config.json"),
        ] {
            let folder = try ChangedFolder(FolderFixture.named(fixture))
            let usual = try folder.open(choice).0.pipeline
            try folder.change(
                file, [.init("image_mean", [0.5, 0.5, 0.5]), .init("image_std", [0.25, 0.25, 0.25]), .init("resample", 2)])
            let changed = try folder.open(choice).0.pipeline
            #expect(changed.normalization == ImagePipeline.Normalization(mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25]))
            #expect(changed.resample == .bilinear && usual.resample == .bicubic)
            #expect(changed.pad == usual.pad && changed.crop == usual.crop && changed.resize == usual.resize)
            #expect(usual.pad == (choice == .pad || (choice == .checkpoint && fixture == Self.original)))
        }
    }

    @Test("InstructBLIP's own processor is read, at its size and at another")
    func blipProcessor() throws {
        let folder = try ChangedFolder(FolderFixture.named(Self.blip))
        let usual = try folder.open().0.pipeline
        #expect(try usual == ImagePipeline.blip(size: 20))
        try folder.change("preprocessor_config.json", [.init("image_mean", [0.5, 0.5, 0.5]), .init("resample", 2)])
        var files = folder.fixture.modelFiles(folder.path)
        for size in [0, 30] {
            files.imageSize = size
            let opened = try ModelFamily.openFolder(files, arena: folder.device.arena, progress: SilentProgress())
            let model = try opened.openModel(
                device: folder.device, processor: .checkpoint, weights: .stored, progress: SilentProgress())
            let side = size == 0 ? 20 : size
            #expect(model.pipeline.normalization?.mean == [0.5, 0.5, 0.5] && model.pipeline.resample == .bilinear)
            #expect(model.pipeline.resize == .exact(height: side, width: side))
        }
        try folder.change("preprocessor_config.json", [.init("size", ["height": 30, "width": 30])])
        let error = #expect(throws: HadpoError.self) { try folder.open() }
        #expect(error?.found == "30x30")
    }

    @Test("of two files with an image processor, processor_config.json's counts, as in transformers 5")
    func twoProcessors() throws {
        let folder = try ChangedFolder(FolderFixture.named(Self.hf))
        var inner = try folder.json("preprocessor_config.json")
        inner["image_mean"] = [0.5, 0.5, 0.5]
        try folder.change("processor_config.json", [.init("image_processor", inner)])
        let (model, opened) = try folder.open()
        #expect(model.pipeline.normalization?.mean == [0.5, 0.5, 0.5])
        #expect(opened.reading.notes.contains { $0.contains("preprocessor_config.json is not read") })
        try folder.change("processor_config.json", [.init("image_processor", .null)])
        #expect(try folder.open().0.pipeline.normalization == ImagePipeline.clipNormalization)
    }

    // MARK: towers

    @Test("an original LLaVA's own tower is used, not the CLIP folder's")
    func ownTower() throws {
        let folder = try ChangedFolder(FolderFixture.named(Self.original))
        let base = try folder.see()
        let clip = try Checkpoint.open(
            File.join(folder.fixture.path, "openai/clip-vit-tiny-patch14-42"), load: .read, arena: folder.device.arena,
            progress: SilentProgress())
        let own = try Checkpoint.open(folder.fixture.path, load: .read, arena: folder.device.arena, progress: SilentProgress())
        for isTrained in [false, true] {
            let prefix = "vision_model."
            let tower = clip.names.filter { $0.hasPrefix(prefix) && !$0.hasSuffix("position_ids") }
            let place = File.join(folder.path, "model.safetensors")
            let writer = try SafetensorsWriter(
                place,
                try own.names.map { TensorPlan($0, try own.tensor($0).dtype, try own.tensor($0).shape) }
                    + tower.map { TensorPlan("model.vision_tower.vision_tower." + $0, .f32, try clip.tensor($0).shape) },
                progress: SilentProgress())
            for name in own.names { try writer.write(name, try own.tensor(name)) }
            for name in tower {
                let copy = try folder.device.allocate(clip.tensor(name).shape)
                try folder.device.convert(clip.tensor(name), into: copy)
                if isTrained { try folder.device.scale(copy, by: 1.25) }
                try writer.write("model.vision_tower.vision_tower." + name, copy)
            }
            try writer.finish()
            try folder.change("config.json", [.init("unfreeze_mm_vision_tower", .bool(isTrained))])
            let seen = try folder.see()
            #expect(seen.notes.contains("the vision tower's weights are those in the checkpoint"))
            #expect((seen.logits == base.logits) == !isTrained)
        }
    }
}
