import HadpoBase

/// `adapter_config.json` of PEFT: what of it changes the numbers. Unknown fields are passed over, as every PEFT version adds some;
/// known ones that would change the numbers in a way that this library does not compute are refused.
package struct AdapterConfig: Sendable, Equatable {
    /// r: rows of A, columns of B.
    package var rank: Int
    package var alpha: Double
    /// Rank-stabilised LoRA (Kalajdzievski 2023): alpha/sqrt(r) in place of alpha/r.
    package var usesRankStabilisation: Bool
    package var dropout: Double
    package var targets: Targets
    /// For the reader's information only.
    package var baseModel: String?

    package enum Targets: Sendable, Equatable {
        /// Last parts of module names: "q_proj".
        case names([String])
        /// A regular expression over whole module names, or "all-linear". It is not evaluated: the adapter's keys decide.
        case pattern(String)
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

    /// What B·A·x is multiplied by.
    package var scaling: Double {
        usesRankStabilisation ? alpha / Double(rank).squareRoot() : alpha / Double(rank)
    }

    package static let fileName = "adapter_config.json"

    package static func read(_ path: String) throws(HadpoError) -> AdapterConfig {
        try AdapterConfig(File.readJSON(path, limits: .checkpoint), path: path)
    }

    package init(_ json: JSON, path: String) throws(HadpoError) {
        guard case .object = json else {
            throw HadpoError(.format, "the adapter's configuration is not an object", at: path, found: json.kind)
        }
        func malformed(_ field: String, _ expected: String) -> HadpoError {
            HadpoError(
                .format, "adapter field \(field) is missing or has the wrong type", at: path,
                found: json[field]?.shortText() ?? "nothing", expected: expected)
        }
        try AdapterConfig.refuseUnsupported(json, path)
        guard let rank = json["r"]?.intValue, rank > 0, rank <= 1 << 20 else { throw malformed("r", "a positive integer") }
        // As what multiplies in fp32 it must be a number still.
        guard let alpha = json["lora_alpha"]?.doubleValue, Float(alpha).isFinite else {
            throw malformed("lora_alpha", "a number")
        }
        switch json["target_modules"] {
        case .string(let pattern)?: targets = .pattern(pattern)
        case .array(let elements)?:
            let names = elements.compactMap(\.stringValue)
            guard names.count == elements.count else { throw malformed("target_modules", "names") }
            targets = .names(names)
        default: throw malformed("target_modules", "names or a regular expression")
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
        self.rank = rank
        self.alpha = alpha
    }

    /// Fields whose value must be absent, null, false or empty, or one of those named.
    private static let mustBeInactive: [(field: String, allowed: [JSON], reason: String)] = [
        ("peft_type", ["LORA"], "only LoRA adapters are read"),
        ("bias", ["none"], "trained biases are not supported"),
        ("use_dora", [], "DoRA is not supported"),
        ("lora_bias", [], "biases of B are not supported"),
        ("fan_in_fan_out", [], "transposed weights are not supported"),
        ("rank_pattern", [], "ranks that differ by module are not supported"),
        ("alpha_pattern", [], "alphas that differ by module are not supported"),
        ("modules_to_save", [], "modules trained in full are not supported"),
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
    ]

    private static func refuseUnsupported(_ json: JSON, _ path: String) throws(HadpoError) {
        for (field, allowed, reason) in mustBeInactive {
            guard let value = json[field], !allowed.contains(value), !isInactive(value) else { continue }
            throw HadpoError(
                .unsupported, "adapter: \(reason)", at: path, found: "\(field) \(value.shortText())",
                expected: allowed.first?.text() ?? "\(field) absent or empty")
        }
        // These start from a changed base (its singular vectors or a quantised form taken out), which the adapter's folder lacks.
        if let start = json["init_lora_weights"]?.stringValue?.lowercased(),
            ["pissa", "olora", "corda", "loftq", "lora_ga"].contains(where: { start.hasPrefix($0) })
        {
            throw HadpoError(
                .unsupported, "adapter: it belongs to a base whose weights were changed when training began", at: path,
                found: "init_lora_weights \"\(start)\"", expected: "an adapter converted to plain LoRA when saved")
        }
    }

    private static func isInactive(_ value: JSON) -> Bool {
        switch value {
        case .null, .bool(false): true
        case .array(let elements): elements.isEmpty
        case .object(let members): members.isEmpty
        default: false
        }
    }

    /// What PEFT 0.4 and later load.
    package var json: JSON {
        let target: JSON =
            switch targets {
            case .names(let names): JSON(names)
            case .pattern(let pattern): JSON(pattern)
            }
        return [
            "base_model_name_or_path": JSON(baseModel), "bias": "none", "fan_in_fan_out": false, "inference_mode": true,
            "init_lora_weights": true, "layers_pattern": nil, "layers_to_transform": nil,
            "lora_alpha": Int64(exactly: alpha).map { .int($0) } ?? .double(alpha), "lora_dropout": .double(dropout),
            "modules_to_save": nil, "peft_type": "LORA", "r": JSON(rank), "revision": nil, "target_modules": target,
            "task_type": "CAUSAL_LM", "use_rslora": .bool(usesRankStabilisation),
        ]
    }
}
