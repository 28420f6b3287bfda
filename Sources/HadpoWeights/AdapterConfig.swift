import HadpoBase

/// `adapter_config.json` of PEFT: what of it changes the numbers. Known fields that would change them in a way that this library does not
/// compute are refused; fields that nobody here knows, as every PEFT version adds some, are told (`unread`).
package struct AdapterConfig: Sendable, Equatable {
    /// r: rows of A, columns of B, where `ranks` does not say otherwise.
    package var rank: Int
    package var alpha: Double
    /// Rank-stabilised LoRA (Kalajdzievski 2023): alpha/sqrt(r) in place of alpha/r.
    package var usesRankStabilisation: Bool
    package var dropout: Double
    package var targets: Targets
    /// For the reader's information only.
    package var baseModel: String?
    /// Other ranks and alphas of single modules.
    package private(set) var ranks = ModuleNumbers.none
    package private(set) var alphas = ModuleNumbers.none
    /// Modules that were trained in full: parts of the projector.
    package var modulesToSave: [String] = [] { didSet { saved = Set(modulesToSave) } }
    private var saved: Set<String> = []
    private var chosen: ModuleChoice?
    private var excluded: ModuleChoice?
    private var layers: Layers?
    /// Fields with a value that no line here reads.
    package private(set) var unread: [String] = []
    /// As it was read; what is written again keeps the rest of it.
    private var source: [JSON.Member] = []

    package enum Targets: Sendable, Equatable {
        /// Last parts of module names: "q_proj".
        case names([String])
        /// A regular expression over whole module names, or "all-linear".
        case pattern(String)
    }

    private struct Layers: Sendable, Equatable {
        let indices: Set<Int>
        let patterns: [String]
    }

    package init(
        rank: Int, alpha: Double, usesRankStabilisation: Bool = false, dropout: Double = 0, targets: Targets,
        baseModel: String? = nil
    ) {
        self.rank = rank
        self.alpha = alpha
        self.usesRankStabilisation = usesRankStabilisation
        self.dropout = dropout
        self.targets = targets
        self.baseModel = baseModel
    }

    /// What B·A·x is multiplied by, where neither `ranks` nor `alphas` say otherwise.
    package var scaling: Double { scaling(alpha, rank) }

    /// - Parameter module: its name as PEFT has it, without "base_model.model.".
    package func scaling(of module: String) -> Double { scaling(alphas[module] ?? alpha, rank(of: module)) }
    package func rank(of module: String) -> Int { ranks[module].map { Int($0) } ?? rank }

    private func scaling(_ alpha: Double, _ rank: Int) -> Double {
        usesRankStabilisation ? alpha / Double(rank).squareRoot() : alpha / Double(rank)
    }

    package static let fileName = "adapter_config.json"

    package static func read(_ path: String) throws(HadpoError) -> AdapterConfig {
        try AdapterConfig(File.readJSON(path, limits: .checkpoint), path: path)
    }

    package init(_ json: JSON, path: String) throws(HadpoError) {
        guard let members = json.objectValue else {
            throw HadpoError(.format, "the adapter's configuration is not an object", at: path, found: json.kind)
        }
        func malformed(_ field: String, _ expected: String) -> HadpoError {
            HadpoError(
                .format, "adapter field \(field) is missing or has the wrong type", at: path,
                found: json[field]?.shortText() ?? "nothing", expected: expected)
        }
        func modules(_ field: String) throws(HadpoError) -> Targets? {
            switch json[field] {
            case nil, .null?: return nil
            case .string(let pattern)?: return .pattern(pattern)
            case .array(let elements)?:
                let names = elements.compactMap(\.stringValue)
                guard names.count == elements.count else { throw malformed(field, "names") }
                return .names(names)
            default: throw malformed(field, "names or a regular expression")
            }
        }
        try AdapterConfig.refuseUnsupported(json, path)
        guard let rank = json["r"]?.intValue, rank > 0, rank <= 1 << 20 else { throw malformed("r", "a positive integer") }
        // As what multiplies in fp32 it must be a number still.
        guard let alpha = json["lora_alpha"]?.doubleValue, Float(alpha).isFinite else {
            throw malformed("lora_alpha", "a number")
        }
        guard let targets = try modules("target_modules") else {
            throw malformed("target_modules", "names or a regular expression")
        }
        self.targets = targets
        let choice = ModuleChoice(targets)
        chosen = choice
        excluded = try modules("exclude_modules").map { ModuleChoice($0) }
        for (field, choice) in [("target_modules", choice), ("exclude_modules", excluded)] {
            guard choice?.isUnderstood == false else { continue }
            throw HadpoError(
                .unsupported, "adapter: \(field) is a regular expression that is not understood", at: path,
                found: "\(field) \(json[field]?.shortText() ?? "")",
                expected: "the names of the modules, or an expression without looking around and without references back")
        }
        // Null is what PEFT writes for a field that is not set; a value of another type is no way to leave it out.
        switch json["use_rslora"] {
        case nil, .null?: usesRankStabilisation = false
        case .bool(let isUsed)?: usesRankStabilisation = isUsed
        default: throw malformed("use_rslora", "true or false")
        }
        switch json["lora_dropout"] {
        case nil, .null?: dropout = 0
        case let value?:
            guard let number = value.doubleValue, (0...1).contains(number) else { throw malformed("lora_dropout", "0 to 1") }
            dropout = number
        }
        switch json["base_model_name_or_path"] {
        case nil, .null?: baseModel = nil
        case .string(let name)?: baseModel = name
        default: throw malformed("base_model_name_or_path", "a name")
        }
        ranks = try ModuleNumbers(
            json["rank_pattern"], field: "rank_pattern", path: path,
            isAllowed: { $0 >= 1 && $0 <= 1_048_576 && $0 == $0.rounded() }, expected: "positive integers")
        alphas = try ModuleNumbers(
            json["alpha_pattern"], field: "alpha_pattern", path: path, isAllowed: { Float($0).isFinite }, expected: "numbers")
        modulesToSave = try AdapterConfig.savedModules(json["modules_to_save"], path)
        saved = Set(modulesToSave)  // no observer looks while an object is made
        layers = try AdapterConfig.layers(json, path)
        if case .pattern = targets, let value = json["layers_to_transform"], !value.isNull {
            throw HadpoError(
                .unsupported, "adapter: a choice of layers beside an expression for modules, which PEFT refuses", at: path,
                found: "layers_to_transform \(value.shortText())", expected: "null, or names in target_modules")
        }
        guard json["peft_type"]?.isNull == false else { throw malformed("peft_type", "LORA") }
        unread = members.filter { !AdapterConfig.known.contains($0.key) && !AdapterConfig.isInactive($0.value) }.map(\.key)
        source = members
        self.rank = rank
        self.alpha = alpha
    }

    private static func layers(_ json: JSON, _ path: String) throws(HadpoError) -> Layers? {
        guard let value = json["layers_to_transform"], !isInactive(value) else { return nil }
        let numbers = (value.arrayValue ?? [value]).map(\.intValue)
        let names = json["layers_pattern"].map { $0.arrayValue ?? [$0] } ?? []
        let patterns = names.compactMap(\.stringValue).filter { !$0.isEmpty }
        guard !numbers.contains(nil), patterns.count <= 16,
            patterns.allSatisfy({ $0.utf8.allSatisfy { $0 == 0x5F || $0 == 0x2E || $0 > 0x2F } })
        else {
            throw HadpoError(
                .unsupported, "adapter: a choice of layers that is not understood", at: path,
                found:
                    "layers_to_transform \(value.shortText()), layers_pattern \((json["layers_pattern"] ?? .null).shortText())",
                expected: "numbers of layers, and names of lists of layers")
        }
        return Layers(indices: Set(numbers.compactMap { $0 }), patterns: patterns)
    }

    // MARK: what is refused

    /// Fields whose value must be absent, null, false or empty, or one of those named.
    private static let mustBeInactive: [(field: String, allowed: [JSON], reason: String)] = [
        ("peft_type", ["LORA"], "only LoRA adapters are read"),
        ("bias", ["none"], "trained biases are not supported"),
        ("use_dora", [], "DoRA is not supported"),
        ("lora_bias", [], "biases of B are not supported"),
        ("fan_in_fan_out", [], "transposed weights are not supported"),
        ("target_parameters", [], "adapters on bare parameters are not supported"),
        ("trainable_token_indices", [], "trained token rows are not supported"),
        ("layer_replication", [], "replicated layers are not supported"),
        ("alora_invocation_tokens", [], "activated LoRA is not supported"),
        ("use_qalora", [], "QALoRA is not supported"),
        ("use_bdlora", [], "block-diagonal LoRA is not supported"),
        ("arrow_config", [], "routed adapters are not supported"),
        ("kasa_config", [], "KaSA is not supported"),
        ("monteclora_config", [], "MonteCLoRA is not supported"),
        ("velora_config", [], "VeLoRA is not supported"),
        // Starts that leave the base as it is; all others take something out of it, which the adapter's folder lacks.
        (
            "init_lora_weights", [true, "true", "gaussian", "eva", "orthogonal"],
            "it belongs to a base whose weights were changed when training began, or began in a way that is not known here"
        ),
    ]

    private static func refuseUnsupported(_ json: JSON, _ path: String) throws(HadpoError) {
        for (field, allowed, reason) in mustBeInactive {
            guard let value = json[field], !allowed.contains(value), !isInactive(value) else { continue }
            throw HadpoError(
                .unsupported, "adapter: \(reason)", at: path, found: "\(field) \(value.shortText())",
                expected: field == "init_lora_weights"
                    ? "an adapter converted to plain LoRA when saved" : allowed.first?.text() ?? "\(field) absent or empty")
        }
    }

    /// Only the projector may have been trained in full beside the matrices.
    private static func savedModules(_ json: JSON?, _ path: String) throws(HadpoError) -> [String] {
        guard let json, !isInactive(json) else { return [] }
        let elements = json.arrayValue ?? [json]
        let names = elements.compactMap(\.stringValue)
        let strangers = names.filter { name in
            let parts = name.split(separator: ".").map(String.init)
            return !parts.contains { projectors.contains($0) }
                && parts.last.map { !["linear_1", "linear_2"].contains($0) } ?? true
        }
        guard names.count == elements.count, strangers.isEmpty else {
            throw HadpoError(
                .unsupported, "adapter: modules other than the projector were trained in full", at: path,
                found: "modules_to_save \(json.shortText())",
                expected: "parts of \(projectors.sorted().joined(separator: ", "))")
        }
        return names
    }

    private static let projectors: Set<String> = [
        "multi_modal_projector", "mm_projector", "llama_proj", "llm_proj", "language_projection",
    ]

    /// What is read here, and what says how an adapter came about and changes nothing of what it computes.
    private static let known = Set(
        mustBeInactive.map(\.field) + [
            "r", "lora_alpha", "target_modules", "exclude_modules", "use_rslora", "lora_dropout", "base_model_name_or_path",
            "rank_pattern", "alpha_pattern", "modules_to_save", "layers_to_transform", "layers_pattern",
            "auto_mapping", "inference_mode", "peft_version", "revision", "task_type", "megatron_config", "megatron_core",
            "loftq_config", "eva_config", "corda_config", "lora_ga_config", "qalora_group_size", "runtime_config",
            "ensure_weight_tying",
        ])

    private static func isInactive(_ value: JSON) -> Bool {
        switch value {
        case .null, .bool(false): true
        case .array(let elements): elements.isEmpty
        case .object(let members): members.isEmpty
        default: false
        }
    }

    // MARK: which modules it speaks of

    /// Whether PEFT, which makes modules by this configuration and then fills those that it has made, would read a pair on `module`; nil
    /// where the choice is an expression that is not understood here.
    package func adapts(_ module: String) -> Bool? {
        if excluded?.takes(module) == true || saves(module) { return false }
        guard let isChosen = (chosen ?? ModuleChoice(targets)).takes(module) else { return nil }
        guard isChosen, case .names = targets, let layers else { return isChosen }
        return layer(of: module, layers.patterns).map { layers.indices.contains($0) } ?? false
    }

    /// Whether `module` is, or is part of, one of `modulesToSave`.
    package func saves(_ module: String) -> Bool {
        let parts = module.split(separator: ".", omittingEmptySubsequences: false)
        guard !modulesToSave.isEmpty, parts.count < 16 else { return false }
        return parts.indices.contains { first in
            (first..<parts.count).contains { saved.contains(parts[first...$0].joined(separator: ".")) }
        }
    }

    /// What looking at one byte of a module's name costs at most, in steps of expressions.
    package var stepsPerByte: Int {
        ranks.steps + alphas.steps + (chosen?.steps ?? 0) + (excluded?.steps ?? 0)
    }

    /// The first number behind the name of a list of layers, as PEFT counts.
    private func layer(of module: String, _ lists: [String]) -> Int? {
        let parts = module.split(separator: ".", omittingEmptySubsequences: false)
        for (i, part) in parts.enumerated().dropLast() where i > 0 {
            guard let number = Int(part), number >= 0 else { continue }
            if lists.isEmpty {
                if i > 1 { return number }
            } else if lists.contains(where: { ".\(parts[..<i].joined(separator: "."))".hasSuffix(".\($0)") }) {
                return number
            }
        }
        return nil
    }

    // MARK: writing

    /// What PEFT 0.4 and later load; fields of a configuration that was read stay.
    package var json: JSON {
        let target: JSON =
            switch targets {
            case .names(let names): JSON(names)
            case .pattern(let pattern): JSON(pattern)
            }
        let own: JSON = [
            "base_model_name_or_path": JSON(baseModel), "bias": "none", "fan_in_fan_out": false, "inference_mode": true,
            "init_lora_weights": true, "layers_pattern": nil, "layers_to_transform": nil,
            "lora_alpha": Int64(exactly: alpha).map { .int($0) } ?? .double(alpha), "lora_dropout": .double(dropout),
            "modules_to_save": modulesToSave.isEmpty ? nil : JSON(modulesToSave), "peft_type": "LORA", "r": JSON(rank),
            "revision": nil, "target_modules": target, "task_type": "CAUSAL_LM",
            "use_rslora": .bool(usesRankStabilisation),
        ]
        let kept = [
            "bias", "fan_in_fan_out", "init_lora_weights", "layers_pattern", "layers_to_transform", "peft_type", "revision",
            "task_type",
        ]
        let read = Dictionary(source.map { ($0.key, $0.value) }, uniquingKeysWith: { first, _ in first })
        var members = (own.objectValue ?? []).map { member in
            kept.contains(member.key) ? JSON.Member(member.key, read[member.key] ?? member.value) : member
        }
        let names = Set(members.map(\.key))
        members += source.filter { !names.contains($0.key) }
        return .object(members)
    }
}
