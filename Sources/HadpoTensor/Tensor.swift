import HadpoBase

/// Element types as stored. Only `f32`, `f16` and `bf16` take part in arithmetic; the others are carried.
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

    package var byteCount: Int {
        switch self {
        case .f64, .i64: 8
        case .f32, .i32: 4
        case .f16, .bf16, .i16: 2
        case .i8, .u8, .bool: 1
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

    /// The caller has checked that shape and offset lie within the storage.
    package init(storage: Storage, byteOffset: Int = 0, shape: [Int], dtype: DType) {
        self.storage = storage
        self.byteOffset = byteOffset
        self.shape = shape
        self.dtype = dtype
    }

    package var count: Int { shape.reduce(1, *) }
    package var byteCount: Int { count * dtype.byteCount }
    /// Rows and columns when seen as a matrix: all leading dimensions are rows.
    package var columns: Int { shape.last ?? 1 }
    package var rows: Int { shape.dropLast().reduce(1, *) }
    package var pointer: UnsafeMutableRawPointer { storage.base + byteOffset }

    /// The same numbers under another shape of equal count.
    package func reshaped(_ shape: [Int]) -> Tensor {
        Tensor(storage: storage, byteOffset: byteOffset, shape: shape, dtype: dtype)
    }

    /// Rows `range` of the matrix view, without a copy.
    package func rows(_ range: Range<Int>) -> Tensor {
        Tensor(
            storage: storage, byteOffset: byteOffset + range.lowerBound * columns * dtype.byteCount,
            shape: [range.count, columns], dtype: dtype)
    }
}
