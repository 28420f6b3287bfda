import Glibc
import HadpoBase

/// A place in the results. Every figure on the page is read through one and carries its pointer (RFC 6901) into the results that the
/// call returns, so that page and results cannot differ and a reader finds where a number comes from.
package struct Place {
    let json: JSON
    let pointer: String

    package init(_ json: JSON, _ pointer: String = "") { (self.json, self.pointer) = (json, pointer) }

    package subscript(key: String) -> Place { Place(json[key] ?? .null, pointer + "/" + Self.escaped(key)) }

    private static func escaped(_ key: String) -> String {
        var escaped = ""
        for scalar in key.unicodeScalars {
            switch scalar {
            case "~": escaped += "~0"
            case "/": escaped += "~1"
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }

    subscript(index: Int) -> Place { Place(json[index] ?? .null, pointer + "/\(index)") }

    var isThere: Bool { !json.isNull }
    var double: Double? { json.doubleValue.flatMap { $0.isFinite ? $0 : nil } }
    var elements: [Place] { (0..<(json.arrayValue?.count ?? 0)).map { self[$0] } }
    var members: [(key: String, place: Place)] {
        (json.objectValue ?? []).map { ($0.key, Place($0.value, pointer + "/" + Self.escaped($0.key))) }
    }

    /// The interval's ends.
    var interval: (low: Double, high: Double)? {
        guard let low = self[0].double, let high = self[1].double else { return nil }
        return (low, high)
    }

    // MARK: as figures on the page

    /// - Parameter signed: differences say which way.
    func figure(_ digits: Int, scale: Double = 1, signed: Bool = false) -> HTML {
        guard let value = double else { return "<span class=\"none\" data-of=\"\(pointer)\">no figure</span>" }
        return
            "<data value=\"\(json.text())\" data-of=\"\(pointer)\">\(Self.number(value * scale, digits, signed: signed))</data>"
    }

    package func percent(signed: Bool = false) -> HTML { figure(2, scale: 100, signed: signed) }

    package var count: HTML {
        guard let value = json.intValue else { return figure(0) }
        let isZero = value == 0 ? " class=\"zero\"" : ""
        return "<data value=\"\(value)\" data-of=\"\(pointer)\"\(HTML(raw: isZero))>\(Self.grouped(value))</data>"
    }

    /// The 95 % interval below a figure; nothing where there is none.
    package func range(_ digits: Int = 1, scale: Double = 100, signed: Bool = false) -> HTML {
        guard let interval else { return "" }
        let low = Self.number(interval.low * scale, digits, signed: signed)
        let high = Self.number(interval.high * scale, digits, signed: signed)
        return "<small class=\"ci\" title=\"95 % interval\">\(low)\(signed ? " to " : "\u{2013}")\(high)</small>"
    }

    /// With so many digits that count, for figures of any size.
    func significant(_ digits: Int) -> HTML {
        guard let value = double else { return figure(0) }
        return "<data value=\"\(json.text())\" data-of=\"\(pointer)\">\(Self.significant(value, digits))</data>"
    }

    static func significant(_ value: Double, _ digits: Int) -> String {
        if value == 0 { return "0" }
        guard var exponent = Int(exactly: log10(value.magnitude).rounded(.down)) else { return "\(value)" }
        if value.magnitude / pow(10, Double(exponent)) >= 10 - 5 * pow(10, -Double(digits)) { exponent += 1 }
        if exponent < -4 {
            return number(value / pow(10, Double(exponent)), digits - 1) + "e\u{2212}\(-exponent)"
        }
        return number(value, min(9, max(0, digits - 1 - exponent)))
    }

    package static func number(_ value: Double, _ digits: Int, signed: Bool = false) -> String {
        var text = fixed(value, digits)
        if text.hasPrefix("-") {
            let magnitude = text.dropFirst()
            // -0.00 is no fall.
            text = magnitude.allSatisfy { $0 == "0" || $0 == "." } ? String(magnitude) : "\u{2212}" + magnitude
        } else if signed, text.contains(where: { $0 != "0" && $0 != "." }) {
            text = "+" + text
        }
        return text
    }

    /// 12,345 with thin spaces.
    static func grouped(_ value: Int) -> String {
        let digits = Array(String(value.magnitude))
        guard digits.count > 4 else { return (value < 0 ? "\u{2212}" : "") + String(digits) }
        var text = value < 0 ? "\u{2212}" : ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index) % 3 == 0 { text += "\u{202F}" }
            text.append(digit)
        }
        return text
    }
}
