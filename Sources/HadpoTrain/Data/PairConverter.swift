import HadpoBase

/// Reads a record of another tool's form. What stands in it and cannot be a pair of one picture, one question and two answers is named
/// and not dropped.
struct PairConverter {
    private let record: JSON

    static func convert(_ record: JSON, _ form: PairForm) throws(PairFault) -> ConvertedPair {
        let converter = PairConverter(record: record)
        try refuseExtras(record, extras + ["objects"])
        let pair =
            switch form {
            case .pairs, .rlaifV: try converter.pair(of: record, "question")
            case .trl: try converter.trl()
            case .llamaFactory: try converter.llamaFactory()
            case .msSwift: try converter.msSwift()
            case .rlhfV: try converter.rlhfV()
            case .povid: try converter.povid()
            }
        try converter.requireAgreement(pair)
        return pair
    }

    // MARK: the forms

    private func pair(of value: JSON, _ key: String) throws(PairFault) -> ConvertedPair {
        guard let question = value[key] else { throw PairFault("no '\(key)'") }
        let asked = try turn(question, key, role: .user)
        return ConvertedPair(
            image: try picture(asked.pictures), prompt: .question(try Self.withoutPicture(asked.text, key)),
            chosen: try answer(value["chosen"], "chosen"), rejected: try answer(value["rejected"], "rejected"))
    }

    /// A prompt that is a text stands before the answer as it is, where it has a place for the picture; messages, and a text without
    /// one, are the question.
    private func trl() throws(PairFault) -> ConvertedPair {
        let (chosen, rejected) = (try answer(record["chosen"], "chosen"), try answer(record["rejected"], "rejected"))
        guard let prompt = record["prompt"], !prompt.isNull else {
            let (a, b) = (try conversation("chosen"), try conversation("rejected"))
            guard a.text.utf8.elementsEqual(b.text.utf8) else {
                throw PairFault("no 'prompt', and 'chosen' and 'rejected' begin with different questions")
            }
            return ConvertedPair(
                image: try picture(a.pictures), prompt: .question(try Self.withoutPicture(a.text, "chosen")), chosen: chosen,
                rejected: rejected)
        }
        if let text = prompt.stringValue, record["chosen"]?.stringValue != nil {
            let places = Self.places(text)
            if places > 1 { throw PairFault("'prompt' has a place for \(places) pictures; a pair has one") }
            if places == 0, let mark = Self.templateMarks.first(where: { Self.contains(text, $0) }) {
                throw PairFault("'prompt' is in a template ('\(mark)') that has no place for the picture: '<image>' is missing")
            }
            return ConvertedPair(
                image: try picture([]), prompt: places == 1 ? .raw(text) : .question(text), chosen: chosen, rejected: rejected)
        }
        let asked = try turn(prompt, "prompt", role: .user)
        return ConvertedPair(
            image: try picture(asked.pictures), prompt: .question(try Self.withoutPicture(asked.text, "prompt")), chosen: chosen,
            rejected: rejected)
    }

    private func llamaFactory() throws(PairFault) -> ConvertedPair {
        let (chosen, rejected) = (try answer(record["chosen"], "chosen"), try answer(record["rejected"], "rejected"))
        if let instruction = record["instruction"], !instruction.isNull {
            let text = try alpaca(instruction)
            return ConvertedPair(
                image: try picture([]), prompt: .question(try Self.withoutPicture(text, "instruction")), chosen: chosen,
                rejected: rejected)
        }
        let key = (record["conversations"] ?? .null).isNull ? "messages" : "conversations"
        let asked = try turn(record[key] ?? .null, key, role: .user)
        return ConvertedPair(
            image: try picture(asked.pictures), prompt: .question(try Self.withoutPicture(asked.text, key)), chosen: chosen,
            rejected: rejected)
    }

    /// Alpaca's two fields stand on two lines.
    private func alpaca(_ instruction: JSON) throws(PairFault) -> String {
        guard let text = instruction.stringValue else { throw PairFault("'instruction' is \(instruction.kind) and no text") }
        guard let input = record["input"], !input.isNull else { return text }
        guard let more = input.stringValue else { throw PairFault("'input' is \(input.kind) and no text") }
        return more.isEmpty ? text : text + "\n" + more
    }

    private func msSwift() throws(PairFault) -> ConvertedPair {
        let isOld = (record["messages"] ?? .null).isNull && !(record["query"] ?? .null).isNull
        let asked = isOld ? try turn(record["query"] ?? .null, "query", role: .user) : try conversation("messages")
        let chosen = isOld ? try answer(record["response"], "response") : try answer(record["messages"], "messages")
        let rejected: String
        if let other = record["rejected_messages"], !other.isNull {
            rejected = try answer(other, "rejected_messages")
            let turns = try turns(other, "rejected_messages")
            if let question = turns.first(where: { $0.role == .user }), !question.text.utf8.elementsEqual(asked.text.utf8) {
                throw PairFault("'messages' and 'rejected_messages' ask different questions")
            }
        } else {
            rejected = try answer(record["rejected_response"], "rejected_response")
        }
        return ConvertedPair(
            image: try picture(asked.pictures),
            prompt: .question(try Self.withoutPicture(asked.text, isOld ? "query" : "messages")),
            chosen: chosen, rejected: rejected)
    }

