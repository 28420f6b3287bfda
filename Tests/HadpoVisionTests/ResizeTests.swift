import HadpoBase
import HadpoVision
import Testing

@Suite struct ResizeTests {
    @Test("every filter resizes as Pillow does, byte for byte, up and down and along one axis")
    func everyFilter() throws {
        let cases = try Fixture.expected("resize")
        #expect(cases.count == 42)
        for expected in cases {
            let from = try Fixture.size(expected["from"])
            let to = try Fixture.size(expected["to"])
            let filter = try #require(expected["resample"]?.intValue.flatMap(Resample.init))
            let image = try Fixture.pattern(from.width, from.height)
            for order in [PassOrder.pillow12, .pillow13] {
                let resized = try image.resized(width: to.width, height: to.height, filter, order: order)
                #expect(resized.width == to.width && resized.height == to.height)
                #expect(
                    crc32(resized.pixels.elements) == expected["crc\(order.rawValue)"]?.intValue,
                    "\(from) to \(to), \(filter), \(order)")
            }
        }
        #expect(cases.contains { $0["crc12"] != $0["crc13"] })
    }

    @Test("a constant image stays constant under every filter")
    func constant() throws {
        let image = try Fixture.image([UInt8](repeating: 201, count: 31 * 17 * 3), 31, 17)
        for filter in [Resample.nearest, .lanczos, .bilinear, .bicubic, .box, .hamming] {
            #expect(try image.resized(width: 57, height: 5, filter).pixels.elements.allSatisfy { $0 == 201 }, "\(filter)")
        }
    }

    @Test("resizing to the same size copies")
    func sameSize() throws {
        let image = try Fixture.pattern(9, 7)
        #expect(try image.resized(width: 9, height: 7, .lanczos) == image)
    }

    @Test(
        "targets that cannot be are errors",
        arguments: [(0, 5), (5, 0), (-1, 5), (Int.max, 5), (1 << 40, 1 << 40), (20000, 20000)])
    func impossible(width: Int, height: Int) throws {
        let image = try Fixture.pattern(4, 4)
        #expect(failure { _ = try image.resized(width: width, height: height, .bicubic) }?.status == .argument)
    }

    @Test("a crop window takes what it covers and is black elsewhere")
    func crop() throws {
        let image = try Fixture.image(Array(1...27), 3, 3)
        #expect(try image.cropped(left: 1, top: 1, width: 2, height: 2).pixels.elements == Array(13...18) + Array(22...27))
        let outside: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3]
        #expect(try image.cropped(left: -1, top: -1, width: 2, height: 2).pixels.elements == outside)
        #expect(try image.cropped(left: 7, top: 0, width: 2, height: 1).pixels.elements == [0, 0, 0, 0, 0, 0])
        #expect(try image.cropped(left: 0, top: -9, width: 1, height: 2).pixels.elements == [0, 0, 0, 0, 0, 0])
        #expect(failure { _ = try image.cropped(left: Int.min, top: 0, width: 1, height: 1) }?.status == .argument)
        #expect(failure { _ = try image.cropped(left: 0, top: Int.max, width: 1, height: 1) }?.status == .argument)
    }
}
