import CHadpoKernels
import Testing

/// C[M,N] = beta C + A' B' with padded rows.
struct Product {
    var aTransposed = false
    var bTransposed = false
    var M: Int, N: Int, K: Int
    var dtype = HK_F32
    var beta: Float = 0
    var pad = 0
    var lda: Int { (aTransposed ? M : K) + pad }
    var ldb: Int { (bTransposed ? K : N) + pad }
    var ldc: Int { N + pad }

    struct Operands {
        let a: [Float], b: [Float], stored: Guarded<UInt16>, c: [Float]
    }
    func operands(seed: Int) -> Operands {
        var numbers = Numbers(seed)
        let a = numbers.floats((aTransposed ? K : M) * lda)
        let (b, bytes) = stored(numbers.floats((bTransposed ? N : K) * ldb), dtype)
        return Operands(a: a, b: b, stored: bytes, c: numbers.floats(M * ldc))
    }
    /// Runs on rows `rows` of A alone.
    func run(_ pool: Pool, _ o: Operands, rows: Range<Int>? = nil) -> [Float]? {
        let rows = rows ?? 0..<M
        let c = Guarded(Array(o.c[(rows.lowerBound * ldc)..<(rows.upperBound * ldc)]))
        let status = o.a.withUnsafeBufferPointer { a in
            hk_matmul(
                pool.raw, aTransposed ? 1 : 0, bTransposed ? 1 : 0, rows.count, N, K,
                a.baseAddress.unsafelyUnwrapped + (aTransposed ? rows.lowerBound : rows.lowerBound * lda), lda, o.stored.pointer,
                dtype,
                ldb, beta, c.pointer, ldc)
        }
        guard status == 0, c.intact, o.stored.intact else { return nil }
        let result = c.values
        for i in 0..<rows.count {
            // The padding is untouched.
            for j in N..<ldc where result[i * ldc + j] != o.c[(rows.lowerBound + i) * ldc + j] { return nil }
        }
        return result
    }
    /// The largest error over the products' own magnitude: |c - exact| / (|beta c| + sum |a b|).
    func error(_ result: [Float], _ o: Operands, rounded: Bool) -> Double {
        let a = (rounded ? o.a.map(roundedToBF16) : o.a).map(Double.init)
        let b = (rounded ? o.b.map(roundedToBF16) : o.b).map(Double.init)
        var worst = 0.0
        for i in 0..<M {
            for j in 0..<N {
                var sum = Double(beta) * Double(o.c[i * ldc + j])
                var magnitude = abs(sum) + 1e-30
                for k in 0..<K {
                    let product =
                        (aTransposed ? a[k * lda + i] : a[i * lda + k]) * (bTransposed ? b[j * ldb + k] : b[k * ldb + j])
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

@Suite struct MatmulTests {
    /// A chain of K fp32 additions of numbers of random sign: about sqrt(K) half-ulps of its magnitude, here up to K = 1100. A missing
    /// or doubled term is at least 1/K = 9e-4.
    static let tolerance = 2e-6

    @Test(
        "a product is the naive one in Double, for every transposition, type, beta and odd size", arguments: everyMatmulISA,
        [false, true])
    func value(isa: UInt32, fast: Bool) throws {
        let pool = try Pool(isa, fast: fast)
        let rounded = fast
        let sizes = [
            (1, 1, 1), (1, 3, 2), (3, 17, 33), (17, 1, 129), (33, 129, 17), (6, 64, 256), (7, 65, 257), (129, 48, 35),
            (20, 130, 600), (70, 300, 299), (9, 70, 1100),
            // Few rows past whole tiles of K: AMX streams B, and packs the columns behind the last whole panel.
            (1, 72, 608), (32, 100, 320),
        ]
        for (seed, (M, N, K)) in sizes.enumerated() {
            for variant in 0..<24 {
                let p = Product(
                    aTransposed: variant & 1 != 0, bTransposed: variant & 2 != 0, M: M, N: N, K: K,
                    dtype: [HK_F32, HK_F16, HK_BF16][variant >> 3],
                    beta: variant & 4 != 0 ? 1 : 0, pad: (variant + seed) % 3)
                let o = p.operands(seed: seed * 24 + variant)
                let result = try #require(p.run(pool, o), "wrote past its output: \(p)")
                let error = p.error(result, o, rounded: rounded && !(isa == HK_OPENBLAS.rawValue))
                #expect(error < Self.tolerance, "\(p)")
            }
        }
    }

    @Test("OpenBLAS forced by name gives the fp32 product of every stored type")
    func openBLAS() throws {
        let pool = try Pool(HK_OPENBLAS.rawValue)
        #expect(String(cString: hk_pool_isa_name(pool.raw)) == "openblas")
        for variant in 0..<12 {
            let p = Product(
                aTransposed: variant & 1 != 0, bTransposed: variant & 2 != 0, M: 17, N: 129, K: 65,
                dtype: [HK_F32, HK_F16, HK_BF16][variant >> 2],
                beta: 1, pad: 2)
            let o = p.operands(seed: variant)
            let result = try #require(p.run(pool, o))
            #expect(p.error(result, o, rounded: false) < Self.tolerance)
        }
    }

    @Test("a row has the same bits alone and among any number of others", arguments: everyMatmulISA, [false, true])
    func rowsAreIndependent(isa: UInt32, fast: Bool) throws {
        let pool = try Pool(isa, fast: fast)
        // In place, packed, split into runs of rows, over several blocks of K, and over more rows than one block holds.
        let shapes = [(10, 64, 40), (60, 300, 600), (300, 96, 1300), (130, 512, 300), (1100, 17, 24), (50, 104, 608)]
        for (seed, (M, N, K)) in shapes.enumerated() {
            for variant in 0..<6 {
                let p = Product(
                    bTransposed: variant & 1 != 0, M: M, N: N, K: K, dtype: [HK_F32, HK_F16, HK_BF16][variant >> 1],
                    beta: seed & 1 == 0 ? 1 : 0)
                let o = p.operands(seed: 100 + seed * 6 + variant)
                let whole = try #require(p.run(pool, o))
                for rows in [0..<1, 1..<2, 5..<9, 2..<7, 1..<9, (M - 1)..<M, (M / 2)..<(M / 2 + 1), 3..<(M - 2)] {
                    let part = try #require(p.run(pool, o, rows: rows))
                    #expect(
                        firstDifference(part, Array(whole[(rows.lowerBound * p.ldc)..<(rows.upperBound * p.ldc)])) == nil,
                        "rows \(rows) of \(p)")
                }
            }
        }
    }

    @Test("one thread and several give the same bits", arguments: everyMatmulISA, [false, true])
    func threadsDoNotShow(isa: UInt32, fast: Bool) throws {
        let one = try Pool(isa, threads: 1, fast: fast)
        let two = try Pool(isa, threads: 2, fast: fast)
        let five = try Pool(isa, threads: 5, fast: fast)
        for (seed, (M, N, K, aT, bT)) in [
            (300, 200, 150, false, true), (1, 700, 2000, false, true), (128, 352, 1000, true, false),
            (1050, 70, 64, false, false),
        ].enumerated() {
            let p = Product(aTransposed: aT, bTransposed: bT, M: M, N: N, K: K, dtype: seed == 1 ? HK_F16 : HK_F32, beta: 1)
            let o = p.operands(seed: 200 + seed)
            let expected = try #require(p.run(one, o))
            #expect(firstDifference(expected, try #require(p.run(two, o))) == nil)
            #expect(firstDifference(expected, try #require(p.run(five, o))) == nil)
        }
    }

    @Test("an empty sum is beta C")
    func emptySum() throws {
        let pool = try Pool(HK_AUTO.rawValue)
        let c = Guarded<Float>([1, 2, 3, 4])
        #expect(hk_matmul(pool.raw, 0, 0, 2, 2, 0, c.pointer, 0, c.pointer, HK_F32, 2, 1, c.pointer, 2) == 0)
        #expect(firstDifference(c.values, [1, 2, 3, 4]) == nil)
        #expect(hk_matmul(pool.raw, 0, 0, 2, 2, 0, c.pointer, 0, c.pointer, HK_F32, 2, 0, c.pointer, 2) == 0)
        #expect(firstDifference(c.values, [0, 0, 0, 0]) == nil && c.intact)
    }
}
