import CHadpoImage
import HadpoBase

/// Resampling filters under Pillow's numbers, which `preprocessor_config.json` uses too.
package enum Resample: Int, Sendable {
    case nearest = 0
    case lanczos, bilinear, bicubic, box, hamming
}

/// Which axis is resampled first, by the Pillow that does so. It shows by a level or two in images that shrink more in height.
package enum PassOrder: Int, Sendable {
    /// Every Pillow up to 12, so also what HA-DPO's published numbers were made with.
    case pillow12 = 12
    case pillow13 = 13
}

extension RGBImage {
    /// Pillow's `Image.resize`, bit for bit.
    package func resized(
        width newWidth: Int, height newHeight: Int, _ resample: Resample, order: PassOrder = .pillow12,
        limits: ImageLimits = .init()
    ) throws(HadpoError) -> RGBImage {
        try Self.check(width: newWidth, height: newHeight, maxPixels: limits.maxPixels)
        if (newWidth, newHeight) == (width, height) { return self }
        let resized = try Block<UInt8>(count: newWidth * newHeight * 3, for: "a resized picture", budget: pixels.budget)
        // Between its two passes the resampling holds one picture more, resized along one side.
        let (across, overflow) = newWidth.multipliedReportingOverflow(by: height)
        let (between, overflow2) = across.multipliedReportingOverflow(by: 3)
        let both = newWidth != width && newHeight != height && resample != .nearest
        guard !overflow, !overflow2 else {
            throw HadpoError(
                .argument, "a picture cannot be resized", found: "\(width) x \(height) to \(newWidth) x \(newHeight)")
        }
        let held = both ? try pixels.budget?.reserve(between, for: "a picture resized half") : nil
        var message = Message()
        let status = hi_resize(
            pixels.base, width, height, resized.base, newWidth, newHeight, hi_filter(UInt32(resample.rawValue)),
            hi_pass_order(UInt32(order.rawValue)), &message.text)
        withExtendedLifetime((held, pixels)) {}
        try message.check(status)
        return RGBImage(width: newWidth, height: newHeight, pixels: resized)
    }

    /// The window with the given corner; what lies outside the image is black.
    package func cropped(
        left: Int, top: Int, width newWidth: Int, height newHeight: Int, limits: ImageLimits = .init()
    ) throws(HadpoError) -> RGBImage {
        try Self.check(width: newWidth, height: newHeight, maxPixels: limits.maxPixels)
        let reach = -(1 << 40)...(1 << 40)  // keeps the sums below from overflowing
        guard reach.contains(left), reach.contains(top) else {
            throw HadpoError(.argument, "a crop window lies too far outside the image", found: "corner \(left), \(top)")
        }
        return try placed(on: newWidth, newHeight, atX: -left, atY: -top, background: (0, 0, 0))
    }

    /// The pixels of a box that lies inside the image.
    func part(_ box: CropBox) throws(HadpoError) -> RGBImage {
        guard box.top >= 0, box.left >= 0, (1...height).contains(box.height), (1...width).contains(box.width),
            box.top <= height - box.height, box.left <= width - box.width
        else {
            throw HadpoError(
                .argument, "a crop box does not lie inside the image",
                found: "\(box.width) x \(box.height) at \(box.left), \(box.top)", expected: "inside \(width) x \(height)")
        }
        if (box.width, box.height) == (width, height) { return self }
        return try cropped(left: box.left, top: box.top, width: box.width, height: box.height)
    }

    /// Left and right exchanged.
    func mirrored() throws(HadpoError) -> RGBImage {
        let mirrored = try Block<UInt8>(count: pixels.count, for: "a mirrored picture", budget: pixels.budget)
        let (source, target) = (pixels.base, mirrored.base)
        for y in 0..<height {
            for x in 0..<width {
                let (to, from) = (3 * (y * width + x), 3 * (y * width + width - 1 - x))
                for channel in 0..<3 { target[to + channel] = source[from + channel] }
            }
        }
        withExtendedLifetime(self) {}
        return RGBImage(width: width, height: height, pixels: mirrored)
    }

    /// A square of the longer side with the image in its middle (upstream's expand2square).
    package func paddedToSquare(_ background: (UInt8, UInt8, UInt8), limits: ImageLimits = .init()) throws(HadpoError) -> RGBImage
    {
        if width == height { return self }
        let side = max(width, height)
        try Self.check(width: side, height: side, maxPixels: limits.maxPixels)
        return try placed(on: side, side, atX: (side - width) / 2, atY: (side - height) / 2, background: background)
    }

    /// A canvas with this image's corner at (x, y), clipped.
    private func placed(
        on canvasWidth: Int, _ canvasHeight: Int, atX x: Int, atY y: Int, background: (UInt8, UInt8, UInt8)
    ) throws(HadpoError) -> RGBImage {
        let canvas = try Block<UInt8>(count: canvasWidth * canvasHeight * 3, for: "a picture's canvas", budget: pixels.budget)
        let target = canvas.base
        for pixel in 0..<canvasWidth * canvasHeight {
            target[3 * pixel] = background.0
            target[3 * pixel + 1] = background.1
            target[3 * pixel + 2] = background.2
        }
        let columns = max(0, x)..<max(max(0, x), min(canvasWidth, x + width))
        let rows = max(0, y)..<max(max(0, y), min(canvasHeight, y + height))
        if !columns.isEmpty {
            for row in rows {
                let from = ((row - y) * width + columns.lowerBound - x) * 3
                let to = (row * canvasWidth + columns.lowerBound) * 3
                (target + to).update(from: pixels.base + from, count: columns.count * 3)
            }
        }
        withExtendedLifetime(self) {}
        return RGBImage(width: canvasWidth, height: canvasHeight, pixels: canvas)
    }
}
