import HadpoBase
import HadpoWeights

/// Where a training writes. Looked at before its first step, so that no work is lost at the end of it; and what another training has left
/// there is neither replaced nor added to, unless the configuration or a resume says so.
struct TrainingPlaces {
    private let output: String?
    private let best: String?
    private let log: String?
    private let overwrites: Bool
    /// Saves that are this training's: it wrote them, or it was resumed from them.
    private var own: Set<Save> = []
    /// Whether the log is this training's.
    private(set) var ownsLog = false

    /// A folder by what it is, and the save in it by its list of files: one that another run has put there since is not ours.
    private struct Save: Hashable {
        let folder: String
        let files: String?

        init?(_ folder: String) {
            guard let identity = File.identity(folder) else { return nil }
            self.folder = identity
            // A killed save's list lies in a folder of its own until the next one puts its files in their place.
            let unfinished = try? SaveManifest.read(File.join(folder, FolderSave.nextName))
            files = (unfinished ?? (try? SaveManifest.read(folder)))?.text
        }
    }

    /// From before the first step on, so that no other training writes there meanwhile.
    private(set) var held: [FolderClaim] = []

    init(_ config: TrainConfig) {
        output = config.output
        log = config.log
        overwrites = config.overwrites
        best = config.bestFolder
    }

    private mutating func hold(_ folder: String) throws(HadpoError) {
        if !held.contains(where: { $0.holds(folder) }) { held.append(try FolderClaim(folder)) }
    }

    /// Nothing will be written any more.
    mutating func release() { held = [] }

    /// What is saved in a folder belongs to this training from now on.
    mutating func claim(_ folder: String) {
        if let save = Save(folder) { own.insert(save) }
    }

    mutating func claimLog() { ownsLog = true }

    /// After a resume: the folder, what the guard kept in it, and the log are this training's own.
    mutating func claimResumed(_ folder: String) {
        claim(folder)
        if let output, let best, File.identity(output) == File.identity(folder) { claim(best) }
        ownsLog = true
    }

    /// An error when a save into the folder would take the place of another training's.
    func check(_ folder: String) throws(HadpoError) {
        if overwrites { return }
        if let save = Save(folder), own.contains(save) { return }
        for name in Self.saved where File.exists(File.join(folder, name)) {
            throw HadpoError(
                .io, "the folder holds what another training has saved", at: folder, found: name,
                expected: "another folder; or resume from this one, or \"overwrite\": true to replace it")
        }
    }

    /// Names that a save writes, or its readers look for.
    static let files = saved + ["train_config.json"]
    /// What no other file in an output folder may be called.
    static let reserved = files + [SaveManifest.fileName, FolderSave.partialName, FolderSave.nextName]

    private static let saved = [
        TrainState.fileName, AdapterConfig.fileName, AdapterFile.safetensorsName, AdapterFile.torchName,
        ProjectorFile.safetensorsName,
        ProjectorFile.torchName,
    ]

    /// Whether everything could be written, without writing anything.
    func check() throws(HadpoError) {
        for folder in [output, best].compactMap({ $0 }) where File.isDirectory(folder) { _ = try FolderClaim(folder) }
        try checkFolders()
        guard let log else { return }
        if File.isDirectory(log) {
            throw HadpoError(.io, "the log is a folder", at: log, expected: "a file, new or of this training")
        }
        try checkLog()
    }

    private func checkFolders() throws(HadpoError) {
        for folder in [output, best].compactMap({ $0 }) {
            try File.checkCanMake(folder)
            try FolderSave.checkNames(folder, files: Self.files)
            try check(folder)
        }
        if let log { try File.checkCanMake(File.folder(of: log)) }
    }

    /// Of an opened log: that it is locked is said before what it holds.
    func checkLog() throws(HadpoError) {
        guard let log, !ownsLog, File.isFile(log), try File.size(log) > 0 else { return }
        if overwrites {
            guard try !StepLog.isLog(log) else { return }
            throw HadpoError(
                .io, "the file named as log is no training's log, and is not replaced", at: log,
                found: "\(try File.size(log)) bytes that do not begin with a training's record",
                expected: "a training's log, or a new file")
        }
        throw HadpoError(
            .io, "the log holds another training's records", at: log, found: "\(try File.size(log)) bytes",
            expected: "a new file; or resume the training that wrote it, or \"overwrite\": true to begin it anew")
    }

    /// Makes the folders and writes a file into each.
    mutating func prepare() throws(HadpoError) {
        // That another training is at work there is said before what it has left there so far.
        for folder in [output, best].compactMap({ $0 }) where File.isDirectory(folder) { try hold(folder) }
        try checkFolders()
        for folder in [output, best].compactMap({ $0 }) {
            try File.makeDirectories(folder)
            try hold(folder)
            try check(folder)
            try File.checkCanWrite(folder)
        }
        if let log { try File.makeDirectories(File.folder(of: log)) }
    }
}

extension TrainConfig {
    /// Where the guard keeps the best step.
    var bestFolder: String? {
        guard guarding?.keep == .best, let output else { return nil }
        return File.join(output, "best")
    }
}
