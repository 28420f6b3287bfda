import HadpoBase
import HadpoText

/// What a folder says of how its model answers: generation_config.json, or, where there is none, config.json and its text_config, as
/// transformers reads them.
package struct GenerationSettings: Sendable, Equatable {
    /// Ids that end an answer; nil where the folder does not say.
    package var eosIDs: [Int32]?
    package var bans = TokenBans()
    /// Where a request does not say.
    package var repetitionPenalty: Double?
    package var minNewTokens: Int?
    /// Where generation begins from embeddings, the one id that transformers 4.31 counts as there.
    package var bosID: Int32?

    package init() {}

    static let fileName = "generation_config.json"

    /// Every way of choosing an answer has a key of a request or a run, with HA-DPO's value as its default, because its scripts pass them.
    private static let keysOfRequests = [
        "do_sample", "temperature", "top_p", "top_k", "num_beams", "length_penalty", "early_stopping", "max_length",
        "max_new_tokens",
        "min_length", "num_return_sequences",
    ]

    /// Of no effect on which tokens come: names, padding, caches, and what is only used with something that is refused below.
    private static let harmless =
        HarmlessKeys.everywhere + [
            "_from_model_config", "cache_implementation", "cache_config", "return_legacy_cache",
            "max_matching_ngram_size",
            "num_assistant_tokens", "num_assistant_tokens_schedule", "assistant_confidence_threshold", "use_model_defaults",
            "disable_compile", "low_memory", "is_assistant", "target_lookbehind", "assistant_lookbehind", "prefill_chunk_size",
            "trust_remote_code",
        ]

    /// What transformers would change the scores by, and this library does not: only the values that change nothing.
    private static let neutral: [(key: String, values: [JSON])] = [
        ("no_repeat_ngram_size", [0]), ("encoder_no_repeat_ngram_size", [0]), ("encoder_repetition_penalty", [1, 1.0]),
        ("diversity_penalty", [0, 0.0]), ("num_beam_groups", [1]), ("penalty_alpha", [0, 0.0]), ("dola_layers", []),
        ("typical_p", [1, 1.0]), ("epsilon_cutoff", [0, 0.0]), ("eta_cutoff", [0, 0.0]), ("min_p", [0, 0.0]), ("top_h", []),
        ("sequence_bias", []), ("forced_bos_token_id", []), ("forced_eos_token_id", []), ("forced_decoder_ids", []),
        ("exponential_decay_length_penalty", []), ("force_words_ids", []), ("constraints", []), ("guidance_scale", [1, 1.0]),
        ("watermarking_config", []), ("stop_strings", []), ("max_time", []), ("remove_invalid_values", [false]),
        ("renormalize_logits", [false]), ("token_healing", [false]), ("prompt_lookup_num_tokens", []),
    ]

    /// - Parameters:
    ///   - config: config.json's own fields, and those of its text_config where it has one.
    ///   - fromEmbeddings: whether the family generates from embeddings alone, so that there is a BOS.
    static func read(
        _ folder: String, _ config: [ModelFields], _ reading: FolderReading, fromEmbeddings: Bool = false
    ) throws(HadpoError) -> GenerationSettings {
        let path = File.join(folder, fileName)
        let exists = File.exists(path)
        if exists {
            let json = try File.readJSON(path, limits: .checkpoint)
            guard json.objectValue != nil else {
                throw HadpoError(
                    .weights, "the generation settings are not an object", at: path, found: json.kind, expected: "an object")
            }
            let own = reading.fields(json, fileName, in: folder)
            own.ignore(harmless)
            // Where the file does not name an end, transformers would never stop.
            var settings = try GenerationSettings([own], ends: [own] + config)
            try settings.takeBOS([own], fromEmbeddings)
            for fields in config { fields.ignore(HarmlessKeys.generation) }
            try settings.report(own, reading)
            return settings
        }
        var settings = try GenerationSettings(config, ends: config)
        try settings.takeBOS(config, fromEmbeddings)
        for fields in config { try settings.report(fields, reading) }
        return settings
    }

    private init(_ sources: [ModelFields], ends: [ModelFields]) throws(HadpoError) {
        eosIDs = try Self.ids("eos_token_id", ends)
        bans.always = try Self.ids("suppress_tokens", sources) ?? []
        bans.first = try Self.ids("begin_suppress_tokens", sources) ?? []
        for fields in sources {
            if let penalty = try fields.optionalNumber("repetition_penalty"), repetitionPenalty == nil {
                repetitionPenalty = penalty
            }
            if let count = try fields.optionalInt("min_new_tokens"), minNewTokens == nil {
                guard (0...1 << 20).contains(count) else {
                    throw HadpoError(
                        .weights, "min_new_tokens is out of range", at: fields.at("min_new_tokens"), found: "\(count)",
                        expected: "0...\(1 << 20)")
                }
                minNewTokens = count
            }
            for (key, values) in Self.neutral {
                try fields.demand(
                    key, values,
                    "the checkpoint asks for a way of choosing tokens that is not built here; take the key out to do without"
                )
            }
            try takeBadWords(fields)
        }
    }

    private mutating func takeBOS(_ sources: [ModelFields], _ fromEmbeddings: Bool) throws(HadpoError) {
        if fromEmbeddings { bosID = try Self.ids("bos_token_id", sources)?.first }
        for fields in sources { fields.ignore(["bos_token_id"]) }
    }

    /// The end alone as a bad word is passed over, as transformers does.
    private mutating func takeBadWords(_ fields: ModelFields) throws(HadpoError) {
        guard let words = fields["bad_words_ids"] else { return }
        for word in words.arrayValue ?? [words] {
            let ids = (word.arrayValue ?? []).compactMap { $0.intValue.flatMap(Int32.init(exactly:)) }
            guard !ids.isEmpty, ids.count == word.arrayValue?.count, ids.allSatisfy({ $0 >= 0 }) else {
                throw HadpoError(
                    .weights, "bad_words_ids is not a list of lists of ids", at: fields.at("bad_words_ids"),
                    found: word.shortText(),
                    expected: "[[id, ...], ...]")
            }
            if ids.count > 1 { bans.runs.append(ids) } else if eosIDs?.contains(ids[0]) != true { bans.always.append(ids[0]) }
        }
    }

    /// The ways of choosing that a request says, where the folder says another: passed by, and said.
    private func report(_ fields: ModelFields, _ reading: FolderReading) throws(HadpoError) {
        let usual: [String: [JSON]] = [
            "do_sample": [false], "temperature": [1, 1.0], "top_p": [1, 1.0], "top_k": [50], "num_beams": [1],
            "length_penalty": [1, 1.0], "early_stopping": [false], "min_length": [0], "num_return_sequences": [1],
            "max_length": [20],
        ]
        var passed: [String] = []
        for key in Self.keysOfRequests {
            guard let value = fields.json[key], value != .null else { continue }
            if usual[key]?.contains(value) == true {
                fields.ignore([key])
            } else if key != "max_length" {  // nearly every folder has one, and no run goes by it
                passed.append("\(key) \(value.shortText())")
            }
        }
        guard !passed.isEmpty else { return }
        reading.note(
            "\(fields.place): \(passed.joined(separator: ", ")) not used: the keys of a request or a run say how answers are chosen, and are "
                + "HA-DPO's where they are left out")
    }

    /// One id or several, of the first that says any.
    private static func ids(_ key: String, _ sources: [ModelFields]) throws(HadpoError) -> [Int32]? {
        for fields in sources {
            guard let value = fields[key] else { continue }
            let ids = (value.arrayValue ?? [value]).map { $0.intValue.flatMap(Int32.init(exactly:)) }
            let known = ids.compactMap { $0 }
            let isOne = key == "bos_token_id"
            guard known.count == ids.count, isOne ? ids.count == 1 : !ids.isEmpty || key != "eos_token_id" else {
                throw HadpoError(
                    .weights, "\(key) is not an id", at: fields.at(key), found: value.shortText(),
                    expected: "an integer or an array of them")
            }
            return known
        }
        return nil
    }
}
