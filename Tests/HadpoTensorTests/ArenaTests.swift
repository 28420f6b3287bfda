import HadpoBase
import HadpoTensor
import Testing

@Suite struct ArenaTests {
    @Test("a block given back is handed out again, and nothing is counted twice")
    func reuse() throws {
        let arena = Arena()
        var first: Storage? = try arena.allocate(10_000)
        let base = first?.base
        let size = arena.live
        #expect(size >= 10_000)
        first = nil
        #expect(arena.live == 0)
        let second = try arena.allocate(10_000)
        #expect(second.base == base)
        #expect(arena.peakBytes == size)
    }

    @Test("the limit is an error with what is in use, and kept blocks are given up first")
    func limit() throws {
        let arena = Arena(limit: 1 << 20)
        var held: Storage? = try arena.allocate(700_000)
        #expect(throws: HadpoError.self) { _ = try arena.allocate(700_000) }
        held = nil
        _ = held
        // The kept block has another size: it must make room.
        _ = try arena.allocate(900_000)
    }

    @Test("absurd sizes are errors, not traps", arguments: [-1, Int.max, Int.max - 63, Int.max / 2])
    func absurd(_ size: Int) {
        do throws(HadpoError) {
            _ = try Arena(limit: 1 << 30).allocate(size)
            Issue.record("\(size) bytes were handed out")
        } catch {
            #expect(error.status == .noMemory)
        }
    }

    @Test("a shape whose product overflows is an error")
    func overflow() throws {
        let device = try Device(threads: 1)
        for shape in [[Int.max, 2], [1 << 40, 1 << 40], [-1, 4]] {
            do throws(HadpoError) {
                _ = try device.allocate(shape)
                Issue.record("\(shape) was handed out")
            } catch {
                #expect(error.status == .noMemory)
            }
        }
    }
}
