import HadpoBase
import HadpoTensor
import Testing

@Suite struct QuantizeTests {
    static let types: [DType] = [.q8, .q4, .fp4]

    @Test("byte counts are those of whole groups, and what cannot be stored has none")
    func byteCounts() {
        // Sixteen rows share a group: 34, 18 and 36 bytes for a row's block.
        #expect(DType.q8.byteCount(of: [32, 64]) == 32 * 2 * 34)
        #expect(DType.q4.byteCount(of: [32, 64]) == 32 * 2 * 18)
        #expect(DType.fp4.byteCount(of: [32, 128]) == 32 * 2 * 36)
        #expect(DType.q8.byteCount(of: [4, 33]) == nil && DType.q4.byteCount(of: [4, 40]) == nil)
        for type in Self.types {
            for shape in [[Int.max, 64], [1 << 40, 1 << 40], [-1, 64], [4, -64], [1 << 60, 64, 64]] {
                #expect(type.byteCount(of: shape) == nil)
            }
        }
        #expect(DType.f16.byteCount(of: [3, 5]) == 30 && DType.f32.byteCount(of: [Int.max, 2]) == nil)
        #expect(!DType.stored.contains { $0.isQuantized })
    }

    @Test("a tensor is quantised from any float type, dequantised, cut at sixteen rows, and multiplied", arguments: types)
    func roundTrip(_ type: DType) throws {
        let device = try Device(threads: 2)
        let x = try device.tensor((0..<(48 * 64)).map { Float(($0 * 37) % 101) / 101 - 0.5 }, [48, 64])
        let y = try device.allocate([48, 64], type)
        #expect(y.byteCount == type.byteCount(of: [48, 64]))
        let half = try device.allocate([48, 64], .f16)
        try device.convert(x, into: half)
        for source in [x, half] {
            try device.quantize(source, into: y)
            let back = try device.float32(y)
            // Half a step of FP4, the coarsest: (1 - 2/3) / 2 of the largest, 0.5.
            #expect(try zip(back.floats(), x.floats()).allSatisfy { abs($0 - $1) < 0.0834 })
            let tail = try y.rows(16..<48)
            #expect(try device.float32(tail).floats() == Array(back.floats()[(16 * 64)...]))
            let a = try device.tensor([Float](repeating: 0.5, count: 64), [1, 64])
            let product = try device.allocate([1, 32])
            try device.matmul(a, aTransposed: false, tail, bTransposed: true, into: product, accumulate: false)
            let plain = try device.allocate([1, 32])
            try device.matmul(a, aTransposed: false, back.rows(16..<48), bTransposed: true, into: plain, accumulate: false)
            #expect(try product.floats() == plain.floats())
        }
    }

    @Test("what cannot be quantised is an error, not a trap")
    func refused() throws {
        let device = try Device(threads: 1)
        let x = try device.zeros([16, 64])
        for shape in [[16, 33], [16, 48]] { #expect(throws: HadpoError.self) { _ = try device.allocate(shape, .q8) } }
        #expect(throws: HadpoError.self) { try device.quantize(x, into: try device.allocate([16, 32], .q8)) }
        #expect(throws: HadpoError.self) { try device.quantize(x, into: try device.allocate([16, 64], .f16)) }
        let q = try device.allocate([16, 64], .q4)
        try device.quantize(x, into: q)
        #expect(throws: HadpoError.self) { try device.quantize(q, into: try device.allocate([16, 64], .q8)) }
        #expect(throws: HadpoError.self) { try device.gatherRows(q, ids: [0], into: try device.allocate([1, 64])) }
    }

    @Test("FP4 is what bitsandbytes itself makes of a weight: absmax and codes, in whole blocks and straddling ones")
    func bitsandbytes() throws {
        let folder = File.join(File.folder(of: File.folder(of: #filePath)), "Fixtures")
        let fixture = try File.readJSON(File.join(folder, "fp4.json"))
        func integers(_ key: String) throws -> [Int] { try #require(fixture[key]?.arrayValue).compactMap(\.intValue) }
        let weight = try integers("weight")
        let absmax = try integers("absmax")
        let packed = try integers("packed")
        #expect(weight.count == 576 && absmax.count == 9 && packed.count == 288)
        // What the codes stand for, as its CUDA kernel has it.
        let levels: [Float] = [0, 0.005208333333, 0.66666667, 1, 0.33333333, 0.5, 0.16666667, 0.25]
        func code(_ i: Int) -> Int { i % 2 == 0 ? packed[i / 2] >> 4 : packed[i / 2] & 15 }
        let expected = weight.indices.map { i in
            let size = Float(Float16(levels[code(i) & 7] * Float(bitPattern: UInt32(absmax[i / 64]))))
            return code(i) & 8 == 0 ? size : 0 - size
        }
        let device = try Device(threads: 1)
        for shape in [[6, 96], [9, 64]] {  // the flat numbers are the same, and so are the blocks
            let x = try device.allocate(shape, .f16)
            for (i, bits) in weight.enumerated() { x.pointer.storeBytes(of: UInt16(bits), toByteOffset: 2 * i, as: UInt16.self) }
            let y = try device.allocate(shape, .fp4)
            try device.quantize(x, into: y)
            #expect(try device.float32(y).floats() == expected)
            guard shape == [9, 64] else { continue }
            for block in 0..<9 {
                #expect(y.pointer.load(fromByteOffset: 4 * block, as: UInt32.self) == UInt32(absmax[block]))
                for k in 0..<64 {
                    let word = y.pointer.load(fromByteOffset: 64 + 64 * (k / 8) + 4 * block, as: UInt32.self)
                    let ours = Int(word >> (4 * (k % 8))) & 15
                    let theirs = code(64 * block + k)
                    #expect(ours == theirs || (ours & 7 == 0 && theirs & 7 == 0))  // a zero has either sign there
                }
            }
        }
    }
}
