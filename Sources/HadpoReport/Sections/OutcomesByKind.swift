/// The outcomes of one or two runs side by side. A file may name any number of kinds, so that they are looked up and not searched.
struct OutcomesByKind {
    /// In the order of first sight.
    private(set) var kinds: [String] = []
    private var outcomes: [[String: Place]] = []

    /// - Parameter reports: each with "outcomes".
    init(_ reports: [Place]) {
        var known: Set<String> = []
        for report in reports {
            let members = report["outcomes"].members
            for member in members where known.insert(member.key).inserted { kinds.append(member.key) }
            outcomes.append(Dictionary(members.map { ($0.key, $0.place) }) { first, _ in first })
        }
    }

    func contains(_ kind: String) -> Bool { outcomes.contains { $0[kind] != nil } }

    /// What each run has of a kind; nil where it has none.
    func of(_ kind: String) -> [Place?] { outcomes.map { $0[kind] } }
}
