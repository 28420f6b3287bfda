/// How long work talks to the host: records out, a request to stop in.
/// One exists per engine call; everything below the C edge receives it as a parameter.
package protocol Progress: AnyObject {
    /// Called between matrix products and in every loop that can run long. Throws `.cancelled` or `.callback` when the
    /// host wants to stop; may emit a heartbeat (at least every 500 ms).
    func tick() throws(HadpoError)
    /// One event record for the host, an object whose first key is "event". Throws `.callback` when the host says stop.
    func emit(_ record: JSON) throws(HadpoError)
}

/// For tests and calls without a host.
package final class SilentProgress: Progress, Sendable {
    package init() {}
    package func tick() throws(HadpoError) {}
    package func emit(_ record: JSON) throws(HadpoError) {}
}
