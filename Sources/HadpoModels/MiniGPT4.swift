import HadpoAutograd
import HadpoBase
import HadpoNN
import HadpoTensor
import HadpoText
import HadpoVision
import HadpoWeights

// MiniGPT-4 on Llama-2-chat: EVA ViT-g -> ln_vision -> class row dropped, four neighbouring patches side by side -> one linear layer
// -> Llama decoder, whose sequence has the picture's rows between <Img> and </Img>. No Q-Former.
//
// Dimensions: I pictures, P patches a picture, E vision width, C decoder width.

package final class MiniGPT4: VisionLanguageModel {
    package var family: ModelFamily { .minigpt4 }
    package let device: Device
    package let conversation: any Conversation
    package let pipeline: ImagePipeline
    package var opened = OpenedFiles()
    package var eosIDs: [Int32]
    package var generation = GenerationSettings()

    package let visionConfig: EVAVisionConfig
    private let textConfig: LlamaConfig
    private var vision: EVAVision
    private var lnVision: LayerNorm
    package private(set) var projector: [Linear]
    package let openedProjector: [Linear]
    package var referenceProjector: [Linear]
    package var loadedAdapter: LoadedAdapter?
    package private(set) var decoder: LlamaDecoder
    package private(set) var trainedParameters: [(name: String, value: Value)] = []

    /// Patches that lie side by side in one row of the decoder.
    static let group = 4
    /// Of `ln_vision`: the constructor default upstream, 1e-5, not the tower's 1e-6.
    static let normEpsilon: Float = 1e-5

    package init(
        vision visionConfig: EVAVisionConfig, text: LlamaConfig, source: any ParameterSource, device: Device,
        tokenizer: any Tokenizer, pipeline: ImagePipeline, generationBOS: Int32? = nil
    ) throws(HadpoError) {
        self.device = device
        self.pipeline = pipeline
        self.visionConfig = visionConfig
        textConfig = text
        conversation = MiniGPT4Conversation(tokenizer, generationBOS: generationBOS)
        eosIDs = tokenizer.eosID.map { [$0] } ?? []
        vision = try EVAVision(source, prefix: EVAFiles.prefix, visionConfig, device: device)
        lnVision = try LayerNorm(source, EVAFiles.norm, visionConfig.width, epsilon: Self.normEpsilon)
        let layer = try Linear(
            source, MiniGPT4Names.projector, inputs: Self.group * visionConfig.width, outputs: text.width, bias: true)
        projector = [layer]
        openedProjector = [layer]
        referenceProjector = [layer]
        decoder = try LlamaDecoder(source, prefix: MiniGPT4Names.decoder, head: MiniGPT4Names.head, text)
    }

    package var outerLinears: [OuterLinear] {
        OuterLinear.eva(vision.linears) + projector.map { OuterLinear($0, isTower: false) }
    }

    package var imageRows: Int { visionConfig.patches / Self.group }
    package var featureRows: Int { imageRows }

    /// [I * P/4, 4E]: row j of a picture is its patches 4j ... 4j+3, in raster order.
    package func features(_ tape: Tape, _ pixels: [Block<Float>]) throws(HadpoError) -> Value {
        let x = try lnVision(tape, vision(tape, pixels))
        let rows = 1 + visionConfig.patches
        let patches = try tape.concatenate(pixels.indices.map { (x, $0 * rows + 1..<($0 + 1) * rows) })
        let features = try tape.reshape(patches, [pixels.count * imageRows, Self.group * visionConfig.width])
        try tape.observer?.observe("vision.features", features.data)
        return features
    }

    package func project(_ tape: Tape, _ features: Value, _ instructions: [[Int32]], reference: Bool) throws(HadpoError) -> Value
    {
        let projected = try (reference ? referenceProjector : projector)[0](tape, features)
        try tape.observer?.observe("projected", projected.data)
        return projected
    }

    package var projectorNames: [String] { ["llama_proj"] }
    package func replaceProjector(_ layers: [Linear]?) { projector = layers ?? openedProjector }

    package func part(of parameter: String) -> ModelPart {
        if parameter.hasPrefix(EVAFiles.prefix + ".") { return .vision }
        return parameter.hasPrefix(MiniGPT4Names.projector) ? .projector : .decoder
    }

    package func replace(_ parts: Set<ModelPart>, from source: CheckpointParameters) throws(HadpoError) {
        if parts.contains(.vision) {
            vision = try EVAVision(source, prefix: EVAFiles.prefix, visionConfig, device: device)
            lnVision = try LayerNorm(source, EVAFiles.norm, visionConfig.width, epsilon: Self.normEpsilon)
        }
        if parts.contains(.decoder) {
            decoder = try LlamaDecoder(source, prefix: MiniGPT4Names.decoder, head: MiniGPT4Names.head, textConfig)
        }
        trainedParameters = source.trainable
    }

    package var configuration: Any { (visionConfig, textConfig) }
    package var visionDescription: JSON { .object(EVAFiles.description(visionConfig) + [.init("group", JSON(Self.group))]) }
}

