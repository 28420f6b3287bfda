import HadpoBase
import HadpoNN
import HadpoTensor
import HadpoText
import HadpoVision
import HadpoWeights

/// How pictures are prepared: as the checkpoint says, always padded to a square (upstream HA-DPO), or always cropped.
package enum ImageProcessorChoice: String, Sendable, CaseIterable { case checkpoint, pad, crop }

/// A LLaVA-1.5 folder on disk, in any of its layouts: what it holds and how it spells it.
package final class LLaVAFolder: ModelFolder {
    package enum Layout: String, Sendable {
        case huggingFace = "hf"
        case original = "liuhaotian"
    }

    package let path: String
    package let layout: Layout
    package let configJSON: JSON
    package let config: LLaVAConfig
    package let checkpoint: Checkpoint
    /// The vision tower's own folder; nil when the checkpoint holds the tower.
    package let towerPath: String?
    private let tower: Checkpoint?
    private let names: [(own: String, file: String)]
    private let towerNames: [(own: String, file: String)]

    package var family: ModelFamily { .llava }
    package var layoutName: String { layout.rawValue }
    package var checkpoints: [Checkpoint] { [checkpoint] + (tower.map { [$0] } ?? []) }
    package var adapterLayout: AdapterLayout { layout == .original ? .original : .huggingFace }
    package var notes: [String] { [] }
    package let reading = FolderReading()
    package let generation: GenerationSettings

    /// - Parameter json: the folder's config.json.
    package init(_ json: JSON, _ files: ModelFiles, arena: Arena, progress: any Progress) throws(HadpoError) {
        path = files.path
        configJSON = json
        let (visionTower, load) = (files.visionTower, files.load)
        checkpoint = try Checkpoint.open(path, load: load, arena: arena, progress: progress)
        names = LLaVANames.table(checkpoint)
        let fields = reading.fields(configJSON, "config.json", in: path)
        if LLaVAConfig.isOriginal(configJSON) {
            layout = .original
            let named = configJSON["mm_vision_tower"]?.stringValue ?? ""
            let beside = [
                named, File.join(path, named), File.join(path, File.name(of: named)),
                File.join(File.folder(of: path), File.name(of: named)),
            ]
            let candidates = [visionTower] + (named.isEmpty ? [] : beside)
            guard let folder = candidates.compactMap({ $0 }).first(where: { !$0.isEmpty && File.isDirectory($0) }) else {
                throw HadpoError(
                    .weights,
                    "the checkpoint names a vision tower that is in a folder of its own; give that folder as vision_tower",
                    at: File.join(path, "config.json"), found: "mm_vision_tower '\(named)'",
                    expected: "a folder like openai/clip-vit-large-patch14-336")
            }
            towerPath = folder
            let json = try File.readJSON(File.join(folder, "config.json"), limits: .checkpoint)
            var config = try LLaVAConfig(original: fields, tower: reading.fields(json, "vision_tower/config.json", in: folder))
            LLaVANames.untieWithHead(&config.text, names, reading)
            self.config = config
            if names.contains(where: { $0.own == LLaVANames.vision + "." }) {
                // A tower that was trained with the rest lies in the checkpoint; the folder it began as has other numbers.
                tower = nil
                towerNames = []
                reading.note("the vision tower's weights are those in the checkpoint, not those in \(folder)")
            } else {
                guard !config.trainedTower else {
                    throw HadpoError(
                        .weights, "the vision tower was trained with the model, and the checkpoint does not hold it",
                        at: fields.at("unfreeze_mm_vision_tower"), found: "true, and no tensors of a vision tower",
                        expected: "a checkpoint that was saved with its tower")
                }
                let tower = try Checkpoint.open(folder, load: load, arena: arena, progress: progress)
                self.tower = tower
                towerNames = LLaVANames.table(tower)
            }
            generation = try GenerationSettings.read(path, [fields], reading)
        } else {
            layout = .huggingFace
            towerPath = nil
            tower = nil
            towerNames = []
            var config = try LLaVAConfig(huggingFace: fields)
            LLaVANames.untieWithHead(&config.text, names, reading)
            self.config = config
            generation = try GenerationSettings.read(path, [fields, fields.object("text_config")], reading)
        }
    }

    package convenience init(_ files: ModelFiles, arena: Arena, progress: any Progress) throws(HadpoError) {
        let json = try File.readJSON(File.join(files.path, "config.json"), limits: .checkpoint)
        try self.init(json, files, arena: arena, progress: progress)
    }

    package func locate(_ name: String) -> ParameterPlace {
        if let tower, name.hasPrefix(LLaVANames.vision) { return ParameterPlace(tower, LLaVANames.spell(name, towerNames)) }
        return ParameterPlace(checkpoint, LLaVANames.spell(name, names))
    }

    package func isLeftAlone(_ tensor: String, in checkpoint: Checkpoint) -> Bool {
        if LLaVANames.leftAlone.contains(where: tensor.hasSuffix) { return true }
        let isTower = checkpoint === tower
        if isTower, LLaVANames.leftAloneOfCLIP.contains(where: tensor.hasPrefix) { return true }
        guard let file = (isTower ? towerNames : names).first(where: { $0.own == LLaVANames.vision + "." })?.file,
            tensor.hasPrefix(file)
        else { return false }
        let parts = tensor.dropFirst(file.count).split(separator: ".")
        if parts.first == "post_layernorm" { return true }
        guard parts.count > 2, parts[0] == "encoder", parts[1] == "layers", let layer = Int(parts[2]) else { return false }
        return (config.evaluatedBlocks..<max(config.evaluatedBlocks, config.vision.layers)).contains(layer)
    }

    /// The folder's processor (an original folder's is its tower's), or one of the two shapes with that processor's filter and colours.
    package func imagePipeline(_ choice: ImageProcessorChoice) throws(HadpoError) -> ImagePipeline {
        let size = config.vision.imageSize
        let found = try ProcessorFiles.pipeline(
            in: towerPath ?? path, prefix: towerPath == nil ? "" : "vision_tower/", reading)
        var pipeline: ImagePipeline
        if let found {
            pipeline = found
        } else {
            reading.note("no preprocessor_config.json: pictures are cut and coloured as CLIP's are")
            pipeline = try .clip(size: size, pad: false)
        }
        switch choice {
        case .checkpoint: if let pads = config.padsImages { pipeline = try pipeline.padding(pads) }
        case .pad, .crop:
            pipeline = try ImagePipeline(
                pad: choice == .pad, resize: .shortestEdge(size), resample: pipeline.resample,
                crop: ImagePipeline.Size(height: size, width: size), rescale: pipeline.rescale,
                normalization: pipeline.normalization)
        }
        guard pipeline.outputSize.height == size, pipeline.outputSize.width == size else {
            throw HadpoError(
                .weights, "the image processor's size and crop_size do not give what the vision tower looks at",
                at: towerPath ?? path,
                found: "\(pipeline.outputSize.width)x\(pipeline.outputSize.height)",
                expected: "\(size)x\(size), the tower's image_size")
        }
        return pipeline
    }

    package func makeModel(
        device: Device, processor: ImageProcessorChoice, weights: WeightFormat, progress: any Progress
    ) throws(HadpoError) -> any VisionLanguageModel {
        let tokenizer = try TokenizerFile.load(directory: path)
        let pipeline = try imagePipeline(processor)
        let model = try LLaVA15(
            config: config, source: parameters(device: device, weights: weights), device: device, tokenizer: tokenizer,
            pipeline: pipeline)
        model.adopt(generation)
        return model
    }

    /// As `openModel`, for those who need this family's own class.
    package func openLLaVA(
        device: Device, processor: ImageProcessorChoice, weights: WeightFormat = .stored, progress: any Progress
    ) throws(HadpoError) -> LLaVA15 {
        let model = try openModel(device: device, processor: processor, weights: weights, progress: progress)
        guard let model = model as? LLaVA15 else { throw HadpoError(.internal, "a folder opens another family", at: path) }
        return model
    }
}
