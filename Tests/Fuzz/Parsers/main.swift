// The fuzzing program: libFuzzer over one reader of the library, chosen by HADPO_FUZZ_PARSER. Tests/Fuzz/run.py runs all.
//
// usage: HADPO_FUZZ_PARSER=NAME hadpo-fuzz [libFuzzer's options and folders]     in the repository root
//        hadpo-fuzz --list              names of the readers
//        hadpo-fuzz --seeds NAME DIR    writes the inputs that the present code makes for NAME into DIR
import CHadpoFuzz
import Glibc
import HadpoBase

/// The longest a single input took, for the table.
var slowest = 0.0

func seconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}

func parser(named name: String) -> Parser {
    guard let parser = allParsers.first(where: { $0.name == name }) else {
        fputs("hadpo-fuzz: no reader '\(name)'; --list names them\n", stderr)
        exit(2)
    }
    return parser
}

let arguments = CommandLine.arguments
if arguments.dropFirst().first == "--list" {
    for parser in allParsers { print(parser.name) }
    exit(0)
}
atexit { Scratch.remove() }
if arguments.count == 4, arguments[1] == "--seeds" {
    do {
        for (index, seed) in try parser(named: arguments[2]).seeds().enumerated() {
            try File.writeAtomically("\(arguments[3])/made-\(index)", seed)
        }
    } catch {
        violated("the seeds of \(arguments[2]) cannot be made: \(error)")
    }
    exit(0)
}

let chosen = parser(named: getenv("HADPO_FUZZ_PARSER").map { String(cString: $0) } ?? "")
// What a reader needs is made before the clock of the first input runs.
_ = try? chosen.seeds()
atexit { fputs("slowest input: \(Int(slowest * 1000)) ms\n", stderr) }
var argc = CommandLine.argc
var argv: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = CommandLine.unsafeArgv
exit(
    LLVMFuzzerRunDriver(&argc, &argv) { data, size in
        let start = seconds()
        do {
            try chosen.run(UnsafeRawBufferPointer(start: data, count: size))
        } catch let error as HadpoError {
            if error.message.isEmpty { violated("an error without a message") }
            // A reader's own check was missing, and the one behind it spoke.
            if error.status == .internal { violated("INTERNAL: \(error.message)") }
        } catch {
            violated("an error of another kind: \(error)")
        }
        slowest = max(slowest, seconds() - start)
        return 0
    })
