import HadpoBase
import HadpoTensor

/// What a file that is to be written will hold: known before the first tensor is, because the header comes first.
package struct TensorPlan: Sendable, Equatable {
    package let name: String
    package let dtype: DType
    package let shape: [Int]

    package init(_ name: String, _ dtype: DType, _ shape: [Int]) {
        self.name = name
        self.dtype = dtype
        self.shape = shape
    }
}

/// Writes one safetensors file, a tensor at a time in any order. The file appears under its name with `finish` and not before.
package final class SafetensorsWriter {
    package let path: String
    private let file: ReservedFile
    private let progress: any Progress
    private var pending: PlannedTensors

    /// - Parameter metadata: beside `format: pt`, without which transformers refuses a file.
    package init(
        _ path: String, _ plans: [TensorPlan], metadata: [(key: String, value: String)] = [], progress: any Progress
    ) throws(HadpoError) {
        let layout = try SafetensorsLayout(plans, metadata, path)
        self.path = path
        self.progress = progress
        pending = PlannedTensors(path, layout.tensors)
        file = try ReservedFile(path, byteCount: layout.byteCount)
        let file = file
        var failure: HadpoError?
        layout.header.withUnsafeBytes { raw in
            do throws(HadpoError) { try file.write(raw, at: 0) } catch { failure = error }
        }
        if let failure { throw failure }
    }

    package func write(_ name: String, _ tensor: Tensor) throws(HadpoError) {
        try pending.write(name, tensor, to: file, progress)
    }

    package func finish() throws(HadpoError) {
        try sync()
        try file.moveIntoPlace()
    }

    /// The two halves of `finish`, for several files that should appear together.
    func sync() throws(HadpoError) {
        try pending.checkComplete()
        try file.sync()
    }

    func moveIntoPlace() throws(HadpoError) { try file.moveIntoPlace() }
}

/// Header and offsets of a file with the given tensors.
struct SafetensorsLayout {
    /// Length, JSON and padding: everything before the data.
    let header: [UInt8]
    /// In the order of the data, with offsets from the start of the file.
    let tensors: [(plan: TensorPlan, offset: Int)]
    let byteCount: Int

    init(
        _ plans: [TensorPlan], _ metadata: [(key: String, value: String)], _ path: String
    ) throws(HadpoError) {
        // Wide elements first keeps every tensor aligned to its element without gaps. `sorted` is stable.
        let ordered = plans.sorted { $0.dtype.byteCount > $1.dtype.byteCount }
        var names = Set<String>()
        var members = [
            JSON.Member(
                "__metadata__", .object([JSON.Member("format", "pt")] + metadata.map { .init($0.key, .string($0.value)) }))
        ]
        var offsets: [Int] = []
        var end = 0
        for plan in ordered {
            guard plan.name != "__metadata__", names.insert(plan.name).inserted else {
                throw HadpoError(.internal, "two tensors have the name \(plan.name)", at: path)
            }
            guard let bytes = denseByteCount(plan.shape, plan.dtype), bytes < Int.max / 2 - end else {
                throw HadpoError(.internal, "tensor \(plan.name) is too large", at: path, found: "\(plan.shape)")
            }
            offsets.append(end)
            members.append(
                JSON.Member(
                    plan.name,
                    ["dtype": JSON(plan.dtype.rawValue), "shape": JSON(plan.shape), "data_offsets": JSON([end, end + bytes])]))
            end += bytes
        }
        var text = Array(JSON.object(members).text().utf8)
        // Data starts at a multiple of 64: a mapped file is then as aligned as the arena.
        text.append(contentsOf: repeatElement(UInt8(ascii: " "), count: (64 - (text.count + 8) % 64) % 64))
        guard text.count <= safetensorsHeaderLimit else {
            throw HadpoError(
                .unsupported, "safetensors: the header would be too long", at: path, found: "\(text.count) bytes",
                expected: "at most \(safetensorsHeaderLimit)")
        }
        let dataStart = text.count + 8
        header = (0..<8).map { UInt8(truncatingIfNeeded: text.count >> ($0 * 8)) } + text
        tensors = zip(ordered, offsets).map { ($0, dataStart + $1) }
        byteCount = dataStart + end
    }
}
