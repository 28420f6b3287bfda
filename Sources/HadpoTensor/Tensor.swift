import CHadpoKernels
import HadpoBase

/// Element types as stored. Only `f32`, `f16`, `bf16` and, as a product's weights, the quantised ones take part in arithmetic; the others
/// are carried.
package enum DType: String, Sendable, CaseIterable {
    case f64 = "F64"
    case f32 = "F32"
    case f16 = "F16"
    case bf16 = "BF16"
    case i64 = "I64"
    case i32 = "I32"
    case i16 = "I16"
    case i8 = "I8"
    case u8 = "U8"
    case bool = "BOOL"
    /// int8 in blocks of 32 along a row with an fp16 scale: 8.5 bits a number. Made by `Device.quantize`, never read from a file.
    case q8 = "Q8"
    /// 4-bit integers -8..7 in blocks of 32 along a row with an fp16 scale: 4.5 bits.
    case q4 = "Q4"
    /// bitsandbytes' 4-bit floats in blocks of 64 of the row-major matrix with an fp32 scale, as fp16 numbers: 4.5 bits. A matrix whose
    /// rows are not whole blocks is kept as those fp16 numbers.
    case fp4 = "FP4"

    /// The types a file of weights can hold.
    package static let stored = allCases.filter { !$0.isQuantized }

    package var isQuantized: Bool {
        switch self {
        case .q8, .q4, .fp4: true
        default: false
        }
    }

    /// Bytes of a dense tensor; nil when they overflow, an extent is negative, or the type cannot hold the shape (`q8` and `q4` need
    /// rows of whole blocks of 32).
    package func byteCount(of shape: [Int]) -> Int? {
        guard shape.allSatisfy({ $0 >= 0 }) else { return nil }
        guard let code = quantizedCode else { return DType.product(of: shape[...], times: byteCount) }
        var bytes = 0
        guard let columns = shape.last, let rows = DType.product(of: shape.dropLast(), times: 1),
            hk_quantised_bytes(rows, columns, code, &bytes) != 0, bytes >= 0
        else { return nil }
        return bytes
    }

    private static func product(of shape: ArraySlice<Int>, times first: Int) -> Int? {
        var result = first
        for extent in shape {
            let (product, overflow) = result.multipliedReportingOverflow(by: extent)
            if overflow { return nil }
            result = product
        }
        return result
    }

    var quantizedCode: hk_dtype? {
        switch self {
        case .q8: HK_Q8
        case .q4: HK_Q4
        case .fp4: HK_FP4
        default: nil
        }
    }

    /// Of one element; 0 for the quantised types, whose elements have no bytes of their own (`byteCount(of:)` counts theirs).
    package var byteCount: Int {
        switch self {
        case .f64, .i64: 8
        case .f32, .i32: 4
        case .f16, .bf16, .i16: 2
        case .i8, .u8, .bool: 1
        case .q8, .q4, .fp4: 0
        }
    }
}

/// A run of bytes that tensors look into: a block of the arena, or a region of a mapped file.
/// Freed (returned to the arena, unmapped) when the last tensor that uses it goes away.
package final class Storage: @unchecked Sendable {
    package let base: UnsafeMutableRawPointer
    package let byteCount: Int
    /// False for mapped files: writing there would be a fault.
    package let isWritable: Bool
    private let release: () -> Void

    /// - Parameter release: called once at the end; holds whatever keeps `base` valid (a mapped file, the arena).
    package init(base: UnsafeMutableRawPointer, byteCount: Int, isWritable: Bool, release: @escaping () -> Void) {
        self.base = base
        self.byteCount = byteCount
        self.isWritable = isWritable
        self.release = release
    }

    deinit { release() }
}

