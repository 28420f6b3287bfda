import Glibc
import HadpoBase
import HadpoTensor

/// Where one tensor lies in a file, and how.
package struct TensorInfo: Sendable, Equatable {
    package let name: String
    package let dtype: DType
    package let shape: [Int]
    /// Of the file that holds it.
    package let path: String
    /// Of the first element, from the start of the file.
    package let byteOffset: Int
    /// Steps between neighbours per dimension, in elements; nil when row-major without holes. Only torch files have others.
    package let strides: [Int]?

    /// The reader has checked that these products do not overflow.
    package var count: Int { shape.reduce(1, *) }
    package var byteCount: Int { count * dtype.byteCount }

    init(name: String, dtype: DType, shape: [Int], path: String, byteOffset: Int, strides: [Int]? = nil) {
        self.name = name
        self.dtype = dtype
        self.shape = shape
        self.path = path
        self.byteOffset = byteOffset
        self.strides = strides
    }
}

/// Bytes of a dense tensor, or nil when a dimension is negative, a product overflows or the type is for memory alone. Zero dimensions are left out of the
/// product, so that no order of multiplication over this shape can overflow later ([2^40, 2^40, 0] is refused).
func denseByteCount(_ shape: [Int], _ dtype: DType) -> Int? {
    if dtype.isQuantized { return nil }
    var bytes = dtype.byteCount
    var hasZero = false
    for size in shape {
        guard size >= 0 else { return nil }
        if size == 0 {
            hasZero = true
            continue
        }
        let (product, overflow) = bytes.multipliedReportingOverflow(by: size)
        guard !overflow else { return nil }
        bytes = product
    }
    return hasZero ? 0 : bytes
}

/// One file of tensors in any of the formats weights are published in.
package final class WeightFile: Sendable {
    package enum Format: String, Sendable {
        case safetensors
        case torchZip = "torch zip"
        case torchLegacy = "torch legacy"
    }

    let file: ByteFile
    package let format: Format
    /// In the order of the file's table of contents.
    package let tensors: [TensorInfo]
    /// `__metadata__` of safetensors.
    package let metadata: [(key: String, value: String)]
    /// The bytes that say which tensors there are and where.
    let headers: [Range<Int>]

    package var path: String { file.path }
    package var byteCount: Int { file.byteCount }

    init(
        file: ByteFile, format: Format, tensors: [TensorInfo], metadata: [(key: String, value: String)] = [],
        headers: [Range<Int>]
    ) {
        self.file = file
        self.format = format
        self.tensors = tensors
        self.metadata = metadata
        self.headers = headers
    }

    /// Tells the format by the first bytes, never by the file's name.
    package static func open(_ file: ByteFile) throws(HadpoError) -> WeightFile {
        enum Beginning { case zip, pickle, foreign, tar, safetensors, unknown }
        let start = try file.bytes(at: 0, count: min(file.byteCount, 512))
        let beginning = try start.withBytes { (bytes) throws(HadpoError) -> Beginning in
            if bytes.starts(with: "PK\u{3}\u{4}") || bytes.starts(with: "PK\u{5}\u{6}") { return .zip }
            if bytes.starts(with: "ustar", at: 257) { return .tar }
            if bytes.starts(with: "{", at: 8) { return .safetensors }
            if let first = bytes.first, first == 0x80 { return .pickle }
            if !bytes.isEmpty, ForeignContent.describe(bytes) != nil { return .foreign }
            // A length that points out of the file is still most likely a damaged safetensors file.
            return file.path.hasSuffix(".safetensors") ? .safetensors : .unknown
        }
        switch beginning {
        case .safetensors: return try readSafetensors(file)
        case .zip: return try readTorchZip(file)
        case .pickle: return try readTorchLegacy(file)
        case .foreign:
            let kind = try start.withBytes { (bytes) throws(HadpoError) -> String? in ForeignContent.describe(bytes) }
            throw HadpoError(.format, "this is \(kind ?? "not a weight file")", at: file.path, expected: "tensors")
        case .tar:
            throw HadpoError(
                .unsupported, "tar files of torch before 0.1.10 are not read: load it in torch and save it again", at: file.path)
        case .unknown:
            throw HadpoError(
                .format, "not a weight file", at: file.path, found: "other leading bytes",
                expected: "safetensors, or a file written by torch.save")
        }
    }

    /// The tensor where it lies if it can be used there; otherwise a dense, aligned copy in the arena.
    package func tensor(_ info: TensorInfo) throws(HadpoError) -> Tensor {
        if let strides = info.strides { return try gathered(info, strides) }
        let run = try file.bytes(at: info.byteOffset, count: info.byteCount)
        if Int(bitPattern: run.storage.base + run.offset) % info.dtype.byteCount == 0 {
            return try Tensor(storage: run.storage, byteOffset: run.offset, shape: info.shape, dtype: info.dtype)
        }
        let copy = try file.arena.allocate(info.byteCount)
        try run.withBytes { (bytes) throws(HadpoError) in
            if let base = bytes.baseAddress { memcpy(copy.base, base, bytes.count) }
        }
        return try Tensor(storage: copy, shape: info.shape, dtype: info.dtype)
    }

    /// A view with strides (transposed, sliced, expanded), copied into row-major order.
    private func gathered(_ info: TensorInfo, _ strides: [Int]) throws(HadpoError) -> Tensor {
        let size = info.dtype.byteCount
        // The largest element index: the reader has checked that it lies inside the storage.
        var last = 0
        for (length, stride) in zip(info.shape, strides) { last += max(0, length - 1) * stride }
        let run = try file.bytes(at: info.byteOffset, count: info.count == 0 ? 0 : (last + 1) * size)
        // An expanded view (stride 0) of a few bytes can claim any size.
        guard info.byteCount <= max(run.count, 64 << 20) else {
            throw HadpoError(
                .format, "tensor \(info.name) repeats a small storage too many times", at: file.path,
                found: "\(info.byteCount) bytes from \(run.count)", expected: "at most \(64 << 20)")
        }
        let copy = try file.arena.allocate(info.byteCount)
        try run.withBytes { (bytes) throws(HadpoError) in
            guard let base = bytes.baseAddress, info.count > 0 else { return }
            var position = [Int](repeating: 0, count: info.shape.count)
            var source = 0
            for element in 0..<info.count {
                memcpy(copy.base + element * size, base + source * size, size)
                var axis = position.count - 1
                while axis >= 0 {
                    position[axis] += 1
                    source += strides[axis]
                    if position[axis] < info.shape[axis] { break }
                    source -= info.shape[axis] * strides[axis]
                    position[axis] = 0
                    axis -= 1
                }
            }
        }
        return try Tensor(storage: copy, shape: info.shape, dtype: info.dtype)
    }
}
