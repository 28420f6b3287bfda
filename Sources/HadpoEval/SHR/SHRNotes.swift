import HadpoBase

/// What a figure of SHR does not say by itself: whose verdicts it rests on, and what ties them to the descriptions.
enum SHRNotes {
    /// - Parameter foreignPrompts: requests in whose prompts the sentences cannot be found.
    static func replies(_ replies: SHRReplies, hasRequests: Bool, foreignPrompts: Int) -> [String] {
        var notes: [String] = []
        if !hasRequests {
            notes.append(
                "no requests are given: nothing but the images' names ties these verdicts to these descriptions (--requests)")
        } else if !replies.keyless.isEmpty {
            notes.append(
                """
                \(replies.keyless.count) of \(replies.replies.count) replies have no key of their request: nothing but custom_id \
                ties them to what was asked
                """)
        }
        if foreignPrompts > 0 {
            notes.append(
                "\(foreignPrompts) requests have a prompt of their own: whether it holds the sentences of these descriptions is not known"
            )
        }
        if replies.models.count > 1 {
            notes.append(
                """
                the replies are of \(replies.models.count) models, \(replies.models.prefix(4).joined(separator: ", ")): figures of \
                different judges do not compare
                """)
        }
        return notes
    }
}
