import HadpoBase
import HadpoTensor

/// The tensors of a file that is being written and those still to come: each is written once, as it was planned.
struct PlannedTensors {
    private let path: String
    private var pending: [String: (plan: TensorPlan, offset: Int)] = [:]

    /// - Parameter tensors: with the offsets of their data from the start of the file; names differ.
    init(_ path: String, _ tensors: [(plan: TensorPlan, offset: Int)]) {
        self.path = path
        for (plan, offset) in tensors { pending[plan.name] = (plan, offset) }
    }

    mutating func write(
        _ name: String, _ tensor: Tensor, to file: ReservedFile, _ progress: any Progress
    ) throws(HadpoError) {
        guard let (plan, offset) = pending[name] else {
            throw HadpoError(.internal, "tensor \(name) is not planned for this file or was written before", at: path)
        }
        guard plan.dtype == tensor.dtype, plan.shape == tensor.shape else {
            throw HadpoError(
                .internal, "tensor \(name) is not as planned", at: path,
                found: "\(tensor.dtype.rawValue) \(tensor.shape)", expected: "\(plan.dtype.rawValue) \(plan.shape)")
        }
        // In pieces, so that the host hears from us between them.
        let piece = 64 << 20
        var done = 0
        while done < tensor.byteCount {
            try progress.tick()
            let count = min(piece, tensor.byteCount - done)
            try withExtendedLifetime(tensor.storage) { () throws(HadpoError) in
                try file.write(UnsafeRawBufferPointer(start: tensor.pointer + done, count: count), at: offset + done)
            }
            done += count
        }
        pending[name] = nil
    }

    func checkComplete() throws(HadpoError) {
        if let missing = pending.keys.min() {
            throw HadpoError(.internal, "tensor \(missing) was planned and never written", at: path)
        }
    }
}
