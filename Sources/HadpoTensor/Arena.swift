import Glibc
import HadpoBase

/// All bulk memory of an engine: tensors, caches, images. One limit, one count, blocks kept for reuse by size, so that the
/// steady state of training and decoding allocates nothing.
package final class Arena: MemoryBudget, @unchecked Sendable {
    /// Bytes that may be live at once; 0 means no limit of our own.
    package let limit: Int
    private var lock = pthread_mutex_t()
    private var free: [Int: [UnsafeMutableRawPointer]] = [:]
    private var liveBytes = 0
    private var keptBytes = 0
    private var peak = 0

    package init(limit: Int = 0) {
        self.limit = limit
        pthread_mutex_init(&lock, nil)
    }

    deinit {
        for (_, blocks) in free { for block in blocks { Glibc.free(block) } }
        pthread_mutex_destroy(&lock)
    }

    /// Bytes handed out and not yet returned; the most there ever were.
    package var live: Int { locked { liveBytes } }
    package var peakBytes: Int { locked { peak } }

    private func locked<T>(_ body: () -> T) -> T {
        pthread_mutex_lock(&lock)
        defer { pthread_mutex_unlock(&lock) }
        return body()
    }

    /// Sizes are rounded up so that blocks of nearly equal tensors are shared: 64 bytes below 4 KiB, then 1/8 steps of a power of two.
    private static func rounded(_ byteCount: Int) -> Int {
        if byteCount <= 4096 { return max(64, (byteCount + 63) & ~63) }
        let step = max(4096, (1 << (Int.bitWidth - 1 - byteCount.leadingZeroBitCount)) / 8)
        return (byteCount + step - 1) / step * step
    }

    package func allocate(_ byteCount: Int) throws(HadpoError) -> Storage {
        guard byteCount >= 0, byteCount < Int.max / 2 else {
            throw HadpoError(.noMemory, "a block of \(byteCount) bytes cannot be had")
        }
        let size = Arena.rounded(byteCount)
        let block: UnsafeMutableRawPointer? = locked {
            if let block = free[size]?.popLast() {
                keptBytes -= size
                liveBytes += size
                peak = max(peak, liveBytes)
                return block
            }
            if limit > 0, liveBytes + keptBytes + size > limit { releaseKept() }
            if limit > 0, liveBytes + size > limit { return nil }
            var fresh: UnsafeMutableRawPointer?
            if posix_memalign(&fresh, 64, size) != 0 {
                releaseKept()
                if posix_memalign(&fresh, 64, size) != 0 { return nil }
            }
            liveBytes += size
            peak = max(peak, liveBytes)
            return fresh
        }
        guard let block else { throw refusal("memory for a block of \(byteCount) bytes is not available") }
        return Storage(base: block, byteCount: byteCount, isWritable: true) { [self] in giveBack(block, size) }
    }

    private func refusal(_ message: String) -> HadpoError {
        HadpoError(
            .noMemory, message, at: "engine.memory_limit", found: "\(live) bytes in use",
            expected: limit > 0 ? "at most \(limit) bytes" : "free memory")
    }

    /// Counts memory that others allocate: pictures and what is made of them, contents of files.
    package func reserve(_ byteCount: Int, for what: String) throws(HadpoError) -> MemoryReservation {
        guard byteCount >= 0, byteCount < Int.max / 2 else {
            throw HadpoError(.noMemory, "\(byteCount) bytes for \(what) cannot be had")
        }
        let isGranted = locked {
            if limit > 0, liveBytes + keptBytes + byteCount > limit { releaseKept() }
            if limit > 0, liveBytes + byteCount > limit { return false }
            liveBytes += byteCount
            peak = max(peak, liveBytes)
            return true
        }
        guard isGranted else { throw refusal("\(byteCount) bytes for \(what) would pass the engine's memory limit") }
        return MemoryReservation { [self] in locked { liveBytes -= byteCount } }
    }

    private func giveBack(_ block: UnsafeMutableRawPointer, _ size: Int) {
        locked {
            liveBytes -= size
            keptBytes += size
            free[size, default: []].append(block)
        }
    }

    /// Returns kept blocks to the system; called with the lock held.
    private func releaseKept() {
        for (_, blocks) in free { for block in blocks { Glibc.free(block) } }
        free.removeAll()
        keptBytes = 0
    }

    /// Returns kept blocks to the system: after a phase with other sizes (loading, evaluation) has ended.
    package func trim() { locked { releaseKept() } }
}
