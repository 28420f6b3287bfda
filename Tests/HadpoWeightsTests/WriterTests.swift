import Glibc
import HadpoBase
import HadpoTensor
import HadpoWeights
import HadpoTestSupport
import Testing

@Suite struct WriterTests {
    let progress = SilentProgress()

    @Test("What was written is read back, in any order of writing, from the map and by reading")
    func roundTrip() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/x.safetensors"
        let a = try tensor([1, 2, 3, 4, 5, 6], [2, 3])
        let half = try Arena().allocate(6)
        half.base.copyMemory(from: [1, 2, 3, 4, 5, 6] as [UInt8], byteCount: 6)
        let b = try Tensor(storage: half, shape: [3], dtype: .f16)
        let writer = try SafetensorsWriter(
            path, [TensorPlan("b", .f16, [3]), TensorPlan("a", .f32, [2, 3]), TensorPlan("e", .f32, [0, 4])],
            metadata: [("origin", "a \"test\" é\n")], progress: progress)
        try writer.write("b", b)
        try writer.write("e", tensor([], [0, 4]))
        try writer.write("a", a)
        #expect(try !folder.entries.contains("x.safetensors"), "the file appeared before it was finished")
        try writer.finish()
        #expect(try folder.entries == ["x.safetensors"])
        for load in [LoadMode.map, .read] {
            let checkpoint = try Checkpoint.open(path, load: load, arena: Arena(), progress: progress)
            #expect(checkpoint.names == ["a", "e", "b"], "wide elements first")
            #expect(tensorBytes(try checkpoint.tensor("a", shape: [2, 3])) == tensorBytes(a))
            #expect(tensorBytes(try checkpoint.tensor("b")) == [1, 2, 3, 4, 5, 6])
            #expect(try checkpoint.tensor("a").storage.isWritable == (load == .read))
            #expect(checkpoint.files[0].metadata.map(\.key) == ["format", "origin"])
            #expect(checkpoint.files[0].metadata.map(\.value) == ["pt", "a \"test\" é\n"])
            #expect(checkpoint.totalBytes == 30)
        }
    }

    @Test("Data starts at a multiple of 64 bytes and every tensor is aligned to its element")
    func alignment() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/x.safetensors"
        let plans = [TensorPlan("byte", .u8, [3]), TensorPlan("half", .bf16, [1]), TensorPlan("wide", .i64, [1])]
        let writer = try SafetensorsWriter(path, plans, progress: progress)
        for plan in plans {
            let storage = try Arena().allocate(plan.shape[0] * plan.dtype.byteCount)
            try writer.write(plan.name, try Tensor(storage: storage, shape: plan.shape, dtype: plan.dtype))
        }
        try writer.finish()
        let checkpoint = try Checkpoint.open(path, arena: Arena(), progress: progress)
        for name in checkpoint.names {
            let info = try #require(checkpoint.info(name))
            #expect(info.byteOffset % info.dtype.byteCount == 0)
        }
        #expect(try #require(checkpoint.info("wide")).byteOffset % 64 == 0)
    }

    @Test("A writer that is given up leaves nothing behind and keeps the old file")
    func abandoned() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("x.safetensors", "old")
        do {
            let writer = try SafetensorsWriter(path, [TensorPlan("a", .f32, [1])], progress: progress)
            #expect(try folder.entries.count == 2)
            #expect(failure { () throws(HadpoError) in try writer.finish() }?.message.contains("never written") == true)
        }
        #expect(try folder.entries == ["x.safetensors"])
        var status = stat()
        #expect(stat(path, &status) == 0 && status.st_size == 3)
    }

    @Test("A tensor that is not planned, comes twice or has another type or shape is refused")
    func notAsPlanned() throws {
        let folder = try TemporaryFolder()
        let writer = try SafetensorsWriter(folder.path + "/x.safetensors", [TensorPlan("a", .f32, [2])], progress: progress)
        let good = try tensor([1, 2], [2])
        #expect(failure { () throws(HadpoError) in try writer.write("b", good) }?.message.contains("not planned") == true)
        #expect(
            failure { () throws(HadpoError) in try writer.write("a", good.reshaped([1, 2])) }?.found == "F32 [1, 2]")
        try writer.write("a", good)
        #expect(failure { () throws(HadpoError) in try writer.write("a", good) }?.message.contains("written before") == true)
    }

    @Test("A folder that cannot be written to is an error with the path")
    func missingFolder() {
        let error = failure { () throws(HadpoError) in
            try SafetensorsWriter("/nonexistent/x.safetensors", [], progress: SilentProgress())
        }
        #expect(error?.status == .io && error?.place == "/nonexistent/x.safetensors")
    }

    @Test("Shards hold at most the given bytes, in order, and their index leads back to every tensor")
    func shards() throws {
        let folder = try TemporaryFolder()
        let plans = (0..<5).map { TensorPlan("t\($0)", .f32, [4]) } + [TensorPlan("big", .f32, [20])]
        let writer = try CheckpointWriter(folder: folder.path, plans, maxShardBytes: 40, progress: progress)
        for (index, plan) in plans.enumerated() {
            try writer.write(plan.name, tensor([Float](repeating: Float(index), count: plan.shape[0]), plan.shape))
        }
        try writer.finish()
        let names = (1...4).map { "model-0000\($0)-of-00004.safetensors" }
        #expect(try folder.entries == names + ["model.safetensors.index.json"])
        let checkpoint = try Checkpoint.open(folder.path, arena: Arena(), progress: progress)
        #expect(checkpoint.names == plans.map(\.name) && checkpoint.files.count == 4)
        #expect(floats(try checkpoint.tensor("t4")) == [4, 4, 4, 4])
        #expect(checkpoint.totalBytes == 160)
        #expect(checkpoint.info("big")?.path.hasSuffix(names[3]) == true, "a tensor above the limit gets a shard of its own")
    }

    @Test("One shard is written as one file without an index")
    func oneShard() throws {
        let folder = try TemporaryFolder()
        let writer = try CheckpointWriter(folder: folder.path, [TensorPlan("a", .f32, [1])], progress: progress)
        try writer.write("a", tensor([7], [1]))
        try writer.finish()
        #expect(try folder.entries == ["model.safetensors"])
    }

    @Test("Shards are refused beside a model.safetensors, which readers would take instead of them")
    func hiddenShards() throws {
        let folder = try TemporaryFolder()
        _ = try folder.write("model.safetensors", "old")
        let plans = [TensorPlan("a", .f32, [1]), TensorPlan("b", .f32, [1])]
        let error = failure { () throws(HadpoError) in
            try CheckpointWriter(folder: folder.path, plans, maxShardBytes: 4, progress: SilentProgress())
        }
        #expect(try error?.status == .io && folder.entries == ["model.safetensors"])
    }

    @Test("A full disk is an error with the path and leaves no file, neither when room is reserved nor later")
    func fullDisk() throws {
        let folder = try TemporaryFolder()
        guard mount("tmpfs", folder.path, "tmpfs", 0, "size=256k") == 0 else {
            try Test.cancel("mounting a tmpfs needs root")
        }
        defer { umount2(folder.path, 2) }
        let error = failure { () throws(HadpoError) in
            try SafetensorsWriter(folder.path + "/x.safetensors", [TensorPlan("a", .u8, [1 << 20])], progress: SilentProgress())
        }
        #expect(error?.status == .io && error?.place == folder.path + "/x.safetensors")
        #expect(try folder.entries == [])
        // The second shard has no room although the first had.
        let plans = [TensorPlan("a", .u8, [128 << 10]), TensorPlan("b", .u8, [200 << 10])]
        let second = failure { () throws(HadpoError) in
            try CheckpointWriter(folder: folder.path, plans, maxShardBytes: 200 << 10, progress: SilentProgress())
        }
        #expect(second?.status == .io && second?.found?.contains("No space") == true)
        #expect(try folder.entries == [])
    }
}
