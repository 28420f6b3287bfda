import HadpoAutograd
import HadpoBase
import HadpoNN
import HadpoTensor
import HadpoText
import HadpoWeights

/// Whose number it is: all that decides what a model says, by name. Answers files, descriptions, saved trainings, caches, scores and
/// pages hold one, and what was made under one is continued under no other.
///
/// It is made of the open model and of nothing else (`VisionLanguageModel.identity`), so that it holds what is loaded at that moment,
/// however it came there. Paths, dates, hosts and threads are no part of it.
package struct ModelIdentity: Sendable, Equatable {
    /// What a difference in means other numbers. The order is that of the sentences: what explains most comes first.
    package enum Field: String, CaseIterable, Sendable {
        case family, checkpoint
        case network
        case weights, adapter, projector
        case trained = "trained_weights"
        case imagePipeline = "image_pipeline"
        case tokenizer, prompts
        case cache = "kv_cache"
        case numerics
    }

    package var family: String
    /// Of the weight files: names, sizes, tables of contents, and samples of every tensor.
    package var checkpoint: String
    /// Of every byte of the weight files; nil where nobody asked for that.
    package var verified: String?
    /// Of the sizes and constants that config.json gives the network.
    package var network: String
    /// How the decoder's matrices are held.
    package var weights: String
    /// Of the low-rank matrices that are on the model; nil without any.
    package var adapter: String?
    /// Of the projector that an adapter's folder or a training has put in the checkpoint's place.
    package var projector: String?
    /// Of parameters that a training has put in the checkpoint's place.
    package var trained: String?
    /// Every step from a picture to numbers.
    package var imagePipeline: String
    /// Of all vocabularies, with their rules.
    package var tokenizer: String
    /// Of the texts around a question, of the ids that end an answer, and of what else generation_config.json decides.
    package var prompts: String
    package var cache: String
    package var numerics: String

    /// What moves the last bits of a number and not its meaning: recorded, said, and no reason to stop.
    package struct LastBits: Sendable, Equatable {
        package var kernels: String
        package var version: String

        package init(kernels: String, version: String) {
            self.kernels = kernels
            self.version = version
        }
    }

    package var lastBits: LastBits

    package init(
        family: String, checkpoint: String, verified: String?, network: String, weights: String, adapter: String?,
        projector: String?,
        trained: String?, imagePipeline: String, tokenizer: String, prompts: String, cache: String, numerics: String,
        lastBits: LastBits
    ) {
        self.family = family
        self.checkpoint = checkpoint
        self.verified = verified
        self.network = network
        self.weights = weights
        self.adapter = adapter
        self.projector = projector
        self.trained = trained
        self.imagePipeline = imagePipeline
        self.tokenizer = tokenizer
        self.prompts = prompts
        self.cache = cache
        self.numerics = numerics
        self.lastBits = lastBits
    }

    package subscript(field: Field) -> String? {
        switch field {
        case .family: family
        case .checkpoint: checkpoint
        case .network: network
        case .weights: weights
        case .adapter: adapter
        case .projector: projector
        case .trained: trained
        case .imagePipeline: imagePipeline
        case .tokenizer: tokenizer
        case .prompts: prompts
        case .cache: cache
        case .numerics: numerics
        }
    }

    /// SHA-256 over the fields of meaning.
    package var digest: String {
        var hash = SHA256()
        for field in Field.allCases { hash.update(record: "\(field.rawValue)=\(self[field].map { "'\($0)'" } ?? "none")") }
        return hash.hexDigest()
    }

    /// The model as its checkpoint has it: what a preference training compares with.
    package var base: ModelIdentity {
        var base = self
        (base.adapter, base.projector) = (nil, nil)
        return base
    }
}

// MARK: JSON

extension ModelIdentity {
    package var json: JSON {
        var members = [JSON.Member("digest", .string(digest))]
        for field in Field.allCases { members.append(.init(field.rawValue, JSON(self[field]))) }
        if let verified { members.append(.init("verified", .string(verified))) }
        members.append(.init("last_bits", lastBits.json))
        return .object(members)
    }

