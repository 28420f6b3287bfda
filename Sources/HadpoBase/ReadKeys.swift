/// Which members of a foreign configuration somebody asked for, by JSON pointer, so that those nobody asked for can be named. A reader that
/// forgets a key is found out by this and not by its results.
package final class ReadKeys {
    package enum Use: Sendable {
        /// The reader asked for it.
        case read
        /// The reader knows that it changes nothing that is computed here.
        case harmless
    }

    private var uses: [String: Use] = [:]
    /// Objects whose members are accounted for one by one.
    private var entered: Set<String> = [""]

    package init() {}

    package static func pointer(_ parent: String, _ key: String) -> String { parent + "/" + escapedPointer(key) }

    /// What was read is not harmless, whoever says so.
    package func note(_ pointer: String, _ use: Use) {
        if use == .harmless, uses[pointer] == .read { return }
        uses[pointer] = use
    }

    package func enter(_ pointer: String) { entered.insert(pointer) }

    /// How a member was used, itself or within something that was taken whole; nil where nobody asked.
    package func use(of pointer: String) -> Use? {
        var pointer = pointer[...]
        while !pointer.isEmpty {
            if let use = uses[String(pointer)], !entered.contains(String(pointer)) { return use }
            guard let slash = pointer.lastIndex(of: "/") else { return nil }
            pointer = pointer[..<slash]
        }
        return nil
    }

    /// Pointers to the members of `json` that nobody asked for, in the file's order; at most `limit` of them.
    package func unread(in json: JSON, limit: Int = 100) -> [String] {
        var found: [String] = []
        var open: [(pointer: String, value: JSON)] = [("", json)]
        while let (parent, value) = open.popLast(), found.count < limit {
            var inner: [(pointer: String, value: JSON)] = []
            for member in value.objectValue ?? [] {
                let pointer = Self.pointer(parent, member.key)
                if entered.contains(pointer), member.value.objectValue != nil {
                    inner.append((pointer, member.value))
                } else if uses[pointer] == nil {
                    found.append(pointer)
                    if found.count == limit { return found }
                }
            }
            open += inner.reversed()
        }
        return found
    }
}
