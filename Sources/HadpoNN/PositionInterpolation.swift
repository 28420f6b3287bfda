import HadpoBase
import HadpoTensor

// Learned positions of a ViT for another number of patches, as EVA's interpolate_pos_embed does with torch's interpolate (bicubic,
// align_corners=False, no antialiasing). In fp32 throughout, as torch: weights computed more exactly would be further from it.
//
// Dimensions: g, n sides of the old and the new grid, C width.

/// [1 + g*g, C] to [1 + n*n, C]; the first row, the class token's, stays. Leading axes of length 1 are passed over.
package func interpolatedPositions(
    _ positions: Tensor, side n: Int, on device: Device
) throws(HadpoError) -> Tensor {
    let c = positions.columns
    let g = Int(exactly: Double(max(0, positions.rows - 1)).squareRoot().rounded()) ?? 0
    guard positions.shape.count >= 2, c > 0, g > 0, g * g == positions.rows - 1 else {
        throw HadpoError(
            .weights, "position embeddings do not lie on a square grid behind a class row", found: "\(positions.shape)",
            expected: "[1 + g*g, C]")
    }
    let (patches, overflow) = n.multipliedReportingOverflow(by: n)
    guard n > 0, !overflow, patches < Int.max else {
        throw HadpoError(.weights, "a picture without patches, or with too many", found: "\(n) x \(n) patches")
    }
    let result = try device.allocate([1 + patches, c])
    let source = try device.float32(positions)
    if n == g {
        try device.copy(source.reshaped([1 + patches, c]), into: result)
        return result
    }
    let taps = cubicTaps(from: g, to: n)
    let old = source.pointer.assumingMemoryBound(to: Float.self)
    let new = result.pointer.assumingMemoryBound(to: Float.self)
    new.update(from: old, count: c)
    // Along the rows first, [g, n, C], then across them: the order in which torch adds.
    let wide = try device.allocate([g, n, c])
    let between = wide.pointer.assumingMemoryBound(to: Float.self)
    withExtendedLifetime((source.storage, wide.storage, result.storage)) {
        for y in 0..<g {
            for x in 0..<n {
                addRows(taps[x], c, into: between + (y * n + x) * c) { old + (1 + y * g + $0) * c }
            }
        }
        for y in 0..<n {
            for x in 0..<n {
                addRows(taps[y], c, into: new + (1 + y * n + x) * c) { between + ($0 * n + x) * c }
            }
        }
    }
    return result
}

/// Four places and their weights.
private typealias Taps = [(index: Int, weight: Float)]

/// Keys 1981 with a = -0.75; places outside the grid are those at its border.
private func cubicTaps(from g: Int, to n: Int) -> [Taps] {
    let a: Float = -0.75
    // Fused, as torch's builds contract them: the terms of `far` nearly cancel, so that other roundings show in the sixth digit.
    func near(_ d: Float) -> Float { (1 as Float).addingProduct((-(a + 3)).addingProduct(a + 2, d) * d, d) }
    func far(_ d: Float) -> Float {
        (-4 * a).addingProduct((8 * a).addingProduct((-5 * a).addingProduct(a, d), d), d)
    }
    let scale = Float(g) / Float(n)
    return (0..<n).map { x in
        let place = (-0.5 as Float).addingProduct(scale, Float(x) + 0.5)
        let first = place.rounded(.down)
        let t = place - first
        let weights = [far(t + 1), near(t), near(1 - t), far(1 - t + 1)]
        return weights.enumerated().map { (min(max(Int(first) - 1 + $0, 0), g - 1), $1) }
    }
}

private func addRows(
    _ taps: Taps, _ c: Int, into row: UnsafeMutablePointer<Float>, _ source: (Int) -> UnsafeMutablePointer<Float>
) {
    for (number, tap) in taps.enumerated() {
        let from = source(tap.index)
        if number == 0 {
            for i in 0..<c { row[i] = tap.weight * from[i] }
        } else {
            for i in 0..<c { row[i] += tap.weight * from[i] }
        }
    }
}
