import HadpoAutograd
import HadpoBase
import HadpoNN
import HadpoTensor
import HadpoText
import HadpoVision
import HadpoWeights

// LLaVA-1.5: CLIP ViT (second to last layer, class row dropped) -> two linear layers with GELU -> Llama decoder, whose
// sequence has the picture's rows in the place of the <image> token.

package final class LLaVA15: VisionLanguageModel {
    package var family: ModelFamily { .llava }
    package let config: LLaVAConfig
    package let device: Device
    package let conversation: any Conversation
    package let pipeline: ImagePipeline
    package var opened = OpenedFiles()
    package var eosIDs: [Int32]
    package var generation = GenerationSettings()

    package private(set) var vision: CLIPVision
    /// Linear layers of the projector as they are now: trained, or replaced by an adapter folder's.
    package private(set) var projector: [Linear]
    /// The projector as the checkpoint has it: the reference model's (DESIGN: the reference uses the initial projector).
    package let openedProjector: [Linear]
    package var referenceProjector: [Linear]
    package var loadedAdapter: LoadedAdapter?
    package private(set) var decoder: LlamaDecoder

    /// Names of the network's parts; each checkpoint layout spells them differently (`LLaVANames`).
    package init(
        config: LLaVAConfig, source: any ParameterSource, device: Device, tokenizer: any Tokenizer, pipeline: ImagePipeline
    ) throws(HadpoError) {
        self.config = config
        self.device = device
        conversation = LLaVAConversation(tokenizer)
        self.pipeline = pipeline
        eosIDs = tokenizer.eosID.map { [$0] } ?? []
        vision = try CLIPVision(source, prefix: LLaVANames.vision, config.vision, selectLayer: config.selectLayer)
        projector = try LLaVA15.makeProjector(config, source)
        openedProjector = projector
        referenceProjector = projector
        decoder = try LlamaDecoder(source, prefix: LLaVANames.decoder, head: LLaVANames.head, config.text)
    }

    private static func makeProjector(_ config: LLaVAConfig, _ source: any ParameterSource) throws(HadpoError) -> [Linear] {
        var layers: [Linear] = []
        for i in 0..<config.projectorLayers {
            layers.append(
                try Linear(
                    source, "\(LLaVANames.projector)\(i + 1)", inputs: i == 0 ? config.vision.width : config.text.width,
                    outputs: config.text.width, bias: true))
        }
        return layers
    }

    /// Decoder and vision parameters that a training has replaced (method sft), by network name.
    package private(set) var trainedParameters: [(name: String, value: Value)] = []

    package func replace(_ parts: Set<ModelPart>, from source: CheckpointParameters) throws(HadpoError) {
        if parts.contains(.vision) {
            vision = try CLIPVision(source, prefix: LLaVANames.vision, config.vision, selectLayer: config.selectLayer)
        }
        if parts.contains(.decoder) {
            decoder = try LlamaDecoder(source, prefix: LLaVANames.decoder, head: LLaVANames.head, config.text)
        }
        trainedParameters = source.trainable
    }

    package func part(of parameter: String) -> ModelPart {
        if parameter.hasPrefix(LLaVANames.vision) { return .vision }
        return parameter.hasPrefix(LLaVANames.projector) ? .projector : .decoder
    }

    /// The projector is a Sequential upstream, with an activation between its layers.
    package var projectorNames: [String] { projector.indices.map { "mm_projector.\(2 * $0)" } }

    /// The projector with other numbers (an adapter folder's, or trainable copies); nil goes back to the checkpoint's.
    package func replaceProjector(_ layers: [Linear]?) { projector = layers ?? openedProjector }

    package var outerLinears: [OuterLinear] {
        vision.linears.map { OuterLinear($0, isTower: true) } + projector.map { OuterLinear($0, isTower: false) }
    }

    /// The tower's blocks behind the selected layer.
    package func uncomputed(_ module: String) -> (inputs: Int, outputs: Int)? {
        let root = LLaVANames.vision + ".encoder.layers."
        guard module.hasPrefix(root) else { return nil }
        let parts = module.dropFirst(root.count).split(separator: ".", maxSplits: 1)
        guard parts.count == 2, let block = Int(parts[0]), String(block) == parts[0],
            (vision.evaluatedBlocks..<config.vision.layers).contains(block)
        else { return nil }
        let (width, inner) = (config.vision.width, config.vision.feedForward)
        switch parts[1] {
        case "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj": return (width, width)
        case "mlp.fc1": return (width, inner)
        case "mlp.fc2": return (inner, width)
        default: return nil
        }
    }

    package var imageRows: Int { config.vision.patches + (config.keepsClassRow ? 1 : 0) }
    package var featureRows: Int { imageRows }

    package func features(_ tape: Tape, _ pixels: [Block<Float>]) throws(HadpoError) -> Value {
        let features = try vision(tape, pixels, keepsClassRow: config.keepsClassRow)
        try tape.observer?.observe("vision.features", features.data)
        return features
    }

    package func project(_ tape: Tape, _ features: Value, _ instructions: [[Int32]], reference: Bool) throws(HadpoError) -> Value
    {
        var x = features
        for (i, layer) in (reference ? referenceProjector : projector).enumerated() {
            if i > 0 { x = try tape.activation(config.projectorActivation, x) }
            x = try layer(tape, x)
        }
        try tape.observer?.observe("projected", x.data)
        return x
    }

    package var configuration: Any {
        var config = config
        config.visionTowerName = nil  // where somebody keeps it
        return config
    }

    package var visionDescription: JSON {
        [
            "width": JSON(config.vision.width), "layers": JSON(config.vision.layers), "image_size": JSON(config.vision.imageSize),
            "patch_size": JSON(config.vision.patchSize), "select_layer": JSON(config.selectLayer),
        ]
    }
}

