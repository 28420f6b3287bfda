import HadpoBase

/// The forms of preference files: ours, and those of the tools that people have pairs for. The table says by which keys one is known;
/// `PairConverter` reads it.
package enum PairForm: String, CaseIterable, Sendable {
    case pairs, trl
    case llamaFactory = "llama-factory"
    case msSwift = "ms-swift"
    case rlhfV = "rlhf-v"
    case rlaifV = "rlaif-v"
    case povid

    /// For errors.
    package var keys: String {
        switch self {
        case .pairs: "image, question or prompt, chosen, rejected"
        case .trl: "images, prompt, chosen, rejected: texts or lists of messages"
        case .llamaFactory: "images, conversations (or messages, or instruction), chosen, rejected"
        case .msSwift: "images, messages, rejected_response"
        case .rlhfV: "image, text: JSON with question, chosen, rejected"
        case .rlaifV: "image, question, chosen, rejected"
        case .povid: "image, conversations, rejected_conversations"
        }
    }

    package static var table: String { allCases.map { "\($0.rawValue) (\($0.keys))" }.joined(separator: "; ") }

    /// The form that a record's keys speak of; nil: none.
    package static func recognise(_ record: JSON) -> PairForm? {
        func has(_ key: String) -> Bool { !(record[key] ?? .null).isNull }
        func isText(_ key: String) -> Bool { record[key]?.stringValue != nil }
        if has("conversations"), has("rejected_conversations") { return .povid }
        if has("rejected_response") || has("rejected_messages") { return .msSwift }
        if has("chosen"), has("rejected") {
            if has("conversations") || has("messages") || has("instruction") { return .llamaFactory }
            let isOurs = isText("image") && !has("images") && isText("chosen") && isText("rejected")
            if isOurs, isText("question") || isText("prompt") { return .pairs }
            if has("prompt") { return .trl }
            if has("question") { return .rlaifV }
            return record["chosen"]?.arrayValue == nil ? nil : .trl
        }
        guard has("image") || has("images") || has("image_path") else { return nil }
        let text = record["text"]
        let isObject = text?.objectValue != nil || text?.stringValue?.utf8.first { $0 > 0x20 } == UInt8(ascii: "{")
        return isObject ? .rlhfV : nil
    }
}

/// A pair as any form gives it.
struct ConvertedPair {
    let image: String
    let prompt: SamplePrompt
    let chosen: String
    let rejected: String
}

/// Why a record is no pair of one picture, one question and two answers; names the key.
struct PairFault: Error {
    let reason: String
    init(_ reason: String) { self.reason = reason }
}
