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
///
/// No part is longer than 2 KiB. One word wide: it is thrown through every layer, and a typed error of one word travels in a register.
package struct HadpoError: Error, Sendable, Equatable {
    private struct Fields: Sendable, Equatable {
        var status: Status
        var message: String
        var place: String?
        var found: String?
        var expected: String?

        /// Names and values out of files and of hosts stand in all of them, and can be as large as those.
        func shortened() -> Fields {
            Fields(
                status: status, message: message.shortened(), place: place?.shortened(), found: found?.shortened(),
                expected: expected?.shortened())
        }
    }

    private final class Box: Sendable {
        let fields: Fields
        init(_ fields: Fields) { self.fields = fields.shortened() }
    }

    private var box: Box

    package init(
        _ status: Status, _ message: String, at place: String? = nil, found: String? = nil, expected: String? = nil
    ) {
        box = Box(Fields(status: status, message: message, place: place, found: found, expected: expected))
    }

    package static func == (a: HadpoError, b: HadpoError) -> Bool { a.box.fields == b.box.fields }

    private mutating func change(_ body: (inout Fields) -> Void) {
        var fields = box.fields
        body(&fields)
        box = Box(fields)
    }

    package var status: Status { box.fields.status }
    package var message: String {
        get { box.fields.message }
        set { change { $0.message = newValue } }
    }
    /// File path, JSON pointer, tensor name or line: where to look.
    package var place: String? {
        get { box.fields.place }
        set { change { $0.place = newValue } }
    }
    package var found: String? {
        get { box.fields.found }
        set { change { $0.found = newValue } }
    }
    package var expected: String? {
        get { box.fields.expected }
        set { change { $0.expected = newValue } }
    }
}

extension String {
    /// What an error or a warning holds at most of a text that is not ours.
    package static let messageLimit = 2048

    /// The text, or its beginning and "...": `limit` bytes of UTF-8, cut between two Unicode scalars.
    package func shortened(to limit: Int = messageLimit) -> String {
        guard utf8.count > limit else { return self }
        var end = utf8.index(utf8.startIndex, offsetBy: max(0, limit - 3))
        while end > utf8.startIndex, utf8[end] & 0xC0 == 0x80 { end = utf8.index(before: end) }
        return String(decoding: utf8[..<end], as: UTF8.self) + "..."
    }
}

extension HadpoError: CustomStringConvertible {
    package var description: String {
        var text = "\(status): \(message)"
        if let place { text += "; at \(place)" }
        if let found { text += "; found \(found)" }
        if let expected { text += "; expected \(expected)" }
        return text
    }
}

extension HadpoError {
    /// For a report that lists what would be refused: keys as those of the C interface's errors.
    package var record: JSON {
        var members: [JSON.Member] = [.init("status", JSON(Int(status.rawValue))), .init("message", .string(message))]
        for (key, value) in [("where", place), ("found", found), ("expected", expected)] {
            if let value { members.append(.init(key, .string(value))) }
        }
        return .object(members)
    }
}
