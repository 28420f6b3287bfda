import CHadpoKernels
import Glibc
import Testing

@Suite struct ElementwiseTests {
    static let lengths = [1, 3, 16, 17, 33, 129, 200_003]

    @Test("add, axpy and scale compute each element alone", arguments: everyISA)
    func sums(isa: UInt32) throws {
        let pool = try Pool(isa)
        for n in Self.lengths {
            var numbers = Numbers(n)
            let a = numbers.floats(n)
            let b = numbers.floats(n)
            let y = Guarded(unwritten: n)
            let z = Guarded(b)
            #expect(hk_add(pool.raw, n, a, b, y.pointer) == 0)
            #expect(firstDifference(y.values, zip(a, b).map { $0 + $1 }) == nil)
            // The product by 0.5 is exact, so fused and separate rounding agree.
            #expect(hk_axpy(pool.raw, n, 0.5, a, z.pointer) == 0)
            #expect(firstDifference(z.values, zip(a, b).map { 0.5 * $0 + $1 }) == nil)
            #expect(hk_scale(pool.raw, n, -3, y.pointer) == 0)
            #expect(firstDifference(y.values, zip(a, b).map { -3 * ($0 + $1) }) == nil)
            #expect(hk_add(pool.raw, n, a, z.pointer, z.pointer) == 0)  // in place
            #expect(firstDifference(z.values, zip(a, b).map { $0 + (0.5 * $0 + $1) }) == nil)
            #expect(y.intact && z.intact)
        }
    }

    @Test("bias, column sums and reductions are the naive ones", arguments: everyISA)
    func reductions(isa: UInt32) throws {
        let pool = try Pool(isa)
        for (R, C, pad) in [(1, 1, 0), (3, 17, 2), (129, 33, 1), (700, 300, 0)] {
            var numbers = Numbers(R)
            let ld = C + pad
            let x = numbers.floats(R * ld)
            let bias = numbers.floats(C)
            let y = Guarded(x)
            let sum = Guarded(bias)
            #expect(hk_add_bias(pool.raw, R, C, bias, y.pointer, ld) == 0)
            #expect(firstDifference(y.values, (0..<(R * ld)).map { $0 % ld < C ? x[$0] + bias[$0 % ld] : x[$0] }) == nil)
            #expect(hk_column_sum(pool.raw, R, C, x, ld, sum.pointer) == 0)
            let exact = (0..<C).map { c in (0..<R).reduce(Double(bias[c])) { $0 + Double(x[$1 * ld + c]) } }
            #expect(deviation(sum.values, exact) < 1e-5)
            let squares = x.reduce(0.0) { $0 + Double($1) * Double($1) }
            #expect(abs(hk_sum_of_squares(pool.raw, x.count, x) - squares) <= 1e-12 * squares)
            #expect(y.intact && sum.intact)
        }
        #expect(hk_sum_of_squares(pool.raw, 0, []) == 0)
    }

    @Test("an infinity or a NaN is found wherever it is", arguments: everyISA)
    func finiteness(isa: UInt32) throws {
        let pool = try Pool(isa)
        for n in [1, 17, 33, 200_003] {
            var x = [Float](repeating: .greatestFiniteMagnitude, count: n)
            #expect(hk_all_finite(pool.raw, n, x) == 1)
            for (at, bad) in [(0, Float.nan), (n / 2, .infinity), (n - 1, -.infinity)] {
                x[at] = bad
                #expect(hk_all_finite(pool.raw, n, x) == 0)
                x[at] = 1
            }
        }
    }

