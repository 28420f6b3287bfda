import HadpoAutograd
import HadpoBase
import HadpoNN
import HadpoTensor
import HadpoText
import HadpoVision
import HadpoWeights

/// What the generator, the evaluators and the trainer need of a model family. One family is one class that conforms.
package protocol VisionLanguageModel: AnyObject {
    var family: ModelFamily { get }
    var device: Device { get }
    var decoder: LlamaDecoder { get }
    /// How questions and answers become ids.
    var conversation: any Conversation { get }
    var pipeline: ImagePipeline { get }
    /// Rows that one picture takes in the decoder's sequence.
    var imageRows: Int { get }
    /// Ids that end an answer: the checkpoint's generation settings, else the tokenizer's EOS.
    var eosIDs: [Int32] { get set }
    /// What else the checkpoint says of how answers are chosen.
    var generation: GenerationSettings { get set }
    /// What it was opened from: `openModel` writes it, `identity` reads it.
    var opened: OpenedFiles { get set }
    /// Sizes and constants of the whole network, as values that print alike when they are alike.
    var configuration: Any { get }

    // MARK: pictures

    /// Rows of one picture's features.
    var featureRows: Int { get }
    /// What the frozen vision tower makes of pictures: [images * featureRows, feature width]. It depends on nothing that preference
    /// training changes, so it is computed once a picture and kept. Adapters may lie on the tower: with `AdapterUse.none` they differ.
    func features(_ tape: Tape, _ pixels: [Block<Float>]) throws(HadpoError) -> Value
    /// Features to decoder rows, [images * imageRows, C]. `instructions`: of each picture, what a Q-Former reads beside it; families
    /// without one pass it by. `reference`: with `referenceProjector`.
    func project(_ tape: Tape, _ features: Value, _ instructions: [[Int32]], reference: Bool) throws(HadpoError) -> Value
    /// Sizes of the vision side, for `hadpo_model_describe`.
    var visionDescription: JSON { get }

    // MARK: training

    /// The adapter that was loaded, and that a training continues; nil without one.
    var loadedAdapter: LoadedAdapter? { get set }
    /// Linear layers before the decoder that an adapter may lie on. Training keeps such pairs as they are.
    var outerLinears: [OuterLinear] { get }
    /// Sizes of a linear map that the checkpoint has and that is never computed (blocks behind the one that is read); nil of any other.
    func uncomputed(_ module: String) -> (inputs: Int, outputs: Int)?
    /// Linear layers that LoRA may adapt, with the places that adapters name.
    var adaptable: [(target: AdapterTarget, linear: Linear)] { get }
    /// The linear layers between vision and decoder, as they are now: trained, or replaced by an adapter folder's.
    var projector: [Linear] { get }
    /// The projector as the checkpoint has it: the reference model's.
    var openedProjector: [Linear] { get }
    /// The projector that the reference model has; as the checkpoint has it unless a training says otherwise.
    var referenceProjector: [Linear] { get set }
    /// What upstream calls `projector[i]` in the file of its weights, without ".weight".
    var projectorNames: [String] { get }
    /// The projector with other numbers; nil goes back to the checkpoint's.
    func replaceProjector(_ layers: [Linear]?)
    /// Which part of the network a parameter belongs to.
    func part(of parameter: String) -> ModelPart
    /// Takes the parts from `source` again, for training: its trainable parameters replace the frozen views.
    func replace(_ parts: Set<ModelPart>, from source: CheckpointParameters) throws(HadpoError)
    /// Parameters that a training has replaced this way, by network name.
    var trainedParameters: [(name: String, value: Value)] { get }
}

