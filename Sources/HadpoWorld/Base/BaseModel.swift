import HadpoAutograd
import HadpoBase
import HadpoModels
import HadpoNN
import HadpoTensor
import HadpoText
import HadpoTrain
import HadpoVision
import HadpoWeights

/// The world's LLaVA with every parameter trainable, as it goes through the stages of its training.
struct BaseModel {
    let model: LLaVA15
    /// By the network's names, which are those of llava-hf.
    let parameters: [(name: String, value: Value)]

    /// - Parameters:
    ///   - folder: where `WorldCheckpoint` has written tokenizer and configuration.
    ///   - start: a model folder to take the weights from; nil starts from random numbers.
    init(folder: String, start: String?, seed: UInt64, device: any Device, progress: any Progress) throws(HadpoError) {
        let config = try LLaVAConfig(huggingFace: File.readJSON(File.join(folder, "config.json")))
        let tokenizer = try TokenizerFile.load(directory: folder)
        let pipeline = try ImagePipeline(preprocessorConfig: File.readJSON(File.join(folder, "preprocessor_config.json")))
        if let start {
            var files = ModelFiles(path: start)
            files.load = .read
            let folder = try ModelFamily.openFolder(files, arena: device.arena, progress: progress)
            let source = folder.parameters(device: device) { _ in true }
            model = try LLaVA15(
                config: config, source: source, device: device, tokenizer: tokenizer, pipeline: pipeline, fingerprint: "base")
            parameters = source.trainable
        } else {
            let source = RandomParameters(device: device, seed: seed)
            model = try LLaVA15(
                config: config, source: source, device: device, tokenizer: tokenizer, pipeline: pipeline, fingerprint: "base")
            parameters = source.trainable
        }
    }

    static func isVision(_ name: String) -> Bool { name.hasPrefix(LLaVANames.vision) }

    /// `model.safetensors` in `folder`. LLaVA reads the second to last block of its tower; what follows it belongs to the layout and is
    /// never computed, so it is written as zeros, which make that block the identity.
    func save(to folder: String, as dtype: DType, progress: any Progress) throws(HadpoError) {
        let device = model.device
        var tensors: [(name: String, tensor: Tensor)] = []
        for parameter in parameters {
            let stored = try device.allocate(parameter.value.shape, dtype)
            try device.convert(parameter.value.data, into: stored)
            tensors.append((parameter.name, stored))
        }
        let layers = LLaVANames.vision + ".encoder.layers."
        let last = model.config.vision.layers - 1
        for block in model.vision.evaluatedBlocks..<model.config.vision.layers {
            for parameter in parameters where parameter.name.hasPrefix(layers + "0.") {
                let name = layers + "\(block)" + parameter.name.dropFirst(layers.count + 1)
                tensors.append((name, try unused(name, parameter.value.shape, dtype)))
            }
        }
        for suffix in last < 0 ? [] : ["weight", "bias"] {
            let name = LLaVANames.vision + ".post_layernorm." + suffix
            tensors.append((name, try unused(name, [model.config.vision.width], dtype)))
        }
        let writer = try CheckpointWriter(
            folder: folder, tensors.map { TensorPlan($0.name, dtype, $0.tensor.shape) }, progress: progress)
        for (name, tensor) in tensors { try writer.write(name, tensor) }
        try writer.finish()
    }

    private func unused(_ name: String, _ shape: [Int], _ dtype: DType) throws(HadpoError) -> Tensor {
        let isNormWeight = name.contains("norm") && name.hasSuffix("weight")
        let values = try model.device.tensor([Float](repeating: isNormWeight ? 1 : 0, count: shape.reduce(1, *)), shape)
        let stored = try model.device.allocate(shape, dtype)
        try model.device.convert(values, into: stored)
        return stored
    }
}
