import HadpoBase
import HadpoTensor
import HadpoWeights
import Testing

/// One test for each way a pickle of tensors can be wrong.
@Suite struct MalformedPickleTests {
    func opened(_ body: [UInt8]) throws(HadpoError) -> WeightFile { try WeightFile.open(memoryFile(torchZip(body))) }

    func one(_ tensor: [UInt8]) -> [UInt8] { Pickle.dictionary([("a", tensor)]) }

    func expectRefused(_ body: [UInt8], _ words: String, at location: SourceLocation = #_sourceLocation) {
        expectFailure(torchZip(body), words, at: location)
    }

    @Test("The builder's own file is read: the cases below fail for their own reason")
    func sound() throws {
        let file = try opened(one(Pickle.tensor(Pickle.storage(count: 8), offset: 1, [2, 3], strides: [3, 1])))
        #expect(floats(try file.tensor(file.tensors[0])) == [1, 2, 3, 4, 5, 6])
        let legacy = try WeightFile.open(
            memoryFile(torchLegacy(one(Pickle.tensor(Pickle.storage(count: 8), [2, 2], strides: [1, 4])))))
        #expect(floats(try legacy.tensor(legacy.tensors[0])) == [0, 4, 1, 5])
    }

    @Test("A legacy storage that is a view begins where the view says")
    func legacyView() throws {
        let view = Pickle.tuple([Pickle.text("v"), Pickle.int(3), Pickle.int(4)])
        let body = one(Pickle.tensor(Pickle.storage(count: 8, view: view), offset: 1, [2], strides: [1]))
        let file = try WeightFile.open(memoryFile(torchLegacy(body)))
        #expect(floats(try file.tensor(file.tensors[0])) == [4, 5])
        let outside = Pickle.tuple([Pickle.text("v"), Pickle.int(5), Pickle.int(4)])
        expectFailure(
            torchLegacy(one(Pickle.tensor(Pickle.storage(count: 8, view: outside), [2], strides: [1]))), "a view lies outside")
    }

    @Test(
        "Offsets, sizes and strides that reach out of the storage are refused",
        arguments: [
            (0, [9], [1]), (8, [1], [1]), (1, [2, 4], [4, 1]), (0, [2, 2], [7, 1]), (0, [2], [Int.max]), (Int.max, [2], [1]),
            (0, [3, 3], [Int.max / 2, Int.max / 2]), (Int.max, [], []),
        ])
    func outside(_ offset: Int, _ shape: [Int], _ strides: [Int]) {
        expectRefused(
            one(Pickle.tensor(Pickle.storage(count: 8), offset: offset, shape, strides: strides)), "reach out of storage")
    }

    @Test("Negative offsets, sizes and strides are refused", arguments: [(-1, [2], [1]), (0, [-2], [1]), (7, [2], [-1])])
    func negative(_ offset: Int, _ shape: [Int], _ strides: [Int]) {
        expectRefused(one(Pickle.tensor(Pickle.storage(count: 8), offset: offset, shape, strides: strides)), "no such thing")
    }

    @Test("A shape whose product overflows is refused", arguments: [[1 << 40, 1 << 40], [1 << 62, 4], [1 << 40, 1 << 40, 0]])
    func overflow(_ shape: [Int]) {
        let strides = shape.map { _ in 0 }
        expectRefused(one(Pickle.tensor(Pickle.storage(count: 8), shape, strides: strides)), "too large")
    }

    @Test("Sizes and strides of different number are refused, and so are more axes than torch has")
    func rank() {
        expectRefused(one(Pickle.tensor(Pickle.storage(count: 8), [2, 2], strides: [1])), "no such thing")
        let many = [Int](repeating: 1, count: 65)
        expectRefused(one(Pickle.tensor(Pickle.storage(count: 8), many, strides: many)), "no such thing")
    }

    @Test("An axis of one element may have any stride")
    func strideOfOne() throws {
        let file = try opened(one(Pickle.tensor(Pickle.storage(count: 8), [1, 3], strides: [Int.max, 2])))
        #expect(floats(try file.tensor(file.tensors[0])) == [0, 2, 4])
    }

