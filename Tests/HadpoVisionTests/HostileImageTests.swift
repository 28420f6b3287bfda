import Glibc
import HadpoBase
import HadpoVision
import Testing

/// What a folder of pictures from the internet contains.
@Suite struct HostileImageTests {
    /// The error of a decode, nil when it succeeded.
    private func decodeError(_ bytes: [UInt8], _ limits: ImageLimits = .init()) -> HadpoError? {
        failure { _ = try RGBImage.decode(bytes, limits: limits) }
    }

    @Test("a file cut off anywhere before its pixels are complete is an error, and never a crash")
    func truncated() throws {
        for name in try Fixture.imageNames {
            let bytes = try Fixture.bytes(name)
            let whole = try RGBImage.decode(bytes)
            for count in 0..<bytes.count {
                // the end marker alone may be missing, as Pillow allows
                if let cut = try? RGBImage.decode(Array(bytes[..<count])) {
                    #expect(count >= bytes.count - 12 && cut == whole, "\(name) cut to \(count) of \(bytes.count)")
                }
            }
        }
    }

    @Test("mutated files decode or fail, print nothing and never crash")
    func mutations() throws {
        var random = Philox(seed: 11)
        let printed = try textOnStandardError {
            for name in try Fixture.imageNames {
                let bytes = try Fixture.bytes(name)
                for _ in 0..<25 {
                    var mutated = bytes
                    for _ in 0..<random.below(4) + 1 {
                        let at = random.below(bytes.count)
                        switch random.below(4) {
                        case 0: mutated[at] ^= UInt8(1 << random.below(8))
                        case 1: mutated[at] = 0
                        case 2: mutated[at] = 255
                        default: mutated[at] = UInt8(random.below(256))
                        }
                    }
                    let outcome = Result { () throws(HadpoError) in
                        try RGBImage.decode(mutated, limits: ImageLimits(maxPixels: 4_000_000))
                    }
                    switch outcome {
                    case .success(let image): #expect(image.pixels.count == image.width * image.height * 3)
                    case .failure(let error): #expect(error.status == .format && !error.message.isEmpty, "\(name)")
                    }
                }
            }
        }
        for word in ["libpng", "JPEG", "jpeg"] { #expect(!printed.contains(word), "\(printed)") }
    }

    @Test("a PNG of 60000 x 60000 pixels is refused by its header")
    func hugePNG() throws {
        let error = try decodeError(patchedHeader("rgb8.png", width: 60000, height: 60000))
        #expect(error?.status == .format)
        #expect(error?.message == "the image has 60000 x 60000 pixels, more than the limit of 178956970")
    }

    @Test("a JPEG of 60000 x 60000 pixels is refused by its header")
    func hugeJPEG() throws {
        let error = try decodeError(patchedFrame("ycc420.jpg", width: 60000, height: 60000))
        #expect(error?.message == "the image has 60000 x 60000 pixels, more than the limit of 178956970")
    }

    @Test("the largest size a PNG can declare is refused by its header")
    func largestPNG() throws {
        let error = try decodeError(patchedHeader("rgba16.png", width: 0x7FFF_FFFF, height: 0x7FFF_FFFF))
        #expect(error?.message.contains("more than the limit") == true)
    }

    @Test("the pixel limit is the caller's")
    func ownLimit() throws {
        let bytes = try Fixture.bytes("rgb8.png")
        #expect(decodeError(bytes, ImageLimits(maxPixels: 23 * 17)) == nil)
        #expect(decodeError(bytes, ImageLimits(maxPixels: 23 * 17 - 1))?.status == .format)
        #expect(decodeError(bytes, ImageLimits(maxPixels: -5))?.status == .format)
    }

    @Test("a small file that declares many pixels and has none is an error", arguments: ["rgb8.png", "rgba16_interlaced.png"])
    func declaredOnly(_ name: String) throws {
        #expect(try decodeError(patchedHeader(name, width: 10000, height: 10000))?.status == .format)
    }

    @Test("zero sizes are errors")
    func zeroSizes() throws {
        #expect(try decodeError(patchedHeader("rgb8.png", width: 0, height: 17))?.status == .format)
        #expect(try decodeError(patchedHeader("rgb8.png", width: 23, height: 0))?.status == .format)
        #expect(try decodeError(patchedFrame("ycc420.jpg", width: 0, height: 17))?.status == .format)
        #expect(try decodeError(patchedFrame("ycc420.jpg", width: 23, height: 0))?.status == .format)
    }

    @Test("absurd chunk lengths are errors", arguments: [0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF])
    func chunkLengths(_ length: Int) throws {
        for (name, kind) in [("palette8.png", "PLTE"), ("rgb8_key.png", "tEXt"), ("rgb8_key.png", "tRNS"), ("rgb8.png", "IDAT")] {
            var bytes = try Fixture.bytes(name)
            let at = try #require(position(of: Array(kind.utf8), in: bytes))
            bytes.replaceSubrange(at - 4..<at, with: bigEndian(length))
            #expect(decodeError(bytes)?.status == .format, "\(kind)")
        }
    }

    @Test("an index beyond the palette is black, as Pillow has it")
    func paletteIndexOutOfRange() throws {
        let image = try RGBImage.decode(Fixture.bytes("palette_short.png"))
        let pixels = image.pixels.elements
        let black = stride(from: 0, to: pixels.count, by: 3).filter { pixels[$0..<$0 + 3].allSatisfy { $0 == 0 } }
        #expect(!black.isEmpty)
    }

    @Test("a progressive JPEG with more scans than the limit is refused before they are decoded")
    func scans() throws {
        var bytes = try Fixture.bytes("progressive.jpg")
        let scan = try #require(lastPosition(of: [0xFF, 0xDA], in: bytes))
        let refinement = Array(bytes[scan..<bytes.count - 2])
        bytes.removeLast(2)
        for _ in 0..<150 { bytes += refinement }
        bytes += [0xFF, 0xD9]
        #expect(decodeError(bytes)?.message == "the JPEG has more scans than the limit of 100")
        #expect(decodeError(bytes, ImageLimits(maxPixels: 1000, maxJPEGScans: 1000)) == nil)
    }

    @Test("what is no image says what it is instead")
    func noImage() {
        let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
        #expect(decodeError(Array(pointer.utf8))?.message.contains("git-lfs pointer") == true)
        #expect(decodeError([])?.message == "no bytes")
        #expect(decodeError(Array("GIF89a..".utf8))?.message == "neither a PNG nor a JPEG file but a GIF")
        #expect(decodeError([0xFF])?.message == "neither a PNG nor a JPEG file")
        #expect(decodeError([0xFF, 0xD8, 0xFF])?.status == .format)
        #expect(decodeError([0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A])?.status == .format)
        #expect(decodeError([UInt8](repeating: 0, count: 100_000))?.status == .format)
        #expect(decodeError([0xFF, 0xD8] + [UInt8](repeating: 0xFF, count: 100_000))?.status == .format)
    }

    // MARK: surgery

    private func bigEndian(_ value: Int) -> [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) } }

    private func position(of needle: [UInt8], in bytes: [UInt8]) -> Int? {
        (0...bytes.count - needle.count).first { Array(bytes[$0..<$0 + needle.count]) == needle }
    }

    private func lastPosition(of needle: [UInt8], in bytes: [UInt8]) -> Int? {
        (0...bytes.count - needle.count).last { Array(bytes[$0..<$0 + needle.count]) == needle }
    }

    /// A PNG with another size in its header, checksum included.
    private func patchedHeader(_ name: String, width: Int, height: Int) throws -> [UInt8] {
        var bytes = try Fixture.bytes(name)
        bytes.replaceSubrange(16..<24, with: bigEndian(width) + bigEndian(height))
        bytes.replaceSubrange(29..<33, with: bigEndian(crc32(bytes[12..<29])))
        return bytes
    }

    /// A baseline JPEG with another size in its frame header.
    private func patchedFrame(_ name: String, width: Int, height: Int) throws -> [UInt8] {
        var bytes = try Fixture.bytes(name)
        let frame = try #require(position(of: [0xFF, 0xC0], in: bytes))
        bytes.replaceSubrange(frame + 5..<frame + 9, with: bigEndian(height)[2...] + bigEndian(width)[2...])
        return bytes
    }

    /// What arrives on standard error while `body` runs; other tests may write there too, and it is passed on.
    private func textOnStandardError(_ body: () throws -> Void) throws -> String {
        let file = try #require(tmpfile())
        defer { fclose(file) }
        let standardError = dup(2)
        dup2(fileno(file), 2)
        defer { close(standardError) }
        do {
            defer { dup2(standardError, 2) }
            try body()
        }
        rewind(file)
        var text: [UInt8] = []
        while case let byte = fgetc(file), byte != EOF { text.append(UInt8(truncatingIfNeeded: byte)) }
        _ = write(standardError, text, text.count)
        return String(decoding: text, as: UTF8.self)
    }
}
