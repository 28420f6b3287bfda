import HadpoBase

/// From a decoded image to what a vision tower eats, in the order of HF's processors: pad, resize, centre crop, rescale,
/// normalise. Bit-equal to transformers' PIL processors and, with padding, to upstream LLaVA's path.
/// Transformers leaves the order of the resampling passes to Pillow: see `passOrder`.
/// H, W: size of the output.
package struct ImagePipeline: Sendable, Equatable {
    package enum Resize: Sendable, Equatable {
        case none
        /// The shorter side becomes this, the longer one keeps the proportion, rounded down.
        case shortestEdge(Int)
        case exact(height: Int, width: Int)
    }
    package struct Size: Sendable, Equatable {
        package let height: Int, width: Int
        package init(height: Int, width: Int) { (self.height, self.width) = (height, width) }
    }
    package struct Normalization: Sendable, Equatable {
        package let mean: [Double], std: [Double]  // three each
        package init(mean: [Double], std: [Double]) { (self.mean, self.std) = (mean, std) }
    }

    /// Pad to a square with the mean colour before anything else.
    package let pad: Bool
    package let resize: Resize
    package let resample: Resample
    package let passOrder: PassOrder
    /// Cut from the middle; a side that is too short is filled with black.
    package let crop: Size?
    package let rescale: Double?
    package let normalization: Normalization?
    package let outputSize: (height: Int, width: Int)

    /// Sides beyond this are a broken config, not a vision tower.
    private static let largestSide = 8192

    package init(
        pad: Bool, resize: Resize, resample: Resample, passOrder: PassOrder = .pillow12, crop: Size?, rescale: Double?,
        normalization: Normalization?
    ) throws(HadpoError) {
        let sides: [Int]
        switch (crop, resize) {
        case (let crop?, .none): (outputSize, sides) = ((crop.height, crop.width), [])
        case (let crop?, .shortestEdge(let edge)): (outputSize, sides) = ((crop.height, crop.width), [edge])
        case (let crop?, .exact(let height, let width)): (outputSize, sides) = ((crop.height, crop.width), [height, width])
        case (nil, .exact(let height, let width)): (outputSize, sides) = ((height, width), [])
        case (nil, .shortestEdge(let edge)) where pad: (outputSize, sides) = ((edge, edge), [])
        default:
            throw HadpoError(
                .config, "the image processor leaves images of different sizes",
                expected: "do_center_crop, or do_resize to one height and width")
        }
        for side in sides + [outputSize.height, outputSize.width] where !(1...Self.largestSide).contains(side) {
            throw HadpoError(
                .config, "a side in the image processor's size or crop_size is out of range", found: "\(side)",
                expected: "1 to \(Self.largestSide)")
        }
        if let normalization {
            guard normalization.mean.count == 3, normalization.std.count == 3, normalization.mean.allSatisfy(\.isFinite),
                normalization.std.allSatisfy({ $0.isFinite && Float($0) > 0 })
            else {
                throw HadpoError(
                    .config, "the image processor's image_mean and image_std cannot be used",
                    found: "\(normalization.mean), \(normalization.std)", expected: "three numbers each, deviations above 0")
            }
        }
        if pad, normalization.map({ !$0.mean.allSatisfy { (0...1).contains($0) } }) ?? false {
            throw HadpoError(
                .config, "the mean colour, image_mean, cannot fill the padding", found: "\(normalization?.mean ?? [])",
                expected: "three numbers in 0...1")
        }
        if let rescale, !rescale.isFinite { throw HadpoError(.config, "the rescale factor is not a finite number") }
        (self.pad, self.resize, self.resample, self.passOrder, self.crop) = (pad, resize, resample, passOrder, crop)
        (self.rescale, self.normalization) = (rescale, normalization)
    }

    /// CLIP's constants; BLIP, EVA and LLaVA use the same.
    package static let clipNormalization = Normalization(
        mean: [0.48145466, 0.4578275, 0.40821073], std: [0.26862954, 0.26130258, 0.27577711])

    /// CLIP and LLaVA: shortest edge, then the centre. With `pad`, as `image_aspect_ratio: "pad"` asks, nothing is cut off.
    package static func clip(size: Int, pad: Bool) throws(HadpoError) -> ImagePipeline {
        try ImagePipeline(
            pad: pad, resize: .shortestEdge(size), resample: .bicubic, crop: Size(height: size, width: size), rescale: 1 / 255,
            normalization: clipNormalization)
    }

    /// MiniGPT-4's and InstructBLIP's evaluation transform: straight to a square, proportions not kept.
    package static func blip(size: Int) throws(HadpoError) -> ImagePipeline {
        try ImagePipeline(
            pad: false, resize: .exact(height: size, width: size), resample: .bicubic, crop: nil, rescale: 1 / 255,
            normalization: clipNormalization)
    }

    /// The same pipeline with or without padding to a square.
    package func padding(_ pad: Bool) throws(HadpoError) -> ImagePipeline {
        try ImagePipeline(
            pad: pad, resize: resize, resample: resample, passOrder: passOrder, crop: crop, rescale: rescale,
            normalization: normalization)
    }

    /// The same pipeline as another Pillow runs it.
    package func ordered(_ passOrder: PassOrder) throws(HadpoError) -> ImagePipeline {
        try ImagePipeline(
            pad: pad, resize: resize, resample: resample, passOrder: passOrder, crop: crop, rescale: rescale,
            normalization: normalization)
    }

    /// 3*H*W values, channel by channel. They count against the budget that the image counts against.
    package func pixelValues(_ image: RGBImage) throws(HadpoError) -> Block<Float> {
        try pixelValues(image, crop: nil, flipped: false)
    }

    /// The same of a part of the image, cut out before anything else, and mirrored before the values are made: a random crop of
    /// training (see `RandomCrop`).
    package func pixelValues(_ image: RGBImage, crop: CropBox?, flipped: Bool) throws(HadpoError) -> Block<Float> {
        var image = image
        if let crop { image = try image.part(crop) }
        image = try resizedAndCropped(image)
        if flipped { image = try image.mirrored() }
        let tables = (0..<3).map(valueOfByte)
        let count = outputSize.height * outputSize.width
        guard image.pixels.count == 3 * count else {
            throw HadpoError(
                .internal, "a picture has another size than its pipeline makes", found: "\(image.width) x \(image.height)")
        }
        let values = try Block<Float>(count: 3 * count, for: "a picture's values", budget: image.pixels.budget)
        let (source, target) = (image.pixels.base, values.base)
        for channel in 0..<3 {
            tables[channel].withUnsafeBufferPointer { table in
                for i in 0..<count { target[channel * count + i] = table[Int(source[3 * i + channel])] }
            }
        }
        withExtendedLifetime(image) {}
        return values
    }

    /// Everything that shapes the output, as one line: part of cache keys.
    package var identity: String {
        var parts = ["rgb"]
        if pad { parts.append("pad \(background)") }
        switch resize {
        case .none: break
        case .shortestEdge(let edge): parts.append("shortest edge \(edge) \(resample) \(passOrder)")
        case .exact(let height, let width): parts.append("resize \(height)x\(width) \(resample) \(passOrder)")
        }
        if let crop { parts.append("centre crop \(crop.height)x\(crop.width)") }
        if let rescale { parts.append("times \(rescale)") }
        if let normalization { parts.append("mean \(normalization.mean) std \(normalization.std)") }
        return parts.joined(separator: "; ")
    }

    // MARK: steps

    private func resizedAndCropped(_ image: RGBImage) throws(HadpoError) -> RGBImage {
        var image = image
        if pad { image = try image.paddedToSquare((background[0], background[1], background[2])) }
        switch resize {
        case .none: break
        case .shortestEdge(let edge):
            let short = min(image.width, image.height)
            let long = max(image.width, image.height)
            let newLong = edge * long / short  // Python's int(edge * long / short): equal while edge * long < 2^53
            image =
                image.width <= image.height
                ? try image.resized(width: edge, height: newLong, resample, order: passOrder)
                : try image.resized(width: newLong, height: edge, resample, order: passOrder)
        case .exact(let height, let width): image = try image.resized(width: width, height: height, resample, order: passOrder)
        }
        if let crop, (crop.width, crop.height) != (image.width, image.height) {
            // >> 1 is Python's // 2: a negative corner rounds away from the image
            image = try image.cropped(
                left: (image.width - crop.width) >> 1, top: (image.height - crop.height) >> 1, width: crop.width,
                height: crop.height)
        }
        return image
    }

    /// The mean colour, cut off to bytes as upstream does; black without a mean.
    private var background: [UInt8] {
        normalization?.mean.map { UInt8($0 * 255) } ?? [0, 0, 0]  // 0...1 by init
    }

    /// Rescaling is done in double and rounded once, normalising in float: this is what HF's numpy code does, and float
    /// multiplication by 1/255 would differ for 126 of the 256 bytes.
    private func valueOfByte(_ channel: Int) -> [Float] {
        (0..<256).map { byte in
            let value = Float(Double(byte) * (rescale ?? 1))
            guard let normalization else { return value }
            return (value - Float(normalization.mean[channel])) / Float(normalization.std[channel])
        }
    }

    package static func == (a: ImagePipeline, b: ImagePipeline) -> Bool {
        a.pad == b.pad && a.resize == b.resize && a.resample == b.resample && a.passOrder == b.passOrder && a.crop == b.crop
            && a.rescale == b.rescale
            && a.normalization == b.normalization
    }
}
