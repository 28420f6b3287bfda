import HadpoBase

// Dimensions: R rows (tokens, patches), C columns, M/N/K of a product, V vocabulary, H heads, D head width.

/// How matrix products are computed. `exact`: fp32 products. `fast`: operands rounded to bf16 (or, by int8 and int4
/// weights with VNNI, to 8 bits), fp32 sums.
package enum Numerics: String, Sendable, CaseIterable { case exact, fast }

/// Inner kernels by name, as `engine.kernels` spells them.
package enum KernelChoice: String, Sendable, CaseIterable {
    case auto, portable, avx2, avx512
    case avx512BF16 = "avx512-bf16"
    case amxBF16 = "amx-bf16"
    case openblas
}

package enum Activation: Sendable { case geluErf, geluQuick, geluTanh, silu, relu }

/// Which keys a run of query rows sees: all of `context`, then its own range up to and including itself (causal).
///
/// A plain sequence: empty context, `own` = its rows. A picture in a ViT: context = its rows, `own` empty.
/// A branch on a shared prefix: context = the prefix rows, `own` = the branch. A decode step: context = the prefix in
/// the cache, `own` = the branch's rows in the cache, of which the query is the last.
package struct AttentionSegment: Sendable, Equatable {
    package var queries: Range<Int>
    package var context: Range<Int>
    package var own: Range<Int>

    package init(queries: Range<Int>, context: Range<Int> = 0..<0, own: Range<Int> = 0..<0) {
        self.queries = queries
        self.context = context
        self.own = own
    }
}

package struct AttentionShape: Sendable {
    package let heads: Int
    package let kvHeads: Int
    package let headWidth: Int
    package let scale: Float

    package init(heads: Int, kvHeads: Int, headWidth: Int) {
        self.heads = heads
        self.kvHeads = kvHeads
        self.headWidth = headWidth
        self.scale = 1 / Float(headWidth).squareRoot()
    }
}

/// One AdamW step's constants. `t` counts from 1.
package struct AdamW: Sendable {
    package var learningRate: Double
    package var beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0.0
    package var t: UInt64
    package init(learningRate: Double, beta1: Double, beta2: Double, epsilon: Double, weightDecay: Double, t: UInt64) {
        self.learningRate = learningRate
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.weightDecay = weightDecay
        self.t = t
    }
}

