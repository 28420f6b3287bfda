import Glibc

/// A folder of pictures whose names stand in a file: questions, pairs, Visual Genome's list. Such a file may come from anyone, so a
/// name leads to a file below the folder and nowhere else, unless the configuration's key `outside` says otherwise. Links that lie
/// in the folder are followed: they are the user's own, and download caches are made of them.
package struct PictureFolder: Sendable {
    /// Why a name leads to no picture.
    package enum Refusal: Error, Sendable, Equatable {
        /// No file can be called so: an empty name, one with a NUL, one longer than the system takes.
        case impossible(name: String)
        /// Absolute, or with `..` in it.
        case outside(name: String)
        case missing(path: String)
        /// A folder, a device, a pipe or a socket.
        case notAFile(path: String, kind: String)
        case unreachable(path: String, reason: String)
    }

    package let path: String
    private let outside: Bool
    /// What an error offers besides a name below the folder.
    private let offersOutside: Bool

    /// - Parameter outside: the key of the configuration; nil where there is none.
    package init(_ path: String, outside: Bool?) {
        self.path = path
        self.outside = outside ?? false
        offersOutside = outside != nil
    }

    /// The path of the picture called `name`, which is a regular file.
    package func find(_ name: String) -> Result<String, Refusal> {
        if let refusal = refusal(name) { return .failure(refusal) }
        let found = File.join(path, name)
        var status = stat()
        guard stat(found, &status) == 0 else {
            switch errno {
            case ENOENT, ENOTDIR, ENAMETOOLONG: return .failure(.missing(path: found))
            case let code: return .failure(.unreachable(path: found, reason: File.failure("cannot look at", found, code).message))
            }
        }
        switch status.st_mode & S_IFMT {
        case S_IFREG: return .success(found)
        case S_IFDIR: return .failure(.notAFile(path: found, kind: "a folder"))
        case S_IFIFO: return .failure(.notAFile(path: found, kind: "a pipe"))
        case S_IFSOCK: return .failure(.notAFile(path: found, kind: "a socket"))
        default: return .failure(.notAFile(path: found, kind: "a device"))
        }
    }

    /// What is wrong with the name itself, whatever lies in the folder.
    package func refusal(_ name: String) -> Refusal? {
        if name.isEmpty || name.utf8.contains(0) || name.utf8.count >= Int(PATH_MAX) { return .impossible(name: name) }
        if outside { return nil }
        let slash = UInt8(ascii: "/")
        // Also "a/../b.png": where "a" is a link, that is a file beside what it leads to.
        let climbs = name.utf8.split(separator: slash).contains { $0.elementsEqual("..".utf8) }
        return climbs || name.utf8.first == slash ? .outside(name: name) : nil
    }

    /// As `find`, for those who need the picture.
    /// - Parameter place: what names it, such as "question 3 of questions.json".
    package func file(_ name: String, at place: String) throws(HadpoError) -> String {
        switch find(name) {
        case .success(let path): return path
        case .failure(.impossible(let name)):
            throw HadpoError(
                .format, "a picture's name that no file can have", at: place, found: Self.shown(name), expected: "a file's name")
        case .failure(.outside(let name)):
            throw HadpoError(
                .format, "a picture's name leads out of its folder", at: place, found: Self.shown(name),
                expected: "a name below \(Self.shown(path))" + (offersOutside ? ", or \"outside\": true" : ""))
        case .failure(.missing(let path)):
            throw HadpoError(
                .io, "a picture is missing", at: place, found: "no file \(Self.shown(path, quoted: false))",
                expected: "the picture")
        case .failure(.notAFile(let path, let kind)):
            throw HadpoError(
                .io, "a picture is no file", at: place, found: "\(Self.shown(path)), \(kind)", expected: "a PNG or JPEG file")
        case .failure(.unreachable(let path, let reason)):
            throw HadpoError(.io, reason, at: place, found: Self.shown(path), expected: "the picture")
        }
    }

    /// The same as half a sentence, for lists of samples.
    package func reason(_ refusal: Refusal) -> String {
        switch refusal {
        case .impossible(let name): "a picture's name that no file can have: \(Self.shown(name))"
        case .outside(let name):
            "a picture's name leads out of its folder: \(Self.shown(name))"
                + (offersOutside ? " (\"outside\": true allows it)" : "")
        case .missing(let path): "missing picture \(Self.shown(path))"
        case .notAFile(let path, let kind): "a picture is no file: \(Self.shown(path)), \(kind)"
        case .unreachable(let path, let reason): "\(reason): \(Self.shown(path))"
        }
    }

    /// A stranger's name as it may stand in a message: cut when it is long, control characters and marks that turn the direction of
    /// writing as their code points, so that a terminal does not obey them.
    package static func shown(_ name: String, quoted: Bool = true) -> String {
        let most = 300
        var text = ""
        for scalar in name.unicodeScalars {
            if text.utf8.count >= most { break }
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator:
                text += "\\u{" + String(scalar.value, radix: 16) + "}"
            default: text.unicodeScalars.append(scalar)
            }
        }
        let cut = name.utf8.count > most ? "... (\(name.utf8.count) bytes)" : ""
        return quoted ? "'\(text)'\(cut)" : text + cut
    }
}
