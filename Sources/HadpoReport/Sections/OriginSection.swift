import HadpoBase
import HadpoEval

/// Whose figures the columns are: model, adapter, settings and version of each, and when the page was made.
struct OriginSection {
    private let rows: [(what: String, origin: Place)]
    private let made: Place

    init(_ root: Place, _ names: Names) {
        made = root["made"]
        var rows: [(String, Place)] = []
        func add(_ part: String, _ role: Role, _ origin: Place) {
            if origin.isThere { rows.append((names.isPair ? "\(part), \(names.name(role))" : part, origin)) }
        }
        for split in root["pope"]["splits"].elements {
            let name = "POPE " + splitName(split["name"].json.stringValue ?? "")
            add(name, .before, split["baseline"]["origin"])
            add(name, .after, split["run"]["origin"])
        }
        add("SHR", .before, root["shr"]["baseline"]["report"]["origin"])
        add("SHR", .after, root["shr"]["run"]["report"]["origin"])
        self.rows = rows
    }

    var section: Section {
        let table: HTML =
            rows.isEmpty
            ? ""
            : Table.html(
                "Equal contents have equal hashes. What nothing says the origin of was made by another tool.",
                head: ["Figures", "Model", "Adapter", "Numbers", "Settings", "Library"], rows: rows.map(row), textColumns: 6)
        return Section(
            id: "models", title: "Models and settings", short: "Models",
            body: """
                <p class="note">Made on <time data-of="\(made["date"].pointer)">\(made["date"].json.stringValue ?? "")</time> \
                with libhadpo \(made["version"].json.stringValue ?? "").</p>
                \(table)
                """)
    }

    private func row(_ what: String, _ origin: Place) -> HTML {
        let identity = origin["identity"]
        func text(_ place: Place) -> String { place.json.stringValue ?? "" }
        func hash(_ place: Place) -> HTML {
            guard let hash = place.json.stringValue else { return "none" }
            return "<code data-of=\"\(place.pointer)\" title=\"\(hash)\">\(shortened(hash, 12))</code>"
        }
        func cell(_ content: HTML) -> HTML { "<td class=\"text\">\(content)</td>" }
        guard identity.isThere else {
            return """
                <tr><th scope="row">\(said(what))</th><td class="long" colspan="5"><span class="worry">not known</span>: \
                \(said(text(origin["note"])))</td></tr>

                """
        }
        let settings = origin["settings"].members.filter { $0.key != "prompt" }.map { member -> HTML in
            "<span>\(said(member.key)) \(said(member.place.json.shortText(80)))</span> "
        }
        let numbers = ["weights", "numerics", "kv_cache"].map { key -> String in
            (key == "kv_cache" ? "kv_cache " : "") + text(identity[key])
        }.joined(separator: ", ")
        let bits = identity["last_bits"]
        return """
            <tr><th scope="row">\(said(what))</th>\(cell("\(said(text(identity["family"]))) \(hash(identity["checkpoint"]))"))\
            \(cell(hash(identity["adapter"])))\(cell("\(said(numbers))"))<td class="long">\(settings)</td>\
            \(cell("\(said(text(bits["version"]))), \(said(text(bits["kernels"])))"))</tr>

            """
    }
}
