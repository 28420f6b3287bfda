import HadpoBase
import HadpoTensor
import HadpoWeights

/// The families of models. A family is one file with a network (`VisionLanguageModel`) and a folder (`ModelFolder`), and the lines here.
package enum ModelFamily: String, Sendable, CaseIterable {
    case llava = "llava-1.5"
    case minigpt4 = "minigpt4"
    case instructBLIP = "instructblip"

    /// Tells the family of files by what is in them, never by their names (they can be renamed).
    package static func openFolder(_ files: ModelFiles, arena: Arena, progress: any Progress) throws(HadpoError)
        -> any ModelFolder
    {
        let folder = try folder(of: files.resolved(arena: arena, progress: progress), arena: arena, progress: progress)
        try files.refuseUnused(by: folder)
        return folder
    }

    private static func folder(of files: ModelFiles, arena: Arena, progress: any Progress) throws(HadpoError) -> any ModelFolder {
        guard File.isDirectory(files.path) else {
            throw HadpoError(
                .io, "the model folder does not exist", at: files.path, expected: "a folder with config.json and weights")
        }
        let config = File.join(files.path, "config.json")
        let json = try File.readJSON(config, limits: .checkpoint)
        guard json.objectValue != nil else {
            throw HadpoError(.weights, "config.json is not an object", at: config, found: json.kind)
        }
        try refuseUnknown(json, config)
        if json["qformer_config"] != nil {
            return try InstructBLIPFolder(huggingFace: json, files, arena: arena, progress: progress)
        }
        if json["mm_vision_tower"] != nil || json["vision_config"] != nil {
            return try LLaVAFolder(json, files, arena: arena, progress: progress)
        }
        guard let path = files.checkpoint else {
            throw HadpoError(
                .weights, "a language model alone: nothing in its folder looks at pictures", at: config,
                found: "no vision_config, mm_vision_tower or qformer_config",
                expected:
                    "a vision-language model, or vision_tower (eva_vit_g.pth) and checkpoint (MiniGPT-4's projection, InstructBLIP's .pth)"
            )
        }
        let checkpoint = try Checkpoint.open(path, load: files.load, arena: arena, progress: progress)
        if checkpoint.contains("llama_proj.weight") {
            return try MiniGPT4Folder(json, checkpoint, files, arena: arena, progress: progress)
        }
        if checkpoint.contains("llm_proj.weight") || checkpoint.contains("query_tokens") {
            return try InstructBLIPFolder(lavis: json, checkpoint, files, arena: arena, progress: progress)
        }
        throw HadpoError(
            .weights, "the checkpoint beside the language model belongs to no known family", at: path,
            found: "tensors " + checkpoint.names.prefix(4).joined(separator: ", "),
            expected: "llama_proj.weight (MiniGPT-4), or query_tokens and llm_proj.weight (InstructBLIP)")
    }
}

extension ModelFamily {
    /// Models that have the same parts as a known one and are another: they are told by their own name for themselves, before their parts
    /// are looked at.
    private static func refuseUnknown(_ json: JSON, _ config: String) throws(HadpoError) {
        let hasPicture = ["vision_config", "mm_vision_tower", "mm_image_tower", "mm_video_tower"].contains { json[$0] != nil }
        guard hasPicture, let type = json["model_type"], type != .null else { return }
        let known: [JSON] = json["qformer_config"] != nil ? ["instructblip"] : ["llava", "llava_llama"]
        guard !known.contains(type) else { return }
        throw HadpoError(
            .unsupported, "this model is none of the families that are built here", at: "\(config): /model_type",
            found: type.shortText(),
            expected:
                "llava or llava_llama (LLaVA-1.5), instructblip with a qformer_config, or a llama with the parts of MiniGPT-4 or InstructBLIP"
        )
    }
}

/// Where the files of a model are: what "hadpo.model/1" says of them.
package struct ModelFiles: Sendable {
    /// The checkpoint's folder; of models whose parts were published apart, the language model's, or one folder with all of them.
    package var path: String
    /// LLaVA's original release: the CLIP folder. MiniGPT-4 and LAVIS' InstructBLIP: `eva_vit_g.pth`.
    package var visionTower: String?
    /// MiniGPT-4's projection or LAVIS' InstructBLIP: the `.pth` beside the language model.
    package var checkpoint: String?
    /// LAVIS' InstructBLIP: folder of bert-base-uncased (config.json, vocab.txt).
    package var bert: String?
    package var load = LoadMode.map
    /// Side of the pictures the vision tower sees; 0: as the checkpoint has it.
    package var imageSize = 0

    package init(path: String) { self.path = path }

    /// One folder that holds the parts as they are published: the language model and BERT's vocabulary in folders of their own, `.pth`
    /// files beside them.
    func resolved(arena: Arena, progress: any Progress) throws(HadpoError) -> ModelFiles {
        guard File.isDirectory(path), !File.exists(File.join(path, "config.json")) else { return self }
        var files = self
        var languageModels: [String] = []
        // What a killed export left has a config.json too, and is no model.
        for name in try File.list(path).sorted() where name != FolderSave.partialName && name != FolderSave.nextName {
            let place = File.join(path, name)
            if File.isDirectory(place) {
                if File.exists(File.join(place, "vocab.txt")) {
                    files.bert = files.bert ?? place
                } else if File.exists(File.join(place, "config.json")) {
                    languageModels.append(place)
                }
            } else if name.hasSuffix(".pth") {
                let file = try Checkpoint.open(place, load: load, arena: arena, progress: progress)
                if file.contains("blocks.0.attn.qkv.weight") {
                    files.visionTower = files.visionTower ?? place
                } else {
                    files.checkpoint = files.checkpoint ?? place
                }
            }
        }
        guard languageModels.count == 1 else {
            if languageModels.isEmpty, FolderSave.isUnfinished(path) {
                throw HadpoError(
                    .io, "the export into the folder was not finished", at: path, found: "no config.json, and unfinished files",
                    expected: "a whole model; export it again")
            }
            throw HadpoError(
                .weights, "the folder has no config.json and not exactly one language model in a folder of its own", at: path,
                found: languageModels.isEmpty ? "none" : languageModels.joined(separator: ", "),
                expected: "a model folder, or one with the language model's folder, eva_vit_g.pth and the checkpoint's .pth")
        }
        files.path = languageModels[0]
        return files
    }
}

