import Glibc
import HadpoBase
import HadpoTestSupport
import Testing

@Suite struct OutputPlaceTests {
    private func refused(_ output: String, _ input: String) -> Bool {
        do throws(HadpoError) {
            try OutputPlace.require([("/output", output)], apartFrom: [("/input", input), ("/absent", nil)])
            return false
        } catch { return error.status == .config && error.place == "/output" && error.found?.contains("/input") == true }
    }

    @Test("An output is none of the inputs, however the two are spelled") func files() throws {
        let folder = try TemporaryFolder()
        let input = try folder.write("in/a.json", "{}")
        symlink(folder["in"], folder["link"])
        link(input, folder["hard.json"])
        for same in [input, folder["in/./a.json"], folder["in/../in/a.json"], folder["link/a.json"], folder["hard.json"]] {
            #expect(refused(same, input), "\(same)")
        }
        #expect(!refused(folder["in/b.json"], input) && !refused(folder["a.json"], input))
        // What is not there yet, in a folder that is and in one that is not.
        #expect(refused(folder["link/new"], folder["in/new"]) && refused(folder["link/x/new"], folder["in/x/./new"]))
        #expect(!refused(folder["in/new"], folder["in/newer"]) && !refused(folder["in/x/new"], folder["in/y/new"]))
    }

    @Test("Two outputs are two files") func outputs() throws {
        let folder = try TemporaryFolder()
        #expect(throws: HadpoError.self) {
            try OutputPlace.require([("/a", folder["x"]), ("/b", folder["./x"])], apartFrom: [])
        }
    }

    @Test("No file of a folder is written over; new ones may be put there") func inside() throws {
        let folder = try TemporaryFolder()
        let file = try folder.write("model/config.json", "{}")
        #expect(throws: HadpoError.self) {
            try OutputPlace.require(("path", file), overNothingIn: [("the model", folder["model"])])
        }
        try OutputPlace.require(("path", folder["model/new"]), overNothingIn: [("the model", folder["model"])])
        try OutputPlace.require(("path", file), overNothingIn: [("the model", folder["other"]), ("the adapter", nil)])
    }
}
