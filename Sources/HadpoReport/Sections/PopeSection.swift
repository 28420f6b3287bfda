import HadpoBase
import HadpoEval

/// POPE in the columns of its papers, with intervals, curves, and what became of every question and answer.
struct PopeSection {
    private let place: Place
    private let answers: PopeAnswers
    private let names: Names
    private let rules: [PopeRule]

    private static let figures: [(key: String, title: String)] = [
        ("accuracy", "Accuracy"), ("precision", "Precision"), ("recall", "Recall"), ("f1", "F1"), ("yes_ratio", "Yes ratio"),
    ]

    init(_ place: Place, _ answers: PopeAnswers, _ names: Names, rules: [PopeRule]) {
        (self.place, self.answers, self.names, self.rules) = (place, answers, names, rules)
    }

    private var splits: [Place] { place["splits"].elements }
    private var first: String { (rules.first ?? .official).rawValue }
    private func name(_ split: Place) -> String { splitName(split["name"].json.stringValue ?? "questions") }
    /// The runs of a split that are there, before first.
    private func roles(_ split: Place) -> [(role: Role, run: Place)] {
        split["baseline"].isThere
            ? [(.before, split["baseline"]), (.after, split["run"])] : [(names.isPair ? .after : .single, split["run"])]
    }

    var section: Section {
        let questions = splits.map { split -> HTML in
            let published: HTML = split["published"]["revision"].json.stringValue.map { ", as published \($0)" } ?? ""
            return """
                <li><b>\(said(name(split)))</b>: \(split["questions"].count) questions on \(split["images"].count) pictures, \
                \(split["yes"].count) of them answered by yes\(published)</li>
                """
        }
        return Section(
            id: "pope", title: "POPE",
            body: """
                <p class="lede">Yes-or-no questions about objects. A model that invents says yes too often: high yes ratio, low precision. \
                The ROC curve moves the threshold on log p(yes) \u{2212} log p(no): a mere shift towards no stays on the curve.</p>
                <ul class="note">\(questions)</ul>
                \(table)
                <div class="charts">\(ranges)\(curves)</div>
                \(pairedTest)
                \(outcomes)
                """)
    }

    var glances: [Glance] {
        let hardest =
            splits.first { $0["name"].json.stringValue == "adversarial" || name($0).contains("adversarial") } ?? splits.last
        guard let hardest else { return [] }
        return [("accuracy", "accuracy"), ("yes_ratio", "yes ratio")].map { key, title in
            let was = hardest["baseline"]["rules"][first][key]
            return Glance(
                what: "POPE \(name(hardest)), \(title)", value: hardest["run"]["rules"][first][key].percent(), unit: "%",
                was: was.isThere ? "\(was.percent()) %" : nil, wasName: names.baseline)
        }
    }

    // MARK: the table

    private var table: HTML {
        var rows: [HTML] = []
        let hasScores = splits.contains { split in roles(split).contains { $0.run["roc_area"].isThere } }
        let columns = Self.figures.count + (hasScores ? 3 : 2)
        func area(_ cell: HTML) -> [HTML] { hasScores ? [cell] : [] }
        for split in splits {
            rows.append(Table.group(said(name(split)), columns: columns))
            for rule in rules {
                let suffix = rules.count > 1 ? ", \(rule.rawValue)" : ""
                for (role, run) in roles(split) {
                    let figures = run["rules"][rule.rawValue]
                    rows.append(
                        Table.row(
                            "\((role == .single ? "answers" : names.name(role)) + suffix)",
                            Self.figures.map { "\(figures[$0.key].percent())\(interval(figures, $0.key))" }
                                + area(run["roc_area"].percent()) + ["\(figures["n"].count) of \(run["asked"].count)"]))
                }
                let compared = split["comparison"]["rules"][rule.rawValue]
                if compared.isThere {
                    let differences = compared["differences"]
                    rows.append(
                        Table.row(
                            "change",
                            Self.figures.map {
                                "\(differences[$0.key]["difference"].percent(signed: true))\(differences[$0.key]["bootstrap_95"].range(signed: true))"
                            } + area("") + [compared["n"].count], class: "change"))
                }
            }
        }
        if splits.count > 1 {
            rows.append(Table.group("all question files together: \(names.isPair ? names.run : "answers")", columns: columns))
            for rule in rules {
                let figures = place["pooled"][rule.rawValue]
                rows.append(
                    Table.row(
                        "\(rule.rawValue)", Self.figures.map { figures[$0.key].percent() } + area("") + [figures["n"].count]))
            }
        }
        return Table.html(
            """
            Percent. Below each figure its 95 % interval: from resampled pictures, because questions about one picture fail together; \
            Wilson's where there was no resampling. \(ruleNote)
            """,
            head: [names.isPair ? "Run" : "Answers"] + Self.figures.map { "\($0.title)" } + area("ROC area") + [
                "Scored of asked"
            ],
            rows: rows)
    }

