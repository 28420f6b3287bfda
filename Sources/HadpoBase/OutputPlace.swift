import Glibc

/// The one rule of what is written over what: an output is none of the files that the same call reads, and no other output of it.
package enum OutputPlace {
    /// A key of a config, or what else a caller knows the file by, and where it lies. A path that is not given is no place.
    package typealias Named = (key: String, path: String?)

    /// - Parameters:
    ///   - outputs: files to be written, whether they are there or not.
    ///   - inputs: files, or folders, that are read.
    package static func require(
        _ outputs: [Named], apartFrom inputs: [Named], _ status: Status = .config
    ) throws(HadpoError) {
        var taken: [String: String] = [:]
        for (key, path) in inputs { if let path, let place = identity(path) { taken[place] = key } }
        for (key, path) in outputs {
            guard let path, let place = identity(path) else { continue }
            if let other = taken.updateValue(key, forKey: place) {
                throw HadpoError(
                    status, "an output would be written over another file of the same call", at: key,
                    found: "'\(path)', which is \(other) too",
                    expected: "a path of its own")
            }
        }
    }

    /// No file that is in one of the folders is written over; new files may be put there.
    package static func require(
        _ output: Named, overNothingIn folders: [Named], _ status: Status = .config
    ) throws(HadpoError) {
        guard let path = output.path, File.exists(path), let place = identity(File.folder(of: path)) else { return }
        for (key, folder) in folders {
            guard let folder, identity(folder) == place else { continue }
            throw HadpoError(
                status, "an output would be written over a file of \(key)", at: output.key, found: "'\(path)'",
                expected: "a path outside of '\(folder)'")
        }
    }

    /// The file or folder itself; of one that is not there yet, the nearest folder that is and the way from there.
    private static func identity(_ path: String) -> String? {
        if path.utf8.contains(0) || path.isEmpty { return nil }
        var (place, rest) = (path, "")
        while true {
            if let known = File.identity(place) { return known + rest }
            let parent = File.folder(of: place)
            if parent == place { return nil }
            let name = File.name(of: place)
            if !name.isEmpty, name != "." { rest = "/" + name + rest }
            place = parent
        }
    }
}
