/// Reads one object of a schema. A schema is a struct whose initialiser asks for its keys, and that one pass gives the typed
/// struct, the resolved object with every key, and the reference:
///
///     package struct TrainConfig {
///         package let steps: Int
///         package let optimizer: OptimizerConfig
///         package init(_ r: inout ConfigReader) throws(HadpoError) {
///             steps = try r.int("steps", default: 0, in: 0...1_000_000_000, help: "optimizer steps, 0 = whole epochs")
///             optimizer = try r.object("optimizer", OptimizerConfig.init)
///             try r.check(steps > 0 || optimizer.epochs > 0, "steps", "nothing to do")
///         }
///     }
///     let (config, resolved) = try ConfigReader.read(json, schema: "hadpo.train/1", TrainConfig.init)
///     let fields = try ConfigReader.describe("hadpo.train/1", TrainConfig.init).fields
///
/// A getter without `default:` is a required key. An unknown key is an error that names the nearest known one.
package struct ConfigReader {
    /// One key as the reference prints it.
    package struct Field: Sendable, Equatable {
        package let pointer: String
        package let type: String
        /// nil: the key is required.
        package let defaultValue: JSON?
        /// "0...10" or the names of a choice.
        package let allowed: String?
        package let help: String
    }

    /// True when a configuration need not be whole: required keys then read as empty, `check` passes at keys that are not given.
    package let isDescribing: Bool
    package let pointer: String
    private let members: [JSON.Member]
    private var used: [Bool]
    /// Every key asked for with its value, in the order of asking.
    package private(set) var resolved: [JSON.Member] = []
    package private(set) var fields: [Field] = []

    private init(members: [JSON.Member], pointer: String, isDescribing: Bool) {
        self.members = members
        self.pointer = pointer
        self.isDescribing = isDescribing
        used = Array(repeating: false, count: members.count)
    }

    // MARK: a whole configuration

    package static func read<T>(
        _ json: JSON, schema: String, _ body: (inout ConfigReader) throws(HadpoError) -> T
    ) throws(HadpoError) -> (config: T, resolved: JSON) {
        guard case .object(let members) = json else {
            throw HadpoError(.config, "a configuration is an object", at: "/", found: json.kind, expected: "an object")
        }
        let named = try schemaName(json)
        guard named == schema else {
            throw HadpoError(.config, "another schema", at: "/schema", found: "'\(named)'", expected: "'\(schema)'")
        }
        var reader = ConfigReader(members: members, pointer: "", isDescribing: false)
        let config = try reader.run(schema, body)
        return (config, .object(reader.resolved))
    }

    package static func parse<T>(
        _ text: UnsafeRawBufferPointer, schema: String, source: String = "config",
        _ body: (inout ConfigReader) throws(HadpoError) -> T
    ) throws(HadpoError) -> (config: T, resolved: JSON) {
        try read(JSON.parse(text, source: source), schema: schema, body)
    }

    package static func parse<T>(
        _ text: String, schema: String, source: String = "config", _ body: (inout ConfigReader) throws(HadpoError) -> T
    ) throws(HadpoError) -> (config: T, resolved: JSON) {
        try read(JSON.parse(text, source: source), schema: schema, body)
    }

    /// The defaults as a configuration, and the fields for a reference. Required keys stand as null.
    /// - Parameter given: keys that are to have another value, an object; they are checked as far as they go.
    package static func describe<T>(
        _ schema: String, given: JSON = .object([]), _ body: (inout ConfigReader) throws(HadpoError) -> T
    ) throws(HadpoError) -> (defaults: JSON, fields: [Field]) {
        guard case .object(let members) = given else {
            throw HadpoError(.config, "a configuration is an object", at: "/", found: given.kind, expected: "an object")
        }
        var reader = ConfigReader(members: members, pointer: "", isDescribing: true)
        _ = try reader.run(schema, body)
        return (.object(reader.resolved), reader.fields)
    }

    /// What the "schema" key says, for callers that take several.
    package static func schemaName(_ json: JSON) throws(HadpoError) -> String {
        guard let name = json["schema"]?.stringValue else {
            throw HadpoError(
                .config, "a configuration names its schema", at: "/schema", found: json["schema"]?.kind ?? "nothing",
                expected: "such as \"schema\": \"hadpo.train/1\"")
        }
        return name
    }

    private mutating func run<T>(
        _ schema: String, _ body: (inout ConfigReader) throws(HadpoError) -> T
    ) throws(HadpoError) -> T {
        _ = take("schema")
        resolved.append(.init("schema", .string(schema)))
        let config = try body(&self)
        try finish()
        return config
    }

    // MARK: scalars

    package mutating func bool(_ key: String, default value: Bool? = nil, help: String = "") throws(HadpoError) -> Bool {
        note(key, "boolean", value.map { .bool($0) }, nil, help)
        return try scalar(key, value.map { .bool($0) }, "true or false", whenDescribing: false) { $0.boolValue }
    }

    package mutating func int(
        _ key: String, default value: Int? = nil, in range: ClosedRange<Int> = Int.min...Int.max, help: String = ""
    ) throws(HadpoError) -> Int {
        let text = rangeText(range)
        note(key, "integer", value.map { .int(Int64($0)) }, text, help)
        let result = try scalar(
            key, value.map { .int(Int64($0)) }, "an integer", whenDescribing: range.contains(0) ? 0 : range.lowerBound
        ) {
            $0.intValue
        }
        guard range.contains(result) || (isDescribing && !isGiven(key)) else { throw outOfRange(key, "\(result)", text) }
        return result
    }

    package mutating func double(
        _ key: String, default value: Double? = nil, in range: ClosedRange<Double> = -Double.infinity...Double.infinity,
        help: String = ""
    ) throws(HadpoError) -> Double {
        let text = rangeText(range)
        note(key, "number", value.map { .double($0) }, text, help)
        let result = try scalar(
            key, value.map { .double($0) }, "a number", whenDescribing: range.contains(0) ? 0 : range.lowerBound
        ) {
            $0.doubleValue
        }
        guard range.contains(result) || (isDescribing && !isGiven(key)) else { throw outOfRange(key, "\(result)", text) }
        return result
    }

    package mutating func string(_ key: String, default value: String? = nil, help: String = "") throws(HadpoError) -> String {
        note(key, "string", value.map { .string($0) }, nil, help)
        return try scalar(key, value.map { .string($0) }, "a string", whenDescribing: "") { $0.stringValue }
    }

    // MARK: values that may be null, which is their default

    package mutating func optionalInt(
        _ key: String, in range: ClosedRange<Int> = Int.min...Int.max, help: String = ""
    ) throws(HadpoError) -> Int? {
        let text = rangeText(range)
        note(key, "integer or null", .null, text, help)
        let result = try optional(key, "an integer or null") { $0.intValue }
        if let result, !range.contains(result) { throw outOfRange(key, "\(result)", text) }
        return result
    }

    package mutating func optionalDouble(
        _ key: String, in range: ClosedRange<Double> = -Double.infinity...Double.infinity, help: String = ""
    ) throws(HadpoError) -> Double? {
        let text = rangeText(range)
        note(key, "number or null", .null, text, help)
        let result = try optional(key, "a number or null") { $0.doubleValue }
        if let result, !range.contains(result) { throw outOfRange(key, "\(result)", text) }
        return result
    }

    package mutating func optionalBool(_ key: String, help: String = "") throws(HadpoError) -> Bool? {
        note(key, "boolean or null", .null, nil, help)
        return try optional(key, "true, false or null") { $0.boolValue }
    }

    package mutating func optionalString(_ key: String, help: String = "") throws(HadpoError) -> String? {
        note(key, "string or null", .null, nil, help)
        return try optional(key, "a string or null") { $0.stringValue }
    }

    // MARK: names

    package mutating func choice(
        _ key: String, default value: String? = nil, of names: [String], help: String = ""
    ) throws(HadpoError) -> String {
        note(key, "string", value.map { .string($0) }, names.joined(separator: " "), help)
        let name = try scalar(key, value.map { .string($0) }, "a string", whenDescribing: names.first ?? "") { value in
            // Some names are those of JSON's booleans, as in transformers' early_stopping.
            value.stringValue ?? value.boolValue.map { $0 ? "true" : "false" }.flatMap { names.contains($0) ? $0 : nil }
        }
        guard names.contains(where: { sameBytes($0, name) }) else {
            throw HadpoError(
                .config, "unknown name", at: at(key), found: "'\(name)'", expected: "one of \(names.joined(separator: ", "))")
        }
        return name
    }

    package mutating func choice<Name: RawRepresentable & CaseIterable>(
        _ key: String, default value: Name? = nil, help: String = ""
    ) throws(HadpoError) -> Name where Name.RawValue == String {
        let name = try choice(key, default: value?.rawValue, of: Name.allCases.map(\.rawValue), help: help)
        guard let result = Name(rawValue: name) else {
            throw HadpoError(.internal, "a choice without its case", at: at(key), found: "'\(name)'")
        }
        return result
    }

    // MARK: arrays

    package mutating func strings(_ key: String, default value: [String]? = nil, help: String = "") throws(HadpoError) -> [String]
    {
        try list(key, value, "strings", help, { .string($0) }, { $0.stringValue })
    }

    package mutating func ints(_ key: String, default value: [Int]? = nil, help: String = "") throws(HadpoError) -> [Int] {
        try list(key, value, "integers", help, { .int(Int64($0)) }, { $0.intValue })
    }

    package mutating func doubles(_ key: String, default value: [Double]? = nil, help: String = "") throws(HadpoError) -> [Double]
    {
        try list(key, value, "numbers", help, { .double($0) }, { $0.doubleValue })
    }

    private mutating func list<T>(
        _ key: String, _ value: [T]?, _ what: String, _ help: String, _ write: (T) -> JSON, _ read: (JSON) -> T?
    ) throws(HadpoError) -> [T] {
        let defaultValue = value.map { JSON.array($0.map(write)) }
        note(key, "array of \(what)", defaultValue, nil, help)
        let elements = try scalar(key, defaultValue, "an array of \(what)", whenDescribing: []) { $0.arrayValue }
        var result: [T] = []
        for (index, element) in elements.enumerated() {
            guard let item = read(element) else {
                throw HadpoError(
                    .config, "mistyped value", at: at(key) + "/\(index)", found: element.kind, expected: "an array of \(what)")
            }
            result.append(item)
        }
        return result
    }

    /// An array of objects of one shape, empty when the key is absent.
    package mutating func objects<T>(
        _ key: String, help: String = "", _ body: (inout ConfigReader) throws(HadpoError) -> T
    ) throws(HadpoError) -> [T] {
        note(key, "array of objects", .array([]), nil, help)
        var results: [T] = []
        var written: [JSON] = []
        if isDescribing {
            var reader = ConfigReader(members: [], pointer: at(key) + "/0", isDescribing: true)
            _ = try body(&reader)
            fields += reader.fields
        }
        for (index, element) in try scalar(key, .array([]), "an array of objects", whenDescribing: [], { $0.arrayValue })
            .enumerated()
        {
            let place = at(key) + "/\(index)"
            guard case .object(let members) = element else {
                throw HadpoError(.config, "mistyped value", at: place, found: element.kind, expected: "an object")
            }
            var reader = ConfigReader(members: members, pointer: place, isDescribing: false)
            results.append(try body(&reader))
            try reader.finish()
            written.append(.object(reader.resolved))
        }
        resolved[resolved.count - 1].value = .array(written)
        return results
    }

    // MARK: objects

    /// A nested object; absent it has its own defaults.
    package mutating func object<T>(
        _ key: String, help: String = "", _ body: (inout ConfigReader) throws(HadpoError) -> T
    ) throws(HadpoError) -> T {
        try nested(key, take(key) ?? .object([]), help, body)
    }

    /// A nested object that may be null or absent.
    package mutating func optionalObject<T>(
        _ key: String, help: String = "", _ body: (inout ConfigReader) throws(HadpoError) -> T
    ) throws(HadpoError) -> T? {
        let found = take(key)
        if !isDescribing, found == nil || found == .null {
            resolved.append(.init(key, .null))
            return nil
        }
        if isDescribing, found == nil || found == .null {
            _ = try nested(key, .object([]), help, body)
            resolved[resolved.count - 1].value = .null
            return nil
        }
        return try nested(key, found ?? .object([]), help, body)
    }

    private mutating func nested<T>(
        _ key: String, _ value: JSON, _ help: String, _ body: (inout ConfigReader) throws(HadpoError) -> T
    ) throws(HadpoError) -> T {
        note(key, "object", .object([]), nil, help)
        guard case .object(let members) = value else { throw mistyped(key, value, "an object") }
        var reader = ConfigReader(members: members, pointer: at(key), isDescribing: isDescribing)
        let result = try body(&reader)
        try reader.finish()
        fields += reader.fields
        resolved.append(.init(key, .object(reader.resolved)))
        return result
    }

    // MARK: conditions between keys

    /// An error at `key` unless the condition holds.
    package func check(
        _ condition: Bool, _ key: String, _ message: String, found: String? = nil, expected: String? = nil
    ) throws(HadpoError) {
        if condition || (isDescribing && !isGiven(key)) { return }
        throw HadpoError(.config, message, at: at(key), found: found, expected: expected)
    }

    /// Whether the text itself holds the key, as opposed to its default.
    package func isGiven(_ key: String) -> Bool { members.contains { sameBytes($0.key, key) } }

    /// Whether the text gives a key, read before, another value than it would have without it. So a configuration that was written
    /// out with all its defaults says no more than one that leaves them out.
    /// - Parameter path: the key, or one of a nested object behind its key and a slash.
    package func differs(_ path: String) -> Bool {
        var value: JSON = .object(members)
        for key in path.utf8.split(separator: UInt8(ascii: "/")) {
            guard let inner = value[String(decoding: key, as: UTF8.self)] else { return false }
            value = inner
        }
        let standard = fields.first { sameBytes($0.pointer, pointer + "/" + path) }?.defaultValue ?? .null
        if let a = value.doubleValue, let b = standard.doubleValue { return a != b }
        if let flag = value.boolValue, standard.stringValue == (flag ? "true" : "false") { return false }
        return value != standard
    }

    /// An error when a key that has no effect in this configuration was given one: what a caller asks for is done or refused.
    /// - Parameters:
    ///   - path: as in `differs`.
    ///   - reason: what makes it so, such as "do_sample is false".
    package func refuse(_ paths: [String], unless applies: Bool, because reason: String, expected: String? = nil)
        throws(HadpoError)
    {
        if applies { return }
        for path in paths where differs(path) {
            throw HadpoError(
                .config, "a key that has no effect here", at: pointer + "/" + path, found: reason,
                expected: expected ?? "the configuration without it")
        }
    }

    /// Gives a key that was read the value that holds, where that follows from other keys.
    package mutating func settle(_ key: String, _ value: JSON) {
        guard let index = resolved.lastIndex(where: { sameBytes($0.key, key) }) else { return }
        resolved[index].value = value
    }

    // MARK: plumbing

    private func at(_ key: String) -> String { pointer + "/" + escapedPointer(key) }

    private mutating func note(_ key: String, _ type: String, _ value: JSON?, _ allowed: String?, _ help: String) {
        fields.append(Field(pointer: at(key), type: type, defaultValue: value, allowed: allowed, help: help))
    }

    private mutating func take(_ key: String) -> JSON? {
        guard let index = members.firstIndex(where: { sameBytes($0.key, key) }) else { return nil }
        used[index] = true
        return members[index].value
    }

    private mutating func scalar<T>(
        _ key: String, _ defaultValue: JSON?, _ expected: String, whenDescribing: T, _ read: (JSON) -> T?
    ) throws(HadpoError) -> T {
        let given = take(key)
        // In a description a required key is null.
        guard let value = (isDescribing && given == .null ? nil : given) ?? defaultValue else {
            if isDescribing {
                resolved.append(.init(key, .null))
                return whenDescribing
            }
            // A required key that is missing is often there under a slip of the pen.
            for (index, member) in members.enumerated() where !used[index] && editDistance(member.key, key) <= 2 {
                throw unknown(member.key, nearest: key)
            }
            throw HadpoError(.config, "a required key is missing", at: at(key), found: "nothing", expected: expected)
        }
        guard let result = read(value) else { throw mistyped(key, value, expected) }
        resolved.append(.init(key, value))
        return result
    }

    private mutating func optional<T>(_ key: String, _ expected: String, _ read: (JSON) -> T?) throws(HadpoError) -> T? {
        let value = take(key) ?? .null
        resolved.append(.init(key, value))
        if value.isNull { return nil }
        guard let result = read(value) else { throw mistyped(key, value, expected) }
        return result
    }

    private func finish() throws(HadpoError) {
        guard let index = used.firstIndex(of: false) else { return }
        let key = members[index].key
        let nearest = resolved.map(\.key).min { editDistance($0, key) < editDistance($1, key) }
        throw unknown(key, nearest: nearest)
    }

    private func unknown(_ key: String, nearest: String?) -> HadpoError {
        HadpoError(
            .config, "unknown key", at: at(key), found: "'\(key)'",
            expected: nearest.map { "a known key, the nearest is '\($0)'" } ?? "no keys here")
    }

    private func mistyped(_ key: String, _ value: JSON, _ expected: String) -> HadpoError {
        let text = value.shortText(64)
        let found = text.utf8.count <= 60 ? "\(value.kind) \(text)" : value.kind
        return HadpoError(
            .config, "mistyped value", at: at(key), found: value.isNull ? "null" : found, expected: expected)
    }

    private func outOfRange(_ key: String, _ found: String, _ range: String?) -> HadpoError {
        HadpoError(.config, "value out of range", at: at(key), found: found, expected: range)
    }

    private func rangeText(_ range: ClosedRange<Int>) -> String? {
        switch (range.lowerBound, range.upperBound) {
        case (.min, .max): nil
        case (let low, .max): "\(low) or more"
        case (.min, let high): "\(high) or less"
        case (let low, let high): "\(low)...\(high)"
        }
    }

    private func rangeText(_ range: ClosedRange<Double>) -> String? {
        switch (range.lowerBound.isFinite, range.upperBound.isFinite) {
        case (false, false): nil
        case (true, false): "\(range.lowerBound) or more"
        case (false, true): "\(range.upperBound) or less"
        case (true, true): "\(range.lowerBound)...\(range.upperBound)"
        }
    }
}

/// Levenshtein's distance over bytes; keys longer than 64 bytes count as far from everything.
func editDistance(_ a: String, _ b: String) -> Int {
    if a.utf8.count > 64 || b.utf8.count > 64 { return Int.max }
    let a = Array(a.utf8)
    let b = Array(b.utf8)
    var row = Array(0...b.count)
    for (i, x) in a.enumerated() {
        var diagonal = row[0]
        row[0] = i + 1
        for (j, y) in b.enumerated() {
            let above = row[j + 1]
            row[j + 1] = min(above + 1, row[j] + 1, diagonal + (x == y ? 0 : 1))
            diagonal = above
        }
    }
    return row[b.count]
}
