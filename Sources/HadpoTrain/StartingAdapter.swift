import HadpoBase
import HadpoModels
import HadpoTensor
import HadpoWeights

/// What a configuration must agree with when a training starts from an adapter: keys that are left out follow it, others may not
/// contradict it.
package struct StartingAdapter: Sendable {
    package let path: String
    package let rank: Int
    package let alpha: Double
    /// Of the decoder, in the order in which they are computed.
    package let targets: [String]

    package init(_ file: AdapterFile, path: String) {
        self.path = path
        (rank, alpha) = (file.config.rank, file.config.alpha)
        let used = Set(file.targets.map(\.projection))
        targets = AdapterTarget.projections.filter(used.contains).map { String($0.drop { $0 != "." }.dropFirst()) }
    }

    package init(_ adapter: LoadedAdapter) { self.init(adapter.file, path: adapter.path) }

    init(folder: String) throws(HadpoError) {
        self.init(try AdapterFile.read(folder: folder, arena: Arena(), progress: SilentProgress()), path: folder)
    }
}
