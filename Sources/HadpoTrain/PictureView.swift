import HadpoBase
import HadpoVision

/// Which part of a picture file the vision tower sees.
package enum PictureView: Sendable, Hashable {
    case whole
    /// A random crop, drawn from these numbers once the picture's size is known.
    case crop(seed: UInt64, stream: UInt64, flips: Bool)

    /// For keys of caches; nothing for a whole picture.
    var key: String {
        switch self {
        case .whole: ""
        case .crop(let seed, let stream, let flips): "|crop \(seed) \(stream) \(flips)"
        }
    }

    func pixels(of image: RGBImage, _ pipeline: ImagePipeline) throws(HadpoError) -> Block<Float> {
        switch self {
        case .whole: return try pipeline.pixelValues(image)
        case .crop(let seed, let stream, let flips):
            var random = Philox(seed: seed, stream: stream)
            let (box, isFlipped) = RandomCrop(flips: flips).draw(width: image.width, height: image.height, random: &random)
            return try pipeline.pixelValues(image, crop: box, flipped: isFlipped)
        }
    }
}

package struct Picture: Sendable, Hashable {
    package let path: String
    package let view: PictureView

    package init(path: String, view: PictureView = .whole) {
        self.path = path
        self.view = view
    }
}
