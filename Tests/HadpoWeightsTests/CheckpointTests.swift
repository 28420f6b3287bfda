import Glibc
import HadpoBase
import HadpoTensor
import HadpoWeights
import HadpoTestSupport
import Testing

@Suite struct CheckpointTests {
    let progress = SilentProgress()

    func open(_ path: String, _ load: LoadMode = .map) throws(HadpoError) -> Checkpoint {
        try Checkpoint.open(path, load: load, arena: Arena(), progress: progress)
    }

    func shard(_ names: [String]) -> [UInt8] {
        let entries = names.enumerated().map {
            #""\#($1)":{"dtype":"U8","shape":[2],"data_offsets":[\#($0 * 2),\#($0 * 2 + 2)]}"#
        }
        return safetensors("{\(entries.joined(separator: ","))}", data: names.count * 2)
    }

    @Test("The index's weight_map decides: what it leaves out is not there, and its order is kept")
    func authoritative() throws {
        let folder = try TemporaryFolder()
        _ = try folder.write("one.safetensors", shard(["a", "b", "shared"]))
        _ = try folder.write("two.safetensors", shard(["shared", "c"]))
        _ = try folder.write(
            "model.safetensors.index.json",
            #"{"metadata":{"total_size":6},"weight_map":{"c":"two.safetensors","shared":"one.safetensors","a":"one.safetensors"}}"#
        )
        for load in [LoadMode.map, .read] {
            let checkpoint = try open(folder.path, load)
            #expect(checkpoint.names == ["c", "shared", "a"])
            #expect(!checkpoint.contains("b"))
            #expect(tensorBytes(try checkpoint.tensor("shared")) == [4, 5])
            #expect(checkpoint.files.map(\.path) == [folder.path + "/two.safetensors", folder.path + "/one.safetensors"])
        }
        #expect(try open(folder.path + "/model.safetensors.index.json").names == ["c", "shared", "a"])
    }

