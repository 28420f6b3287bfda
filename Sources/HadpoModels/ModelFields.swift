import HadpoBase
import HadpoTensor

/// Reads one of a model's JSON files: defaults as transformers has them, absurd values refused before anything is allocated, and every key
/// noted, so that what nobody asked for can be named. `null` is what an absent key is.
struct ModelFields {
    let json: JSON
    /// The file, for messages.
    private let file: String
    private let pointer: String
    private let keys: ReadKeys

    init(_ json: JSON, _ file: String, _ keys: ReadKeys = ReadKeys()) { self.init(json, file, "", keys) }

    private init(_ json: JSON, _ file: String, _ pointer: String, _ keys: ReadKeys) {
        (self.json, self.file, self.pointer, self.keys) = (json, file, pointer, keys)
    }

    var place: String { pointer.isEmpty ? file : "\(file): \(pointer)" }
    func at(_ key: String) -> String { "\(file): \(ReadKeys.pointer(pointer, key))" }

    subscript(_ key: String) -> JSON? {
        keys.note(ReadKeys.pointer(pointer, key), .read)
        guard let value = json[key], value != .null else { return nil }
        return value
    }

    // MARK: keys that change nothing

    /// Keys that change nothing that is computed here, whatever they say.
    func ignore(_ names: [String]) {
        for name in names { keys.note(ReadKeys.pointer(pointer, name), .harmless) }
    }

    /// A key that may only say one of these things, because nothing else is built here.
    /// - Parameter message: what it would mean to say another.
    func demand(_ key: String, _ allowed: [JSON], _ message: String) throws(HadpoError) {
        guard let value = self[key], !allowed.contains(value) else { return }
        throw HadpoError(
            .unsupported, message, at: at(key), found: value.shortText(),
            expected: allowed.isEmpty ? "null, or no such key" : allowed.map { $0.shortText() }.joined(separator: " or "))
    }

    // MARK: values

    func object(_ key: String) throws(HadpoError) -> ModelFields {
        guard let fields = try optionalObject(key) else {
            throw HadpoError(.weights, "\(key) is missing", at: place, expected: "an object")
        }
        return fields
    }

    func optionalObject(_ key: String) throws(HadpoError) -> ModelFields? {
        guard let value = self[key] else { return nil }
        guard value.objectValue != nil else { throw wrong(key, value, "an object") }
        let inner = ReadKeys.pointer(pointer, key)
        keys.enter(inner)
        return ModelFields(value, file, inner, keys)
    }

    func string(_ key: String) throws(HadpoError) -> String? { try read(key, "a string", \.stringValue) }
    func bool(_ key: String) throws(HadpoError) -> Bool? { try read(key, "true or false", \.boolValue) }

    func optionalInt(_ key: String) throws(HadpoError) -> Int? { try read(key, "an integer", \.intValue) }
    func int(_ key: String, _ standard: Int) throws(HadpoError) -> Int { try optionalInt(key) ?? standard }

    func optionalSize(_ key: String) throws(HadpoError) -> Int? {
        guard let value = try optionalInt(key) else { return nil }
        guard value > 0, value <= 1 << 24 else {
            throw HadpoError(.weights, "\(key) is out of range", at: at(key), found: "\(value)", expected: "1...\(1 << 24)")
        }
        return value
    }

    func size(_ key: String, _ standard: Int) throws(HadpoError) -> Int { try optionalSize(key) ?? standard }

    func optionalNumber(_ key: String) throws(HadpoError) -> Double? {
        guard let number = try read(key, "a positive number", \.doubleValue) else { return nil }
        guard number.isFinite, number > 0 else {
            throw HadpoError(
                .weights, "\(key) is not a positive number", at: at(key), found: "\(number)", expected: "a number above 0")
        }
        return number
    }

    func number(_ key: String, _ standard: Double) throws(HadpoError) -> Double { try optionalNumber(key) ?? standard }

    func activation(_ key: String, _ standard: String) throws(HadpoError) -> Activation {
        let name = try string(key) ?? standard
        switch name {
        case "gelu": return .geluErf
        case "quick_gelu": return .geluQuick
        case "gelu_pytorch_tanh", "gelu_new": return .geluTanh
        case "silu": return .silu
        case "relu": return .relu
        default:
            throw HadpoError(
                .unsupported, "unknown activation", at: at(key), found: name, expected: "gelu, quick_gelu, silu or relu")
        }
    }

    private func read<T>(_ key: String, _ expected: String, _ convert: (JSON) -> T?) throws(HadpoError) -> T? {
        guard let value = self[key] else { return nil }
        guard let converted = convert(value) else { throw wrong(key, value, expected) }
        return converted
    }

    private func wrong(_ key: String, _ value: JSON, _ expected: String) -> HadpoError {
        HadpoError(.weights, "\(key) has the wrong type", at: at(key), found: value.shortText(), expected: expected)
    }
}
