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

/// Immutable pixels: packed RGB, rows top to bottom, `width * height * 3` bytes. Copies share them.
package struct RGBImage: Sendable, Equatable {
    package let width: Int
    package let height: Int
    package let pixels: Block<UInt8>

    /// The caller has made `pixels` of the right size.
    init(width: Int, height: Int, pixels: Block<UInt8>) {
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
        let pixels = try Block<UInt8>(count: packed * height, for: "a picture")
        for y in 0..<height { (pixels.base + y * packed).update(from: rgb8 + y * rowBytes, count: packed) }
        self.init(width: width, height: height, pixels: pixels)
    }

    /// PNG or JPEG bytes to the pixels of Pillow's `Image.open(file).convert("RGB")`: transparency is dropped, EXIF
    /// orientation and colour profiles are ignored. What the pixels take is asked of `budget` before anything is decoded.
    package static func decode(
        _ bytes: UnsafeRawBufferPointer, limits: ImageLimits = .init(), budget: (any MemoryBudget)? = nil
    ) throws(HadpoError) -> RGBImage {
        let claim = Claim(budget)
        var bounds = hi_limits()
        bounds.max_pixels = UInt64(clamping: limits.maxPixels)
        bounds.max_jpeg_scans = UInt32(clamping: limits.maxJPEGScans)
        bounds.context = Unmanaged.passUnretained(claim).toOpaque()
        bounds.reserve = { context, size, isPixels in
            guard let context else { return 0 }
            return Unmanaged<Claim>.fromOpaque(context).takeUnretainedValue().take(size, isPixels: isPixels != 0) ? 1 : 0
        }
        var decoded = hi_image()
        var message = Message()
        let status = withExtendedLifetime(claim) {
            hi_decode(bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count, &bounds, &decoded, &message.text)
        }
        if let refusal = claim.refusal { throw refusal }
        do throws(HadpoError) {
            try message.check(status)
        } catch {
            // PNG and JPEG files that are damaged have their decoder's word, other pictures their name.
            let isPicture = bytes.starts(with: [0x89, 0x50]) || bytes.starts(with: [0xFF, 0xD8]) || bytes.isEmpty
            guard error.status == .format, !isPicture, let kind = ForeignContent.describe(bytes), !kind.hasSuffix("picture")
            else { throw error }
            throw HadpoError(.format, "this is \(kind)", expected: "a PNG or JPEG file")
        }
        let pixels = Block<UInt8>(
            adopting: decoded.pixels, count: decoded.width * decoded.height * 3, budget: budget, reservation: claim.pixels)
        return RGBImage(width: decoded.width, height: decoded.height, pixels: pixels)
    }

    package static func decode(_ bytes: [UInt8], limits: ImageLimits = .init()) throws(HadpoError) -> RGBImage {
        try bytes.withUnsafeBytes { raw in Result { () throws(HadpoError) in try decode(raw, limits: limits) } }.get()
    }

    /// A picture file. Its contents and its pixels count against `budget`.
    package static func read(
        _ path: String, budget: (any MemoryBudget)? = nil, limit: Int = 1 << 31, limits: ImageLimits = .init()
    ) throws(HadpoError) -> RGBImage {
        let bytes = try File.bytes(path, limit: limit)
        let held = try budget?.reserve(bytes.count, for: "a picture file")
        defer { withExtendedLifetime(held) {} }
        return try bytes.withBytes { (raw) throws(HadpoError) in try decode(raw, limits: limits, budget: budget) }
    }

    /// The same pixels, counted against `budget` while the result is in use: a host's picture in a call.
    package func counted(against budget: any MemoryBudget) throws(HadpoError) -> RGBImage {
        RGBImage(width: width, height: height, pixels: try Block(pixels, against: budget, for: "a picture"))
    }

    /// This image as a PNG file.
    package func png() throws(HadpoError) -> Block<UInt8> {
        var bytes: UnsafeMutablePointer<UInt8>?
        var count = 0
        var message = Message()
        try message.check(hi_encode_png(pixels.base, width, height, &bytes, &count, &message.text))
        guard let bytes else { throw HadpoError(.internal, "an encoded picture has no bytes") }
        return Block(adopting: bytes, count: count, budget: nil, reservation: nil)
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

/// What a decoder asks of a budget while it runs: the pixels, which stay, and what it holds beside them until it is done.
private final class Claim {
    private let budget: (any MemoryBudget)?
    private(set) var pixels: MemoryReservation?
    private var passing: [MemoryReservation] = []
    private(set) var refusal: HadpoError?

    init(_ budget: (any MemoryBudget)?) { self.budget = budget }

    func take(_ byteCount: Int, isPixels: Bool) -> Bool {
        guard let budget else { return true }
        do throws(HadpoError) {
            let granted = try budget.reserve(byteCount, for: "a decoded picture")
            if isPixels { pixels = granted } else { passing.append(granted) }
            return true
        } catch {
            refusal = error
            return false
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
