import Glibc

/// A point of an object's own square: (0, 0) is its upper left corner, (100, 100) its lower right one.
package struct Point: Sendable, Equatable {
    package var x: Double
    package var y: Double
}

/// Outline of one coloured part. Arcs and rectangles are polygons; ellipses stay exact.
package enum Shape: Sendable, Equatable {
    case polygon([Point])
    case ellipse(center: Point, radii: Point)

    /// The outline spans [left, right) of a horizontal line, as pairs in `crossings`, in the units of the shape (even-odd rule).
    func crossings(atHeight y: Double, into crossings: inout [Double]) {
        crossings.removeAll(keepingCapacity: true)
        switch self {
        case .ellipse(let center, let radii):
            let v = (y - center.y) / radii.y
            guard v > -1, v < 1 else { return }
            let half = radii.x * (1 - v * v).squareRoot()
            crossings.append(center.x - half)
            crossings.append(center.x + half)
        case .polygon(let points):
            guard var from = points.last else { return }
            for to in points {
                if (from.y <= y) != (to.y <= y) {
                    crossings.append(from.x + (y - from.y) / (to.y - from.y) * (to.x - from.x))
                }
                from = to
            }
            crossings.sort()
        }
    }

    /// Smallest box around the shape: left, top, right, bottom.
    var bounds: (left: Double, top: Double, right: Double, bottom: Double) {
        switch self {
        case .ellipse(let center, let radii):
            (center.x - radii.x, center.y - radii.y, center.x + radii.x, center.y + radii.y)
        case .polygon(let points):
            points.reduce((.infinity, .infinity, -.infinity, -.infinity)) {
                (min($0.0, $1.x), min($0.1, $1.y), max($0.2, $1.x), max($0.3, $1.y))
            }
        }
    }
}

/// What a part is painted with: the object's own colour in three strengths, or a colour that is the same on every object.
package enum Paint: Sendable, Equatable {
    case main, shade, tint
    case ink, white, glass, wood, steel, leaf, glow
}

/// One part of a drawing; later parts cover earlier ones.
package struct Part: Sendable, Equatable {
    package let paint: Paint
    package let shape: Shape
}

// Words of the drawing table, in percent of the object's square.

func rectangle(_ paint: Paint, _ left: Double, _ top: Double, _ right: Double, _ bottom: Double) -> Part {
    polygon(paint, [left, top, right, top, right, bottom, left, bottom])
}

/// x, y, x, y, ...
func polygon(_ paint: Paint, _ coordinates: [Double]) -> Part {
    let points = stride(from: 0, to: coordinates.count - 1, by: 2).map { Point(x: coordinates[$0], y: coordinates[$0 + 1]) }
    return Part(paint: paint, shape: .polygon(points))
}

func ellipse(_ paint: Paint, _ x: Double, _ y: Double, _ radiusX: Double, _ radiusY: Double) -> Part {
    Part(paint: paint, shape: .ellipse(center: Point(x: x, y: y), radii: Point(x: radiusX, y: radiusY)))
}

func circle(_ paint: Paint, _ x: Double, _ y: Double, _ radius: Double) -> Part { ellipse(paint, x, y, radius, radius) }

/// A piece of a ring between two angles in degrees (0 is to the right, 90 is down); `inner` 0 makes a slice.
func arc(
    _ paint: Paint, _ x: Double, _ y: Double, _ radiusX: Double, _ radiusY: Double, inner: Double, _ from: Double, _ to: Double
) -> Part {
    let steps = max(4, Int(exactly: (abs(to - from) / 10).rounded()) ?? 4)
    let angles = (0...steps).map { (from + (to - from) * Double($0) / Double(steps)) * Double.pi / 180 }
    let outline = angles.map { Point(x: x + radiusX * cos($0), y: y + radiusY * sin($0)) }
    let back =
        inner > 0
        ? angles.reversed().map { Point(x: x + radiusX * inner * cos($0), y: y + radiusY * inner * sin($0)) }
        : [Point(x: x, y: y)]
    return Part(paint: paint, shape: .polygon(outline + back))
}

/// A star with its points on one circle and its corners on a smaller one, first point up.
func starShape(_ paint: Paint, _ x: Double, _ y: Double, outer: Double, inner: Double) -> Part {
    let points = (0..<10).map { index in
        let angle = (Double(index) * 36 - 90) * Double.pi / 180
        let radius = index.isMultiple(of: 2) ? outer : inner
        return Point(x: x + radius * cos(angle), y: y + radius * sin(angle))
    }
    return Part(paint: paint, shape: .polygon(points))
}
