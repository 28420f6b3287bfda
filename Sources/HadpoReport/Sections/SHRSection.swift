import HadpoBase
import HadpoEval

/// SHR in the columns of its table, at equal length too, with who judged and what became of every image and sentence.
struct SHRSection {
    private let place: Place
    private let names: Names

    init(_ place: Place, _ names: Names) { (self.place, self.names) = (place, names) }

    static func results(_ run: SHRScored, _ baseline: SHRScored?, _ config: ReportConfig) throws(HadpoError) -> JSON {
        func one(_ scored: SHRScored) -> JSON {
            ["sentences": .string(scored.path), "sentences_sha256": .string(scored.sha256), "report": scored.report]
        }
        var results: JSON = ["run": one(run)]
        if let baseline {
            results["baseline"] = one(baseline)
            results["comparison"] = try run.comparison(
                with: baseline, resamples: config.resamples, seed: config.seed, partial: config.partial)
        }
        return results
    }

    /// The columns: sentences and words per image, those of them hallucinated, and the two ratios.
    private static let columns: [(key: String, title: HTML, isRatio: Bool)] = [
        ("sents_per_image", "<abbr title=\"sentences per image\">SPI</abbr>", false),
        ("words_per_image", "<abbr title=\"words per image\">WPI</abbr>", false),
        ("hal_sents_per_image", "<abbr title=\"hallucinated sentences per image\">HSPI</abbr>", false),
        ("hal_words_per_image", "<abbr title=\"words of hallucinated sentences per image\">HWPI</abbr>", false),
        ("hal_sents_ratio", "<abbr title=\"hallucinated sentences, percent\">HSR</abbr>", true),
        ("hal_words_ratio", "<abbr title=\"words of hallucinated sentences, percent\">HWR</abbr>", true),
    ]

    private var runs: [(role: Role, report: Place)] {
        place["baseline"].isThere
            ? [(.before, place["baseline"]["report"]), (.after, place["run"]["report"])]
            : [(names.isPair ? .after : .single, place["run"]["report"])]
    }
    private func title(_ role: Role) -> String { role == .single ? "descriptions" : names.name(role) }

    var section: Section {
        Section(
            id: "shr", title: "SHR: hallucinated sentences in descriptions", short: "SHR",
            body: """
                \(judges)
                \(table)
                <div class="charts">\(ranges)\(byLength)</div>
                \(comparison)
                \(SHRDifferences(runs.map { (title($0.role), $0.report) }).html)
                <div class="columns"><div>\(sentences)</div><div>\(outcomes)</div></div>
                """)
    }

    var glances: [Glance] {
        [
            ("hal_sents_ratio", "Hallucinated sentences (HSR)", "%"), ("words_per_image", "Words in a description", ""),
        ].map { key, what, unit in
            func shown(_ figures: Place) -> HTML { unit == "%" ? figures[key].percent() : figures[key].figure(1) }
            let was = place["baseline"]["report"]["corrected"]
            return Glance(
                what: what, value: shown(place["run"]["report"]["corrected"]), unit: unit,
                was: was.isThere ? "\(shown(was))\(unit.isEmpty ? "" : " " + unit)" : nil, wasName: names.baseline)
        }
    }

    // MARK: the judge

    private var judges: HTML {
        let lines = runs.map { role, report -> HTML in judge(report["judge"]) }
        if lines.count == 2, lines[0].text != lines[1].text {
            return """
                <p><span class="judge">\(names.baseline): \(lines[0])</span> <span class="judge">\(names.run): \(lines[1])</span></p>
                <p class="note"><b class="worry">Two judges:</b> figures of different judges do not compare.</p>
                \(judgeNotes)
                """
        }
        let note: HTML =
            place["run"]["report"]["judge"]["rule"].json.stringValue.map { "<p class=\"note\">Rule: \(said($0)).</p>" } ?? ""
        return "<p><span class=\"judge\">\(lines.first ?? "")</span></p>\n\(note)\(judgeNotes)"
    }

