import HadpoTensor

/// A low-rank addition to a frozen matrix: W x + scaling B A x, scaling = alpha / rank (Hu et al. 2021).
package final class LoRA {
    /// [rank, inputs]
    package let a: Value
    /// [outputs, rank]
    package let b: Value
    package let scaling: Float

    package init(a: Value, b: Value, scaling: Float) {
        self.a = a
        self.b = b
        self.scaling = scaling
    }

    package var rank: Int { a.data.rows }
}