/// The prompts of LLaVA-1.5: texts that are cut or tokenised around the picture (`PromptTemplate`), answers that continue them.
package struct LLaVAConversation: Conversation {
    package let tokenizer: any Tokenizer

    package init(_ tokenizer: any Tokenizer) { self.tokenizer = tokenizer }

    package var vocabulary: String { tokenizer.fingerprint }

    package func prompt(question: String, template: PromptTemplate, sample: String) throws(HadpoError) -> PromptTokens {
        try PromptTokens(question: question, template: template, tokenizer: tokenizer, sample: sample)
    }

    package func prompt(text: String, template: PromptTemplate, sample: String) throws(HadpoError) -> PromptTokens {
        try PromptTokens(text, splitting: template.splitting, tokenizer: tokenizer, sample: sample)
    }

    package func text(question: String, template: PromptTemplate) -> String { template.prompt(question: question) }

    /// All of the prompt's ids are there.
    package func history(_ prompt: [Int32], rule: TransformersRule) -> [Int32] { prompt }

    /// The end token stays.
    package func upstreamText(_ ids: [Int32]) -> String { tokenizer.decodeStripped(ids) }
}

/// The network's own names, and how the layouts on disk spell them.
package enum LLaVANames {
    package static let vision = "vision_tower.vision_model"
    package static let projector = "multi_modal_projector.linear_"
    package static let decoder = "language_model.model"
    package static let head = "language_model.lm_head"

    /// Own prefix -> spellings, tried in order on what the file holds. One row per part:
    /// transformers <= 4.51, 4.52 and later in memory, what transformers 5 writes, the original release.
    private static let spellings: [(own: String, probe: String, found: [String])] = [
        (decoder + ".", "embed_tokens.weight", ["language_model.model.", "model.language_model.", "model."]),
        (head + ".", "weight", ["language_model.lm_head.", "lm_head."]),
        (
            vision + ".", "pre_layrnorm.weight",
            [
                "vision_tower.vision_model.", "model.vision_tower.vision_model.", "vision_tower.", "model.vision_tower.",
                "model.vision_tower.vision_tower.vision_model.", "vision_model.",
            ]
        ),
        (
            projector + "1.", "weight",
            [
                "multi_modal_projector.linear_1.", "model.multi_modal_projector.linear_1.", "model.mm_projector.0.",
                "model.mm_projector.",
            ]
        ),
        (
            projector + "2.", "weight",
            ["multi_modal_projector.linear_2.", "model.multi_modal_projector.linear_2.", "model.mm_projector.2."]
        ),
        (projector + "3.", "weight", ["model.mm_projector.4."]),
    ]

    /// Endings of tensors that older versions of transformers wrote and everybody computes anew.
    package static let leftAlone = [".rotary_emb.inv_freq", ".position_ids"]
    /// Beginnings of what else is in CLIP's own file.
    package static let leftAloneOfCLIP = ["text_model.", "text_projection.", "visual_projection.", "logit_scale"]

    /// A checkpoint's own output matrix is used whatever config.json says of tied embeddings, as in transformers 5.
    static func untieWithHead(_ text: inout LlamaConfig, _ table: [(own: String, file: String)], _ reading: FolderReading) {
        guard text.tiedEmbeddings, table.contains(where: { $0.own == head + "." }) else { return }
        text.tiedEmbeddings = false
        reading.note("tie_word_embeddings says that there is no output matrix; the checkpoint has one, and it is used")
    }

    /// How this checkpoint spells each part: own prefix -> prefix in the file. Parts it does not have are left out.
    package static func table(_ checkpoint: Checkpoint) -> [(own: String, file: String)] {
        spellings.compactMap { row in
            row.found.first { SavedQuantized.holds(checkpoint, $0 + row.probe) }.map { (row.own, $0) }
        }
    }

    /// A network name in the file's spelling; unknown ones stay, so that an error names what was looked for.
    package static func spell(_ name: String, _ table: [(own: String, file: String)]) -> String {
        for row in table where name.hasPrefix(row.own) { return row.file + name.dropFirst(row.own.count) }
        return name
    }
}
