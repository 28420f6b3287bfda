import HadpoBase
import HadpoVision
import Testing

@Suite("Random crops and flips of training")
struct RandomCropTests {
    @Test("a crop, resized and mirrored, has the bits of Pillow's")
    func pixelValues() throws {
        let cases = try Fixture.expected("augment")
        #expect(cases.count == 16)
        let pipeline = try ImagePipeline.blip(size: 224)
        for expected in cases {
            let from = try Fixture.size(expected["from"])
            let numbers = try #require(expected["box"]?.arrayValue).compactMap(\.intValue)
            let flipped = try #require(expected["flipped"]?.boolValue)
            let box = CropBox(top: numbers[1], left: numbers[0], height: numbers[3], width: numbers[2])
            let values = try pipeline.pixelValues(Fixture.pattern(from.width, from.height), crop: box, flipped: flipped).elements
            #expect(crc32(values) == expected["crc"]?.intValue, "\(numbers) of \(from), flipped \(flipped)")
        }
    }

    @Test("without a crop and a flip nothing changes")
    func plain() throws {
        let image = try Fixture.pattern(50, 31)
        let pipeline = try ImagePipeline.blip(size: 28)
        let plain = try pipeline.pixelValues(image).elements
        #expect(try pipeline.pixelValues(image, crop: nil, flipped: false).elements == plain)
        let mirrored = try pipeline.pixelValues(image, crop: nil, flipped: true).elements
        #expect(mirrored != plain)
        #expect(Array(mirrored.prefix(28)) == plain.prefix(28).reversed())
    }

    @Test(
        "a box that leaves the image is an error",
        arguments: [
            CropBox(top: -1, left: 0, height: 3, width: 3), CropBox(top: 0, left: 0, height: 0, width: 3),
            CropBox(top: 29, left: 0, height: 3, width: 3), CropBox(top: 0, left: 48, height: 3, width: 3),
            CropBox(top: .max, left: .max, height: 1, width: 1), CropBox(top: 0, left: 0, height: .max, width: .max),
            CropBox(top: .min, left: 0, height: 1, width: 1),
        ])
    func outside(_ box: CropBox) throws {
        let image = try Fixture.pattern(50, 31)
        #expect(
            failure { _ = try ImagePipeline.blip(size: 28).pixelValues(image, crop: box, flipped: false) }?.status == .argument)
    }

    /// Rounding a side moves area and ratio by at most half a pixel in each side.
    @Test(
        "every box lies inside the image, within the bounds of area and ratio",
        arguments: [(640, 480), (480, 640), (336, 336), (31, 40)])
    func bounds(_ width: Int, _ height: Int) {
        var random = Philox(seed: 5, stream: 1)
        var areas: [Double] = []
        var flips = 0
        for _ in 0..<2000 {
            let (box, flipped) = RandomCrop(flips: true).draw(width: width, height: height, random: &random)
            #expect(box.top >= 0 && box.left >= 0 && box.top + box.height <= height && box.left + box.width <= width)
            let (w, h) = (Double(box.width), Double(box.height))
            let area = Double(width * height)
            #expect((w + 0.5) * (h + 0.5) >= 0.5 * area && (w - 0.5) * (h - 0.5) <= area)
            #expect((w + 0.5) / (h - 0.5) >= 3.0 / 4 && (w - 0.5) / (h + 0.5) <= 4.0 / 3)
            areas.append(w * h / area)
            flips += flipped ? 1 : 0
        }
        // 2000 fair coins: standard deviation 22; six of them
        #expect(abs(flips - 1000) < 134)
        #expect(areas.min() ?? 1 < 0.52 && areas.max() ?? 0 > 0.9)
    }

    @Test("the draw is a function of the generator's position, and no flip is drawn where none is wanted")
    func deterministic() {
        var one = Philox(seed: 9)
        var two = Philox(seed: 9)
        var flips = 0
        for _ in 0..<50 {
            let (box, flipped) = RandomCrop(flips: false).draw(width: 100, height: 80, random: &one)
            #expect(RandomCrop(flips: false).draw(width: 100, height: 80, random: &two) == (box, flipped))
            flips += flipped ? 1 : 0
        }
        #expect(flips == 0 && one == two)
    }

    /// No crop of half the area and such a ratio fits these; torchvision 0.15's get_params falls back to the numbers here.
    @Test(
        "an image too long for any try gives torchvision's central crop",
        arguments: [
            (10, 1000, CropBox(top: 493, left: 0, height: 13, width: 10)),
            (1000, 10, CropBox(top: 0, left: 493, height: 10, width: 13)),
            (1, 500, CropBox(top: 249, left: 0, height: 1, width: 1)),
            (501, 2, CropBox(top: 0, left: 249, height: 2, width: 3)),
            (30, 3000, CropBox(top: 1480, left: 0, height: 40, width: 30)),
        ])
    func fallback(_ width: Int, _ height: Int, _ expected: CropBox) {
        for seed in 0..<20 as Range<UInt64> {
            var random = Philox(seed: seed)
            #expect(RandomCrop(flips: false).draw(width: width, height: height, random: &random).0 == expected)
        }
    }

    @Test("one pixel is itself")
    func onePixel() {
        var random = Philox(seed: 1)
        #expect(
            RandomCrop(flips: true).draw(width: 1, height: 1, random: &random).0
                == CropBox(top: 0, left: 0, height: 1, width: 1))
    }
}
