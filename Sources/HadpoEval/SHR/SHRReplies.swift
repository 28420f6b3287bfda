import HadpoBase

/// Replies of a judge as OpenAI batch output, or what servers that imitate it write. The join is custom_id; order means nothing.
package struct SHRReplies: Sendable {
    package enum Reply: Sendable, Equatable {
        case text(String)
        /// Not a verdict, and why: failed, truncated, refused, filtered, stale.
        case bad(String)
    }

    package let sha256: String
    private(set) package var replies: [String: Reply] = [:]
    /// Names of the models that answered, in order of first sight.
    package private(set) var models: [String] = []
    /// custom_ids with several good replies; the first counts.
    package private(set) var doubled: [String] = []

    /// custom_ids whose reply does not say which request it answers, or whose request nobody has.
    private(set) package var keyless: Set<String> = []

    /// - Parameter key: content hash of the request of a custom_id, to tell replies to another prompt.
    package init(
        _ path: String, key expected: (String) throws(HadpoError) -> String? = { (_) throws(HadpoError) in nil }
    ) throws(HadpoError) {
        var known: Set<String> = []
        let lines = try JSONLineReader(path, dropTornLine: true, isHashed: true)
        while let line = try lines.next() {
            guard let id = line.value["custom_id"]?.stringValue else {
                throw HadpoError(
                    .format, "no reply of a judge", at: "\(path):\(line.number)", found: line.value.kind,
                    expected: "an OpenAI batch output line with 'custom_id'")
            }
            var reply = Self.read(line.value)
            let key = (line.value["request_key"] ?? line.value["key"])?.stringValue
            let asked = try expected(id)
            if let key, let asked, !key.hasSameBytes(asked) { reply = .bad("stale") }
            if case .text = reply {
                if let model = line.value["response"]?["body"]?["model"]?.stringValue, known.insert(model).inserted {
                    models.append(model)
                }
                if case .text(let first)? = replies[id] {
                    guard case .text(let second) = reply, second.hasSameBytes(first) else {
                        throw HadpoError(
                            .format, "a description is judged twice, and differently", at: "\(path):\(line.number)",
                            found: "another reply to custom_id '\(id)'",
                            expected: "one reply a request; where the request changed, the requests file tells which is stale")
                    }
                    doubled.append(id)
                    continue
                }
            } else if case .text? = replies[id] {
                continue
            }
            replies[id] = reply
            if case .text = reply, key == nil || asked == nil { keyless.insert(id) }
        }
        sha256 = lines.sha256 ?? ""
    }

    /// `error` may be null, a text, {code, message} or {error: {...}}: anything but null is a failure. "unfinished" is the word of a
    /// client that knew fewer names for a whole answer's end; the answer says for itself how it ended.
    private static func read(_ line: JSON) -> Reply {
        let response = line["response"] ?? .null
        let error = line["error"] ?? .null
        guard error.isNull || error["code"]?.stringValue == "unfinished", response["status_code"]?.intValue ?? 200 == 200,
            let choice = response["body"]?["choices"]?[0]
        else { return .bad("failed") }
        let reason = (choice["finish_reason"]?.stringValue ?? "").lowercased()
        if cutOff.contains(reason) { return .bad("truncated") }
        if filtered.contains(reason) { return .bad("filtered") }
        guard ended.contains(reason) else { return .bad("failed") }
        guard let text = text(choice["message"]?["content"] ?? choice["text"] ?? .null) else { return .bad("refused") }
        return text.pythonStripped.isEmpty ? .bad("failed") : .text(text)
    }

    // Why an answer ended, as OpenAI and the servers that imitate it say it; judge_reply.c has the same lists. A reason that is on
    // none of them may stand for half an answer.
    private static let ended: Set<String> = [
        "", "stop", "eos", "eos_token", "end", "end_turn", "stop_sequence", "complete", "completed",
    ]
    private static let cutOff: Set<String> = ["length", "max_tokens", "model_length", "max_output_tokens"]
    private static let filtered: Set<String> = ["content_filter", "content_filtered", "safety"]

    /// A content's text: a string, or chunks, of which those of type "text" are the answer and others the draft.
    static func text(_ content: JSON) -> String? {
        switch content {
        case .string(let text): return text
        case .array(let chunks): return chunks.compactMap { text($0) }.joined()
        case .object:
            let type = content["type"]?.stringValue ?? "text"
            return type == "text" || type == "output_text" ? content["text"]?.stringValue : nil
        default: return nil
        }
    }
}
