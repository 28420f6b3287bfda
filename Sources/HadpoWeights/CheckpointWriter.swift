import HadpoBase
import HadpoTensor

/// Writes a folder's weights as Hugging Face does: `model.safetensors`, or shards of limited size with an index. Nothing appears
/// under its name before everything is written; the index comes last.
package final class CheckpointWriter {
    package let folder: String
    private let shards: [SafetensorsWriter]
    private let shardOfTensor: [String: Int]
    /// Empty when one file is enough.
    private let index: String

    /// The folder exists. Tensors go to shards in the order of `plans`.
    package init(
        folder: String, _ plans: [TensorPlan], maxShardBytes: Int = 5_000_000_000, progress: any Progress
    ) throws(HadpoError) {
        self.folder = folder
        var groups: [[TensorPlan]] = [[]]
        var groupBytes = 0
        var totalBytes = 0
        for plan in plans {
            guard let bytes = denseByteCount(plan.shape, plan.dtype), bytes < Int.max / 2 - totalBytes else {
                throw HadpoError(.internal, "tensor \(plan.name) is too large", at: folder, found: "\(plan.shape)")
            }
            if groupBytes + bytes > maxShardBytes, groupBytes > 0 {
                groups.append([])
                groupBytes = 0
            }
            groups[groups.count - 1].append(plan)
            groupBytes += bytes
            totalBytes += bytes
        }
        if groups.count > 1, File.exists(folder + "/model.safetensors") {
            // Readers take it before any index: the folder would keep its old weights.
            throw HadpoError(
                .io, "the folder holds a model.safetensors that would hide the new shards", at: folder,
                expected: "a folder without it")
        }
        var shards: [SafetensorsWriter] = []
        var shardOfTensor: [String: Int] = [:]
        var weightMap: [JSON.Member] = []
        for (number, group) in groups.enumerated() {
            let name = groups.count == 1 ? "model.safetensors" : CheckpointWriter.shardName(number + 1, of: groups.count)
            shards.append(try SafetensorsWriter(folder + "/" + name, group, progress: progress))
            for plan in group {
                guard shardOfTensor.updateValue(number, forKey: plan.name) == nil else {
                    throw HadpoError(.internal, "two tensors have the name \(plan.name)", at: folder)
                }
                weightMap.append(JSON.Member(plan.name, JSON(name)))
            }
        }
        self.shards = shards
        self.shardOfTensor = shardOfTensor
        index =
            groups.count == 1
            ? ""
            : (["metadata": ["total_size": JSON(totalBytes)], "weight_map": .object(weightMap)] as JSON).text(indent: 2) + "\n"
    }

    package func write(_ name: String, _ tensor: Tensor) throws(HadpoError) {
        guard let shard = shardOfTensor[name] else {
            throw HadpoError(.internal, "tensor \(name) is not planned for this checkpoint", at: folder)
        }
        try shards[shard].write(name, tensor)
    }

    package func finish() throws(HadpoError) {
        for shard in shards { try shard.sync() }
        for shard in shards { try shard.moveIntoPlace() }
        if !index.isEmpty { try File.writeAtomically(folder + "/model.safetensors.index.json", index) }
    }

    private static func shardName(_ number: Int, of count: Int) -> String {
        func fiveDigits(_ value: Int) -> String {
            let digits = String(value)
            return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
        }
        return "model-\(fiveDigits(number))-of-\(fiveDigits(count)).safetensors"
    }
}
