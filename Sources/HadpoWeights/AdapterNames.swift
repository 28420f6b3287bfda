import HadpoBase

/// Where an adapter's pair lies: on a linear map of the language model, or of what stands before it.
package enum AdapterPlace: Hashable, Sendable, Comparable {
    case decoder(AdapterTarget)
    /// By the network's own name: "vision_tower.vision_model.encoder.layers.0.self_attn.q_proj".
    case outer(String)

    /// The module's name as PEFT has it, without "base_model.model.", under every spelling that transformers, the original LLaVA and
    /// LAVIS had for it; nil when it is no linear map that an adapter may lie on.
    package init?(module: Substring) {
        if let target = AdapterPlace.target(module) {
            self = .decoder(target)
        } else if let name = AdapterPlace.outerName(module) {
            self = .outer(name)
        } else {
            return nil
        }
    }

    package var name: String {
        switch self {
        case .decoder(let target): target.name
        case .outer(let name): name
        }
    }

    package static func < (one: AdapterPlace, other: AdapterPlace) -> Bool {
        switch (one, other) {
        case (.decoder(let a), .decoder(let b)): a < b
        case (.decoder, .outer): true
        case (.outer, .decoder): false
        case (.outer(let a), .outer(let b)): a < b
        }
    }

    // MARK: the language model

    /// Prefixes that hold the language model's decoder; others (a vision tower has `layers.N.self_attn.q_proj` too) do not fit.
    private static let decoders = [
        "model.", "language_model.model.", "model.language_model.", "model.language_model.model.", "llama_model.model.",
        "llm_model.model.",
    ]

    private static func target(_ module: Substring) -> AdapterTarget? {
        guard let prefix = decoders.first(where: { module.hasPrefix($0 + "layers.") }) else { return nil }
        let parts = module.dropFirst(prefix.count).split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4, let layer = decimal(parts[1]) else { return nil }
        let projection = "\(parts[2]).\(parts[3])"
        guard AdapterTarget.projections.contains(projection) else { return nil }
        return AdapterTarget(layer: layer, projection: projection)
    }

    /// A layer number as Python prints it: no sign, no leading zero, and small.
    private static func decimal(_ text: Substring) -> Int? {
        guard let number = Int(text), (0..<100_000).contains(number), String(number) == text else { return nil }
        return number
    }

    // MARK: what stands before it

    /// Spelling -> the network's own. Longer spellings come first.
    private static let outers: [(found: String, own: String)] = [
        ("vision_tower.vision_tower.vision_model.", "vision_tower.vision_model."),
        ("vision_tower.vision_model.", "vision_tower.vision_model."),
        ("vision_tower.", "vision_tower.vision_model."),
        ("multi_modal_projector.linear_", "multi_modal_projector.linear_"),
        ("vision_model.", "vision_model."),
        ("qformer.", "qformer."),
        ("visual_encoder.blocks.", "vision_model.encoder.layers."),
        ("Qformer.bert.", "qformer."),
    ]
    /// Whole names.
    private static let layers = [
        "mm_projector": "multi_modal_projector.linear_1", "mm_projector.0": "multi_modal_projector.linear_1",
        "mm_projector.2": "multi_modal_projector.linear_2", "mm_projector.4": "multi_modal_projector.linear_3",
        "language_projection": "language_projection", "llm_proj": "language_projection", "llama_proj": "llama_proj",
    ]

    private static func outerName(_ module: Substring) -> String? {
        // Longer than any of ours: names of strangers are not gone through at length.
        guard module.utf8.count <= 200 else { return nil }
        let rest = module.hasPrefix("model.") ? module.dropFirst("model.".count) : module
        if let layer = layers[String(rest)] { return layer }
        guard let (found, own) = outers.first(where: { rest.hasPrefix($0.found) }) else { return nil }
        var parts = (own + rest.dropFirst(found.count)).split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        if found == "visual_encoder.blocks." {
            for i in parts.indices {
                parts[i] = ["attn": "self_attn", "proj": "projection"][parts[i]] ?? parts[i]
            }
        } else if found == "Qformer.bert." {
            for i in parts.indices where parts[i] == "self" { parts[i] = "attention" }
        }
        return parts.joined(separator: ".")
    }
}

extension AdapterTarget {
    /// "layers.3.self_attn.q_proj"
    package var name: String { "layers.\(layer).\(projection)" }
}
