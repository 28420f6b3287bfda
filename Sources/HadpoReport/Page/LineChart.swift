import HadpoBase

/// Which of the two compared a mark belongs to. Each has its colour, its dash and its point, so that no one needs the colour.
package enum Role: String {
    case before, after
    /// Stands by itself: neither.
    case single
}

/// Curves with axes, ticks and labels, as inline SVG whose colours follow the page's scheme. Width and font fit a phone unscaled.
package struct LineChart {
    package struct Series {
        let name: String
        let role: Role
        let points: [(x: Double, y: Double)]

        package init(name: String, role: Role, points: [(x: Double, y: Double)]) {
            (self.name, self.role, self.points) = (name, role, points)
        }
    }

    let title: String
    let xLabel: String
    let yLabel: String
    let series: [Series]
    let xScale: Scale?
    let yScale: Scale?
    /// ROC: chance.
    let diagonal: Bool
    let note: String
    /// 0 drawn as a line, where curves cross it.
    let zeroLine: Bool

    package init(
        title: String, xLabel: String, yLabel: String, series: [Series], xScale: Scale? = nil, yScale: Scale? = nil,
        diagonal: Bool = false, note: String = "", zeroLine: Bool = false
    ) {
        (self.title, self.xLabel, self.yLabel, self.series) = (title, xLabel, yLabel, series)
        (self.xScale, self.yScale, self.diagonal, self.note, self.zeroLine) = (xScale, yScale, diagonal, note, zeroLine)
    }

    private static let (width, height) = (360.0, 224.0)
    private static let (left, right, top, bottom) = (44.0, 14.0, 26.0, 36.0)

    package var html: HTML {
        let points = series.flatMap(\.points)
        guard !points.isEmpty else { return "" }
        let x = xScale ?? Scale(points.map(\.x), isTight: true)
        let y = yScale ?? Scale(points.map(\.y))
        func across(_ value: Double) -> Double { Self.left + x.part(value) * (Self.width - Self.left - Self.right) }
        func down(_ value: Double) -> Double {
            Self.height - Self.bottom - y.part(value) * (Self.height - Self.top - Self.bottom)
        }
        var body: HTML = ""
        for tick in y.ticks {
            let at = fixed(down(tick), 1)
            let heavy: HTML = zeroLine && tick == 0 ? "zero-line" : "grid"
            body +=
                "<line class=\"\(heavy)\" x1=\"\(fixed(Self.left, 0))\" x2=\"\(fixed(Self.width - Self.right, 0))\" y1=\"\(at)\" y2=\"\(at)\"/>"
            body +=
                "<text class=\"tick\" text-anchor=\"end\" x=\"\(fixed(Self.left - 6, 0))\" y=\"\(fixed(down(tick) + 3.5, 1))\">\(y.label(tick))</text>"
        }
        let floor = fixed(Self.height - Self.bottom, 0)
        body +=
            "<line class=\"axis\" x1=\"\(fixed(Self.left, 0))\" x2=\"\(fixed(Self.width - Self.right, 0))\" y1=\"\(floor)\" y2=\"\(floor)\"/>"
        for tick in x.ticks {
            let at = fixed(across(tick), 1)
            body +=
                "<line class=\"axis\" x1=\"\(at)\" x2=\"\(at)\" y1=\"\(floor)\" y2=\"\(fixed(Self.height - Self.bottom + 4, 0))\"/>"
            body +=
                "<text class=\"tick\" text-anchor=\"middle\" x=\"\(at)\" y=\"\(fixed(Self.height - Self.bottom + 16, 0))\">\(x.label(tick))</text>"
        }
        let middle = (Self.left + Self.width - Self.right) / 2
        body +=
            "<text class=\"axis-label\" text-anchor=\"middle\" x=\"\(fixed(middle, 0))\" y=\"\(fixed(Self.height - 5, 0))\">\(xLabel)</text>"
        // Level, above its axis: nobody turns the head.
        body += "<text class=\"axis-label\" x=\"0\" y=\"10\">\(yLabel)</text>"
        if diagonal {
            body +=
                "<line class=\"chance\" x1=\"\(fixed(across(0), 1))\" y1=\"\(fixed(down(0), 1))\" x2=\"\(fixed(across(1), 1))\" y2=\"\(fixed(down(1), 1))\"/>"
        }
        for line in series {
            var path = ""
            for (index, point) in Self.thinned(line.points).enumerated() {
                path += (index == 0 ? "M" : "L") + fixed(across(point.x), 1) + " " + fixed(down(point.y), 1)
            }
            body += "<path class=\"line \(line.role.rawValue)\" d=\"\(path)\"/>"
            if line.points.count == 1, let only = line.points.first {
                body +=
                    "<circle class=\"dot \(line.role.rawValue)\" cx=\"\(fixed(across(only.x), 1))\" cy=\"\(fixed(down(only.y), 1))\" r=\"3.5\"/>"
            }
        }
        return Chart.figure(
            title: title, description: summary, width: Self.width, height: Self.height, body: body, note: note,
            legend: series.count > 1 || series.first?.role != .single ? series.map { ($0.name, $0.role) } : [])
    }

    /// Said to those who do not see the curve.
    private var summary: String {
        series.map { line in
            guard let first = line.points.first, let last = line.points.last else { return "\(line.name): no points" }
            return
                "\(line.name): \(yLabel) from \(Self.short(first.y)) at \(xLabel) \(Self.short(first.x)) to \(Self.short(last.y)) at "
                + "\(Self.short(last.x))"
        }.joined(separator: ". ")
    }

    private static func short(_ value: Double) -> String {
        value == value.rounded() && value.magnitude < 1e9 ? fixed(value, 0) : fixed(value, value.magnitude < 0.01 ? 6 : 3)
    }

    /// No more points than a screen shows: of each stretch its lowest and highest, so that no spike is lost.
    private static func thinned(_ points: [(x: Double, y: Double)]) -> [(x: Double, y: Double)] {
        let most = 300
        guard points.count > 2 * most else { return points }
        var kept: [(x: Double, y: Double)] = []
        for stretch in 0..<most {
            let part = points[(stretch * points.count / most)..<((stretch + 1) * points.count / most)]
            guard let low = part.indices.min(by: { part[$0].y < part[$1].y }),
                let high = part.indices.max(by: { part[$0].y < part[$1].y })
            else { continue }
            for index in low == high ? [low] : [min(low, high), max(low, high)] { kept.append(points[index]) }
        }
        return kept
    }
}

/// What every chart has around it.
enum Chart {
    static func figure(
        title: String, description: String, width: Double, height: Double, body: HTML, note: String,
        legend: [(name: String, role: Role)]
    ) -> HTML {
        var caption: HTML = "<span class=\"chart-title\">\(title)</span>"
        if !legend.isEmpty {
            caption += "<span class=\"legend\">\(legend.map { key($0.name, $0.role) })</span>"
        }
        if !note.isEmpty { caption += "<span class=\"chart-note\">\(note)</span>" }
        return """
            <figure class="chart"><figcaption>\(caption)</figcaption>\
            <svg viewBox="0 0 \(fixed(width, 0)) \(fixed(height, 0))" role="img" aria-label="\(title + ". " + description)">\
            \(body)</svg></figure>

            """
    }

    /// A sample of the mark beside its name.
    static func key(_ name: String, _ role: Role) -> HTML {
        """
        <span class="key"><svg viewBox="0 0 26 10" aria-hidden="true"><line class="line \(role.rawValue)" x1="1" x2="25" y1="5" y2="5"/>\
        <circle class="dot \(role.rawValue)" cx="13" cy="5" r="3.5"/></svg>\(name)</span>
        """
    }
}
