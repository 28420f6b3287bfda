import Glibc
import HadpoBase
import HadpoTensor
import HadpoWeights

/// Files of weights: every tensor that the table of contents names is looked at.
enum WeightParsers {
    static let all: [Parser] = [
        Parser("safetensors", .safetensors) { bytes in try read(bytes, "model.safetensors") },
        Parser("torch-zip", .bytes) { bytes in try read(bytes, "pytorch_model.bin") },
        Parser("torch-pickle", .pickle) { bytes in
            try torchZip(around: bytes).withUnsafeBytes { try read($0, "pytorch_model.bin") }
        },
        Parser("torch-legacy", .pickle) { bytes in try read(bytes, "pytorch_model.bin") },
        Parser("weight-index") { bytes in
            _ = shards
            Scratch.write("sharded/pytorch_model.bin.index.json", bytes)
            let checkpoint = try Checkpoint.open(
                Scratch.path("sharded"), arena: Arena(limit: 1 << 28), progress: SilentProgress())
            try touch(checkpoint)
        },
        Parser("adapter-config") { bytes in
            let file = Array(bytes)
            let config = try AdapterConfig(JSON.parse(file, source: "adapter_config.json"), path: "adapter_config.json")
            for module in ["model.layers.0.self_attn.q_proj", "model.vision_tower.encoder.layers.11.mlp.fc1", ""] {
                _ = (config.scaling(of: module), config.adapts(module), config.saves(module))
            }
            _ = config.json
            _ = try AdapterFile(config, whole("weights/adapter-original/adapter_model.safetensors"))
        },
        Parser("adapter-weights", .safetensors) { bytes in
            let config = try AdapterConfig.read("Tests/Fixtures/weights/adapter-original/adapter_config.json")
            _ = try AdapterFile(config, checkpoint(bytes, "adapter_model.safetensors")).targets
        },
        Parser("projector", .safetensors) { bytes in _ = try ProjectorFile(checkpoint(bytes, "non_lora_trainables.safetensors"))
        },
    ]

    private static let shards: Void = Scratch.copy("weights/sharded", to: "sharded")

    /// In a block of exactly the file's size, so that the sanitizer sees the first byte behind it being read.
    private static func checkpoint(_ bytes: UnsafeRawBufferPointer, _ name: String) throws -> Checkpoint {
        guard let base = malloc(max(1, bytes.count)) else { violated("no memory for an input") }
        if let from = bytes.baseAddress { memcpy(base, from, bytes.count) }
        let storage = Storage(base: base, byteCount: bytes.count, isWritable: false) { free(base) }
        return try Checkpoint(name, file: WeightFile.open(ByteFile(memory: storage, path: name, arena: Arena(limit: 1 << 28))))
    }

    private static func whole(_ fixture: String) throws -> Checkpoint {
        try Checkpoint.open("Tests/Fixtures/" + fixture, arena: Arena(), progress: SilentProgress())
    }

    private static func read(_ bytes: UnsafeRawBufferPointer, _ name: String) throws { try touch(checkpoint(bytes, name)) }

    /// The sum of all bytes: a tensor that looks outside of its file is seen by the sanitizer.
    private static func touch(_ checkpoint: Checkpoint) throws {
        var sum: UInt64 = 0
        for name in checkpoint.names {
            let tensor = try checkpoint.tensor(name)
            guard let count = tensor.dtype.byteCount(of: tensor.shape) else { violated("a tensor was read that has no size") }
            let bytes = UnsafeRawBufferPointer(start: tensor.storage.base + tensor.byteOffset, count: count)
            // Both ends and some between: a tensor may have 64 MiB.
            if let first = bytes.first, let last = bytes.last { sum &+= UInt64(first) &+ UInt64(last) }
            for place in stride(from: 0, to: count, by: max(1, count / 4096)) { sum &+= UInt64(bytes[place]) }
        }
        keep = sum
    }

    private nonisolated(unsafe) static var keep: UInt64 = 0

    // MARK: a zip around a pickle

    /// What torch.save writes around data.pkl, with one storage "0" of 256 bytes.
    private static func torchZip(around pickle: UnsafeRawBufferPointer) -> [UInt8] {
        let entries: [(name: String, bytes: [UInt8])] = [
            ("archive/data.pkl", Array(pickle)), ("archive/byteorder", Array("little".utf8)),
            ("archive/data/0", [UInt8](repeating: 0x3C, count: 256)), ("archive/version", Array("3\n".utf8)),
        ]
        var file: [UInt8] = []
        var directory: [UInt8] = []
        func put(_ number: Int, _ count: Int, to bytes: inout [UInt8]) {
            for place in 0..<count { bytes.append(UInt8(truncatingIfNeeded: number >> (8 * place))) }
        }
        for entry in entries {
            let offset = file.count
            let name = Array(entry.name.utf8)
            /// From "version needed" to the length of the extra field, the same in both places.
            var common: [UInt8] = []
            for field in [0, 0, 0, 0, 0] { put(field, 2, to: &common) }
            for field in [0, entry.bytes.count, entry.bytes.count] { put(field, 4, to: &common) }
            for field in [name.count, 0] { put(field, 2, to: &common) }
            file += [0x50, 0x4B, 3, 4] + common + name + entry.bytes
            directory += [0x50, 0x4B, 1, 2, 0, 0] + common
            for (field, size) in [(0, 2), (0, 2), (0, 2), (0, 4), (offset, 4)] { put(field, size, to: &directory) }
            directory += name
        }
        let start = file.count
        file += directory + [0x50, 0x4B, 5, 6]
        for (field, size) in [(0, 2), (0, 2), (entries.count, 2), (entries.count, 2), (directory.count, 4), (start, 4), (0, 2)] {
            put(field, size, to: &file)
        }
        return file
    }
}
