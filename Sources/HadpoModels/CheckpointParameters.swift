import HadpoAutograd
import HadpoBase
import HadpoNN
import HadpoTensor
import HadpoWeights

/// Where a parameter of the network is stored, and how it lies there.
package struct ParameterPlace {
    package enum Stored {
        /// In the network's own shape.
        case same
        /// The same numbers under another shape (a class row stored as [1, 1, C]).
        case reshaped([Int])
        /// A run of rows of a fused tensor that has `of` rows in all (q, k and v in one).
        case rows(Range<Int>, of: Int)
        /// Without the last rows, which are zeros (tokens added after the file was written).
        case lackingRows(Int)
        /// Nowhere: every number is this one.
        case constant(Float)
    }
    package let checkpoint: Checkpoint
    /// The file's spelling.
    package let name: String
    package let stored: Stored

    package init(_ checkpoint: Checkpoint, _ name: String, _ stored: Stored = .same) {
        self.checkpoint = checkpoint
        self.name = name
        self.stored = stored
    }
}

/// Parameters out of weight files. Names are those of the network ("language_model.model.layers.0..."); `lookUp` turns them into
/// places. Frozen parameters are views into the mapped file; trainable ones are fp32 copies.
package final class CheckpointParameters: ParameterSource {
    private let device: Device
    private let weights: WeightFormat
    private let lookUp: (String) -> ParameterPlace
    private let isTrainable: (String) -> Bool
    /// Trainable parameters in the order in which the network asked for them.
    package private(set) var trainable: [(name: String, value: Value)] = []

    package init(
        device: Device, weights: WeightFormat = .stored, isTrainable: @escaping (String) -> Bool = { _ in false },
        lookUp: @escaping (String) -> ParameterPlace
    ) {
        self.device = device
        self.weights = weights
        self.lookUp = lookUp
        self.isTrainable = isTrainable
    }

    package func matrix(_ name: String, _ shape: [Int]) throws(HadpoError) -> Value {
        if let saved = try savedQuantized(name, shape) { return Value(saved) }
        let found = try stored(name, shape)
        if let dtype = weights.dtype(of: name), isQuantizable(name, found, dtype) {
            return Value(try quantized(name, found, dtype))
        }
        return try wrap(name, found)
    }

    /// Rows that are not whole blocks stay as stored.
    private func isQuantizable(_ name: String, _ stored: Tensor, _ dtype: DType) -> Bool {
        !isTrainable(name) && [.f32, .f16, .bf16].contains(stored.dtype) && dtype.byteCount(of: stored.shape) != nil
    }

    /// A matrix that the file holds quantised.
    private func savedQuantized(_ name: String, _ shape: [Int]) throws(HadpoError) -> Tensor? {
        let place = lookUp(name)
        guard case .same = place.stored, let (saved, dtype) = try SavedQuantized.find(place, shape) else { return nil }
        guard weights == .stored || weights.dtype(of: name) == dtype else {
            throw HadpoError(
                .weights, "the checkpoint was saved quantised and cannot be brought to another form", at: place.name,
                found: dtype.rawValue, expected: "weights: \"stored\", or the checkpoint that it was made from")
        }
        guard !isTrainable(name) else {
            throw HadpoError(
                .weights, "a quantised matrix cannot be trained", at: place.name, found: dtype.rawValue,
                expected: "the checkpoint that it was made from")
        }
        return saved
    }

    /// The file's pages are given back as soon as they have been read, so that both forms never fill memory together.
    private func quantized(_ name: String, _ stored: Tensor, _ dtype: DType) throws(HadpoError) -> Tensor {
        let result = try device.allocate(stored.shape, dtype)
        try device.quantize(stored, into: result)
        let place = lookUp(name)
        place.checkpoint.releasePages(of: place.name)
        return result
    }

    package func vector(_ name: String, _ count: Int) throws(HadpoError) -> Value {
        try wrap(name, try device.float32(try stored(name, [count])))
    }

    private func stored(_ name: String, _ shape: [Int]) throws(HadpoError) -> Tensor {
        let place = lookUp(name)
        let file = place.checkpoint
        switch place.stored {
        case .same: return try file.tensor(place.name, shape: shape)
        case .reshaped(let other): return try file.tensor(place.name, shape: other).reshaped(shape)
        case .rows(let rows, let total):
            let fused = try file.tensor(place.name, shape: [total] + shape.dropFirst())
            return try fused.reshaped([total, shape.dropFirst().reduce(1, *)]).rows(rows).reshaped(shape)
        case .lackingRows(let count):
            let present = max(0, (shape.first ?? 0) - count)
            let short = try file.tensor(place.name, shape: [present] + shape.dropFirst())
            let whole = try device.allocate(shape, short.dtype)
            try device.zero(whole)
            try device.copy(short, into: whole.rows(0..<present))
            return whole
        case .constant(let number):
            return try device.tensor([Float](repeating: number, count: shape.reduce(1, *)), shape)
        }
    }

    private func wrap(_ name: String, _ stored: Tensor) throws(HadpoError) -> Value {
        guard [.f32, .f16, .bf16].contains(stored.dtype) else {
            throw HadpoError(
                .weights, "a weight has a type that cannot be computed with", at: name, found: stored.dtype.rawValue,
                expected: "F32, F16 or BF16")
        }
        guard isTrainable(name) else { return Value(stored) }
        let master = try device.allocate(stored.shape)
        try device.convert(stored, into: master)
        let value = Value(master, needsGradient: true)
        trainable.append((name, value))
        return value
    }
}
