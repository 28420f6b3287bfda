import HadpoAutograd
import HadpoBase
import HadpoModels
import HadpoTensor
import HadpoTestSupport
import HadpoTrain
import Testing

private let fixtures = File.join(File.folder(of: File.folder(of: #filePath)), "Fixtures/llava")

/// Counts what the vision tower is asked for: a cache that keeps nothing computes everything again.
@Suite struct FeatureCacheTests {
    private let model: any VisionLanguageModel
    private let folder: TemporaryFolder
    private let pictures: [Picture]

    init() throws {
        let device = try Device(threads: 1, numerics: .exact)
        let files = try ModelFamily.openFolder(
            ModelFiles(path: File.join(fixtures, "old-f32")), arena: device.arena, progress: SilentProgress())
        model = try files.openModel(device: device, processor: .pad, weights: .stored, progress: SilentProgress())
        folder = try TemporaryFolder()
        for (name, source) in [("a.jpg", "wide.jpg"), ("b.png", "tall.png"), ("c.jpg", "wide.jpg")] {
            try folder.write(name, try File.read(File.join(fixtures, "pictures/\(source)")))
        }
        pictures = ["a.jpg", "b.png", "c.jpg"].map { [folder] name in Picture(path: folder[name]) }
    }

    /// A picture whose file is gone can only come from the cache.
    private func isKept(_ cache: FeatureCache, _ picture: Picture) throws -> Bool {
        let bytes = try File.read(picture.path)
        try File.remove(picture.path)
        defer { _ = try? folder.write(File.name(of: picture.path), bytes) }
        do throws(HadpoError) {
            _ = try cache.features(picture, progress: SilentProgress())
            return true
        } catch { return false }
    }

    private func size() throws -> Int {
        try FeatureCache(model: model, limit: 0).features(pictures[0], progress: SilentProgress()).byteCount
    }

    @Test("what is kept has the bits of what is computed, and the picture used longest ago leaves first") func eviction() throws {
        let cache = FeatureCache(model: model, limit: 2 * (try size()))
        let first = try cache.features(pictures[0], progress: SilentProgress()).floats()
        _ = try cache.features(pictures[1], progress: SilentProgress())
        #expect(try cache.features(pictures[0], progress: SilentProgress()).floats() == first)
        // a was used after b: c takes b's room.
        _ = try cache.features(pictures[2], progress: SilentProgress())
        #expect(try isKept(cache, pictures[0]) && isKept(cache, pictures[2]))
        #expect(try !isKept(cache, pictures[1]))
        #expect(try FeatureCache(model: model, limit: 0).features(pictures[0], progress: SilentProgress()).floats() == first)
    }

    @Test("a limit below one picture keeps none, and the features are the same") func none() throws {
        let cache = FeatureCache(model: model, limit: try size() - 1)
        let first = try cache.features(pictures[0], progress: SilentProgress()).floats()
        #expect(try !isKept(cache, pictures[0]))
        #expect(try cache.features(pictures[0], progress: SilentProgress()).floats() == first)
    }
}
