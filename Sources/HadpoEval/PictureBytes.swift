import HadpoBase
import HadpoModels
import HadpoVision

/// Picture files as a run sees them: each read once for the model, and known by what is in it and not by its name.
struct PictureBytes {
    private let model: any VisionLanguageModel
    /// XXH64 of the files that were read so far, by path.
    private var hashes: [String: String] = [:]

    init(_ model: any VisionLanguageModel) { self.model = model }

    mutating func pixels(_ path: String) throws(HadpoError) -> Block<Float> {
        let bytes = try File.bytes(path)
        hashes[path] = try Self.hash(bytes)
        let arena = model.device.arena
        let held = try arena.reserve(bytes.count, for: "a picture file")
        defer { withExtendedLifetime(held) {} }
        let image = try bytes.withBytes { (raw) throws(HadpoError) in try RGBImage.decode(raw, budget: arena) }
        return try model.pipeline.pixelValues(image)
    }

    mutating func hash(_ path: String) throws(HadpoError) -> String {
        if let known = hashes[path] { return known }
        let hash = try Self.hash(File.bytes(path))
        hashes[path] = hash
        return hash
    }

    private static func hash(_ bytes: CheckedBytes) throws(HadpoError) -> String {
        var hash = XXHash64()
        try bytes.withBytes { (raw) throws(HadpoError) in hash.update(raw) }
        return hash.text
    }
}
