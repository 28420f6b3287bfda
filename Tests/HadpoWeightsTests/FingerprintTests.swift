import HadpoBase
import HadpoTensor
import HadpoTestSupport
import HadpoWeights
import Testing

@Suite struct FingerprintTests {
    private let progress = SilentProgress()

    @Test(
        "a byte of a small tensor and 64 KiB of one of some MiB are seen, wherever they stand",
        arguments: [1 << 16, 1 << 18, 5 << 18])
    func changes(_ count: Int) throws {
        let folder = try TemporaryFolder()
        let path = folder["x.safetensors"]
        let writer = try SafetensorsWriter(path, [TensorPlan("x", .f32, [count])], progress: progress)
        try writer.write("x", tensor([Float](repeating: 0.5, count: count), [count]))
        try writer.finish()
        func fingerprint() throws -> String {
            try Checkpoint.open(path, arena: Arena(), progress: progress).fingerprint(progress: progress)
        }
        let bytes = try File.read(path)
        let start = bytes.count - count * 4
        let before = try fingerprint()
        // A tensor of 1 MiB and less is taken whole.
        let width = count * 4 <= 1 << 20 ? 1 : 1 << 16
        for place in [0, count / 3, count, count * 2 + 12_345, count * 3 - 777, count * 4 - width] {
            var changed = bytes
            for offset in place..<place + width { changed[start + offset] ^= 1 }
            try folder.write("x.safetensors", changed)
            #expect(try fingerprint() != before, "\(width) bytes at \(place)")
        }
        try folder.write("x.safetensors", bytes)
        #expect(try fingerprint() == before)
        // A byte between two samples takes reading all.
        if width > 1 {
            func whole() throws -> String {
                try Checkpoint.open(path, arena: Arena(), progress: progress).fingerprint(isWhole: true, progress: progress)
            }
            let all = try whole()
            var changed = bytes
            changed[start + 65] ^= 1
            try folder.write("x.safetensors", changed)
            #expect(try fingerprint() == before && whole() != all)
        }
    }
}
