import Glibc

/// A folder that is one run's to write into as long as the object lives: for one save, or from a training's first step to its end. The lock
/// is on the folder itself and nothing lies in it; the system takes it back from a dead process.
package final class FolderClaim {
    private let descriptor: Int32
    private let identity: String?

    package init(_ folder: String) throws(HadpoError) {
        try File.checkPath(folder)
        descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw File.failure("cannot open the folder", folder, errno) }
        var status = stat()
        identity = fstat(descriptor, &status) == 0 ? "\(status.st_dev):\(status.st_ino)" : nil
        // File systems without locks answer something else: there it is up to the user that two do not write to one folder.
        if FileLock.take(descriptor) == EWOULDBLOCK {
            close(descriptor)
            throw HadpoError(
                .busy, "another run is writing into this folder", at: folder, found: "its lock",
                expected: "that the other run ends first, or another folder for this one")
        }
    }

    /// The one that is held already, or a new one.
    static func of(_ folder: String, _ held: [FolderClaim]) throws(HadpoError) -> FolderClaim {
        if let held = held.first(where: { $0.holds(folder) }) { return held }
        return try FolderClaim(folder)
    }

    deinit { close(descriptor) }

    /// Whether the path leads to the claimed folder now.
    package func holds(_ folder: String) -> Bool { identity != nil && File.identity(folder) == identity }
}
