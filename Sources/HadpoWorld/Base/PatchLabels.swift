import Glibc
import HadpoBase

/// What there is to recognise in each patch of a picture: the category, colour and size of every object that covers a good part of it.
///
/// Dimensions: I pictures, P patches a picture, K labels.
package enum PatchLabels {
    package static let count = Category.allCases.count + ObjectColor.allCases.count + ObjectSize.allCases.count
    /// An object belongs to a patch when it covers this much of it, or this much of the object lies in it.
    private static let share = 0.25

    /// [P, K], patches in raster order.
    package static func labels(of scene: Scene, grid: Int) -> [Bool] { labels(of: scene, rows: grid, columns: grid) }

    /// [rows * columns, K], places in raster order.
    package static func labels(of scene: Scene, rows: Int, columns: Int) -> [Bool] {
        var labels = [Bool](repeating: false, count: rows * columns * count)
        let (height, width) = (Scene.extent / Double(rows), Scene.extent / Double(columns))
        func overlap(_ start: Double, _ side: Double, _ cell: Int, _ width: Double) -> Double {
            max(0, min(start + side, Double(cell + 1) * width) - max(start, Double(cell) * width))
        }
        for object in scene.objects {
            let wanted = share * min(width * height, object.side * object.side)
            let places =
                [
                    Category.allCases.firstIndex(of: object.category),
                    ObjectColor.allCases.firstIndex(of: object.color).map { $0 + Category.allCases.count },
                    ObjectSize.allCases.firstIndex(of: object.size).map { count - ObjectSize.allCases.count + $0 },
                ]
            for row in 0..<rows {
                for column in 0..<columns
                where overlap(object.x, object.side, column, width) * overlap(object.y, object.side, row, height) >= wanted {
                    for case let place? in places { labels[(row * columns + column) * count + place] = true }
                }
            }
        }
        return labels
    }
}

/// Binary cross-entropy of independent labels: its sum over the labels of a patch, averaged over patches.
package struct BinaryCrossEntropy {
    package private(set) var value = 0.0
    /// d loss / d logits.
    package private(set) var gradient: [Float]

    package init(logits: [Float], labels: [Bool], rows: Int) {
        gradient = []
        gradient.reserveCapacity(logits.count)
        let share = 1 / Double(max(1, rows))
        for (logit, label) in zip(logits, labels) {
            let z = Double(logit)
            // log(1 + exp(z)) - label z, written so that it cannot overflow.
            value += share * (max(z, 0) + log1p(exp(-abs(z))) - (label ? z : 0))
            gradient.append(Float(share * (1 / (1 + exp(-z)) - (label ? 1 : 0))))
        }
    }
}
