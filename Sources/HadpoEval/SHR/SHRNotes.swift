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

/// Who judged two scores that are compared: figures of different judges do not compare.
struct SHRJudges: Sendable {
    let run: JSON
    let baseline: JSON

    /// nil: one of them is not known.
    var differ: Bool? {
        guard let mine = Self.name(run), let theirs = Self.name(baseline) else { return nil }
        return mine != theirs
    }

    var json: JSON { ["run": run, "baseline": baseline, "differs": differ.map { .bool($0) } ?? .null] }

    /// What tells judges apart: the models that answered, or the annotations' rule and words.
    private static func name(_ judge: JSON) -> [String]? {
        switch judge["kind"]?.stringValue {
        case "model":
            let models = (judge["models"]?.arrayValue ?? []).compactMap(\.stringValue)
            return models.isEmpty ? nil : ["model"] + models.sorted()
        case "annotations": return ["annotations", judge["rule"]?.stringValue ?? "", judge["synonyms_sha256"]?.stringValue ?? ""]
        default: return nil
        }
    }

    private static func shown(_ judge: JSON) -> String {
        switch judge["kind"]?.stringValue {
        case "model": "the model \((judge["models"]?.arrayValue ?? []).compactMap(\.stringValue).joined(separator: ", "))"
        default: "annotations\(judge["synonyms"]?.stringValue.map { " with \($0)" } ?? "")"
        }
    }

    /// - Parameter isSameText: whether both judged the same descriptions.
    func notes(isSameText: Bool) -> [String] {
        var notes: [String] = []
        if isSameText {
            let who = differ == true ? "two judges on the same descriptions" : "run and baseline are the same descriptions"
            notes.append("\(who): the difference is one of verdicts, not of models")
        }
        switch differ {
        case true?:
            notes.append(
                "two judges, \(Self.shown(baseline)) of the baseline and \(Self.shown(run)) of the run: their figures do not compare"
            )
        case nil:
            let whose = Self.name(baseline) == nil ? "the baseline" : "the run"
            notes.append("who judged \(whose) is not known: figures of different judges do not compare")
        default: break
        }
        return notes
    }
}
