import Glibc

/// A folder as its readers see it: which of its files are of the save in it, and where they lie. A folder without a list of files, such
/// as PEFT's or upstream's, is read as it is.
package struct SavedFolder: Sendable, Equatable {
    package let folder: String
    private let manifest: SaveManifest?
    /// A save was killed, or is at work, while its files were put in place: those that still wait.
    private let waiting: Set<String>
    private let isBetween: Bool

    private init(_ folder: String) throws(HadpoError) {
        self.folder = folder
        let next = File.join(folder, FolderSave.nextName)
        if let unfinished = try SaveManifest.read(next) {
            manifest = unfinished
            isBetween = true
            waiting = Set(unfinished.entries.map(\.name).filter { File.exists(File.join(next, $0)) })
        } else {
            manifest = try SaveManifest.read(folder)
            isBetween = false
            waiting = []
        }
    }

    /// Reads a folder to which another process may be saving at the same time: what `body` returns is of one save.
    package static func read<Value>(
        _ folder: String, progress: any Progress, _ body: (SavedFolder) throws(HadpoError) -> Value
    ) throws(HadpoError) -> Value {
        var saved = try SavedFolder(folder)
        if saved.isBetween {
            try progress.emit([
                "event": "warning",
                "message": .string(
                    "the last save into \(folder) was stopped while its files were put in place; it is whole and is read from there "
                        + "and from \(FolderSave.nextName) in it, and the next save tidies up"),
            ])
        }
        for _ in 0..<100 {
            let now: SavedFolder
            do throws(HadpoError) {
                let value = try body(saved)
                now = try SavedFolder(folder)
                if now == saved { return value }
            } catch {
                guard let moved = try? SavedFolder(folder), moved != saved else { throw error }
                now = moved
            }
            try progress.tick()
            saved = now
        }
        throw HadpoError(.io, "the folder changes all the time while it is read", at: folder, expected: "no saving into it")
    }

    private func place(_ name: String) -> String {
        File.join(waiting.contains(name) ? File.join(folder, FolderSave.nextName) : folder, name)
    }

    /// Names of the save's files that are there; empty for a folder without a list.
    package var names: [String] { manifest?.entries.map(\.name).filter { File.exists(place($0)) } ?? [] }

    /// - Returns: nil when the folder, or the save in it, has no such file.
    package func path(_ name: String) throws(HadpoError) -> String? {
        let path = place(name)
        guard let manifest else { return File.exists(path) ? path : nil }
        if manifest[name] == nil {
            if isBetween || !File.exists(path) { return nil }
            throw HadpoError(
                .format, "a file lies beside a save and is not part of it", at: path,
                found: "no \(name) in \(SaveManifest.fileName)", expected: "a folder of its own; \(hint)")
        }
        guard File.exists(path) else {
            throw HadpoError(
                .format, "a file of the save is missing", at: path,
                expected: "the files that \(SaveManifest.fileName) lists; \(hint)")
        }
        return path
    }

    private var hint: String { "or, if you mean it so, the folder without \(SaveManifest.fileName)" }

    /// Whether the files are those that were saved together.
    package func check(_ names: [String], progress: any Progress) throws(HadpoError) {
        for name in names {
            guard let contents = manifest?[name]?.contents else { continue }
            let path = place(name)
            let found = try SaveManifest.Contents(of: path, progress: progress)
            guard found == contents else {
                throw HadpoError(
                    .format, "the folder mixes two saves, or a file in it was changed", at: path,
                    found: found.description, expected: "\(contents), as \(SaveManifest.fileName) says; \(hint)")
            }
        }
    }
}

extension SaveManifest.Contents: CustomStringConvertible {
    package var description: String { "\(byteCount) bytes, xxh64 \(hash)" }

    package init(of path: String, progress: any Progress) throws(HadpoError) {
        let descriptor = try File.openForReading(path, expected: "a file of a save").descriptor
        defer { close(descriptor) }
        var hash = XXHash64()
        var count = 0
        var piece = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            try progress.tick()
            let got = piece.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
            if got < 0, errno == EINTR { continue }
            guard got >= 0 else { throw File.failure("cannot read", path, errno) }
            if got == 0 { break }
            piece.withUnsafeBytes { hash.update(UnsafeRawBufferPointer(rebasing: $0[..<got])) }
            count += got
        }
        self.init(byteCount: count, hash: hash.text)
    }

    /// False also for a file that is not there.
    func matches(_ path: String, progress: any Progress) throws(HadpoError) -> Bool {
        guard File.isFile(path), try File.size(path) == byteCount else { return false }
        return try SaveManifest.Contents(of: path, progress: progress) == self
    }
}