    /// What the verdicts do not say by themselves, of each run.
    private var judgeNotes: [HTML] {
        runs.flatMap { role, report in notes(report["judge"]["notes"], of: runs.count > 1 ? title(role) : nil) }
    }

    private func notes(_ notes: Place, of run: String? = nil) -> [HTML] {
        let texts = (notes.json.arrayValue ?? []).compactMap(\.stringValue)
        return texts.map { "<p class=\"note\">\(run.map { $0 + ": " } ?? "")\(said($0)).</p>" }
    }

    private func judge(_ judge: Place) -> HTML {
        switch judge["kind"].json.stringValue {
        case "annotations": return "Judge: <b>annotations</b>, no model read the descriptions"
        case "model":
            let models = (judge["models"].json.arrayValue ?? []).compactMap(\.stringValue)
            if models.isEmpty { return "Judge: <b>a model that its replies do not name</b>" }
            return "Judge: the model <b>\(said(models.joined(separator: ", ")))</b>"
        default: return "Judge: <b>unknown</b>, the sentences came without their score's report"
        }
    }

    // MARK: figures

    private var table: HTML {
        let titles = Self.columns.map(\.title)
        var rows: [HTML] = []
        rows.append(Table.group("Mended figures: every sentence with a verdict", columns: titles.count + 2))
        for (role, report) in runs {
            let figures = report["corrected"]
            rows.append(
                Table.row(
                    "\(title(role))",
                    Self.columns.map { column in
                        column.isRatio
                            ? "\(figures[column.key].percent())\(figures["bootstrap_95"][column.key].range())"
                            : figures[column.key].figure(2)
                    } + [coverage(report)]))
        }
        if runs.contains(where: { $0.report["upstream"].isThere }) {
            rows.append(Table.group("As HA-DPO\u{2019}s scripts compute them (metrics.json)", columns: titles.count + 2))
            for (role, report) in runs {
                let upstream = report["upstream"].members
                let several = upstream.count { $0.place["num_images"].isThere } > 1
                for run in upstream where run.place["sents_per_image"].isThere || run.place["num_images"].isThere {
                    rows.append(
                        Table.row(
                            "\(title(role))\(several ? ", " + run.key : "")",
                            Self.columns.map { column in
                                column.isRatio ? run.place[column.key].figure(1, scale: 100) : run.place[column.key].figure(3)
                            } + [run.place["num_images"].count]))
                }
            }
        }
        return Table.html(
            """
            SPI, WPI: sentences and words per image; HSPI, HWPI: hallucinated ones; HSR, HWR: their share of the judged, in percent, \
            with 95 % intervals from resampled images. A short answer has fewer of everything: see the figures at equal length.
            """,
            head: [""] + titles + ["Scored of asked"], rows: rows)
    }

    private func coverage(_ report: Place) -> HTML {
        report["asked"].isThere
            ? "\(report["scored"].count) of \(report["asked"].count)" : report["corrected"]["descriptions"].count
    }

    private var ranges: HTML {
        let rows = [
            ("hal_sents_ratio", "Sentences"), ("hal_words_ratio", "Words"), ("descriptions_with_hallucination", "Descriptions"),
        ].map { key, name in
            RangeChart.Row(
                name: name,
                marks: runs.compactMap { role, report in
                    let figures = report["corrected"]
                    guard let value = figures[key].double else { return nil }
                    let interval = figures["bootstrap_95"][key].interval
                    return RangeChart.Mark(
                        role: role, value: 100 * value, interval: interval.map { (100 * $0.low, 100 * $0.high) })
                })
        }
        return RangeChart(
            title: "Share with a hallucination", rows: rows, legend: place["baseline"].isThere ? names.legend : [],
            note: "Sentences and words with 95 % intervals; descriptions with at least one hallucination."
        ).html
    }

