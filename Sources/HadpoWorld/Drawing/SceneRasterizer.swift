import HadpoBase
import HadpoVision

struct RGB: Sendable, Equatable {
    var red: Int
    var green: Int
    var blue: Int

    init(_ red: Int, _ green: Int, _ blue: Int) { (self.red, self.green, self.blue) = (red, green, blue) }

    /// 0 keeps this colour, 1 gives the other.
    func mixed(with other: RGB, _ amount: Double) -> RGB {
        func mix(_ a: Int, _ b: Int) -> Int { Int(exactly: (Double(a) + (Double(b) - Double(a)) * amount).rounded()) ?? a }
        return RGB(mix(red, other.red), mix(green, other.green), mix(blue, other.blue))
    }
}

/// Draws scenes: every object three times as large as it will be, then averaged over 3x3 samples a pixel.
package struct SceneRasterizer: Sendable {
    static let oversampling = 3

    /// By position in `Category.allCases`.
    private let drawings: [[Part]]

    package init() { drawings = Category.allCases.map(\.drawing) }

    /// `size` 64 is what the models see; multiples of it show the same scene larger.
    package func draw(_ scene: Scene, size: Int = 64) throws(HadpoError) -> RGBImage {
        let size = max(1, size)
        let ground = scene.background.rgb
        var canvas = Canvas(size: size)
        for index in 0..<size * size { canvas.set(index, ground) }
        for object in scene.objects {
            draw(object, scale: Double(size) / Scene.extent, on: &canvas)
        }
        return try canvas.bytes.withUnsafeBufferPointer { bytes in
            Result { () throws(HadpoError) in
                guard let base = bytes.baseAddress else { throw HadpoError(.internal, "an empty canvas") }
                return try RGBImage(rgb8: base, width: size, height: size, rowBytes: size * 3)
            }
        }.get()
    }

    private struct Canvas {
        let size: Int
        var bytes: [UInt8]

        init(size: Int) {
            self.size = size
            bytes = [UInt8](repeating: 0, count: size * size * 3)
        }

        mutating func set(_ pixel: Int, _ color: RGB) {
            bytes[pixel * 3] = UInt8(truncatingIfNeeded: color.red)
            bytes[pixel * 3 + 1] = UInt8(truncatingIfNeeded: color.green)
            bytes[pixel * 3 + 2] = UInt8(truncatingIfNeeded: color.blue)
        }

        func color(_ pixel: Int) -> RGB { RGB(Int(bytes[pixel * 3]), Int(bytes[pixel * 3 + 1]), Int(bytes[pixel * 3 + 2])) }
    }

    private func draw(_ object: SceneObject, scale: Double, on canvas: inout Canvas) {
        let n = Self.oversampling
        func pixel(_ place: Double) -> Int { Int(exactly: min(1e9, max(-1e9, place))) ?? 0 }
        // Only the pixels that the object touches are drawn at the larger size.
        let left = max(0, pixel((object.x * scale).rounded(.down)) - 1)
        let top = max(0, pixel((object.y * scale).rounded(.down)) - 1)
        let right = min(canvas.size, pixel(((object.x + object.side) * scale).rounded(.up)) + 1)
        let bottom = min(canvas.size, pixel(((object.y + object.side) * scale).rounded(.up)) + 1)
        guard left < right, top < bottom else { return }
        let columns = (right - left) * n
        let rows = (bottom - top) * n
        var samples = [RGB](repeating: RGB(0, 0, 0), count: columns * rows)
        for row in 0..<rows {
            for column in 0..<columns {
                samples[row * columns + column] = canvas.color((top + row / n) * canvas.size + left + column / n)
            }
        }

        let unit = object.side * scale / 100  // picture pixels in one percent of the square
        var crossings: [Double] = []
        for part in drawing(of: object.category) {
            let color = part.paint.rgb(object.color)
            for row in 0..<rows {
                let y = (Double(top) + (Double(row) + 0.5) / Double(n) - object.y * scale) / unit
                part.shape.crossings(atHeight: y, into: &crossings)
                for pair in stride(from: 0, to: crossings.count - 1, by: 2) {
                    let from = sample(crossings[pair], object, unit, scale, left)
                    let to = sample(crossings[pair + 1], object, unit, scale, left)
                    for column in max(0, from)..<max(0, from, min(columns, to)) {
                        samples[row * columns + column] = color
                    }
                }
            }
        }

        for y in top..<bottom {
            for x in left..<right {
                var (red, green, blue) = (0, 0, 0)
                for dy in 0..<n {
                    for dx in 0..<n {
                        let sample = samples[((y - top) * n + dy) * columns + (x - left) * n + dx]
                        red += sample.red
                        green += sample.green
                        blue += sample.blue
                    }
                }
                func mean(_ sum: Int) -> Int { (sum + n * n / 2) / (n * n) }
                canvas.set(y * canvas.size + x, RGB(mean(red), mean(green), mean(blue)))
            }
        }
    }

    /// The first sample column whose centre is right of `x` (percent of the object's square).
    private func sample(_ x: Double, _ object: SceneObject, _ unit: Double, _ scale: Double, _ left: Int) -> Int {
        let pixel = object.x * scale + x * unit - Double(left)
        return Int(exactly: min(1e9, max(-1e9, (pixel * Double(Self.oversampling) - 0.5).rounded(.up)))) ?? 0
    }

    private func drawing(of category: Category) -> [Part] {
        guard let position = Category.allCases.firstIndex(of: category), position < drawings.count else { return [] }
        return drawings[position]
    }

    /// The box around what is drawn of an object, in picture units: the "ground truth box" of the annotation.
    package func box(of object: SceneObject) -> (x: Double, y: Double, width: Double, height: Double) {
        let bounds = drawing(of: object.category).map(\.shape.bounds)
        let left = bounds.map(\.left).min() ?? 0
        let top = bounds.map(\.top).min() ?? 0
        let right = bounds.map(\.right).max() ?? 100
        let bottom = bounds.map(\.bottom).max() ?? 100
        let unit = object.side / 100
        return (object.x + left * unit, object.y + top * unit, (right - left) * unit, (bottom - top) * unit)
    }
}

