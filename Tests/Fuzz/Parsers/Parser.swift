import Glibc
import HadpoBase

/// How inputs of a parser are changed beside libFuzzer's own flips and insertions.
enum Grammar {
    case bytes
    /// One JSON value, or one a line.
    case json
    /// A length, a JSON header, numbers.
    case safetensors
    /// Instructions of Python's pickle machine, and whatever stands behind them.
    case pickle
}

/// One reader of the library and how it is fed.
struct Parser {
    let name: String
    let grammar: Grammar
    /// Inputs that depend on the present code, such as a saved state; the others lie in Tests/Fuzz/corpus.
    let seeds: () throws -> [[UInt8]]
    /// Any error is a good outcome. What must not be ends the process: a trap, a report of the sanitizer, `violated`.
    let run: (UnsafeRawBufferPointer) throws -> Void

    init(
        _ name: String, _ grammar: Grammar = .json, seeds: @escaping () throws -> [[UInt8]] = { [] },
        _ run: @escaping (UnsafeRawBufferPointer) throws -> Void
    ) {
        self.name = name
        self.grammar = grammar
        self.seeds = seeds
        self.run = run
    }

    /// For readers that take a path: the input becomes the file `file` of the scratch folder.
    init(
        _ name: String, _ grammar: Grammar = .json, file: String, seeds: @escaping () throws -> [[UInt8]] = { [] },
        path run: @escaping (_ path: String) throws -> Void
    ) {
        self.init(name, grammar, seeds: seeds) { bytes in
            let path = Scratch.path(file)
            Scratch.write(file, bytes)
            try run(path)
        }
    }
}

/// An outcome that no input may have: the message goes to stderr and libFuzzer keeps the input.
func violated(_ message: String) -> Never {
    fputs("VIOLATED: \(message)\n", stderr)
    abort()
}

/// A folder in memory where there is one: a file is written and read a thousand times a second.
enum Scratch {
    static let folder: String = {
        for parent in ["/dev/shm", "/tmp"] {
            var template = Array("\(parent)/hadpo-fuzz.XXXXXX".utf8CString)
            if mkdtemp(&template) != nil {
                return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
            }
        }
        violated("no folder for scratch files")
    }()

    static func path(_ name: String) -> String { folder + "/" + name }

    static func write(_ name: String, _ bytes: UnsafeRawBufferPointer) {
        let descriptor = open(path(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
        guard descriptor >= 0, Glibc.write(descriptor, bytes.baseAddress, bytes.count) == bytes.count else {
            violated("cannot write \(path(name))")
        }
        close(descriptor)
    }

    static func write(_ name: String, _ text: String) {
        Array(text.utf8).withUnsafeBytes { write(name, $0) }
    }

    /// A fixture's file, or all files of a fixture's folder, copied below the scratch folder.
    static func copy(_ fixture: String, to name: String) {
        let source = "Tests/Fixtures/" + fixture
        do {
            if File.isDirectory(source) {
                try File.makeDirectories(path(name))
                for entry in try File.list(source) { copy("\(fixture)/\(entry)", to: "\(name)/\(entry)") }
            } else {
                try File.read(source).withUnsafeBytes { write(name, $0) }
            }
        } catch {
            violated("cannot copy \(source) (run in the repository root): \(error)")
        }
    }

    static func remove() {
        func clear(_ folder: String) {
            for name in (try? File.list(folder)) ?? [] {
                let place = folder + "/" + name
                if File.isDirectory(place) { clear(place) } else { unlink(place) }
            }
            rmdir(folder)
        }
        clear(folder)
    }
}
