import Glibc
import HadpoBase
import Testing
import HadpoTestSupport

@Suite struct JSONReading {
    private func parse(_ text: String, _ limits: JSONLimits = .init()) throws(HadpoError) -> JSON {
        try JSON.parse(text, source: "t", limits: limits)
    }

    private func refusal(_ text: String) -> HadpoError? {
        do throws(HadpoError) {
            _ = try JSON.parse(text, source: "t")
            return nil
        } catch { return error }
    }

    @Test("every kind of value is read") func kinds() throws {
        let json = try parse(#" {"a": [null, true, false, -7, 1.5, 1e-3, "x\n\u00e9\ud83d\ude00\u0000y"], "b": {}, "c": []} "#)
        #expect(json["a"] == [nil, true, false, -7, 1.5, 0.001, "x\né😀\0y"])
        #expect(json["b"] == .object([]))
        #expect(json["c"] == .array([]))
        #expect(json["d"] == nil)
        #expect(try parse("5") == 5)
        #expect(try parse("\"s\"") == "s")
        #expect(try parse("-9223372036854775808") == .int(.min))
        #expect(try parse("9223372036854775807") == .int(.max))
        #expect(try parse("0.1").doubleValue == 0.1)
        #expect(try parse("1e22").doubleValue == 1e22)
        #expect(try parse("2.0").intValue == nil)
        #expect(try parse("2").doubleValue == 2)
    }

    @Test(
        "what json-c would let through is refused",
        arguments: [
            #"{"a":1,"a":2}"#, #"{"a":1,"\u0061":2}"#, "NaN", "[Infinity]", "-Infinity", "['a']", "1.", ".5", "01", "-", "+1",
            "1e",
            #""\ud800""#, #""\udc00x""#, #""\ud800\u0041""#, "9223372036854775808", "-9223372036854775809", "1 2", "{} x", "[1,]",
            #"{"a":1,}"#, "[1 2]", "{a:1}", "", "   ", "[", "{", #"{"a""#, #"{"a":"#, "\"abc", "tru", "truex", "nul", #""\x41""#,
            #""\u12g4""#, "\"\u{1}\"", "\"a\tb\"", "// c\n1", "[1]/**/", #"{"a\u0000b":1}"#, "1e999", "0x10", "\u{FEFF}1",
            "1_000",
        ])
    func refused(_ text: String) {
        #expect(refusal(text)?.status == .json)
    }

    @Test("bytes that are not UTF-8 are refused") func utf8() throws {
        let bad: [[UInt8]] = [
            [0x80], [0xC0, 0x80], [0xC1, 0xBF], [0xE0, 0x80, 0x80], [0xED, 0xA0, 0x80], [0xF0, 0x80, 0x80, 0x80],
            [0xF4, 0x90, 0x80, 0x80], [0xF5, 0x80, 0x80, 0x80], [0xE2, 0x82], [0xFF],
        ]
        for bytes in bad {
            #expect(throws: HadpoError.self) { try JSON.parse([0x22] + bytes + [0x22], source: "t") }
        }
        let good: [UInt8] = [0x22, 0xF4, 0x8F, 0xBF, 0xBF, 0xED, 0x9F, 0xBF, 0xC2, 0x80, 0x22]
        #expect(try JSON.parse(good, source: "t") == "\u{10FFFF}\u{D7FF}\u{80}")
    }

    @Test(
        "every fault is told with what was found, what was expected and where",
        arguments: [
            ("", "JSON text ends early", "the end", "a value", "t:1:1"),
            ("[1", "JSON text ends early", "the end", "',' or ']'", "t:1:3 /0"),
            ("{\"a\": 1", "JSON text ends early", "the end", "',' or '}'", "t:1:8 /a"),
            ("[\"ab", "JSON text ends early", "the end", "the closing '\"' of a string", "t:1:5 /0"),
            ("\"a\\", "JSON text ends early", "the end", "an escape", "t:1:3"),
            ("\"\\u12", "JSON text ends early", "the end", "\\uXXXX", "t:1:2"),
            ("\"\\ud83d\\ude", "JSON text ends early", "the end", "\\uXXXX", "t:1:2"),
            ("[1, ?]", "not a JSON value", "'?'", "a value", "t:1:5 /1"),
            ("[trux]", "not a JSON value", "'trux'", "true", "t:1:2 /0"),
            ("falsey", "not a JSON value", "'falsey'", "false", "t:1:1"),
            ("nul", "not a JSON value", "'nul'", "null", "t:1:1"),
            ("[1.e5]", "not a JSON number", "'1.e5'", "digits, as in 0, -1.5 or 1e-3", "t:1:2 /0"),
            ("{\"a\":1,}", "broken object", "'}'", "a key in double quotes", "t:1:8"),
            ("{\"a\" 1}", "broken object", "'1'", "':'", "t:1:6 /a"),
            ("[1 2]", "broken array", "'2'", "',' or ']'", "t:1:4 /0"),
            ("{\"a\":1 \"b\"}", "broken object", "'\"'", "',' or '}'", "t:1:8 /a"),
            ("{\"a\":1, \"b\\u0000\": 2}", "key with an embedded NUL", "\\u0000", "a key without it", "t:1:9 /b\0"),
            ("[\"é\u{1}\"]", "control character in a string", "byte 0x1", "an escape such as \\n", "t:1:4 /0"),
            ("[\"é\\x41\"]", "unknown escape in a string", "'x41'", "one of \" \\ / b f n r t u", "t:1:4 /0"),
            ("\"\\u12g4\"", "broken \\u escape", "'\\'", "four hexadecimal digits", "t:1:2"),
            ("\"\\ud800\\u0041\"", "half a surrogate pair in a string", "'\\'", "a pair \\uD8xx\\uDCxx", "t:1:2"),
            (
                "[12345678901234567890]", "integer beyond 64 bits", "'12345678901234567890'",
                "-9223372036854775808 to 9223372036854775807", "t:1:2 /0"
            ),
            ("[-1e309]", "number beyond the range of a double", "'-1e309'", "a magnitude below 1.8e308", "t:1:2 /0"),
            ("1 x", "text after the JSON value", "'x'", "the end", "t:1:3"),
            // A key that is broken belongs to no member yet: the place is the object's.
            ("{\"a\": {\"b\": 1, \"c", "JSON text ends early", "the end", "the closing '\"' of a string", "t:1:18 /a"),
        ] as [(String, String, String, String, String)]) func faults(
            _ text: String, _ message: String, _ found: String, _ expected: String, _ place: String
        )
    {
        let error = refusal(text)
        #expect(error == HadpoError(.json, message, at: place, found: found, expected: expected))
    }

    @Test("an error tells line, column and pointer") func place() {
        let error = refusal("{\n  \"a/b\": [1,\n    {\"é\": 1, \"x\": nan}]}")
        #expect(error?.place == "t:3:19 /a~1b/1/x")
        #expect(error?.found == "'nan'")
        #expect(refusal(#"{"q": {"k": 1, "k": 2}}"#)?.place == "t:1:16 /q/k")
        #expect(refusal("[1, 2")?.place == "t:1:6 /1")
    }

    @Test("depth 64 is read and depth 65 is refused, and an unclosed million as well") func depth() throws {
        func nested(_ n: Int) -> String { String(repeating: "[", count: n) + String(repeating: "]", count: n) }
        _ = try parse(nested(64))
        #expect(refusal(nested(65))?.message == "JSON nested too deeply")
        #expect(refusal(String(repeating: "[", count: 1_000_000)) != nil)
        #expect(refusal(String(repeating: #"{"a":"#, count: 1_000_000)) != nil)
    }

    @Test("numbers reach the edge of a double and no further") func numberRange() throws {
        let zeros = String(repeating: "0", count: 400)
        for (text, value) in [
            ("1.7976931348623157e308", Double.greatestFiniteMagnitude),
            ("-17976931348623157e292", -Double.greatestFiniteMagnitude),
            ("0.\(zeros)1e401", 1), ("0e999999999999999999999", 0), ("1e-999999999999999999999", 0), ("1\(zeros).5e-400", 1),
        ] {
            #expect(try parse(text) == .double(value), "\(text)")
        }
        for text in ["1.8e308", "-1e99999999999999999999", "1\(zeros).0", "0.\(zeros)1e710"] {
            #expect(refusal(text)?.message == "number beyond the range of a double", "\(text)")
        }
        #expect(throws: HadpoError.self) { try parse("1\(zeros)", .checkpoint) }
        #expect(try parse("[1\(zeros)e-399, 100000000000000000000]", .checkpoint) == [10.0, 1e20])
    }

    @Test("texts larger than the pieces that json-c gets are what they are in pieces") func large() throws {
        // Pieces end at 64 KiB: strings, runs of small elements, large members among small ones, and an array in an array.
        let long = String(repeating: "é\\n\\u00e9\\ud83d\\ude00 ", count: 9000)
        let decoded = String(repeating: "é\né😀 ", count: 9000)
        let numbers = (0..<40_000).map { $0 % 1000 == 7 ? "12345678901234567890" : String($0) }
        let members = (0..<9000).map { "\"k\($0)\" : {\"v\":[\($0)]}" }.joined(separator: " ,\n")
        let text =
            " {\"a\":[\(numbers.joined(separator: ", "))], \"s\" : \"\(long)\", \"\(long)\": 1, \"m\":{\(members)}"
            + ", \"e\": [], \"n\": [[[\(numbers.joined(separator: ","))]], \"\(long)\", 12345678901234567890 ] , \"z\": null } "
        let json = try parse(text, .checkpoint)
        let expected: [JSON] = (0..<40_000).map { $0 % 1000 == 7 ? .double(12_345_678_901_234_567_890) : .int(Int64($0)) }
        #expect(json.objectValue?.map(\.key) == ["a", "s", decoded, "m", "e", "n", "z"])
        #expect(json["a"] == .array(expected))
        #expect(json["s"] == .string(decoded) && json[decoded] == 1 && json["e"] == [] && json["z"] == .null)
        #expect(json["n"] == [[.array(expected)], .string(decoded), .double(12_345_678_901_234_567_890)])
        let built = json["m"]?.objectValue ?? []
        #expect(built == (0..<9000).map { JSON.Member("k\($0)", ["v": [.int(Int64($0))]]) })
        #expect(try parse("\"\(long)\"") == .string(decoded))
    }

    @Test("integers beyond 64 bits become doubles where the caller says so") func largeIntegers() throws {
        let text = #"{"a": 1000000000000000019884624838656, "b": [1, -9223372036854775809], "c": 3}"#
        let json = try parse(text, .checkpoint)
        #expect(json["a"] == .double(1e30))
        #expect(json["b"] == [1, .double(-9_223_372_036_854_775_808)])
        #expect(json["c"] == 3)
    }

    @Test("composed and decomposed letters are two keys") func canonicalEquivalence() throws {
        let json = try parse("{\"\u{E9}\": 1, \"e\u{301}\": 2}")
        #expect(json["\u{E9}"] == 1)
        #expect(json["e\u{301}"] == 2)
    }

    @Test("duplicate keys are seen among thousands") func manyKeys() throws {
        let members = (0..<5000).map { "\"k\($0)\": \($0)" }.joined(separator: ", ")
        #expect(try parse("{\(members)}").objectValue?.count == 5000)
        #expect(refusal("{\(members), \"k7\": 1}")?.message == "duplicate key")
        #expect(refusal("{\(members), \"\\u006b4999\": 1}")?.message == "duplicate key")
        // Objects with many keys in each other, and one key in all of them: only the same object's keys count.
        let few = (0..<30).map { "\"k\($0)\": 1" }.joined(separator: ", ")
        let nested = "{\(few), \"in\": {\(few), \"in\": {\(few)}, \"x\": 1}, \"y\": {\(few)}, \"x\": 2}"
        #expect(try parse("[\(nested), \(nested)]")[1]?["in"]?["in"]?.objectValue?.count == 30)
        for (from, to) in [("\"x\": 2", "\"k3\": 2"), ("\"x\": 1", "\"k29\": 1"), ("\"y\"", "\"in\"")] {
            let broken = nested.split(separator: from, maxSplits: 1).joined(separator: to)
            #expect(refusal(broken)?.message == "duplicate key", "\(from)")
        }
    }

    @Test("the time to read an object grows with its members, not with their square") func speed() throws {
        let members = (0..<120_000).map { "\"token\($0)é\": \($0)" }.joined(separator: ", ")
        let started = processorSeconds()
        let json = try parse("{\"vocab\": {\(members)}}")
        #expect(json["vocab"]?.objectValue?.count == 120_000)
        // Processor time of this thread. Measured 0.1 s, and 2.8 s beside 16 busy cores; comparing each key
        // with all before it takes 68 s.
        #expect(processorSeconds() - started < 20)
    }

    private func processorSeconds() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }

