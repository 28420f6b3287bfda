import CHadpoKernels
import Testing

let quantisedTypes: [hk_dtype] = [HK_Q8, HK_Q4, HK_FP4]

/// bitsandbytes' FP4, written down from its table and independently of the kernels.
enum FP4 {
    /// (magnitude of t above which it applies, code, level), largest first.
    static let table: [(threshold: Float, code: Int, level: Float)] = [
        (0.8333333, 3, 1), (0.583333, 2, 0.66666667), (0.4166667, 5, 0.5), (0.29166667, 4, 0.33333333), (0.20833333, 7, 0.25),
        (0.0859375, 6, 0.16666667), (0.00260417, 1, 0.005208333333),
    ]
    static func level(_ t: Float) -> Float { (t < 0 ? -1 : 1) * (table.first { abs(t) > $0.threshold }?.level ?? 0) }
    static func code(_ t: Float) -> Int { (table.first { abs(t) > $0.threshold }?.code ?? 0) | (t < 0 ? 8 : 0) }
    /// The row-major numbers after quantising and dequantising, in blocks of 64.
    static func roundTrip(_ x: [Float]) -> [Float] {
        var y: [Float] = []
        for start in stride(from: 0, to: x.count, by: 64) {
            let block = x[start..<min(start + 64, x.count)].map { Float(Float16($0)) }
            let absmax = block.map(abs).max() ?? 0
            y += block.map { Float(Float16(level($0 * (1 / absmax)) * absmax)) }
        }
        return y
    }
}

/// A matrix quantised by the library, with guards around its bytes.
struct Quantised {
    let rows: Int, columns: Int
    let dtype: hk_dtype
    let bytes: Guarded<UInt8>

    static func byteCount(_ rows: Int, _ columns: Int, _ dtype: hk_dtype) -> Int? {
        var count = 0
        return hk_quantised_bytes(rows, columns, dtype, &count) != 0 ? count : nil
    }
    init?(_ pool: Pool, _ x: [Float], rows: Int, columns: Int, dtype: hk_dtype, from source: hk_dtype = HK_F32) {
        guard let count = Quantised.byteCount(rows, columns, dtype) else { return nil }
        (self.rows, self.columns, self.dtype) = (rows, columns, dtype)
        bytes = Guarded([UInt8](repeating: 0xCC, count: count))
        let input = stored(x, source).bytes
        guard hk_quantise(pool.raw, rows, columns, input.pointer, source, bytes.pointer, dtype) == 0, bytes.intact, input.intact
        else { return nil }
    }
    func values(_ pool: Pool) -> [Float]? {
        let y = Guarded(unwritten: rows * columns)
        guard hk_dequantise(pool.raw, rows, columns, bytes.pointer, dtype, y.pointer) == 0, y.intact else { return nil }
        return y.values
    }
}

@Suite struct QuantisedTests {
    @Test("FP4 takes the level of bitsandbytes' table on both sides of every threshold, for both signs", arguments: everyISA)
    func fp4Thresholds(isa: UInt32) throws {
        let pool = try Pool(isa)
        // absmax 1 in every block, so that t is the number itself: fp16 neighbours around each threshold, the number that
        // decides the scale in front.
        var x: [Float] = []
        for entry in FP4.table {
            var below = Float16(entry.threshold)
            while Float(below) > entry.threshold { below = below.nextDown }
            for value in [below.nextDown, below, below.nextUp, below.nextUp.nextUp] { x += [Float(value), -Float(value)] }
        }
        x += [0, -0.0]
        while x.count < 63 { x.append(Float(Float16(x.count) / 64)) }
        x = [1] + x
        for scale in [Float(1), 0.25, 8] {  // powers of two leave t as it is
            let scaled = x.map { $0 * scale }
            let q = try #require(Quantised(pool, scaled, rows: 1, columns: 64, dtype: HK_FP4, from: HK_F16))
            let expected = x.map { Float(Float16(FP4.level($0) * scale)) }
            #expect(firstDifference(try #require(q.values(pool)).map { $0 + 0 }, expected.map { $0 + 0 }) == nil)
            // The code of column k of the first row: four bits of the word of its eight columns, the words of sixteen rows together.
            let bytes = q.bytes.values
            let codes = (0..<64).map { k in Int(bytes[64 + 64 * (k / 8) + k % 8 / 2] >> (k % 2 == 0 ? 0 : 4)) & 15 }
            #expect(codes == x.map { FP4.code($0) })
            #expect(bytes[0..<4].elementsEqual([UInt8](withUnsafeBytes(of: scale) { Array($0) })))
        }
    }

