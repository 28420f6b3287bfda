import HadpoBase

// The operations of a device: each checks its tensors and hands them to the backend.
//
// Dimensions: R rows (tokens, patches), C columns, M/N/K of a product, V vocabulary, H heads, D head width.
// A tensor of any rank is a matrix here: its last extent is C, the product of the others R.

extension Device {
    // MARK: products and attention

    /// c[M,N] (+)= a' b'. `aTransposed`: a is [K,M]; `bTransposed`: b is [N,K]. b alone may be quantised.
    package func matmul(_ a: Tensor, aTransposed: Bool, _ b: Tensor, bTransposed: Bool, into c: Tensor, accumulate: Bool)
        throws(HadpoError)
    {
        let check = Check("matmul")
        try check.input(a)
        try check.weight(b)
        try check.output(c)
        let (m, k) = aTransposed ? (a.columns, a.rows) : (a.rows, a.columns)
        let (n, kOfB) = bTransposed ? (b.rows, b.columns) : (b.columns, b.rows)
        try check.that(k == kOfB && c.rows == m && c.columns == n, "a", a, "b", b, "c", c)
        try backend.matmul(a, aTransposed: aTransposed, b, bTransposed: bTransposed, into: c, accumulate: accumulate)
    }

    /// out[R, H*D] = softmax(scale q k^T) v per head; lse[R, H] for the backward pass. k and v are float tensors, or of a cache
    /// rows of int8 (`cacheRows`).
    package func attention(
        _ shape: AttentionShape, _ segments: [AttentionSegment], q: Tensor, k: Tensor, v: Tensor, into out: Tensor, lse: Tensor?
    ) throws(HadpoError) {
        let check = Check("attention")
        try check.heads(shape, q: q, k: k, v: v)
        try check.segments(segments, queries: q.rows, keys: k.rows)
        try check.output(out)
        try check.that(out.rows == q.rows && out.columns == q.columns, "q", q, "out", out)
        if let lse { try check.statistics(lse, q.rows * shape.heads) }
        try backend.attention(shape, segments, q: q, k: k, v: v, into: out, lse: lse)
    }

    /// dq overwritten on query rows; dk, dv accumulate.
    package func attentionBackward(
        _ shape: AttentionShape, _ segments: [AttentionSegment], q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor,
        dout: Tensor, dq: Tensor, dk: Tensor, dv: Tensor
    ) throws(HadpoError) {
        let check = Check("attention, backward")
        try check.heads(shape, q: q, k: k, v: v)
        try check.input(k)
        try check.segments(segments, queries: q.rows, keys: k.rows)
        for (name, x) in [("out", out), ("dout", dout)] {
            try check.input(x)
            try check.that(x.rows == q.rows && x.columns == q.columns, "q", q, name, x)
        }
        try check.statistics(lse, q.rows * shape.heads)
        for (x, dx) in [(q, dq), (k, dk), (v, dv)] {
            try check.output(dx)
            try check.that(dx.rows == x.rows && dx.columns == x.columns, "values", x, "gradient", dx)
        }
        try backend.attentionBackward(
            shape, segments, q: q, k: k, v: v, out: out, lse: lse, dout: dout, dq: dq, dk: dk, dv: dv)
    }

    // MARK: norms, positions, activations

    package func rmsNorm(_ x: Tensor, weight: Tensor, epsilon: Float, into y: Tensor, rstd: Tensor?) throws(HadpoError) {
        let check = Check("rmsNorm")
        try check.sameCount(x, into: y)
        try check.perColumn(weight, of: x)
        if let rstd { try check.statistics(rstd, x.rows) }
        try backend.rmsNorm(x, weight: weight, epsilon: epsilon, into: y, rstd: rstd)
    }

