import HadpoBase

/// Where SHR's mended figures are not those of upstream's scripts, and why; and how much the descriptions repeat themselves.
struct SHRDifferences {
    private let runs: [(title: String, report: Place)]

    init(_ runs: [(title: String, report: Place)]) { self.runs = runs.filter { $0.report["differences"].isThere } }

    var html: HTML {
        guard !runs.isEmpty else { return "" }
        let kinds = [
            ("verdicts_read_after_trimming", "verdicts read where upstream stumbles over a blank"),
            ("verdicts_read_by_number", "verdicts read by their numbers where upstream has none"),
            ("images_that_upstream_leaves_out", "images that upstream leaves out"),
            ("sentences_without_verdict", "sentences without a verdict"),
        ]
        var rows = kinds.map { key, name in Table.row("\(name)", runs.map { $0.report["differences"][key].count }) }
        for (key, name) in [("upstream", "HSR, upstream"), ("corrected", "HSR, mended")] {
            rows.append(Table.row("\(name)", runs.map { $0.report["differences"]["hal_sents_ratio"][key].percent() }))
        }
        let head: [HTML] = [""] + runs.map { "\($0.title)" }
        return """
            <div class="columns"><div><h3>Where mended and upstream differ</h3>
            \(Table.html("\(why("hal_sents_ratio"))", head: head, rows: rows, isWide: false))</div>
            <div><h3>Repetition</h3>
            \(Table.html("\(why("repetition"))", head: ["n-grams"] + repetitionHead, rows: repetition, isWide: false))</div></div>

            """
    }

    /// As the score itself says it.
    private func why(_ key: String) -> String {
        let text = runs.first?.report["differences"][key]["why"].json.stringValue ?? ""
        return text.prefix(1).uppercased() + text.dropFirst() + (text.isEmpty ? "" : ".")
    }

    private var repetitionHead: [HTML] { runs.flatMap { run -> [HTML] in ["\(run.title)", "upstream"] } }

    private var repetition: [HTML] {
        (1...4).map { n in
            Table.row(
                "\(n)",
                runs.flatMap { run -> [HTML] in
                    [
                        run.report["repetition"]["gram-\(n)"]["repeated"].percent(),
                        run.report["upstream"]["gram-\(n)-repetition"].percent(),
                    ]
                })
        }
    }
}
