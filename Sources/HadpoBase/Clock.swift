import Glibc

/// Time that only goes forward.
package enum Clock {
    /// Seconds since some moment, for differences.
    package static func now() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }
}
