import HadpoBase
import HadpoVision
import Testing

@Suite struct DecodeTests {
    @Test("every kind of PNG and JPEG decodes to Pillow's RGB, byte for byte")
    func everyKind() throws {
        let cases = try Fixture.expected("decode")
        #expect(cases.count == 40)
        for expected in cases {
            let name = try #require(expected["name"]?.stringValue)
            let image = try RGBImage.decode(Fixture.bytes(name))
            #expect(image.width == expected["width"]?.intValue, "\(name)")
            #expect(image.height == expected["height"]?.intValue, "\(name)")
            #expect(try image.pixels.elements == Fixture.bytes(name + ".rgb"), "\(name)")
        }
    }

    @Test("an image written as PNG reads back with the same pixels")
    func roundTrip() throws {
        for (width, height) in [(1, 1), (1, 40), (37, 53), (640, 3)] {
            let image = try Fixture.pattern(width, height)
            #expect(try RGBImage.decode(image.png().elements) == image)
        }
    }

    @Test("pixels of a host are copied row by row, whatever lies between its rows")
    func paddedRows() throws {
        let bytes: [UInt8] = [1, 2, 3, 4, 5, 6, 99, 99, 7, 8, 9, 10, 11, 12, 99, 99]
        let image = try bytes.withUnsafeBufferPointer { buffer in
            try RGBImage(rgb8: #require(buffer.baseAddress), width: 2, height: 2, rowBytes: 8)
        }
        #expect(image.pixels.elements == Array(1...12))
    }

    @Test(
        "impossible sizes from a host are refused before a byte is read",
        arguments: [
            (0, 1, 3), (1, 0, 3), (-1, 4, 12), (4, -1, 12), (2, 2, 5), (1, 2, Int.max), (1, 1, -3), (Int.max, 2, 9),
            (Int.max / 2, 3, Int.max), (178_956_971, 1, Int.max),
        ])
    func impossibleSizes(width: Int, height: Int, rowBytes: Int) throws {
        let byte: [UInt8] = [0]
        let error = byte.withUnsafeBufferPointer { buffer in
            failure { _ = try RGBImage(rgb8: #require(buffer.baseAddress), width: width, height: height, rowBytes: rowBytes) }
        }
        #expect(error?.status == .argument)
    }
}