    @Test("A few bytes repeated without end are refused when asked for, before memory is taken")
    func expanded() throws {
        let file = try opened(one(Pickle.tensor(Pickle.storage(count: 8), [1 << 40, 2], strides: [0, 1])))
        let error = failure { () throws(HadpoError) in try file.tensor(file.tensors[0]) }
        #expect(error?.message.contains("repeats a small storage") == true)
    }

    @Test("A storage that is larger than its entry, missing, or of negative size is refused")
    func badStorage() {
        expectRefused(one(Pickle.tensor(Pickle.storage(count: 9), [2], strides: [1])), "shorter than said")
        expectRefused(one(Pickle.tensor(Pickle.storage(count: Int.max), [2], strides: [1])), "shorter than said")
        expectRefused(one(Pickle.tensor(Pickle.storage(key: "7", count: 8), [2], strides: [1])), "not in the file")
        expectRefused(one(Pickle.tensor(Pickle.storage(key: "../version", count: 0), [0], strides: [1])), "not in the file")
        expectRefused(one(Pickle.tensor(Pickle.storage(count: -1), [2], strides: [1])), "has no size")
        let wide = Pickle.storage("DoubleStorage", count: 8)
        expectRefused(one(Pickle.tensor(wide, [2], strides: [1])), "shorter than said")
    }

    @Test("A tensor of an element type that is not carried, or of an unknown class, is passed over")
    func unknownKinds() throws {
        let complex = Pickle.tensor(Pickle.storage("ComplexFloatStorage", count: 8), [2], strides: [1])
        let sparse =
            Pickle.global("torch._utils", "_rebuild_sparse_tensor") + Pickle.tuple([Pickle.int(1)]) + Array("R".utf8)
        let file = try opened(
            Pickle.dictionary([
                ("c", complex), ("s", sparse), ("a", Pickle.tensor(Pickle.storage(count: 8), [1], strides: [1])),
            ]))
        #expect(file.tensors.map(\.name) == ["a"])
    }

    @Test("Calls of other modules leave an opaque value, however they are chained", arguments: ["R", "\u{81}"])
    func opaque(_ opcode: String) throws {
        let call: [UInt8] = opcode == "R" ? Array("R".utf8) : [0x81]
        let command = Pickle.global("os", "system") + Pickle.tuple([Pickle.text("exit 1")]) + call
        // The result is called, appended to, filled and built upon.
        let chained = command + Array(")".utf8) + call + Array("(K\u{1}K\u{2}uK\u{1}a}b".utf8)
        let file = try opened(
            Pickle.dictionary([("x", chained), ("a", Pickle.tensor(Pickle.storage(count: 8), [1], strides: [1]))]))
        #expect(file.tensors.map(\.name) == ["a"])
    }

    @Test("A dictionary that contains itself is not followed for ever")
    func cycle() {
        // {"model": itself}
        expectRefused(Array("}q\u{0}".utf8) + Pickle.text("model") + Array("h\u{0}s".utf8), "no tensors by name")
    }

    @Test("Lists nested a million deep are read and freed without recursion")
    func deep() {
        let nest =
            [UInt8](repeating: UInt8(ascii: "]"), count: 1 << 20) + [UInt8](repeating: UInt8(ascii: "a"), count: (1 << 20) - 1)
        expectRefused(nest, "not a dictionary of tensors")
        let tuples = Array(")".utf8) + [UInt8](repeating: 0x85, count: 1 << 20)
        expectRefused(tuples, "not a dictionary of tensors")
    }

    @Test("Doubling by DUP and the memo costs no more memory than the pickle has bytes")
    func bomb() {
        // Each round makes a pair of the previous value: 2^1000 leaves if it were copied.
        var body = Array(")".utf8)
        for _ in 0..<1000 { body += Array("2".utf8) + [0x86] }
        expectRefused(body, "not a dictionary of tensors")
        var memo = Array(")".utf8)
        for _ in 0..<1000 { memo += Array("q\u{0}0h\u{0}h\u{0}".utf8) + [0x86] }
        expectRefused(memo, "not a dictionary of tensors")
    }

