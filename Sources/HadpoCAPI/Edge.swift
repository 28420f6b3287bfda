import CHadpo
import Glibc
import HadpoBase

// How every exported function takes its arguments and gives its results.

/// Runs `body`; its failure becomes a status and, if asked for, an error object.
func status(
    _ error: UnsafeMutablePointer<OpaquePointer?>?, _ body: () throws(HadpoError) -> Void
) -> hadpo_status {
    error?.pointee = nil
    let before = Memory.beginCall()
    defer { Memory.endCall(before) }
    do throws(HadpoError) {
        try body()
        return Status.ok.rawValue
    } catch let failure {
        error?.pointee = retained(ErrorHandle(failure))
        return failure.status.rawValue
    }
}

/// An owned pointer for the host; `release` takes it back.
func retained(_ object: AnyObject) -> OpaquePointer { OpaquePointer(Unmanaged.passRetained(object).toOpaque()) }

func release<T: AnyObject>(_ pointer: OpaquePointer?, _ type: T.Type) {
    if let pointer { Unmanaged<T>.fromOpaque(UnsafeRawPointer(pointer)).release() }
}

func handle<T: AnyObject>(_ pointer: OpaquePointer?, _ type: T.Type, _ name: String) throws(HadpoError) -> T {
    guard let pointer else { throw HadpoError(.argument, "\(name) is NULL", expected: "a handle") }
    return Unmanaged<T>.fromOpaque(UnsafeRawPointer(pointer)).takeUnretainedValue()
}

/// The place for a result; without one the call makes no sense.
func place<T>(_ pointer: UnsafeMutablePointer<T>?, _ name: String) throws(HadpoError) -> UnsafeMutablePointer<T> {
    guard let pointer else { throw HadpoError(.argument, "\(name) is NULL", expected: "a place for the result") }
    return pointer
}

/// The bytes of a text argument: `size` bytes, or up to NUL with HADPO_NUL. They are the host's, and stay valid during the call.
func bytes(_ text: UnsafePointer<CChar>?, _ size: Int, _ name: String) throws(HadpoError) -> UnsafeRawBufferPointer {
    guard let text else { throw HadpoError(.argument, "\(name) is NULL", expected: "UTF-8 text") }
    // HADPO_NUL is (size_t)-1, which arrives as -1.
    let count = size == -1 ? strlen(text) : size
    guard count >= 0 else {
        throw HadpoError(
            .argument, "the size of \(name) is absurd", found: "\(UInt(bitPattern: size))", expected: "a size in bytes")
    }
    return UnsafeRawBufferPointer(start: text, count: count)
}

func string(_ text: UnsafePointer<CChar>?, _ name: String) throws(HadpoError) -> String {
    guard let text else { throw HadpoError(.argument, "\(name) is NULL", expected: "a NUL-terminated text") }
    return String(cString: text)
}
