import HadpoBase

/// Where tensors live and what computes on them. Network code talks to this and to nothing below it.
///
/// Every operation first checks that its tensors fit each other, that their element types are those it can compute with, that ids name
/// rows which exist, and that outputs may be written to. So a mistake above this layer, or a file that leads there, becomes an error
/// (INTERNAL) and never a read or a write of foreign memory, whatever the backend. The checks are a few comparisons a call.
package final class Device: Sendable {
    package let arena: Arena
    let backend: any Backend

    package init(_ backend: any Backend, arena: Arena) {
        self.backend = backend
        self.arena = arena
    }

    /// The processor.
    /// - Parameter threads: 0 takes every processor this process may use.
    package convenience init(
        threads: Int = 0, kernels: KernelChoice = .auto, numerics: Numerics = .exact, arena: Arena = Arena()
    ) throws(HadpoError) {
        self.init(try CPUBackend(threads: threads, kernels: kernels, numerics: numerics), arena: arena)
    }

    package var numerics: Numerics { backend.numerics }
    package var threads: Int { backend.threads }
    package var kernelName: String { backend.kernelName }
    /// What keys and values are kept in where nobody says.
    package var cacheType: DType { backend.cacheType }

    package func allocate(_ shape: [Int], _ dtype: DType = .f32) throws(HadpoError) -> Tensor {
        guard let byteCount = dtype.byteCount(of: shape) else {
            throw HadpoError(.noMemory, "a tensor of shape \(shape) and type \(dtype.rawValue) cannot be had")
        }
        return try Tensor(storage: try arena.allocate(byteCount), shape: shape, dtype: dtype)
    }

    package func zeros(_ shape: [Int]) throws(HadpoError) -> Tensor {
        let x = try allocate(shape)
        try zero(x)
        return x
    }

    package func tensor(_ values: [Float], _ shape: [Int]) throws(HadpoError) -> Tensor {
        let x = try allocate(shape)
        guard values.count == x.count else {
            throw HadpoError(.internal, "\(values.count) values do not fill a tensor of shape \(shape)")
        }
        values.withUnsafeBytes { x.pointer.copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(x.pointer), byteCount: $0.count) }
        return x
    }

    /// fp32 numbers of any float tensor, as a new tensor; an fp32 tensor is returned as it is.
    package func float32(_ x: Tensor) throws(HadpoError) -> Tensor {
        if x.dtype == .f32 { return x }
        let y = try allocate(x.shape)
        try convert(x, into: y)
        return y
    }
}