    package func rmsNormBackward(_ x: Tensor, weight: Tensor, rstd: Tensor, dy: Tensor, dx: Tensor, dweight: Tensor?)
        throws(HadpoError)
    {
        let check = Check("rmsNorm, backward")
        try check.sameCount(x, dy, into: dx)
        try check.perColumn(weight, of: x)
        try check.statistics(rstd, x.rows)
        if let dweight { try check.perColumn(dweight, of: x, isOutput: true) }
        try backend.rmsNormBackward(x, weight: weight, rstd: rstd, dy: dy, dx: dx, dweight: dweight)
    }

    package func layerNorm(
        _ x: Tensor, weight: Tensor, bias: Tensor, epsilon: Float, into y: Tensor, mean: Tensor?, rstd: Tensor?
    ) throws(HadpoError) {
        let check = Check("layerNorm")
        try check.sameCount(x, into: y)
        try check.perColumn(weight, of: x)
        try check.perColumn(bias, of: x)
        if let mean { try check.statistics(mean, x.rows) }
        if let rstd { try check.statistics(rstd, x.rows) }
        try backend.layerNorm(x, weight: weight, bias: bias, epsilon: epsilon, into: y, mean: mean, rstd: rstd)
    }

    package func layerNormBackward(
        _ x: Tensor, weight: Tensor, mean: Tensor, rstd: Tensor, dy: Tensor, dx: Tensor, dweight: Tensor?, dbias: Tensor?
    ) throws(HadpoError) {
        let check = Check("layerNorm, backward")
        try check.sameCount(x, dy, into: dx)
        try check.perColumn(weight, of: x)
        try check.statistics(mean, x.rows)
        try check.statistics(rstd, x.rows)
        if let dweight { try check.perColumn(dweight, of: x, isOutput: true) }
        if let dbias { try check.perColumn(dbias, of: x, isOutput: true) }
        try backend.layerNormBackward(
            x, weight: weight, mean: mean, rstd: rstd, dy: dy, dx: dx, dweight: dweight, dbias: dbias)
    }

    /// Rotates every head of x[R, H*D] in place by positions[r] * inverseFrequencies[i]; `inverse` undoes it.
    package func rope(_ x: Tensor, heads: Int, positions: [Int32], inverseFrequencies: [Float], inverse: Bool) throws(HadpoError)
    {
        let check = Check("rope")
        try check.output(x)
        let width = heads > 0 ? x.columns / heads : 0
        guard heads > 0, width * heads == x.columns, width % 2 == 0, positions.count == x.rows,
            inverseFrequencies.count == width / 2
        else {
            throw check.failure(
                "x \(x.shape), \(heads) heads, \(positions.count) positions, \(inverseFrequencies.count) frequencies")
        }
        try backend.rope(x, heads: heads, positions: positions, inverseFrequencies: inverseFrequencies, inverse: inverse)
    }

    package func activation(_ kind: Activation, _ x: Tensor, into y: Tensor) throws(HadpoError) {
        try Check("activation").sameCount(x, into: y)
        try backend.activation(kind, x, into: y)
    }

    package func activationBackward(_ kind: Activation, _ x: Tensor, dy: Tensor, dx: Tensor) throws(HadpoError) {
        try Check("activation, backward").sameCount(x, dy, into: dx)
        try backend.activationBackward(kind, x, dy: dy, dx: dx)
    }

    /// y = silu(gate) * up
    package func swiGLU(gate: Tensor, up: Tensor, into y: Tensor) throws(HadpoError) {
        try Check("swiGLU").sameCount(gate, up, into: y)
        try backend.swiGLU(gate: gate, up: up, into: y)
    }

    package func swiGLUBackward(gate: Tensor, up: Tensor, dy: Tensor, dgate: Tensor, dup: Tensor) throws(HadpoError) {
        let check = Check("swiGLU, backward")
        try check.sameCount(gate, up, into: dgate)
        try check.sameCount(dy, into: dup)
        try check.that(dy.count == gate.count, "gate", gate, "dy", dy)
        try backend.swiGLUBackward(gate: gate, up: up, dy: dy, dgate: dgate, dup: dup)
    }

