import HadpoBase

// How Python cuts text, byte for byte, for everything that must agree with an upstream script. Swift's own ways differ: its
// characters are grapheme clusters, in which a line feed behind a carriage return or an accent behind a letter does not show.

/// What `str.strip()`, `str.split()` and `str.isspace()` take for white space.
func isPythonSpace(_ scalar: Unicode.Scalar) -> Bool {
    scalar.properties.isWhitespace || (0x1C...0x1F).contains(scalar.value)
}

extension String {
    /// `strip()`
    var pythonStripped: String {
        let scalars = Array(unicodeScalars)
        guard let first = scalars.firstIndex(where: { !isPythonSpace($0) }),
            let last = scalars.lastIndex(where: { !isPythonSpace($0) })
        else { return "" }
        return String(String.UnicodeScalarView(scalars[first...last]))
    }

    /// `split()`
    var pythonWords: [String] {
        unicodeScalars.split { isPythonSpace($0) }.map { String($0) }
    }

    /// `split(separator)` with one ASCII character; empty parts count.
    func pythonSplit(_ separator: Unicode.Scalar) -> [String] {
        unicodeScalars.split(separator: separator, omittingEmptySubsequences: false).map { String($0) }
    }

    /// `text in self`
    func pythonContains(_ text: String) -> Bool {
        let (whole, part) = (Array(utf8), Array(text.utf8))
        guard part.count <= whole.count else { return false }
        return (0...(whole.count - part.count)).contains { whole[$0...].starts(with: part) }
    }

    func hasSameBytes(_ other: String) -> Bool { utf8.elementsEqual(other.utf8) }
}

/// `round(x, digits)`: half to even on the exact binary value.
func pythonRound(_ x: Double, _ digits: Int) -> Double { Double(fixed(x, digits)) ?? x }
