import HadpoAutograd
import HadpoBase
import HadpoTensor
import HadpoText
import HadpoVision
import HadpoWeights

/// "hadpo.inspect/1": what is put through the model to look at.
package struct InspectionConfig: Sendable {
    package let asked: AskedConfig
    package let completion: String?

    package init(_ r: inout ConfigReader) throws(HadpoError) {
        asked = try AskedConfig(&r)
        completion = try r.optionalString("completion", help: "an answer behind the prompt, its end token is added")
    }
}

/// Everything that the model computes for a prompt, as a safetensors file.
///
/// Dimensions: S picture side, P patches, T positions of prompt and completion, n ids of the prompt, k ids of the completion,
/// V vocabulary.
package enum Inspection {
    /// Writes pixel_values [3,S,S], vision.block.N, vision.features [P,.], projected [.,.], prompt_ids [n] (-200 for the picture),
    /// completion_ids [k], decoder.block.N [T,.], logits [T,V], logps [k], and of a Q-Former instruction_ids, qformer.block.N and
    /// qformer.output. What there is no picture or completion for is left out.
    package static func run(
        model: any VisionLanguageModel, request: InspectionConfig, image: RGBImage?, path: String, progress: any Progress
    ) throws(HadpoError) {
        let prompt = try AskedPrompt(request.asked, hasImage: image != nil, conversation: model.conversation)
        var completion: [Int32] = []
        if let text = request.completion { completion = try prompt.completion(text, tokenizer: model.tokenizer) }
        try Scoring.checkLength(model, prompt, completion)

        let device = model.device
        let tape = Tape(device: device, progress: progress)
        let collected = CollectedTensors()
        tape.observer = collected
        var projected: Value?
        if let image {
            let size = model.pipeline.outputSize
            let pixels = try model.pipeline.pixelValues(image)
            try collected.observe("pixel_values", try copy(pixels, [3, size.height, size.width], device))
            projected = try model.project(tape, try model.features(tape, [pixels]), [prompt.instruction], reference: false)
        }
        if !prompt.instruction.isEmpty { try collected.observe("instruction_ids", try integers(prompt.instruction, device)) }
        try collected.observe("prompt_ids", try integers(prompt.ids, device))

        var packed = PackedRows(imageRows: model.imageRows)
        _ = packed.addPrefix(prompt.pieces + (completion.isEmpty ? [] : [.tokens(completion)]))
        let hidden = try model.decoder(tape, try model.embed(tape, packed, projected: projected), packed.plan)
        let logits = try model.decoder.logits(tape, hidden, rows: (0..<packed.count).map { Int32(truncatingIfNeeded: $0) })
        try collected.observe("logits", logits)
        if !completion.isEmpty {
            // Each token is predicted by the row before it.
            let last = packed.count - 1
            let logps = try device.allocate([completion.count])
            try device.logProb(
                logits.rows(last - completion.count..<last), ids: completion, logp: logps,
                lse: try device.allocate([completion.count]))
            try collected.observe("completion_ids", try integers(completion, device))
            try collected.observe("logps", logps)
        }

        let writer = try SafetensorsWriter(
            path, collected.tensors.map { TensorPlan($0.name, $0.tensor.dtype, $0.tensor.shape) }, progress: progress)
        for (name, tensor) in collected.tensors { try writer.write(name, tensor) }
        try writer.finish()
    }

    private static func copy(_ values: Block<Float>, _ shape: [Int], _ device: Device) throws(HadpoError) -> Tensor {
        let tensor = try device.allocate(shape)
        guard tensor.byteCount == values.rawBytes.count else {
            throw HadpoError(.internal, "\(values.count) values do not fill a tensor of shape \(shape)")
        }
        tensor.pointer.copyMemory(from: values.base, byteCount: tensor.byteCount)
        return tensor
    }

    private static func integers(_ ids: [Int32], _ device: Device) throws(HadpoError) -> Tensor {
        let tensor = try device.allocate([ids.count], .i64)
        for (i, id) in ids.enumerated() { tensor.pointer.storeBytes(of: Int64(id), toByteOffset: 8 * i, as: Int64.self) }
        return tensor
    }
}

/// Keeps what the network shows. Values are not written to after they were shown, so no copies are needed.
private final class CollectedTensors: TapeObserver {
    private(set) var tensors: [(name: String, tensor: Tensor)] = []

    func observe(_ name: String, _ tensor: Tensor) throws(HadpoError) {
        guard !tensors.contains(where: { $0.name == name }) else {
            throw HadpoError(.internal, "a value is shown twice", at: name)
        }
        tensors.append((name, tensor))
    }
}
