import HadpoBase

/// A table for people: the first `labels` columns to the left, numbers to the right.
package struct TextTable {
    private let header: [String]
    private let labels: Int
    private var rows: [[String]] = []

    package init(_ header: [String], labels: Int = 1) {
        self.header = header
        self.labels = labels
    }

    package mutating func add(_ row: [String]) { rows.append(row) }

    package var text: String {
        let widths = header.indices.map { column in ([header] + rows).map { Self.width($0, column) }.max() ?? 0 }
        let rule = widths.map { String(repeating: "-", count: $0) }.joined(separator: "  ") + "\n"
        return line(header, widths) + rule + rows.map { line($0, widths) }.joined()
    }

    private static func width(_ row: [String], _ column: Int) -> Int { column < row.count ? row[column].count : 0 }

    private func line(_ row: [String], _ widths: [Int]) -> String {
        var cells: [String] = []
        for (column, width) in widths.enumerated() {
            let cell = column < row.count ? row[column] : ""
            let blanks = String(repeating: " ", count: max(0, width - cell.count))
            cells.append(column < labels ? cell + blanks : blanks + cell)
        }
        // By bytes: going back by characters, Swift looks at all of a long row of flags again for each of them.
        let line = Array(cells.joined(separator: "  ").utf8)
        let end = line.lastIndex { $0 != UInt8(ascii: " ") }.map { $0 + 1 } ?? 0
        return String(decoding: line[..<end], as: UTF8.self) + "\n"
    }
}

extension PopeScore {
    /// The columns of the paper's POPE tables, in percent rounded to two decimals (the paper cuts them off).
    package static func table(_ rows: [(set: String, model: String, score: PopeScore)]) -> String {
        var table = TextTable(["POPE", "Model", "Accuracy", "Precision", "Recall", "F1 Score", "Yes Ratio (%)"], labels: 2)
        for (set, model, score) in rows {
            let counts = score.counts
            let ratios = [counts.accuracy, counts.precision, counts.recall, counts.f1, score.yesRatio]
            table.add([set, model] + ratios.map { $0.map { fixed(100 * $0, 2) } ?? "-" })
        }
        return table.text
    }
}
