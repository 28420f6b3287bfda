import CHadpoImage
import HadpoBase

/// What a picture may ask for before anything is allocated.
package struct ImageLimits: Sendable, Equatable {
    /// Pillow stops here too (twice its MAX_IMAGE_PIXELS).
    package var maxPixels = 178_956_970
    package var maxJPEGScans = 100
    package init() {}
    package init(maxPixels: Int, maxJPEGScans: Int = 100) {
        self.maxPixels = maxPixels
        self.maxJPEGScans = maxJPEGScans
    }
}

/// Immutable pixels: packed RGB, rows top to bottom, `width * height * 3` bytes.
package struct RGBImage: Sendable, Equatable {
    package let width: Int
    package let height: Int
    package let pixels: [UInt8]

    /// The caller has made `pixels` of the right size.
    package init(width: Int, height: Int, pixels: [UInt8]) {
        self.width = width
        self.height = height
        self.pixels = pixels
    }

    /// Copies a host's pixels; `rowBytes` is the distance between its rows.
    package init(
        rgb8: UnsafePointer<UInt8>, width: Int, height: Int, rowBytes: Int, limits: ImageLimits = .init()
    ) throws(HadpoError) {
        try Self.check(width: width, height: height, maxPixels: limits.maxPixels)
        let packed = width * 3  // cannot overflow: checked above
        let (_, overflow) = rowBytes.multipliedReportingOverflow(by: height)
        guard rowBytes >= packed, !overflow else {
            throw HadpoError(
                .argument, "rows of pixels overlap or do not fit the address space", found: "\(rowBytes) bytes per row",
                expected: "at least \(packed) for \(width) pixels")
        }
        var pixels: [UInt8] = []
        pixels.reserveCapacity(packed * height)
        for y in 0..<height { pixels.append(contentsOf: UnsafeBufferPointer(start: rgb8 + y * rowBytes, count: packed)) }
        self.init(width: width, height: height, pixels: pixels)
    }

    /// PNG or JPEG bytes to the pixels of Pillow's `Image.open(file).convert("RGB")`: transparency is dropped, EXIF
    /// orientation and colour profiles are ignored.
    package static func decode(_ bytes: UnsafeRawBufferPointer, limits: ImageLimits = .init()) throws(HadpoError) -> RGBImage {
        var bounds = hi_limits()
        bounds.max_pixels = UInt64(clamping: limits.maxPixels)
        bounds.max_jpeg_scans = UInt32(clamping: limits.maxJPEGScans)
        var decoded = hi_image()
        var message = Message()
        let status = hi_decode(
            bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count, &bounds, &decoded, &message.text)
        do throws(HadpoError) {
            try message.check(status)
        } catch {
            // PNG and JPEG files that are damaged have their decoder's word.
            let isPicture = bytes.starts(with: [0x89, 0x50]) || bytes.starts(with: [0xFF, 0xD8]) || bytes.isEmpty
            if error.status == .format, !isPicture, let kind = ForeignContent.describe(bytes) {
                let isOtherPicture = kind.hasSuffix("picture")
                throw HadpoError(
                    .format, isOtherPicture ? "\(error.message); this is \(kind)" : "this is \(kind)",
                    expected: "a PNG or JPEG file")
            }
            throw error
        }
        defer { hi_free(decoded.pixels) }
        let size = decoded.width * decoded.height * 3
        return RGBImage(
            width: decoded.width, height: decoded.height,
            pixels: Array(UnsafeBufferPointer(start: decoded.pixels, count: size)))
    }

    package static func decode(_ bytes: [UInt8], limits: ImageLimits = .init()) throws(HadpoError) -> RGBImage {
        try bytes.withUnsafeBytes { raw in Result { () throws(HadpoError) in try decode(raw, limits: limits) } }.get()
    }

    /// This image as a PNG file.
    package func png() throws(HadpoError) -> [UInt8] {
        var bytes: UnsafeMutablePointer<UInt8>?
        var count = 0
        var message = Message()
        try message.check(hi_encode_png(pixels, width, height, &bytes, &count, &message.text))
        defer { hi_free(bytes) }
        return Array(UnsafeBufferPointer(start: bytes, count: count))
    }

    /// Sizes are positive and within the limit, so that `width * height * 3` cannot overflow.
    static func check(width: Int, height: Int, maxPixels: Int) throws(HadpoError) {
        guard width > 0, height > 0 else {
            throw HadpoError(.argument, "an image needs at least one pixel", found: "\(width) x \(height)")
        }
        let (count, overflow) = width.multipliedReportingOverflow(by: height)
        guard !overflow, count <= maxPixels, count <= Int.max / 4 else {
            throw HadpoError(
                .argument, "the image is too large", found: "\(width) x \(height) pixels", expected: "at most \(maxPixels)")
        }
    }
}

/// The message buffer of a C call.
struct Message {
    var text = [CChar](repeating: 0, count: Int(HI_MESSAGE_SIZE))

    func check(_ status: hi_status) throws(HadpoError) {
        if status == HI_OK { return }
        let sentence = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        switch status {
        case HI_NO_MEMORY: throw HadpoError(.noMemory, sentence)
        case HI_ARGUMENT: throw HadpoError(.argument, sentence)
        default: throw HadpoError(.format, sentence)
        }
    }
}
