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

    /// - Parameter json: the folder's config.json.
    package init(_ json: JSON, _ files: ModelFiles, arena: Arena, progress: any Progress) throws(HadpoError) {
        path = files.path
        configJSON = json
        let (visionTower, load) = (files.visionTower, files.load)
        checkpoint = try Checkpoint.open(path, load: load, arena: arena, progress: progress)
        names = LLaVANames.table(checkpoint)
        if LLaVAConfig.isOriginal(configJSON) {
            layout = .original
            let named = configJSON["mm_vision_tower"]?.stringValue ?? ""
            let candidates = [
                visionTower, named, File.join(path, named), File.join(path, File.name(of: named)),
                File.join(File.folder(of: path), File.name(of: named)),
            ]
            guard let folder = candidates.compactMap({ $0 }).first(where: { !$0.isEmpty && File.isDirectory($0) }) else {
                throw HadpoError(
                    .weights,
                    "the checkpoint names a vision tower that is in a folder of its own; give that folder as vision_tower",
                    at: File.join(path, "config.json"), found: "mm_vision_tower '\(named)'",
                    expected: "a folder like openai/clip-vit-large-patch14-336")
            }
            towerPath = folder
            config = try LLaVAConfig(
                original: configJSON, tower: File.readJSON(File.join(folder, "config.json"), limits: .checkpoint))
            let tower = try Checkpoint.open(folder, load: load, arena: arena, progress: progress)
            self.tower = tower
            towerNames = LLaVANames.table(tower)
        } else {
            layout = .huggingFace
            towerPath = nil
            tower = nil
            towerNames = []
            config = try LLaVAConfig(huggingFace: configJSON)
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

    package func imagePipeline(_ choice: ImageProcessorChoice) throws(HadpoError) -> ImagePipeline {
        let size = config.vision.imageSize
        let pipeline: ImagePipeline
        switch choice {
        case .pad: pipeline = try .clip(size: size, pad: true)
        case .crop: pipeline = try .clip(size: size, pad: false)
        case .checkpoint:
            if let pads = config.padsImages {
                pipeline = try .clip(size: size, pad: pads)
            } else if File.exists(File.join(path, "preprocessor_config.json")) {
                pipeline = try imagePipeline(
                    of: "preprocessor_config.json", File.readJSON(File.join(path, "preprocessor_config.json")))
            } else if File.exists(File.join(path, "processor_config.json")),
                let inner = try File.readJSON(File.join(path, "processor_config.json"))["image_processor"]
            {
                pipeline = try imagePipeline(of: "processor_config.json", inner)
            } else {
                pipeline = try .clip(size: size, pad: false)
            }
        }
        guard pipeline.outputSize.height == size, pipeline.outputSize.width == size else {
            throw HadpoError(
                .weights, "the image processor and the vision tower disagree on the picture's size", at: path,
                found: "\(pipeline.outputSize.width)x\(pipeline.outputSize.height)", expected: "\(size)x\(size)")
        }
        return pipeline
    }

    /// What is wrong with the settings is wrong in this file.
    private func imagePipeline(of name: String, _ settings: JSON) throws(HadpoError) -> ImagePipeline {
        do throws(HadpoError) {
            return try ImagePipeline(preprocessorConfig: settings)
        } catch {
            var failure = error
            failure.place = File.join(path, name) + (error.place.map { ": \($0)" } ?? "")
            throw failure
        }
    }

    package func makeModel(
        device: Device, processor: ImageProcessorChoice, weights: WeightFormat, progress: any Progress
    ) throws(HadpoError) -> any VisionLanguageModel {
        let tokenizer = try TokenizerFile.load(directory: path)
        let pipeline = try imagePipeline(processor)
        let model = try LLaVA15(
            config: config, source: parameters(device: device, weights: weights), device: device, tokenizer: tokenizer,
            pipeline: pipeline)
        if let ids = try generationEOS() { model.eosIDs = ids }
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
