import CHadpoWorldAssets
import HadpoBase

/// Writes the world with its model: the folders and files of `WorldFiles`, and the base checkpoint in `model/`, a folder as llava-hf's.
package enum WorldMake {
    /// The model's folder below the world's.
    package static let model = "model"

    package static func run(_ config: WorldConfig, progress: any Progress) throws(HadpoError) -> JSON {
        let start = Clock.now()
        try WorldFiles.write(to: config.output, config.files, progress: progress)
        try writeModel(to: File.join(config.output, model))
        return [
            "schema": "hadpo.world-report/1", "output": .string(config.output), "seed": .string(String(config.seed)),
            "evaluation_images": JSON(config.evaluationImages), "training_images": JSON(config.trainingImages),
            "model": .string(File.join(config.output, model)), "seconds": JSON(Clock.now() - start),
        ]
    }

    /// The base checkpoint that the library carries, as a model folder.
    package static func writeModel(to folder: String) throws(HadpoError) {
        try WorldCheckpoint().write(to: folder)
        try File.writeAtomically(File.join(folder, "model.safetensors"), embeddedModel)
    }

    static var embeddedModel: [UInt8] {
        var size = 0
        let bytes = hadpo_world_model(&size)
        return Array(UnsafeBufferPointer(start: bytes, count: size))
    }
}
