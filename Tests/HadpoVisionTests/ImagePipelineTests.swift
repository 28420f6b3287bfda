import HadpoBase
import HadpoVision
import Testing

@Suite struct ImagePipelineTests {
    private func pipeline(_ name: String) throws -> ImagePipeline? {
        switch name {
        case "clip28": try .clip(size: 28, pad: false)
        case "clip28_pad": try .clip(size: 28, pad: true)
        case "clip336": try .clip(size: 336, pad: false)
        case "clip336_pad": try .clip(size: 336, pad: true)
        case "blip224": try .blip(size: 224)
        case "crop_only41x60":
            try ImagePipeline(
                pad: false, resize: .none, resample: .bicubic, crop: .init(height: 41, width: 60), rescale: 1 / 255,
                normalization: ImagePipeline.clipNormalization)
        default: nil
        }
    }

    @Test("pixel values have the bits of HF's processors and of upstream's padding")
    func pixelValues() throws {
        let cases = try Fixture.expected("pipeline")
        #expect(cases.count == 42)
        for expected in cases {
            let from = try Fixture.size(expected["from"])
            let name = try #require(expected["pipeline"]?.stringValue)
            let pipeline = try #require(try pipeline(name))
            let values = try pipeline.pixelValues(Fixture.pattern(from.width, from.height)).elements
            #expect(values.count == 3 * pipeline.outputSize.height * pipeline.outputSize.width)
            #expect(crc32(values) == expected["crc"]?.intValue, "\(name) of \(from)")
        }
    }

    @Test("one padded image agrees value by value")
    func oneInFull() throws {
        let values = try ImagePipeline.clip(size: 28, pad: true).pixelValues(Fixture.pattern(64, 48)).elements
        let bytes = try Fixture.bytes("clip28_pad_64x48.f32")
        let expected = bytes.withUnsafeBytes { raw in
            stride(from: 0, to: raw.count, by: 4).map { at in
                Float(bitPattern: UInt32(littleEndian: raw.loadUnaligned(fromByteOffset: at, as: UInt32.self)))
            }
        }
        #expect(values == expected)
        // the padding is the mean colour cut off to bytes, so it normalises to almost nothing
        #expect(values.prefix(28).allSatisfy { abs($0) < 0.02 })
    }

    @Test("bytes are rescaled in double: this differs from float arithmetic")
    func rescaleInDouble() throws {
        let grey = try Fixture.image((0..<256).flatMap { [UInt8($0), UInt8($0), UInt8($0)] }, 256, 1)
        let plain = try ImagePipeline(
            pad: false, resize: .none, resample: .bicubic, crop: .init(height: 1, width: 256), rescale: 1 / 255,
            normalization: nil)
        let values = try plain.pixelValues(grey).elements.prefix(256)
        #expect(values.elementsEqual((0..<256).map { Float($0) / 255 }))  // correctly rounded x / 255
        #expect(zip(values, 0..<256).filter { $0 != Float($1) * Float(1.0 / 255) }.count == 126)
    }

    @Test("without rescaling and normalising the bytes themselves come out, channel by channel")
    func bytesOnly() throws {
        let image = try Fixture.pattern(2, 2)
        let plain = try ImagePipeline(
            pad: false, resize: .exact(height: 2, width: 2), resample: .bicubic, crop: nil, rescale: nil, normalization: nil)
        let p = image.pixels.elements.map(Float.init)
        #expect(
            try plain.pixelValues(image).elements == [p[0], p[3], p[6], p[9], p[1], p[4], p[7], p[10], p[2], p[5], p[8], p[11]])
    }

    @Test("an image so long that its resized form exceeds the limit is an error")
    func tooLong() throws {
        let line = try Fixture.image([UInt8](repeating: 7, count: 3 * 2_000_000), 2_000_000, 1)
        #expect(failure { _ = try ImagePipeline.clip(size: 336, pad: false).pixelValues(line) }?.status == .argument)
        #expect(failure { _ = try ImagePipeline.clip(size: 336, pad: true).pixelValues(line) }?.status == .argument)
    }

    @Test("the identity names every parameter")
    func identity() throws {
        #expect(
            try ImagePipeline.clip(size: 336, pad: true).identity
                == "rgb; pad [122, 116, 104]; shortest edge 336 bicubic pillow12; centre crop 336x336; times 0.00392156862745098; "
                + "mean [0.48145466, 0.4578275, 0.40821073] std [0.26862954, 0.26130258, 0.27577711]")
        let others = try [
            ImagePipeline.clip(size: 336, pad: false), .clip(size: 224, pad: false), .blip(size: 224),
            ImagePipeline.blip(size: 224).padding(true), ImagePipeline.blip(size: 224).ordered(.pillow13),
        ].map(\.identity)
        #expect(Set(others).count == others.count)
    }

    @Test("parameters that cannot be are errors")
    func impossible() throws {
        func status(
            _ resize: ImagePipeline.Resize, _ crop: ImagePipeline.Size?, pad: Bool = false, rescale: Double? = nil,
            _ normalization: ImagePipeline.Normalization? = nil
        ) -> Status? {
            failure {
                _ = try ImagePipeline(
                    pad: pad, resize: resize, resample: .bicubic, crop: crop, rescale: rescale, normalization: normalization)
            }?.status
        }
        #expect(status(.none, nil) == .config)
        #expect(status(.shortestEdge(336), nil) == .config)
        #expect(status(.shortestEdge(336), nil, pad: true) == nil)
        #expect(status(.exact(height: 0, width: 5), nil) == .config)
        #expect(status(.exact(height: 5, width: Int.max), nil) == .config)
        #expect(status(.shortestEdge(-4), .init(height: 5, width: 5)) == .config)
        #expect(status(.exact(height: 5, width: 5), nil, rescale: .infinity) == .config)
        #expect(status(.exact(height: 5, width: 5), nil, .init(mean: [0, 0], std: [1, 1, 1])) == .config)
        #expect(status(.exact(height: 5, width: 5), nil, .init(mean: [0, 0, 0], std: [1, 0, 1])) == .config)
        #expect(status(.exact(height: 5, width: 5), nil, .init(mean: [0, 0, 0], std: [1, 1e-60, 1])) == .config)
        #expect(status(.exact(height: 5, width: 5), nil, pad: true, .init(mean: [300, 0, 0], std: [1, 1, 1])) == .config)
    }
}
