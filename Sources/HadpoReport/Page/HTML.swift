import HadpoBase

/// HTML as text in which nothing of the host's can be markup: what is interpolated is escaped, only literals and other HTML are
/// taken as they are.
///
///     let cell: HTML = "<td>\(answer)</td>"
///
/// It is kept in pieces, and pictures as the blocks they are in, so that a page of any size needs no memory of its own size.
package struct HTML: Sendable, ExpressibleByStringInterpolation {
    /// A text, and what stands behind it.
    private struct Piece {
        var text: String
        var data: Block<UInt8>?
    }

    private var pieces: [Piece] = []
    /// Texts are joined up to here: of small pieces there would be too many.
    private static let pieceSize = 16384

    package init(stringLiteral value: String) { append(value) }
    package init(stringInterpolation: StringInterpolation) { self = stringInterpolation.html }
    /// `raw` is markup of this library's own.
    init(raw: String) { append(raw) }
    /// Characters that need no escape, such as base64.
    init(data: Block<UInt8>) { pieces = [Piece(text: "", data: data)] }

    package struct StringInterpolation: StringInterpolationProtocol {
        fileprivate var html: HTML = ""

        package init(literalCapacity: Int, interpolationCount: Int) {}
        package mutating func appendLiteral(_ literal: String) { html.append(literal) }
        package mutating func appendInterpolation(_ value: String) { html.append(HTML.escaped(value)) }
        package mutating func appendInterpolation(_ value: Int) { html.append(String(value)) }
        package mutating func appendInterpolation(_ value: HTML) { html += value }
        package mutating func appendInterpolation(_ values: [HTML]) { for value in values { html += value } }
    }

    static func += (a: inout HTML, b: HTML) {
        for piece in b.pieces {
            a.append(piece.text)
            if let data = piece.data { a.append(data) }
        }
    }

    private mutating func append(_ text: String) {
        if text.isEmpty { return }
        if let last = pieces.indices.last, pieces[last].data == nil,
            pieces[last].text.utf8.count + text.utf8.count <= Self.pieceSize
        {
            pieces[last].text += text
        } else {
            pieces.append(Piece(text: text))
        }
    }

    private mutating func append(_ data: Block<UInt8>) {
        if let last = pieces.indices.last, pieces[last].data == nil {
            pieces[last].data = data
        } else {
            pieces.append(Piece(text: "", data: data))
        }
    }

    /// All of it in one string, for looking at what is small.
    package var text: String {
        pieces.reduce(into: "") { text, piece in
            text += piece.text
            if let data = piece.data { text += String(decoding: data.rawBytes, as: UTF8.self) }
        }
    }

    /// Piece after piece.
    func write(_ body: (UnsafeRawBufferPointer) throws(HadpoError) -> Void) throws(HadpoError) {
        for piece in pieces {
            var text = piece.text
            try text.withUTF8 { bytes in
                Result { () throws(HadpoError) in try body(UnsafeRawBufferPointer(bytes)) }
            }.get()
            if let data = piece.data { try body(data.rawBytes) }
        }
    }

    /// For elements and quoted attributes alike. Control characters, which HTML forbids even as references, are shown as U+FFFD, and
    /// so are the marks that turn the direction of all text behind them.
    static func escaped(_ text: String) -> String {
        var out = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": out.append(contentsOf: "&amp;".unicodeScalars)
            case "<": out.append(contentsOf: "&lt;".unicodeScalars)
            case ">": out.append(contentsOf: "&gt;".unicodeScalars)
            case "\"": out.append(contentsOf: "&quot;".unicodeScalars)
            case "'": out.append(contentsOf: "&#39;".unicodeScalars)
            case "\n", "\t": out.append(scalar)
            case "\u{0}"..."\u{1F}", "\u{7F}"..."\u{9F}", "\u{202A}"..."\u{202E}", "\u{2066}"..."\u{2069}", "\u{FFFE}",
                "\u{FFFF}":
                out.append("\u{FFFD}")
            default: out.append(scalar)
            }
        }
        return String(out)
    }
}

/// What a host said, which may be in any script and direction.
func said(_ text: String) -> HTML { "<bdi>\(text)</bdi>" }

/// At most `limit` characters of a text of the host's.
func shortened(_ text: String, _ limit: Int) -> String {
    text.unicodeScalars.count <= limit ? text : String(String.UnicodeScalarView(text.unicodeScalars.prefix(limit))) + "\u{2026}"
}

func count(_ number: Int, _ one: String, _ many: String) -> String { "\(number) \(number == 1 ? one : many)" }