    @Test("every fp16 and bf16 number becomes its fp32 value and comes back", arguments: everyISA)
    func everyHalf(isa: UInt32) throws {
        let pool = try Pool(isa)
        let halves = (0..<65536).map { UInt16($0) }
        for dtype in [HK_F16, HK_BF16] {
            let y = Guarded(unwritten: halves.count)
            let back = Guarded([UInt16](repeating: 0, count: halves.count))
            #expect(hk_convert_to_f32(pool.raw, halves.count, halves, dtype, y.pointer) == 0)
            let expected = halves.map { dtype == HK_F16 ? Float(Float16(bitPattern: $0)) : Float(bitPattern: UInt32($0) << 16) }
            #expect(zip(y.values, expected).allSatisfy { $0 == $1 || ($0.isNaN && $1.isNaN) })
            #expect(hk_convert_from_f32(pool.raw, halves.count, y.pointer, back.pointer, dtype) == 0)
            #expect(zip(back.values, zip(halves, expected)).allSatisfy { $0 == $1.0 || $1.1.isNaN })
            let nan = zip(back.values, expected).filter { $1.isNaN }.map(\.0)
            #expect(
                nan.allSatisfy { dtype == HK_F16 ? Float16(bitPattern: $0).isNaN : Float(bitPattern: UInt32($0) << 16).isNaN })
            #expect(y.intact && back.intact)
        }
    }

    @Test("fp32 rounds to the nearest fp16 or bf16, ties to even", arguments: everyISA)
    func rounding(isa: UInt32) throws {
        let pool = try Pool(isa)
        var numbers = Numbers(5)
        var x = (0..<50_001).map { _ in Float(bitPattern: UInt32(truncatingIfNeeded: numbers.next())) }.filter { !$0.isNaN }
        for i in 0..<2000 {  // between fp16 neighbours, exactly half way, and subnormal
            let h = Float(Float16(bitPattern: UInt16(i * 15)))
            x += [h + Float(Float16(bitPattern: UInt16(i * 15)).ulp) / 2, h * 1.0002, h * 0x1p-12]
        }
        x += [65504, 65519.996, 65520, 1e30, -65520, 0x1p-24, 0x1p-25, 0x1.8p-25, .infinity, -0.0]
        let halves = Guarded([UInt16](repeating: 0, count: x.count))
        #expect(hk_convert_from_f32(pool.raw, x.count, x, halves.pointer, HK_F16) == 0)
        #expect(firstDifference(halves.values, x.map { Float16($0).bitPattern }) == nil)
        #expect(hk_convert_from_f32(pool.raw, x.count, x, halves.pointer, HK_BF16) == 0)
        #expect(firstDifference(halves.values, x.map { UInt16(roundedToBF16($0).bitPattern >> 16) }) == nil)
        #expect(halves.intact)
    }

    @Test("rows are gathered from any type and added back in order", arguments: everyISA)
    func rows(isa: UInt32) throws {
        let pool = try Pool(isa)
        for (R, C, pad) in [(1, 1, 0), (7, 33, 2), (600, 260, 1)] {
            var numbers = Numbers(R + C)
            let ids = (0..<R).map { _ in Int32(numbers.below(11)) }
            for dtype in [HK_F32, HK_F16, HK_BF16] {
                let (values, bytes) = stored(numbers.floats(11 * C), dtype)
                let y = Guarded(unwritten: R * (C + pad))
                #expect(hk_gather_rows(pool.raw, R, C, bytes.pointer, dtype, ids, y.pointer, C + pad) == 0)
                let result = y.values
                #expect(
                    (0..<R).allSatisfy { r in (0..<C).allSatisfy { result[r * (C + pad) + $0] == values[Int(ids[r]) * C + $0] } })
                #expect((0..<R).allSatisfy { r in (0..<pad).allSatisfy { result[r * (C + pad) + C + $0].isNaN } } && y.intact)
            }
            let x = numbers.floats(R * C)
            let start = numbers.floats(11 * (C + pad))
            let table = Guarded(start)
            #expect(hk_scatter_add_rows(pool.raw, R, C, x, C, ids, table.pointer, C + pad) == 0)
            var expected = start
            for r in 0..<R { for c in 0..<C { expected[Int(ids[r]) * (C + pad) + c] += x[r * C + c] } }
            #expect(firstDifference(table.values, expected) == nil && table.intact)
        }
    }
}