    /// - Parameter place: of the JSON, for errors.
    package init(_ json: JSON, at place: String) throws(HadpoError) {
        func text(_ key: String) throws(HadpoError) -> String {
            guard let text = json[key]?.stringValue else { throw ModelIdentity.malformed(json[key], key, place) }
            return text
        }
        func optional(_ field: Field) throws(HadpoError) -> String? {
            guard let value = json[field.rawValue] else { throw ModelIdentity.malformed(nil, field.rawValue, place) }
            return value.isNull ? nil : try text(field.rawValue)
        }
        self.init(
            family: try text(Field.family.rawValue), checkpoint: try text(Field.checkpoint.rawValue),
            verified: json["verified"] == nil ? nil : try text("verified"), network: try text(Field.network.rawValue),
            weights: try text(Field.weights.rawValue), adapter: try optional(.adapter), projector: try optional(.projector),
            trained: try optional(.trained), imagePipeline: try text(Field.imagePipeline.rawValue),
            tokenizer: try text(Field.tokenizer.rawValue), prompts: try text(Field.prompts.rawValue),
            cache: try text(Field.cache.rawValue), numerics: try text(Field.numerics.rawValue),
            lastBits: try LastBits(json["last_bits"] ?? .null, at: place))
        guard json["digest"]?.stringValue == digest else { throw ModelIdentity.malformed(json["digest"], "digest", place) }
    }

    fileprivate static func malformed(_ found: JSON?, _ key: String, _ place: String) -> HadpoError {
        HadpoError(
            .format, "this does not say which model it was made by", at: place,
            found: "\(key): \(found.map { $0.shortText(80) } ?? "nothing")", expected: "an identity as this library writes it")
    }
}

extension ModelIdentity.LastBits {
    package var json: JSON { ["kernels": .string(kernels), "version": .string(version)] }

    fileprivate init(_ json: JSON, at place: String) throws(HadpoError) {
        guard let kernels = json["kernels"]?.stringValue, let version = json["version"]?.stringValue else {
            throw ModelIdentity.malformed(json, "last_bits", place)
        }
        self.init(kernels: kernels, version: version)
    }

    /// Sentences as of `ModelIdentity`.
    package func differences(from earlier: Self, _ these: String = "these answers") -> [String] {
        var sentences: [String] = []
        if kernels != earlier.kernels {
            sentences.append("the processor's kernels: \(these) were made with \(earlier.kernels), now with \(kernels)")
        }
        if version != earlier.version {
            sentences.append("the library's version: \(these) were made with \(earlier.version), now with \(version)")
        }
        return sentences
    }
}

// MARK: differences

extension ModelIdentity {
    /// What is not as it was, a sentence each; empty when numbers of both mean the same.
    /// - Parameter these: "these answers".
    package func differences(from earlier: ModelIdentity, _ these: String = "these answers") -> [String] {
        var sentences: [String] = []
        for field in Field.allCases where self[field] != earlier[field] {
            sentences.append(
                "\(field.title): \(these) were made \(field.said(earlier[field], isNow: false)), now \(field.said(self[field], isNow: true))"
            )
        }
        // Samples of both may agree where a byte between them does not.
        if checkpoint == earlier.checkpoint, let verified, let other = earlier.verified, verified != other {
            sentences.append(
                "the checkpoint, byte for byte: \(these) were made with content \(shortened(hash: other)), now it is content \(shortened(hash: verified))"
            )
        }
        return sentences
    }

    /// That one of the two was read whole and the other was not, so that nobody knows whether they are equal byte for byte; nil where
    /// both were or neither.
    package func verification(from earlier: ModelIdentity, _ these: String) -> String? {
        switch (earlier.verified, verified) {
        case (.some, nil): "\(these) were made with verified weights, now they are not read whole (verify)"
        case (nil, .some): "\(these) were made with weights that were not read whole, now they are verified"
        default: nil
        }
    }
}

/// A hash as it stands in a sentence.
package func shortened(hash: String) -> String { hash.utf8.count > 12 ? "\(hash.prefix(12))…" : hash }

extension ModelIdentity.Field {
    fileprivate var title: String {
        switch self {
        case .family: "the family of models"
        case .checkpoint: "the checkpoint"
        case .network: "the network's settings (config.json)"
        case .weights: "the weights in memory (weights)"
        case .adapter: "the adapter"
        case .projector: "the projector"
        case .trained: "the trained weights"
        case .imagePipeline: "the way from pictures to numbers (image pipeline)"
        case .tokenizer: "the tokenizer"
        case .prompts: "the prompts, the folder's generation settings, or what ends an answer"
        case .cache: "keys and values while generating (kv_cache)"
        case .numerics: "the numerics"
        }
    }

