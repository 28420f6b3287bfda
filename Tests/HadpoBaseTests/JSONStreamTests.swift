import HadpoBase
import Testing
import HadpoTestSupport

@Suite struct StreamingJSON {
    private func stream(
        _ text: String, under keys: [String] = [], limit: Int = 1 << 28, stopAfter: Int = .max
    ) throws -> [(key: String, value: JSON)] {
        let folder = try TemporaryFolder()
        var found: [(key: String, value: JSON)] = []
        try JSONStream.elements(ofFile: folder.write("stream.json", text), under: keys, elementLimit: limit) {
            key, element throws(HadpoError) in
            #expect(element.index == found.count { $0.key == key })
            found.append((key, try element.parse()))
            return found.count < stopAfter
        }
        return withExtendedLifetime(folder) { found }
    }

    @Test("elements of an array come one by one, whatever they are") func array() throws {
        let text = "\n [ {\"a\": [1, \"]\\\"}\"]} ,2.5,\"x,\\\\\", null\n,[ ],true ] \n"
        let values = try stream(text).map(\.value)
        #expect(values == [["a": [1, "]\"}"]], 2.5, "x,\\", nil, [], true])
        #expect(try stream(" [ ] ").isEmpty)
        #expect(try stream(text, stopAfter: 2).count == 2)
    }

    @Test("wanted arrays of an object come under their keys, the rest is passed over") func object() throws {
        let text = "{\"skip\": {\"b\": [9, \"}\"]}, \"b\": [1, 2], \"n\": 5, \"c\": [{\"b\": [7]}], \"d\": [3]}"
        let found = try stream(text, under: ["b", "c"])
        #expect(found.map(\.key) == ["b", "b", "c"])
        #expect(found.map(\.value) == [1, 2, ["b": [7]]])
        // Nothing of an object is wanted without keys: it stands where an array should.
        let error = #expect(throws: HadpoError.self) { try stream(text) }
        #expect(error?.message == "no JSON array")
        #expect(try stream("{}", under: ["b"]).isEmpty && stream("{\"b\": 4}", under: ["b"]).isEmpty)
    }

    @Test("elements larger than the window and cut by its edge arrive whole") func large() throws {
        // The window is 1 MiB; three elements of 0.7 to 2.8 MiB and many small ones.
        let strings = [700_000, 10, 2_800_000, 1_048_576, 3].map { String(repeating: "é\\n", count: $0 / 4) }
        let text = "[" + strings.map { "{\"s\": \"\($0)\"}" }.joined(separator: ", ") + "]"
        let values = try stream(text).map(\.value)
        #expect(values.count == 5)
        for (value, string) in zip(values, strings) {
            #expect(value["s"]?.stringValue?.unicodeScalars.count == string.unicodeScalars.count / 3 * 2)
        }
        #expect(throws: HadpoError.self) { try stream(text, limit: 1 << 20) }
    }

    @Test("broken files are errors with their line") func broken() {
        for (text, message, line) in [
            ("5", "no JSON array or object", 1), ("", "JSON text ends early", 1), ("[1,\n2", "JSON text ends early", 2),
            ("[1 2]", "broken array", 1), ("[1]\n\n x", "text after the JSON value", 3), ("[1,]", "not a JSON value", 1),
            ("[\n{\"a\" 1}]", "broken object", 2), ("{\"a\": [1}", "broken array", 1), ("{a: 1}", "broken object", 1),
            ("{\"a\" 1}", "broken object", 1), ("[\n\n{\"a\": \"b", "JSON text ends early", 3), ("[nul]", "not a JSON value", 1),
        ] {
            let error = #expect(throws: HadpoError.self) { try stream(text, under: ["a"]) }
            #expect(error?.message == message, "\(text): \(String(describing: error))")
            #expect(error?.place?.contains(":\(line)") == true, "\(text): \(String(describing: error?.place))")
        }
    }

    @Test("an integer is found without building the element, and doubt is left to the parser") func firstInteger() throws {
        func integer(_ text: String) throws -> Int? {
            let folder = try TemporaryFolder()
            var result: Int?
            try JSONStream.elements(ofFile: folder.write("stream.json", "[\(text)]")) { _, element in
                result = element.firstInteger("id")
                return true
            }
            return withExtendedLifetime(folder) { result }
        }
        #expect(try integer("{\"image_id\": 4, \"id\" : 12}") == 12)
        #expect(try integer("{\"x\": \"id\", \"y\": \"\\\"id\\\": 3\", \"id\":7}") == 7)
        for text in ["{}", "{\"id\": 1.5}", "{\"id\": \"3\"}", "{\"id\": 99999999999999999999}", "{\"id\": -1}"] {
            #expect(try integer(text) == nil, "\(text)")
        }
    }
}