    private var ruleNote: HTML {
        rules.count == 1
            ? "Answers become yes or no by the rule <code>\(first)</code>."
            : "Each rule reads the same answers as its harness does; figures compare only under one rule."
    }

    private func interval(_ figures: Place, _ key: String) -> HTML {
        let bootstrap = figures["bootstrap_95"][key]
        return bootstrap.isThere ? bootstrap.range() : figures["wilson_95"][key].range()
    }

    // MARK: charts

    private var ranges: [HTML] {
        splits.map { split in
            let rows = Self.figures.map { figure in
                RangeChart.Row(
                    name: figure.title,
                    marks: roles(split).compactMap { role, run in
                        let figures = run["rules"][first]
                        guard let value = figures[figure.key].double else { return nil }
                        let bootstrap = figures["bootstrap_95"][figure.key]
                        let interval = (bootstrap.isThere ? bootstrap : figures["wilson_95"][figure.key]).interval
                        return RangeChart.Mark(
                            role: role, value: 100 * value, interval: interval.map { (100 * $0.low, 100 * $0.high) })
                    })
            }
            return RangeChart(
                title: "\(name(split)): figures and 95 % intervals", rows: rows,
                legend: split["baseline"].isThere ? names.legend : []
            ).html
        }
    }

    private var curves: [HTML] {
        zip(splits, answers.splits).map { split, answers in
            var series: [LineChart.Series] = []
            var areas: [String] = []
            for (role, run) in roles(split) {
                guard let points = PopeAnswers.curve(role == .before ? answers.baseline : answers.run) else { continue }
                let name = role == .single ? "answers" : names.name(role)
                series.append(LineChart.Series(name: name, role: role, points: points))
                if let area = run["roc_area"].double { areas.append("\(name) \(fixed(100 * area, 2)) %") }
            }
            guard !series.isEmpty else { return "" }
            let unit = Scale([0, 1], wanted: 4, within: 0...1)
            return LineChart(
                title: "\(name(split)): ROC curve", xLabel: "yes to what is not there", yLabel: "yes to what is there",
                series: series, xScale: unit, yScale: unit, diagonal: true,
                note: "Area: \(areas.joined(separator: ", "))."
            ).html
        }
    }

    // MARK: where everything went

    private var pairedTest: HTML {
        var rows: [HTML] = []
        for split in splits {
            for rule in rules {
                let compared = split["comparison"]["rules"][rule.rawValue]
                guard compared.isThere else { continue }
                let p = compared["mcnemar_p"]
                let shown: HTML =
                    p.double.map { $0 < 0.0001 } ?? false
                    ? "<data value=\"\(p.json.text())\" data-of=\"\(p.pointer)\">&lt; 0.0001</data>" : p.figure(4)
                rows.append(
                    Table.row(
                        "\(said(name(split)))\(rules.count > 1 ? ", \(rule.rawValue)" : "")",
                        [
                            compared["both_right"].count, compared["only_run_right"].count, compared["only_baseline_right"].count,
                            compared["both_wrong"].count, shown,
                        ]))
            }
        }
        guard !rows.isEmpty else { return "" }
        return """
            <h3>Question by question</h3>
            \(Table.html(
                "The same questions in both runs; McNemar's exact test, two-sided: how likely so uneven a split of the changed answers is by chance.",
                head: [
                    "Questions", "both right", "only \(names.run) right", "only \(names.baseline) right", "both wrong", "p",
                ], rows: rows, isWide: false))
            """
    }