    // MARK: elements

    package func add(_ a: Tensor, _ b: Tensor, into y: Tensor) throws(HadpoError) {
        try Check("add").sameCount(a, b, into: y)
        try backend.add(a, b, into: y)
    }

    /// y += alpha x
    package func axpy(_ alpha: Float, _ x: Tensor, into y: Tensor) throws(HadpoError) {
        try Check("axpy").sameCount(x, into: y)
        try backend.axpy(alpha, x, into: y)
    }

    package func scale(_ x: Tensor, by alpha: Float) throws(HadpoError) {
        try Check("scale").output(x)
        try backend.scale(x, by: alpha)
    }

    /// y[r,:] += bias
    package func addBias(_ bias: Tensor, to y: Tensor) throws(HadpoError) {
        let check = Check("addBias")
        try check.output(y)
        try check.perColumn(bias, of: y)
        try backend.addBias(bias, to: y)
    }

    /// sum[C] += column sums of x[R,C]
    package func columnSum(_ x: Tensor, into sum: Tensor) throws(HadpoError) {
        let check = Check("columnSum")
        try check.input(x)
        try check.perColumn(sum, of: x, isOutput: true)
        try backend.columnSum(x, into: sum)
    }

    package func sumOfSquares(_ x: Tensor) throws(HadpoError) -> Double {
        try Check("sumOfSquares").input(x)
        return backend.sumOfSquares(x)
    }

    // MARK: moving and converting

    package func zero(_ x: Tensor) throws(HadpoError) {
        try Check("zero").writable(x)
        try backend.zero(x)
    }

    /// The same numbers, of the same type; the shapes may differ.
    package func copy(_ x: Tensor, into y: Tensor) throws(HadpoError) {
        let check = Check("copy")
        try check.writable(y)
        try check.that(x.dtype == y.dtype && x.count == y.count && x.byteCount == y.byteCount, "x", x, "y", y)
        try backend.copy(x, into: y)
    }

    /// Element type conversion; rounds to nearest even. A quantised x is dequantised.
    package func convert(_ x: Tensor, into y: Tensor) throws(HadpoError) {
        if x.dtype == y.dtype { return try copy(x, into: y) }
        let check = Check("convert")
        try check.weight(x)
        try check.writable(y)
        try check.float(y)
        try check.that(x.count == y.count, "x", x, "y", y)
        if x.dtype == .f32 || y.dtype == .f32 { return try backend.convert(x, into: y) }
        // From one 16-bit type to another, and out of a quantised one, the way leads over fp32.
        let between = try allocate(x.shape)
        try backend.convert(x, into: between)
        try backend.convert(between, into: y)
    }

    /// x[R,C] as int8 with an fp16 scale for every 32 numbers of a row, C a multiple of 32: y[R,C/16*17] of `i8`, which `attention` takes as
    /// k and v.
    package func cacheRows(_ x: Tensor, into y: Tensor) throws(HadpoError) {
        let check = Check("cacheRows")
        try check.input(x)
        try check.writable(y)
        try check.that(
            y.dtype == .i8 && x.columns % 32 == 0 && y.rows == x.rows && y.columns == x.columns / 16 * 17, "x", x, "y", y)
        try backend.cacheRows(x, into: y)
    }

    /// x[N,K], fp32, fp16 or bf16, into y of the same shape and a quantised type. Reads x once, row after row (it may be a mapped file), and
    /// needs no memory beside the two.
    package func quantize(_ x: Tensor, into y: Tensor) throws(HadpoError) {
        let check = Check("quantize")
        try check.float(x)
        try check.writable(y)
        try check.that(y.dtype.isQuantized && x.shape == y.shape, "x", x, "y", y)
        try backend.quantize(x, into: y)
    }

