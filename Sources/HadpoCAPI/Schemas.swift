import HadpoBase
import HadpoEval
import HadpoModels
import HadpoReport
import HadpoTensor
import HadpoTrain
import HadpoWorld

/// "hadpo.engine/1"
struct EngineConfig: Sendable {
    let threads: Int
    let kernels: KernelChoice
    let numerics: Numerics
    let memoryLimit: Int

    init(_ r: inout ConfigReader) throws(HadpoError) {
        threads = try r.int("threads", default: 0, in: 0...1024, help: "0: every processor this process may use")
        kernels = try r.choice("kernels", default: .auto, help: "auto takes the best that the processor has")
        numerics = try r.choice(
            "numerics", default: .exact,
            help:
                "exact: fp32 products; fast: operands rounded to bf16 (with VNNI, those by int8 and int4 weights to 8 bits), fp32 sums"
        )
        memoryLimit = try r.int(
            "memory_limit", default: 0, in: 0...Int.max, help: "bytes for tensors, caches and images; 0: none")
    }
}

/// "hadpo.model/1"
struct ModelConfig: Sendable {
    let files: ModelFiles
    let adapter: String?
    let weights: WeightFormat
    /// Nil: as the device computes with them.
    let cache: DType?
    let processor: ImageProcessorChoice
    let verify: Bool

    init(_ r: inout ConfigReader) throws(HadpoError) {
        var files = ModelFiles(
            path: try r.string(
                "path",
                help: "checkpoint folder: Hugging Face layout or the original release; of MiniGPT-4 and LAVIS' InstructBLIP the "
                    + "language model's folder, or one folder with all their files"))
        adapter = try r.optionalString("adapter", help: "PEFT adapter folder to put on")
        files.visionTower = try r.optionalString(
            "vision_tower", help: "the CLIP folder that an original LLaVA names; eva_vit_g.pth of MiniGPT-4 and InstructBLIP")
        files.checkpoint = try r.optionalString(
            "checkpoint", help: "the .pth beside the language model: MiniGPT-4's projection, LAVIS' InstructBLIP")
        files.bert = try r.optionalString(
            "bert", help: "folder of bert-base-uncased (vocab.txt, config.json) for LAVIS' InstructBLIP")
        files.imageSize = try r.int(
            "image_size", default: 0, in: 0...4096,
            help: "side of the pictures that EVA sees, its positions interpolated; 0: as the checkpoint has it")
        let load = try r.choice("load", default: "map", of: ["map", "read"], help: "map the files, or copy them into memory")
        files.load = load == "read" ? .read : .map
        self.files = files
        weights = try r.choice(
            "weights", default: .stored, help: "the decoder's matrices in memory: as stored, or quantised while loading")
        let cache = try r.choice(
            "kv_cache", default: "auto", of: ["auto", "fp32", "bf16", "fp16", "int8"],
            help:
                "keys and values while generating; bf16 and fp16 take half the memory, int8 a quarter, and round them; auto: fp32; in "
                + "fast bf16 on AMX, where attention rounds to it in any case, and fp16 on AVX-512")
        self.cache = ["fp32": .f32, "bf16": .bf16, "fp16": .f16, "int8": .i8][cache]
        processor = try r.choice(
            "processor", default: .checkpoint, help: "checkpoint: as it says; pad: to a square (HA-DPO); crop")
        verify = try r.bool(
            "verify", default: false,
            help: "read every byte of the weight files for the model's identity, and not samples of every tensor")
    }
}