/// A dense row-major array. A value type over shared storage: copies look at the same numbers.
package struct Tensor: @unchecked Sendable {
    package let storage: Storage
    /// Bytes from the start of the storage.
    package let byteOffset: Int
    package let shape: [Int]
    package let dtype: DType

    /// Number of elements, and rows and columns when seen as a matrix: all leading dimensions are rows.
    package let count: Int
    package let rows: Int
    package let byteCount: Int

    /// - Throws: INTERNAL where the tensor would not lie within the storage. Whoever reads a file checks the file's numbers first, with a
    ///   message about the file; this is what stands behind every view.
    package init(storage: Storage, byteOffset: Int = 0, shape: [Int], dtype: DType) throws(HadpoError) {
        guard let bytes = dtype.byteCount(of: shape), byteOffset >= 0, byteOffset <= storage.byteCount,
            bytes <= storage.byteCount - byteOffset
        else { throw Tensor.outside(storage, byteOffset, shape, dtype) }
        self.storage = storage
        self.byteOffset = byteOffset
        self.shape = shape
        self.dtype = dtype
        byteCount = bytes
        // Cannot overflow, since the bytes did not: a quantised number takes half a byte at least.
        rows = shape.dropLast().reduce(1, &*)
        count = rows &* (shape.last ?? 1)
    }

    @inline(never)
    private static func outside(_ storage: Storage, _ offset: Int, _ shape: [Int], _ dtype: DType) -> HadpoError {
        HadpoError(
            .internal, "a tensor would lie outside its memory", found: "\(dtype.rawValue) \(shape) at byte \(offset)",
            expected: "within \(storage.byteCount) bytes; please report this")
    }

    package var columns: Int { shape.last ?? 1 }
    package var pointer: UnsafeMutableRawPointer { storage.base + byteOffset }

    /// The same numbers under another shape of equal count.
    package func reshaped(_ shape: [Int]) throws(HadpoError) -> Tensor {
        let other = try Tensor(storage: storage, byteOffset: byteOffset, shape: shape, dtype: dtype)
        guard other.count == count else {
            throw HadpoError(
                .internal, "a tensor under a shape of another size", found: "\(shape)",
                expected: "\(count) numbers, as in \(self.shape); please report this")
        }
        return other
    }

    /// Rows `range` of the matrix view, without a copy. A quantised matrix can be cut at multiples of 16 rows alone.
    package func rows(_ range: Range<Int>) throws(HadpoError) -> Tensor {
        guard range.lowerBound >= 0, range.upperBound <= rows, !dtype.isQuantized || range.lowerBound % 16 == 0,
            let before = dtype.byteCount(of: [range.lowerBound, columns])
        else { throw outside(range, rows, "rows") }
        return try Tensor(storage: storage, byteOffset: byteOffset + before, shape: [range.count, columns], dtype: dtype)
    }

    /// A run of elements of the tensor seen as a vector.
    package func elements(_ range: Range<Int>) throws(HadpoError) -> Tensor {
        guard range.lowerBound >= 0, range.upperBound <= count, !dtype.isQuantized else {
            throw outside(range, count, "elements")
        }
        return try Tensor(
            storage: storage, byteOffset: byteOffset + range.lowerBound * dtype.byteCount, shape: [range.count], dtype: dtype)
    }

    @inline(never)
    private func outside(_ range: Range<Int>, _ limit: Int, _ what: StaticString) -> HadpoError {
        HadpoError(
            .internal, "a view beyond its tensor", found: "\(what) \(range) of \(dtype.rawValue) \(shape)",
            expected: "within 0..<\(limit); please report this")
    }

    /// A copy of the numbers of an fp32 tensor, for looking at.
    package func floats() throws(HadpoError) -> [Float] {
        guard dtype == .f32 else {
            throw HadpoError(.internal, "the numbers of a tensor that is not fp32 were asked for", found: dtype.rawValue)
        }
        return withExtendedLifetime(storage) { Array(UnsafeBufferPointer(start: UnsafePointer(f32), count: count)) }
    }

    /// Where the first number of an fp32 tensor stands that is not finite or larger than `limit`.
    package func firstNumber(beyond limit: Float) -> Int? {
        guard dtype == .f32 else { return nil }
        return withExtendedLifetime(storage) {
            UnsafeBufferPointer(start: UnsafePointer(f32), count: count).firstIndex { !($0.magnitude <= limit) }
        }
    }

    /// For backends, which know that the tensor is fp32.
    var f32: UnsafeMutablePointer<Float> { pointer.assumingMemoryBound(to: Float.self) }
}
