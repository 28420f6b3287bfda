import CHadpoKernels
import Testing

/// C[M,N] = beta C + A W^T (forward, W is [N,K]) or A W (gradient to the input, W is [K,N]) with a quantised W.
private struct QuantisedProduct {
    var transposed: Bool
    var M: Int, N: Int, K: Int
    var dtype: hk_dtype
    var beta: Float = 0
    var pad = 0
    var lda: Int { K + pad }
    var ldc: Int { N + pad }
    var rows: Int { transposed ? N : K }
    var columns: Int { transposed ? K : N }

    func run(_ pool: Pool, _ a: [Float], _ w: Quantised, _ c: [Float], rows: Range<Int>? = nil) -> [Float]? {
        let rows = rows ?? 0..<M
        let out = Guarded(Array(c[(rows.lowerBound * ldc)..<(rows.upperBound * ldc)]))
        let input = Guarded(Array(a[(rows.lowerBound * lda)..<(rows.upperBound * lda)]))
        let status = hk_matmul(
            pool.raw, 0, transposed ? 1 : 0, rows.count, N, K, input.pointer, lda, w.bytes.pointer, dtype, columns, beta,
            out.pointer, ldc)
        guard status == 0, out.intact, input.intact, w.bytes.intact else { return nil }
        let result = out.values
        for i in 0..<rows.count {
            for j in N..<ldc where result[i * ldc + j] != c[(rows.lowerBound + i) * ldc + j] { return nil }
        }
        return result
    }
    /// The largest error over the products' own magnitude against Double on the dequantised matrix.
    func error(_ result: [Float], _ a: [Float], _ w: [Float], _ c: [Float], rounded: Bool) -> Double {
        let a = (rounded ? a.map(roundedToBF16) : a).map(Double.init)
        let w = (rounded ? w.map(roundedToBF16) : w).map(Double.init)
        var worst = 0.0
        for i in 0..<M {
            for j in 0..<N {
                var sum = Double(beta) * Double(c[i * ldc + j])
                var magnitude = abs(sum) + 1e-30
                for k in 0..<K {
                    let product = a[i * lda + k] * (transposed ? w[j * columns + k] : w[k * columns + j])
                    sum += product
                    magnitude += abs(product)
                }
                let e = abs(Double(result[i * ldc + j]) - sum) / magnitude
                if !(e <= worst) { worst = e.isNaN ? .infinity : e }
            }
        }
        return worst
    }
}

/// The exceptions that hadpo_kernels.h names: up to how many rows are multiplied in another form, and which.
private enum FewRows: Equatable {
    case asMany
    case fp32(upTo: Int)
    case int8(upTo: Int)
    init(_ pool: Pool, _ isa: UInt32, fast: Bool, _ p: QuantisedProduct) {
        let straddles = p.dtype == HK_FP4 && p.columns % 64 != 0
        if fast, p.transposed, p.dtype != HK_FP4, hk_pool_uses_vnni(pool.raw) != 0 {
            self = .int8(upTo: isa == HK_AMX_BF16.rawValue ? 32 : .max)
        } else if fast, p.transposed, isa == HK_AMX_BF16.rawValue, !straddles {
            self = .fp32(upTo: 8)
        } else {
            self = .asMany
        }
    }
    var most: Int {
        switch self {
        case .asMany: 0
        case .fp32(let rows), .int8(let rows): rows
        }
    }
}
/// As the product quantises its rows: blocks of 32, scale = largest magnitude / 127.
private func throughInt8(_ a: [Float], columns: Int, ld: Int) -> [Float] {
    var a = a
    for row in stride(from: 0, to: a.count, by: ld) {
        for k in stride(from: row, to: row + columns, by: 32) {
            let largest = a[k..<(k + 32)].map(abs).max() ?? 0
            let inverse = 127 / largest
            for i in k..<(k + 32) { a[i] = (a[i] * inverse).rounded(.toNearestOrEven) * (largest / 127) }
        }
    }
    return a
}

@Suite struct QuantisedMatmulTests {
    private struct Case {
        let product: QuantisedProduct, a: [Float], w: Quantised, c: [Float]
        init?(_ pool: Pool, _ product: QuantisedProduct, seed: Int) {
            var numbers = Numbers(seed)
            self.product = product
            a = numbers.floats(product.M * product.lda)
            c = numbers.floats(product.M * product.ldc)
            let x = (0..<(product.rows * product.columns)).map { i in numbers.unit() * [1, 0.5, 3][i / 32 % 3] }
            guard let w = Quantised(pool, x, rows: product.rows, columns: product.columns, dtype: product.dtype) else {
                return nil
            }
            self.w = w
        }
        func run(_ pool: Pool, rows: Range<Int>? = nil) -> [Float]? { product.run(pool, a, w, c, rows: rows) }
    }

