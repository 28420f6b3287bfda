import HadpoBase
import HadpoTensor

// Operations that move rows, log-probabilities, and recomputation.

extension Tape {
    /// y[i] = table[ids[i]], R x C.
    package func gather(_ table: Value, ids: [Int32]) throws(HadpoError) -> Value {
        let device = device
        let y = try device.allocate([ids.count, table.columns])
        try device.gatherRows(table.data, ids: ids, into: y)
        let output = result(y, from: [table])
        record(output) { dy throws(HadpoError) in
            try device.scatterAddRows(dy, ids: ids, into: try table.gradientSum(on: device))
        }
        return output
    }

    /// The same numbers with another number of columns (a convolution's weight as a matrix, a vector as one row).
    package func reshape(_ x: Value, _ shape: [Int]) throws(HadpoError) -> Value {
        let output = result(try x.data.reshaped(shape), from: [x])
        let device = device
        record(output) { dy throws(HadpoError) in try x.receive(try dy.reshaped(x.shape), owned: false, on: device) }
        return output
    }

    /// Runs of rows of several values, one below the other.
    package func concatenate(_ parts: [(value: Value, rows: Range<Int>)]) throws(HadpoError) -> Value {
        let device = device
        let y = try device.allocate([parts.reduce(0) { $0 + $1.rows.count }, parts.first?.value.columns ?? 0])
        var row = 0
        for part in parts {
            try device.copy(part.value.data.rows(part.rows), into: y.rows(row..<row + part.rows.count))
            row += part.rows.count
        }
        let output = result(y, from: parts.map(\.value))
        record(output) { dy throws(HadpoError) in
            var row = 0
            for part in parts {
                if part.value.needsGradient {
                    let sum = try part.value.gradientSum(on: device)
                    try device.axpy(1, dy.rows(row..<row + part.rows.count), into: sum.rows(part.rows))
                }
                row += part.rows.count
            }
        }
        return output
    }

    /// logp[i] = log softmax(hidden[rows[i]] W^T)[ids[i]] for W[V,C]. Logits exist for `chunk` rows at a time and are computed
    /// again on the way back, so that no R x V matrix is kept.
    package func logProbs(_ hidden: Value, rows: [Int32], head: Value, ids: [Int32], chunk: Int = 256) throws(HadpoError) -> Value
    {
        let device = device
        let progress = progress
        let picked = try gather(hidden, ids: rows)
        let vocabulary = head.data.rows
        let logp = try device.allocate([ids.count])
        let lse = try device.allocate([ids.count])
        let chunks = stride(from: 0, to: ids.count, by: chunk).map { $0..<min($0 + chunk, ids.count) }
        for range in chunks {
            try progress.tick()
            let logits = try device.allocate([range.count, vocabulary])
            try device.matmul(
                picked.data.rows(range), aTransposed: false, head.data, bTransposed: true, into: logits, accumulate: false)
            try device.logProb(logits, ids: Array(ids[range]), logp: logp.elements(range), lse: lse.elements(range))
        }
        let output = result(logp, from: [picked, head])
        record(output) { dlogp throws(HadpoError) in
            let dpicked = picked.needsGradient ? try device.allocate(picked.shape) : nil
            for range in chunks {
                try progress.tick()
                let x = try picked.data.rows(range)
                let logits = try device.allocate([range.count, vocabulary])
                try device.matmul(x, aTransposed: false, head.data, bTransposed: true, into: logits, accumulate: false)
                try device.logProbBackward(logits, ids: Array(ids[range]), lse: lse.elements(range), dlogp: dlogp.elements(range))
                if let dpicked {
                    try device.matmul(
                        logits, aTransposed: false, head.data, bTransposed: false, into: dpicked.rows(range), accumulate: false)
                }
                if head.needsGradient {
                    let (dw, accumulate) = try head.gradientTarget(on: device)
                    try device.matmul(logits, aTransposed: true, x, bTransposed: false, into: dw, accumulate: accumulate)
                }
            }
            if let dpicked { try picked.receive(dpicked, owned: true, on: device) }
        }
        return output
    }

    /// `body(x)` without keeping what it computes in between: only x is kept, and the rest is computed again on the way back
    /// (gradient checkpointing, Chen et al. 2016). One decoder layer is one body.
    package func checkpoint(_ x: Value, _ body: @escaping (Tape, Value) throws(HadpoError) -> Value) throws(HadpoError) -> Value {
        guard isRecording else { return try body(self, x) }
        let device = device
        let progress = progress
        let adapters = adapters
        let plain = Tape(device: device, progress: progress, isRecording: false, adapters: adapters)
        plain.observer = observer
        let y = try body(plain, Value(x.data)).data
        // Parameters inside the body may need gradients even if x does not.
        let output = Value(y, needsGradient: true)
        record(output) { dy throws(HadpoError) in
            let inner = Tape(device: device, progress: progress, isRecording: true, adapters: adapters)
            let start = Value(x.data, needsGradient: x.needsGradient)
            let again = try body(inner, start)
            guard again.needsGradient else { return }
            try inner.backward(from: again, gradient: dy)
            if let dx = start.takeGradient() { try x.receive(dx, owned: false, on: device) }
        }
        return output
    }
}