    @Test("random damage never traps") func damage() throws {
        let text = Array(#"{"a": [1, -2.5e3, "x\u00e9\ud83d\ude00", {"b": null, "c": [true, false]}], "ü": "ß"}"#.utf8)
        var random = Philox(seed: 1)
        for _ in 0..<20_000 {
            var bytes = text
            for _ in 0...random.below(3) { bytes[random.below(bytes.count)] = UInt8(random.below(256)) }
            bytes.removeLast(random.below(4) == 0 ? random.below(bytes.count) : 0)
            _ = try? JSON.parse(bytes, source: "t")
        }
    }

    @Test("elements of an array are walked one by one and may stop early") func elements() throws {
        let text = Array(#" [ {"a": 1}, [2, 3] , "x", 4.5, 10000000000000000000 ] "#.utf8)
        var seen: [JSON] = []
        try text.withUnsafeBytes { raw in
            try JSON.elements(raw, source: "t", limits: .checkpoint) { index, element throws(HadpoError) in
                #expect(index == seen.count)
                seen.append(element)
                return true
            }
        }
        #expect(seen == [["a": 1], [2, 3], "x", 4.5, .double(1e19)])
        for bad in ["[1 2]", "[1,]", "[1", "{}", "[1] x", "[,1]"] {
            #expect(throws: HadpoError.self) {
                try Array(bad.utf8).withUnsafeBytes { raw in
                    try JSON.elements(raw, source: "t") { _, _ throws(HadpoError) in true }
                }
            }
        }
        var count = 0
        try Array("[1, 2, broken".utf8).withUnsafeBytes { raw in
            try JSON.elements(raw, source: "t") { _, _ throws(HadpoError) in
                count += 1
                return count < 2
            }
        }
        #expect(count == 2)
    }

    @Test("JSON Lines name the line and forgive blank ones") func lines() throws {
        let lines = try JSONLines.parse(Array("{\"a\":1}\r\n\n  \n[2]\n3".utf8), source: "f.jsonl")
        #expect(lines.map(\.number) == [1, 4, 5])
        #expect(lines.map(\.value) == [["a": 1], [2], 3])
        let torn = Array("{\"a\":1}\n{\"a\":".utf8)
        #expect(try JSONLines.parse(torn, source: "f", dropTornLine: true).count == 1)
        let error = #expect(throws: HadpoError.self) { try JSONLines.parse(torn, source: "f") }
        #expect(error?.place == "f:2:6 /a")
        #expect(throws: HadpoError.self) {
            try JSONLines.parse(Array("{\"a\":\n1\n".utf8), source: "f", dropTornLine: true)
        }
    }
}

