import Glibc
import HadpoBase
import HadpoTensor

/// A file mapped read-only. Nothing is read until it is looked at, and what was read can be dropped by the kernel at will,
/// so a 14 GB checkpoint costs address space, not memory. A file that another process shortens while it is mapped faults on
/// access (SIGBUS): `LoadMode.read` is for folders where that can happen.
package final class MappedFile: @unchecked Sendable {
    package let path: String
    package let byteCount: Int
    /// The whole file; keeps the mapping alive as long as any tensor looks into it.
    package let storage: Storage

    package init(_ path: String) throws(HadpoError) {
        let file = try File.openForReading(path, expected: "a file with weights")
        defer { close(file.descriptor) }
        guard file.byteCount > 0 else {
            throw HadpoError(.format, "the file is empty", at: path, found: "0 bytes", expected: "tensors")
        }
        guard let base = mmap(nil, file.byteCount, PROT_READ, MAP_PRIVATE, file.descriptor, 0), base != MAP_FAILED else {
            throw systemError("cannot map the file", path)
        }
        let byteCount = file.byteCount
        self.path = path
        self.byteCount = byteCount
        storage = Storage(base: base, byteCount: byteCount, isWritable: false) { munmap(base, byteCount) }
    }

    package enum Advice: Sendable {
        case sequential, random, willNeed
        /// The pages will not be looked at again soon: after weights were quantised or copied.
        case dontNeed

        fileprivate var flag: Int32 {
            switch self {
            case .sequential: MADV_SEQUENTIAL
            case .random: MADV_RANDOM
            case .willNeed: MADV_WILLNEED
            case .dontNeed: MADV_DONTNEED
            }
        }
    }

    /// Whole pages within `range` are dropped; reading them again brings them back from the file.
    package func release(_ range: Range<Int>) {
        let page = Int(getpagesize())
        let start = (max(0, range.lowerBound) + page - 1) / page * page
        let end = min(byteCount, range.upperBound) / page * page
        if start < end { _ = madvise(storage.base + start, end - start, MADV_DONTNEED) }
    }

    /// A hint to the kernel; failure changes nothing but speed and is therefore not reported.
    package func advise(_ advice: Advice) {
        _ = madvise(storage.base, byteCount, advice.flag)
    }
}

/// The calling thread's errno as an `.io` error.
func systemError(_ action: String, _ path: String) -> HadpoError {
    let code = errno
    var text = [CChar](repeating: 0, count: 128)
    let reason = text.withUnsafeMutableBufferPointer { buffer -> String in
        guard let base = buffer.baseAddress, strerror_r(code, base, buffer.count) == 0 else { return "error \(code)" }
        return String(cString: base)
    }
    return HadpoError(.io, action, at: path, found: reason)
}