    /// y[i] = table[ids[i]]
    package func gatherRows(_ table: Tensor, ids: [Int32], into y: Tensor) throws(HadpoError) {
        let check = Check("gatherRows")
        try check.float(table)
        try check.output(y)
        try check.that(y.rows == ids.count && y.columns == table.columns, "table", table, "y", y)
        try check.ids(ids, below: table.rows)
        try backend.gatherRows(table, ids: ids, into: y)
    }

    /// table[ids[i]] += x[i]
    package func scatterAddRows(_ x: Tensor, ids: [Int32], into table: Tensor) throws(HadpoError) {
        let check = Check("scatterAddRows")
        try check.input(x)
        try check.output(table)
        try check.that(x.rows == ids.count && x.columns == table.columns, "x", x, "table", table)
        try check.ids(ids, below: table.rows)
        try backend.scatterAddRows(x, ids: ids, into: table)
    }

    // MARK: loss and optimizer

    /// logp[R] = log softmax(logits)[ids]; lse[R] for the backward pass.
    package func logProb(_ logits: Tensor, ids: [Int32], logp: Tensor, lse: Tensor) throws(HadpoError) {
        let check = Check("logProb")
        try check.input(logits)
        try check.statistics(logp, logits.rows)
        try check.statistics(lse, logits.rows)
        try check.that(ids.count == logits.rows, "logits", logits, "logp", logp)
        try check.ids(ids, below: logits.columns)
        try backend.logProb(logits, ids: ids, logp: logp, lse: lse)
    }

    /// In place: logits become dlogp * (onehot - softmax).
    package func logProbBackward(_ logits: Tensor, ids: [Int32], lse: Tensor, dlogp: Tensor) throws(HadpoError) {
        let check = Check("logProb, backward")
        try check.output(logits)
        try check.statistics(lse, logits.rows)
        try check.input(dlogp)
        try check.that(ids.count == logits.rows && dlogp.count == logits.rows, "logits", logits, "dlogp", dlogp)
        try check.ids(ids, below: logits.columns)
        try backend.logProbBackward(logits, ids: ids, lse: lse, dlogp: dlogp)
    }

    package func adamW(_ step: AdamW, parameter: Tensor, gradient: Tensor, m: Tensor, v: Tensor, gradientScale: Float)
        throws(HadpoError)
    {
        let check = Check("adamW")
        try check.sameCount(gradient, into: parameter)
        try check.sameCount(gradient, into: m)
        try check.sameCount(gradient, into: v)
        try backend.adamW(step, parameter: parameter, gradient: gradient, m: m, v: v, gradientScale: gradientScale)
    }
}

/// What an operation asks of its tensors. That a tensor lies within its storage is checked where the tensor is made.
private struct Check {
    let operation: StaticString

    init(_ operation: StaticString) { self.operation = operation }

    @inline(never)
    func failure(_ found: String) -> HadpoError {
        HadpoError(
            .internal, "\(operation): the tensors do not fit each other; nothing was computed", found: found,
            expected: "shapes and types that this operation takes; please report this")
    }

    func that(_ fits: Bool, _ nameA: StaticString, _ a: Tensor, _ nameB: String, _ b: Tensor) throws(HadpoError) {
        if !fits { throw failure("\(nameA) \(a.dtype.rawValue) \(a.shape), \(nameB) \(b.dtype.rawValue) \(b.shape)") }
    }

    func that(
        _ fits: Bool, _ nameA: StaticString, _ a: Tensor, _ nameB: StaticString, _ b: Tensor, _ nameC: StaticString, _ c: Tensor
    ) throws(HadpoError) {
        if !fits {
            throw failure("\(nameA) \(a.shape), \(nameB) \(b.dtype.rawValue) \(b.shape), \(nameC) \(c.shape)")
        }
    }

    /// fp32.
    func input(_ x: Tensor) throws(HadpoError) {
        if x.dtype != .f32 { throw failure("a tensor \(x.dtype.rawValue) \(x.shape) where F32 is computed with") }
    }

    /// Not a mapped file, where a write would end the process.
    func writable(_ y: Tensor) throws(HadpoError) {
        if !y.storage.isWritable { throw failure("an output \(y.shape) in memory that may only be read") }
    }