@Suite struct JSONLineReading {
    @Test("lines of a file come one by one as from its whole text, lines longer than the window as well") func lines() throws {
        let folder = try TemporaryFolder()
        let long = String(repeating: "é", count: 400_000)
        for text in ["", "\n\n", "1", "{\"a\":1}\r\n\n  \n[2]\n3", "[1]\n\"\(long)\"\n2\n \n\"\(long)\"", "1\n{\"a\":"] {
            let path = try folder.write("lines.jsonl", text)
            let lines = try JSONLineReader(path, dropTornLine: true, isHashed: true)
            var found: [JSONLines.Line] = []
            while let line = try lines.next() { found.append(line) }
            #expect(try found == JSONLines.parse(Array(text.utf8), source: path, dropTornLine: true))
            #expect(lines.sha256 == SHA256.hex(Array(text.utf8)))
        }
        let torn = try JSONLineReader(folder.write("torn.jsonl", "1\n{\"a\":"))
        _ = try torn.next()
        let error = #expect(throws: HadpoError.self) { try torn.next() }
        #expect(error?.place == folder["torn.jsonl"] + ":2:6 /a")
        let limited = try JSONLineReader(folder.write("long.jsonl", "\"\(long)\""), limits: JSONLimits(bytes: 1 << 18))
        let tooLong = #expect(throws: HadpoError.self) { try limited.next() }
        #expect(tooLong?.message == "a line of the file is too long" && tooLong?.place == folder["long.jsonl"] + ":1")
    }
}

