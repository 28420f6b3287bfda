import Glibc
import HadpoBase
import HadpoTestSupport
import Testing

@Suite struct AppendingLines {
    private let folder: TemporaryFolder
    private var path: String { folder["log.jsonl"] }

    init() throws { folder = try TemporaryFolder() }

    @Test("appending after a kill drops the torn line and keeps a whole one") func torn() throws {
        try LineAppender(path).append(["a": "é"])
        #expect(try folder.text("log.jsonl") == "{\"a\": \"\\u00e9\"}\n")
        try folder.write("log.jsonl", "{\"a\": 1}\n{\"a\": 2")
        try LineAppender(path).append(["a": 3])
        #expect(try folder.text("log.jsonl") == "{\"a\": 1}\n{\"a\": 3}\n")
        try folder.write("log.jsonl", "{\"a\": 1}\n{\"a\": 2}")
        try LineAppender(path).append(["a": 3])
        #expect(try folder.text("log.jsonl") == "{\"a\": 1}\n{\"a\": 2}\n{\"a\": 3}\n")
        // Longer than what is read at a time, without any newline.
        let long = "{\"a\": \"" + String(repeating: "x", count: 200_000)
        try folder.write("log.jsonl", long)
        try LineAppender(path).append(["a": 3])
        #expect(try folder.text("log.jsonl") == "{\"a\": 3}\n")
        try folder.write("log.jsonl", "{\"b\": 1}\n" + long + "\"}")
        try LineAppender(path).append(["a": 3])
        #expect(try folder.text("log.jsonl") == "{\"b\": 1}\n" + long + "\"}\n{\"a\": 3}\n")
    }

    @Test("opening alone changes nothing, and a text that is no record keeps its last line") func foreign() throws {
        for text in ["{\"a\": 1}\n{\"a\": 2", "my notes", "my notes\nmore"] {
            try folder.write("log.jsonl", text)
            _ = try LineAppender(path)
            #expect(try folder.text("log.jsonl") == text)
        }
        try LineAppender(path).append(["a": 3])
        #expect(try folder.text("log.jsonl") == "my notes\nmore\n{\"a\": 3}\n")
    }

    @Test("a second one on the same file is refused until the first is gone, also through a link") func locked() throws {
        #expect(symlink("log.jsonl", folder["link"]) == 0)
        func refusal(_ path: String) -> HadpoError? { #expect(throws: HadpoError.self) { try LineAppender(path) } }
        do {
            let first = try LineAppender(path)
            #expect(first.lockFailure == nil && first.warning == nil)
            for name in ["log.jsonl", "link", "../\(File.name(of: folder.path))/log.jsonl"] {
                let error = refusal(folder[name])
                #expect(error?.status == .busy && error?.place == folder[name])
            }
            _ = try LineAppender(folder["other.jsonl"])
            try first.append(["a": 1])
        }
        try LineAppender(folder["link"]).append(["a": 2])
        #expect(try folder.text("log.jsonl") == "{\"a\": 1}\n{\"a\": 2}\n")
    }

    @Test("a replaced file is still this run's, is appended to, and a link to it stays a link") func replaced() throws {
        try folder.write("log.jsonl", "{\"a\": 2}\n{\"a\": 1}\n")
        #expect(symlink("log.jsonl", folder["link"]) == 0)
        do {
            let first = try LineAppender(folder["link"])
            try first.append(["a": 3])
            try first.replace(with: Array("{\"a\": 1}\n{\"a\": 2}\n".utf8))
            #expect(throws: HadpoError.self) { try LineAppender(path) }
            try first.append(["a": 4])
            try first.replace(with: Array("{\"a\": 5}\n".utf8))
            #expect(throws: HadpoError.self) { try LineAppender(path) }
            try first.append(["a": 6])
            try first.sync()
        }
        #expect(try folder.text("log.jsonl") == "{\"a\": 5}\n{\"a\": 6}\n")
        #expect(try folder.entries == ["link", "log.jsonl"])
        #expect(try folder.text("link") == "{\"a\": 5}\n{\"a\": 6}\n")
        try LineAppender(path).append(["a": 7])
        #expect(try folder.text("log.jsonl") == "{\"a\": 5}\n{\"a\": 6}\n{\"a\": 7}\n")
    }

    @Test("a folder that no file can be made in is named before the work") func readOnly() throws {
        // Root may write everywhere; /proc/self has files to write to and takes no new ones, from root either.
        let appender = try LineAppender("/proc/self/comm")
        let error = #expect(throws: HadpoError.self) { try appender.checkFolder() }
        #expect(error?.status == .io && error?.message.hasPrefix("cannot write into the folder: ") == true)
        try LineAppender(path).checkFolder()
    }

    @Test("devices are anybody's") func devices() throws {
        let first = try LineAppender("/dev/null")
        let second = try LineAppender("/dev/null")
        try first.append("a")
        try second.append("b")
        try second.sync()
        #expect(throws: HadpoError.self) { try second.replace(with: []) }
        #expect(!File.isFile("/dev/null"))
    }
}

@Suite struct ReadingAppendedLines {
    private func read(_ text: String) throws(HadpoError) -> AppendedLines {
        try AppendedLines(Array(text.utf8), source: "f.jsonl", opening: "{\"key\": ")
    }

