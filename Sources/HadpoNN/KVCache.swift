import HadpoBase
import HadpoTensor

/// Keys (rotated) and values of every layer, [capacity, kvHeads * headWidth] each, fp32. Which rows belong to which
/// sequence is the caller's business: a shared prefix at the start, branches behind it.
package final class KVCache {
    package let capacity: Int
    let layers: [(k: Tensor, v: Tensor)]
    private let device: any Device

    package init(device: any Device, layers: Int, width: Int, capacity: Int) throws(HadpoError) {
        var made: [(k: Tensor, v: Tensor)] = []
        for _ in 0..<layers { made.append((try device.allocate([capacity, width]), try device.allocate([capacity, width]))) }
        self.layers = made
        self.capacity = capacity
        self.device = device
    }

    /// Writes runs of rows of `k` and `v`, taken one after the other, to `destinations`.
    func store(layer: Int, k: Tensor, v: Tensor, at destinations: [Range<Int>]) throws(HadpoError) {
        var row = 0
        for destination in destinations {
            try device.copy(k.rows(row..<row + destination.count), into: layers[layer].k.rows(destination))
            try device.copy(v.rows(row..<row + destination.count), into: layers[layer].v.rows(destination))
            row += destination.count
        }
    }

    /// Copies rows within the cache, for beams that continue another beam. Ranges must not overlap.
    package func copyRows(from source: Range<Int>, to destination: Range<Int>) throws(HadpoError) {
        for layer in layers {
            try device.copy(layer.k.rows(source), into: layer.k.rows(destination))
            try device.copy(layer.v.rows(source), into: layer.v.rows(destination))
        }
    }
}
