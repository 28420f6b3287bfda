import CHadpoKernels
import Testing

@Suite struct PoolTests {
    @Test("every chunk runs exactly once, on a worker the pool has", arguments: [1, 2, 5])
    func everyChunkRunsOnce(threads: Int32) throws {
        let pool = try #require(hk_pool_create(threads, HK_AUTO, HK_EXACT, nil))
        defer { hk_pool_free(pool) }
        #expect(hk_pool_threads(pool) == threads)
        for chunks in [0, 1, 2, 7, 1000] {
            var counts = [Int32](repeating: 0, count: chunks + 1)
            counts.withUnsafeMutableBufferPointer { buffer in
                hk_parallel(
                    pool, chunks,
                    { context, chunk, worker in
                        guard let counts = context?.assumingMemoryBound(to: Int32.self) else { return }
                        counts[chunk] += worker >= 0 && worker < 5 ? 1 : 1000
                    }, buffer.baseAddress)
            }
            #expect(counts.dropLast().allSatisfy { $0 == 1 })
            #expect(counts.last == 0)
        }
    }

    @Test("a pool that cannot be had says why")
    func impossiblePoolsSayWhy() {
        var why: UnsafePointer<CChar>?
        #expect(hk_pool_create(-1, HK_AUTO, HK_EXACT, &why) == nil)
        #expect(why != nil)
        why = nil
        #expect(hk_pool_create(1, hk_isa(rawValue: 77), HK_EXACT, &why) == nil)
        #expect(why != nil)
    }
}