    @Test("whole records are read wherever a kill left a piece, and the lines with a piece are named") func pieces() throws {
        let whole = "{\"key\": 1}\n{\"other\": 2}\n\n{\"key\": 3}\n"
        #expect(try read(whole).lines.map(\.number) == [1, 2, 4] && read(whole).torn.isEmpty)
        for (text, numbers, torn) in [
            ("{\"key\": 1}\n{\"ke", [1], [2]), ("{\"key\": 1}\n{", [1], [2]), ("{\"key\": 1}\n{\"key\": \"a", [1], [2]),
            // The next run wrote on behind a piece: one line, a piece and a record.
            ("{\"key\": \"a{\"key\": 2}\n{\"key\": 3}\n", [1, 2], [1]), ("{{\"key\": 2}\n", [1], [1]),
            ("{\"ke{\"key\": 2}{\"key\": {\"key\": 4}\n", [1, 1], [1]),
            // Killed before the newline.
            ("{\"key\": 1}{\"key\": 2}\n", [1, 1], []),
            // Within a string it is no opening.
            ("{\"key\": \"{\\\"key\\\": 2}\"}\n", [1], []),
            // Power failed.
            ("{\"key\": 1}\n\0\0\0\0", [1], [2]), ("\0\0{\"key\": 2}\n", [1], [1]),
        ] as [(String, [Int], [Int])] {
            let found = try read(text)
            #expect(found.lines.map(\.number) == numbers && found.torn == torn, "\(text)")
        }
        #expect(try read("{\"key\": \"a{\"key\": 2}\n").lines.first?.value == ["key": 2])
    }

    @Test("what no run wrote is named by its line", arguments: ["notes", "{\"kex\": ", "[1, 2", "x{\"key\": 1}"])
    func foreign(_ line: String) throws {
        let error = #expect(throws: HadpoError.self) { try read("{\"key\": 1}\n\(line)\n{\"key\": 2}\n") }
        #expect(error?.status == .format && error?.message == "a line that no run wrote" && error?.place == "f.jsonl:2")
    }

    @Test("equal records count once and are named, different ones about the same are not chosen from") func repeated() throws {
        let lines = try read("{\"key\": 1, \"a\": 1}\n{\"key\": 2}\n{\"key\": 1, \"a\": 1}\n{\"key\": 1, \"a\": 2}\n").lines
        var records = RecordsByKey<Int>()
        for line in lines.prefix(3) { try records.add(line, line.value["key"]?.intValue ?? 0, "record 1", source: "f") }
        #expect(records.repeated == [3] && records.values.count == 2)
        let error = #expect(throws: HadpoError.self) { try records.add(lines[3], 1, "record 1", source: "f") }
        #expect(error?.place == "f:4" && error?.found == "record 1, which line 1 has otherwise")
    }

    @Test("a piece of every length, with a whole record behind it, is told from the record") func everyCut() throws {
        let record = "{\"key\": \"a \\\"quoted\\\" word\", \"n\": 1.5}"
        for count in 1..<record.utf8.count {
            let found = try read(record.prefix(count) + record + "\n" + record.prefix(count))
            #expect(found.lines.map(\.value) == [try JSON.parse(record, source: "r")] && found.torn == [1, 2])
        }
    }
}
