import HadpoAutograd
import HadpoBase
import HadpoNN
import HadpoTensor
import HadpoText
import HadpoVision
import HadpoWeights

// InstructBLIP on Vicuna: EVA ViT-g -> ln_vision -> Q-Former, whose queries read the instruction while they look -> one linear layer
// -> Llama decoder, whose sequence begins with the queries' rows. The picture's rows therefore depend on the question.
//
// Dimensions: I pictures, S = 1 + P feature rows a picture, E vision width, Q queries, W Q-Former width, C decoder width.

package struct InstructBLIPConfig: Sendable {
    package var vision: EVAVisionConfig
    /// Of the norm behind the tower: 1e-5 in the original code, and 1e-6 in transformers, which has one epsilon for all of them.
    package var normEpsilon: Float
    package var qformer: QFormerConfig
    package var text: LlamaConfig

    package init(vision: EVAVisionConfig, normEpsilon: Float, qformer: QFormerConfig, text: LlamaConfig) {
        self.vision = vision
        self.normEpsilon = normEpsilon
        self.qformer = qformer
        self.text = text
    }
}

package final class InstructBLIP: VisionLanguageModel {
    package var family: ModelFamily { .instructBLIP }
    package let config: InstructBLIPConfig
    package let device: Device
    package let conversation: any Conversation
    package let pipeline: ImagePipeline
    package var opened = OpenedFiles()
    package var eosIDs: [Int32]
    package var generation = GenerationSettings()

    private var vision: EVAVision
    private var lnVision: LayerNorm
    private var qformer: QFormer
    package private(set) var projector: [Linear]
    package let openedProjector: [Linear]
    package var referenceProjector: [Linear]
    package var loadedAdapter: LoadedAdapter?
    package private(set) var decoder: LlamaDecoder
    package private(set) var trainedParameters: [(name: String, value: Value)] = []

    package init(
        config: InstructBLIPConfig, source: any ParameterSource, device: Device, conversation: any Conversation,
        pipeline: ImagePipeline
    ) throws(HadpoError) {
        self.config = config
        self.device = device
        self.conversation = conversation
        self.pipeline = pipeline
        eosIDs = conversation.tokenizer.eosID.map { [$0] } ?? []
        vision = try EVAVision(source, prefix: EVAFiles.prefix, config.vision, device: device)
        lnVision = try LayerNorm(source, EVAFiles.norm, config.vision.width, epsilon: config.normEpsilon)
        qformer = try QFormer(
            source, prefix: InstructBLIPNames.qformer, queries: InstructBLIPNames.queries, config.qformer)
        let layer = try Linear(
            source, InstructBLIPNames.projector, inputs: config.qformer.width, outputs: config.text.width, bias: true)
        projector = [layer]
        openedProjector = [layer]
        referenceProjector = [layer]
        decoder = try LlamaDecoder(source, prefix: InstructBLIPNames.decoder, head: InstructBLIPNames.head, config.text)
    }

    package var outerLinears: [OuterLinear] {
        OuterLinear.eva(vision.linears) + (qformer.linears + projector).map { OuterLinear($0, isTower: false) }
    }

    package var imageRows: Int { config.qformer.queries }
    package var featureRows: Int { 1 + config.vision.patches }

    /// [I*S, E]
    package func features(_ tape: Tape, _ pixels: [Block<Float>]) throws(HadpoError) -> Value {
        let features = try lnVision(tape, vision(tape, pixels))
        try tape.observer?.observe("vision.features", features.data)
        return features
    }

    /// [I*Q, C]
    package func project(_ tape: Tape, _ features: Value, _ instructions: [[Int32]], reference: Bool) throws(HadpoError) -> Value
    {
        let queries = try qformer(tape, features, instructions)
        try tape.observer?.observe("qformer.output", queries.data)
        let projected = try (reference ? referenceProjector : projector)[0](tape, queries)
        try tape.observer?.observe("projected", projected.data)
        return projected
    }

    package var projectorNames: [String] { ["llm_proj"] }
    package func replaceProjector(_ layers: [Linear]?) { projector = layers ?? openedProjector }

    /// The Q-Former belongs to the vision side: preference training keeps both.
    package func part(of parameter: String) -> ModelPart {
        if parameter.hasPrefix(InstructBLIPNames.projector) { return .projector }
        return parameter.hasPrefix(InstructBLIPNames.languageModel) ? .decoder : .vision
    }

    package func replace(_ parts: Set<ModelPart>, from source: CheckpointParameters) throws(HadpoError) {
        if parts.contains(.vision) {
            vision = try EVAVision(source, prefix: EVAFiles.prefix, config.vision, device: device)
            lnVision = try LayerNorm(source, EVAFiles.norm, config.vision.width, epsilon: config.normEpsilon)
            qformer = try QFormer(
                source, prefix: InstructBLIPNames.qformer, queries: InstructBLIPNames.queries, config.qformer)
        }
        if parts.contains(.decoder) {
            decoder = try LlamaDecoder(source, prefix: InstructBLIPNames.decoder, head: InstructBLIPNames.head, config.text)
        }
        trainedParameters = source.trainable
    }

    package var configuration: Any { config }

    package var visionDescription: JSON {
        let q = config.qformer
        return .object(
            EVAFiles.description(config.vision) + [
                .init(
                    "qformer",
                    [
                        "width": JSON(q.width), "layers": JSON(q.layers), "heads": JSON(q.heads), "queries": JSON(q.queries),
                        "vocabulary": JSON(q.vocabulary),
                    ])
            ])
    }
}

