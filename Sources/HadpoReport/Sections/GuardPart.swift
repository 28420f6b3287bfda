import HadpoBase

/// What the guard saw of the model while it trained, and why it ended the training where it did.
struct GuardPart {
    private let place: Place
    private let records: [Place]
    /// Figures of the records, those of one thing together.
    private let figures: [String]
    /// Those that have a column too many, or too long a name: a log is anyone's, and every row names every figure.
    private let figuresLeftOut: Int

    private static let mostFigures = 40
    private static let longestName = 200

    /// - Parameter place: "guard" of a training's results.
    init(_ place: Place) {
        self.place = place
        records = place["records"].elements
        var names: [String] = []
        var known: Set<String> = []
        var leftOut = 0
        for record in records {
            for member in record["figures"].json.objectValue ?? [] where known.insert(member.key).inserted {
                if names.count < Self.mostFigures, member.key.utf8.count <= Self.longestName {
                    names.append(member.key)
                } else {
                    leftOut += 1
                }
            }
        }
        (figures, figuresLeftOut) = (names, leftOut)
    }

    private func series(_ name: String, _ role: Role = .single) -> LineChart.Series {
        let scale = Self.isPart(name) ? 100.0 : 1
        let points = records.compactMap { record -> (x: Double, y: Double)? in
            guard let step = record["step"].double, let value = record["figures"][name].double else { return nil }
            return (step, value * scale)
        }
        return .init(name: Self.title(name), role: role, points: points)
    }

    var html: HTML {
        guard !records.isEmpty || place["stopped"].isThere else { return "" }
        let shown = records.prefix(200)
        let rows = shown.map { record -> HTML in
            Table.row(
                record["step"].count,
                figures.map { name in
                    let figure = record["figures"][name]
                    return Self.isPart(name) ? figure.percent() : figure.significant(4)
                })
        }
        var more: HTML = records.count > shown.count ? " The first \(shown.count) of \(records.count) are listed." : ""
        if figuresLeftOut > 0 { more += " \(figuresLeftOut) more figures are in the results alone." }
        let table =
            rows.isEmpty
            ? ""
            : Table.html(
                "The model itself, looked at every so many steps; parts in percent.\(more)",
                head: ["Step"] + figures.map { said(Self.title($0)) }, rows: rows)
        return """
            <h3>The guard</h3>
            \(stop)
            <div class="charts">\(charts)</div>
            \(table)
            """
    }

    private var stop: HTML {
        let stopped = place["stopped"]
        guard stopped.isThere else { return "<p>No rule of the guard ended the training.</p>" }
        let why = stopped["message"].json.stringValue ?? stopped.json.text()
        return
            "<p><span class=\"mark bad\" aria-hidden=\"true\">\u{2717}</span> <b>Stopped by the guard:</b> \(said(shortened(why, 400))).</p>"
    }

    private var charts: [HTML] {
        var rest = figures
        var charts: [HTML] = []
        func add(_ title: String, _ yLabel: String, _ series: [LineChart.Series]) {
            charts.append(
                LineChart(title: title, xLabel: "step", yLabel: yLabel, series: series.filter { !$0.points.isEmpty }).html)
        }
        func take(_ name: String) -> Bool {
            guard let index = rest.firstIndex(of: name) else { return false }
            rest.remove(at: index)
            return true
        }
        if take("pope.accuracy") { add("POPE accuracy", "%", [series("pope.accuracy")]) }
        if take("pope.yes_ratio") { add("POPE yes ratio", "%", [series("pope.yes_ratio")]) }
        if take("describe.words") { add("Words in a description", "words", [series("describe.words")]) }
        if take("describe.repetition") { add("Repetition in descriptions", "%", [series("describe.repetition")]) }
        if take("chosen_logprob") {
            let pair = take("rejected_logprob")
            add(
                "Log-probability of the answers", "log p",
                pair ? [series("chosen_logprob", .after), series("rejected_logprob", .before)] : [series("chosen_logprob")])
        }
        // The rest of POPE stands in the table.
        for name in rest.filter({ !$0.hasPrefix("pope.") }).prefix(6) {
            add(Self.title(name), Self.isPart(name) ? "%" : "", [series(name)])
        }
        return charts
    }

    private static func isPart(_ name: String) -> Bool { name.hasPrefix("pope.") || name == "describe.repetition" }

    private static func title(_ name: String) -> String {
        let known = [
            "pope.accuracy": "POPE accuracy", "pope.precision": "precision", "pope.recall": "recall", "pope.f1": "F1",
            "pope.yes_ratio": "yes ratio", "pope.roc_area": "ROC area", "describe.words": "words a description",
            "describe.repetition": "repetition", "chosen_logprob": "log p, chosen", "rejected_logprob": "log p, rejected",
        ]
        return known[name] ?? shortened(name, 40)
    }
}