    func output(_ y: Tensor) throws(HadpoError) {
        try input(y)
        try writable(y)
    }

    /// fp32, fp16 or bf16. Files hold other types too, so that this is about the file.
    func float(_ x: Tensor) throws(HadpoError) {
        switch x.dtype {
        case .f32, .f16, .bf16: return
        default:
            throw HadpoError(
                .weights, "a tensor of this type cannot be computed with", found: x.dtype.rawValue, expected: "F32, F16 or BF16")
        }
    }

    /// A float type or a quantised one.
    func weight(_ x: Tensor) throws(HadpoError) {
        if !x.dtype.isQuantized { try float(x) }
    }

    func sameCount(_ x: Tensor, into y: Tensor) throws(HadpoError) {
        try input(x)
        try output(y)
        try that(x.count == y.count, "x", x, "y", y)
    }

    func sameCount(_ a: Tensor, _ b: Tensor, into y: Tensor) throws(HadpoError) {
        try input(a)
        try sameCount(b, into: y)
        try that(a.count == b.count, "a", a, "b", b)
    }

    /// A vector with a number for each column of x.
    func perColumn(_ vector: Tensor, of x: Tensor, isOutput: Bool = false) throws(HadpoError) {
        try input(vector)
        if isOutput { try writable(vector) }
        try that(vector.count == x.columns, "x", x, "vector", vector)
    }

    /// A place for `count` numbers that an operation keeps for its backward pass.
    func statistics(_ x: Tensor, _ count: Int) throws(HadpoError) {
        try output(x)
        if x.count != count { throw failure("\(x.shape) for \(count) numbers") }
    }

    func ids(_ ids: [Int32], below rows: Int) throws(HadpoError) {
        // One pass without a branch in it; the first wrong id is looked for only when there is one.
        let bound = UInt32(clamping: rows)
        var fits = true
        for id in ids { fits = fits && UInt32(bitPattern: id) < bound }
        if fits { return }
        let wrong = ids.first { UInt32(bitPattern: $0) >= bound } ?? -1
        throw HadpoError(
            .internal, "\(operation): an id names no row; nothing was computed", found: "id \(wrong)",
            expected: "0..<\(rows); please report this")
    }

    func heads(_ shape: AttentionShape, q: Tensor, k: Tensor, v: Tensor) throws(HadpoError) {
        try input(q)
        let (width, overflow) = shape.kvHeads.multipliedReportingOverflow(by: shape.headWidth)
        guard shape.heads > 0, shape.kvHeads > 0, shape.headWidth > 0, !overflow, shape.heads % shape.kvHeads == 0,
            q.columns / shape.heads == shape.headWidth, q.columns % shape.heads == 0, k.dtype == v.dtype, k.rows == v.rows,
            k.columns == v.columns,
            k.dtype == .i8 ? width % 32 == 0 && shape.headWidth % 16 == 0 && k.columns == width / 16 * 17 : k.columns == width
        else {
            throw failure(
                "q \(q.shape), k \(k.dtype.rawValue) \(k.shape), v \(v.dtype.rawValue) \(v.shape), heads \(shape.heads) of "
                    + "\(shape.headWidth), \(shape.kvHeads) of keys")
        }
        if k.dtype != .i8 { try float(k) }
    }

    func segments(_ segments: [AttentionSegment], queries: Int, keys: Int) throws(HadpoError) {
        for s in segments {
            let fits =
                s.queries.lowerBound >= 0 && s.queries.upperBound <= queries && s.context.lowerBound >= 0
                && s.context.upperBound <= keys && s.own.lowerBound >= 0 && s.own.upperBound <= keys
                && (s.own.isEmpty || s.own.count >= s.queries.count)
            if !fits {
                throw failure("rows \(s.queries) that see \(s.context) and \(s.own), of \(queries) rows and \(keys) keys")
            }
        }
    }
}
