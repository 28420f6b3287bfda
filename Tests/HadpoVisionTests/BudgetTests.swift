import HadpoBase
import HadpoVision
import Testing

/// Counts what is asked of it and refuses what would pass its limit.
private final class CountingBudget: MemoryBudget, @unchecked Sendable {
    let limit: Int
    var live = 0
    var peak = 0
    init(_ limit: Int) { self.limit = limit }

    func reserve(_ byteCount: Int, for what: String) throws(HadpoError) -> MemoryReservation {
        guard live + byteCount <= limit else { throw HadpoError(.noMemory, "too much", found: "\(byteCount)") }
        live += byteCount
        peak = max(peak, live)
        return MemoryReservation { self.live -= byteCount }
    }
}

@Suite struct BudgetTests {
    private func decoded(_ file: [UInt8], _ budget: CountingBudget) throws -> RGBImage {
        try file.withUnsafeBytes { try RGBImage.decode($0, budget: budget) }
    }

    @Test("a picture is asked for before it is decoded, and given back with its last copy")
    func decoding() throws {
        let file = try Fixture.pattern(40, 30).png().elements
        let budget = CountingBudget(40 * 30 * 3)
        var image: RGBImage? = try decoded(file, budget)
        #expect(budget.live == 40 * 30 * 3 && image?.width == 40)
        image = nil
        #expect(budget.live == 0)
        let small = CountingBudget(40 * 30 * 3 - 1)
        let refused = #expect(throws: HadpoError.self) { _ = try decoded(file, small) }
        #expect(refused?.status == .noMemory && refused?.found == "3600" && small.live == 0)
    }

    @Test("what is made of a picture counts too: the padded, the resized, its values")
    func derived() throws {
        let file = try Fixture.pattern(40, 30).png().elements
        let budget = CountingBudget(1 << 20)
        let pipeline = try ImagePipeline.clip(size: 28, pad: true)
        let values = try pipeline.pixelValues(decoded(file, budget))
        #expect(budget.live == 3 * 28 * 28 * 4 && values.count == 3 * 28 * 28)
        // While it is resized: the picture, its square, the square resized along one side and along both.
        #expect(budget.peak >= 3 * (40 * 30 + 40 * 40 + 28 * 40 + 28 * 28))
        #expect(throws: HadpoError.self) { _ = try pipeline.pixelValues(decoded(file, CountingBudget(budget.peak - 1))) }
    }

    @Test("a host's picture counts while it is looked at")
    func counted() throws {
        let budget = CountingBudget(3 * 8 * 8)
        let image = try Fixture.pattern(8, 8)
        do {
            let seen = try image.counted(against: budget)
            #expect(budget.live == 3 * 8 * 8 && seen == image)
        }
        #expect(budget.live == 0)
        #expect(throws: HadpoError.self) { _ = try Fixture.pattern(9, 8).counted(against: budget) }
    }
}
