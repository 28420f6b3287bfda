import Glibc
import HadpoBase

/// One axis of a chart: a range that ends on ticks, and the ticks.
package struct Scale {
    package let low: Double
    package let high: Double
    package let ticks: [Double]
    private let digits: Int

    /// - Parameter within: what the axis may not leave, such as 0 and 100 for percentages.
    /// - Parameter isTight: ends with the values, as time does; ticks lie inside.
    package init(
        _ values: [Double], wanted: Int = 4, within: ClosedRange<Double>? = nil, isTight: Bool = false
    ) {
        // Logs are anyone's: beyond this, differences and steps leave the doubles. Such values are drawn at the edge.
        let known = values.filter { $0.magnitude < 1e100 }
        var low = known.min() ?? 0
        var high = known.max() ?? 1
        if high - low < 1e-12 * max(1, max(low.magnitude, high.magnitude)) {
            let half = low == 0 ? 1 : low.magnitude * 0.1
            (low, high) = (low - half, high + half)
        }
        let step = Self.step((high - low) / Double(max(1, wanted)))
        var first = (low / step).rounded(.down)
        var last = (high / step).rounded(.up)
        if let within {
            first = max(first, (within.lowerBound / step).rounded(.up))
            last = min(last, (within.upperBound / step).rounded(.down))
        }
        let ends = (low, high)
        if isTight, high - low > step { (first, last) = ((low / step).rounded(.up), (high / step).rounded(.down)) }
        if last <= first { last = first + 1 }
        self.low = isTight ? min(ends.0, first * step) : first * step
        self.high = isTight ? max(ends.1, last * step) : last * step
        // A bound for ranges whose step vanishes against their values.
        let count = Int(exactly: min(40, max(1, (last - first).rounded()))) ?? 40
        ticks = (0...count).map { (first + Double($0)) * step }
        digits = (0...9).first { Self.isWhole(step * pow(10, Double($0))) } ?? 9
    }

    /// 1, 2, 2.5 or 5 times a power of ten, not below `rough`.
    private static func step(_ rough: Double) -> Double {
        guard rough > 0, rough.isFinite else { return 1 }
        let power = pow(10, log10(rough).rounded(.down))
        let factor = [1, 2, 2.5, 5, 10].first { $0 * power >= rough * 0.999999 } ?? 10
        return factor * power
    }

    private static func isWhole(_ value: Double) -> Bool { value >= 0.5 && (value - value.rounded()).magnitude < 1e-6 * value }

    /// Where a value lies between the ends, 0 to 1.
    func part(_ value: Double) -> Double { min(1.05, max(-0.05, (value - low) / (high - low))) }

    package func label(_ tick: Double) -> String {
        let magnitude = max(low.magnitude, high.magnitude)
        guard magnitude >= 1e-3, magnitude < 1e6 else { return Self.scientific(tick) }
        return Place.number(tick, digits)
    }

    private static func scientific(_ value: Double) -> String {
        if value == 0 { return "0" }
        // Not finite for the very largest numbers, which a stranger's log may hold.
        guard var exponent = Int(exactly: log10(value.magnitude * 1.000001).rounded(.down)) else { return "\(value)" }
        var lead = value / pow(10, Double(exponent))
        if lead.magnitude >= 9.995 { (lead, exponent) = (lead / 10, exponent + 1) }
        let digits = (lead - lead.rounded()).magnitude < 0.005 ? 0 : 1
        return Place.number(lead, digits) + "e" + (exponent < 0 ? "\u{2212}" : "") + "\(exponent.magnitude)"
    }
}
