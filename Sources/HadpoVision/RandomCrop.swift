import Glibc
import HadpoBase

/// A part of an image, in pixels.
package struct CropBox: Sendable, Equatable {
    package let top: Int, left: Int, height: Int, width: Int
    package init(top: Int, left: Int, height: Int, width: Int) {
        (self.top, self.left, self.height, self.width) = (top, left, height, width)
    }
}

/// torchvision's RandomResizedCrop and RandomHorizontalFlip, as far as they are drawn; `ImagePipeline` does the rest. MiniGPT-4
/// trains on such crops without flips, InstructBLIP with them. The numbers come from Philox, not from torch's generator.
package struct RandomCrop: Sendable, Equatable {
    /// Of the image's area.
    package var scale: ClosedRange<Double>
    /// Width over height, drawn evenly in its logarithm. Above 0.
    package var ratio: ClosedRange<Double>
    /// Half of the crops are mirrored.
    package var flips: Bool

    private static let attempts = 10

    package init(scale: ClosedRange<Double> = 0.5...1, ratio: ClosedRange<Double> = (3.0 / 4)...(4.0 / 3), flips: Bool) {
        (self.scale, self.ratio, self.flips) = (scale, ratio, flips)
    }

    /// The box and whether it is mirrored, for an image with at least one pixel.
    package func draw(width: Int, height: Int, random: inout Philox) -> (CropBox, Bool) {
        let box = drawBox(width: width, height: height, random: &random)
        return (box, flips && random.uniform() < 0.5)
    }

    private func drawBox(width: Int, height: Int, random: inout Philox) -> CropBox {
        let area = Double(width) * Double(height)
        for _ in 0..<Self.attempts {
            let target = area * uniform(scale, &random)
            let aspect = exp(uniform(log(ratio.lowerBound)...log(ratio.upperBound), &random))
            guard let w = rounded((target * aspect).squareRoot()), let h = rounded((target / aspect).squareRoot()),
                (1...width).contains(w), (1...height).contains(h)
            else { continue }
            let top = random.below(height - h + 1)
            let left = random.below(width - w + 1)
            return CropBox(top: top, left: left, height: h, width: w)
        }
        return central(width, height)
    }

    /// The whole image, its longer side shortened to the nearer bound of the ratio.
    private func central(_ width: Int, _ height: Int) -> CropBox {
        let found = Double(width) / Double(height)
        var (w, h) = (width, height)
        if found < ratio.lowerBound {
            h = rounded(Double(width) / ratio.lowerBound) ?? height
        } else if found > ratio.upperBound {
            w = rounded(Double(height) * ratio.upperBound) ?? width
        }
        return CropBox(top: (height - h) / 2, left: (width - w) / 2, height: h, width: w)
    }

    private func uniform(_ range: ClosedRange<Double>, _ random: inout Philox) -> Double {
        range.lowerBound + (range.upperBound - range.lowerBound) * random.uniform()
    }

    /// Halves to even, as Python rounds.
    private func rounded(_ value: Double) -> Int? { Int(exactly: value.rounded(.toNearestOrEven)) }
}