    @Test(
        "a product with quantised weights is the one in Double with the dequantised weights, in both orientations",
        arguments: everyMatmulISA + [HK_OPENBLAS.rawValue], [false, true])
    func value(isa: UInt32, fast: Bool) throws {
        let pool = try Pool(isa, fast: fast)
        let sizes = [
            (1, 1, 64), (1, 100, 192), (3, 17, 320), (4, 130, 576), (7, 65, 64), (16, 129, 256), (33, 70, 640), (129, 50, 192),
            (9, 33, 1088),
        ]
        for (seed, (M, N, K)) in sizes.enumerated() {
            for dtype in quantisedTypes {
                for transposed in [true, false] {
                    // Without transposition the stored columns are the product's, the whole blocks therefore too.
                    var p = QuantisedProduct(
                        transposed: transposed, M: M, N: transposed ? N : K, K: transposed ? K : N, dtype: dtype,
                        beta: Float(seed % 2), pad: seed % 3)
                    if dtype == HK_FP4, seed % 3 == 1 {  // blocks that straddle rows
                        if transposed { p.K += 7 } else { p.N += 7 }
                    }
                    let o = try #require(Case(pool, p, seed: seed))
                    let result = try #require(o.run(pool), "wrote past its output: \(p)")
                    let few = FewRows(pool, isa, fast: fast, p)
                    let other = M <= few.most
                    var a = o.a
                    if other, case .int8 = few { a = throughInt8(a, columns: p.K, ld: p.lda) }
                    let rounded = fast && isa != HK_OPENBLAS.rawValue && !other
                    let error = p.error(result, a, try #require(o.w.values(pool)), o.c, rounded: rounded)
                    #expect(error < MatmulTests.tolerance, "\(p)")
                }
            }
        }
    }

    @Test(
        "with quantised weights too a row has the same bits alone and among any others", arguments: everyMatmulISA, [false, true])
    func rowsAreIndependent(isa: UInt32, fast: Bool) throws {
        let pool = try Pool(isa, fast: fast)
        for (seed, (M, N, K)) in [(12, 96, 64), (60, 288, 640), (300, 96, 1088), (1100, 32, 64)].enumerated() {
            for dtype in quantisedTypes {
                for transposed in [true, false] {
                    let p = QuantisedProduct(transposed: transposed, M: M, N: N, K: K, dtype: dtype, beta: Float(seed % 2))
                    let o = try #require(Case(pool, p, seed: seed))
                    let whole = try #require(o.run(pool))
                    let few = FewRows(pool, isa, fast: fast, p)
                    for rows in [
                        0..<1, 1..<2, 3..<5, 5..<8, 2..<6, 4..<11, 0..<9, (M - 1)..<M, (M / 2)..<(M / 2 + 1), 3..<(M - 2),
                    ] where (rows.count <= few.most) == (M <= few.most) {
                        let part = try #require(o.run(pool, rows: rows))
                        #expect(
                            firstDifference(part, Array(whole[(rows.lowerBound * p.ldc)..<(rows.upperBound * p.ldc)])) == nil,
                            "rows \(rows) of \(p)")
                    }
                }
            }
        }
    }

    @Test(
        "activations that are zero, subnormal, infinite or no number spoil their own row alone", arguments: everyMatmulISA,
        [false, true])
    func extremeActivations(isa: UInt32, fast: Bool) throws {
        let pool = try Pool(isa, fast: fast)
        for dtype in [HK_Q8, HK_Q4] {
            let p = QuantisedProduct(transposed: true, M: 40, N: 50, K: 576, dtype: dtype)
            let whole = try #require(Case(pool, p, seed: 9))
            let plain = try #require(whole.run(pool))
            var a = whole.a
            for k in 0..<p.K { a[3 * p.lda + k] = 0 }
            a[5 * p.lda + 100] = .nan
            a[7 * p.lda + 575] = -.infinity
            for k in 32..<64 { a[8 * p.lda + k] = 1e-42 }
            var flushed = a
            for k in 32..<64 { flushed[8 * p.lda + k] = 0 }
            let zero = try #require(p.run(pool, flushed, whole.w, whole.c))
            for rows in [0..<40, 3..<9] {
                let result = try #require(p.run(pool, a, whole.w, whole.c, rows: rows))
                for row in rows {
                    let out = result[((row - rows.lowerBound) * p.ldc)..<((row - rows.lowerBound) * p.ldc + p.N)]
                    switch row {
                    case 3: #expect(out.allSatisfy { $0 == 0 })
                    case 5: #expect(out.allSatisfy { $0.isNaN })
                    case 7: #expect(out.allSatisfy { !$0.isFinite })
                    case 8:
                        #expect(out.allSatisfy { $0.isFinite })
                        guard rows.count == p.M else { continue }
                        #expect(firstDifference(Array(out), Array(zero[(8 * p.ldc)..<(8 * p.ldc + p.N)])) == nil)
                    case _ where rows.count < p.M: continue  // fewer rows are multiplied in another form on some
                    default:
                        #expect(firstDifference(Array(out), Array(plain[(row * p.ldc)..<(row * p.ldc + p.N)])) == nil)
                    }
                }
            }
        }
    }

    @Test("with quantised weights too one thread and several give the same bits", arguments: everyMatmulISA, [false, true])
    func threadsDoNotShow(isa: UInt32, fast: Bool) throws {
        let one = try Pool(isa, threads: 1, fast: fast)
        let two = try Pool(isa, threads: 2, fast: fast)
        let five = try Pool(isa, threads: 5, fast: fast)
        for (seed, (M, N, K)) in [(1, 700, 2048), (6, 704, 1024), (300, 192, 320)].enumerated() {
            for dtype in quantisedTypes {
                for transposed in [true, false] where transposed || N % 64 == 0 {
                    let p = QuantisedProduct(transposed: transposed, M: M, N: N, K: K, dtype: dtype)
                    let o = try #require(Case(one, p, seed: 40 + seed))
                    let expected = try #require(o.run(one))
                    #expect(firstDifference(expected, try #require(o.run(two))) == nil)
                    #expect(firstDifference(expected, try #require(o.run(five))) == nil)
                }
            }
        }
    }
}