    @Test(
        "FP4 is bitsandbytes' arithmetic for any shape: blocks of the flat matrix, fp32 absmax, fp16 result", arguments: everyISA)
    func fp4RoundTrip(isa: UInt32) throws {
        let pool = try Pool(isa)
        for (rows, columns) in [(1, 64), (17, 128), (40, 192), (3, 352), (5, 30), (1, 1), (7, 65), (33, 48), (200, 352)] {
            var numbers = Numbers(rows * 1000 + columns)
            // Blocks of different size; one of zeros; one that is subnormal in fp16.
            let x = (0..<(rows * columns)).map { i in
                numbers.unit() * [1, 0.02, 300, 0, 1e-6, 0.37][i / 64 % 6]
            }
            for source in [HK_F32, HK_F16, HK_BF16] {
                let q = try #require(Quantised(pool, x, rows: rows, columns: columns, dtype: HK_FP4, from: source))
                let expected = FP4.roundTrip(stored(x, source).values)
                // + 0: a zero's sign is of no consequence.
                #expect(
                    firstDifference(try #require(q.values(pool)).map { $0 + 0 }, expected.map { $0 + 0 }) == nil,
                    "\(rows) x \(columns) from \(source)")
            }
        }
    }

    @Test("Q8 is within half a step, Q4 within its bound, and both keep a block of zeros", arguments: everyISA)
    func integerRoundTrip(isa: UInt32) throws {
        let pool = try Pool(isa)
        for (rows, columns) in [(1, 32), (17, 96), (32, 64), (50, 416)] {
            var numbers = Numbers(rows + columns)
            let x = (0..<(rows * columns)).map { i in numbers.unit() * [1, 0.02, 300, 0][i / 32 % 4] }
            for dtype in [HK_Q8, HK_Q4] {
                for source in [HK_F32, HK_F16, HK_BF16] {
                    let exact = stored(x, source).values
                    let q = try #require(Quantised(pool, x, rows: rows, columns: columns, dtype: dtype, from: source))
                    let y = try #require(q.values(pool))
                    var squares = 0.0
                    var error = 0.0
                    for start in stride(from: 0, to: x.count, by: 32) {
                        let block = exact[start..<(start + 32)]
                        let largest = block.map(abs).max() ?? 0
                        // Q8: half a step of largest / 127, the step being rounded to fp16 (2^-11); what that cuts off is less.
                        // Q4: at most 8 / 7 of the range's end is cut off, or half a step of largest / 7.
                        let bound = dtype == HK_Q8 ? largest * (0.5 / 127) * (1 + 0x1p-10) : largest / 7
                        for i in start..<(start + 32) {
                            #expect(abs(y[i] - exact[i]) <= bound)
                            squares += Double(exact[i] * exact[i])
                            error += Double((y[i] - exact[i]) * (y[i] - exact[i]))
                        }
                    }
                    // Uniform numbers: a step of largest / 127 gives 0.0039 of the rms, one of largest / 8 gives 0.063.
                    #expect((error / squares).squareRoot() < (dtype == HK_Q8 ? 0.005 : 0.07), "\(dtype)")
                }
            }
        }
    }

    @Test(
        "every instruction set and number of threads writes the same bytes", arguments: quantisedTypes.map(\.rawValue), everyISA)
    func sameBytes(type: UInt32, isa: UInt32) throws {
        let dtype = hk_dtype(rawValue: type)
        var numbers = Numbers(11)
        for (rows, columns) in [(70, 192), (300, 256), (19, 352)] {
            let x = numbers.floats(rows * columns)
            let reference = try Pool(HK_PORTABLE.rawValue, threads: 1)
            let expected = try #require(Quantised(reference, x, rows: rows, columns: columns, dtype: dtype))
            let pool = try Pool(isa, threads: 3)
            let q = try #require(Quantised(pool, x, rows: rows, columns: columns, dtype: dtype))
            #expect(q.bytes.values == expected.bytes.values)
            #expect(firstDifference(try #require(q.values(pool)), try #require(expected.values(reference))) == nil)
        }
    }

    @Test("a number that is not finite spoils its own block and no other")
    func notFinite() throws {
        let pool = try Pool(HK_AUTO.rawValue)
        for dtype in quantisedTypes {
            for bad in [Float.nan, .infinity, -.infinity] {
                var numbers = Numbers(3)
                var x = numbers.floats(2 * 192)
                x[70] = bad
                let q = try #require(Quantised(pool, x, rows: 2, columns: 192, dtype: dtype))
                let y = try #require(q.values(pool))
                #expect(!y[70].isFinite)
                #expect((0..<64).allSatisfy { y[$0].isFinite } && (128..<384).allSatisfy { y[$0].isFinite })
            }
        }
    }

    @Test("sizes: rows in sixteens, whole blocks, and no overflow")
    func sizes() {
        #expect(Quantised.byteCount(16, 64, HK_Q8) == 2 * 544)
        #expect(Quantised.byteCount(17, 64, HK_Q4) == 4 * 288)
        #expect(Quantised.byteCount(1, 128, HK_FP4) == 2 * 576)
        #expect(Quantised.byteCount(3, 352, HK_FP4) == 3 * 352 * 2)
        #expect(Quantised.byteCount(0, 64, HK_Q8) == 0 && Quantised.byteCount(16, 0, HK_Q8) == 0)
        #expect(Quantised.byteCount(16, 33, HK_Q8) == nil && Quantised.byteCount(16, 48, HK_Q4) == nil)
        for dtype in quantisedTypes {
            #expect(Quantised.byteCount(.max, 64, dtype) == nil && Quantised.byteCount(1 << 40, 1 << 40, dtype) == nil)
        }
    }
}
