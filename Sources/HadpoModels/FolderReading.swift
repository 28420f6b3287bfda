import HadpoBase
import HadpoWeights

/// What of a model's folder was read: keys of its configurations, tensors of its weight files. The rest is named, or refused.
package final class FolderReading {
    private var files: [(name: String, json: JSON, keys: ReadKeys)] = []
    private var located: [ObjectIdentifier: Set<String>] = [:]
    /// What was assumed or passed by while the model was made: sentences.
    package private(set) var notes: [String] = []

    package init() {}

    // MARK: keys

    /// - Parameter name: what `unread` calls the file.
    func keys(of json: JSON, _ name: String) -> ReadKeys {
        if let known = files.first(where: { $0.name == name }) { return known.keys }
        let keys = ReadKeys()
        files.append((name, json, keys))
        return keys
    }

    /// A JSON file whose keys are accounted for.
    /// - Parameter folder: for messages.
    func fields(_ json: JSON, _ name: String, in folder: String) -> ModelFields {
        ModelFields(json, File.join(folder, File.name(of: name)), keys(of: json, name))
    }

    /// Keys that nobody read and nobody knows to be harmless: "config.json: /text_config/rope".
    package var unread: [String] { files.flatMap { file in file.keys.unread(in: file.json).map { "\(file.name): \($0)" } } }

    /// How a key of a file was used; nil where nobody asked for it.
    package func use(of pointer: String, in name: String) -> ReadKeys.Use? {
        files.first { $0.name == name }?.keys.use(of: pointer)
    }

    package func note(_ sentence: String) { notes.append(sentence) }

    // MARK: tensors

    /// A parameter of the network is taken from here.
    func take(_ place: ParameterPlace) { located[ObjectIdentifier(place.checkpoint), default: []].insert(place.name) }

    /// Every tensor of a checkpoint was asked for, or is known to be of no use. Others beside those that were asked for belong to a network
    /// that is not the one that was built: a bias, a norm, a layer more.
    /// - Parameter isKnown: tensors that the family leaves alone.
    func checkTensors(of checkpoint: Checkpoint, isKnown: (String) -> Bool) throws(HadpoError) {
        let taken = located[ObjectIdentifier(checkpoint)] ?? []
        let parts = Set(taken.map(Self.part))
        var beside: [String] = []
        var apart: [String] = []
        for name in checkpoint.names where !taken.contains(Self.plain(name)) && !isKnown(name) {
            if parts.contains(Self.part(name)) || Self.signs.contains(where: name.hasSuffix) {
                beside.append(name)
            } else {
                apart.append(name)
            }
        }
        guard beside.isEmpty else {
            throw HadpoError(
                .weights, "the checkpoint holds weights that the network built from config.json has no place for",
                at: checkpoint.path, found: Self.list(beside),
                expected: "no tensors beside those of the model; is this the config.json that the weights were saved with?")
        }
        if !apart.isEmpty { note("\(File.name(of: checkpoint.path)): \(Self.count(apart)) not used: \(Self.list(apart))") }
    }

    /// Endings of what stands apart from everything and still says that pictures are used in another way.
    private static let signs = ["image_newline"]

    static func count(_ names: [String]) -> String { names.count == 1 ? "1 tensor is" : "\(names.count) tensors are" }

    static func list(_ names: [String]) -> String {
        names.prefix(5).joined(separator: ", ") + (names.count > 5 ? " and \(names.count - 5) more" : "")
    }

    private static func part(_ name: String) -> Substring { name.prefix { $0 != "." } }

    /// A matrix that was saved quantised has its name with an ending.
    private static func plain(_ name: String) -> String {
        for dtype in SavedQuantized.dtypes {
            let suffix = SavedQuantized.suffix(dtype)
            if name.hasSuffix(suffix) { return String(name.dropLast(suffix.count)) }
        }
        return name
    }
}
