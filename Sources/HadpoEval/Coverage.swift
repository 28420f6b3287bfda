import HadpoBase

/// How much of what was asked stands in a figure. A figure of a part is not the figure of the whole, so a part is an error unless the
/// caller wants it.
package struct Coverage: Sendable, Equatable {
    package let asked: Int
    package let scored: Int

    package init(asked: Int, scored: Int) { (self.asked, self.scored) = (asked, scored) }

    package var missing: Int { asked - scored }

    /// Members of a result.
    package var members: [JSON.Member] {
        [.init("asked", JSON(asked)), .init("scored", JSON(scored)), .init("missing", JSON(missing))]
    }

    /// - Parameters:
    ///   - what: the things counted, such as "questions".
    ///   - missing: the first of those that are not scored, and why.
    package func require(
        partial: Bool, _ message: String, at place: String, _ what: String, missing: String, expected: String
    ) throws(HadpoError) {
        guard scored < asked, !partial else { return }
        throw HadpoError(
            .format, message, at: place, found: "\(scored) of \(asked) \(what) scored; missing \(missing)",
            expected: "\(expected), or \"partial\": true (--partial) to score what is there")
    }

    /// The first ids of a long list.
    package static func first(_ ids: some Collection<String>) -> String {
        ids.prefix(5).joined(separator: ", ") + (ids.count > 5 ? ", ... (\(ids.count))" : "")
    }
}
