import HadpoAutograd
import HadpoBase
import HadpoModels
import HadpoNN
import HadpoTensor
import HadpoTrain

/// A model of the world with every parameter trainable, as it goes through the stages of its training.
struct BaseModel {
    let model: any VisionLanguageModel
    /// By the network's names.
    let parameters: [(name: String, value: Value)]
    private let layout: any WorldLayout
    var pieces: [String] { layout.pieces }

    /// - Parameters:
    ///   - folder: where the layout has written tokenizer and configuration.
    ///   - start: a model folder to take the weights from; nil starts from random numbers.
    init(
        _ layout: any WorldLayout, folder: String, start: String?, seed: UInt64, device: Device, progress: any Progress
    ) throws(HadpoError) {
        self.layout = layout
        if let start {
            var files = ModelFiles(path: start)
            files.load = .read
            let folderOfStart = try ModelFamily.openFolder(files, arena: device.arena, progress: progress)
            let source = folderOfStart.parameters(device: device) { !layout.isFrozen($0) }
            model = try layout.model(source, folder: folder, device: device)
            parameters = source.trainable
        } else {
            let source = RandomParameters(device: device, seed: seed) { layout.isFrozen($0) }
            model = try layout.model(source, folder: folder, device: device)
            parameters = source.trainable
        }
    }

    /// The tower alone: a Q-Former behind it learns at the decoder's rate.
    func isVision(_ name: String) -> Bool { name.hasPrefix(LLaVANames.vision) || name.hasPrefix(EVAFiles.prefix + ".") }

    /// Post-norm, as BERT is: at the decoder's rate it collapses.
    func isQFormer(_ name: String) -> Bool {
        name.hasPrefix(InstructBLIPNames.qformer + ".") || name == InstructBLIPNames.queries
    }

    func save(to folder: String, as dtype: DType, progress: any Progress) throws(HadpoError) {
        try layout.save(
            parameters.map { ($0.name, $0.value.data) }, to: folder, as: dtype, device: model.device, progress: progress)
    }

    /// Rows of patches alone, [I*P, width], out of a model's features.
    func patches(_ tape: Tape, _ features: Value, pictures: Int, width: Int) throws(HadpoError) -> Value {
        switch model.family {
        case .llava: return features
        case .minigpt4: return try tape.reshape(features, [features.data.count / width, width])
        case .instructBLIP:
            let rows = model.featureRows
            return try tape.concatenate((0..<pictures).map { (features, $0 * rows + 1..<($0 + 1) * rows) })
        }
    }
}