// MARK: prompts

/// InstructBLIP's prompt is the bare question, read by the Q-Former and by the decoder, each with its own tokenizer.
package struct InstructBLIPConversation: Conversation {
    package let tokenizer: any Tokenizer
    private let instructionTokenizer: WordPieceTokenizer
    /// Positions that the Q-Former has for an instruction.
    private let longestInstruction: Int
    /// Vicuna's generation_config.json says 1, whatever the tokenizer calls BOS.
    private let generationBOS: Int32

    package init(
        _ tokenizer: any Tokenizer, instructions: WordPieceTokenizer, longestInstruction: Int, generationBOS: Int32 = 1
    ) {
        self.generationBOS = generationBOS
        self.tokenizer = tokenizer
        instructionTokenizer = instructions
        self.longestInstruction = longestInstruction
    }

    /// The Q-Former's is one of them.
    package var vocabulary: String {
        // One hash: whoever sees its first digits sees a change in either.
        SHA256.hex(Array((tokenizer.fingerprint + "+" + instructionTokenizer.fingerprint).utf8))
    }

    package func text(question: String, template: PromptTemplate) -> String {
        template == .raw ? question : PromptTemplate.image + question
    }

    package func prompt(question: String, template: PromptTemplate, sample: String) throws(HadpoError) -> PromptTokens {
        try prompt(text: text(question: question, template: template), template: template, sample: sample)
    }

    package func prompt(text: String, template: PromptTemplate, sample: String) throws(HadpoError) -> PromptTokens {
        let (before, question) = try PromptTokens.cut(text, sample: sample)
        guard before.isEmpty else {
            throw HadpoError(
                .argument, "InstructBLIP's sequence begins with the picture", at: sample, found: "text before <image>",
                expected: "<image> first")
        }
        let instruction = instructionTokenizer.encode(question)
        guard instruction.count <= longestInstruction else {
            throw HadpoError(
                .argument, "the question is longer than the Q-Former can read", at: sample,
                found: "\(instruction.count) tokens", expected: "at most \(longestInstruction)")
        }
        return PromptTokens(before: [], after: tokenizer.encode(question, addBOS: true), instruction: instruction)
    }

    /// Upstream generates from embeddings: there are no ids but, in 4.31, the one BOS of the generation settings.
    package func history(_ prompt: [Int32], rule: TransformersRule) -> [Int32] {
        rule == .v431 ? [generationBOS] : []
    }

    /// Id 0 is read as the end; special tokens are left out.
    package func upstreamText(_ ids: [Int32]) -> String {
        let text = tokenizer.decode(ids.map { $0 == 0 ? 2 : $0 }, skipSpecial: true).unicodeScalars
        guard let first = text.firstIndex(where: { !$0.properties.isWhitespace }),
            let last = text.lastIndex(where: { !$0.properties.isWhitespace })
        else { return "" }
        return String(text[first...last])
    }
}

// MARK: files

