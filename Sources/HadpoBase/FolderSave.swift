import Glibc

// Several files that belong together appear in a folder together, whatever happens on the way:
//
//   1. they are written into `hadpo_save.partial` in the folder, with the list of them (`SaveManifest`), and brought to the disk;
//   2. one rename makes that `hadpo_save.next`: from here on the new save is the folder's, before it the old one is;
//   3. its files are renamed one by one over the old ones, the list last; then the folder is empty and goes away.
//
// A process that is killed in 3 leaves some files in their place and the others in `hadpo_save.next`, each of them whole in exactly one of
// the two: `SavedFolder` reads them from where they are, and the next save finishes the work. What else lies in the folder is not touched.

/// One save, from the first file to the last rename.
package final class FolderSave {
    package static let partialName = "hadpo_save.partial"
    package static let nextName = "hadpo_save.next"

    package let folder: String
    /// Where the files are to be written.
    package let workFolder: String
    /// Until everything is in its place.
    private var lock: FolderClaim?
    /// Those of a folder of its own, such as an exported model, which keeps no list of its files.
    private let keepsManifest: Bool
    private var isCommitted = false

    /// Into a folder that is there or not, over an earlier save. What a killed save left is finished or taken away.
    /// - Parameter held: what the caller has claimed already, this folder or others.
    package convenience init(into folder: String, held: [FolderClaim] = []) throws(HadpoError) {
        let folder = folder.isEmpty ? "." : folder
        try File.makeDirectories(folder)
        let lock = try FolderClaim.of(folder, held)
        try FolderSave.putInPlace(folder)
        try self.init(folder, lock, keepsManifest: true)
    }

    /// Into a folder that holds nothing but what a killed one of these left there, which is taken away.
    package convenience init(intoEmpty folder: String) throws(HadpoError) {
        if File.exists(folder), !File.isDirectory(folder) { throw FolderSave.notEmpty(folder) }
        try File.makeDirectories(folder)
        let lock = try FolderClaim(folder)
        let next = File.join(folder, FolderSave.nextName)
        var unfinished: [String] = []
        for place in [next, folder] {
            // A list with hashes is that of a save, whose files are not taken away for an export.
            guard let entries = try SaveManifest.read(place)?.entries, entries.allSatisfy({ $0.contents == nil }) else {
                continue
            }
            unfinished += entries.map(\.name) + [SaveManifest.fileName]
        }
        let ours = Set(unfinished + [FolderSave.partialName, FolderSave.nextName])
        guard try File.list(folder).allSatisfy(ours.contains) else { throw FolderSave.notEmpty(folder) }
        // The list goes last: as long as it is there, this can be done again.
        for name in unfinished where name != SaveManifest.fileName { try File.removeTree(File.join(folder, name)) }
        try File.removeTree(next)
        try File.remove(File.join(folder, SaveManifest.fileName))
        try self.init(folder, lock, keepsManifest: false)
    }

    private init(_ folder: String, _ lock: FolderClaim, keepsManifest: Bool) throws(HadpoError) {
        self.folder = folder
        self.lock = lock
        self.keepsManifest = keepsManifest
        workFolder = File.join(folder, FolderSave.partialName)
        try File.removeTree(workFolder)
        try File.makeDirectories(workFolder)
    }

    deinit {
        if !isCommitted { try? File.removeTree(workFolder) }
    }

    private static func notEmpty(_ folder: String) -> HadpoError {
        HadpoError(.io, "the folder to export to is not empty", at: folder, expected: "a new or empty folder")
    }

    /// Whether a save into the folder is at work or was killed.
    package static func isUnfinished(_ folder: String) -> Bool {
        File.exists(File.join(folder, partialName)) || File.exists(File.join(folder, nextName))
    }

    /// Finishes or takes away what a killed save left in the folder, if nobody is saving there now.
    package static func recover(_ folder: String, held: [FolderClaim] = []) throws(HadpoError) {
        guard isUnfinished(folder), let lock = try? FolderClaim.of(folder, held) else { return }
        defer { withExtendedLifetime(lock) {} }
        try putInPlace(folder)
        try File.removeTree(File.join(folder, partialName))
    }

    /// Whether something lies under a name that a save needs and is no save's: it would be taken away, or stop the save at its end.
    /// - Parameter files: names that are written.
    package static func checkNames(_ folder: String, files: [String]) throws(HadpoError) {
        func refuse(_ name: String, _ what: String) throws(HadpoError) {
            throw HadpoError(
                .io, "something lies where a save puts its files, and is none of them", at: folder, found: "\(name), \(what)",
                expected: "another folder, or this one without it")
        }
        let files = files + [SaveManifest.fileName]
        for name in files where File.isDirectory(File.join(folder, name)) { try refuse(name, "a folder") }
        for work in [partialName, nextName] {
            let path = File.join(folder, work)
            guard File.exists(path) else { continue }
            guard File.isDirectory(path) else { return try refuse(work, "a file") }
            let names: [String]
            do throws(HadpoError) { names = try File.list(path) } catch {
                // Its save has just ended.
                if File.exists(path) { throw error }
                continue
            }
            for name in names where !files.contains(where: { name == $0 || TemporaryFile.isTemporary(name, of: $0) }) {
                try refuse("\(work)/\(name)", "no file of a save")
            }
        }
    }

    /// Whether an earlier save's files would be read with the new ones, though they are not part of it.
    /// - Parameters:
    ///   - readable: names that a reader of the folder looks for and that the new save does not write.
    package static func checkStrangers(_ folder: String, readable: [String]) throws(HadpoError) {
        let old = try? SaveManifest.read(folder)
        for name in readable where old?[name] == nil && File.exists(File.join(folder, name)) {
            throw HadpoError(
                .io, "the folder holds a file that would be read with this save and is not part of it", at: folder,
                found: name, expected: "another folder, or this one without that file")
        }
    }

    /// Everything is written: from the rename in here on the folder holds the new save.
    /// - Parameters:
    ///   - last: what must not be there before everything else is.
    package func commit(last: String? = nil, progress: any Progress) throws(HadpoError) {
        var names = try File.list(workFolder)
        if let last, let place = names.firstIndex(of: last) { names.append(names.remove(at: place)) }
        var entries: [SaveManifest.Entry] = []
        for name in names {
            let (from, to) = (File.join(workFolder, name), File.join(folder, name))
            if !File.isDirectory(from), File.isDirectory(to) { throw File.failure("cannot write", to, EISDIR) }
            let contents = keepsManifest ? try SaveManifest.Contents(of: from, progress: progress) : nil
            entries.append(.init(name: name, contents: contents))
        }
        try File.writeAtomically(File.join(workFolder, SaveManifest.fileName), SaveManifest(entries).text)
        try progress.tick()
        File.syncDirectory(workFolder)
        try File.rename(workFolder, to: File.join(folder, FolderSave.nextName))
        isCommitted = true
        try FolderSave.putInPlace(folder, keepsManifest: keepsManifest)
        lock = nil
    }

    /// Moves the files of a save that was committed over those of the one before.
    private static func putInPlace(_ folder: String, keepsManifest: Bool = true) throws(HadpoError) {
        let next = File.join(folder, nextName)
        guard File.exists(next) else { return }
        // Without its list it was finished: only the empty folder is left.
        guard let manifest = try SaveManifest.read(next) else { return try File.removeEmptyFolder(next) }
        for entry in manifest.entries {
            let from = File.join(next, entry.name)
            if File.exists(from) { try move(from, File.join(folder, entry.name)) }
        }
        // A part that the new save does not have, such as a projector that is not trained any more.
        let old = try? SaveManifest.read(folder)
        for entry in old?.entries ?? [] where manifest[entry.name] == nil {
            let path = File.join(folder, entry.name)
            if let contents = entry.contents, try contents.matches(path, progress: SilentProgress()) { try File.remove(path) }
        }
        File.syncDirectory(next)
        File.syncDirectory(folder)
        let list = File.join(folder, SaveManifest.fileName)
        try move(File.join(next, SaveManifest.fileName), list)
        File.syncDirectory(folder)
        try File.removeEmptyFolder(next)
        if !keepsManifest { try File.remove(list) }
    }

    private static func move(_ old: String, _ new: String) throws(HadpoError) {
        if Glibc.rename(old, new) != 0 { throw File.failure("cannot rename to '\(new)'", old, errno) }
    }
}