    private var byLength: HTML {
        let series = runs.compactMap { role, report -> LineChart.Series? in
            let points = report["length_matched"]["first_sentences"].elements.compactMap { row -> (x: Double, y: Double)? in
                guard let k = row["sentences_each"].double, let ratio = row["hal_sents_ratio"].double else { return nil }
                return (k, 100 * ratio)
            }
            return points.isEmpty ? nil : LineChart.Series(name: title(role), role: role, points: points)
        }
        return LineChart(
            title: "At equal length: the first sentences of each", xLabel: "first sentences", yLabel: "hallucinated, %",
            series: series,
            yScale: Scale(series.flatMap(\.points).map(\.y), within: 0...100),
            note: "Of descriptions with at least as many sentences."
        ).html
    }

    private var comparison: HTML {
        let compared = place["comparison"]
        guard compared.isThere else { return "" }
        let rows = [
            ("plain", "as they are"), ("same_number_of_sentences", "same number of sentences of each image"),
            ("same_number_of_words", "same number of words of each image"),
        ].map { key, name in
            let row = compared[key]
            return Table.row(
                "\(name)",
                [
                    row["baseline"].percent(), row["baseline_sentences"].count, row["run"].percent(), row["run_sentences"].count,
                    "\(row["difference"].percent(signed: true))\(row["bootstrap_95"].range(signed: true))",
                ])
        }
        return """
            <h3>At equal length</h3>
            \(Table.html(
                """
                Hallucinated sentences, percent of the judged, of the \(compared["descriptions_of_both"].count) descriptions that both have \
                (only in \(names.run): \(compared["only_in_run"].count), only in \(names.baseline): \(compared["only_in_baseline"].count)).
                """,
                head: ["", "\(names.baseline)", "sentences", "\(names.run)", "sentences", "change"], rows: rows))
            \(notes(compared["notes"]))
            """
    }

    // MARK: where everything went

    private var sentences: HTML {
        let kinds = ["hallucination", "correct", "cannot judge", "unrecognised", "unjudged"]
        var rows = kinds.map { kind in Table.row(outcomeName(kind), runs.map { $0.report["corrected"]["sentences"][kind].count })
        }
        rows.append(Table.row("sentences", runs.map { $0.report["corrected"]["sentences"]["total"].count }, class: "total"))
        rows.append(
            Table.row(
                "HSR over all sentences<small class=\"why\">the least and the most that the missing verdicts leave possible</small>",
                runs.map { run in
                    let bounds = run.report["corrected"]["hal_sents_ratio_bounds"]
                    return bounds.isThere ? "\(bounds[0].percent())\u{2013}\(bounds[1].percent())" : bounds.figure(2)
                }))
        return """
            <h3>Every sentence</h3>
            \(Table.html("Sentences by verdict.", head: [""] + runs.map { "\(title($0.role))" }, rows: rows, isWide: false))
            """
    }

    private var outcomes: HTML {
        let outcomes = OutcomesByKind(runs.map(\.report))
        let kinds = outcomes.kinds
        var rows = [Table.row("images of the evaluation", runs.map { $0.report["images"].count })]
        rows += kinds.map { kind in
            Table.row(
                outcomeName(kind),
                outcomes.of(kind).map { outcome in
                    guard let outcome, outcome.isThere else { return "<span class=\"zero\">0</span>" }
                    return "\(outcome["count"].count)\(kind == "judged" ? "" : firstOf(outcome, "image"))"
                })
        }
        let looked = [
            "no_description", "empty_description", "no_regions", "no_reply", "not_requested", "foreign_reply", "count_mismatch",
            "unread_verdicts", "no_judgement", "only_draft", "described_twice", "judged_twice", "not_in_the_evaluation",
        ].filter { !outcomes.contains($0) }
        return """
            <h3>Every image</h3>
            \(Table.html(
                "What became of each image\u{2019}s description.", head: [""] + runs.map { "\(title($0.role))" }, rows: rows, isWide: false))
            \(nothingOf(looked))
            """
    }
}
