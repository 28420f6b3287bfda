import HadpoBase
import HadpoModels
import Testing

/// Every key of every configuration is taken out, changed to values of its own and of other types, and has a stranger put beside it. What
/// comes of it is one of four things: a refusal that names it, another model, nothing at all for a key that the reader lists as harmless, or
/// a line in `unread`. A key that a reader forgets, or reads and does not use, is found here without being listed.
@Suite struct FolderKeyTests {
    private enum Outcome: Equatable {
        case refused(String)
        case changed
        /// Nothing, and the reader says that it knows.
        case harmless
        case unread
        /// Nothing, although the key was read.
        case passedBy
    }

    /// A change that means the same model, by file, key and value.
    private static let same: [(file: String, key: String, value: String, why: String)] = [
        ("config.json", "cross_attention_frequency", "3", "of two layers the first alone looks at the picture at 2 and at 3"),
        ("config.json", "cross_attention_frequency", "4", "the same"),
        ("bert/config.json", "vocab_size", "99", "with or without the token that LAVIS adds"),
        ("generation_config.json", "eos_token_id", "[2]", "one id as a list"),
    ]

    /// Each kind of file once: the same reader reads the others.
    private static let elsewhere = [
        "llava/new-bf16": ["config.json", "processor_config.json", "generation_config.json"],
        "instructblip/lavis": ["config.json", "generation_config.json"],
        "llava/tf5-f16": ["generation_config.json"], "instructblip/hf": ["generation_config.json"],
    ]

    @Test("each key of each file is refused, used, known to be harmless or reported", arguments: FolderFixture.all)
    func everyKey(_ fixture: FolderFixture) throws {
        let folder = try ChangedFolder(fixture)
        let base = try folder.see()
        var tried = 0
        for file in fixture.files where Self.elsewhere[fixture.name]?.contains(file.name) != true {
            let json = try folder.json(file.path)
            for pointer in Self.pointers(of: json, []) {
                let key = pointer.last ?? ""
                guard let value = json.value(at: pointer) else { continue }
                let text = "/" + pointer.joined(separator: "/")
                // An absent key may say what the default says. null is the same to every reader here.
                let absent = try look(folder, base, file, text, json.changed(at: Array(pointer.dropLast())) { $0[key] = nil })
                if case .refused(let message) = absent {
                    #expect(Self.names(message, pointer), "\(file.name) \(text) taken out: \(message)")
                }
                tried += 1
                for other in Self.others(than: value, key) where other != value {
                    let outcome = try look(
                        folder, base, file, text, json.changed(at: Array(pointer.dropLast())) { $0[key] = other })
                    tried += 1
                    switch outcome {
                    case .refused(let message):
                        #expect(Self.names(message, pointer), "\(file.name) \(text) = \(other.shortText()): \(message)")
                    case .passedBy:
                        let isSame = Self.same.contains { $0.file == file.name && $0.key == key && $0.value == other.text() }
                        #expect(isSame, "\(file.name) \(text) = \(other.shortText()) is read and changes nothing")
                    case .changed, .harmless, .unread: break
                    }
                }
            }
            for pointer in [[]] + Self.pointers(of: json, []) where json.value(at: pointer)?.objectValue != nil {
                let changed = json.changed(at: pointer) { $0["a_key_that_nobody_knows"] = 1 }
                let text = (pointer + ["a_key_that_nobody_knows"]).map { "/" + $0 }.joined()
                let outcome = try look(folder, base, file, text, changed)
                let inHarmless = base.reading.use(of: "/" + pointer.joined(separator: "/"), in: file.name) == .harmless
                switch outcome {
                case .unread: break
                case .harmless: #expect(inHarmless, "\(file.name) \(text) is passed by")
                case .refused(let message): #expect(message.contains(pointer.last ?? "?"), "\(file.name) \(text): \(message)")
                case .changed, .passedBy: Issue.record("\(file.name) \(text): \(outcome)")
                }
                tried += 1
            }
            try folder.write(file.path, json)
        }
        #expect(tried > 40)
    }

    private func look(
        _ folder: ChangedFolder, _ base: ChangedFolder.Seen, _ file: (path: String, name: String), _ pointer: String,
        _ json: JSON
    ) throws -> Outcome {
        try folder.write(file.path, json)
        let seen: ChangedFolder.Seen
        do { seen = try folder.see(unless: base) } catch let error as HadpoError {
            return .refused("\(error)".replacingPath(folder.path))
        }
        let line = "\(file.name): \(pointer)"
        let isUnread = seen.reading.unread.contains { $0 == line || $0.hasPrefix(line + "/") }
        let use = seen.reading.use(of: pointer, in: file.name)
        guard seen.isSame(base) else {
            #expect(use != .harmless, "\(line) is called harmless and changes the model")
            #expect(!isUnread, "\(line) is called unread and changes the model")
            return .changed
        }
        if isUnread { return .unread }
        if seen.notes != base.notes { return .changed }
        return use == .harmless ? .harmless : .passedBy
    }

    /// A refusal names the key, the object that it is in, or the tensors that do not fit what it says.
    private static func names(_ message: String, _ pointer: [String]) -> Bool {
        pointer.contains { message.contains($0) } || message.contains("tensor")
            || message.contains("the checkpoint holds weights")
    }

    private static func pointers(of json: JSON, _ parent: [String]) -> [[String]] {
        (json.objectValue ?? []).flatMap { member in
            [parent + [member.key]] + pointers(of: member.value, parent + [member.key])
        }
    }

    private static func others(than value: JSON, _ key: String) -> [JSON] {
        switch value {
        case .null: [3, "nonsense", true, ["factor": 2]]
        case .bool(let flag): [.bool(!flag), "yes", 2]
        case .int(let number): [.int(number + 1), .int(number * 2), -3, .int(1 << 40)]
        case .double(let number): [.double(number * 1.5), 0, -1, "nonsense"]
        case .string:
            ["nonsense", "relu", 3]
                + (key.hasPrefix("mm_") || key.contains("image_") || key.contains("feature")
                    ? ["full", "cls_patch", "pad", "linear"] : [])
        case .array(let elements): [.array(elements.dropLast()), .array(elements.reversed()), ["nonsense"], 3]
        case .object: ["nonsense", 3, [1]]
        }
    }
}
