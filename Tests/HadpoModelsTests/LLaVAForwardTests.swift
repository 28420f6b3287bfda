import HadpoAutograd
import HadpoBase
import HadpoModels
import HadpoNN
import HadpoTensor
import HadpoText
import HadpoVision
import HadpoWeights
import Testing

/// Folder of the fixtures made by Tests/Fixtures/make_llava.py from transformers.
let fixtures = File.join(File.folder(of: File.folder(of: #filePath)), "Fixtures/llava")

/// What transformers computed for one tiny random LLaVA.
struct Expected {
    let json: JSON
    let tensors: Checkpoint

    init(_ name: String, _ device: Device) throws {
        try self.init(stem: File.join(fixtures, name + "/expected"), device)
    }

    /// - Parameter stem: path of the two files without their endings.
    init(stem: String, _ device: Device) throws {
        json = try File.readJSON(stem + ".json")
        tensors = try Checkpoint.open(stem + ".safetensors", load: .map, arena: device.arena, progress: SilentProgress())
    }

    func floats(_ name: String) throws -> [Float] { try tensors.tensor(name).floats() }
    func ids(_ key: String) -> [Int32] { (json[key]?.arrayValue ?? []).compactMap { $0.intValue.map(Int32.init) } }
    func tensorIDs(_ name: String) throws -> [Int32] {
        let tensor = try tensors.tensor(name)
        return (0..<tensor.count).map { tensor.pointer.load(fromByteOffset: $0 * tensor.dtype.byteCount, as: Int32.self) }
    }
}

/// Largest difference relative to the largest value: DESIGN's "relative" for activations.
func relative(_ found: [Float], _ expected: [Float]) -> Double {
    guard found.count == expected.count else { return .infinity }
    let scale = expected.reduce(0) { max($0, abs($1)) }
    let difference = zip(found, expected).reduce(Float(0)) { max($0, abs($1.0 - $1.1)) }
    return difference.isFinite ? Double(difference) / Double(max(scale, 1e-30)) : .infinity
}

/// Keeps everything the network shows.
final class Observed: TapeObserver {
    var seen: [String: [Float]] = [:]
    func observe(_ name: String, _ tensor: Tensor) throws(HadpoError) { seen[name] = try tensor.floats() }
}

@Suite struct LLaVAForwardTests {
    static func open(_ name: String, _ device: Device) throws -> (LLaVA15, Expected) {
        let expected = try Expected(name, device)
        let folder = try LLaVAFolder(ModelFiles(path: File.join(fixtures, name)), arena: device.arena, progress: SilentProgress())
        let processor = ImageProcessorChoice(rawValue: expected.json["processor"]?.stringValue ?? "") ?? .checkpoint
        return (try folder.openLLaVA(device: device, processor: processor, progress: SilentProgress()), expected)
    }

    // Both sides compute in fp32 and differ in the order of sums; 1e-5 is what is seen, and 1e-4 the bound.
    @Test(
        "every block, the logits and the log-probs equal transformers'",
        arguments: ["old-f32", "new-bf16", "tf5-f16", "original-f16"])
    func forward(_ name: String) throws {
        let device = try Device(numerics: .exact)
        let (model, expected) = try LLaVAForwardTests.open(name, device)
        let picture = File.join(fixtures, expected.json["picture"]?.stringValue ?? "")
        let pixels = try model.pipeline.pixelValues(try RGBImage.decode(try File.read(picture)))
        #expect(try pixels.elements == expected.floats("pixel_values"))

        let tape = Tape(device: device, progress: SilentProgress())
        let observed = Observed()
        tape.observer = observed
        let features = try model.features(tape, [pixels])

        // Prompt ids with -200 or the image token where the picture stands, then the completion.
        let promptIDs = try expected.tensorIDs("prompt_ids")
        let completion = try expected.tensorIDs("completion_ids")
        var pieces: [PromptPiece] = []
        var run: [Int32] = []
        for id in promptIDs + completion {
            if id == model.config.imageTokenID || id < 0 {
                pieces.append(.tokens(run))
                pieces.append(.image)
                run = []
            } else {
                run.append(id)
            }
        }
        pieces.append(.tokens(run))
        var rows = PackedRows(imageRows: model.imageRows)
        _ = rows.addPrefix(pieces)
        let x = try model.embed(tape, rows, projected: try model.project(tape, features, rows.instructions, reference: false))
        let hidden = try model.decoder(tape, x, rows.plan)
        observed.seen["logits"] = try model.decoder.logits(tape, hidden, rows: (0..<Int32(rows.count)).map { $0 }).floats()
        for name in expected.tensors.names
        where name.hasPrefix("vision.") || name.hasPrefix("decoder.") || ["projected", "logits"].contains(name) {
            // Blocks after the selected layer do not reach the result and are not computed.
            guard let found = observed.seen[name] else {
                #expect(name.hasPrefix("vision.block."), "\(name) was not computed")
                continue
            }
            let difference = relative(found, try expected.floats(name))
            #expect(difference < 1e-4, "\(name): \(difference)")
        }

        // The same through a prefix and a branch: equal log-probs, and equal bits to the plain sequence.
        var plain = PackedRows(imageRows: model.imageRows)
        let split = pieces.dropLast() + [.tokens(Array(run.dropLast(completion.count)))]
        let prefix = plain.addPrefix(Array(split))
        plain.addBranch(prefix, completion)
        let logps = try model.logProbs(tape, plain, features: features).data.floats()
        let wanted = try expected.floats("logps")
        for (found, wanted) in zip(logps, wanted) { #expect(abs(found - wanted) < 1e-4) }
        #expect(logps.count == wanted.count)
    }
}
