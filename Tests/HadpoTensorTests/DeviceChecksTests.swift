import HadpoBase
import HadpoTensor
import Testing

/// One operation with tensors that fit, so that each of them can be made not to fit.
private struct Operation: CustomTestStringConvertible, Sendable {
    let name: String
    let shapes: [[Int]]
    var types: [DType] = []
    /// Arguments that the operation writes to.
    let outputs: Set<Int>
    /// Arguments that may hold fp16 too.
    var takesHalf: Set<Int> = []
    /// Arguments of which any number of rows is right.
    var takesAnyRows: Set<Int> = []
    let call: @Sendable (Device, [Tensor]) throws -> Void

    var testDescription: String { name }
    func type(_ i: Int) -> DType { types.isEmpty ? .f32 : types[i] }
}

private let shape = AttentionShape(heads: 4, kvHeads: 2, headWidth: 16)
private let segments = [
    AttentionSegment(queries: 0..<5, own: 0..<5), AttentionSegment(queries: 5..<7, context: 0..<5, own: 5..<7),
]
private let adam = AdamW(learningRate: 1, beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0, t: 1)

private let operations: [Operation] = [
    Operation(name: "matmul", shapes: [[5, 32], [6, 32], [5, 6]], outputs: [2], takesHalf: [1]) {
        try $0.matmul($1[0], aTransposed: false, $1[1], bTransposed: true, into: $1[2], accumulate: false)
    },
    Operation(name: "matmul, both turned", shapes: [[32, 5], [6, 32], [5, 6]], outputs: [2], takesHalf: [1]) {
        try $0.matmul($1[0], aTransposed: true, $1[1], bTransposed: true, into: $1[2], accumulate: true)
    },
    Operation(
        name: "matmul, quantised", shapes: [[5, 32], [16, 32], [5, 16]], types: [.f32, .q8, .f32], outputs: [2], takesHalf: [1]
    ) {
        try $0.matmul($1[0], aTransposed: false, $1[1], bTransposed: true, into: $1[2], accumulate: false)
    },
    Operation(name: "attention", shapes: [[7, 64], [7, 32], [7, 32], [7, 64], [7, 4]], outputs: [3, 4]) {
        try $0.attention(shape, segments, q: $1[0], k: $1[1], v: $1[2], into: $1[3], lse: $1[4])
    },
    Operation(
        name: "attention by an int8 cache", shapes: [[7, 64], [7, 34], [7, 34], [7, 64]], types: [.f32, .i8, .i8, .f32],
        outputs: [3]
    ) { try $0.attention(shape, segments, q: $1[0], k: $1[1], v: $1[2], into: $1[3], lse: nil) },
    Operation(
        name: "attention, backward",
        shapes: [[7, 64], [7, 32], [7, 32], [7, 64], [7, 4], [7, 64], [7, 64], [7, 32], [7, 32]], outputs: [6, 7, 8]
    ) {
        try $0.attentionBackward(
            shape, segments, q: $1[0], k: $1[1], v: $1[2], out: $1[3], lse: $1[4], dout: $1[5], dq: $1[6], dk: $1[7], dv: $1[8])
    },
    Operation(name: "rmsNorm", shapes: [[3, 8], [8], [3, 8], [3]], outputs: [2, 3]) {
        try $0.rmsNorm($1[0], weight: $1[1], epsilon: 1, into: $1[2], rstd: $1[3])
    },
    Operation(name: "rmsNorm, backward", shapes: [[3, 8], [8], [3], [3, 8], [3, 8], [8]], outputs: [4, 5]) {
        try $0.rmsNormBackward($1[0], weight: $1[1], rstd: $1[2], dy: $1[3], dx: $1[4], dweight: $1[5])
    },
    Operation(name: "layerNorm", shapes: [[3, 8], [8], [8], [3, 8], [3], [3]], outputs: [3, 4, 5]) {
        try $0.layerNorm($1[0], weight: $1[1], bias: $1[2], epsilon: 1, into: $1[3], mean: $1[4], rstd: $1[5])
    },
    Operation(name: "layerNorm, backward", shapes: [[3, 8], [8], [3], [3], [3, 8], [3, 8], [8], [8]], outputs: [5, 6, 7]) {
        try $0.layerNormBackward(
            $1[0], weight: $1[1], mean: $1[2], rstd: $1[3], dy: $1[4], dx: $1[5], dweight: $1[6], dbias: $1[7])
    },
    Operation(name: "rope", shapes: [[3, 8]], outputs: [0]) {
        try $0.rope($1[0], heads: 2, positions: [0, 1, 2], inverseFrequencies: [1, 0.5], inverse: false)
    },
    Operation(name: "activation", shapes: [[3, 8], [3, 8]], outputs: [1]) { try $0.activation(.silu, $1[0], into: $1[1]) },
    Operation(name: "activation, backward", shapes: [[3, 8], [3, 8], [3, 8]], outputs: [2]) {
        try $0.activationBackward(.silu, $1[0], dy: $1[1], dx: $1[2])
    },
    Operation(name: "swiGLU", shapes: [[3, 8], [3, 8], [3, 8]], outputs: [2]) {
        try $0.swiGLU(gate: $1[0], up: $1[1], into: $1[2])
    },
    Operation(name: "swiGLU, backward", shapes: [[3, 8], [3, 8], [3, 8], [3, 8], [3, 8]], outputs: [3, 4]) {
        try $0.swiGLUBackward(gate: $1[0], up: $1[1], dy: $1[2], dgate: $1[3], dup: $1[4])
    },
    Operation(name: "add", shapes: [[3, 8], [3, 8], [3, 8]], outputs: [2]) { try $0.add($1[0], $1[1], into: $1[2]) },
    Operation(name: "axpy", shapes: [[3, 8], [3, 8]], outputs: [1]) { try $0.axpy(2, $1[0], into: $1[1]) },
    Operation(name: "addBias", shapes: [[8], [3, 8]], outputs: [1], takesAnyRows: [1]) { try $0.addBias($1[0], to: $1[1]) },
    Operation(name: "columnSum", shapes: [[3, 8], [8]], outputs: [1], takesAnyRows: [0]) { try $0.columnSum($1[0], into: $1[1]) },
    Operation(name: "copy", shapes: [[3, 8], [8, 3]], outputs: [1]) { try $0.copy($1[0], into: $1[1]) },
    Operation(name: "convert", shapes: [[3, 8], [3, 8]], types: [.f32, .bf16], outputs: [1], takesHalf: [0, 1]) {
        try $0.convert($1[0], into: $1[1])
    },
    Operation(name: "cacheRows", shapes: [[3, 32], [3, 34]], types: [.f32, .i8], outputs: [1]) {
        try $0.cacheRows($1[0], into: $1[1])
    },
    Operation(name: "quantize", shapes: [[16, 32], [16, 32]], types: [.f32, .q4], outputs: [1], takesHalf: [0]) {
        try $0.quantize($1[0], into: $1[1])
    },
    Operation(name: "gatherRows", shapes: [[4, 8], [3, 8]], outputs: [1], takesHalf: [0]) {
        try $0.gatherRows($1[0], ids: [0, 3, 1], into: $1[1])
    },
    Operation(name: "scatterAddRows", shapes: [[3, 8], [4, 8]], outputs: [1]) {
        try $0.scatterAddRows($1[0], ids: [0, 3, 1], into: $1[1])
    },
    Operation(name: "logProb", shapes: [[3, 8], [3], [3]], outputs: [1, 2]) {
        try $0.logProb($1[0], ids: [0, 7, 1], logp: $1[1], lse: $1[2])
    },
    Operation(name: "logProb, backward", shapes: [[3, 8], [3], [3]], outputs: [0]) {
        try $0.logProbBackward($1[0], ids: [0, 7, 1], lse: $1[1], dlogp: $1[2])
    },
    Operation(name: "adamW", shapes: [[3, 8], [3, 8], [3, 8], [3, 8]], outputs: [0, 2, 3]) {
        try $0.adamW(adam, parameter: $1[0], gradient: $1[1], m: $1[2], v: $1[3], gradientScale: 1)
    },
]

