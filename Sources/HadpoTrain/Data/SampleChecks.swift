import HadpoBase

/// What makes a sample untrainable whatever the model; its length in tokens is the trainer's to judge.
struct SampleChecks {
    private let pictures: PictureFolder
    private var known: [String: Result<String, PictureFolder.Refusal>] = [:]

    init(pictures: PictureFolder) { self.pictures = pictures }

    /// The path of a picture, or why there is none.
    mutating func picture(_ name: String) -> (path: String?, reason: String?) {
        let found = known[name] ?? pictures.find(name)
        known[name] = found
        switch found {
        case .success(let path): return (path, nil)
        case .failure(let refusal): return (nil, pictures.reason(refusal))
        }
    }

    /// nil when the sample can be trained on.
    static func reason(_ pair: PreferencePair) -> String? {
        if let reason = promptReason(pair.prompt) { return reason }
        if let reason = answerReason(pair.chosen, "chosen") ?? answerReason(pair.rejected, "rejected") { return reason }
        if pair.chosen.utf8.elementsEqual(pair.rejected.utf8) { return "chosen and rejected are the same text" }
        return weightReason(pair.weight)
    }

    static func reason(_ sample: CaptionSample) -> String? {
        if let reason = promptReason(sample.prompt) ?? answerReason(sample.answer, "answer") { return reason }
        return weightReason(sample.weight)
    }

    private static func weightReason(_ weight: Double) -> String? {
        if weight > 1e6 { return "weight \(weight) is more than 1000000" }
        return weight >= 0 ? nil : "weight \(weight) is not 0 or more"
    }

    /// Texts that would change what the sequence means: an end of sequence, a second picture, a second turn.
    private static func answerReason(_ answer: String, _ key: String) -> String? {
        if answer.utf8.allSatisfy({ $0 <= 0x20 }) { return "empty \(key)" }
        for marker in ["</s>", "<image>", " ASSISTANT: "] where contains(answer, marker) {
            return "\(key) contains '\(marker)'"
        }
        if answer.utf8.drop(while: { $0 <= 0x20 }).starts(with: "<s>".utf8) { return "\(key) begins with '<s>'" }
        return tagReason(answer, key)
    }

    /// Other tools put something in the place of these; as letters they are no question and no answer.
    private static func tagReason(_ text: String, _ key: String) -> String? {
        guard text.utf8.contains(UInt8(ascii: "<")) else { return nil }
        for tag in ["<video>", "<audio>", "<bbox>", "<ref-object>", "<img>"] where contains(text, tag) {
            return "\(key) contains '\(tag)', which other tools replace and this one does not"
        }
        return nil
    }

    private static func promptReason(_ prompt: SamplePrompt) -> String? {
        switch prompt {
        case .question(let text):
            if text.utf8.allSatisfy({ $0 <= 0x20 }) { return "empty question" }
            for marker in ["</s>", "<image>"] where contains(text, marker) { return "question contains '\(marker)'" }
            return tagReason(text, "question")
        case .raw(let text):
            let count = occurrences(of: "<image>", in: text)
            if count != 1 { return "prompt contains '<image>' \(count) times instead of once" }
            return tagReason(text, "prompt")
        }
        return nil
    }

    private static func contains(_ text: String, _ marker: String) -> Bool { occurrences(of: marker, in: text) > 0 }

    /// Over bytes: characters would hide a marker that a combining accent follows.
    static func occurrences(of marker: String, in text: String) -> Int {
        let marker = Array(marker.utf8)
        let text = Array(text.utf8)
        var count = 0
        var start = 0
        while start + marker.count <= text.count {
            if text[start..<(start + marker.count)].elementsEqual(marker) {
                count += 1
                start += marker.count
            } else {
                start += 1
            }
        }
        return count
    }
}
