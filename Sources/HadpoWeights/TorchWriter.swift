import HadpoBase
import HadpoTensor

/// Writes one file as torch.save does (the zip form), a tensor at a time in any order. The file appears under its name with
/// `finish` and not before. `torch.load(weights_only=True)` reads it.
package final class TorchWriter {
    package let path: String
    private let file: ReservedFile
    private let progress: any Progress
    private var pending: PlannedTensors
    private var layout: TorchLayout

    /// - Parameter key: the state dict stands alone, or under this key, as in `{"model": state dict}`.
    package init(_ path: String, _ plans: [TensorPlan], under key: String? = nil, progress: any Progress) throws(HadpoError) {
        layout = try TorchLayout(plans, key, path)
        self.path = path
        self.progress = progress
        pending = PlannedTensors(path, layout.tensors)
        file = try ReservedFile(path, byteCount: layout.byteCount)
    }

    package func write(_ name: String, _ tensor: Tensor) throws(HadpoError) {
        try pending.write(name, tensor, to: file, progress)
        withExtendedLifetime(tensor.storage) {
            layout.setChecksum(ofTensor: name, CRC32.of(UnsafeRawBufferPointer(start: tensor.pointer, count: tensor.byteCount)))
        }
    }

    package func finish() throws(HadpoError) {
        try pending.checkComplete()
        for (offset, bytes) in layout.headers() {
            var failure: HadpoError?
            bytes.withUnsafeBytes { raw in
                do throws(HadpoError) { try file.write(raw, at: offset) } catch { failure = error }
            }
            if let failure { throw failure }
        }
        try file.sync()
        try file.moveIntoPlace()
    }
}

/// Entries and offsets of the archive: data.pkl, byteorder, a storage a tensor, version, the directory. Contents begin at
/// multiples of 64, as torch's do, so that a mapped file is as aligned as the arena.
struct TorchLayout {
    private struct Entry {
        let name: String
        let byteCount: Int
        let headerOffset: Int
        let offset: Int
        /// nil for a tensor's bytes, which are written elsewhere.
        let contents: [UInt8]?
        var checksum: UInt32

        /// Of the local header: what `offset` leaves between.
        var extraCount: Int { offset - headerOffset - 30 - name.utf8.count }
    }

    /// With offsets from the start of the file.
    private(set) var tensors: [(plan: TensorPlan, offset: Int)] = []
    private(set) var byteCount = 0
    private var entries: [Entry] = []
    private var entryOfTensor: [String: Int] = [:]
    private var directoryOffset = 0

    /// torch.save writes the file's own name here; readers take whatever stands before "/data.pkl".
    private static let root = "archive/"

    init(_ plans: [TensorPlan], _ key: String?, _ path: String) throws(HadpoError) {
        append("data.pkl", TorchPickle.stateDict(plans, under: key))
        append("byteorder", Array("little".utf8))
        for (index, plan) in plans.enumerated() {
            guard entryOfTensor.updateValue(entries.count, forKey: plan.name) == nil else {
                throw HadpoError(.internal, "two tensors have the name \(plan.name)", at: path)
            }
            guard let bytes = denseByteCount(plan.shape, plan.dtype), bytes <= Self.limit - byteCount else {
                throw tooLarge(plan.name, path)
            }
            append("data/\(index)", nil, byteCount: bytes)
            tensors.append((plan, entries[entries.count - 1].offset))
        }
        append("version", Array("3\n".utf8))
        directoryOffset = byteCount
        byteCount += entries.reduce(22) { $0 + 46 + $1.name.utf8.count }
        guard byteCount < Self.limit, entries.count < Int(UInt16.max) else { throw tooLarge("its directory", path) }
    }

    /// Offsets have 32 bits in a zip without the ZIP64 extension, whose largest value means that extension.
    private static let limit = Int(UInt32.max) - 1

    private func tooLarge(_ what: String, _ path: String) -> HadpoError {
        HadpoError(
            .unsupported, "a torch file above 4 GiB or of 65535 entries is not written: use safetensors", at: path,
            found: what, expected: "at most \(Self.limit) bytes")
    }

    private mutating func append(_ name: String, _ contents: [UInt8]?, byteCount count: Int = 0) {
        let name = Self.root + name
        // An extra field is at least its own four bytes.
        let least = byteCount + 30 + name.utf8.count + 4
        let offset = (least + 63) / 64 * 64
        let size = contents?.count ?? count
        entries.append(
            Entry(
                name: name, byteCount: size, headerOffset: byteCount, offset: offset, contents: contents,
                checksum: contents.map { $0.withUnsafeBytes { CRC32.of($0) } } ?? 0))
        byteCount = offset + size
    }

    mutating func setChecksum(ofTensor name: String, _ checksum: UInt32) {
        if let index = entryOfTensor[name] { entries[index].checksum = checksum }
    }