    private func rlhfV() throws(PairFault) -> ConvertedPair {
        guard let text = record["text"] else { throw PairFault("no 'text'") }
        guard let coded = text.stringValue else { return try pair(of: text, "question") }
        let value: JSON
        do throws(HadpoError) { value = try JSON.parse(coded, source: "text") } catch {
            throw PairFault("'text' is not JSON with question, chosen, rejected: \(error.message)")
        }
        return try pair(of: value, "question")
    }

    private func povid() throws(PairFault) -> ConvertedPair {
        let (good, bad) = (try conversation("conversations"), try conversation("rejected_conversations"))
        guard good.text.utf8.elementsEqual(bad.text.utf8) else {
            throw PairFault("'conversations' and 'rejected_conversations' ask different questions")
        }
        return ConvertedPair(
            image: try picture(good.pictures), prompt: .question(try Self.withoutPicture(good.text, "conversations")),
            chosen: try answer(record["conversations"], "conversations"),
            rejected: try answer(record["rejected_conversations"], "rejected_conversations"))
    }

    /// What would change the meaning of the pair and has no place in it.
    static let extras = [
        "system", "history", "tools", "functions", "video", "videos", "audio", "audios", "rejected_images", "chosen_images",
    ]

    static func refuseExtras(_ record: JSON, _ keys: [String] = extras) throws(PairFault) {
        for key in keys {
            switch record[key] ?? .null {
            case .null, .string(""), .array([]), .object([]): continue
            default: throw PairFault("'\(key)' is given, which a pair of one picture, one question and two answers cannot hold")
            }
        }
    }

    // MARK: what stands twice

    /// Keys of several forms in one record say the same, or which is meant cannot be told.
    private func requireAgreement(_ pair: ConvertedPair) throws(PairFault) {
        for (keys, used) in [
            (["chosen", "response", "output"], pair.chosen),
            (["rejected", "rejected_response", "rejected_messages"], pair.rejected),
        ] {
            for key in keys {
                guard let value = given(key) else { continue }
                guard try answer(value, key).utf8.elementsEqual(used.utf8) else { throw Self.contradiction(key, "answer") }
            }
        }
        for key in ["question", "query", "prompt"] {
            guard let value = given(key) else { continue }
            if !Self.asks(pair.prompt, try turn(value, key, role: .user).text) { throw Self.contradiction(key, "question") }
        }
        if let instruction = given("instruction"), !Self.asks(pair.prompt, try alpaca(instruction)) {
            throw Self.contradiction("instruction", "question")
        }
        for (key, used) in [
            ("messages", pair.chosen), ("conversations", pair.chosen), ("rejected_messages", pair.rejected),
            ("rejected_conversations", pair.rejected),
        ] {
            guard let value = given(key) else { continue }
            let turns = try turns(value, key)
            if let asked = turns.first(where: { $0.role == .user }), !Self.asks(pair.prompt, asked.text) {
                throw Self.contradiction(key, "question")
            }
            if let last = turns.last, last.role == .assistant, !last.text.utf8.elementsEqual(used.utf8) {
                throw Self.contradiction(key, "answer")
            }
        }
    }

    private static func contradiction(_ key: String, _ what: String) -> PairFault {
        PairFault("'\(key)' contradicts the rest of the record: another \(what)")
    }

    private func given(_ key: String) -> JSON? {
        switch record[key] ?? .null {
        case .null, .string(""), .array([]), .object([]): nil
        case let value: value
        }
    }

    /// Whether a text is the pair's question, or a template around it.
    private static func asks(_ prompt: SamplePrompt, _ text: String) -> Bool {
        func bare(_ text: String) -> String {
            let text = (try? withoutPicture(text, "")) ?? text
            let bytes = text.utf8.drop { $0 <= 0x20 }
            guard let end = bytes.lastIndex(where: { $0 > 0x20 }) else { return "" }
            return String(decoding: bytes[...end], as: UTF8.self)
        }
        let (used, isRaw) =
            switch prompt {
            case .question(let question): (question, false)
            case .raw(let raw): (raw, true)
            }
        let (a, b) = (bare(used), bare(text))
        if a.utf8.elementsEqual(b.utf8) { return true }
        if isRaw, !b.isEmpty, contains(a, b) { return true }
        return templateMarks.contains { contains(b, $0) } && !a.isEmpty && contains(b, a)
    }

