import HadpoAutograd
import HadpoBase
import HadpoModels
import HadpoNN
import HadpoTensor

/// Where a Q-Former of the world begins, measured on some pictures. From random numbers alone its queries stay alike for as long as was
/// tried: the tower's rows hold their place only faintly, the class row draws half of the queries, and the first hundred steps, which
/// teach all rows the same mean, make the queries alike.
///
/// Dimensions: I pictures, S = 1 + P rows of a picture, E their width; Q queries, W their width, D the width of a head.
struct QueryStart {
    private let base: BaseModel
    private let model: InstructBLIP
    private let pixels: [Block<Float>]
    private let progress: any Progress
    private var config: QFormerConfig { model.config.qformer }

    init(_ base: BaseModel, _ model: InstructBLIP, pixels: [Block<Float>], progress: any Progress) {
        self.base = base
        self.model = model
        self.pixels = pixels
        self.progress = progress
    }

    /// The norm behind the tower makes every channel of a patch as large as any other: a few large ones hide the rest.
    func evenChannels() throws(HadpoError) {
        let (_, patches) = try look()
        let moments = Moments(patches, width: config.featureWidth)
        let spread = moments.variance.map { max($0, 1e-9).squareRoot() }
        try change(EVAFiles.norm + ".weight") { for e in spread.indices { $0[e] = Float(1 / spread[e]) } }
        try change(EVAFiles.norm + ".bias") { for e in spread.indices { $0[e] = Float(-moments.mean[e] / spread[e]) } }
    }

    /// Each query begins by looking at its own place of the picture, in half of the first layer's heads: a key tells how much a row is
    /// like the rows of each place (Fisher's discriminant), and a query asks for its own place.
    func placeQueries() throws(HadpoError) {
        let (grid, side) = (model.config.vision.grid, Int(exactly: Double(config.queries).squareRoot().rounded(.down)) ?? 0)
        let (width, head) = (config.featureWidth, config.width / config.heads)
        guard side * side == config.queries, grid % side == 0, config.queries <= head else {
            throw HadpoError(.internal, "the queries do not divide the picture", found: "\(config.queries) queries")
        }
        let (classRows, patches) = try look()
        let all = Moments(patches, width: width).mean
        let classRow = zip(Moments(classRows, width: width).mean, all).map { $0 - $1 }
        let discriminant = Discriminant(patches, width: width, places: config.queries) { row in
            let patch = row % (grid * grid)
            return patch / grid * side / grid * side + patch % grid * side / grid
        }
        // The class row is like no patch; by chance it would be more like some place than all its patches are.
        let away = discriminant.solved(classRow)
        let keys = discriminant.means.map { mean in
            let key = discriminant.solved(zip(mean, all).map { $0 - $1 })
            let step = (product(key, classRow) + 4) / product(away, classRow)
            return zip(key, away).map { $0 - step * $1 }
        }

        let layer = InstructBLIPNames.qformer + ".encoder.layer.0.crossattention.attention."
        try change(layer + "key.weight") { weight in
            for h in 0..<config.heads / 2 {
                for (place, key) in keys.enumerated() {
                    for e in 0..<width { weight[(h * head + place) * width + e] = Float(key[e]) }
                }
            }
        }
        var queries: [Float] = []
        try change(InstructBLIPNames.queries) { queries = $0 }
        try change(layer + "query.weight") { weight in
            for place in 0..<config.queries {
                let own = queries[place * config.width..<(place + 1) * config.width].map { Double($0) }
                // A query arrives normed, as long as the square root of its width.
                let length = max(product(own, own).squareRoot(), 1e-9) * Double(config.width).squareRoot()
                let scale = Self.sharpness * Double(head).squareRoot() / length
                for h in 0..<config.heads / 2 {
                    for w in 0..<config.width { weight[(h * head + place) * config.width + w] = Float(scale * own[w]) }
                }
            }
        }
    }

    /// Factor on the discriminants, which are some 4 higher at the own place than elsewhere.
    private static let sharpness = 1.5

