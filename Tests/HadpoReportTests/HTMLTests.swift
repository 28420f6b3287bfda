import HadpoBase
import Testing

import HadpoReport

@Suite struct HTMLTests {
    @Test func nothingInterpolatedCanBeMarkup() {
        let hostile = "\"><img src=x onerror=alert(1)>'&</style>"
        let html: HTML = "<td title=\"\(hostile)\">\(hostile)</td>"
        let escaped = "&quot;&gt;&lt;img src=x onerror=alert(1)&gt;&#39;&amp;&lt;/style&gt;"
        #expect(html.text == "<td title=\"\(escaped)\">\(escaped)</td>")
    }

    @Test func marksThatTurnTheTextAroundThemAreShown() {
        let html: HTML = "\("a\u{202E}b\u{0}c\u{2066}")"
        #expect(html.text.unicodeScalars.elementsEqual("a\u{FFFD}b\u{FFFD}c\u{FFFD}".unicodeScalars))
    }

    @Test func htmlInHTMLIsTakenAsItIs() {
        let inner: HTML = "<b>\("<")</b>"
        let outer: HTML = "<p>\([inner, inner])\(3)</p>"
        #expect(outer.text == "<p><b>&lt;</b><b>&lt;</b>3</p>")
    }

    @Test func figuresCarryTheirExactValueAndPlace() {
        let place = Place(["a/b": ["x": 0.75, "n": 12345, "gone": nil, "ends": [0.5, 0.9]]])["a/b"]
        #expect(place["x"].percent().text == "<data value=\"0.75\" data-of=\"/a~1b/x\">75.00</data>")
        #expect(place["n"].count.text == "<data value=\"12345\" data-of=\"/a~1b/n\">12\u{202F}345</data>")
        #expect(place["gone"].percent().text.contains("no figure"))
        #expect(place["ends"].range().text.contains("50.0\u{2013}90.0"))
        #expect(Place.number(-0.001, 2, signed: true) == "0.00")
        #expect(Place.number(-1.5, 1) == "\u{2212}1.5")
        #expect(Place.number(1.5, 1, signed: true) == "+1.5")
    }

    @Test func base64IsThatOfTheStandard() throws {
        let cases = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")]
        for (plain, coded) in cases {
            let bytes = try Array(plain.utf8).withUnsafeBytes { try base64($0).elements }
            #expect(String(decoding: bytes, as: UTF8.self) == coded)
        }
    }

    @Test func axesEndOnTicksThatReadWell() {
        #expect(Scale([0.3, 9.7]).ticks == [0, 2.5, 5, 7.5, 10])
        #expect(Scale([88, 96.4], within: 0...100).ticks.first == 87.5)
        #expect(Scale([98.4, 99.9], within: 0...100).high == 100)
        let flat = Scale([0.7, 0.7])
        #expect(flat.low < 0.7 && flat.high > 0.7)
        #expect(Scale([0, 2e-4]).label(5e-5) == "5e\u{2212}5")
        #expect(Scale([.nan, .infinity]).ticks.count > 1)
    }
}
