import CHadpoKernels
import HadpoBase

/// The processor: the kernels of CHadpoKernels on one pool of threads. Shapes, types and ids were checked by `Device`.
package final class CPUBackend: Backend, @unchecked Sendable {
    package let numerics: Numerics
    private let pool: OpaquePointer

    /// - Parameter threads: 0 takes every processor this process may use.
    package init(threads: Int, kernels: KernelChoice, numerics: Numerics) throws(HadpoError) {
        var why: UnsafePointer<CChar>?
        let isa: hk_isa =
            switch kernels {
            case .auto: HK_AUTO
            case .portable: HK_PORTABLE
            case .avx2: HK_AVX2
            case .avx512: HK_AVX512
            case .avx512BF16: HK_AVX512_BF16
            case .amxBF16: HK_AMX_BF16
            case .openblas: HK_OPENBLAS
            }
        guard let pool = hk_pool_create(Int32(clamping: threads), isa, numerics == .exact ? HK_EXACT : HK_FAST, &why) else {
            throw HadpoError(
                .device, "the processor device could not be opened: " + (why.map { String(cString: $0) } ?? "no reason given"),
                at: "engine.kernels", found: kernels.rawValue)
        }
        self.pool = pool
        self.numerics = numerics
    }

    deinit { hk_pool_free(pool) }

    package var threads: Int { Int(hk_pool_threads(pool)) }
    package var kernelName: String { String(cString: hk_pool_isa_name(pool)) }
    /// What keys and values are kept in where nobody says.
    package var cacheType: DType {
        switch hk_cache_dtype(pool) {
        case HK_BF16: .bf16
        case HK_F16: .f16
        default: .f32
        }
    }

    private func check(_ result: Int32) throws(HadpoError) {
        if result != 0 { throw HadpoError(.noMemory, "scratch memory of a kernel is not available") }
    }

    private static func code(_ dtype: DType) throws(HadpoError) -> hk_dtype {
        switch dtype {
        case .f32: return HK_F32
        case .f16: return HK_F16
        case .bf16: return HK_BF16
        default:
            throw HadpoError(
                .weights, "a tensor of this type cannot be computed with", found: dtype.rawValue, expected: "F32, F16 or BF16")
        }
    }

    private static func weightCode(_ dtype: DType) throws(HadpoError) -> hk_dtype {
        if let code = dtype.quantizedCode { return code }
        return try code(dtype)
    }

    package func matmul(_ a: Tensor, aTransposed: Bool, _ b: Tensor, bTransposed: Bool, into c: Tensor, accumulate: Bool)
        throws(HadpoError)
    {
        let k = aTransposed ? a.rows : a.columns
        try check(
            hk_matmul(
                pool, aTransposed ? 1 : 0, bTransposed ? 1 : 0, c.rows, c.columns, k, a.f32, a.columns, b.pointer,
                try CPUBackend.weightCode(b.dtype), b.columns, accumulate ? 1 : 0, c.f32, c.columns))
    }

    private static func raw(_ segments: [AttentionSegment]) -> [hk_segment] {
        segments.map {
            hk_segment(
                q_start: $0.queries.lowerBound, q_count: $0.queries.count, ctx_start: $0.context.lowerBound,
                ctx_count: $0.context.count, own_start: $0.own.lowerBound, own_count: $0.own.count)
        }
    }

    package func attention(
        _ shape: AttentionShape, _ segments: [AttentionSegment], q: Tensor, k: Tensor, v: Tensor, into out: Tensor, lse: Tensor?
    ) throws(HadpoError) {
        try check(
            hk_attention_forward(
                pool, CPUBackend.raw(segments), segments.count, shape.heads, shape.kvHeads, shape.headWidth, shape.scale, q.f32,
                q.columns, k.pointer, k.columns, v.pointer, v.columns, k.dtype == .i8 ? HK_CACHE8 : try CPUBackend.code(k.dtype),
                out.f32, out.columns,
                lse?.f32))
    }

    package func attentionBackward(
        _ shape: AttentionShape, _ segments: [AttentionSegment], q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor,
        dout: Tensor, dq: Tensor, dk: Tensor, dv: Tensor
    ) throws(HadpoError) {
        try check(
            hk_attention_backward(
                pool, CPUBackend.raw(segments), segments.count, shape.heads, shape.kvHeads, shape.headWidth, shape.scale, q.f32,
                q.columns, k.f32, k.columns, v.f32, v.columns, out.f32, out.columns, lse.f32, dout.f32, dout.columns, dq.f32,
                dq.columns, dk.f32, dk.columns, dv.f32, dv.columns))
    }

    package func rmsNorm(_ x: Tensor, weight: Tensor, epsilon: Float, into y: Tensor, rstd: Tensor?) throws(HadpoError) {
        try check(hk_rmsnorm_forward(pool, x.rows, x.columns, x.f32, weight.f32, epsilon, y.f32, rstd?.f32))
    }

    package func rmsNormBackward(_ x: Tensor, weight: Tensor, rstd: Tensor, dy: Tensor, dx: Tensor, dweight: Tensor?)
        throws(HadpoError)
    {
        try check(hk_rmsnorm_backward(pool, x.rows, x.columns, x.f32, weight.f32, rstd.f32, dy.f32, dx.f32, dweight?.f32))
    }

    package func layerNorm(
        _ x: Tensor, weight: Tensor, bias: Tensor, epsilon: Float, into y: Tensor, mean: Tensor?, rstd: Tensor?
    )
        throws(HadpoError)
    {
        try check(
            hk_layernorm_forward(pool, x.rows, x.columns, x.f32, weight.f32, bias.f32, epsilon, y.f32, mean?.f32, rstd?.f32))
    }

    package func layerNormBackward(
        _ x: Tensor, weight: Tensor, mean: Tensor, rstd: Tensor, dy: Tensor, dx: Tensor, dweight: Tensor?, dbias: Tensor?
    ) throws(HadpoError) {
        try check(
            hk_layernorm_backward(
                pool, x.rows, x.columns, x.f32, weight.f32, mean.f32, rstd.f32, dy.f32, dx.f32, dweight?.f32, dbias?.f32))
    }

    package func rope(_ x: Tensor, heads: Int, positions: [Int32], inverseFrequencies: [Float], inverse: Bool) throws(HadpoError)
    {
        try check(
            hk_rope(pool, x.rows, heads, x.columns / heads, positions, inverseFrequencies, inverse ? -1 : 1, x.f32, x.columns))
    }

    private static func code(_ kind: Activation) -> hk_activation {
        switch kind {
        case .geluErf: HK_GELU_ERF
        case .geluQuick: HK_GELU_QUICK
        case .geluTanh: HK_GELU_TANH
        case .silu: HK_SILU
        case .relu: HK_RELU
        }
    }

    package func activation(_ kind: Activation, _ x: Tensor, into y: Tensor) throws(HadpoError) {
        try check(hk_activation_forward(pool, CPUBackend.code(kind), x.count, x.f32, y.f32))
    }

    package func activationBackward(_ kind: Activation, _ x: Tensor, dy: Tensor, dx: Tensor) throws(HadpoError) {
        try check(hk_activation_backward(pool, CPUBackend.code(kind), x.count, x.f32, dy.f32, dx.f32))
    }

    package func swiGLU(gate: Tensor, up: Tensor, into y: Tensor) throws(HadpoError) {
        try check(hk_swiglu_forward(pool, y.count, gate.f32, up.f32, y.f32))
    }

    package func swiGLUBackward(gate: Tensor, up: Tensor, dy: Tensor, dgate: Tensor, dup: Tensor) throws(HadpoError) {
        try check(hk_swiglu_backward(pool, dy.count, gate.f32, up.f32, dy.f32, dgate.f32, dup.f32))
    }

    package func add(_ a: Tensor, _ b: Tensor, into y: Tensor) throws(HadpoError) {
        try check(hk_add(pool, y.count, a.f32, b.f32, y.f32))
    }

    package func axpy(_ alpha: Float, _ x: Tensor, into y: Tensor) throws(HadpoError) {
        try check(hk_axpy(pool, x.count, alpha, x.f32, y.f32))
    }

    package func scale(_ x: Tensor, by alpha: Float) throws(HadpoError) {
        try check(hk_scale(pool, x.count, alpha, x.f32))
    }

    package func addBias(_ bias: Tensor, to y: Tensor) throws(HadpoError) {
        try check(hk_add_bias(pool, y.rows, y.columns, bias.f32, y.f32, y.columns))
    }

    package func columnSum(_ x: Tensor, into sum: Tensor) throws(HadpoError) {
        try check(hk_column_sum(pool, x.rows, x.columns, x.f32, x.columns, sum.f32))
    }

    // Through the kernels and not memset and memcpy: in a throwing function that cannot throw, Swift 6.3.1 uses the error
    // register as scratch before a tail call to C, and the caller then sees an error that nobody threw.
    package func zero(_ x: Tensor) throws(HadpoError) { try check(hk_zero(x.pointer, x.byteCount)) }

    package func copy(_ x: Tensor, into y: Tensor) throws(HadpoError) { try check(hk_copy(x.pointer, y.pointer, x.byteCount)) }

    package func convert(_ x: Tensor, into y: Tensor) throws(HadpoError) {
        if let code = x.dtype.quantizedCode {
            try check(hk_dequantise(pool, x.rows, x.columns, x.pointer, code, y.f32))
        } else if y.dtype == .f32 {
            try check(hk_convert_to_f32(pool, x.count, x.pointer, try CPUBackend.code(x.dtype), y.f32))
        } else {
            try check(hk_convert_from_f32(pool, x.count, x.f32, y.pointer, try CPUBackend.code(y.dtype)))
        }
    }

    package func cacheRows(_ x: Tensor, into y: Tensor) throws(HadpoError) {
        try check(hk_cache_rows(pool, x.rows, x.columns, x.f32, y.pointer))
    }

    package func quantize(_ x: Tensor, into y: Tensor) throws(HadpoError) {
        let code = try CPUBackend.weightCode(y.dtype)
        try check(hk_quantise(pool, x.rows, x.columns, x.pointer, try CPUBackend.code(x.dtype), y.pointer, code))
    }

    package func gatherRows(_ table: Tensor, ids: [Int32], into y: Tensor) throws(HadpoError) {
        try check(
            hk_gather_rows(pool, ids.count, y.columns, table.pointer, try CPUBackend.code(table.dtype), ids, y.f32, y.columns))
    }

    package func scatterAddRows(_ x: Tensor, ids: [Int32], into table: Tensor) throws(HadpoError) {
        try check(hk_scatter_add_rows(pool, ids.count, x.columns, x.f32, x.columns, ids, table.f32, table.columns))
    }

    package func logProb(_ logits: Tensor, ids: [Int32], logp: Tensor, lse: Tensor) throws(HadpoError) {
        try check(hk_logprob_forward(pool, ids.count, logits.columns, logits.f32, logits.columns, ids, logp.f32, lse.f32))
    }

    package func logProbBackward(_ logits: Tensor, ids: [Int32], lse: Tensor, dlogp: Tensor) throws(HadpoError) {
        try check(hk_logprob_backward(pool, ids.count, logits.columns, logits.f32, logits.columns, ids, lse.f32, dlogp.f32))
    }

    package func adamW(_ step: AdamW, parameter: Tensor, gradient: Tensor, m: Tensor, v: Tensor, gradientScale: Float)
        throws(HadpoError)
    {
        try check(
            hk_adamw(
                pool, parameter.count, parameter.f32, gradient.f32, m.f32, v.f32, gradientScale, step.learningRate, step.beta1,
                step.beta2, step.epsilon, step.weightDecay, step.t))
    }

    package func sumOfSquares(_ x: Tensor) -> Double { hk_sum_of_squares(pool, x.count, x.f32) }
}