/// Its memory may only be read, as a mapped file's.
private func readOnly(_ x: Tensor) throws -> Tensor {
    let storage = Storage(base: x.pointer, byteCount: x.byteCount, isWritable: false) { _ = x.storage }
    return try Tensor(storage: storage, shape: x.shape, dtype: x.dtype)
}

@Suite("What a device is asked for is checked before memory is touched")
struct DeviceChecksTests {
    private func tensors(_ device: Device, _ operation: Operation) throws -> [Tensor] {
        var made: [Tensor] = []
        for (i, shape) in operation.shapes.enumerated() {
            let x = try device.allocate(shape, operation.type(i))
            try device.zero(x)
            made.append(x)
        }
        return made
    }

    @Test(
        "each tensor of each operation with a row less, a column less, another type, or memory that may only be read",
        arguments: operations)
    fileprivate func misfits(_ operation: Operation) throws {
        let device = try Device(threads: 1, kernels: .portable)
        let right = try tensors(device, operation)
        try operation.call(device, right)
        func refused(_ i: Int, _ tensor: Tensor, _ how: String) {
            var wrong = right
            wrong[i] = tensor
            let what = "\(operation.name), argument \(i): \(how)"
            #expect(throws: HadpoError.self, "\(what)") { try operation.call(device, wrong) }
        }
        for (i, shape) in operation.shapes.enumerated() {
            let type = operation.type(i)
            func other(_ changed: [Int], _ type: DType) throws -> Tensor {
                let x = try device.allocate(changed, type)
                try device.zero(x)
                return x
            }
            var fewerRows = shape
            fewerRows[0] -= type.isQuantized ? 16 : 1
            if !operation.takesAnyRows.contains(i) { refused(i, try other(fewerRows, type), "a row less") }
            var fewerColumns = shape
            fewerColumns[shape.count - 1] -= type.isQuantized ? 32 : 1
            refused(i, try other(fewerColumns, type), "a column less")
            if !operation.takesHalf.contains(i) { refused(i, try other(shape, .f16), "fp16") }
            refused(i, try other(shape, .i32), "integers")
            if operation.outputs.contains(i) { refused(i, try readOnly(right[i]), "memory that may only be read") }
        }
    }