/// Every schema by name: its defaults, and a given configuration with the defaults filled in.
enum Schemas {
    /// - Parameter family: the model's, whose published values the defaults are.
    private static func table<R>(
        _ name: String, family: ModelFamily = .llava, _ body: SchemaUse<R>
    ) throws(HadpoError) -> R {
        switch name {
        case "hadpo.engine/1": return try body.use(name, EngineConfig.init)
        case "hadpo.model/1": return try body.use(name, ModelConfig.init)
        case "hadpo.generate/1": return try body.use(name, GenerationConfig.init)
        case "hadpo.score/1": return try body.use(name, ScoringConfig.init)
        case "hadpo.inspect/1": return try body.use(name, InspectionConfig.init)
        case "hadpo.export/1": return try body.use(name, ExportConfig.init)
        case "hadpo.train/1": return try body.use(name) { r throws(HadpoError) in try TrainConfig(&r, family: family) }
        case "hadpo.pope/1": return try body.use(name) { r throws(HadpoError) in try PopeRunConfig(&r, family: family) }
        case "hadpo.pope-score/1": return try body.use(name, PopeEvaluationConfig.init)
        case "hadpo.pope-build/1": return try body.use(name, PopeBuildConfig.init)
        case "hadpo.chair-score/1": return try body.use(name, CHAIRScoreConfig.init)
        case "hadpo.shr-describe/1":
            return try body.use(name) { r throws(HadpoError) in try SHRDescribeConfig(&r, family: family) }
        case "hadpo.shr-requests/1": return try body.use(name, SHRRequestsConfig.init)
        case "hadpo.shr-score/1": return try body.use(name, SHRScoreConfig.init)
        case "hadpo.shr-agree/1": return try body.use(name, SHRAgreementConfig.init)
        case "hadpo.report/1": return try body.use(name, ReportConfig.init)
        case "hadpo.world/1": return try body.use(name, WorldConfig.init)
        case "hadpo.world-pairs/1": return try body.use(name, WorldPairsConfig.init)
        case "hadpo.world-base/1": return try body.use(name, WorldBaseConfig.init)
        default:
            throw HadpoError(
                .config, "unknown schema", at: "/schema", found: "'\(name)'", expected: names.joined(separator: ", "))
        }
    }

    static let names = [
        "hadpo.engine/1", "hadpo.model/1", "hadpo.generate/1", "hadpo.score/1", "hadpo.inspect/1", "hadpo.export/1",
        "hadpo.train/1",
        "hadpo.pope/1", "hadpo.pope-score/1", "hadpo.pope-build/1", "hadpo.chair-score/1", "hadpo.shr-describe/1",
        "hadpo.shr-requests/1", "hadpo.shr-score/1", "hadpo.shr-agree/1", "hadpo.world/1", "hadpo.world-pairs/1",
        "hadpo.world-base/1", "hadpo.report/1",
    ]

    static func defaults(_ name: String) throws(HadpoError) -> JSON { try table(name, Defaults()) }
    static func resolved(_ json: JSON) throws(HadpoError) -> JSON { try table(try ConfigReader.schemaName(json), Resolve(json)) }
    /// A configuration that need not be whole, filled up with the defaults of a model's family.
    static func completed(_ json: JSON, family: ModelFamily) throws(HadpoError) -> JSON {
        try table(try ConfigReader.schemaName(json), family: family, Defaults(json))
    }
}

/// Something done with one schema's type.
private class SchemaUse<R> {
    func use<T>(_ name: String, _ body: (inout ConfigReader) throws(HadpoError) -> T) throws(HadpoError) -> R {
        throw HadpoError(.internal, "a use of a schema without its body")
    }
}

private final class Defaults: SchemaUse<JSON> {
    let given: JSON
    init(_ given: JSON = .object([])) { self.given = given }
    override func use<T>(_ name: String, _ body: (inout ConfigReader) throws(HadpoError) -> T) throws(HadpoError) -> JSON {
        try ConfigReader.describe(name, given: given, body).defaults
    }
}

private final class Resolve: SchemaUse<JSON> {
    let json: JSON
    init(_ json: JSON) { self.json = json }
    override func use<T>(_ name: String, _ body: (inout ConfigReader) throws(HadpoError) -> T) throws(HadpoError) -> JSON {
        try ConfigReader.read(json, schema: name, body).resolved
    }
}