@Suite struct JSONWriting {
    @Test("an error shows the beginning of a large value") func short() {
        let value: JSON = ["a": .array(Array(repeating: "é\"", count: 5000)), "b": .string(String(repeating: "x", count: 9000))]
        #expect(value.shortText(20) == "{\"a\": [\"é\\\"\", \"...")
        #expect(value.shortText().utf8.count <= 2048 && value["b"]?.shortText(8) == "\"xxxx...")
        #expect(JSON.array([1, "x"]).shortText(8) == "[1, \"x\"]")
    }

    @Test("text is what Python's json.dumps writes") func python() {
        let value: JSON = ["a": [1, 2.5, nil, true], "b": [:], "c": [], "d": "x\"\\\n\u{1}é😀"]
        #expect(value.text() == #"{"a": [1, 2.5, null, true], "b": {}, "c": [], "d": "x\"\\\n\u0001é😀"}"#)
        #expect(value.text(ascii: true).hasSuffix(#""x\"\\\n\u0001\u00e9\ud83d\ude00"}"#))
        let short: JSON = ["a": [1, "x"], "b": [:]]
        #expect(short.text(indent: 2) == "{\n  \"a\": [\n    1,\n    \"x\"\n  ],\n  \"b\": {}\n}")
    }

    @Test("doubles come back to the same bits and what is not finite is null") func doubles() throws {
        var random = Philox(seed: 2)
        for _ in 0..<10_000 {
            let x = Double(bitPattern: random.nextUInt64())
            guard x.isFinite else { continue }
            let back = try JSON.parse(JSON.double(x).text(), source: "t")
            #expect(back.doubleValue?.bitPattern == x.bitPattern)
        }
        #expect(JSON.array([.double(.nan), .double(.infinity), .double(1)]).text() == "[null, null, 1.0]")
    }

    @Test("members are set, replaced and removed in place") func members() {
        var value: JSON = ["a": 1, "b": 2]
        value["a"] = 3
        value["c"] = 4
        value["b"] = nil as JSON?
        #expect(value == ["a": 3, "c": 4])
    }
}
