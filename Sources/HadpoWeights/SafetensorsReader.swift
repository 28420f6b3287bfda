import HadpoBase
import HadpoTensor

// The safetensors format: u64 header length n, n bytes of JSON, data. Tensors tile the data without holes or overlaps, so
// that no byte of the file is without a meaning (what the format's authors call polyglot files).

/// What the format itself allows at most.
let safetensorsHeaderLimit = 100_000_000

extension WeightFile {
    static func readSafetensors(_ file: ByteFile) throws(HadpoError) -> WeightFile {
        let path = file.path
        guard file.byteCount >= 8 else {
            throw HadpoError(
                .format, "safetensors: the header's length is cut off", at: path, found: "\(file.byteCount) bytes",
                expected: "at least 8")
        }
        let length = try file.bytes(at: 0, count: 8).withBytes { $0.integer(UInt64.self, at: 0) } ?? 0
        guard length <= UInt64(safetensorsHeaderLimit) else {
            throw HadpoError(
                .format, "safetensors: the header is too long", at: path, found: "\(length) bytes",
                expected: "at most \(safetensorsHeaderLimit)")
        }
        let headerCount = Int(length)
        guard headerCount <= file.byteCount - 8 else {
            throw HadpoError(
                .format, "safetensors: the header does not fit into the file", at: path, found: "\(headerCount) bytes",
                expected: "at most \(file.byteCount - 8)")
        }
        let header = try parsedHeader(file, headerCount)
        let dataStart = 8 + headerCount
        let dataCount = file.byteCount - dataStart

        var tensors: [TensorInfo] = []
        var metadata: [(key: String, value: String)] = []
        var regions: [(begin: Int, end: Int, name: String)] = []
        tensors.reserveCapacity(header.count)
        for member in header {
            if member.key == "__metadata__" {
                metadata = try stringMap(member.value, path)
                continue
            }
            let entry = try SafetensorsEntry(member.key, member.value, path)
            guard entry.begin <= entry.end, entry.end <= dataCount else {
                throw HadpoError(
                    .format, "safetensors: tensor \(member.key) lies outside the data", at: path,
                    found: "data_offsets [\(entry.begin), \(entry.end)]", expected: "within 0..\(dataCount)")
            }
            guard entry.end - entry.begin == entry.byteCount else {
                throw HadpoError(
                    .format, "safetensors: shape and data_offsets of tensor \(member.key) disagree", at: path,
                    found: "\(entry.end - entry.begin) bytes",
                    expected: "\(entry.byteCount) bytes for \(entry.dtype.rawValue) \(entry.shape)")
            }
            tensors.append(
                TensorInfo(
                    name: member.key, dtype: entry.dtype, shape: entry.shape, path: path, byteOffset: dataStart + entry.begin))
            regions.append((entry.begin, entry.end, member.key))
        }
        try checkTiling(&regions, dataCount, path)
        return WeightFile(
            file: file, format: .safetensors, tensors: tensors, metadata: metadata, headers: [0..<dataStart])
    }

    private static func parsedHeader(_ file: ByteFile, _ count: Int) throws(HadpoError) -> [JSON.Member] {
        let run = try file.bytes(at: 8, count: count)
        let value = try run.withBytes { (bytes) throws(HadpoError) -> JSON in
            guard bytes.first == UInt8(ascii: "{") else {
                throw HadpoError(
                    .format, "safetensors: the header is not JSON", at: file.path, expected: "{ as its first character")
            }
            do throws(HadpoError) {
                return try JSON.parse(bytes, source: file.path)
            } catch {
                throw HadpoError(
                    .format, "safetensors: bad header: \(error.message)", at: error.place ?? file.path, found: error.found,
                    expected: error.expected)
            }
        }
        guard case .object(let members) = value else {
            throw HadpoError(.format, "safetensors: the header is not an object", at: file.path)
        }
        return members
    }

    private static func stringMap(_ value: JSON, _ path: String) throws(HadpoError) -> [(key: String, value: String)] {
        guard case .object(let members) = value else {
            throw HadpoError(.format, "safetensors: __metadata__ is not an object", at: path)
        }
        var map: [(key: String, value: String)] = []
        for member in members {
            guard case .string(let text) = member.value else {
                throw HadpoError(.format, "safetensors: __metadata__.\(member.key) is not a string", at: path)
            }
            map.append((member.key, text))
        }
        return map
    }

    private static func checkTiling(
        _ regions: inout [(begin: Int, end: Int, name: String)], _ dataCount: Int, _ path: String
    ) throws(HadpoError) {
        // By end as well: empty tensors may share their place with the beginning of another.
        regions.sort { ($0.begin, $0.end) < ($1.begin, $1.end) }
        var position = 0
        for region in regions {
            guard region.begin == position else {
                let what = region.begin < position ? "overlaps another tensor" : "leaves a hole before it"
                throw HadpoError(
                    .format, "safetensors: tensor \(region.name) \(what)", at: path,
                    found: "begin \(region.begin)", expected: "\(position)")
            }
            position = region.end
        }
        guard position == dataCount else {
            throw HadpoError(
                .format, "safetensors: the tensors do not cover the data", at: path,
                found: "\(dataCount) bytes of data", expected: "\(position)")
        }
    }
}

/// One tensor of the header: `{"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 12]}`.
private struct SafetensorsEntry {
    let dtype: DType
    let shape: [Int]
    let begin: Int
    let end: Int
    let byteCount: Int

    init(_ name: String, _ value: JSON, _ path: String) throws(HadpoError) {
        func malformed(_ what: String, found: String? = nil, expected: String? = nil) -> HadpoError {
            HadpoError(.format, "safetensors: tensor \(name): \(what)", at: path, found: found, expected: expected)
        }
        guard case .object(let members) = value else { throw malformed("its entry is not an object") }
        var dtypeName: String?
        var shape: [Int]?
        var offsets: [Int]?
        for member in members {
            switch (member.key, member.value) {
            case ("dtype", .string(let text)): dtypeName = text
            case ("shape", .array(let items)): shape = SafetensorsEntry.naturals(items)
            case ("data_offsets", .array(let items)): offsets = SafetensorsEntry.naturals(items)
            case ("dtype", _), ("shape", _), ("data_offsets", _): throw malformed("\(member.key) has the wrong type")
            default: throw malformed("unknown field \(member.key)", expected: "dtype, shape and data_offsets")
            }
        }
        guard let dtypeName else { throw malformed("dtype is missing") }
        guard let dtype = DType(rawValue: dtypeName), !dtype.isQuantized else {
            throw malformed(
                "element type not supported", found: dtypeName,
                expected: DType.stored.map(\.rawValue).joined(separator: ", "))
        }
        guard let shape else { throw malformed("shape is missing or holds something else than sizes") }
        guard let offsets, offsets.count == 2 else { throw malformed("data_offsets is missing or not two byte offsets") }
        guard let byteCount = denseByteCount(shape, dtype) else { throw malformed("the shape is too large", found: "\(shape)") }
        self.dtype = dtype
        self.shape = shape
        (begin, end) = (offsets[0], offsets[1])
        self.byteCount = byteCount
    }

    /// Non-negative integers, or nil if any is something else.
    private static func naturals(_ items: [JSON]) -> [Int]? {
        var numbers: [Int] = []
        numbers.reserveCapacity(items.count)
        for item in items {
            guard case .int(let wide) = item, let number = Int(exactly: wide), number >= 0 else { return nil }
            numbers.append(number)
        }
        return numbers
    }
}
