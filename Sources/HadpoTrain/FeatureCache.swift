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
    /// With and without the adapter's pairs on the tower, where there are any.
    private struct Key: Hashable {
        let picture: Picture
        let isAdapted: Bool
    }
    private let hasTowerAdapter: Bool
    private var entries: [Key: Entry] = [:]
    /// Every use in order. One that is not its picture's last is passed over, so that finding the oldest needs no search.
    private var uses: [(key: Key, time: Int)] = []
    private var firstUse = 0
    private var bytes = 0
    private var clock = 0
    /// Content hash of each picture file seen, for keys that outlive the run.
    private var hashes: [String: String] = [:]

    package init(model: any VisionLanguageModel, limit: Int) {
        self.model = model
        self.limit = limit
        hasTowerAdapter = model.hasTowerAdapter
    }

    /// Pixels of a picture, prepared for the tower.
    package func pixels(_ picture: Picture) throws(HadpoError) -> Block<Float> {
        let path = picture.path
        let bytes = try File.bytes(path)
        hashes[path] = try SHA256.hex(bytes)
        do throws(HadpoError) {
            let arena = model.device.arena
            let held = try arena.reserve(bytes.count, for: "a picture file")
            defer { withExtendedLifetime(held) {} }
            let image = try bytes.withBytes { (raw) throws(HadpoError) in try RGBImage.decode(raw, budget: arena) }
            return try picture.view.pixels(of: image, model.pipeline)
        } catch {
            var failure = error
            failure.place = failure.place.map { "\(path): \($0)" } ?? path
            throw failure
        }
    }

    package func contentHash(_ picture: Picture) throws(HadpoError) -> String {
        let path = picture.path
        if let known = hashes[path] { return known + picture.view.key }
        let hash = try SHA256.hex(File.bytes(path))
        hashes[path] = hash
        return hash + picture.view.key
    }

    /// Features of one picture, [featureRows, width].
    package func features(
        _ picture: Picture, adapters: AdapterUse = .current, progress: any Progress
    ) throws(HadpoError) -> Tensor {
        clock += 1
        let key = Key(picture: picture, isAdapted: hasTowerAdapter && adapters != .none)
        if let found = entries[key] {
            entries[key]?.lastUse = clock
            noteUse(key)
            return found.features
        }
        let tape = Tape(device: model.device, progress: progress, adapters: adapters)
        let features = try model.features(tape, [try pixels(picture)]).data
        if features.byteCount <= limit {
            while bytes + features.byteCount > limit, removeOldest() {}
            entries[key] = Entry(features: features, lastUse: clock)
            noteUse(key)
            bytes += features.byteCount
        }
        return features
    }

    private func noteUse(_ key: Key) {
        if uses.count > 2 * entries.count + 64 {
            uses = uses[firstUse...].filter { entries[$0.key]?.lastUse == $0.time }
            firstUse = 0
        }
        uses.append((key, clock))
    }

    /// False when there is none.
    private func removeOldest() -> Bool {
        while firstUse < uses.count {
            let use = uses[firstUse]
            firstUse += 1
            guard let entry = entries[use.key], entry.lastUse == use.time else { continue }
            bytes -= entry.features.byteCount
            entries[use.key] = nil
            return true
        }
        return false
    }

    /// Features of several pictures, one below the other.
    package func features(_ pictures: [Picture], tape: Tape) throws(HadpoError) -> Value {
        var parts: [(value: Value, rows: Range<Int>)] = []
        for picture in pictures {
            let features = try features(picture, adapters: tape.adapters, progress: tape.progress)
            parts.append((Value(features), 0..<features.rows))
        }
        return try tape.concatenate(parts)
    }
}
