import HadpoBase
import HadpoTensor

/// The tensors of a checkpoint by name: a folder as Hugging Face writes it (one file, or shards with an index) or a single
/// file. Opening reads the tables of contents only.
package final class Checkpoint: Sendable {
    /// As given by the host.
    package let path: String
    package let files: [WeightFile]
    package var filePaths: [String] { files.map(\.file.path) }
    /// In file order; of an index, in the index's order.
    package let names: [String]
    private let entries: [String: Entry]

    private struct Entry: Sendable {
        let file: WeightFile
        let info: TensorInfo
    }

    /// - Parameter arena: where copies go: everything with `.read`; with `.map` only tensors that cannot be used where they lie.
    package static func open(
        _ path: String, load: LoadMode = .map, arena: Arena, progress: any Progress
    ) throws(HadpoError) -> Checkpoint {
        guard File.isDirectory(path) else {
            if path.hasSuffix(".index.json") { return try openIndex(path, path, load, arena, progress) }
            return try Checkpoint(path, file: WeightFile.open(ByteFile(path, load: load, arena: arena)))
        }
        // transformers' search order.
        for name in ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"] {
            let candidate = File.join(path, name)
            guard File.exists(candidate) else { continue }
            if name.hasSuffix(".json") { return try openIndex(path, candidate, load, arena, progress) }
            return try Checkpoint(path, file: WeightFile.open(ByteFile(candidate, load: load, arena: arena)))
        }
        throw HadpoError(
            .io, "the folder holds no weights", at: path,
            expected: "model.safetensors or pytorch_model.bin, or one of them with an .index.json")
    }

    /// All tensors of one file.
    package convenience init(_ path: String, file: WeightFile) throws(HadpoError) {
        try self.init(path, [file], file.tensors.map { ($0.name, file, $0) })
    }

    private init(
        _ path: String, _ files: [WeightFile], _ tensors: [(name: String, file: WeightFile, info: TensorInfo)]
    ) throws(HadpoError) {
        var entries: [String: Entry] = [:]
        entries.reserveCapacity(tensors.count)
        for (name, file, info) in tensors {
            guard entries.updateValue(Entry(file: file, info: info), forKey: name) == nil else {
                throw HadpoError(.format, "two tensors have the name \(name)", at: file.path)
            }
        }
        self.path = path
        self.files = files
        self.entries = entries
        names = tensors.map(\.name)
    }

    /// The index's weight_map is authoritative: shards may hold more, and a shard that lacks what the map promises is damaged.
    private static func openIndex(
        _ path: String, _ indexPath: String, _ load: LoadMode, _ arena: Arena, _ progress: any Progress
    ) throws(HadpoError) -> Checkpoint {
        let map = try weightMap(indexPath)
        var files: [WeightFile] = []
        var shards: [String: (file: WeightFile, tensors: [String: TensorInfo])] = [:]
        var tensors: [(name: String, file: WeightFile, info: TensorInfo)] = []
        for (name, shardName) in map {
            if shards[shardName] == nil {
                try progress.tick()
                let file = try openShard(File.join(File.folder(of: indexPath), shardName), of: indexPath, load, arena)
                var table: [String: TensorInfo] = [:]
                for info in file.tensors { table[info.name] = info }
                files.append(file)
                shards[shardName] = (file, table)
            }
            guard let shard = shards[shardName] else { continue }
            guard let info = shard.tensors[name] else {
                throw HadpoError(
                    .weights, "the index promises a tensor that its shard does not hold", at: shard.file.path,
                    found: "no \(name)", expected: "as in \(indexPath)")
            }
            tensors.append((name, shard.file, info))
        }
        return try Checkpoint(path, files, tensors)
    }

    private static func openShard(
        _ path: String, of indexPath: String, _ load: LoadMode, _ arena: Arena
    ) throws(HadpoError) -> WeightFile {
        guard File.exists(path) else {
            throw HadpoError(.io, "a shard named by \(indexPath) does not exist", at: path)
        }
        return try WeightFile.open(ByteFile(path, load: load, arena: arena))
    }

    private static func weightMap(_ indexPath: String) throws(HadpoError) -> [(name: String, shard: String)] {
        let index = try JSON.parse(
            File.read(indexPath, limit: safetensorsHeaderLimit), source: indexPath, limits: .checkpoint)
        guard case .object(let members) = index,
            case .object(let map)? = members.first(where: { $0.key == "weight_map" })?.value
        else {
            throw HadpoError(.format, "the index has no weight_map", at: indexPath, expected: "{\"weight_map\": {tensor: file}}")
        }
        var pairs: [(name: String, shard: String)] = []
        for member in map {
            // A shard lies beside its index; anything else would let an index open any file of the machine.
            guard case .string(let shard) = member.value, !shard.isEmpty, !shard.utf8.contains(UInt8(ascii: "/")),
                !shard.utf8.contains(0)
            else {
                throw HadpoError(
                    .format, "the index names no file of its folder for tensor \(member.key)", at: indexPath,
                    expected: "a file name without /")
            }
            pairs.append((member.key, shard))
        }
        return pairs
    }

    // MARK: tensors

    package var totalBytes: Int { names.reduce(0) { $0 &+ (entries[$1]?.info.byteCount ?? 0) } }

    package func contains(_ name: String) -> Bool { entries[name] != nil }

    package func info(_ name: String) -> TensorInfo? { entries[name]?.info }

    func file(of name: String) -> ByteFile? { entries[name]?.file.file }

    /// The tensor as stored. With `.map` it looks into the file and must not be written to.
    package func tensor(_ name: String) throws(HadpoError) -> Tensor {
        guard let entry = entries[name] else {
            throw HadpoError(.weights, "the checkpoint has no tensor \(name)", at: path, expected: name)
        }
        return try entry.file.tensor(entry.info)
    }

    /// The tensor if it has the shape that the model's configuration asks for.
    package func tensor(_ name: String, shape: [Int]) throws(HadpoError) -> Tensor {
        if let info = info(name), info.shape != shape {
            throw HadpoError(
                .weights, "tensor \(name) has another shape than config.json says", at: info.path,
                found: "\(info.shape)", expected: "\(shape)")
        }
        return try tensor(name)
    }

    /// The tensor has been read and will not be read again soon: a mapped file's pages go back to the system.
    package func releasePages(of name: String) {
        guard let entry = entries[name], let mapping = entry.file.file.mapping else { return }
        mapping.release(entry.info.byteOffset..<entry.info.byteOffset + entry.info.byteCount)
    }

    /// To every mapped file; see `MappedFile.advise`.
    package func advise(_ advice: MappedFile.Advice) {
        for file in files { file.file.mapping?.advise(advice) }
    }
}
