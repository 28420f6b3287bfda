import HadpoBase
import HadpoTensor
import HadpoWeights

/// Quantised matrices in a weight file: "NAME.hadpo-q8" or "NAME.hadpo-q4", bytes as the kernels read them (CHadpoKernels/internal.h), so
/// that opening is mapping. Nobody else reads them, and nobody takes them for something else: the plain name is missing.
package enum SavedQuantized {
    static let dtypes = [DType.q8, .q4]

    package static func suffix(_ dtype: DType) -> String { ".hadpo-" + dtype.rawValue.lowercased() }

    /// Whether the file has the matrix in either form.
    static func holds(_ checkpoint: Checkpoint, _ name: String) -> Bool {
        checkpoint.contains(name) || dtypes.contains { checkpoint.contains(name + suffix($0)) }
    }

    /// - Parameter shape: of the matrix, which the file does not repeat.
    package static func find(_ place: ParameterPlace, _ shape: [Int]) throws(HadpoError) -> (tensor: Tensor, dtype: DType)? {
        guard !place.checkpoint.contains(place.name) else { return nil }
        for dtype in dtypes {
            let name = place.name + suffix(dtype)
            guard let info = place.checkpoint.info(name) else { continue }
            guard info.dtype == .u8, let bytes = dtype.byteCount(of: shape), info.shape == [bytes] else {
                throw HadpoError(
                    .weights, "a quantised matrix has another size than config.json says", at: name,
                    found: "\(info.dtype.rawValue) \(info.shape)",
                    expected: "\(dtype.byteCount(of: shape).map { "U8 [\($0)]" } ?? "rows of whole blocks") for \(shape)")
            }
            let stored = try place.checkpoint.tensor(name)
            return (try Tensor(storage: stored.storage, byteOffset: stored.byteOffset, shape: shape, dtype: dtype), dtype)
        }
        return nil
    }

    package static func write(
        _ name: String, _ matrix: Tensor, _ dtype: DType, _ writer: CheckpointWriter, _ device: Device
    ) throws(HadpoError) {
        let quantized = try device.allocate(matrix.shape, dtype)
        try device.quantize(matrix, into: quantized)
        let bytes = try Tensor(
            storage: quantized.storage, byteOffset: quantized.byteOffset, shape: [quantized.byteCount], dtype: .u8)
        try writer.write(name + suffix(dtype), bytes)
    }
}