/// A model on disk: what its files hold and how they spell it.
package protocol ModelFolder: AnyObject {
    var family: ModelFamily { get }
    /// The language model's folder.
    var path: String { get }
    /// Which of the family's layouts on disk it is.
    var layoutName: String { get }
    /// The weight files that hold the language model; what an export writes anew.
    var checkpoint: Checkpoint { get }
    /// All weight files, that one first.
    var checkpoints: [Checkpoint] { get }
    var adapterLayout: AdapterLayout { get }
    /// What was not in the files and taken from upstream's defaults instead, and what was there and is not used: sentences.
    var notes: [String] { get }
    /// Which of its keys and tensors were read.
    var reading: FolderReading { get }
    /// How it says that answers are chosen.
    var generation: GenerationSettings { get }

    /// Where a parameter of the network is stored.
    func locate(_ name: String) -> ParameterPlace
    /// Tensors of one of `checkpoints` that the network has no place for and that change nothing.
    func isLeftAlone(_ tensor: String, in checkpoint: Checkpoint) -> Bool
    /// The family's part of `openModel`.
    func makeModel(
        device: Device, processor: ImageProcessorChoice, weights: WeightFormat, progress: any Progress
    ) throws(HadpoError) -> any VisionLanguageModel
}

/// How the decoder's matrices are held: as stored, or quantised while they are loaded. Embeddings, norms and the vision side always stay as
/// stored.
package enum WeightFormat: String, Sendable, CaseIterable {
    case stored
    /// Blocks of 32 with an fp16 scale.
    case int8, int4
    /// bitsandbytes' 4-bit floats: what HA-DPO's MiniGPT-4 is trained and evaluated in.
    case bnbFP4 = "bnb-fp4"

    /// Of a matrix, by the network's name; nil as stored. The output matrix, which tells every token from every other, has eight bits under
    /// int4 too; bitsandbytes leaves it alone.
    package func dtype(of name: String) -> DType? {
        let isHead = name == LLaVANames.head + ".weight"
        guard isHead || (name.hasPrefix(LLaVANames.decoder + ".layers.") && name.hasSuffix("_proj.weight")) else { return nil }
        return switch self {
        case .stored: nil
        case .int8: .q8
        case .int4: isHead ? .q8 : .q4
        case .bnbFP4: isHead ? nil : .fp4
        }
    }

}

extension ModelFolder {
    /// The model, with what must hold for every family checked: each id that its tokenizer can give has a row of the embeddings.
    /// - Parameters:
    ///   - weights: the type that the decoder's matrices are brought to while loading; `.stored` leaves them as they are.
    ///   - isVerified: every byte of the files is read, so that the identity can tell files apart whose samples agree.
    package func openModel(
        device: Device, processor: ImageProcessorChoice, weights: WeightFormat, isVerified: Bool = false, progress: any Progress
    ) throws(HadpoError) -> any VisionLanguageModel {
        let model = try makeModel(device: device, processor: processor, weights: weights, progress: progress)
        try TokenizerKeys.account(path, reading)
        for checkpoint in checkpoints {
            try reading.checkTensors(of: checkpoint) { isLeftAlone($0, in: checkpoint) }
        }
        let rows = min(model.decoder.embedding.rows, model.decoder.head.rows)
        guard model.tokenizer.vocabularyCount <= rows else {
            throw HadpoError(
                .weights, "the tokenizer has more pieces than the model has embeddings", at: path,
                found: "\(model.tokenizer.vocabularyCount) pieces", expected: "at most \(rows)")
        }
        model.opened.weights = weights
        model.opened.checkpoint = try fingerprint(isWhole: false, progress: progress)
        if isVerified { model.opened.verified = try fingerprint(isWhole: true, progress: progress) }
        if let id = generation.bans.runs.joined().first(where: { $0 >= rows }) {
            throw HadpoError(
                .weights, "bad_words_ids names a token that the model does not have", at: path, found: "\(id)",
                expected: "ids below \(rows)")
        }
        return model
    }

    /// Parameters by the network's names. Trainable ones become fp32 copies, the others are views into the files.
    package func parameters(
        device: Device, weights: WeightFormat = .stored, isTrainable: @escaping (String) -> Bool = { _ in false }
    ) -> CheckpointParameters {
        CheckpointParameters(device: device, weights: weights, isTrainable: isTrainable) { [self] name in
            let place = locate(name)
            reading.take(place)
            return place
        }
    }

    package var weightBytes: Int { checkpoints.reduce(0) { $0 + $1.totalBytes } }

    private func fingerprint(isWhole: Bool, progress: any Progress) throws(HadpoError) -> String {
        var hash = SHA256()
        for checkpoint in checkpoints { hash.update(record: try checkpoint.fingerprint(isWhole: isWhole, progress: progress)) }
        return hash.hexDigest()
    }
}
