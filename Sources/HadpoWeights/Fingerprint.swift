import HadpoBase
import HadpoTensor

extension Checkpoint {
    /// SHA-256 over what there is (files, sizes, tables of contents, tensors) and samples of every tensor's bytes: what caches of
    /// computed values are keyed by. The folder's place and the files' dates play no part. Tensors up to 1 MiB are taken whole, of
    /// larger ones 64 bytes in up to 256 places, 32 KiB apart where the tensor is no larger than 8 MiB: any retraining changes nearly
    /// every byte of a tensor, an edit of a row some tens of KiB, while reading 14 GB to make sure would cost more than the cache saves.
    /// - Parameter isWhole: every byte of the files instead of the samples.
    package func fingerprint(isWhole: Bool = false, progress: any Progress) throws(HadpoError) -> String {
        var hash = SHA256()
        for file in files {
            try progress.tick()
            hash.update(record: File.name(of: file.path))
            hash.update(record: "\(file.byteCount)")
            if isWhole {
                hash.update(record: try file.file.contentHash(progress: progress))
                continue
            }
            for range in file.headers {
                let header = try file.file.bytes(at: range.lowerBound, count: range.count)
                try header.withBytes { (bytes) throws(HadpoError) in hash.update(bytes) }
            }
        }
        if isWhole { return hash.hexDigest() }
        var budget = Checkpoint.sampledBytes
        for name in names {
            guard let info = info(name), let file = file(of: name) else { continue }
            hash.update(record: "\(name) \(info.dtype.rawValue) \(info.shape) \(info.strides ?? []) \(info.byteOffset)")
            let samples = Checkpoint.samples(of: info, budget: budget)
            budget -= samples.reduce(0) { $0 + $1.count }
            for range in samples {
                let sample = try file.bytes(at: info.byteOffset + range.lowerBound, count: range.count)
                try sample.withBytes { (bytes) throws(HadpoError) in hash.update(bytes) }
            }
        }
        return hash.hexDigest()
    }

    /// Of a model, at most, but for a few hundred bytes of each tensor.
    private static let sampledBytes = 48 << 20

    /// From the tensor's first byte. A view with strides covers other bytes than a dense tensor: its first element stands for it.
    /// - Parameter budget: the bytes that may still be read; behind it a few places of each tensor must do.
    private static func samples(of info: TensorInfo, budget: Int) -> [Range<Int>] {
        let count = info.byteCount
        if count == 0 { return [] }
        if info.strides != nil { return [0..<info.dtype.byteCount] }
        if count <= 4096 || (count <= 1 << 20 && count <= budget) { return [0..<count] }
        let places = budget > 256 * 64 ? min(max(count >> 15, 8), 256) : 8
        return (0..<places).map { place in
            let start = (count - 64) / (places - 1) * place
            return start..<start + 64
        }
    }
}

extension ByteFile {
    /// XXH64 of all bytes, which pass through memory piece by piece.
    func contentHash(progress: any Progress) throws(HadpoError) -> String {
        var hash = XXHash64()
        var offset = 0
        while offset < byteCount {
            try progress.tick()
            let count = min(16 << 20, byteCount - offset)
            let piece = try bytes(at: offset, count: count)
            try piece.withBytes { (bytes) throws(HadpoError) in hash.update(bytes) }
            mapping?.release(offset..<offset + count)
            offset += count
        }
        return hash.text
    }
}