    // MARK: turns

    private enum Role: String { case user, assistant, system }

    private struct Turn {
        let role: Role
        let text: String
        let pictures: [String]
    }

    /// The one turn of a value: a text, a message, or a list of one message.
    private func turn(_ value: JSON, _ key: String, role: Role) throws(PairFault) -> Turn {
        if let text = value.stringValue { return Turn(role: role, text: text, pictures: []) }
        let turns = try turns(value, key)
        guard turns.count == 1, let turn = turns.first else { throw Self.several(key, turns.count) }
        guard turn.role == role else {
            throw PairFault("'\(key)' is a turn of the \(turn.role.rawValue), not of the \(role.rawValue)")
        }
        return turn
    }

    /// The question of a conversation of one question and its answer.
    private func conversation(_ key: String) throws(PairFault) -> Turn {
        guard let value = record[key], !value.isNull else { throw PairFault("no '\(key)'") }
        guard value.arrayValue != nil else { throw PairFault("'\(key)' is \(value.kind) and no list of turns") }
        let turns = try turns(value, key)
        guard turns.count == 2, turns[0].role == .user, turns[1].role == .assistant else { throw Self.several(key, turns.count) }
        return turns[0]
    }

    /// An answer: a text, a message, or the last message of a list.
    private func answer(_ value: JSON?, _ key: String) throws(PairFault) -> String {
        guard let value, !value.isNull else { throw PairFault("no '\(key)'") }
        if let text = value.stringValue { return text }
        guard value.objectValue != nil || value.arrayValue != nil else {
            throw PairFault("'\(key)' is \(value.kind) and no text")
        }
        let turns = try turns(value, key)
        guard let last = turns.last, last.role == .assistant, turns.count <= 2, turns.dropLast().allSatisfy({ $0.role == .user })
        else { throw Self.several(key, turns.count) }
        guard last.pictures.isEmpty else { throw PairFault("'\(key)' has a picture in the answer") }
        return last.text
    }

    private static func several(_ key: String, _ count: Int) -> PairFault {
        PairFault("'\(key)' has \(count) turns in an order that one question and its answer do not have")
    }

    private func turns(_ value: JSON, _ key: String) throws(PairFault) -> [Turn] {
        guard let messages = value.objectValue.map({ [JSON.object($0)] }) ?? value.arrayValue else {
            throw PairFault("'\(key)' is \(value.kind) and neither a text nor messages")
        }
        var turns: [Turn] = []
        for message in messages {
            try Self.refuseExtras(message, ["tool_calls", "function_call", "reasoning_content", "thinking", "audio"])
            guard let name = (message["role"] ?? message["from"])?.stringValue,
                let content = message["content"] ?? message["value"]
            else { throw PairFault("'\(key)' has a message without role and content (or from and value)") }
            let role: Role
            switch name.lowercased() {
            case "user", "human": role = .user
            case "assistant", "gpt", "model", "bot", "chatgpt": role = .assistant
            case "system": role = .system
            default: throw PairFault("'\(key)' has a turn of '\(name)'")
            }
            let turn = try turn(content, role, key)
            if role == .system {
                if !turn.text.utf8.allSatisfy({ $0 <= 0x20 }) {
                    throw PairFault("'\(key)' has a system text, which a pair cannot hold: the model's template has its own")
                }
                continue
            }
            turns.append(turn)
        }
        return turns
    }

    /// A text, or chunks of text and pictures.
    private func turn(_ content: JSON, _ role: Role, _ key: String) throws(PairFault) -> Turn {
        if let text = content.stringValue { return Turn(role: role, text: text, pictures: []) }
        guard let chunks = content.arrayValue else { throw PairFault("'\(key)' has a message whose content is \(content.kind)") }
        var text = ""
        var pictures: [String] = []
        var places = 0
        // Of the words: in front of the picture, behind it.
        var isBefore = false
        var isBehind = false
        for chunk in chunks {
            if let piece = chunk.stringValue ?? (chunk["type"]?.stringValue == "text" ? chunk["text"]?.stringValue : nil) {
                text += piece
                if piece.utf8.contains(where: { $0 > 0x20 }) { if places == 0 { isBefore = true } else { isBehind = true } }
                continue
            }
            let type = chunk["type"]?.stringValue ?? "nothing"
            guard type == "image" || type == "image_url" else { throw PairFault("'\(key)' has a part of type '\(type)'") }
            if role == .assistant { throw PairFault("'\(key)' has a picture in the answer") }
            places += 1
            let named = ["image", "path", "url", "image_url"].lazy.compactMap { chunk[$0] }.first { !$0.isNull }
            if let named { pictures.append(try Self.name(named, key)) }
        }
        let all = places == 0 ? 0 : places + Self.places(text)
        if all > 1 { throw PairFault("'\(key)' has a place for \(all) pictures; a pair has one") }
        if isBefore, isBehind { throw Self.inTheMiddle(key) }
        return Turn(role: role, text: text, pictures: pictures)
    }

