import HadpoAutograd
import HadpoBase
import HadpoModels
import HadpoTensor
import HadpoVision

/// Vision features of pictures, encoded once while the tower is frozen. The picture used longest ago leaves first.
package final class FeatureCache {
    private struct Entry {
        let features: Tensor
        var lastUse: Int
    }
    private let model: any VisionLanguageModel
    private let limit: Int
    private var entries: [String: Entry] = [:]
    private var bytes = 0
    private var clock = 0
    /// Content hash of each picture file seen, for keys that outlive the run.
    private var hashes: [String: String] = [:]

    package init(model: any VisionLanguageModel, limit: Int) {
        self.model = model
        self.limit = limit
    }

    /// Pixels of a picture file, prepared for the tower.
    package func pixels(_ path: String) throws(HadpoError) -> [Float] {
        let bytes = try File.read(path)
        hashes[path] = SHA256.hex(bytes)
        do throws(HadpoError) {
            return try model.pipeline.pixelValues(try RGBImage.decode(bytes))
        } catch {
            var failure = error
            failure.place = failure.place.map { "\(path): \($0)" } ?? path
            throw failure
        }
    }

    package func contentHash(_ path: String) throws(HadpoError) -> String {
        if let known = hashes[path] { return known }
        let hash = SHA256.hex(try File.read(path))
        hashes[path] = hash
        return hash
    }

    /// Features of one picture, [imageRows, width].
    package func features(_ path: String, progress: any Progress) throws(HadpoError) -> Tensor {
        clock += 1
        if let found = entries[path] {
            entries[path]?.lastUse = clock
            return found.features
        }
        let tape = Tape(device: model.device, progress: progress)
        let features = try model.features(tape, [try pixels(path)]).data
        if features.byteCount <= limit {
            while bytes + features.byteCount > limit, let oldest = entries.min(by: { $0.value.lastUse < $1.value.lastUse }) {
                bytes -= oldest.value.features.byteCount
                entries[oldest.key] = nil
            }
            entries[path] = Entry(features: features, lastUse: clock)
            bytes += features.byteCount
        }
        return features
    }

    /// Features of several pictures, one below the other.
    package func features(_ paths: [String], tape: Tape) throws(HadpoError) -> Value {
        var parts: [(value: Value, rows: Range<Int>)] = []
        for path in paths {
            let features = try features(path, progress: tape.progress)
            parts.append((Value(features), 0..<features.rows))
        }
        return try tape.concatenate(parts)
    }
}