/// The network's own names: those of transformers' folder.
package enum InstructBLIPNames {
    package static let qformer = "qformer"
    package static let queries = "query_tokens"
    package static let projector = "language_projection"
    package static let languageModel = "language_model"
    package static let decoder = LLaVANames.decoder
    package static let head = LLaVANames.head
    /// Beginnings of what is left of the Q-Former's BERT: it predicts no words and has no pooled output.
    static let leftAlone = ["Qformer.cls.", "Qformer.bert.pooler.", "qformer.cls.", "qformer.pooler."]

    /// As LAVIS spells the Q-Former and the projection.
    static func lavis(_ name: String) -> String {
        if name.hasPrefix(projector) { return "llm_proj" + name.dropFirst(projector.count) }
        guard name.hasPrefix(qformer + ".") else { return name }
        var parts = name.split(separator: ".").map(String.init)
        parts[0] = "Qformer.bert"
        // attention.attention.query is attention.self.query, crossattention.attention.key is crossattention.self.key
        for i in parts.indices.dropFirst()
        where parts[i] == "attention" && (parts[i - 1] == "attention" || parts[i - 1] == "crossattention") {
            parts[i] = "self"
        }
        if parts[1] == "embeddings", parts[2] == "layernorm" { parts[2] = "LayerNorm" }
        return parts.joined(separator: ".")
    }
}