// MARK: prompts

/// MiniGPT-4's prompts. Every stretch of text around the picture is tokenised for itself, and an answer too.
package struct MiniGPT4Conversation: Conversation {
    package let tokenizer: any Tokenizer

    /// What the folder's generation settings call BOS; nil: the tokenizer's.
    private let generationBOS: Int32?

    package init(_ tokenizer: any Tokenizer, generationBOS: Int32? = nil) {
        self.tokenizer = tokenizer
        self.generationBOS = generationBOS
    }

    package var vocabulary: String { tokenizer.fingerprint }

    private static let system =
        "Give the following image: <Img>ImageContent</Img>. You will be able to see the image once I provide it to you. "
        + "Please answer my questions."

    /// Upstream trains without a system text, and evaluates with one and a second, written-out `<s>`; there the end is stripped, and
    /// with it the space behind [/INST].
    package func text(question: String, template: PromptTemplate) -> String {
        switch template {
        case .hadpoTrain, .hf: "[INST] <Img>\(PromptTemplate.image)</Img> \(question) [/INST] "
        case .hadpoEval: "\(Self.system)<s>[INST] <Img>\(PromptTemplate.image)</Img> \(question) [/INST]"
        case .raw: question
        }
    }

    package func prompt(question: String, template: PromptTemplate, sample: String) throws(HadpoError) -> PromptTokens {
        try prompt(text: text(question: question, template: template), template: template, sample: sample)
    }

    package func prompt(text: String, template: PromptTemplate, sample: String) throws(HadpoError) -> PromptTokens {
        let (before, after) = try PromptTokens.cut(text, sample: sample)
        return PromptTokens(
            before: tokenizer.encode(before, addBOS: true), after: tokenizer.encode(after, addBOS: false))
    }

    /// Upstream generates from embeddings: there are no ids but, in 4.31, one BOS.
    package func history(_ prompt: [Int32], rule: TransformersRule) -> [Int32] {
        rule == .v431 ? (generationBOS ?? tokenizer.bosID).map { [$0] } ?? [] : []
    }

    /// What HA-DPO's `Chat.answer` writes: the text up to "###" and behind the last "Assistant:", and then any of the characters
    /// "<", "/", "s", ">" taken off both ends, which also eats the s of an answer that ends in "dogs</s>".
    package func upstreamText(_ ids: [Int32]) -> String {
        var ids = ids[...]
        if ids.first == 0 { ids = ids.dropFirst() }
        if ids.first == tokenizer.bosID { ids = ids.dropFirst() }
        var text = tokenizer.decode(ids, skipSpecial: false)
        text = PromptTokens.split(text, at: "###").first ?? ""
        text = PromptTokens.split(text, at: "Assistant:").last ?? ""
        return stripped(stripped(stripped(text) { $0.properties.isWhitespace }) { "</s>".unicodeScalars.contains($0) }) {
            $0.properties.isWhitespace
        }
    }

    private func stripped(_ text: String, _ isStripped: (Unicode.Scalar) -> Bool) -> String {
        let scalars = text.unicodeScalars
        guard let first = scalars.firstIndex(where: { !isStripped($0) }), let last = scalars.lastIndex(where: { !isStripped($0) })
        else { return "" }
        return String(scalars[first...last])
    }
}

// MARK: files

/// The network's own names.
package enum MiniGPT4Names {
    package static let projector = "llama_proj"
    package static let decoder = LLaVANames.decoder
    package static let head = LLaVANames.head
}

