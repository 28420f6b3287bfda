import Glibc
import HadpoBase
import HadpoTensor
import HadpoWeights
import Testing

/// The malformed cases follow the list of the safetensors crate's own tests.
@Suite struct SafetensorsReaderTests {
    let one = #"{"test":{"dtype":"I32","shape":[2,2],"data_offsets":[0,16]}}"#

    @Test("A tensor is read with its type, shape and bytes")
    func simple() throws {
        let file = try WeightFile.open(memoryFile(safetensors(one, data: 16)))
        let info = try #require(file.tensors.first)
        #expect(file.format == .safetensors && file.tensors.count == 1)
        #expect(info.name == "test" && info.dtype == .i32 && info.shape == [2, 2])
        #expect(tensorBytes(try file.tensor(info)) == Array(0..<16))
    }

    @Test("An empty header, trailing spaces and string metadata are legal")
    func legalForms() throws {
        #expect(try WeightFile.open(memoryFile(safetensors("{}      "))).tensors.isEmpty)
        let file = try WeightFile.open(memoryFile(safetensors(#"{"__metadata__":{"format":"pt","a":"b"}}"#)))
        #expect(file.metadata.map(\.key) == ["format", "a"] && file.metadata.map(\.value) == ["pt", "b"])
    }

    @Test("Scalars, empty tensors and tensors listed out of order are legal")
    func legalShapes() throws {
        let header =
            #"{"b":{"dtype":"U8","shape":[3],"data_offsets":[4,7]},"e":{"dtype":"F32","shape":[0,7],"data_offsets":[4,4]},"#
            + #""s":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}"#
        let file = try WeightFile.open(memoryFile(safetensors(header, data: 7)))
        #expect(file.tensors.map(\.name) == ["b", "e", "s"])
        #expect(tensorBytes(try file.tensor(file.tensors[0])) == [4, 5, 6])
        #expect(try file.tensor(file.tensors[1]).count == 0)
        #expect(try file.tensor(file.tensors[2]).shape == [])
    }

    @Test("A tensor at an odd address is copied to an aligned one")
    func misaligned() throws {
        let header =
            #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"f":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}}"#
        let file = try WeightFile.open(memoryFile(safetensors(header, data: 9)))
        let tensor = try file.tensor(file.tensors[1])
        #expect(Int(bitPattern: tensor.pointer) % 4 == 0)
        #expect(tensorBytes(tensor) == Array(1..<9))
    }

    @Test("A file shorter than the header's length field is refused")
    func tooShort() { expectFailure([60, 0, 0, 0], "not a weight file") }

    @Test("A safetensors file cut inside the length field is refused")
    func tooShortByName() throws {
        let error = failure { () throws(HadpoError) in try WeightFile.open(memoryFile([60, 0], "a.safetensors")) }
        #expect(error?.message.contains("length is cut off") == true)
    }

    @Test("A header above 100 MB is refused before it is read")
    func headerTooLarge() {
        var bytes = safetensors(one, data: 16)
        bytes.replaceSubrange(0..<8, with: littleEndian(UInt64(100_000_001)))
        expectFailure(bytes, "header is too long")
        bytes.replaceSubrange(0..<8, with: littleEndian(UInt64.max))
        expectFailure(bytes, "header is too long")
    }

    @Test("A header that reaches behind the file is refused")
    func headerTooLong() {
        var bytes = safetensors(one, data: 16)
        bytes.replaceSubrange(0..<8, with: littleEndian(UInt64(bytes.count - 7)))
        expectFailure(bytes, "does not fit into the file")
    }

    @Test("A header of length zero is refused")
    func headerEmpty() { expectFailure(littleEndian(UInt64(0)) + Array("{}".utf8), "not JSON") }

    @Test("A header that is not UTF-8 is refused")
    func headerNotUTF8() { expectFailure(littleEndian(UInt64(9)) + Array(#"{"a":""#.utf8) + [0xFF, 0x22, 0x7D], "bad header") }

    @Test("A header that is not JSON is refused")
    func headerNotJSON() { expectFailure(safetensors("{nonsense"), "bad header") }

    @Test("A header nested too deeply is refused")
    func headerDeep() {
        expectFailure(safetensors(#"{"a":"# + String(repeating: "[", count: 100_000)), "bad header")
    }

    @Test("Text behind the header's object is refused")
    func headerTrailing() { expectFailure(safetensors("{}x"), "bad header") }

    @Test("A name that occurs twice is refused")
    func duplicateName() {
        let entry = #""a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}"#
        expectFailure(safetensors("{\(entry),\(entry)}"), "bad header")
    }

    @Test("An entry that is no object is refused")
    func entryNotObject() { expectFailure(safetensors(#"{"a":[1]}"#), "not an object") }

    @Test(
        "An entry without one of its three fields is refused",
        arguments: [
            #""shape":[0],"data_offsets":[0,0]"#, #""dtype":"U8","data_offsets":[0,0]"#, #""dtype":"U8","shape":[0]"#,
        ])
    func missingField(_ fields: String) { expectFailure(safetensors("{\"a\":{\(fields)}}"), "missing") }

    @Test(
        "A field of the wrong type is refused",
        arguments: [
            #""dtype":3,"shape":[0],"data_offsets":[0,0]"#, #""dtype":"U8","shape":0,"data_offsets":[0,0]"#,
            #""dtype":"U8","shape":[0],"data_offsets":{}"#,
        ])
    func wrongType(_ fields: String) { expectFailure(safetensors("{\"a\":{\(fields)}}"), "wrong type") }

    @Test("A field that the format does not know is refused")
    func unknownField() {
        expectFailure(safetensors(#"{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"x":1}}"#), "unknown field")
    }

    @Test("An element type that is unknown or cannot be carried is refused", arguments: ["F7", "F8_E4M3", "U64", "f32", ""])
    func unknownDType(_ name: String) {
        expectFailure(safetensors(#"{"a":{"dtype":"\#(name)","shape":[0],"data_offsets":[0,0]}}"#), "element type")
    }

    @Test(
        "A size that is negative, fractional, a string or beyond 64 bits is refused", arguments: ["-1", "1.5", "\"2\"", "null"])
    func badSize(_ size: String) {
        expectFailure(safetensors(#"{"a":{"dtype":"U8","shape":[\#(size)],"data_offsets":[0,0]}}"#), "shape")
    }

    @Test("A size beyond 64 bits is refused")
    func hugeSize() {
        expectFailure(safetensors(#"{"a":{"dtype":"U8","shape":[99999999999999999999],"data_offsets":[0,0]}}"#), "header")
    }

    @Test(
        "A shape whose product overflows is refused, even next to a zero",
        arguments: ["4294967296,4294967296", "2,9223372036854775807", "4294967296,4294967296,0", "0,4294967296,4294967296"])
    func shapeOverflow(_ shape: String) {
        expectFailure(safetensors(#"{"a":{"dtype":"F32","shape":[\#(shape)],"data_offsets":[0,0]}}"#), "too large")
    }

    @Test("Offsets that are not a pair are refused", arguments: ["[]", "[0]", "[0,16,16]", "[-16,0]"])
    func badOffsets(_ offsets: String) {
        expectFailure(safetensors(#"{"a":{"dtype":"U8","shape":[16],"data_offsets":\#(offsets)}}"#, data: 16), "data_offsets")
    }

    @Test("Offsets in reverse order are refused")
    func reversedOffsets() {
        expectFailure(safetensors(#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[4,0]}}"#, data: 4), "outside the data")
    }

    @Test("Offsets near the largest integer are refused")
    func hugeOffsets() {
        let top = Int.max
        expectFailure(
            safetensors(#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[\#(top - 4),\#(top)]}}"#, data: 4), "outside the data")
    }

    @Test("A shape that needs more or fewer bytes than its offsets give is refused", arguments: [3, 5])
    func shapeDisagrees(_ size: Int) {
        expectFailure(safetensors(#"{"a":{"dtype":"U8","shape":[\#(size)],"data_offsets":[0,4]}}"#, data: 4), "disagree")
    }

    @Test("Data that is cut off is refused")
    func missingData() { expectFailure(safetensors(one, data: 14), "outside the data") }

    @Test("Data that belongs to no tensor is refused, at the end and between tensors")
    func extraData() {
        expectFailure(safetensors(one, data: 17), "do not cover")
        let header = #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}"#
        expectFailure(safetensors(header, data: 3), "hole")
        expectFailure(safetensors(#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#, data: 2), "hole")
    }

    @Test("Tensors that overlap are refused, so that ten names cannot share one block")
    func overlap() {
        let entries = (0..<10).map { #""w\#($0)":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}"# }
        expectFailure(safetensors("{\(entries.joined(separator: ","))}", data: 4), "overlaps")
    }

    @Test("Metadata that is no object, or holds something else than strings, is refused", arguments: ["[]", #"{"a":1}"#, "null"])
    func badMetadata(_ metadata: String) { expectFailure(safetensors(#"{"__metadata__":\#(metadata)}"#), "__metadata__") }

    @Test("A git-lfs pointer is named as such, with what to do")
    func gitLFS() {
        let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 42\n"
        expectFailure(Array(pointer.utf8), "git lfs pull")
    }

    @Test("Any byte changed, removed or added never traps and never yields a tensor outside the file")
    func mutations() throws {
        let header =
            #"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"#
            + #""b":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]}}"#
        Mutations.run(seed: safetensors(header, data: 32), count: 20_000)
    }
}
