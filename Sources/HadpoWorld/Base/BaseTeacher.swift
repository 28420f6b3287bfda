import HadpoAutograd
import HadpoBase
import HadpoModels
import HadpoNN
import HadpoTensor
import HadpoWeights

/// The rows by which the world's LLaVA shows a picture to its decoder. Queries that learn to say the same show it to that decoder too.
struct BaseTeacher {
    private let model: LLaVA15

    init(of base: any VisionLanguageModel) throws(HadpoError) {
        let device = base.device
        let checkpoint = try BaseStart.languageModel(arena: device.arena)
        let names = LLaVANames.table(checkpoint)
        let source = CheckpointParameters(device: device) { ParameterPlace(checkpoint, LLaVANames.spell($0, names)) }
        model = try LLaVA15(
            config: LLaVAConfig(huggingFace: WorldCheckpoint().config), source: source, device: device,
            tokenizer: base.tokenizer, pipeline: base.pipeline)
    }

    /// [I*P, C]
    func rows(_ pixels: [Block<Float>], progress: any Progress) throws(HadpoError) -> Tensor {
        let tape = Tape(device: model.device, progress: progress, isRecording: false)
        let none = [[Int32]](repeating: [], count: pixels.count)
        return try model.project(tape, model.features(tape, pixels), none, reference: true).data
    }
}

/// Squared distance to wanted rows in units of their variance: 1 for one who always says the mean.
package struct RelativeSquaredError {
    package private(set) var value = 0.0
    /// d value / d rows
    package private(set) var gradient: [Float]

    package init(_ rows: [Float], wanted: [Float], width: Int) {
        let count = max(1, wanted.count / max(1, width))
        var means = [Double](repeating: 0, count: width)
        for (i, number) in wanted.enumerated() { means[i % width] += Double(number) / Double(count) }
        var spread = 0.0
        for (i, number) in wanted.enumerated() {
            let distance = Double(number) - means[i % width]
            spread += distance * distance
        }
        let scale = 1 / max(spread, .leastNormalMagnitude)
        gradient = []
        gradient.reserveCapacity(rows.count)
        for (number, target) in zip(rows, wanted) {
            let distance = Double(number) - Double(target)
            value += scale * distance * distance
            gradient.append(Float(2 * scale * distance))
        }
    }
}