/// MiniGPT-4 as published: the folder of Llama-2-7b-chat, `eva_vit_g.pth`, and `pretrained_minigpt4_llama2_7b.pth` with the projection.
package final class MiniGPT4Folder: ModelFolder {
    package var family: ModelFamily { .minigpt4 }
    package var layoutName: String { "minigpt4" }
    package let path: String
    package let checkpoint: Checkpoint
    package let notes: [String]
    private let tower: Checkpoint
    private let projection: Checkpoint
    package let vision: EVAVisionConfig
    package let text: LlamaConfig
    private let names: [(own: String, file: String)]
    package let reading = FolderReading()
    package let generation: GenerationSettings

    /// - Parameters:
    ///   - json: config.json of the language model.
    ///   - projection: the file with `llama_proj`.
    package init(_ json: JSON, _ projection: Checkpoint, _ files: ModelFiles, arena: Arena, progress: any Progress)
        throws(HadpoError)
    {
        path = files.path
        self.projection = projection
        checkpoint = try Checkpoint.open(path, load: files.load, arena: arena, progress: progress)
        names = LLaVANames.table(checkpoint)
        let fields = reading.fields(json, "config.json", in: path)
        var text = try LlamaConfig(languageModel: fields)
        LLaVANames.untieWithHead(&text, names, reading)
        self.text = text
        generation = try GenerationSettings.read(path, [fields], reading, fromEmbeddings: true)
        try EVAFiles.refuseForeign(projection, ["visual_encoder.", "llama_model.", "Qformer.", "query_tokens"])
        tower = try EVAFiles.openTower(files, arena: arena, progress: progress)
        vision = try EVAFiles.config(tower, imageSize: files.imageSize)
        guard vision.patches % MiniGPT4.group == 0 else {
            throw HadpoError(
                .weights, "the pictures' patches cannot be put together in fours", at: tower.path,
                found: "\(vision.patches) patches", expected: "a multiple of \(MiniGPT4.group)")
        }
        var notes: [String] = []
        if !projection.contains("ln_vision.weight") {
            // Upstream constructs it and never loads it.
            notes.append("ln_vision is in no file: weight 1, bias 0, epsilon 1e-5, as upstream's is")
        }
        notes += [
            EVAFiles.unusedOfTower(tower, vision),
            EVAFiles.unused(projection) { $0.hasPrefix("llama_proj.") || $0.hasPrefix("ln_vision.") },
        ].compactMap { $0 }
        self.notes = notes
    }

    package var checkpoints: [Checkpoint] { [checkpoint, tower, projection] }
    /// Upstream puts the adapter on the language model alone, under its own names.
    package var adapterLayout: AdapterLayout { .original }

    package func locate(_ name: String) -> ParameterPlace {
        if name.hasPrefix(EVAFiles.norm) {
            let stored = "ln_vision" + name.dropFirst(EVAFiles.norm.count)
            return projection.contains(stored)
                ? ParameterPlace(projection, stored)
                : ParameterPlace(projection, stored, .constant(stored.hasSuffix(".bias") ? 0 : 1))
        }
        if name.hasPrefix(EVAFiles.prefix + ".") { return EVAFiles.place(name, tower, vision) }
        if name.hasPrefix(MiniGPT4Names.projector) { return ParameterPlace(projection, name) }
        return ParameterPlace(checkpoint, LLaVANames.spell(name, names))
    }

    package func isLeftAlone(_ tensor: String, in checkpoint: Checkpoint) -> Bool {
        if checkpoint === tower { return EVAFiles.isLeftAlone(tensor, vision) }
        return checkpoint === projection
            ? !tensor.hasPrefix("llama_proj.") && !tensor.hasPrefix("ln_vision.")
            : LLaVANames.leftAlone.contains(where: tensor.hasSuffix)
    }

    package func makeModel(
        device: Device, processor: ImageProcessorChoice, weights: WeightFormat, progress: any Progress
    ) throws(HadpoError) -> any VisionLanguageModel {
        // Upstream reads the slow one, and where text follows a written-out <s> the fast one differs.
        let hasModel = File.exists(File.join(path, "tokenizer.model"))
        let tokenizer = try hasModel ? TokenizerFile.loadSlow(directory: path) : TokenizerFile.load(directory: path)
        let pipeline = try EVAFiles.pipeline(vision, processor, at: path)
        let model = try MiniGPT4(
            vision: vision, text: text, source: parameters(device: device, weights: weights), device: device,
            tokenizer: tokenizer,
            pipeline: pipeline, generationBOS: generation.bosID)
        model.adopt(generation)
        return model
    }
}