    @Test("Ordered dictionaries made again and again from one list stop at a limit")
    func copyBomb() {
        let pair = Pickle.tuple([Pickle.text("k"), Pickle.int(1)])
        var body = Array("](".utf8) + (0..<2000).flatMap { _ in pair } + Array("e".utf8) + [0x85]
        body += Array("q\u{0}0".utf8) + Pickle.global("collections", "OrderedDict") + Array("q\u{1}0".utf8)
        body += (0..<3000).flatMap { _ in Array("h\u{1}h\u{0}R".utf8) }
        expectRefused(body, "too many values")
    }

    @Test("A huge memo index costs one place, and one that was never set is refused")
    func memo() throws {
        let huge = Array("Nr".utf8) + littleEndian(UInt32.max) + Array("0".utf8)
        let file = try opened(huge + one(Pickle.tensor(Pickle.storage(count: 8), [1], strides: [1])))
        #expect(file.tensors.count == 1)
        expectRefused(Array("j".utf8) + littleEndian(UInt32.max), "never set")
    }

    @Test(
        "Opcodes without what they need on the stack are refused",
        arguments: [
            "", "0", "2", "a", "s", "e", "t", "u", "R", "b", "Q", "q\u{0}", "(a", "N(u", "(Nu", "}(Nu", "N(Ne", "]Ns", "NN\u{0}",
        ])
    func underflow(_ body: String) {
        #expect(failure { () throws(HadpoError) in try opened(Array(body.utf8)) }?.status == .format, "\(body)")
    }

    @Test("Lengths that reach behind the pickle, and negative ones, are refused", arguments: ["X", "B", "T", "\u{8A}", "C", "U"])
    func lengths(_ opcode: String) {
        let code = opcode == "\u{8A}" ? [0x8A] : Array(opcode.utf8)
        expectRefused(code + [0xFF, 0xFF, 0xFF, 0x7F], "cut off")
        if opcode == "T" { expectRefused(code + littleEndian(Int32(-1)), "negative") }
    }

    @Test("Other opcodes and protocols are refused by name", arguments: ["I1\n", "P0\n", "i", "o", "\u{82}"])
    func unknownOpcodes(_ body: String) {
        expectRefused(body == "\u{82}" ? [0x82, 1] : Array(body.utf8), "is not read")
        expectRefused([0x80, 9], "protocol 9")
    }

    @Test("Text that is not UTF-8 and global names without end are refused")
    func badText() {
        expectRefused(Array("X".utf8) + littleEndian(UInt32(1)) + [0xFF], "not UTF-8")
        expectRefused(Array("ctorch".utf8), "does not end")
    }

    @Test("A pickle that is no dictionary, or one without tensors, is refused with the keys it has")
    func noTensors() {
        expectRefused(Array("N".utf8), "not a dictionary of tensors")
        let error = failure { () throws(HadpoError) in try opened(Pickle.dictionary([("epoch", Pickle.int(1))])) }
        #expect(error?.found == "keys epoch")
    }

    @Test("Two tensors of one name are refused when the file is opened as a checkpoint")
    func duplicate() throws {
        let tensor = Pickle.tensor(Pickle.storage(count: 8), [1], strides: [1])
        let file = try opened(Pickle.dictionary([("a", tensor), ("a", tensor)]))
        #expect(failure { () throws(HadpoError) in try Checkpoint("x", file: file) }?.message.contains("two tensors") == true)
    }

    @Test("A legacy file of another magic, version, byte order or storage size is refused")
    func legacy() {
        let body = one(Pickle.tensor(Pickle.storage(count: 8), [1], strides: [1]))
        expectFailure(Pickle.file(Pickle.int(5)), "not one that torch.save wrote")
        var version = torchLegacy(body)
        version[18] = 0xE8
        expectFailure(version, "legacy format")
        expectFailure(torchLegacy(body, littleEndianMachine: false), "big-endian", .unsupported)
        expectFailure(torchLegacy(body, count: 9), "behind the end")
        expectFailure(torchLegacy(body, count: -1), "behind the end")
        expectFailure(torchLegacy(body, count: Int.max), "behind the end")
        expectFailure(torchLegacy(body, count: 7), "shorter than said")
        expectFailure(torchLegacy(body, key: "1"), "not read", .unsupported)
    }

    @Test("The tar files of torch's first year are refused with what to do")
    func tar() {
        expectFailure([UInt8](repeating: 0, count: 257) + Array("ustar".utf8), "load it in torch", .unsupported)
    }
}
