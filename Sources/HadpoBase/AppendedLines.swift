/// The records of a JSON Lines file that runs appended to, some of which were killed while they wrote. Whole lines are read as they
/// stand. Of a line in which a piece of a record is left, with what the next run wrote behind it, the whole records are read.
package struct AppendedLines: Sendable {
    package private(set) var lines: [JSONLines.Line] = []
    /// Numbers of the lines with a piece that is no record; whoever goes on makes its record again.
    package private(set) var torn: [Int] = []

    /// - Parameter opening: how every record of the file begins, such as `{"key": `. Quotes within a string are escaped, so that
    ///   this cannot stand within one.
    package init(_ bytes: [UInt8], source: String, opening: String) throws(HadpoError) {
        let opening = Array(opening.utf8)
        var number = 0
        var start = 0
        while start < bytes.count {
            let end = bytes[start...].firstIndex(of: 0x0A) ?? bytes.count
            number += 1
            let line = bytes[start..<end]
            start = end + 1
            if line.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) { continue }
            let failure: HadpoError
            switch Self.record(line, source) {
            case .success(let value):
                lines.append(.init(number: number, value: value))
                continue
            case .failure(let error): failure = error
            }
            var isTorn = false
            for piece in Self.pieces(line, opening) {
                if case .success(let value) = Self.record(piece, source) {
                    lines.append(.init(number: number, value: value))
                } else if Self.isPiece(piece, opening) {
                    isTorn = true
                } else {
                    throw HadpoError(
                        .format, "a line that no run wrote", at: "\(source):\(number)", found: failure.message,
                        expected:
                            "lines that begin with \(String(decoding: opening, as: UTF8.self)); take this one out, or give a "
                            + "new file")
                }
            }
            if isTorn { torn.append(number) }
        }
    }

    private static func record(_ bytes: ArraySlice<UInt8>, _ source: String) -> Result<JSON, HadpoError> {
        Result { () throws(HadpoError) in try JSON.parse(Array(bytes), source: source) }
    }

    /// The line cut before every opening.
    private static func pieces(_ line: ArraySlice<UInt8>, _ opening: [UInt8]) -> [ArraySlice<UInt8>] {
        var pieces: [ArraySlice<UInt8>] = []
        var start = line.startIndex
        var at = line.startIndex
        while let brace = line[at...].firstIndex(of: UInt8(ascii: "{")) {
            at = brace + 1
            if brace > start, line[brace...].starts(with: opening) {
                pieces.append(line[start..<brace])
                start = brace
            }
        }
        pieces.append(line[start...])
        return pieces
    }

    /// The beginning of a record, or the zeros that a machine leaves which lost its power.
    private static func isPiece(_ piece: ArraySlice<UInt8>, _ opening: [UInt8]) -> Bool {
        piece.starts(with: opening) || opening.starts(with: piece) || piece.allSatisfy { $0 == 0 }
    }

    /// - Parameter repeated: see `RecordsByKey`.
    package func warnings(_ path: String, repeated: [Int], again: String) -> [JSON] {
        var texts: [String] = []
        if !torn.isEmpty { texts.append("a killed run left a piece of a record in \(Self.named(torn)) of \(path): \(again)") }
        if !repeated.isEmpty { texts.append("\(Self.named(repeated)) of \(path) says what another line says, and is left out") }
        return texts.map { ["event": "warning", "message": .string($0)] }
    }

    private static func named(_ numbers: [Int]) -> String {
        let most = 5
        let more = numbers.count > most ? " and \(numbers.count - most) more" : ""
        return (numbers.count == 1 ? "line " : "lines ") + numbers.prefix(most).map { "\($0)" }.joined(separator: ", ") + more
    }
}

/// Records of a file by what they are about. One that stands there twice, word for word, is what two runs wrote at the same time, and
/// counts once; two different ones are for a person to choose from.
package struct RecordsByKey<Key: Hashable & Sendable>: Sendable {
    package private(set) var values: [Key: JSON] = [:]
    private var numbers: [Key: Int] = [:]
    /// Numbers of the lines that say again what another line says.
    package private(set) var repeated: [Int] = []

    package init() {}

    /// - Parameter what: "question 7".
    package mutating func add(_ line: JSONLines.Line, _ key: Key, _ what: String, source: String) throws(HadpoError) {
        guard let known = values[key] else {
            values[key] = line.value
            numbers[key] = line.number
            return
        }
        guard known == line.value else {
            throw HadpoError(
                .format, "two records about the same", at: "\(source):\(line.number)",
                found: "\(what), which line \(numbers[key] ?? 0) has otherwise",
                expected: "one of the two lines: take the other out")
        }
        repeated.append(line.number)
    }
}
