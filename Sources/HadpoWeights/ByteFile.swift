import Glibc
import HadpoBase
import HadpoTensor

/// How the bytes of weight files come into memory.
package enum LoadMode: Sendable {
    /// Tensors look into the mapped file; nothing is copied.
    case map
    /// Tensors are read into the arena when asked for: for files that may be changed or shortened while in use.
    case read
}

/// A run of bytes of a file, in memory.
struct ByteRun {
    let storage: Storage
    /// From the start of the storage.
    let offset: Int
    let count: Int

    func withBytes<Result>(_ body: (UnsafeRawBufferPointer) throws(HadpoError) -> Result) throws(HadpoError) -> Result {
        // Only the storage keeps the bytes valid, and nothing else may be holding it.
        let kept = storage
        defer { withExtendedLifetime(kept) {} }
        return try body(UnsafeRawBufferPointer(start: kept.base + offset, count: count))
    }
}

/// A file of weights as bytes at offsets, mapped or read on demand. Every access is checked against the file's size.
package final class ByteFile: @unchecked Sendable {
    package let path: String
    package let byteCount: Int
    /// Where copies go: what is read, and tensors that cannot be used where they lie.
    let arena: Arena
    private let source: Source

    private enum Source {
        case mapped(MappedFile)
        case memory(Storage)
        case descriptor(Int32)
    }

    package init(_ path: String, load: LoadMode, arena: Arena) throws(HadpoError) {
        self.path = path
        self.arena = arena
        switch load {
        case .map:
            let file = try MappedFile(path)
            byteCount = file.byteCount
            source = .mapped(file)
        case .read:
            let file = try File.openForReading(path, expected: "a file with weights")
            byteCount = file.byteCount
            source = .descriptor(file.descriptor)
        }
    }

    /// A file that is already in memory; `path` is its name in errors.
    package init(memory: Storage, path: String, arena: Arena) {
        self.path = path
        self.arena = arena
        byteCount = memory.byteCount
        source = .memory(memory)
    }

    deinit {
        if case .descriptor(let descriptor) = source { close(descriptor) }
    }

    /// The mapping, when there is one: to advise the kernel.
    package var mapping: MappedFile? {
        if case .mapped(let file) = source { file } else { nil }
    }

    func bytes(at offset: Int, count: Int) throws(HadpoError) -> ByteRun {
        guard offset >= 0, count >= 0, offset <= byteCount, count <= byteCount - offset else {
            throw HadpoError(
                .format, "the file is shorter than its own table of contents says", at: path,
                found: "\(byteCount) bytes", expected: "\(count) bytes at offset \(offset)")
        }
        switch source {
        case .mapped(let file): return ByteRun(storage: file.storage, offset: offset, count: count)
        case .memory(let storage): return ByteRun(storage: storage, offset: offset, count: count)
        case .descriptor(let descriptor):
            let storage = try arena.allocate(count)
            try read(descriptor, into: storage.base, offset: offset, count: count)
            return ByteRun(storage: storage, offset: 0, count: count)
        }
    }

    private func read(
        _ descriptor: Int32, into base: UnsafeMutableRawPointer, offset: Int, count: Int
    ) throws(HadpoError) {
        var done = 0
        while done < count {
            // Linux moves at most 2 GiB per call.
            let got = pread(descriptor, base + done, min(count - done, 1 << 30), off_t(offset + done))
            if got < 0, errno == EINTR { continue }
            guard got >= 0 else { throw systemError("cannot read the file", path) }
            guard got > 0 else {
                throw HadpoError(
                    .io, "the file became shorter while it was in use", at: path,
                    found: "end of file at \(offset + done)", expected: "\(byteCount) bytes")
            }
            done += got
        }
    }
}

/// Little-endian integers at checked offsets: nil outside the buffer.
extension UnsafeRawBufferPointer {
    func integer<T: FixedWidthInteger>(_ type: T.Type, at offset: Int) -> T? {
        guard offset >= 0, offset <= count, MemoryLayout<T>.size <= count - offset else { return nil }
        return T(littleEndian: loadUnaligned(fromByteOffset: offset, as: T.self))
    }

    func starts(with text: StaticString, at offset: Int = 0) -> Bool {
        guard offset >= 0, offset <= count, text.utf8CodeUnitCount <= count - offset, let base = baseAddress else { return false }
        return memcmp(base + offset, text.utf8Start, text.utf8CodeUnitCount) == 0
    }
}
