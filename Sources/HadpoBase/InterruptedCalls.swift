import Glibc

// Calls of the system that a signal may break off before they have done anything (EINTR) are made again. The signal handlers are the
// host's, and need not have asked for SA_RESTART, which some file systems do not heed anyway.
//
// Within this module these names mean the functions here and not the C library's, so that no caller can forget.

func open(_ path: String, _ flags: Int32) -> Int32 { again { Glibc.open(path, flags) } }
func open(_ path: String, _ flags: Int32, _ mode: mode_t) -> Int32 { again { Glibc.open(path, flags, mode) } }

func fsync(_ descriptor: Int32) -> Int32 { again { Glibc.fsync(descriptor) } }
func fdatasync(_ descriptor: Int32) -> Int32 { again { Glibc.fdatasync(descriptor) } }
func ftruncate(_ descriptor: Int32, _ size: off_t) -> Int32 { again { Glibc.ftruncate(descriptor, size) } }

func pread(_ descriptor: Int32, _ place: UnsafeMutableRawPointer?, _ count: Int, _ offset: off_t) -> Int {
    again { Glibc.pread(descriptor, place, count, offset) }
}

/// Linux has closed the descriptor whatever it answers, and another thread may have its number already: this call is not made again.
@discardableResult func close(_ descriptor: Int32) -> Int32 {
    let result = Glibc.close(descriptor)
    return result != 0 && errno == EINTR ? 0 : result
}

private func again<Result: SignedInteger>(_ call: () -> Result) -> Result {
    var result: Result
    repeat { result = call() } while result < 0 && errno == EINTR
    return result
}