    @Test("A tensor that the index promises and the shard lacks is an error that names both")
    func missingInShard() throws {
        let folder = try TemporaryFolder()
        _ = try folder.write("one.safetensors", shard(["a"]))
        _ = try folder.write("model.safetensors.index.json", #"{"weight_map":{"b":"one.safetensors"}}"#)
        let error = failure { () throws(HadpoError) in try open(folder.path) }
        #expect(error?.status == .weights && error?.found == "no b")
        #expect(error?.place == folder.path + "/one.safetensors")
    }

    @Test("A shard that does not exist is an error with its path")
    func missingShard() throws {
        let folder = try TemporaryFolder()
        _ = try folder.write("model.safetensors.index.json", #"{"weight_map":{"b":"one.safetensors"}}"#)
        let error = failure { () throws(HadpoError) in try open(folder.path) }
        #expect(error?.status == .io && error?.place == folder.path + "/one.safetensors")
    }

    @Test(
        "An index that names files outside its folder is refused",
        arguments: ["/etc/passwd", "../x.safetensors", "a/b", "", "a\\u0000b"])
    func escaping(_ name: String) throws {
        let folder = try TemporaryFolder()
        _ = try folder.write("model.safetensors.index.json", #"{"weight_map":{"b":"\#(name)"}}"#)
        #expect([.format, .json].contains(failure { () throws(HadpoError) in try open(folder.path) }?.status))
    }

    @Test(
        "An index without a usable weight_map is refused",
        arguments: ["[]", "{}", #"{"weight_map":[]}"#, #"{"weight_map":{"a":1}}"#, "", "{", #"{"weight_map":{"a":"f","a":"f"}}"#])
    func badIndex(_ text: String) throws {
        let folder = try TemporaryFolder()
        _ = try folder.write("model.safetensors.index.json", text)
        let error = failure { () throws(HadpoError) in try open(folder.path) }
        #expect(error?.place?.contains("model.safetensors.index.json") == true, "\(String(describing: error))")
    }

    @Test("One file in a folder wins over an index, and safetensors over torch files")
    func searchOrder() throws {
        let folder = try TemporaryFolder()
        _ = try folder.write("pytorch_model.bin", "not looked at")
        _ = try folder.write("model.safetensors.index.json", "not looked at")
        _ = try folder.write("model.safetensors", shard(["a"]))
        #expect(try open(folder.path).names == ["a"])
    }

    @Test("A folder without weights, a missing file and a pipe are errors with the path")
    func nothingThere() throws {
        let folder = try TemporaryFolder()
        let empty = failure { () throws(HadpoError) in try open(folder.path) }
        #expect(empty?.status == .io && empty?.expected?.contains("model.safetensors") == true)
        let missing = failure { () throws(HadpoError) in try open(folder.path + "/none.bin") }
        #expect(missing?.status == .io && missing?.message == "cannot open: No such file or directory")
        let pipe = folder.path + "/pipe.bin"
        try #require(mkfifo(pipe, 0o644) == 0)
        #expect(failure { () throws(HadpoError) in try open(pipe) }?.message == "not a regular file")
        let nothing = try folder.write("empty.bin", [])
        for load in [LoadMode.map, .read] {
            #expect(failure { () throws(HadpoError) in try open(nothing, load) }?.place == nothing)
        }
    }

    @Test("A wrong shape is an error that names file, tensor, what was found and what was expected")
    func wrongShape() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("model.safetensors", shard(["a"]))
        let checkpoint = try open(folder.path)
        let error = failure { () throws(HadpoError) in try checkpoint.tensor("a", shape: [2, 1]) }
        #expect(error?.status == .weights && error?.place == path)
        #expect(error?.message.contains("tensor a ") == true && error?.found == "[2]" && error?.expected == "[2, 1]")
        let missing = failure { () throws(HadpoError) in try checkpoint.tensor("zz", shape: [2]) }
        #expect(missing?.status == .weights && missing?.message.contains("zz") == true)
    }

    @Test("A tensor outlives its checkpoint")
    func lifetime() throws {
        let folder = try TemporaryFolder()
        _ = try folder.write("model.safetensors", shard(["a", "b"]))
        let tensor = try open(folder.path).tensor("b")
        #expect(tensorBytes(tensor) == [2, 3])
    }

    @Test("A file that became shorter is an error in read mode")
    func shortened() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("model.safetensors", shard(["a", "b"]))
        let checkpoint = try open(folder.path, .read)
        try #require(truncate(path, 100) == 0)
        #expect(failure { () throws(HadpoError) in try checkpoint.tensor("b") }?.status == .io)
    }

    @Test("Opening a checkpoint of 1 GB does not bring its data into memory")
    func sparse() throws {
        let folder = try TemporaryFolder()
        // Padded to a multiple of 8 as real files are: a tensor at an odd address would be copied.
        let header = #"{"big":{"dtype":"F16","shape":[536870912],"data_offsets":[0,1073741824]}}       "#
        let path = try folder.write("model.safetensors", safetensors(header))
        try #require(header.utf8.count % 8 == 0)
        var status = stat()
        try #require(stat(path, &status) == 0)
        try #require(truncate(path, status.st_size + (1 << 30)) == 0)
        let before = try residentBytes()
        let checkpoint = try open(folder.path)
        let tensor = try checkpoint.tensor("big")
        #expect(tensor.byteCount == 1 << 30)
        // Other tests run at the same time and take some; the file itself would take 1 GB.
        let grown = try residentBytes() - before
        #expect(grown < 128 << 20, "opening took \(grown) bytes of memory")
    }

    @Test("The fingerprint follows contents, names and sizes, not the folder, the date or the way of loading")
    func fingerprint() throws {
        let header = #"{"a":{"dtype":"U8","shape":[100000],"data_offsets":[0,100000]}}"#
        func print(_ name: String, _ bytes: [UInt8], _ load: LoadMode = .map) throws -> String {
            let folder = try TemporaryFolder()
            return try open(folder.write(name, bytes), load).fingerprint(progress: progress)
        }
        let renamed = #"{"b":{"dtype":"U8","shape":[100000],"data_offsets":[0,100000]}}"#
        let bytes = safetensors(header, data: 100000)
        let first = try print("model.safetensors", bytes)
        #expect(first.utf8.count == 64)
        #expect(try print("model.safetensors", bytes) == first)
        #expect(try print("model.safetensors", bytes, .read) == first)
        #expect(try print("other.safetensors", bytes) != first)
        #expect(try print("model.safetensors", safetensors(renamed, data: 100000)) != first)
        // Another training: the same header, other numbers everywhere.
        #expect(try print("model.safetensors", safetensors(header) + bytes.suffix(100000).map { $0 ^ 1 }) != first)
        var lastByte = bytes
        lastByte[lastByte.count - 5] ^= 1
        #expect(try print("model.safetensors", lastByte) != first)
    }

    private func residentBytes() throws -> Int {
        let file = try #require(fopen("/proc/self/statm", "r"))
        defer { fclose(file) }
        var buffer = [UInt8](repeating: 0, count: 256)
        let count = fread(&buffer, 1, buffer.count, file)
        let fields = String(decoding: buffer[..<count], as: UTF8.self).split(separator: " ")
        return try #require(Int(fields[1])) * 4096
    }
}
