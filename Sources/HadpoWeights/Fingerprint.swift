import HadpoBase
import HadpoTensor

extension Checkpoint {
    /// SHA-256 over what there is (files, sizes, tables of contents, tensors) and samples of every tensor's bytes: what caches of
    /// computed values are keyed by. The folder's place and the files' dates play no part. Small tensors are taken whole, of large
    /// ones 64 bytes in eight places: any retraining changes nearly every byte of a tensor, while reading 14 GB to make sure would
    /// cost more than the cache saves.
    package func fingerprint(progress: any Progress) throws(HadpoError) -> String {
        var hash = SHA256()
        for file in files {
            try progress.tick()
            hash.update(record: File.name(of: file.path))
            hash.update(record: "\(file.byteCount)")
            for range in file.headers {
                let header = try file.file.bytes(at: range.lowerBound, count: range.count)
                try header.withBytes { (bytes) throws(HadpoError) in hash.update(bytes) }
            }
        }
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

extension SHA256 {
    /// With its length first, so that no two lists of records hash alike.
    fileprivate mutating func update(record text: String) {
        update("\(text.utf8.count):")
        update(text)
    }
}
