import HadpoBase

/// What a judge was asked about one description, out of a requests file.
package struct SHRAsked: Sendable, Equatable {
    /// The content hash of the body's bytes as they stand in the line.
    package let key: String
    /// The prompt's text.
    private let prompt: String

    /// custom_id to request.
    package static func read(_ path: String) throws(HadpoError) -> [String: SHRAsked] {
        var asked: [String: SHRAsked] = [:]
        for (number, line) in try File.read(path).split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
            let bytes = Array(line)
            if bytes.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) { continue }
            let place = "\(path):\(number + 1)"
            let value = try JSON.parse(bytes, source: place)
            guard let id = value["custom_id"]?.stringValue, let body = member("body", of: bytes) else {
                throw HadpoError(.format, "no request", at: place, found: value.kind, expected: "'custom_id' and 'body'")
            }
            let messages = value["body"]?["messages"]?.arrayValue ?? []
            let prompt = messages.compactMap { SHRReplies.text($0["content"] ?? .null) }.joined(separator: "\n")
            guard asked.updateValue(SHRAsked(key: SHA256.hex(body), prompt: prompt), forKey: id) == nil else {
                throw HadpoError(.format, "a custom_id is used twice", at: place, found: "'\(id)'", expected: "each once")
            }
        }
        return asked
    }

    /// What a request says of a description.
    package enum Match: Equatable, Sendable {
        /// Its sentences, one by one.
        case same
        /// The first sentence that differs, from 1, as it stands in the request; nil: the request has no such sentence.
        case other(sentence: Int, asked: String?)
        /// The prompt is not this library's: where it has its sentences is not known.
        case unknown
    }

    package func match(_ sentences: [String]) -> Match {
        let prompt = Array(prompt.utf8)
        let heading = Array(SHRText.template[2].utf8)
        let numbered = Array(SHRText.numbered(sentences).utf8)
        let whole = heading + numbered + Array(SHRText.template[3].utf8)
        if prompt.suffix(whole.count).elementsEqual(whole) { return .same }
        guard let start = Self.end(of: heading, in: prompt) else { return .unknown }
        var rest = prompt[start...]
        for (index, sentence) in sentences.enumerated() {
            let line = Array(SHRText.numbered([sentence], from: index + 1).utf8)
            guard rest.starts(with: line) else { return .other(sentence: index + 1, asked: Self.item(index + 1, rest)) }
            rest = rest.dropFirst(line.count)
        }
        guard rest.contains(where: { $0 > 0x20 }) else { return .same }
        return .other(sentence: sentences.count + 1, asked: Self.item(sentences.count + 1, rest))
    }

    /// Behind the last occurrence.
    private static func end(of part: [UInt8], in text: [UInt8]) -> Int? {
        guard let first = part.first else { return nil }
        for start in stride(from: text.count - part.count, through: 0, by: -1)
        where text[start] == first && text[start..<(start + part.count)].elementsEqual(part) {
            return start + part.count
        }
        return nil
    }

    /// The line that begins with the number.
    private static func item(_ number: Int, _ text: ArraySlice<UInt8>) -> String? {
        let title = Array("\(number). ".utf8)
        guard text.starts(with: title) else { return nil }
        return String(decoding: text.dropFirst(title.count).prefix { $0 != 0x0A }, as: UTF8.self)
    }

    /// The bytes of an object's member in a line that is known to be JSON.
    private static func member(_ key: String, of line: [UInt8]) -> [UInt8]? {
        let quoted = Array("\"\(key)\"".utf8)
        var depth = 0
        var at = 0
        var valueStart: Int?
        while at < line.count {
            switch line[at] {
            case UInt8(ascii: "\""):
                let start = at
                at += 1
                while at < line.count, line[at] != UInt8(ascii: "\"") { at += line[at] == UInt8(ascii: "\\") ? 2 : 1 }
                if depth == 1, valueStart == nil, at < line.count, line[start...at].elementsEqual(quoted) {
                    var next = at + 1
                    while next < line.count, line[next] <= 0x20 { next += 1 }
                    // A key is followed by a colon, a value is not.
                    if next < line.count, line[next] == UInt8(ascii: ":") {
                        next += 1
                        while next < line.count, line[next] <= 0x20 { next += 1 }
                        valueStart = next
                        at = next
                        continue
                    }
                }
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                depth -= 1
                if depth == 1, let valueStart, line[valueStart] == UInt8(ascii: "{") { return Array(line[valueStart...at]) }
            default: break
            }
            at += 1
        }
        return nil
    }
}
