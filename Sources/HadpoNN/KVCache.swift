import HadpoBase
import HadpoTensor

/// Keys (rotated) and values of every layer, [capacity, kvHeads * headWidth] each, fp32, bf16, fp16 or int8 (`i8`: rows of bytes,
/// the numbers and behind them an fp16 scale for every 32). Which rows belong to which sequence is the caller's business: a shared prefix
/// at the start, branches behind it.
package final class KVCache {
    package private(set) var capacity: Int
    private(set) var layers: [(k: Tensor, v: Tensor)]
    private let width: Int
    private let dtype: DType
    private let device: Device

    package init(device: Device, layers: Int, width: Int, capacity: Int, dtype: DType = .f32) throws(HadpoError) {
        let columns = KVCache.columns(width, dtype)
        var made: [(k: Tensor, v: Tensor)] = []
        for _ in 0..<layers {
            made.append((try device.allocate([capacity, columns], dtype), try device.allocate([capacity, columns], dtype)))
        }
        self.layers = made
        self.capacity = capacity
        self.width = columns
        self.dtype = dtype
        self.device = device
    }

    /// Writes runs of rows of `k` and `v`, taken one after the other, to `destinations`.
    func store(layer: Int, k: Tensor, v: Tensor, at destinations: [Range<Int>]) throws(HadpoError) {
        var row = 0
        for destination in destinations {
            for (rows, cached) in [(k, layers[layer].k), (v, layers[layer].v)] {
                let new = try rows.rows(row..<row + destination.count)
                if dtype == .i8 {
                    try device.cacheRows(new, into: cached.rows(destination))
                } else {
                    try device.convert(new, into: cached.rows(destination))
                }
            }
            row += destination.count
        }
    }

    /// Elements of a row of `width` numbers.
    static func columns(_ width: Int, _ dtype: DType) -> Int { dtype == .i8 ? width / 16 * 17 : width }
    static func rowBytes(_ width: Int, _ dtype: DType) -> Int { columns(width, dtype) * dtype.byteCount }

    /// Copies rows within the cache, for beams that continue another beam. Ranges must not overlap.
    package func copyRows(from source: Range<Int>, to destination: Range<Int>) throws(HadpoError) {
        for layer in layers {
            try device.copy(layer.k.rows(source), into: layer.k.rows(destination))
            try device.copy(layer.v.rows(source), into: layer.v.rows(destination))
        }
    }

    /// Another capacity. Of the present rows those in `moves` are kept, at their new places. Layer after layer, so that the old
    /// and the new cache never exist side by side. After an error the cache is of no use.
    package func resize(to newCapacity: Int, keeping moves: [(from: Range<Int>, to: Int)]) throws(HadpoError) {
        for i in layers.indices {
            let k = try device.allocate([newCapacity, width], dtype)
            let v = try device.allocate([newCapacity, width], dtype)
            for move in moves where !move.from.isEmpty {
                let destination = move.to..<move.to + move.from.count
                try device.copy(layers[i].k.rows(move.from), into: k.rows(destination))
                try device.copy(layers[i].v.rows(move.from), into: v.rows(destination))
            }
            layers[i] = (k, v)
            // The old layer goes back to the system: blocks of its size are not asked for again.
            device.arena.trim()
        }
        capacity = newCapacity
    }
}
