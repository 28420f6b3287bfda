import Glibc
import HadpoBase
import HadpoTensor
import HadpoWeights
import Testing

/// Golden files are made by `Tests/Fixtures/make_weights.py` with torch and safetensors.
@Suite struct TorchReaderTests {
    /// Tests/Fixtures/weights, beside this file's folder.
    static let fixtures =
        #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(2).joined(separator: "/") + "/Fixtures/weights"

    func open(_ name: String, _ load: LoadMode = .map) throws(HadpoError) -> Checkpoint {
        try Checkpoint.open("\(TorchReaderTests.fixtures)/\(name)", load: load, arena: Arena(), progress: SilentProgress())
    }

    @Test(
        "Every tensor torch saved is read as torch shows it: views, transposes, expansions, shared storages and all types",
        arguments: ["zip.bin", "legacy.bin", "protocol4.bin", "sharded"], [LoadMode.map, .read])
    func golden(_ name: String, _ load: LoadMode) throws {
        let expected = try open("expected.safetensors")
        let found = try open(name, load)
        #expect(found.names.sorted() == expected.names.sorted(), "things that are no tensors are passed over")
        for name in expected.names {
            let (one, other) = (try found.tensor(name), try expected.tensor(name))
            #expect(one.shape == other.shape && one.dtype == other.dtype, "\(name)")
            #expect(tensorBytes(one) == tensorBytes(other), "\(name)")
        }
    }

    @Test("A file of the safetensors package is read, its metadata included")
    func safetensorsPackage() throws {
        let file = try open("expected.safetensors")
        #expect(file.files[0].metadata.map(\.value) == ["pt"])
        #expect(file.info("float64")?.dtype == .f64 && file.info("bool")?.shape == [3])
    }

    @Test("Dense tensors look into the mapped file; tied ones at the same bytes")
    func mapped() throws {
        let file = try open("zip.bin")
        let (one, tied) = (try file.tensor("f32"), try file.tensor("tied"))
        #expect(!one.storage.isWritable && one.pointer == tied.pointer)
        #expect(Int(bitPattern: one.pointer) % 64 == 0, "torch aligns storages to 64 bytes")
        #expect(try file.tensor("rows").pointer == one.pointer + 2 * 8 * 4)
        #expect(try file.tensor("transposed").storage.isWritable, "a view with strides is copied")
    }

    @Test(
        "A state dict below model, state_dict or module is found, whatever lies beside it",
        arguments: ["nested-model.pth", "nested-state_dict.pth", "nested-module.pth"])
    func nested(_ name: String) throws {
        let file = try open(name)
        #expect(file.names == ["f32", "scalar"])
        #expect(tensorBytes(try file.tensor("f32")) == tensorBytes(try open("expected.safetensors").tensor("f32")))
    }

    @Test("A command in a pickle is a thing of no meaning: it is not run, and the tensors beside it are read")
    func hostile() throws {
        let file = try open("hostile.bin")
        #expect(file.names == ["f32"])
        #expect(!File.exists("pickle-was-executed"))
    }

    @Test("A compressed archive is refused with the reason and what to do")
    func compressed() {
        let error = failure { () throws(HadpoError) in try open("compressed.bin") }
        #expect(error?.status == .unsupported && error?.message.contains("compressed") == true)
        #expect(error?.message.contains("save it again") == true)
    }

    @Test("Truncated anywhere, a torch file is an error and never a trap", arguments: ["zip.bin", "legacy.bin"])
    func truncated(_ name: String) throws {
        let bytes = try File.read("\(TorchReaderTests.fixtures)/\(name)")
        for count in 0..<bytes.count {
            #expect(throws: HadpoError.self, "cut to \(count) bytes") {
                let file = try WeightFile.open(memoryFile(Array(bytes[..<count])))
                for info in file.tensors { _ = try file.tensor(info) }
            }
        }
    }

    @Test(
        "Any byte changed, removed or added in a torch file never traps and never yields a tensor outside the file",
        arguments: ["zip.bin", "legacy.bin", "nested-model.pth", "hostile.bin"])
    func mutations(_ name: String) throws {
        Mutations.run(seed: try File.read("\(TorchReaderTests.fixtures)/\(name)"), count: 5000)
    }

    @Test("A pickle of small size with every byte in danger never traps")
    func pickleMutations() {
        let body = Pickle.dictionary([
            ("a", Pickle.tensor(Pickle.storage(count: 8), [2, 4], strides: [4, 1])),
            ("b", Pickle.tensor(Pickle.storage(count: 8), offset: 1, [2, 2], strides: [1, 3])),
        ])
        Mutations.run(seed: torchLegacy(body), count: 20_000)
        // The archive itself stays whole, so that the damage reaches the pickle.
        var random = SplitMix(state: 3)
        for round in 0..<20_000 {
            guard let file = try? WeightFile.open(memoryFile(torchZip(Mutations.mutated(body, round, &random)))) else { continue }
            for info in file.tensors { _ = try? file.tensor(info) }
        }
    }
}
