import HadpoBase
import HadpoNN
import HadpoTensor
import Testing

@Suite struct PositionInterpolationTests {
    private func interpolate(_ values: [Float], _ shape: [Int], side: Int, _ device: Device) throws -> Tensor {
        try interpolatedPositions(try device.tensor(values, shape), side: side, on: device)
    }

    /// The same fp32 sums of 16 products with the same weights; only the order of rounding differs with how torch vectorises, by a
    /// few units of 6e-8 (2.9e-7 seen). Weights without fused rounding are off by 1.8e-6, the kernel of a = -0.5 by 6e-2.
    @Test("Larger and smaller grids are torch's bicubic ones; the class row stays")
    func torch() throws {
        let path = File.join(File.folder(of: File.folder(of: #filePath)), "Fixtures/nn/positions.json")
        let cases = try #require(try File.readJSON(path).arrayValue)
        #expect(cases.count == 9)
        let device = try Device(threads: 1)
        for item in cases {
            func number(_ key: String) throws -> Int { try #require(item[key]?.intValue) }
            func list(_ key: String) throws -> [Float] {
                try #require(item[key]?.arrayValue).map { Float(try #require($0.doubleValue)) }
            }
            let (old, new, width) = (try number("old"), try number("new"), try number("width"))
            let before = try list("before")
            let after = try list("after")
            for shape in [[1 + old * old, width], [1, 1 + old * old, width]] {
                let found = try interpolate(before, shape, side: new, device)
                #expect(found.shape == [1 + new * new, width] && found.dtype == .f32)
                let values = try found.floats()
                #expect(Array(values.prefix(width)) == Array(before.prefix(width)))
                let largest = after.map(abs).max() ?? 0
                let difference = zip(values, after).map { abs($0 - $1) }.max() ?? .infinity
                #expect(difference <= 1e-6 * largest, "\(old) to \(new): \(difference)")
                if old == new { #expect(values == before) }
            }
        }
    }

    @Test("Half precision is widened first")
    func half() throws {
        let device = try Device(threads: 1)
        let values = (0..<10).map { Float($0) / 4 }  // exact in fp16
        let wide = try device.tensor(values, [5, 2])
        let half = try device.allocate([5, 2], .f16)
        try device.convert(wide, into: half)
        let one = try interpolatedPositions(half, side: 3, on: device).floats()
        #expect(one == (try interpolatedPositions(wide, side: 3, on: device).floats()))
    }

    @Test("What is no square grid behind a class row is refused", arguments: [[6, 2], [1, 2], [0, 2], [4, 2], [5], [5, 0]])
    func notSquare(_ shape: [Int]) throws {
        let device = try Device(threads: 1)
        let error = try failure {
            _ = try self.interpolate([Float](repeating: 0, count: shape.reduce(1, *)), shape, side: 3, device)
        }
        #expect(error.status == .weights && error.found == "\(shape)")
    }

    @Test("A side that cannot be is refused", arguments: [0, -3, Int.max, 1 << 31, 1 << 28])
    func side(_ side: Int) throws {
        let device = try Device(threads: 1, arena: Arena(limit: 1 << 20))
        let status = try failure { _ = try self.interpolate([Float](repeating: 0, count: 10), [5, 2], side: side, device) }.status
        #expect(status == (side > 0 && side < 1 << 32 ? .noMemory : .weights))
    }

    private func failure(_ body: () throws -> Void) throws -> HadpoError {
        do { try body() } catch let error as HadpoError { return error }
        throw HadpoError(.internal, "nothing was thrown")
    }
}