extension ObjectColor {
    var rgb: RGB {
        switch self {
        case .red: RGB(218, 58, 58)
        case .green: RGB(62, 160, 82)
        case .blue: RGB(52, 110, 208)
        case .yellow: RGB(244, 204, 44)
        case .purple: RGB(142, 78, 184)
        case .orange: RGB(242, 132, 44)
        }
    }

    /// The same hue in shadow, chosen by eye: a darkened yellow would turn olive.
    var deep: RGB {
        switch self {
        case .red: RGB(168, 38, 46)
        case .green: RGB(40, 120, 66)
        case .blue: RGB(36, 78, 160)
        case .yellow: RGB(218, 166, 26)
        case .purple: RGB(102, 50, 142)
        case .orange: RGB(198, 94, 26)
        }
    }
}

extension Tint {
    var rgb: RGB {
        switch self {
        case .white: RGB(252, 252, 250)
        case .gray: RGB(208, 211, 216)
        case .pink: RGB(253, 214, 224)
        case .cyan: RGB(198, 238, 242)
        case .beige: RGB(243, 229, 200)
        }
    }
}

extension Paint {
    func rgb(_ color: ObjectColor) -> RGB {
        switch self {
        case .main: color.rgb
        case .shade: color.deep
        case .tint: color.rgb.mixed(with: RGB(255, 255, 255), 0.45)
        case .ink: RGB(48, 50, 60)
        case .white: RGB(255, 255, 255)
        case .glass: RGB(226, 242, 250)
        case .wood: RGB(128, 84, 52)
        case .steel: RGB(150, 156, 168)
        case .leaf: RGB(92, 150, 66)
        case .glow: RGB(255, 232, 150)
        }
    }
}
