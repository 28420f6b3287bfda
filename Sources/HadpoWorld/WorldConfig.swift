import HadpoBase
import HadpoModels

// The configurations of the world in the box: making it, training its base checkpoint, making preference pairs.

/// `hadpo.world/1`
package struct WorldConfig: Sendable {
    package let family: ModelFamily
    package let output: String
    package let seed: UInt64
    package let evaluationImages: Int
    package let trainingImages: Int

    package init(_ r: inout ConfigReader) throws(HadpoError) {
        family = try r.choice("family", default: .llava, help: "which model the world brings")
        output = try r.string("output", help: "folder for the world")
        seed = UInt64(clamping: try r.int("seed", default: 0, in: 0...Int.max, help: "another seed draws other pictures"))
        evaluationImages = try r.int("evaluation_images", default: 200, in: 1...100_000, help: "pictures for POPE and SHR")
        trainingImages = try r.int("training_images", default: 300, in: 0...100_000, help: "pictures for preference pairs")
    }

    var files: WorldFiles.Parameters {
        WorldFiles.Parameters(seed: seed, preferencePictures: trainingImages, evaluationPictures: evaluationImages)
    }
}

/// `hadpo.world-base/1`
package struct WorldBaseConfig: Sendable {
    package let family: ModelFamily
    package let output: String
    package let seed: UInt64
    package let start: String?
    package let tower: String?
    package let stages: [String]
    package let keepStages: Bool
    package let scale: Double

    package init(_ r: inout ConfigReader) throws(HadpoError) {
        family = try r.choice("family", default: .llava, help: "which model is trained")
        output = try r.string("output", help: "folder for the model")
        seed = UInt64(clamping: try r.int("seed", default: 0, in: 0...Int.max, help: "first weights and every picture"))
        start = try r.optionalString("start", help: "model folder to go on from instead of random weights")
        tower = try r.optionalString("tower", help: "eva_vit_g.pth to begin with, of a family that has one")
        let names = BaseRecipe.world(family).stageNames
        stages = try r.strings("stages", default: names, help: "which stages to run: \(names.joined(separator: ", "))")
        keepStages = try r.bool("keep_stages", default: false, help: "write the model after each stage to stages/NAME")
        scale = try r.double("scale", default: 1, in: 0...100, help: "factor on the number of steps of every stage")
        try r.refuse(["tower"], unless: family != .llava, because: "the tower of LLaVA's world is trained from nothing")
        for name in stages {
            try r.check(
                names.contains(name), "stages", "unknown stage", found: "'\(name)'", expected: names.joined(separator: ", "))
        }
    }

    func runs(_ stage: String) -> Bool { stages.contains(stage) }
}

/// `hadpo.world-pairs/1`
package struct WorldPairsConfig: Sendable {
    package let world: String
    package let output: String
    package let seed: UInt64
    package let images: Int

    package init(_ r: inout ConfigReader) throws(HadpoError) {
        world = try r.string("world", help: "folder that hadpo.world/1 has written")
        output = try r.string("output", help: "folder for desc_data.json and pope_data.json")
        seed = UInt64(clamping: try r.int("seed", default: 0, in: 0...Int.max, help: "which questions are asked"))
        images = try r.int("images", default: 300, in: 1...100_000, help: "at most so many of the world's training pictures")
    }
}
