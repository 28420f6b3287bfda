import HadpoBase
import HadpoTensor
import HadpoWeights
import HadpoTestSupport
import Testing

@Suite struct AdapterTests {
    let progress = SilentProgress()

    func read(_ path: String) throws(HadpoError) -> AdapterFile {
        try AdapterFile.read(folder: path, arena: Arena(), progress: progress)
    }

    func fixture(_ name: String) -> String { "\(TorchReaderTests.fixtures)/\(name)" }

    // MARK: files of peft

    @Test("peft's adapter of a Llama is read: all seven linear maps of both layers")
    func original() throws {
        let adapter = try read(fixture("adapter-original"))
        #expect(adapter.config.rank == 4 && adapter.config.alpha == 8 && adapter.config.scaling == 2)
        #expect(
            adapter.targets == (0..<2).flatMap { layer in AdapterTarget.projections.map { .init(layer: layer, projection: $0) } })
        let down = try #require(adapter.pairs[.init(layer: 1, projection: "mlp.down_proj")])
        #expect(down.a.shape == [4, 12] && down.b.shape == [8, 4])
        let raw = try Checkpoint.open(
            fixture("adapter-original/adapter_model.safetensors"), arena: Arena(), progress: progress)
        let name = "base_model.model.model.layers.1.mlp.down_proj.lora_A.weight"
        #expect(tensorBytes(down.a) == tensorBytes(try raw.tensor(name)))
    }

    @Test("peft's adapter in a torch file is read, with rank-stabilised scaling, and the projector beside it")
    func torchAdapter() throws {
        let adapter = try read(fixture("adapter-bin"))
        #expect(adapter.pairs.count == 6 && adapter.pairs.values.allSatisfy { $0.a.dtype == .bf16 })
        // alpha / sqrt(r) = 16 / sqrt(2); one rounding of the quotient.
        #expect(abs(adapter.config.scaling - 11.313708498984761) < 1e-12)
        let projector = try #require(
            try ProjectorFile.read(folder: fixture("adapter-bin"), arena: Arena(), progress: progress))
        #expect(
            projector.tensors.map(\.name).sorted() == [
                "mm_projector.0.bias", "mm_projector.0.weight", "mm_projector.2.bias", "mm_projector.2.weight",
            ])
        #expect(projector.tensor("mm_projector.2.weight")?.shape == [8, 8])
        #expect(floats(try #require(projector.tensor("mm_projector.2.bias"))) == [Float](repeating: 2.5, count: 8))
        #expect(try ProjectorFile.read(folder: fixture("adapter-hf"), arena: Arena(), progress: progress) == nil)
    }

    @Test("peft's adapter of a LLaVA of transformers is read, its targets being a regular expression")
    func huggingFace() throws {
        let adapter = try read(fixture("adapter-hf"))
        #expect(adapter.targets.map(\.projection) == ["self_attn.q_proj", "mlp.down_proj", "self_attn.q_proj", "mlp.down_proj"])
        #expect(adapter.config.targets == .pattern(#".*language_model.*\.(q_proj|down_proj)"#))
    }

    // MARK: keys

    func adapter(
        _ keys: [(String, [Int])], _ config: AdapterConfig = AdapterConfig(rank: 2, alpha: 1, targets: .pattern("all-linear"))
    ) throws(HadpoError) -> AdapterFile {
        var end = 0
        let entries = keys.map { key, shape in
            let begin = end
            end += shape.reduce(4, *)
            return #""\#(key)":{"dtype":"F32","shape":\#(shape),"data_offsets":[\#(begin),\#(end)]}"#
        }
        let file = try WeightFile.open(memoryFile(safetensors("{\(entries.joined(separator: ","))}", data: end)))
        return try AdapterFile(config, Checkpoint("adapter", file: file))
    }

    func pair(_ module: String, middle: String = "") -> [(String, [Int])] {
        [("\(module).lora_A\(middle).weight", [2, 3]), ("\(module).lora_B\(middle).weight", [4, 2])]
    }

    @Test(
        "The same map is found under every spelling of the language model's place",
        arguments: [
            "base_model.model.model.layers.7.self_attn.q_proj", "base_model.model.language_model.model.layers.7.self_attn.q_proj",
            "base_model.model.model.language_model.layers.7.self_attn.q_proj",
        ], ["", ".default", ".policy"])
    func spellings(_ module: String, _ middle: String) throws {
        let adapter = try adapter(pair(module, middle: middle))
        #expect(adapter.targets == [AdapterTarget(layer: 7, projection: "self_attn.q_proj")])
        #expect(adapter.pairs.values.first?.a.shape == [2, 3] && adapter.pairs.values.first?.b.shape == [4, 2])
    }

    @Test(
        "Keys that are no linear map of the model are refused and named",
        arguments: [
            "base_model.model.vision.encoder.layers.0.self_attn.q_proj", "model.layers.0.self_attn.q_proj",
            "base_model.model.model.layers.0.self_attn.qkv_proj", "base_model.model.model.layers.0.mlp.q_proj",
            "base_model.model.model.layers.x.self_attn.q_proj", "base_model.model.model.layers.-1.self_attn.q_proj",
            "base_model.model.model.layers.01.self_attn.q_proj",
            "base_model.model.model.layers.99999999999999999999.self_attn.q_proj",
            "base_model.model.lm_head", "base_model.model.model.embed_tokens", "base_model.model.model.layers.0.self_attn",
            "base_model.model.model.layers.", "",
        ])
    func strangers(_ module: String) {
        let error = failure { () throws(HadpoError) in
            try adapter(pair("base_model.model.model.layers.0.mlp.up_proj") + pair(module))
        }
        #expect(error?.status == .weights && error?.found?.contains("\(module).lora_A.weight") == true)
        #expect(error?.message.contains("2 tensors") == true)
    }

    @Test(
        "Other tensors in an adapter are refused",
        arguments: ["lora_magnitude_vector", "lora_embedding_A", "base_layer.weight", "lora_A.bias"])
    func otherTensors(_ tail: String) {
        let module = "base_model.model.model.layers.0.mlp.up_proj"
        #expect(
            failure { () throws(HadpoError) in try adapter(pair(module) + [("\(module).\(tail)", [2, 2])]) }?.status == .weights)
    }

    @Test("Two tensors for the same matrix are refused, under whatever spelling")
    func duplicates() {
        let error = failure { () throws(HadpoError) in
            try adapter(
                pair("base_model.model.model.layers.0.mlp.up_proj")
                    + pair("base_model.model.model.language_model.layers.0.mlp.up_proj"))
        }
        #expect(error?.message.contains("two tensors for the same matrix") == true)
    }

    @Test("Pairs on the vision side are found under every spelling of its place")
    func outer() throws {
        for (module, own) in [
            ("model.vision_tower.encoder.layers.0.mlp.fc1", "vision_tower.vision_model.encoder.layers.0.mlp.fc1"),
            ("vision_tower.vision_model.encoder.layers.0.mlp.fc1", "vision_tower.vision_model.encoder.layers.0.mlp.fc1"),
            ("model.vision_tower.vision_model.encoder.layers.0.mlp.fc1", "vision_tower.vision_model.encoder.layers.0.mlp.fc1"),
            (
                "model.vision_tower.vision_tower.vision_model.encoder.layers.0.mlp.fc1",
                "vision_tower.vision_model.encoder.layers.0.mlp.fc1"
            ),
            ("model.mm_projector.2", "multi_modal_projector.linear_2"),
            ("model.multi_modal_projector.linear_2", "multi_modal_projector.linear_2"),
            ("visual_encoder.blocks.3.attn.proj", "vision_model.encoder.layers.3.self_attn.projection"),
            (
                "Qformer.bert.encoder.layer.0.crossattention.self.key",
                "qformer.encoder.layer.0.crossattention.attention.key"
            ), ("llm_proj", "language_projection"), ("llama_proj", "llama_proj"),
        ] {
            let file = try adapter(pair("base_model.model." + module))
            #expect(file.entries.map(\.place) == [.outer(own)] && file.entries.first?.module == module)
            #expect(file.pairs.isEmpty)
        }
    }

    @Test("Tensors beside the pairs are parts of the projector that modules_to_save names, all of them, or refused by name")
    func savedModules() throws {
        func read(_ saved: String, _ keys: [(String, [Int])]) throws(HadpoError) -> AdapterFile {
            let text = #"{"peft_type":"LORA","r":2,"lora_alpha":4,"target_modules":["q_proj"],"modules_to_save":\#(saved)}"#
            let config = try AdapterConfig(JSON.parse(text, source: "x", limits: .checkpoint), path: "x")
            return try adapter(pair("base_model.model.model.layers.0.self_attn.q_proj") + keys, config)
        }
        let part = [("base_model.model.model.multi_modal_projector.linear_1.weight", [2, 2])]
        #expect(try read(#"["multi_modal_projector"]"#, part).projector.map(\.name) == ["mm_projector.0.weight"])
        #expect(try read(#"["linear_1"]"#, part).projector.count == 1)
        for (saved, keys) in [
            ("null", part), (#"["linear_2"]"#, part), (#"["multi_modal_projector","linear_2"]"#, part),
            (#"["mm_projector"]"#, []), (#"["multi_modal_projector"]"#, part + [("base_model.model.lm_head.weight", [2, 2])]),
        ] {
            #expect(failure { () throws(HadpoError) in try read(saved, keys) }?.status == .weights, "\(saved)")
        }
    }

    @Test("A pair that adapter_config.json leaves out is refused: PEFT passes it by")
    func leftOut() throws {
        let config = AdapterConfig(rank: 2, alpha: 1, targets: .names(["k_proj"]))
        let error = failure { () throws(HadpoError) in
            try adapter(pair("base_model.model.model.layers.0.self_attn.q_proj"), config)
        }
        #expect(error?.status == .weights && error?.found?.contains("q_proj.lora_A") == true)
    }

    @Test("A matrix without its other half is refused and named")
    func missingHalf() {
        let error = failure { () throws(HadpoError) in
            try adapter([("base_model.model.model.layers.3.mlp.up_proj.lora_B.weight", [4, 2])])
        }
        #expect(error?.message.contains("without its other half") == true && error?.expected?.contains("layer 3") == true)
    }

    @Test("A rank other than the configuration's, a vector and an empty matrix are refused")
    func wrongShapes() {
        let module = "base_model.model.model.layers.0.mlp.up_proj"
        for (a, b) in [([3, 3], [4, 2]), ([2, 3], [4, 3]), ([2], [4, 2]), ([2, 3, 1], [4, 2]), ([2, 0], [4, 2])] {
            let error = failure { () throws(HadpoError) in
                try adapter([("\(module).lora_A.weight", a), ("\(module).lora_B.weight", b)])
            }
            #expect(error?.status == .weights, "\(a) \(b)")
        }
        #expect(failure { () throws(HadpoError) in try adapter([]) }?.message.contains("holds no tensors") == true)
    }

    @Test("A folder without weights or configuration is an error with its path")
    func emptyFolder() throws {
        let folder = try TemporaryFolder()
        #expect(failure { () throws(HadpoError) in try read(folder.path) }?.place?.hasSuffix("adapter_config.json") == true)
        _ = try folder.write("adapter_config.json", #"{"peft_type":"LORA","r":1,"lora_alpha":1,"target_modules":[]}"#)
        #expect(failure { () throws(HadpoError) in try read(folder.path) }?.place == folder.path)
    }

    // MARK: writing

    @Test(
        "An adapter that was written is read back the same",
        arguments: [AdapterLayout.original, .huggingFace, .huggingFaceNested])
    func roundTrip(_ layout: AdapterLayout) throws {
        let folder = try TemporaryFolder()
        let adapter = try read(fixture("adapter-original"))
        var config = adapter.config
        config.usesRankStabilisation = true
        config.baseModel = "a \"base\""
        let path = folder.path + "/new/adapter"
        try AdapterFile.write(folder: path, config: config, pairs: adapter.pairs, layout: layout, progress: progress)
        let again = try read(path)
        #expect(again.targets == adapter.targets)
        for target in adapter.targets {
            let (one, other) = (try #require(adapter.pairs[target]), try #require(again.pairs[target]))
            #expect(tensorBytes(one.a) == tensorBytes(other.a) && tensorBytes(one.b) == tensorBytes(other.b))
        }
        #expect(again.config.rank == 4 && again.config.alpha == 8 && again.config.usesRankStabilisation)
        #expect(again.config.baseModel == "a \"base\"")
        let names = try Checkpoint.open(path + "/adapter_model.safetensors", arena: Arena(), progress: progress).names
        let prefix =
            switch layout {
            case .original: "base_model.model.model.layers."
            case .huggingFace: "base_model.model.model.language_model.layers."
            case .huggingFaceNested: "base_model.model.language_model.model.layers."
            }
        #expect(names.allSatisfy { $0.hasPrefix(prefix) })
    }

    @Test("Targets are names for the original layout and a pattern within the language model for HF layouts")
    func targetModules() throws {
        let folder = try TemporaryFolder()
        let adapter = try read(fixture("adapter-bin"))
        try AdapterFile.write(
            folder: folder.path, config: adapter.config, pairs: adapter.pairs, layout: .original, progress: progress)
        #expect(try AdapterConfig.read(folder["adapter_config.json"]).targets == .names(["q_proj", "k_proj", "v_proj"]))
        try AdapterFile.write(
            folder: folder.path, config: adapter.config, pairs: adapter.pairs, layout: .huggingFace, progress: progress)
        let targets = try AdapterConfig.read(folder["adapter_config.json"]).targets
        let found: String? = if case .pattern(let pattern) = targets { pattern } else { nil }
        let pattern = try #require(found)
        let regex = try Regex(pattern)
        for path in ["model.language_model.layers.0.self_attn.q_proj", "language_model.model.layers.31.self_attn.v_proj"] {
            #expect(path.wholeMatch(of: regex) != nil, "\(path)")
        }
        for path in [
            "model.vision_tower.vision_model.encoder.layers.0.self_attn.q_proj", "model.language_model.layers.0.self_attn.o_proj",
            "model.language_model.layers.0.mlp.up_proj", "model.not_language_model.layers.0.self_attn.q_proj",
        ] {
            #expect(path.wholeMatch(of: regex) == nil, "\(path)")
        }
    }

    @Test("A pair whose rank is not the configuration's is not written")
    func wrongRank() throws {
        let folder = try TemporaryFolder()
        let adapter = try read(fixture("adapter-bin"))
        var config = adapter.config
        config.rank = 3
        #expect(throws: HadpoError.self) {
            try AdapterFile.write(
                folder: folder.path, config: config, pairs: adapter.pairs, layout: .original, progress: progress)
        }
        #expect(try folder.entries == [])
    }

    @Test("The projector is written under upstream's keys and read back")
    func projector() throws {
        let folder = try TemporaryFolder()
        let weight = try tensor([1, 2, 3, 4], [2, 2])
        try ProjectorFile.write(folder: folder.path, [("mm_projector.0.weight", weight)], progress: progress)
        let path = folder.path + "/non_lora_trainables.safetensors"
        #expect(
            try Checkpoint.open(path, arena: Arena(), progress: progress).names == [
                "base_model.model.model.mm_projector.0.weight"
            ])
        let again = try #require(try ProjectorFile.read(folder: folder.path, arena: Arena(), progress: progress))
        #expect(floats(try #require(again.tensor("mm_projector.0.weight"))) == [1, 2, 3, 4])
    }

    @Test("A projector's tensors are known by every spelling, and others are refused")
    func projectorNames() throws {
        func names(_ key: String) throws(HadpoError) -> [String] {
            let header = #"{"\#(key)":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#
            let file = try WeightFile.open(memoryFile(safetensors(header, data: 4)))
            return try ProjectorFile(Checkpoint("p", file: file)).tensors.map(\.name)
        }
        for key in [
            "base_model.model.model.mm_projector.2.bias", "model.mm_projector.2.bias", "mm_projector.2.bias",
            "base_model.model.model.multi_modal_projector.linear_2.bias", "multi_modal_projector.linear_2.bias",
        ] {
            #expect(try names(key) == ["mm_projector.2.bias"], "\(key)")
        }
        for key in [
            "mm_projector.bias", "mm_projector.x.bias", "mm_projector.0.scale", "lm_head.weight", "mm_projector.+2.bias", "",
        ] {
            #expect(failure { () throws(HadpoError) in try names(key) }?.found == key)
        }
    }
}

@Suite struct AdapterConfigTests {
    func config(_ fields: String) throws(HadpoError) -> AdapterConfig {
        let base =
            (fields.contains("peft_type") ? "" : #""peft_type":"LORA","#) + #""r":2,"lora_alpha":4,"target_modules":["q_proj"]"#
        let text = "{\(fields.isEmpty ? base : base + "," + fields)}"
        return try AdapterConfig(
            JSON.parse(text, source: "adapter_config.json", limits: .checkpoint), path: "adapter_config.json")
    }

    @Test("Fields of later versions are told, and used as if they were absent")
    func unknownFields() throws {
        let config = try config(#""from_the_future":{"x":[1]},"inference_mode":true,"lora_dropout":0.05"#)
        #expect(config.scaling == 2 && config.dropout == 0.05 && config.targets == .names(["q_proj"]))
        #expect(config.unread == ["from_the_future"])
        #expect(try self.config(#""from_the_future":null,"task_type":"CAUSAL_LM""#).unread == [])
    }

    @Test("Ranks and alphas of single modules are found as PEFT finds them: the first key that describes the end of the name")
    func patterns() throws {
        let config = try config(
            #""use_rslora":true,"rank_pattern":{"v_proj":9,"layers\\.\\d+\\.mlp\\.(up|down)_proj":16},"#
                + #""alpha_pattern":{"layers.1.self_attn.v_proj":6,"^model.layers.0.*":5,"v_proj":3,"[ku]_proj":7,"o_proj":8,"self_attn.o_proj":1}"#
        )
        for (module, rank, scaling) in [
            ("model.layers.0.self_attn.v_proj", 9, 5.0 / 3), ("model.layers.1.self_attn.v_proj", 9, 2),
            ("model.layers.11.self_attn.v_proj", 9, 1), ("x.model.layers.0.self_attn.v_proj", 9, 1),
            ("model.layers.7.mlp.up_proj", 16, 1), ("model.layers.7.self_attn.o_proj", 2, 8 / 2.0.squareRoot()),
            ("model.layers.7.self_attn.k_proj", 2, 7 / 2.0.squareRoot()),
            ("model.layers.7.self_attn.qv_proj", 2, 4 / 2.0.squareRoot()),
        ] {
            #expect(config.rank(of: module) == rank, "\(module)")
            #expect(abs(config.scaling(of: module) - scaling) < 1e-12, "\(module)")
        }
        for broken in [
            #""rank_pattern":{"q_proj":0}"#, #""rank_pattern":{"q_proj":1.5}"#, #""rank_pattern":[8]"#,
            #""alpha_pattern":{"q_proj":"8"}"#, #""alpha_pattern":{"q_proj":1e999}"#,
        ] {
            #expect(failure { () throws(HadpoError) in try self.config(broken) } != nil, "\(broken)")
        }
    }

    @Test("A pair that PEFT would pass by is told from one that it reads")
    func choice() throws {
        func adapts(_ fields: String, _ module: String) throws -> Bool? {
            let text = #"{"peft_type":"LORA","r":2,"lora_alpha":4,\#(fields)}"#
            return try AdapterConfig(JSON.parse(text, source: "x", limits: .checkpoint), path: "x").adapts(module)
        }
        let (third, tower) = (
            "model.language_model.layers.3.self_attn.q_proj", "model.vision_tower.encoder.layers.3.self_attn.q_proj"
        )
        for (fields, module, expected): (String, String, Bool?) in [
            (#""target_modules":["q_proj"]"#, third, true), (#""target_modules":["proj"]"#, third, false),
            (#""target_modules":["self_attn.q_proj"]"#, third, true), (#""target_modules":"all-linear""#, third, true),
            (#""target_modules":"q_proj""#, third, false), (#""target_modules":".*q_proj""#, third, true),
            (#""target_modules":".*language_model.*(q|k)_proj""#, third, true),
            (#""target_modules":".*language_model.*(q|k)_proj""#, tower, false),
            (#""target_modules":["q_proj"],"exclude_modules":".*vision.*""#, tower, false),
            (#""target_modules":["q_proj"],"exclude_modules":["q_proj"]"#, third, false),
            (#""target_modules":["q_proj"],"layers_to_transform":[1,3]"#, third, true),
            (#""target_modules":["q_proj"],"layers_to_transform":1"#, third, false),
            (#""target_modules":["q_proj"],"layers_to_transform":[3],"layers_pattern":"layers""#, third, true),
            (#""target_modules":["q_proj"],"layers_to_transform":[3],"layers_pattern":["blocks"]"#, third, false),
            (
                #""target_modules":["linear_1"],"modules_to_save":["multi_modal_projector"]"#, "multi_modal_projector.linear_1",
                false
            ),
        ] {
            #expect(try adapts(fields, module) == expected, "\(fields) \(module)")
        }
    }

    @Test(
        "What would change the numbers and is not supported is refused and named",
        arguments: [
            #""use_dora":true"#, #""bias":"all""#, #""bias":"lora_only""#, #""rank_pattern":{"(?!k)q_proj":4}"#,
            #""alpha_pattern":{"(?!k)q_proj":4}"#, #""modules_to_save":["lm_head"]"#, #""fan_in_fan_out":true"#,
            #""lora_bias":true"#,
            #""peft_type":"IA3""#, #""peft_type":"PROMPT_TUNING""#,
            #""modules_to_save":["multi_modal_projector","embed_tokens"]"#,
            #""init_lora_weights":"corda""#, #""init_lora_weights":"loftq""#, #""init_lora_weights":"lora_ga""#,
            #""init_lora_weights":"of_the_future""#, #""layers_to_transform":[0],"layers_pattern":"(a|b)""#,
            #""target_parameters":["w"]"#, #""layer_replication":[[0,4]]"#,
            #""init_lora_weights":"pissa_niter_4""#,
            #""trainable_token_indices":[1]"#, #""init_lora_weights":"olora""#,
            #""exclude_modules":"(?!x).*q_proj""#, #""exclude_modules":"(x""#,
        ])
    func refused(_ field: String) {
        let error = failure { () throws(HadpoError) in try config(field) }
        #expect(error?.status == .unsupported && error?.place == "adapter_config.json")
        let name = field.split(separator: "\"")[0]
        #expect(error?.found?.hasPrefix(name) == true, "\(String(describing: error?.found))")
    }

    @Test(
        "An expression for modules that is not understood, or that stands beside a choice of layers, is refused and named",
        arguments: [
            #""target_modules":"(?!x).*q_proj""#, #""target_modules":"(q_proj""#,
            #""layers_to_transform":[0],"target_modules":".*q_proj""#, #""layers_to_transform":0,"target_modules":"all-linear""#,
            #""layers_to_transform":[],"target_modules":"all-linear""#,
        ])
    func expression(_ fields: String) {
        let text = #"{"peft_type":"LORA","r":2,"lora_alpha":4,\#(fields)}"#
        let error = failure { () throws(HadpoError) in
            try AdapterConfig(JSON.parse(text, source: "adapter_config.json"), path: "adapter_config.json")
        }
        #expect(error?.status == .unsupported && error?.place == "adapter_config.json")
        #expect(error?.found?.hasPrefix(String(fields.split(separator: "\"")[0])) == true, "\(String(describing: error?.found))")
    }

    @Test(
        "Their inactive values are accepted",
        arguments: [
            #""use_dora":false,"bias":"none","rank_pattern":{},"alpha_pattern":null,"modules_to_save":[],"peft_type":"LORA""#,
            #""fan_in_fan_out":false,"modules_to_save":null,"init_lora_weights":"gaussian""#,
            #""init_lora_weights":"eva","eva_config":{"rho":2.0},"layers_pattern":"""#,
        ])
    func inactive(_ fields: String) throws { _ = try config(fields) }

    @Test(
        "Missing and wrong values are refused and named",
        arguments: [
            ("r", #"{"lora_alpha":1,"target_modules":[]}"#), ("r", #"{"r":0,"lora_alpha":1,"target_modules":[]}"#),
            ("r", #"{"r":"8","lora_alpha":1,"target_modules":[]}"#),
            ("r", #"{"r":99999999999,"lora_alpha":1,"target_modules":[]}"#),
            ("lora_alpha", #"{"r":1,"target_modules":[]}"#), ("target_modules", #"{"r":1,"lora_alpha":1}"#),
            ("target_modules", #"{"r":1,"lora_alpha":1,"target_modules":[1]}"#),
            ("peft_type", #"{"r":1,"lora_alpha":1,"target_modules":[]}"#),
            ("peft_type", #"{"peft_type":null,"r":1,"lora_alpha":1,"target_modules":[]}"#),
        ])
    func malformed(_ field: String, _ text: String) {
        let error = failure { () throws(HadpoError) in try AdapterConfig(JSON.parse(text, source: "x"), path: "x") }
        #expect(error?.status == .format && error?.message.contains("field \(field)") == true)
    }
}
