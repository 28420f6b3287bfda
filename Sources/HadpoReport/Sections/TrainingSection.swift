import HadpoBase

/// The curves of a training, its figures at both ends, and whatever else its log says.
struct TrainingSection {
    private let place: Place
    private let log: TrainingLog
    private let number: Int?

    init(_ place: Place, _ log: TrainingLog, number: Int?) { (self.place, self.log, self.number) = (place, log, number) }

    var section: Section {
        let again: HTML =
            place["logged_twice"].json.intValue ?? 0 > 0
            ? " \(place["logged_twice"].count) steps stand in the log twice, after a resumption; the later record counts." : ""
        let missing: HTML =
            place["steps_without_loss"].json.intValue ?? 0 > 0
            ? """
             <span class="worry">\(place["steps_without_loss"].count) steps have no loss</span>, the first of them step \
            \(place["first_step_without_loss"].count): the log has null there, or no finite number; they are not in the figures.
            """ : ""
        let epoch: HTML = place["epoch"].isThere ? ", \(place["epoch"].figure(2)) epochs" : ""
        let time: HTML = place["seconds"].isThere ? ", \(place["seconds"].figure(1)) seconds" : ""
        return Section(
            id: number.map { "training-\($0)" } ?? "training", title: number.map { "Training \($0)" } ?? "Training",
            body: """
                <p class="lede">\(place["steps"].count) steps\(epoch)\(time). The margin is how much more the trained model than the \
                reference prefers the chosen answer to the rejected one.\(again)\(missing)</p>
                <div class="charts">\(curves)</div>
                \(table)
                \(GuardPart(place["guard"]).html)
                \(others)
                """)
    }

    private var curves: [HTML] {
        func single(_ title: String, _ key: String, _ label: String, scale: Double = 1, zeroLine: Bool = false) -> HTML {
            let points = log.series(key).map { (x: $0.x, y: $0.y * scale) }
            return LineChart(
                title: title, xLabel: "step", yLabel: label, series: [.init(name: title, role: .single, points: points)],
                zeroLine: zeroLine
            ).html
        }
        func pair(_ title: String, _ chosen: String, _ rejected: String, _ label: String, zeroLine: Bool = false) -> HTML {
            let series = [
                LineChart.Series(name: "chosen", role: .after, points: log.series(chosen)),
                LineChart.Series(name: "rejected", role: .before, points: log.series(rejected)),
            ].filter { !$0.points.isEmpty }
            return LineChart(title: title, xLabel: "step", yLabel: label, series: series, zeroLine: zeroLine).html
        }
        return [
            single("Loss", "loss", "loss"),
            log.series("dpo_loss").isEmpty || log.series("language_modeling_loss").isEmpty
                ? "" : single("Loss of the language model", "language_modeling_loss", "loss"),
            single("Reward margin", "rewards/margins", "margin", zeroLine: true),
            pair("Rewards", "rewards/chosen", "rewards/rejected", "reward", zeroLine: true),
            single("Pairs in the right order", "rewards/accuracies", "%", scale: 100),
            pair("Log-probability of the answers", "policy_logps/chosen", "policy_logps/rejected", "log p"),
            single("Learning rate", "learning_rate", "learning rate"), single("Norm of the gradient", "grad_norm", "norm"),
        ]
    }

    private var table: HTML {
        let rows = place["figures"].members.map { name, figure in
            Table.row(
                "<code>\(name)</code>",
                ["first", "last", "lowest", "highest"].map { figure[$0].significant(4) } + [figure["steps"].count])
        }
        guard !rows.isEmpty else { return "" }
        return Table.html(
            "Figures under the names of the log, at the first and the last step.",
            head: ["", "first", "last", "lowest", "highest", "steps"], rows: rows)
    }

    /// All that this page has no chart for.
    private var others: HTML {
        guard !log.others.isEmpty else { return "" }
        let most = 60
        let charts = log.otherSeries.prefix(12).map { series in
            LineChart(
                title: "\(shortened(series.kind, 30)): \(shortened(series.name, 40))", xLabel: "step",
                yLabel: shortened(series.name, 24),
                series: [.init(name: series.name, role: .single, points: series.points)]
            ).html
        }
        let rows = log.others.prefix(most).map { other -> HTML in
            var fields: HTML = ""
            for (index, field) in other.fields.prefix(24).enumerated() {
                let value = field.value.stringValue ?? field.value.text()
                fields += "\(index > 0 ? ", " : "")\(said(shortened(field.name, 60))) <b>\(said(shortened(value, 200)))</b>"
            }
            let step = other.step.map(Place.grouped) ?? ""
            return
                "<tr><th scope=\"row\">\(said(shortened(other.kind, 40)))</th><td>\(step)</td><td class=\"long\">\(fields)</td></tr>\n"
        }
        let counts = place["other_records"].members.map { kind, count -> HTML in "\(said(shortened(kind, 40))) \(count.count) " }
        let more: HTML = log.others.count > most ? " The first \(most) are listed." : ""
        return """
            <h3>Other records of the log</h3>
            <div class="charts">\(Array(charts))</div>
            \(Table.html("By kind: \(counts).\(more)", head: ["Kind", "Step", "What it says"], rows: Array(rows)))
            """
    }
}