/// How a family puts questions and answers into ids: its prompts, its tokenizer, its habits in generating.
package protocol Conversation: Sendable {
    var tokenizer: any Tokenizer { get }
    /// Fingerprints of all vocabularies that prompts and answers go through.
    var vocabulary: String { get }
    /// A question in one of the family's prompts. `sample` names it in errors.
    func prompt(question: String, template: PromptTemplate, sample: String) throws(HadpoError) -> PromptTokens
    /// A whole prompt, with `<image>` where the picture stands; `template` says by which rules it is cut and tokenised.
    func prompt(text: String, template: PromptTemplate, sample: String) throws(HadpoError) -> PromptTokens
    /// The prompt of a question as text, for people and protocols.
    func text(question: String, template: PromptTemplate) -> String
    /// The ids that transformers counts and penalises as already there when it generates behind `prompt`, the picture as one id.
    func history(_ prompt: [Int32], rule: TransformersRule) -> [Int32]
    /// What upstream's scripts write for generated ids: their character accidents are theirs.
    func upstreamText(_ ids: [Int32]) -> String
}

/// Parts that training can be told to change as a whole.
package enum ModelPart: Sendable, Hashable { case vision, projector, decoder }

/// A linear layer that an adapter names `module`, or a run of rows of one (q of a module that holds q, k and v).
package struct OuterLinear {
    package let module: String
    package let linear: Linear
    /// Rows of the module's output that are this layer's.
    package let rows: Range<Int>
    /// Outputs of the whole module.
    package let outputs: Int
    /// Whether `features` goes through it.
    package let isTower: Bool

    init(_ linear: Linear, isTower: Bool) {
        (module, self.linear, self.isTower) = (linear.name, linear, isTower)
        (rows, outputs) = (0..<linear.outputs, linear.outputs)
    }

    private init(_ linear: Linear, part: Int, of module: String) {
        (self.module, self.linear, isTower) = (module, linear, true)
        (rows, outputs) = (part * linear.outputs..<(part + 1) * linear.outputs, 3 * linear.outputs)
    }

    /// EVA's, of which transformers and LAVIS have q, k and v as one.
    static func eva(_ linears: [Linear]) -> [OuterLinear] {
        linears.map { linear in
            for (i, part) in [".self_attn.q", ".self_attn.k", ".self_attn.v"].enumerated() where linear.name.hasSuffix(part) {
                return OuterLinear(linear, part: i, of: linear.name.dropLast(1) + "qkv")
            }
            return OuterLinear(linear, isTower: true)
        }
    }
}

extension VisionLanguageModel {
    /// The ends of the folder's settings replace the tokenizer's.
    func adopt(_ settings: GenerationSettings) {
        generation = settings
        if let ids = settings.eosIDs { eosIDs = ids }
    }
    package func uncomputed(_ module: String) -> (inputs: Int, outputs: Int)? { nil }

    package var tokenizer: any Tokenizer { conversation.tokenizer }

    /// All seven linear layers of every decoder layer: what upstream's "all linears" means.
    package var adaptable: [(target: AdapterTarget, linear: Linear)] {
        decoder.layers.enumerated().flatMap { i, layer in
            layer.linears.map { linear in
                let projection = linear.name.split(separator: ".").suffix(2).joined(separator: ".")
                return (AdapterTarget(layer: i, projection: projection), linear)
            }
        }
    }

    /// Decoder rows [R, C] of packed sequences. `projected` holds all pictures' rows in the order of the packs' picture pieces.
    package func embed(_ tape: Tape, _ packed: PackedRows, projected: Value?) throws(HadpoError) -> Value {
        let text = try tape.gather(decoder.embedding, ids: packed.tokenIDs)
        guard let projected, packed.images > 0 else { return text }
        var parts: [(value: Value, rows: Range<Int>)] = []
        for run in packed.runs {
            switch run {
            case .tokens(let range): parts.append((text, range))
            case .picture(let i): parts.append((projected, i * imageRows..<(i + 1) * imageRows))
            }
        }
        return try tape.concatenate(parts)
    }

    /// Log-probabilities of the packed targets, [targets].
    package func logProbs(
        _ tape: Tape, _ packed: PackedRows, features: Value?, reference: Bool = false, checkpointing: Bool = false
    ) throws(HadpoError) -> Value {
        var projected: Value?
        if let features { projected = try project(tape, features, packed.instructions, reference: reference) }
        let x = try embed(tape, packed, projected: projected)
        let hidden = try decoder(tape, x, packed.plan, checkpointing: checkpointing)
        return try tape.logProbs(hidden, rows: packed.targetRows, head: decoder.head, ids: packed.targetIDs)
    }
}