    /// What the decoder gets begins at the mean of `wanted` and varies little around it.
    func projectToMean(of wanted: [Float]) throws(HadpoError) {
        let mean = Moments(wanted, width: model.decoder.config.width).mean
        try change(InstructBLIPNames.projector + ".bias") { for c in mean.indices { $0[c] = Float(mean[c]) } }
        try change(InstructBLIPNames.projector + ".weight") { for i in $0.indices { $0[i] *= 0.5 } }
    }

    /// Class rows [I, E] and patches [I*P, E] as the Q-Former gets them.
    private func look() throws(HadpoError) -> (classRows: [Float], patches: [Float]) {
        let tape = Tape(device: model.device, progress: progress, isRecording: false)
        let features = try model.features(tape, pixels)
        let numbers = try features.data.floats()
        let picture = model.featureRows * config.featureWidth
        return (
            pixels.indices.flatMap { numbers[$0 * picture..<$0 * picture + config.featureWidth] },
            try base.patches(tape, features, pictures: pixels.count, width: config.featureWidth).data.floats()
        )
    }

    private func change(_ name: String, _ body: (inout [Float]) -> Void) throws(HadpoError) {
        guard let value = base.parameters.first(where: { $0.name == name })?.value else {
            throw HadpoError(.internal, "no such parameter", at: name)
        }
        var numbers = try value.data.floats()
        body(&numbers)
        try model.device.copy(model.device.tensor(numbers, value.data.shape), into: value.data)
    }
}

private func product(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }

/// Mean and variance of each channel of rows.
private struct Moments {
    private(set) var mean: [Double]
    private(set) var variance: [Double]

    init(_ rows: [Float], width: Int) {
        let share = Double(width) / Double(max(1, rows.count))
        mean = [Double](repeating: 0, count: width)
        variance = mean
        for (i, number) in rows.enumerated() { mean[i % width] += share * Double(number) }
        for (i, number) in rows.enumerated() {
            let distance = Double(number) - mean[i % width]
            variance[i % width] += share * distance * distance
        }
    }
}

/// Fisher's linear discriminant: directions in which places differ most for how much the rows of one place do.
private struct Discriminant {
    /// Of the rows of each place.
    private(set) var means: [[Double]]
    /// Cholesky's lower factor of the covariance within places.
    private var factor: [Double]
    private let width: Int

    init(_ rows: [Float], width: Int, places: Int, place: (Int) -> Int) {
        self.width = width
        let count = rows.count / max(1, width)
        var sums = [[Double]](repeating: [Double](repeating: 0, count: width), count: places)
        var counts = [Double](repeating: 0, count: places)
        for row in 0..<count {
            let own = place(row)
            counts[own] += 1
            for e in 0..<width { sums[own][e] += Double(rows[row * width + e]) }
        }
        means = zip(sums, counts).map { sum, count in sum.map { $0 / max(1, count) } }
        factor = [Double](repeating: 0, count: width * width)
        for row in 0..<count {
            let mean = means[place(row)]
            let distance = (0..<width).map { Double(rows[row * width + $0]) - mean[$0] }
            for e in 0..<width {
                for f in 0...e { factor[e * width + f] += distance[e] * distance[f] / Double(count) }
            }
        }
        // Channels may depend on each other.
        for e in 0..<width { factor[e * width + e] += 1e-3 }
        for i in 0..<width {
            for j in 0...i {
                var sum = factor[i * width + j]
                for k in 0..<j { sum -= factor[i * width + k] * factor[j * width + k] }
                factor[i * width + j] = i == j ? max(sum, 1e-12).squareRoot() : sum / factor[j * width + j]
            }
        }
    }

    /// The covariance's inverse times `b`.
    func solved(_ b: [Double]) -> [Double] {
        var x = b
        for i in 0..<width {
            for k in 0..<i { x[i] -= factor[i * width + k] * x[k] }
            x[i] /= factor[i * width + i]
        }
        for i in (0..<width).reversed() {
            for k in i + 1..<width { x[i] -= factor[k * width + i] * x[k] }
            x[i] /= factor[i * width + i]
        }
        return x
    }
}