    // MARK: the picture

    private static let templateMarks = ["ASSISTANT:", "[/INST]", "<|im_start|>", "###Assistant:", "### Assistant:"]

    private static func contains(_ text: String, _ mark: String) -> Bool { SampleChecks.occurrences(of: mark, in: text) > 0 }

    /// Places for pictures in a text.
    private static func places(_ text: String) -> Int { SampleChecks.occurrences(of: "<image>", in: text) }

    private static let marker = Array("<image>".utf8)

    /// A question without the mark for its picture, which the model's template puts where it belongs.
    static func withoutPicture(_ text: String, _ key: String) throws(PairFault) -> String {
        let count = places(text)
        if count == 0 { return text }
        if count > 1 { throw PairFault("'\(key)' has a place for \(count) pictures; a pair has one") }
        var bytes = Array(text.utf8)[...]
        let isSpace: (UInt8) -> Bool = { $0 <= 0x20 }
        let (front, back) = (bytes.drop(while: isSpace), bytes[...(bytes.lastIndex { !isSpace($0) } ?? 0)])
        if front.starts(with: marker) {
            bytes = front.dropFirst(marker.count).drop(while: isSpace)
        } else if back.suffix(marker.count).elementsEqual(marker) {
            bytes = back.dropLast(marker.count)
            bytes = bytes[...(bytes.lastIndex { !isSpace($0) } ?? bytes.startIndex)]
        } else {
            throw inTheMiddle(key)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func inTheMiddle(_ key: String) -> PairFault {
        PairFault("'\(key)' has '<image>' in the middle of the question; a pair's picture stands before it or behind it")
    }

    private func picture(_ inMessages: [String]) throws(PairFault) -> String {
        var names = inMessages
        for key in ["images", "image"] {
            guard let value = record[key], !value.isNull else { continue }
            if value["path"]?.isNull ?? false, value["bytes"]?.isNull ?? true { continue }
            let list = value.arrayValue ?? [value]
            if list.count > 1 { throw PairFault("'\(key)' has \(list.count) pictures; a pair has one") }
            if let first = list.first { names.append(try Self.name(first, key)) }
        }
        if let path = record["image_path"]?.stringValue, !path.isEmpty {
            // Tools that pack pictures into records keep the end of the name.
            let isPacked =
                record["image"]?["path"] != nil && names.contains { Self.isEnd($0, of: path) || Self.isEnd(path, of: $0) }
            if !isPacked { names.append(path) }
        }
        guard let name = names.first, !name.isEmpty else { throw PairFault("no picture under 'images', 'image' or 'image_path'") }
        if let other = names.first(where: { !$0.utf8.elementsEqual(name.utf8) }) {
            throw PairFault("two pictures are named: \(PictureFolder.shown(name)) and \(PictureFolder.shown(other))")
        }
        return name
    }

    /// Whether a path ends in another, whole parts only.
    private static func isEnd(_ end: String, of path: String) -> Bool {
        path.utf8.elementsEqual(end.utf8) || !end.isEmpty && path.utf8.suffix(end.utf8.count + 1).elementsEqual("/\(end)".utf8)
    }

    static func name(_ value: JSON, _ key: String) throws(PairFault) -> String {
        let inRecord = "the picture itself stands under '\(key)': write it to a file below the folder of pictures and name that"
        if let members = value.objectValue {
            if members.contains(where: { $0.key == "bytes" && !$0.value.isNull }) { throw PairFault(inRecord) }
            guard let path = (value["path"] ?? value["url"])?.stringValue else {
                throw PairFault("'\(key)' is an object without the 'path' of a picture")
            }
            return try name(.string(path), key)
        }
        guard let text = value.stringValue else { throw PairFault("'\(key)' is \(value.kind) and no name of a picture") }
        if text.utf8.starts(with: "data:".utf8) { throw PairFault(inRecord) }
        // Base 64 of a JPEG, PNG, GIF or WebP, which is longer than a name can be.
        if text.utf8.count > 4096, ["/9j/", "iVBORw0K", "R0lGOD", "UklGR"].contains(where: { text.utf8.starts(with: $0.utf8) }) {
            throw PairFault(inRecord)
        }
        for scheme in ["http://", "https://", "s3://", "gs://"] where text.utf8.starts(with: scheme.utf8) {
            throw PairFault("'\(key)' is an address, \(PictureFolder.shown(text)): fetch the picture and name its file")
        }
        return text.utf8.starts(with: "file://".utf8) ? String(decoding: Array(text.utf8.dropFirst(7)), as: UTF8.self) : text
    }
}
