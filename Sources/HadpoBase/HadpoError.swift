/// Result of a call. Raw values are the pinned numbers of hadpo.h.
package enum Status: Int32, Sendable {
    case ok = 0
    case `internal` = 1
    case noMemory = 2  // our fault, the machine's
    case argument = 10
    case state = 11
    case busy = 12  // the caller's code
    case json = 20
    case config = 21  // the caller's text
    case io = 30
    case format = 31
    case weights = 32  // files
    case device = 40
    case unsupported = 41
    case numerics = 50  // non-finite loss
    case cancelled = 60
    case callback = 61
}

/// Every failure of the library: what went wrong, what was found, what was expected, and where.
package struct HadpoError: Error, Sendable, Equatable {
    package let status: Status
    package var message: String
    /// File path, JSON pointer, tensor name or line: where to look.
    package var place: String?
    package var found: String?
    package var expected: String?

    package init(
        _ status: Status, _ message: String, at place: String? = nil, found: String? = nil, expected: String? = nil
    ) {
        self.status = status
        self.message = message
        self.place = place
        self.found = found
        self.expected = expected
    }
}
