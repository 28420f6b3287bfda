import HadpoBase
import HadpoTensor
import HadpoWeights
import HadpoTestSupport
import Testing

@Suite struct TorchWriterTests {
    let progress = SilentProgress()

    /// Bytes that are different in every place and count from `seed`.
    func filled(_ plan: TensorPlan, _ seed: Int) throws -> Tensor {
        let count = plan.shape.reduce(1, *) * plan.dtype.byteCount
        let storage = try Arena().allocate(count)
        for i in 0..<count {
            storage.base.storeBytes(of: UInt8(truncatingIfNeeded: i * 7 + seed), toByteOffset: i, as: UInt8.self)
        }
        return try Tensor(storage: storage, shape: plan.shape, dtype: plan.dtype)
    }

    static let plans =
        [
            TensorPlan("visual.weight", .f16, [3, 5, 2]), TensorPlan("bias", .f32, [7]), TensorPlan("scalar", .bf16, []),
            TensorPlan("empty", .f32, [0, 4]), TensorPlan("ones é", .f32, [1, 1, 6, 1]),
        ] + DType.stored.map { TensorPlan("type.\($0.rawValue)", $0, [2, 3]) }

    @Test("What was written is read back in bits, flat and under a key", arguments: [nil, "model"] as [String?])
    func roundTrip(_ key: String?) throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/x.pth"
        let writer = try TorchWriter(path, Self.plans, under: key, progress: progress)
        let tensors = try Self.plans.enumerated().map { try filled($1, $0) }
        for (plan, tensor) in zip(Self.plans, tensors).reversed() { try writer.write(plan.name, tensor) }
        #expect(try !folder.entries.contains("x.pth"), "the file appeared before it was finished")
        try writer.finish()
        #expect(try folder.entries == ["x.pth"])
        for load in [LoadMode.map, .read] {
            let checkpoint = try Checkpoint.open(path, load: load, arena: Arena(), progress: progress)
            #expect(checkpoint.names.sorted() == Self.plans.map(\.name).sorted())
            for (plan, tensor) in zip(Self.plans, tensors) {
                let found = try checkpoint.tensor(plan.name)
                #expect(found.dtype == plan.dtype && found.shape == plan.shape, "\(plan.name)")
                #expect(tensorBytes(found) == tensorBytes(tensor), "\(plan.name)")
                #expect(try #require(checkpoint.info(plan.name)).byteOffset % 64 == 0, "\(plan.name)")
            }
        }
    }

    @Test("Checksums are those of zip: 123456789 gives CBF43926")
    func checksum() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/x.pth"
        let storage = try Arena().allocate(9)
        storage.base.copyMemory(from: Array("123456789".utf8), byteCount: 9)
        let writer = try TorchWriter(path, [TensorPlan("a", .u8, [9])], progress: progress)
        try writer.write("a", Tensor(storage: storage, shape: [9], dtype: .u8))
        try writer.finish()
        let bytes = try File.read(path)
        let name = Array("archive/data/0".utf8)
        let places = bytes.indices.filter { bytes[$0...].starts(with: name) }
        try #require(places.count == 2, "a local header and an entry of the directory")
        #expect(Array(bytes[places[0] - 16..<places[0] - 12]) == littleEndian(0xCBF4_3926 as UInt32))
        #expect(Array(bytes[places[1] - 30..<places[1] - 26]) == littleEndian(0xCBF4_3926 as UInt32))
    }

    @Test("A tensor that is missing, comes twice or is not as planned is refused, and nothing is left behind")
    func notAsPlanned() throws {
        let folder = try TemporaryFolder()
        do {
            let writer = try TorchWriter(
                folder.path + "/x.pth", [TensorPlan("a", .f32, [2]), TensorPlan("b", .f32, [1])], progress: progress)
            let good = try tensor([1, 2], [2])
            #expect(failure { () throws(HadpoError) in try writer.write("c", good) }?.message.contains("not planned") == true)
            #expect(failure { () throws(HadpoError) in try writer.write("b", good) }?.found == "F32 [2]")
            try writer.write("a", good)
            #expect(failure { () throws(HadpoError) in try writer.write("a", good) }?.message.contains("written before") == true)
            #expect(failure { () throws(HadpoError) in try writer.finish() }?.message.contains("never written") == true)
        }
        #expect(try folder.entries == [])
    }

    @Test(
        "More than a zip without 64-bit offsets can hold is refused before anything is written",
        arguments: [[1 << 30, 1], [1 << 29, 2], [Int.max, 2], [1 << 62, 4], [-1]])
    func tooLarge(_ shape: [Int]) throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/x.pth"
        let error = failure { () throws(HadpoError) in
            try TorchWriter(path, [TensorPlan("small", .f32, [1]), TensorPlan("a", .f32, shape)], progress: SilentProgress())
        }
        #expect(error?.status == .unsupported && error?.place == path && error?.found == "a")
        #expect(try folder.entries == [])
        let twice = failure { () throws(HadpoError) in
            try TorchWriter(path, [TensorPlan("a", .f32, [1]), TensorPlan("a", .f32, [1])], progress: SilentProgress())
        }
        #expect(twice?.status == .internal)
        let many = (0..<65_600).map { TensorPlan("t\($0)", .u8, [0]) }
        #expect(
            failure { () throws(HadpoError) in try TorchWriter(path, many, progress: SilentProgress()) }?.status == .unsupported)
    }
}