    /// "with int4" and "it is int4"; "without one" and "one of content 3f2a… is loaded".
    fileprivate func said(_ value: String?, isNow: Bool) -> String {
        let isContent = ![.family, .weights, .imagePipeline, .cache, .numerics].contains(self)
        let name = value.map { isContent ? "content \(shortened(hash: $0))" : $0 }
        switch self {
        case .adapter, .trained:
            guard let name else { return isNow ? "there is none" : "without one" }
            return isNow ? "there is one of \(name)" : "with one of \(name)"
        case .projector:
            guard let name else { return isNow ? "it is the checkpoint's" : "with the checkpoint's" }
            return isNow ? "it is another, of \(name)" : "with another than the checkpoint's, of \(name)"
        default: return (isNow ? "it is " : "with ") + (name ?? "")
        }
    }
}

// MARK: of an open model

/// What `openModel` knows of a model's files.
package struct OpenedFiles: Sendable {
    /// See `ModelIdentity`. A network that was made of no files has none.
    package var checkpoint = "none"
    package var verified: String?
    package var weights = WeightFormat.stored

    package init() {}
}

extension VisionLanguageModel {
    /// Whose numbers this model's are, as it stands. Reads the adapter's and the trained numbers once: for the beginning of a run.
    package var identity: ModelIdentity {
        ModelIdentity(
            family: family.rawValue, checkpoint: opened.checkpoint, verified: opened.verified,
            network: SHA256.hex(Array("\(configuration)".utf8)), weights: opened.weights.rawValue, adapter: adapterContent,
            projector: projectorContent, trained: ContentHash.of(trainedParameters.map { ($0.name, $0.value.data) }),
            imagePipeline: pipeline.identity, tokenizer: conversation.vocabulary, prompts: promptContent,
            cache: decoder.cacheType.name, numerics: device.numerics.rawValue,
            lastBits: .init(kernels: device.kernelName, version: Library.version))
    }

    private var adapterContent: String? {
        var tensors: [(String, Tensor)] = []
        let places =
            adaptable.map { ($0.target.name, $0.linear) } + outerLinears.map { ("\($0.module) \($0.rows)", $0.linear) }
        for (name, linear) in places {
            guard let lora = linear.adapter else { continue }
            tensors.append(("\(name).lora_A", lora.a.data))
            tensors.append(("\(name).lora_B * \(lora.scaling)", lora.b.data))
        }
        return ContentHash.of(tensors)
    }

    private var projectorContent: String? {
        if zip(projector, openedProjector).allSatisfy({ $0 === $1 }) { return nil }
        return ContentHash.of(
            projector.flatMap { layer in
                [("\(layer.name).weight", layer.weight.data)] + (layer.bias.map { [("\(layer.name).bias", $0.data)] } ?? [])
            })
    }

    /// What every template makes of a question, as text and as ids, what counts as said before, what ends an answer, and what the folder
    /// says of choosing tokens.
    private var promptContent: String {
        var hash = SHA256()
        for template in PromptTemplate.allCases {
            let question = (template == .raw ? PromptTemplate.image : "") + "Is it?"
            hash.update(record: conversation.text(question: question, template: template))
            do throws(HadpoError) {
                let prompt = try conversation.prompt(question: question, template: template, sample: "a model's identity")
                hash.update(record: "\(prompt.before) \(prompt.instruction) \(prompt.after)")
                for rule in TransformersRule.allCases {
                    hash.update(record: "\(conversation.history(prompt.ids, rule: rule))")
                }
            } catch {
                // Whoever asks with this template is told why it cannot be.
                hash.update(record: error.message)
            }
        }
        hash.update(record: "\(eosIDs) \(generation.bans)")
        hash.update(record: "\(generation.minNewTokens ?? 0) \(generation.repetitionPenalty ?? 1)")
        return hash.hexDigest()
    }
}

/// Hashes of tensors that are in memory.
package enum ContentHash {
    /// - Returns: nil of none.
    package static func of(_ tensors: [(name: String, tensor: Tensor)]) -> String? {
        if tensors.isEmpty { return nil }
        var hash = SHA256()
        for (name, tensor) in tensors {
            var bytes = XXHash64()
            withExtendedLifetime(tensor.storage) {
                bytes.update(UnsafeRawBufferPointer(start: tensor.pointer, count: tensor.byteCount))
            }
            hash.update(record: "\(name) \(tensor.dtype.rawValue) \(tensor.shape) \(bytes.text)")
        }
        return hash.hexDigest()
    }
}

extension DType {
    /// As the configuration spells it.
    fileprivate var name: String {
        switch self {
        case .f32: "fp32"
        case .bf16: "bf16"
        case .f16: "fp16"
        case .i8: "int8"
        default: rawValue
        }
    }
}
