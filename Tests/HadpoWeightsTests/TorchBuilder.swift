import HadpoWeights

/// Puts zip archives of torch.save together byte by byte, damaged ones included.
struct ZipBuilder {
    var bytes: [UInt8] = []
    private var directory: [UInt8] = []
    private var count = 0

    /// What an entry's headers say; the defaults are the truth.
    struct Lies {
        var method: UInt16 = 0
        var flags: UInt16 = 0
        var size: UInt32?
        var packedSize: UInt32?
        var offset: UInt32?
        /// ZIP64 extra field of the directory.
        var extra: [UInt8] = []
    }

    mutating func add(_ name: String, _ contents: [UInt8], _ lies: Lies = Lies()) {
        let name = Array(name.utf8)
        let offset = UInt32(bytes.count)
        let size = UInt32(contents.count)
        bytes += Array("PK\u{3}\u{4}".utf8) + littleEndian(UInt16(20)) + littleEndian(lies.flags) + littleEndian(lies.method)
        // As torch's writer: sizes in the local header are zero, and it is padded (here by one extra field).
        bytes += [UInt8](repeating: 0, count: 4 + 12) + littleEndian(UInt16(name.count)) + littleEndian(UInt16(7)) + name
        bytes += [0x46, 0x42, 3, 0, 90, 90, 90] + contents
        directory += Array("PK\u{1}\u{2}".utf8) + [20, 0, 20, 0] + littleEndian(lies.flags) + littleEndian(lies.method)
        directory += [UInt8](repeating: 0, count: 8) + littleEndian(lies.packedSize ?? lies.size ?? size)
        directory += littleEndian(lies.size ?? size) + littleEndian(UInt16(name.count)) + littleEndian(UInt16(lies.extra.count))
        directory += [UInt8](repeating: 0, count: 10) + littleEndian(lies.offset ?? offset) + name + lies.extra
        count += 1
    }

    func finished(count: UInt16? = nil, size: UInt32? = nil, offset: UInt32? = nil, comment: String = "") -> [UInt8] {
        bytes + directory + end(count, size, offset, comment)
    }

    /// With a ZIP64 record, as files above 4 GB have.
    func finishedWide(recordOffset: UInt64? = nil) -> [UInt8] {
        let place = bytes.count + directory.count
        var tail = Array("PK\u{6}\u{6}".utf8) + littleEndian(UInt64(44)) + [45, 0, 45, 0] + [UInt8](repeating: 0, count: 8)
        tail += littleEndian(UInt64(count)) + littleEndian(UInt64(count)) + littleEndian(UInt64(directory.count))
        tail += littleEndian(UInt64(bytes.count))
        tail += Array("PK\u{6}\u{7}".utf8) + littleEndian(UInt32(0)) + littleEndian(recordOffset ?? UInt64(place))
        tail += littleEndian(UInt32(1))
        return bytes + directory + tail + end(.max, .max, .max, "")
    }

    private func end(_ count: UInt16?, _ size: UInt32?, _ offset: UInt32?, _ comment: String) -> [UInt8] {
        let number = littleEndian(count ?? UInt16(self.count))
        return Array("PK\u{5}\u{6}".utf8) + [0, 0, 0, 0] + number + number + littleEndian(size ?? UInt32(directory.count))
            + littleEndian(offset ?? UInt32(bytes.count)) + littleEndian(UInt16(comment.utf8.count)) + Array(comment.utf8)
    }
}

/// Pickle protocol 2, as text is written: `Pickle.dictionary([("a", Pickle.tensor(...))])`.
enum Pickle {
    static func file(_ body: [UInt8]) -> [UInt8] { [0x80, 2] + body + Array(".".utf8) }

    static func text(_ text: String) -> [UInt8] { Array("X".utf8) + littleEndian(UInt32(text.utf8.count)) + Array(text.utf8) }

    static func int(_ value: Int) -> [UInt8] { [0x8A, 8] + littleEndian(Int64(value)) }

    static func global(_ module: String, _ name: String) -> [UInt8] { Array("c\(module)\n\(name)\n".utf8) }

    static func tuple(_ parts: [[UInt8]]) -> [UInt8] { Array("(".utf8) + parts.joined() + Array("t".utf8) }

    static func dictionary(_ members: [(String, [UInt8])]) -> [UInt8] {
        Array("}(".utf8) + members.flatMap { text($0.0) + $0.1 } + Array("u".utf8)
    }

    static func storage(_ kind: String = "FloatStorage", key: String = "0", count: Int, view: [UInt8]? = nil) -> [UInt8] {
        var fields = [text("storage"), global("torch", kind), text(key), text("cpu"), int(count)]
        if let view { fields.append(view) }
        return tuple(fields) + Array("Q".utf8)
    }

    static func tensor(_ storage: [UInt8], offset: Int = 0, _ shape: [Int], strides: [Int]) -> [UInt8] {
        global("torch._utils", "_rebuild_tensor_v2")
            + tuple([storage, int(offset), tuple(shape.map(int)), tuple(strides.map(int)), [0x89], Array(")".utf8)])
            + Array("R".utf8)
    }
}

/// A zip file of torch.save with one storage "0" of eight floats.
func torchZip(_ body: [UInt8], storage: [UInt8] = (0..<8).flatMap { littleEndian(Float($0).bitPattern) }) -> [UInt8] {
    var zip = ZipBuilder()
    zip.add("root/data.pkl", Pickle.file(body))
    zip.add("root/byteorder", Array("little".utf8))
    zip.add("root/data/0", storage)
    zip.add("root/version", Array("3\n".utf8))
    return zip.finished()
}

/// The legacy form with one storage.
func torchLegacy(_ body: [UInt8], key: String = "0", count: Int = 8, littleEndianMachine: Bool = true) -> [UInt8] {
    let magic: [UInt8] = [0x8A, 10, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19]
    let system = Pickle.dictionary([("little_endian", [littleEndianMachine ? 0x88 : 0x89])])
    let keys = Array("](".utf8) + Pickle.text(key) + Array("e".utf8)
    let pickles = [magic, Array("M".utf8) + littleEndian(UInt16(1001)), system, body, keys].flatMap { Pickle.file($0) }
    return pickles + littleEndian(Int64(count)) + (0..<8).flatMap { littleEndian(Float($0).bitPattern) }
}
