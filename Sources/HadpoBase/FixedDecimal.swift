/// `x` with `digits` decimals, correctly rounded (half to even on the exact binary value) as C's printf and Python's format do,
/// but never with a locale's comma.
package func fixed(_ x: Double, _ digits: Int) -> String {
    if x.isNaN { return "nan" }
    if x.isInfinite { return x < 0 ? "-inf" : "inf" }
    let digits = min(max(digits, 0), 100)
    // |x| = significand * 2^exponent, so x * 10^digits is an integer product shifted by the exponent.
    let magnitude = x.magnitude
    let exponent = magnitude == 0 ? 0 : Int(magnitude.exponent) - 52
    var product = Natural(magnitude == 0 ? 0 : UInt64(magnitude.significand * 0x1p52))
    for _ in 0..<digits { product.multiply(by: 10) }
    if exponent >= 0 { product.shiftLeft(exponent) } else { product.shiftRightRounding(-exponent) }
    var text = product.decimal()
    if text.count <= digits { text = Array(repeating: UInt8(ascii: "0"), count: digits + 1 - text.count) + text }
    let whole = String(decoding: text.dropLast(digits), as: UTF8.self)
    let sign = x.sign == .minus ? "-" : ""
    return sign + whole + (digits > 0 ? "." + String(decoding: text.suffix(digits), as: UTF8.self) : "")
}

/// A natural number of any size, 32 bits to a limb, lowest first; just what `fixed` needs.
private struct Natural {
    private var limbs: [UInt32]

    init(_ value: UInt64) { limbs = [UInt32(truncatingIfNeeded: value), UInt32(truncatingIfNeeded: value >> 32)] }

    mutating func multiply(by factor: UInt32) {
        var carry: UInt64 = 0
        for i in limbs.indices {
            let wide = UInt64(limbs[i]) * UInt64(factor) + carry
            limbs[i] = UInt32(truncatingIfNeeded: wide)
            carry = wide >> 32
        }
        if carry > 0 { limbs.append(UInt32(truncatingIfNeeded: carry)) }
    }

    mutating func shiftLeft(_ count: Int) {
        for _ in 0..<(count % 32) { multiply(by: 2) }
        limbs = Array(repeating: 0, count: count / 32) + limbs
    }

    /// Divides by 2^count, rounding half to even.
    mutating func shiftRightRounding(_ count: Int) {
        func bit(_ index: Int) -> Bool { index / 32 < limbs.count && limbs[index / 32] >> UInt32(index % 32) & 1 == 1 }
        let half = bit(count - 1)
        let sticky = (0..<(count - 1)).contains { bit($0) }
        let odd = bit(count)
        let bitCount = limbs.count * 32
        var result = [UInt32](repeating: 0, count: limbs.count + 1)
        if count < bitCount {
            for index in count..<bitCount where bit(index) { result[(index - count) / 32] |= 1 << UInt32((index - count) % 32) }
        }
        if half && (sticky || odd) {
            for i in result.indices {
                result[i] &+= 1
                if result[i] != 0 { break }
            }
        }
        limbs = result
    }

    func decimal() -> [UInt8] {
        var rest = limbs
        var digits: [UInt8] = []
        while rest.contains(where: { $0 != 0 }) {
            var remainder: UInt64 = 0
            for i in rest.indices.reversed() {
                let wide = remainder << 32 | UInt64(rest[i])
                rest[i] = UInt32(wide / 10)
                remainder = wide % 10
            }
            digits.append(UInt8(ascii: "0") + UInt8(remainder))
        }
        return digits.isEmpty ? [UInt8(ascii: "0")] : digits.reversed()
    }
}
