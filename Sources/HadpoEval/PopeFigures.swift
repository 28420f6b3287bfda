import HadpoBase

/// Counts of a yes-or-no evaluation, "yes" being the positive class. A ratio without cases is nil.
package struct ConfusionMatrix: Sendable, Equatable {
    package var tp = 0, fp = 0, tn = 0, fn = 0
    /// Answers that are neither yes nor no under the rule, to questions whose label is yes and no.
    package var otherYes = 0, otherNo = 0

    package init(tp: Int = 0, fp: Int = 0, tn: Int = 0, fn: Int = 0, otherYes: Int = 0, otherNo: Int = 0) {
        (self.tp, self.fp, self.tn, self.fn, self.otherYes, self.otherNo) = (tp, fp, tn, fn, otherYes, otherNo)
    }

    package mutating func count(predictedYes: Bool, isYes: Bool) { count(predictedYes ? .yes : .no, isYes: isYes) }

    package mutating func count(_ verdict: PopeRule.Verdict, isYes: Bool) {
        switch (verdict, isYes) {
        case (.yes, true): tp += 1
        case (.yes, false): fp += 1
        case (.no, false): tn += 1
        case (.no, true): fn += 1
        case (.other, true): otherYes += 1
        case (.other, false): otherNo += 1
        }
    }

    package static func + (a: ConfusionMatrix, b: ConfusionMatrix) -> ConfusionMatrix {
        ConfusionMatrix(columns: zip(a.columns, b.columns).map { $0 + $1 })
    }

    /// For sums over pictures.
    var columns: [Int] { [tp, fp, tn, fn, otherYes, otherNo] }
    init(columns: [Int]) {
        guard columns.count == 6 else { return }
        (tp, fp, tn, fn, otherYes, otherNo) = (columns[0], columns[1], columns[2], columns[3], columns[4], columns[5])
    }

    package var total: Int { tp + fp + tn + fn + otherYes + otherNo }
    package var accuracy: Double? { ratio(tp + tn, total) }
    package var precision: Double? { ratio(tp, tp + fp) }
    package var recall: Double? { ratio(tp, tp + fn) }
    package var f1: Double? { harmonicMean(precision, recall) }
}

/// The figures of a confusion matrix as a rule's source computes them. Where a source divides by zero, or hides it behind a zero,
/// there is no figure.
package struct PopeFigures: Sendable {
    package let counts: ConfusionMatrix
    package let rule: PopeRule

    package init(_ counts: ConfusionMatrix, rule: PopeRule) {
        self.counts = counts
        self.rule = rule
    }

    package enum Figure: String, CaseIterable, Sendable { case accuracy, precision, recall, f1, yesRatio = "yes_ratio" }

    /// Part and whole of a figure that is a proportion. lmms-eval takes a reply that is neither out of the recall's denominator;
    /// VLMEvalKit takes it for a no there, and for wrong in the accuracy.
    private func proportion(_ figure: Figure) -> (part: Int, whole: Int)? {
        switch figure {
        case .accuracy: (counts.tp + counts.tn, counts.total)
        case .precision: (counts.tp, counts.tp + counts.fp)
        case .recall: (counts.tp, counts.tp + counts.fn + (rule == .vlmEvalKit ? counts.otherYes : 0))
        case .yesRatio: (counts.tp + counts.fp, counts.total)
        case .f1: nil
        }
    }

    package subscript(figure: Figure) -> Double? {
        if let (part, whole) = proportion(figure) { return ratio(part, whole) }
        return harmonicMean(self[.precision], self[.recall])
    }

    package func wilson(_ figure: Figure) -> ClosedRange<Double>? {
        proportion(figure).flatMap { Statistics.wilson($0.part, $0.whole) }
    }
}

func ratio(_ part: Int, _ whole: Int) -> Double? { whole == 0 ? nil : Double(part) / Double(whole) }

private func harmonicMean(_ a: Double?, _ b: Double?) -> Double? {
    guard let a, let b, a + b > 0 else { return nil }
    return 2 * a * b / (a + b)
}
