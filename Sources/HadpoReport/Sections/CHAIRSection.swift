import HadpoBase
import HadpoEval

/// CHAIR in its paper's columns.
struct CHAIRSection {
    private let place: Place
    private let names: Names

    init(_ place: Place, _ names: Names) { (self.place, self.names) = (place, names) }

    static func results(_ run: CHAIRRecords, _ baseline: CHAIRRecords?, _ config: ReportConfig) -> JSON {
        var results: JSON = ["run": run.report(resamples: config.resamples, seed: config.seed)]
        if let baseline { results["baseline"] = baseline.report(resamples: config.resamples, seed: config.seed) }
        return results
    }

    /// Every caption scored, and the same pictures in both runs.
    static func require(_ run: CHAIRRecords, _ baseline: CHAIRRecords?, _ config: ReportConfig) throws(HadpoError) {
        for records in [run, baseline].compactMap({ $0 }) {
            guard records.coverage.scored > 0 else {
                throw HadpoError(
                    .format, "no caption was scored", at: records.path, found: "\(records.captions.count) records",
                    expected: "lines of `hadpo chair --records`")
            }
            let left = records.captions.filter { $0.outcome == "image_without_annotations" }.map(\.image)
            try records.coverage.require(
                partial: config.partial, "captions that were not scored", at: records.path, "captions",
                missing: Coverage.first(left), expected: "a score of every caption")
        }
        guard let baseline else { return }
        var others: Set<Int> = []
        var onlyRun: [String] = []
        for caption in run.captions where caption.outcome != "captioned_twice" {
            if let place = try baseline.pictures.place(caption.image, in: run.path) {
                others.insert(place)
            } else {
                onlyRun.append(caption.image)
            }
        }
        let onlyBaseline = baseline.pictures.count - others.count
        try Coverage(asked: run.pictures.count + onlyBaseline, scored: others.count).require(
            partial: config.partial, "run and baseline do not caption the same pictures", at: run.path, "pictures",
            missing:
                "only in the run: \(onlyRun.isEmpty ? "none" : Coverage.first(onlyRun)), only in \(baseline.path): \(onlyBaseline)",
            expected: "the same pictures")
    }

    private var runs: [(role: Role, report: Place)] {
        place["baseline"].isThere
            ? [(.before, place["baseline"]), (.after, place["run"])] : [(names.isPair ? .after : .single, place["run"])]
    }
    private func title(_ role: Role) -> String { role == .single ? "captions" : names.name(role) }

    var section: Section {
        Section(
            id: "chair", title: "CHAIR: objects that captions invent", short: "CHAIR",
            body: """
                <p class="lede">CHAIR<sub>s</sub> is the part of captions with an object that is not in the picture, CHAIR<sub>i</sub> the \
                part of mentioned objects. Both grow with the length of captions.</p>
                \(table)
                <div class="charts">\(ranges)</div>
                <div class="columns"><div>\(outcomes)</div><div>\(objects)</div></div>
                """)
    }

    var glances: [Glance] {
        let was = place["baseline"]["chair_s"]
        return [
            Glance(
                what: "Captions with an invented object (CHAIRs)", value: place["run"]["chair_s"].percent(), unit: "%",
                was: was.isThere ? "\(was.percent()) %" : nil, wasName: names.baseline)
        ]
    }

    private var table: HTML {
        let rows = runs.map { role, report in
            Table.row(
                "\(title(role))",
                ["chair_s", "chair_i", "recall"].map { "\(report[$0].percent())\(report["bootstrap_95"][$0].range())" } + [
                    "\(report["length"].figure(2))\(report["bootstrap_95"]["length"].range(1, scale: 1))",
                    report["mentions"].count,
                    report["hallucinated_mentions"].count,
                    "\(report["scored"].count) of \(report["asked"].count)",
                ])
        }
        return Table.html(
            "Percent, with 95 % intervals from resampled images; length in words. Rules of \(ObjectWords.implementation): figures of its ports do not compare.",
            head: ["", "CHAIR<sub>s</sub>", "CHAIR<sub>i</sub>", "Recall", "Length", "Mentions", "not there", "Scored of asked"],
            rows: rows)
    }

    private var ranges: HTML {
        let rows = [("chair_s", "CHAIRs"), ("chair_i", "CHAIRi"), ("recall", "Recall")].map { key, name in
            RangeChart.Row(
                name: name,
                marks: runs.compactMap { role, report in
                    guard let value = report[key].double else { return nil }
                    let interval = report["bootstrap_95"][key].interval
                    return RangeChart.Mark(
                        role: role, value: 100 * value, interval: interval.map { (100 * $0.low, 100 * $0.high) })
                })
        }
        return RangeChart(
            title: "CHAIR and 95 % intervals", rows: rows, legend: place["baseline"].isThere ? names.legend : []
        ).html
    }

    private var objects: HTML {
        var kinds: [String] = []
        for run in runs {
            let wrong = run.report["by_object"].members.filter { $0.place["hallucinated"].json.intValue ?? 0 > 0 }
            for kind in wrong.prefix(10).map(\.key) where !kinds.contains(kind) { kinds.append(kind) }
        }
        guard !kinds.isEmpty else { return "" }
        let rows = kinds.prefix(12).map { kind in
            Table.row(
                said(kind),
                runs.flatMap { run -> [HTML] in
                    let object = run.report["by_object"][kind]
                    guard object.isThere else { return ["<span class=\"zero\">0</span>", "<span class=\"zero\">0</span>"] }
                    return [object["hallucinated"].count, object["mentions"].count]
                })
        }
        let head = runs.flatMap { run -> [HTML] in ["\(title(run.role)): not there", "mentioned"] }
        return """
            <h3>Most invented</h3>
            \(Table.html("Objects by how often they are mentioned and not there.", head: [""] + head, rows: Array(rows), isWide: false))
            """
    }

    private var outcomes: HTML {
        let outcomes = OutcomesByKind(runs.map(\.report))
        let rows = outcomes.kinds.map { kind in
            Table.row(
                outcomeName(kind),
                outcomes.of(kind).map { outcome in
                    guard let outcome, outcome.isThere else { return "<span class=\"zero\">0</span>" }
                    return "\(outcome["count"].count)\(kind == "scored" ? "" : firstOf(outcome, "image"))"
                })
        }
        return """
            <h3>Every caption</h3>
            \(Table.html("What became of each caption.", head: [""] + runs.map { "\(title($0.role))" }, rows: rows, isWide: false))
            \(nothingOf(["image_without_annotations", "captioned_twice", "empty_caption"].filter { !outcomes.contains($0) }))
            """
    }
}
