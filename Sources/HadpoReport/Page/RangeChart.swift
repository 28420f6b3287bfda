import HadpoBase

/// Figures with their intervals, one row each: before as a ring, after as a disc below it.
struct RangeChart {
    struct Mark {
        let role: Role
        let value: Double
        let interval: (low: Double, high: Double)?
    }

    struct Row {
        let name: String
        let marks: [Mark]
    }

    let title: String
    let rows: [Row]
    let legend: [(name: String, role: Role)]
    var unit = "%"
    var note = ""

    private static let (width, left, right, top, bottom, rowHeight) = (360.0, 92.0, 16.0, 6.0, 30.0, 34.0)

    var html: HTML {
        let drawn = rows.filter { !$0.marks.isEmpty }
        guard !drawn.isEmpty else { return "" }
        let height = Self.top + Self.rowHeight * Double(drawn.count) + Self.bottom
        let floor = height - Self.bottom
        let all = drawn.flatMap(\.marks).flatMap { [$0.value, $0.interval?.low ?? $0.value, $0.interval?.high ?? $0.value] }
        let scale = Scale(all, within: 0...100)
        func across(_ value: Double) -> Double { Self.left + scale.part(value) * (Self.width - Self.left - Self.right) }
        var body: HTML = ""
        for tick in scale.ticks {
            let at = fixed(across(tick), 1)
            body += "<line class=\"grid\" x1=\"\(at)\" x2=\"\(at)\" y1=\"\(fixed(Self.top, 0))\" y2=\"\(fixed(floor, 0))\"/>"
            let label = scale.label(tick) + (tick == scale.ticks.last ? "\u{202F}" + unit : "")
            body += "<text class=\"tick\" text-anchor=\"middle\" x=\"\(at)\" y=\"\(fixed(floor + 15, 0))\">\(label)</text>"
        }
        for (index, row) in drawn.enumerated() {
            let middle = Self.top + Self.rowHeight * (Double(index) + 0.5)
            body += "<text class=\"row-label\" x=\"0\" y=\"\(fixed(middle + 4, 1))\">\(row.name)</text>"
            let apart = row.marks.count > 1 ? 11.0 : 0
            for (place, mark) in row.marks.enumerated() {
                let y = fixed(middle + (Double(place) - Double(row.marks.count - 1) / 2) * apart, 1)
                if let interval = mark.interval {
                    body +=
                        "<line class=\"whisker \(mark.role.rawValue)\" x1=\"\(fixed(across(interval.low), 1))\" x2=\"\(fixed(across(interval.high), 1))\" y1=\"\(y)\" y2=\"\(y)\"/>"
                }
                body += "<circle class=\"dot \(mark.role.rawValue)\" cx=\"\(fixed(across(mark.value), 1))\" cy=\"\(y)\" r=\"4\"/>"
            }
        }
        let description = drawn.map { row in
            row.name + " " + row.marks.map { fixed($0.value, 2) + " " + unit }.joined(separator: ", then ")
        }.joined(separator: "; ")
        return Chart.figure(
            title: title, description: description, width: Self.width, height: height, body: body, note: note, legend: legend)
    }
}