    private var outcomes: HTML {
        var columns: [(title: HTML, run: Place)] = []
        for split in splits {
            for (role, run) in roles(split) {
                columns.append((role == .single ? said(name(split)) : "\(said(name(split)))<br>\(names.name(role))", run))
            }
        }
        var rows = [Table.row("answers in the file", columns.map { $0.run["answer_count"].count })]
        let kinds = columns.first?.run["outcomes"].members.map(\.key) ?? []
        // By position the same place in the list has another name.
        let known = kinds + columns.flatMap { $0.run["outcomes"].members.map(\.key) }.filter { !kinds.contains($0) }
        var seen: Set<String> = []
        var absent: [String] = []
        for kind in known where seen.insert(kind).inserted {
            // Those that did not happen are named in one line.
            let counts = columns.map {
                ($0.run["outcomes"][kind]["count"].json.intValue ?? $0.run["outcomes"][kind].json.intValue) ?? 0
            }
            if kind != "scored", counts.allSatisfy({ $0 == 0 }) {
                absent.append(kind)
                continue
            }
            rows.append(
                Table.row(
                    outcomeName(kind),
                    columns.map { column in
                        let outcome = column.run["outcomes"][kind]
                        guard outcome.isThere else { return "" }
                        guard outcome["count"].isThere else { return outcome.count }
                        return "\(outcome["count"].count)\(firstOf(outcome, "id"))"
                    }))
        }
        for kind in ["unparsed", "ambiguous"] {
            rows.append(Table.row(outcomeName(kind), columns.map { $0.run[kind].count }))
        }
        rows.append(Table.group("Confusion under <code>\(first)</code>", columns: columns.count + 1))
        for (key, title) in [
            ("tp", "yes, and it is there (TP)"), ("fp", "yes, and it is not (FP)"), ("tn", "no, and it is not (TN)"),
            ("fn", "no, and it is there (FN)"), ("other_yes", "neither, and it is there"), ("other_no", "neither, and it is not"),
        ] {
            let isEmpty = key.hasPrefix("other") && columns.allSatisfy { $0.run["rules"][first][key].json.intValue == 0 }
            if !isEmpty { rows.append(Table.row("\(title)", columns.map { $0.run["rules"][first][key].count })) }
        }
        rows.append(Table.row("counted", columns.map { $0.run["rules"][first]["n"].count }, class: "total"))
        return """
            <h3>What became of every question and answer</h3>
            \(Table.html(
                "Counts; nothing leaves a denominator without its name here.", head: [""] + columns.map(\.title), rows: rows, isWide: columns.count > 2))
            \(nothingOf(absent))
            """
    }
}

/// "coco_pope_random" is random.
func splitName(_ name: String) -> String {
    let prefix = "coco_pope_"
    return shortened(name.hasPrefix(prefix) ? String(name.dropFirst(prefix.count)) : name, 60)
}

/// An outcome's name with what it means.
func outcomeName(_ name: String) -> HTML {
    let meaning = OutcomeText.meaning(name)
    let words = String(name.map { $0 == "_" ? " " : $0 })
    return meaning.isEmpty ? said(words) : "\(said(words))<small class=\"why\">\(meaning)</small>"
}

/// Outcomes that did not happen, so that a reader knows they were looked for.
func nothingOf(_ names: [String]) -> HTML {
    guard !names.isEmpty else { return "" }
    return "<p class=\"note\">None of: \(names.map { String($0.map { $0 == "_" ? " " : $0 }) }.joined(separator: ", ")).</p>\n"
}

/// The first of those that an outcome names.
func firstOf(_ outcome: Place, _ what: String) -> HTML {
    let first = (outcome["first"].json.arrayValue ?? []).map { $0.stringValue ?? $0.text() }
    guard !first.isEmpty else { return "" }
    let total = outcome["count"].json.intValue ?? first.count
    let shown = first.prefix(4).map { shortened($0, 40) }
    let listed = shown.map { name -> HTML in said(name) }
    var text: HTML = ""
    for (index, name) in listed.enumerated() { text += index == 0 ? name : ", \(name)" }
    return "<small class=\"why\">\(what) \(text)\(total > shown.count ? ", \u{2026}" : "")</small>"
}
