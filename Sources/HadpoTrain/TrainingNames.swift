import HadpoBase

// Which files a configuration names. Two that are one file would destroy each other: what is written takes the place of what is read, of
// what else is written, or of a save's files.

extension TrainConfig {
    private struct NamedFile {
        let key: String
        let path: String

        init?(_ key: String, _ path: String?) {
            guard let path else { return nil }
            (self.key, self.path) = (key, path)
        }
    }

    private var written: [NamedFile] {
        [NamedFile("log", log), NamedFile("reference/cache", method == .dpo && frontend == .initial ? referenceCache : nil)]
            .compactMap { $0 }
    }

    private var read: [NamedFile] {
        [
            NamedFile("data/desc", data.desc), NamedFile("data/pope", data.pope), NamedFile("data/image_data", data.imageData),
            NamedFile("data/pairs", data.pairs), NamedFile("data/samples", data.samples),
            NamedFile("data/cc_sbu_align", data.alignedCaptions.map { File.join($0, "filter_cap.json") }),
            NamedFile("guard/pope/questions", guarding?.pope?.questions),
        ].compactMap { $0 }
    }

    /// Before anything is written.
    func checkNames() throws(HadpoError) {
        let (written, read) = (written, read)
        for (index, file) in written.enumerated() {
            for other in written[(index + 1)...] + read where File.isSame(file.path, other.path) {
                throw HadpoError(
                    .config, "a file that is written is named twice", at: "/" + file.key,
                    found: "\(file.path), which is \(other.key) too", expected: "a file of its own")
            }
        }
        for folder in [output, bestFolder].compactMap({ $0 }) {
            let place = File.resolved(folder)
            for file in written + read {
                let path = File.resolved(file.path)
                if path == place || place.hasPrefix(path + "/") {
                    throw HadpoError(
                        .config, "a file is named where the folder of the saves is to be", at: "/" + file.key, found: file.path,
                        expected: "a file that is neither that folder nor above it")
                }
                let isWork = [FolderSave.partialName, FolderSave.nextName].contains { path.hasPrefix(File.join(place, $0) + "/") }
                if isWork || TrainingPlaces.reserved.contains(where: { File.isSame(file.path, File.join(folder, $0)) }) {
                    throw HadpoError(
                        .config, "a file is named as one that a save writes into output", at: "/" + file.key, found: file.path,
                        expected: "another name, or a place outside \(folder)")
                }
            }
        }
    }
}
