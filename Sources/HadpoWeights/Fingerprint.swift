import HadpoBase
import HadpoTensor

extension Checkpoint {
    /// SHA-256 over what there is (files, sizes, tables of contents, tensors) and samples of every tensor's bytes: what caches of
    /// computed values are keyed by. The folder's place and the files' dates play no part. Small tensors are taken whole, of large
    /// ones 64 bytes in eight places: any retraining changes nearly every byte of a tensor, while reading 14 GB to make sure would
    /// cost more than the cache saves.
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
        for name in names {
            guard let info = info(name), let file = file(of: name) else { continue }
            hash.update(record: "\(name) \(info.dtype.rawValue) \(info.shape) \(info.strides ?? []) \(info.byteOffset)")
            for range in Checkpoint.samples(of: info) {
                let sample = try file.bytes(at: info.byteOffset + range.lowerBound, count: range.count)
                try sample.withBytes { (bytes) throws(HadpoError) in hash.update(bytes) }
            }
        }
        return hash.hexDigest()
    }

    /// From the tensor's first byte. A view with strides covers other bytes than a dense tensor: its first element stands for it.
    private static func samples(of info: TensorInfo) -> [Range<Int>] {
        let count = info.byteCount
        if count == 0 { return [] }
        if info.strides != nil { return [0..<info.dtype.byteCount] }
        if count <= 4096 { return [0..<count] }
        return (0..<8).map { place in
            let start = (count - 64) / 7 * place
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