/// The arithmetic of one kind of hardware: the whole contract between the network code and what computes.
///
/// Outputs are passed in, activations are fp32, weights are fp32, fp16, bf16 or quantised, `accumulate` adds to the output. Only `Device` calls
/// a backend, after it has checked every shape, element type and id (DeviceOperations.swift). A backend therefore checks nothing: what it is
/// given fits, and only memory can fail.
package protocol Backend: AnyObject, Sendable {
    var numerics: Numerics { get }
    /// What `hadpo_model_describe` shows: workers, and the name of the inner kernels.
    var threads: Int { get }
    var kernelName: String { get }
    /// What keys and values are kept in where nobody says.
    var cacheType: DType { get }

    /// c[M,N] (+)= a' b'. `aTransposed`: a is [K,M]; `bTransposed`: b is [N,K]. b alone may be quantised.
    func matmul(_ a: Tensor, aTransposed: Bool, _ b: Tensor, bTransposed: Bool, into c: Tensor, accumulate: Bool)
        throws(HadpoError)

    /// out[R, H*D] = softmax(scale q k^T) v per head; lse[R, H] for the backward pass.
    func attention(
        _ shape: AttentionShape, _ segments: [AttentionSegment], q: Tensor, k: Tensor, v: Tensor, into out: Tensor, lse: Tensor?)
        throws(HadpoError)
    /// dq overwritten on query rows; dk, dv accumulate.
    func attentionBackward(
        _ shape: AttentionShape, _ segments: [AttentionSegment], q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor,
        dout: Tensor, dq: Tensor, dk: Tensor, dv: Tensor) throws(HadpoError)

    func rmsNorm(_ x: Tensor, weight: Tensor, epsilon: Float, into y: Tensor, rstd: Tensor?) throws(HadpoError)
    func rmsNormBackward(_ x: Tensor, weight: Tensor, rstd: Tensor, dy: Tensor, dx: Tensor, dweight: Tensor?) throws(HadpoError)
    func layerNorm(_ x: Tensor, weight: Tensor, bias: Tensor, epsilon: Float, into y: Tensor, mean: Tensor?, rstd: Tensor?)
        throws(HadpoError)
    func layerNormBackward(
        _ x: Tensor, weight: Tensor, mean: Tensor, rstd: Tensor, dy: Tensor, dx: Tensor, dweight: Tensor?, dbias: Tensor?)
        throws(HadpoError)
    /// Rotates every head of x[R, H*D] in place by positions[r] * inverseFrequencies[i]; `inverse` undoes it.
    func rope(_ x: Tensor, heads: Int, positions: [Int32], inverseFrequencies: [Float], inverse: Bool) throws(HadpoError)
    func activation(_ kind: Activation, _ x: Tensor, into y: Tensor) throws(HadpoError)
    func activationBackward(_ kind: Activation, _ x: Tensor, dy: Tensor, dx: Tensor) throws(HadpoError)
    func swiGLU(gate: Tensor, up: Tensor, into y: Tensor) throws(HadpoError)
    func swiGLUBackward(gate: Tensor, up: Tensor, dy: Tensor, dgate: Tensor, dup: Tensor) throws(HadpoError)

    func add(_ a: Tensor, _ b: Tensor, into y: Tensor) throws(HadpoError)
    /// y += alpha x
    func axpy(_ alpha: Float, _ x: Tensor, into y: Tensor) throws(HadpoError)
    func scale(_ x: Tensor, by alpha: Float) throws(HadpoError)
    func addBias(_ bias: Tensor, to y: Tensor) throws(HadpoError)
    /// sum[C] += column sums of x[R,C]
    func columnSum(_ x: Tensor, into sum: Tensor) throws(HadpoError)
    func zero(_ x: Tensor) throws(HadpoError)
    func copy(_ x: Tensor, into y: Tensor) throws(HadpoError)
    /// Between fp32 and another float type, either way; rounds to nearest even. A quantised x is dequantised.
    func convert(_ x: Tensor, into y: Tensor) throws(HadpoError)
    /// x[R,C] as int8 with an fp16 scale for every 32 numbers of a row, C a multiple of 32: y[R,C/16*17] of `i8`, which `attention` takes as
    /// k and v.
    func cacheRows(_ x: Tensor, into y: Tensor) throws(HadpoError)
    /// x[N,K], fp32, fp16 or bf16, into y of the same shape and a quantised type. Reads x once, row after row (it may be a mapped file), and
    /// needs no memory beside the two.
    func quantize(_ x: Tensor, into y: Tensor) throws(HadpoError)
    func gatherRows(_ table: Tensor, ids: [Int32], into y: Tensor) throws(HadpoError)
    func scatterAddRows(_ x: Tensor, ids: [Int32], into table: Tensor) throws(HadpoError)

    /// logp[R] = log softmax(logits)[ids]; lse[R] for the backward pass.
    func logProb(_ logits: Tensor, ids: [Int32], logp: Tensor, lse: Tensor) throws(HadpoError)
    /// In place: logits become dlogp * (onehot - softmax).
    func logProbBackward(_ logits: Tensor, ids: [Int32], lse: Tensor, dlogp: Tensor) throws(HadpoError)
    func adamW(_ step: AdamW, parameter: Tensor, gradient: Tensor, m: Tensor, v: Tensor, gradientScale: Float) throws(HadpoError)
    func sumOfSquares(_ x: Tensor) -> Double
}