    @Test("ids behind the last row, and negative ones", arguments: [4, -1, Int32.max, Int32.min])
    func ids(_ wrong: Int32) throws {
        let device = try Device(threads: 1)
        let table = try device.zeros([4, 8])
        let rows = try device.zeros([2, 8])
        let logits = try device.zeros([2, 4])
        let (logp, lse) = (try device.zeros([2]), try device.zeros([2]))
        for ids in [[0, wrong], [wrong, 3]] {
            #expect(throws: HadpoError.self) { try device.gatherRows(table, ids: ids, into: rows) }
            #expect(throws: HadpoError.self) { try device.scatterAddRows(rows, ids: ids, into: table) }
            #expect(throws: HadpoError.self) { try device.logProb(logits, ids: ids, logp: logp, lse: lse) }
            #expect(throws: HadpoError.self) { try device.logProbBackward(logits, ids: ids, lse: lse, dlogp: logp) }
        }
    }

    @Test(
        "ranges of rows that attention may not see",
        arguments: [
            AttentionSegment(queries: 0..<8, own: 0..<8), AttentionSegment(queries: 0..<7, own: 1..<8),
            AttentionSegment(queries: 6..<8, context: 0..<7), AttentionSegment(queries: 0..<1, context: 5..<9),
            AttentionSegment(queries: -1..<1, context: 0..<7), AttentionSegment(queries: 0..<1, context: -1..<2),
            // fewer own rows than queries: the first query would see a negative number of them
            AttentionSegment(queries: 0..<4, own: 0..<3),
        ])
    func visible(_ segment: AttentionSegment) throws {
        let device = try Device(threads: 1)
        let (q, kv, out) = (try device.zeros([7, 64]), try device.zeros([7, 32]), try device.zeros([7, 64]))
        #expect(throws: HadpoError.self) {
            try device.attention(shape, [segment], q: q, k: kv, v: kv, into: out, lse: nil)
        }
    }

    @Test("views beyond their tensor, and tensors beyond their storage")
    func views() throws {
        let device = try Device(threads: 1)
        let x = try device.zeros([4, 8])
        #expect(try x.rows(1..<4).shape == [3, 8])
        #expect(try x.elements(30..<32).shape == [2])
        for range in [0..<5, 4..<6, -1..<2, 5..<5, Int.max - 1..<Int.max] {
            #expect(throws: HadpoError.self) { try x.rows(range) }
        }
        for range in [0..<33, 32..<40, -1..<2] { #expect(throws: HadpoError.self) { try x.elements(range) } }
        for shape in [[33], [5, 8], [4, 7], [Int.max, 2], [-4, -8], [31]] {
            #expect(throws: HadpoError.self) { try x.reshaped(shape) }
        }
        // A vector is one row: the rows of a fused bias are cut from it as a matrix of one column.
        let bias = try device.zeros([12])
        #expect(throws: HadpoError.self) { try bias.rows(4..<8) }
        #expect(try bias.reshaped([12, 1]).rows(4..<8).byteOffset == 16)

        let storage = Storage(base: x.pointer, byteCount: 16, isWritable: true) {}
        for (offset, shape) in [(0, [5]), (4, [4]), (20, [0]), (-4, [1]), (0, [Int.max]), (0, [-1])] {
            #expect(throws: HadpoError.self) { try Tensor(storage: storage, byteOffset: offset, shape: shape, dtype: .f32) }
        }
        #expect(try Tensor(storage: storage, byteOffset: 16, shape: [0], dtype: .f32).count == 0)

        let quantized = try device.allocate([32, 64], .q8)
        #expect(try quantized.rows(16..<32).shape == [16, 64])
        #expect(throws: HadpoError.self) { try quantized.rows(8..<24) }
        #expect(throws: HadpoError.self) { try device.allocate([4], .bf16).floats() }
    }
}
