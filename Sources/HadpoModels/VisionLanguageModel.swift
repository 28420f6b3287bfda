import HadpoAutograd
import HadpoBase
import HadpoNN
import HadpoTensor
import HadpoText
import HadpoVision
import HadpoWeights

/// What the generator, the evaluators and the trainer need of a model family. One family is one class that conforms.
package protocol VisionLanguageModel: AnyObject {
    var device: any Device { get }
    var decoder: LlamaDecoder { get }
    var tokenizer: any Tokenizer { get }
    var pipeline: ImagePipeline { get }
    /// Rows that one picture takes in the decoder's sequence.
    var imageRows: Int { get }
    /// Ids that end an answer: the checkpoint's generation settings, else the tokenizer's EOS.
    var eosIDs: [Int32] { get }
    /// Identifies weights and image pipeline in cache keys.
    var fingerprint: String { get }

    /// The picture's features up to where training may change things: [images * imageRows, vision width].
    func features(_ tape: Tape, _ pixels: [[Float]]) throws(HadpoError) -> Value
    /// Features to decoder rows, [images * imageRows, C]. `reference`: with the weights as they were opened.
    func project(_ tape: Tape, _ features: Value, reference: Bool) throws(HadpoError) -> Value
    /// Linear layers that LoRA may adapt, with the places that adapters name.
    var adaptable: [(target: AdapterTarget, linear: Linear)] { get }
}

extension VisionLanguageModel {
    /// Decoder rows [R, C] of packed sequences. `projected` holds all pictures' rows in the order of the packs' `.image` pieces.
    package func embed(_ tape: Tape, _ packed: PackedRows, projected: Value?) throws(HadpoError) -> Value {
        let text = try tape.gather(decoder.embedding, ids: packed.tokenIDs)
        guard let projected, packed.images > 0 else { return text }
        var parts: [(value: Value, rows: Range<Int>)] = []
        for run in packed.runs {
            switch run {
            case .tokens(let range): parts.append((text, range))
            case .image(let i): parts.append((projected, i * imageRows..<(i + 1) * imageRows))
            }
        }
        return try tape.concatenate(parts)
    }

    /// Log-probabilities of the packed targets, [targets].
    package func logProbs(
        _ tape: Tape, _ packed: PackedRows, features: Value?, reference: Bool = false, checkpointing: Bool = false
    ) throws(HadpoError) -> Value {
        var projected: Value?
        if let features { projected = try project(tape, features, reference: reference) }
        let x = try embed(tape, packed, projected: projected)
        let hidden = try decoder(tape, x, packed.plan, checkpointing: checkpointing)
        return try tape.logProbs(hidden, rows: packed.targetRows, head: decoder.head, ids: packed.targetIDs)
    }
}
