import CHadpoWorldAssets
import HadpoBase
import HadpoModels
import HadpoTensor

/// Writes the world with its model: the folders and files of `WorldFiles`, and the base checkpoint in `model/`, a folder as llava-hf's.
package enum WorldMake {
    /// The model's folder below the world's.
    package static let model = "model"

    package static func run(_ config: WorldConfig, progress: any Progress) throws(HadpoError) -> JSON {
        let start = Clock.now()
        try WorldFiles.write(to: config.output, config.files, progress: progress)
        try writeModel(config.family, to: File.join(config.output, model))
        return [
            "schema": "hadpo.world-report/1", "output": .string(config.output), "seed": .string(String(config.seed)),
            "evaluation_images": JSON(config.evaluationImages), "training_images": JSON(config.trainingImages),
            "model": .string(File.join(config.output, model)), "seconds": JSON(Clock.now() - start),
        ]
    }

    /// The base checkpoint that the library carries, as a model folder.
    package static func writeModel(_ family: ModelFamily = .llava, to folder: String) throws(HadpoError) {
        let layout = family.worldLayout
        try layout.write(to: folder)
        for (name, bytes) in zip(layout.weightFiles, embedded(family)) {
            try File.writeAtomically(File.join(folder, name), bytes)
        }
    }

    /// The weight files that the library carries, in the layout's order.
    static func embedded(_ family: ModelFamily) -> [[UInt8]] {
        embeddedStorage(family).map { Array(UnsafeRawBufferPointer(start: $0.base, count: $0.byteCount)) }
    }

    static func embeddedStorage(_ family: ModelFamily) -> [Storage] {
        let files: [hadpo_world_file] =
            switch family {
            case .llava: [HADPO_WORLD_LLAVA]
            case .minigpt4: [HADPO_WORLD_MINIGPT4_LLAMA, HADPO_WORLD_MINIGPT4_EVA, HADPO_WORLD_MINIGPT4_PROJECTION]
            case .instructBLIP: [HADPO_WORLD_INSTRUCTBLIP]
            }
        return files.map { file in
            var size = 0
            let bytes = UnsafeMutableRawPointer(mutating: UnsafeRawPointer(hadpo_world_weights(file, &size)))
            return Storage(base: bytes, byteCount: size, isWritable: false) {}
        }
    }
}
