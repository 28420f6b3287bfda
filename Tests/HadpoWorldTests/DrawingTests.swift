import HadpoVision
import HadpoWorld
import Testing

private let rasterizer = SceneRasterizer()

private func picture(_ category: HadpoWorld.Category, _ color: ObjectColor, on tint: Tint = .gray, size: Int = 64) throws
    -> RGBImage
{
    let object = SceneObject(category: category, color: color, column: 1, row: 1, x: 22, y: 22, side: 20)
    return try rasterizer.draw(Scene(theme: .kitchen, background: tint, objects: [object]), size: size)
}

private func pixel(_ picture: RGBImage, _ x: Int, _ y: Int) -> [Int] {
    (0..<3).map { Int(picture.pixels.base[(y * picture.width + x) * 3 + $0]) }
}

@Test("a picture has its background in every corner and its objects nowhere but in their square")
func objectsStayInside() throws {
    for category in Category.allCases {
        for tint in Tint.allCases {
            let picture = try picture(category, .red, on: tint)
            let ground = pixel(picture, 0, 0)
            for y in 0..<64 {
                for x in 0..<64 where !((21...42).contains(x) && (21...42).contains(y)) {
                    #expect(pixel(picture, x, y) == ground)
                }
            }
        }
    }
}

@Test("every category in every colour is a different picture that fills a visible part of its square")
func categoriesAreDistinct() throws {
    for color in ObjectColor.allCases {
        let pictures = try Category.allCases.map { try picture($0, color) }
        for (index, one) in pictures.enumerated() {
            let ground = pixel(one, 0, 0)
            let touched = (0..<64 * 64).count { pixel(one, $0 % 64, $0 / 64) != ground }
            // 20x20 pixels; the slimmest drawing (lantern) covers over a quarter of them.
            #expect(touched > 100, "\(Category.allCases[index])")
            for other in pictures[(index + 1)...] {
                let difference = zip(one.pixels.elements, other.pixels.elements).reduce(0) { $0 + abs(Int($1.0) - Int($1.1)) }
                // Mean over the object's 1,200 bytes of more than 12 of 255 levels: well above what averaging blurs away.
                #expect(difference > 1200 * 12, "\(Category.allCases[index])")
            }
        }
    }
}

@Test("at least an eighth of an object shows its own colour, in any of its three strengths")
func colorIsVisible() throws {
    for category in Category.allCases {
        let red = try picture(category, .red)
        let blue = try picture(category, .blue)
        let colored = (0..<64 * 64).count { pixel(red, $0 % 64, $0 / 64) != pixel(blue, $0 % 64, $0 / 64) }
        #expect(colored > 50, "\(category): \(colored)")
    }
}

@Test("the larger rendering shows the same scene: averaged down it is the small picture again, within edges")
func largeRendering() throws {
    let scene = SceneGenerator(seed: 1, split: .evaluation).scene(5)
    let small = try rasterizer.draw(scene)
    let large = try rasterizer.draw(scene, size: 256)
    let (smallPixels, largePixels) = (small.pixels.elements, large.pixels.elements)
    #expect(large.width == 256 && large.height == 256 && large.pixels.count == 256 * 256 * 3)
    var worst = 0
    var total = 0
    for y in 0..<64 {
        for x in 0..<64 {
            for channel in 0..<3 {
                var sum = 0
                for dy in 0..<4 {
                    for dx in 0..<4 { sum += Int(largePixels[((y * 4 + dy) * 256 + x * 4 + dx) * 3 + channel]) }
                }
                let difference = abs(sum / 16 - Int(smallPixels[(y * 64 + x) * 3 + channel]))
                worst = max(worst, difference)
                total += difference
            }
        }
    }
    // 3x3 against 12x12 samples of an edge: up to a third of full contrast in a pixel, very little on average.
    #expect(worst <= 100, "\(worst)")
    #expect(Double(total) / Double(64 * 64 * 3) < 1.5)
}

@Test("an object's box lies around what is drawn of it")
func boxes() throws {
    for category in Category.allCases {
        let object = SceneObject(category: category, color: .green, column: 1, row: 1, x: 22, y: 22, side: 20)
        let box = rasterizer.box(of: object)
        let drawn = try picture(category, .green)
        let ground = pixel(drawn, 0, 0)
        let touched = (0..<64 * 64).filter { pixel(drawn, $0 % 64, $0 / 64) != ground }
        let columns = touched.map { $0 % 64 }
        let rows = touched.map { $0 / 64 }
        // A pixel belongs to the drawing when any of its samples does: one pixel of play on each side.
        #expect(abs(Double(columns.min() ?? 0) - box.x) <= 1 && abs(Double((columns.max() ?? 0) + 1) - box.x - box.width) <= 1)
        #expect(abs(Double(rows.min() ?? 0) - box.y) <= 1 && abs(Double((rows.max() ?? 0) + 1) - box.y - box.height) <= 1)
    }
}

@Test("drawing outside of the picture or at no size at all is harmless")
func degenerateDrawing() throws {
    let outside = SceneObject(category: .car, color: .red, column: 0, row: 0, x: -30, y: 60, side: 20)
    let picture = try rasterizer.draw(Scene(theme: .street, background: .white, objects: [outside]))
    #expect(picture.pixels.count == 64 * 64 * 3)
    #expect(try rasterizer.draw(Scene(theme: .street, background: .white, objects: [outside]), size: 0).pixels.count == 3)
}