/// InstructBLIP on disk: one folder as transformers writes it, or LAVIS' three parts (Vicuna's folder, EVA's file, the trained rest).
package final class InstructBLIPFolder: ModelFolder {
    package enum Layout: String { case huggingFace = "hf", lavis }

    package var family: ModelFamily { .instructBLIP }
    package let layout: Layout
    package let path: String
    package let checkpoint: Checkpoint
    package let config: InstructBLIPConfig
    package let notes: [String]
    /// LAVIS: EVA's file and the trained rest; nil in a folder of transformers.
    private let parts: (tower: Checkpoint, rest: Checkpoint)?
    private let names: [(own: String, file: String)]
    private let vocabulary: WordPieceTokenizer
    private let tokenizer: any Tokenizer
    /// Rows of the embeddings that the language model's files lack: tokens that LAVIS adds.
    private let addedRows: Int
    package let reading = FolderReading()
    package let generation: GenerationSettings

    package var layoutName: String { layout.rawValue }
    package var checkpoints: [Checkpoint] { [checkpoint] + (parts.map { [$0.tower, $0.rest] } ?? []) }
    package var adapterLayout: AdapterLayout { layout == .lavis ? .original : .huggingFaceNested }

    /// - Parameter json: the folder's config.json.
    package init(huggingFace json: JSON, _ files: ModelFiles, arena: Arena, progress: any Progress) throws(HadpoError) {
        layout = .huggingFace
        path = files.path
        parts = nil
        addedRows = 0
        checkpoint = try Checkpoint.open(path, load: files.load, arena: arena, progress: progress)
        names = LLaVANames.table(checkpoint)
        let fields = reading.fields(json, "config.json", in: path)
        try Self.demandInstructBLIP(fields)
        let (v, q) = (try fields.object("vision_config"), try fields.object("qformer_config"))
        let (image, patch) = (try v.size("image_size", 224), try v.size("patch_size", 14))
        var vision = EVAVisionConfig(
            width: try v.size("hidden_size", 1408), feedForward: try v.size("intermediate_size", 6144),
            layers: try v.size("num_hidden_layers", 39), heads: try v.size("num_attention_heads", 16),
            imageSize: files.imageSize > 0 ? files.imageSize : image, patchSize: patch, storedGrid: image / patch)
        vision.epsilon = Float(try v.number("layer_norm_eps", 1e-6))
        vision.activation = try v.activation("hidden_act", "gelu")
        vision.hasKeyBias = true
        try v.demand("model_type", ["instructblip_vision_model"], "this vision tower is not InstructBLIP's")
        try v.demand("qkv_bias", [true], "a vision tower without biases of q and v is not supported")
        try v.demand("num_channels", [3], "pictures have three channels here")
        v.ignore(HarmlessKeys.ofPart)
        var qformer = QFormerConfig(
            width: try q.size("hidden_size", 768), feedForward: try q.size("intermediate_size", 3072),
            layers: try q.size("num_hidden_layers", 12), heads: try q.size("num_attention_heads", 12),
            crossFrequency: try q.size("cross_attention_frequency", 2),
            featureWidth: try q.size("encoder_hidden_size", vision.width),
            queries: try fields.size("num_query_tokens", 32), vocabulary: try q.size("vocab_size", 30522),
            maxPositions: try q.size("max_position_embeddings", 512))
        qformer.epsilon = Float(try q.number("layer_norm_eps", 1e-12))
        qformer.activation = try q.activation("hidden_act", "gelu")
        try q.demand("model_type", ["instructblip_qformer"], "this Q-Former is not InstructBLIP's")
        try q.demand("position_embedding_type", ["absolute"], "the Q-Former's positions are learned and absolute here")
        try q.demand("use_qformer_text_input", [true], "a Q-Former that reads no instruction: BLIP-2's, not InstructBLIP's")
        q.ignore(HarmlessKeys.qformer)
        let language = try fields.object("text_config")
        var text = try LlamaConfig(languageModel: language)
        // Its own word alone counts: transformers asks the language model, not the whole.
        LLaVANames.untieWithHead(&text, names, reading)
        config = InstructBLIPConfig(vision: vision, normEpsilon: vision.epsilon, qformer: qformer, text: text)
        generation = try GenerationSettings.read(path, [fields, language], reading, fromEmbeddings: true)
        try Self.check(config, at: path)
        tokenizer = try TokenizerFile.load(directory: path)
        vocabulary = try WordPieceTokenizer.load(directory: File.join(path, "qformer_tokenizer"))
        notes = []
        try checkInstructionVocabulary()
    }

    /// - Parameters:
    ///   - json: config.json of the language model.
    ///   - rest: Q-Former, queries, ln_vision and projection.
    package init(lavis json: JSON, _ rest: Checkpoint, _ files: ModelFiles, arena: Arena, progress: any Progress)
        throws(HadpoError)
    {
        layout = .lavis
        path = files.path
        checkpoint = try Checkpoint.open(path, load: files.load, arena: arena, progress: progress)
        names = LLaVANames.table(checkpoint)
        let tower = try EVAFiles.openTower(files, arena: arena, progress: progress)
        parts = (tower, rest)
        guard let bert = files.bert else {
            throw HadpoError(
                .weights, "the Q-Former's vocabulary is in a folder of its own; give it as bert", at: rest.path,
                expected: "a folder of bert-base-uncased with vocab.txt")
        }
        let vision = try EVAFiles.config(tower, imageSize: files.imageSize)
        let fields = reading.fields(json, "config.json", in: path)
        var text = try LlamaConfig(languageModel: fields)
        LLaVANames.untieWithHead(&text, names, reading)
        generation = try GenerationSettings.read(path, [fields], reading, fromEmbeddings: true)
        try EVAFiles.refuseForeign(rest, ["visual_encoder.", "llm_model.", "t5_"])
        tokenizer = try TokenizerFile.loadSlow(directory: path) { settings in
            // LAVIS calls </s> BOS, EOS and UNK at once and adds [PAD]; both are plain strings, so they take the white space around them.
            (settings.bos, settings.eos, settings.unk, settings.pad) = ("</s>", "</s>", "</s>", "[PAD]")
            settings.added += [
                AddedToken("</s>", id: -1, stripsLeft: true, stripsRight: true),
                AddedToken("[PAD]", id: -1, stripsLeft: true, stripsRight: true),
            ]
        }
        addedRows = max(0, tokenizer.vocabularyCount - text.vocabulary)
        // Each of those rows is an added token's. An id far behind the others would make rows, by the million, for tokens that are not there.
        for id in text.vocabulary..<text.vocabulary + addedRows {
            guard let token = Int32(exactly: id), tokenizer.isAdded(token) else {
                throw HadpoError(
                    .weights, "an added token's id leaves a gap behind the embeddings", at: path,
                    found: "\(tokenizer.vocabularyCount) ids, but no token \(id)",
                    expected: "ids without a gap from \(text.vocabulary), vocab_size, on; look at added_tokens.json")
            }
        }
        var notes: [String] = []
        if addedRows > 0 {
            notes.append(
                "the language model's \(text.vocabulary) embeddings lack \(addedRows) for [PAD]: zeros (upstream: random numbers)"
            )
        }
        text.vocabulary += addedRows
        let bertConfig = File.join(bert, "config.json")
        let bertJSON: JSON = File.exists(bertConfig) ? try File.readJSON(bertConfig, limits: .checkpoint) : .object([])
        config = InstructBLIPConfig(
            vision: vision, normEpsilon: 1e-5,
            qformer: try Self.qformer(rest, reading.fields(bertJSON, "bert/config.json", in: bert)), text: text)
        try Self.check(config, at: rest.path)
        vocabulary = try WordPieceTokenizer.load(directory: bert)
        let used = Set(["ln_vision.weight", "ln_vision.bias", "query_tokens", "llm_proj.weight", "llm_proj.bias"])
        notes += [
            EVAFiles.unusedOfTower(tower, vision),
            EVAFiles.unused(rest) { used.contains($0) || ($0.hasPrefix("Qformer.bert.") && !$0.hasSuffix("position_ids")) },
        ].compactMap { $0 }
        self.notes = notes
        try checkInstructionVocabulary()
    }

    /// Sizes of a Q-Former out of its tensors, and what they do not say out of BERT's configuration.
    private static func qformer(_ file: Checkpoint, _ bert: ModelFields) throws(HadpoError) -> QFormerConfig {
        let prefix = "Qformer.bert."
        func shape(_ name: String, _ rank: Int, _ missing: String) throws(HadpoError) -> [Int] {
            guard let info = file.info(name) else {
                throw HadpoError(.weights, missing, at: file.path, found: "no \(name)")
            }
            guard info.shape.count == rank, info.shape.allSatisfy({ (1...1 << 20).contains($0) }) else {
                throw HadpoError(
                    .weights, "tensor \(name) has an impossible shape", at: file.path, found: "\(info.shape)",
                    expected: "\(rank) dimensions")
            }
            return info.shape
        }
        let queries = try shape("query_tokens", 3, "the checkpoint has no queries")
        let words = try shape(
            prefix + "embeddings.word_embeddings.weight", 2,
            "a Q-Former that reads no instruction: BLIP-2's, not InstructBLIP's")
        let positions = try shape(
            prefix + "embeddings.position_embeddings.weight", 2, "a Q-Former that reads no instruction")
        let key = try shape(
            prefix + "encoder.layer.0.crossattention.self.key.weight", 2, "the Q-Former does not look at the picture")
        let feedForward = try shape(
            prefix + "encoder.layer.0.intermediate_query.dense.weight", 2, "the Q-Former is incomplete")[0]
        var layers = 0
        while layers < 1 << 10, file.contains("\(prefix)encoder.layer.\(layers).output_query.dense.weight") { layers += 1 }
        let second = (1..<max(2, layers)).first { file.contains("\(prefix)encoder.layer.\($0).crossattention.self.key.weight") }
        let width = queries[2]
        var config = QFormerConfig(
            width: width, feedForward: feedForward, layers: layers,
            heads: try bert.size("num_attention_heads", max(1, width / 64)), crossFrequency: second ?? max(1, layers),
            featureWidth: key[1], queries: queries[1], vocabulary: words[0], maxPositions: positions[0])
        config.epsilon = Float(try bert.number("layer_norm_eps", 1e-12))
        config.activation = try bert.activation("hidden_act", "gelu")
        try bert.demand("model_type", ["bert"], "the Q-Former begins as a BERT")
        try bert.demand("position_embedding_type", ["absolute"], "the Q-Former's positions are learned and absolute here")
        // LAVIS adds a token, [DEC].
        let sizes = [
            ("hidden_size", [width]), ("intermediate_size", [feedForward]), ("num_hidden_layers", [layers]),
            ("max_position_embeddings", [positions[0]]), ("vocab_size", [words[0], words[0] - 1]),
        ]
        for (key, found) in sizes {
            guard let given = try bert.optionalSize(key), !found.contains(given) else { continue }
            throw HadpoError(
                .weights, "the Q-Former's tensors have another size than BERT's configuration says", at: bert.at(key),
                found: "\(given)", expected: found.map(String.init).joined(separator: " or ") + ", as in \(file.path)")
        }
        bert.ignore(HarmlessKeys.qformer)
        return config
    }

    /// Models with the same parts that answer otherwise: BLIP-2, InstructBLIP on Flan-T5, and for videos.
    private static func demandInstructBLIP(_ fields: ModelFields) throws(HadpoError) {
        let another = "this is another model than InstructBLIP"
        try fields.demand("model_type", ["instructblip"], another)
        try fields.demand("architectures", [["InstructBlipForConditionalGeneration"]], another)
        try fields.demand("use_decoder_only_language_model", [true], another + " on a Llama (Vicuna)")
        try fields.demand("is_encoder_decoder", [false], another + " on a Llama (Vicuna)")
        try fields.demand("quantization_config", [], LlamaConfig.quantized)
        fields.ignore(HarmlessKeys.instructBLIP + ["tie_word_embeddings"])
    }

    private static func check(_ config: InstructBLIPConfig, at place: String) throws(HadpoError) {
        let (v, q) = (config.vision, config.qformer)
        guard v.width % v.heads == 0, v.imageSize % v.patchSize == 0, v.imageSize <= 4096, v.grid > 0, v.storedGrid > 0 else {
            throw HadpoError(
                .weights, "the vision tower's sizes do not fit together", at: place,
                found:
                    "image_size \(v.imageSize), patch_size \(v.patchSize), hidden_size \(v.width), num_attention_heads \(v.heads)"
            )
        }
        guard q.width % q.heads == 0, q.featureWidth == v.width else {
            throw HadpoError(
                .weights, "the Q-Former does not fit the vision tower", at: place,
                found:
                    "Q-Former of hidden_size \(q.width), num_attention_heads \(q.heads), encoder_hidden_size \(q.featureWidth)",
                expected: "encoder_hidden_size \(v.width), a width that the heads divide")
        }
    }

    private func checkInstructionVocabulary() throws(HadpoError) {
        guard vocabulary.vocabularyCount <= config.qformer.vocabulary else {
            throw HadpoError(
                .weights, "the Q-Former's vocabulary has more pieces than it has embeddings", at: path,
                found: "\(vocabulary.vocabularyCount) pieces", expected: "at most \(config.qformer.vocabulary), its vocab_size")
        }
    }

    package func locate(_ name: String) -> ParameterPlace {
        if name == InstructBLIPNames.queries {
            let q = config.qformer
            return ParameterPlace(parts?.rest ?? checkpoint, name, .reshaped([1, q.queries, q.width]))
        }
        guard let parts else {
            if name.hasPrefix(EVAFiles.prefix + "."), !name.hasPrefix(EVAFiles.norm) {
                return EVAFiles.huggingFacePlace(name, checkpoint, config.vision)
            }
            return ParameterPlace(checkpoint, LLaVANames.spell(name, names))
        }
        if name.hasPrefix(EVAFiles.norm) { return ParameterPlace(parts.rest, "ln_vision" + name.dropFirst(EVAFiles.norm.count)) }
        if name.hasPrefix(EVAFiles.prefix + ".") { return EVAFiles.place(name, parts.tower, config.vision) }
        guard name.hasPrefix(InstructBLIPNames.languageModel) else {
            return ParameterPlace(parts.rest, InstructBLIPNames.lavis(name))
        }
        let isTable = name.hasPrefix(InstructBLIPNames.head) || name.hasPrefix(InstructBLIPNames.decoder + ".embed_tokens")
        return ParameterPlace(
            checkpoint, LLaVANames.spell(name, names), isTable && addedRows > 0 ? .lackingRows(addedRows) : .same)
    }

    package func isLeftAlone(_ tensor: String, in checkpoint: Checkpoint) -> Bool {
        if checkpoint === parts?.tower { return EVAFiles.isLeftAlone(tensor, config.vision) }
        if LLaVANames.leftAlone.contains(where: tensor.hasSuffix) || tensor.hasSuffix(".position_ids") { return true }
        return InstructBLIPNames.leftAlone.contains(where: tensor.hasPrefix)
    }

    package func makeModel(
        device: Device, processor: ImageProcessorChoice, weights: WeightFormat, progress: any Progress
    ) throws(HadpoError) -> any VisionLanguageModel {
        let own = try layout == .huggingFace ? ProcessorFiles.pipeline(in: path, reading) : nil
        let pipeline = try EVAFiles.pipeline(config.vision, processor, own: own, at: path)
        let conversation = InstructBLIPConversation(
            tokenizer, instructions: vocabulary, longestInstruction: config.qformer.maxPositions,
            generationBOS: generation.bosID ?? 1)
        let model = try InstructBLIP(
            config: config, source: parameters(device: device, weights: weights), device: device, conversation: conversation,
            pipeline: pipeline)
        model.adopt(generation)
        return model
    }
}