    // MARK: bytes

    /// Everything but the tensors, with its place in the file.
    func headers() -> [(offset: Int, bytes: [UInt8])] {
        var result: [(Int, [UInt8])] = []
        var directory: [UInt8] = []
        for entry in entries {
            let common = Self.common(entry)
            var local = Array("PK\u{3}\u{4}".utf8) + common + word(entry.extraCount)
            local += entry.name.utf8
            local += Array("FB".utf8) + word(entry.extraCount - 4)
            local += [UInt8](repeating: UInt8(ascii: "Z"), count: entry.extraCount - 4)
            result.append((entry.headerOffset, local + (entry.contents ?? [])))
            directory += Array("PK\u{1}\u{2}".utf8) + word(20) + common + word(0)
            directory += [UInt8](repeating: 0, count: 10) + long(entry.headerOffset) + Array(entry.name.utf8)
        }
        var end = directory + Array("PK\u{5}\u{6}".utf8) + long(0) + word(entries.count) + word(entries.count)
        end += long(directory.count) + long(directoryOffset) + word(0)
        result.append((directoryOffset, end))
        return result
    }

    /// What local header and directory share: version, flags (UTF-8), stored, 1 January 1980, checksum, both sizes, name length.
    private static func common(_ entry: Entry) -> [UInt8] {
        word(20) + word(0x800) + word(0) + word(0) + word(0x21) + long(Int(entry.checksum)) + long(entry.byteCount)
            + long(entry.byteCount) + word(entry.name.utf8.count)
    }
}

/// The pickle of a state dict: protocol 2, no memo, plain dictionaries.
enum TorchPickle {
    static func stateDict(_ plans: [TensorPlan], under key: String?) -> [UInt8] {
        var bytes: [UInt8] = [0x80, 2]
        if let key { bytes += Array("}(".utf8) + text(key) }
        bytes += Array("}(".utf8)
        for (index, plan) in plans.enumerated() { bytes += text(plan.name) + tensor(plan, index) }
        bytes += Array("u".utf8)
        if key != nil { bytes += Array("u".utf8) }
        return bytes + Array(".".utf8)
    }

    /// torch._utils._rebuild_tensor_v2(storage, 0, shape, strides, requires_grad=False, backward_hooks=OrderedDict())
    private static func tensor(_ plan: TensorPlan, _ index: Int) -> [UInt8] {
        // Wrapping: a shape whose product does not fit is refused with the file's size, before anything is written.
        let count = plan.shape.reduce(1, &*)
        let storage = tuple([
            text("storage"), global("torch", storageClass(plan.dtype)), text("\(index)"), text("cpu"), integer(count),
        ])
        return global("torch._utils", "_rebuild_tensor_v2")
            + tuple([
                storage + Array("Q".utf8), integer(0), tuple(plan.shape.map(integer)), tuple(rowMajor(plan.shape).map(integer)),
                [0x89], global("collections", "OrderedDict") + Array(")R".utf8),
            ]) + Array("R".utf8)
    }

    /// Elements from one index to the next along each axis.
    private static func rowMajor(_ shape: [Int]) -> [Int] {
        var strides = [Int](repeating: 1, count: shape.count)
        for axis in shape.indices.dropLast().reversed() { strides[axis] = strides[axis + 1] &* max(1, shape[axis + 1]) }
        return strides
    }

    private static func storageClass(_ dtype: DType) -> String {
        switch dtype {
        case .f64: "DoubleStorage"
        case .f32: "FloatStorage"
        case .f16: "HalfStorage"
        case .bf16: "BFloat16Storage"
        case .i64: "LongStorage"
        case .i32: "IntStorage"
        case .i16: "ShortStorage"
        case .i8: "CharStorage"
        // Quantised tensors were refused with their plan: files cannot hold them.
        case .u8, .q8, .q4, .fp4: "ByteStorage"
        case .bool: "BoolStorage"
        }
    }

    private static func text(_ text: String) -> [UInt8] { Array("X".utf8) + long(text.utf8.count) + Array(text.utf8) }

    private static func global(_ module: String, _ name: String) -> [UInt8] { Array("c\(module)\n\(name)\n".utf8) }

    private static func tuple(_ parts: [[UInt8]]) -> [UInt8] { Array("(".utf8) + parts.joined() + Array("t".utf8) }

    /// BININT, or LONG1 with eight bytes.
    private static func integer(_ value: Int) -> [UInt8] {
        if Int32(exactly: value) != nil { return Array("J".utf8) + long(value) }
        return [0x8A, 8] + (0..<8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
    }
}

private func word(_ value: Int) -> [UInt8] { (0..<2).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) } }

private func long(_ value: Int) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) } }
