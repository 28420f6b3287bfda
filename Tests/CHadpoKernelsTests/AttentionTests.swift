import CHadpoKernels
import Glibc
import Testing

struct AttentionCase {
    var heads = 2, kvHeads = 1, headDim = 32
    var segments: [hk_segment]
    var qRows: Int, kRows: Int
    var pad = 0
    var scale: Float = 0.7
    var ldq: Int { heads * headDim + pad }
    var ldk: Int { kvHeads * headDim + pad }

    struct Inputs {
        var q: [Float], k: [Float], v: [Float], dout: [Float]
        var rounded: Inputs {
            Inputs(q: q.map(roundedToBF16), k: k.map(roundedToBF16), v: v.map(roundedToBF16), dout: dout.map(roundedToBF16))
        }
    }
    func inputs(seed: Int) -> Inputs {
        var n = Numbers(seed)
        return Inputs(q: n.floats(qRows * ldq), k: n.floats(kRows * ldk), v: n.floats(kRows * ldk), dout: n.floats(qRows * ldq))
    }
    struct Forward {
        let out: [Float], lse: [Float]
    }
    func forward(_ pool: Pool, _ x: Inputs) -> Forward? {
        let out = Guarded(zeros: qRows * ldq)
        let lse = Guarded(zeros: qRows * heads)
        let status = hk_attention_forward(
            pool.raw, segments, segments.count, heads, kvHeads, headDim, scale, x.q, ldq, x.k, ldk, x.v, ldk, HK_F32, out.pointer,
            ldq, lse.pointer)
        return status == 0 && out.intact && lse.intact ? Forward(out: out.values, lse: lse.values) : nil
    }
    struct Gradients {
        let dq: [Float], dk: [Float], dv: [Float]
    }
    func backward(_ pool: Pool, _ x: Inputs, _ f: Forward) -> Gradients? {
        let dq = Guarded(zeros: qRows * ldq)
        let dk = Guarded(zeros: kRows * ldk)
        let dv = Guarded(zeros: kRows * ldk)
        let status = hk_attention_backward(
            pool.raw, segments, segments.count, heads, kvHeads, headDim, scale, x.q, ldq, x.k, ldk, x.v, ldk, f.out, ldq, f.lse,
            x.dout, ldq,
            dq.pointer, ldq, dk.pointer, ldk, dv.pointer, ldk)
        return status == 0 && dq.intact && dk.intact && dv.intact ? Gradients(dq: dq.values, dk: dk.values, dv: dv.values) : nil
    }
    func keys(_ s: hk_segment, _ i: Int) -> [Int] {
        let own = s.own_count == 0 ? 0 : max(0, s.own_count - s.q_count + i + 1)
        return Array(s.ctx_start..<(s.ctx_start + s.ctx_count)) + Array(s.own_start..<(s.own_start + own))
    }
    /// Softmax attention and its gradients written out in Double.
    func reference(_ x: Inputs) -> (out: [Double], lse: [Double], dq: [Double], dk: [Double], dv: [Double]) {
        var out = [Double](repeating: 0, count: qRows * ldq)
        var dq = out
        var lse = [Double](repeating: 0, count: qRows * heads)
        var dk = [Double](repeating: 0, count: kRows * ldk)
        var dv = dk
        for s in segments {
            for i in 0..<s.q_count {
                let keys = keys(s, i)
                for h in 0..<heads {
                    let q = (s.q_start + i) * ldq + h * headDim
                    let kv = h / (heads / kvHeads) * headDim
                    var p = keys.map { key in
                        (0..<headDim).reduce(0.0) { $0 + Double(x.q[q + $1]) * Double(x.k[key * ldk + kv + $1]) } * Double(scale)
                    }
                    let peak = p.max() ?? -.infinity
                    let sum = p.reduce(0.0) { $0 + exp($1 - peak) }
                    lse[(s.q_start + i) * heads + h] = keys.isEmpty ? -.infinity : peak + log(sum)
                    p = p.map { exp($0 - peak) / sum }
                    for (j, key) in keys.enumerated() {
                        for c in 0..<headDim { out[q + c] += p[j] * Double(x.v[key * ldk + kv + c]) }
                    }
                    let delta = (0..<headDim).reduce(0.0) { $0 + Double(x.dout[q + $1]) * out[q + $1] }
                    for (j, key) in keys.enumerated() {
                        let dp = (0..<headDim).reduce(0.0) { $0 + Double(x.dout[q + $1]) * Double(x.v[key * ldk + kv + $1]) }
                        let ds = p[j] * (dp - delta) * Double(scale)
                        for c in 0..<headDim {
                            dq[q + c] += ds * Double(x.k[key * ldk + kv + c])
                            dk[key * ldk + kv + c] += ds * Double(x.q[q + c])
                            dv[key * ldk + kv + c] += p[j] * Double(x.dout[q + c])
                        }
                    }
                }
            }
        }
        return (out, lse, dq, dk, dv)
    }
}
/// Rows in HK_CACHE8's form, and the numbers they stand for.
struct Cached {
    let bytes: Guarded<Int8>, values: [Float], rowBytes: Int
    init?(_ pool: Pool, _ x: [Float], columns: Int) {
        let rows = x.count / columns
        rowBytes = columns / 16 * 17
        bytes = Guarded([Int8](repeating: 0, count: rows * rowBytes))
        guard hk_cache_rows(pool.raw, rows, columns, x, bytes.pointer) == 0, bytes.intact else { return nil }
        let stored = bytes.values
        var numbers: [Float] = []
        for row in 0..<rows {
            for c in 0..<columns {
                let at = row * rowBytes + columns + c / 32 * 2
                let scale = Float16(
                    bitPattern: UInt16(UInt8(bitPattern: stored[at])) | UInt16(UInt8(bitPattern: stored[at + 1])) << 8)
                numbers.append(Float(stored[row * rowBytes + c]) * Float(scale))
            }
        }
        values = numbers
    }
}
/// The norm of a - b over that of b.
func relative(_ a: [Float], _ b: [Double]) -> Double {
    let difference = zip(a, b).reduce(0.0) { $0 + (Double($1.0) - $1.1) * (Double($1.0) - $1.1) }
    let norm = b.reduce(0.0) { $0 + $1 * $1 }
    return norm == 0 ? difference : (difference / norm).squareRoot()
}
func segment(_ q: Range<Int>, ctx: Range<Int> = 0..<0, own: Range<Int> = 0..<0) -> hk_segment {
    hk_segment(
        q_start: q.lowerBound, q_count: q.count, ctx_start: ctx.lowerBound, ctx_count: ctx.count, own_start: own.lowerBound,
        own_count: own.count)
}

/// AMX computes attention under FAST, in bf16; the others in fp32 under both.
let everyAttentionISA: [UInt32] = everyISA + [HK_AMX_BF16.rawValue]
func attentionPool(_ isa: UInt32, threads: Int32 = 2) throws -> Pool {
    try Pool(isa, threads: threads, fast: isa == HK_AMX_BF16.rawValue)
}

@Suite struct AttentionTests {
    static let cases: [AttentionCase] = [
        .init(headDim: 1, segments: [segment(0..<1, own: 0..<1)], qRows: 1, kRows: 1),
        .init(segments: [segment(0..<3, own: 0..<3)], qRows: 3, kRows: 3, pad: 3),
        .init(heads: 4, kvHeads: 2, headDim: 33, segments: [segment(0..<129, own: 0..<129)], qRows: 129, kRows: 129, pad: 1),
        .init(heads: 3, kvHeads: 3, headDim: 88, segments: [segment(0..<65, ctx: 0..<65)], qRows: 65, kRows: 65),
        // decode: one query after a prefix, in the middle of a cache with other rows
        .init(heads: 2, kvHeads: 2, headDim: 64, segments: [segment(0..<1, ctx: 5..<75, own: 80..<97)], qRows: 1, kRows: 100),
        // two pairs of prefix, chosen and rejected
        .init(
            heads: 4, kvHeads: 4, headDim: 32,
            segments: [
                segment(0..<50, own: 0..<50), segment(50..<67, ctx: 0..<50, own: 50..<67),
                segment(67..<100, ctx: 0..<50, own: 67..<100),
                segment(100..<120, own: 100..<120), segment(120..<121, ctx: 100..<120, own: 120..<121),
                segment(121..<130, ctx: 100..<120, own: 121..<130),
            ], qRows: 130, kRows: 130, pad: 2),
        // fewer own rows than queries: the first queries see the context alone, and without one nothing
        .init(headDim: 17, segments: [segment(0..<5, ctx: 0..<4, own: 4..<7), segment(5..<9, own: 0..<2)], qRows: 9, kRows: 7),
        .init(heads: 1, headDim: 128, segments: [segment(0..<20, ctx: 0..<180, own: 180..<200)], qRows: 20, kRows: 200),
    ]

    @Test("attention and its gradients are those written out in Double", arguments: everyAttentionISA, cases.indices)
    func valueAndGradient(isa: UInt32, index: Int) throws {
        let pool = try attentionPool(isa)
        let c = Self.cases[index]
        let amx = isa == HK_AMX_BF16.rawValue
        let x = amx ? c.inputs(seed: index).rounded : c.inputs(seed: index)
        let expected = c.reference(x)
        let f = try #require(c.forward(pool, x))
        // fp32 sums of up to 200 terms of size 1; a key too many or too few is over 1e-3. On AMX probabilities and their gradients are
        // rounded to bf16, 2^-9 of each, before the sums.
        func distance(_ a: [Float], _ b: [Double]) -> Double { amx ? relative(a, b) : deviation(a, b) }
        #expect(distance(f.out, expected.out) < (amx ? 2e-3 : 5e-6))
        for (a, b) in zip(f.lse, expected.lse) { #expect(a == Float(b) || abs(Double(a) - b) < 1e-5) }
        let g = try #require(c.backward(pool, x, f))
        #expect(distance(g.dq, expected.dq) < (amx ? 4e-3 : 1e-5))
        #expect(distance(g.dk, expected.dk) < (amx ? 4e-3 : 1e-5))
        #expect(distance(g.dv, expected.dv) < (amx ? 4e-3 : 1e-5))
    }

    @Test(
        "a prefix given as context has the same bits as the plain causal sequence", arguments: everyAttentionISA,
        [(157, 61, 40, 2), (150, 1, 32, 4), (700, 611, 64, 4), (70, 64, 128, 1)])
    func sharedPrefixIsPlain(isa: UInt32, shape: (Int, Int, Int, Int)) throws {
        let pool = try attentionPool(isa)
        let (T, prefix, d, kvHeads) = shape
        var plain = AttentionCase(
            heads: 4, kvHeads: kvHeads, headDim: d, segments: [segment(0..<T, own: 0..<T)], qRows: T, kRows: T)
        let x = plain.inputs(seed: T)
        let a = try #require(plain.forward(pool, x))
        let gradient = try #require(plain.backward(pool, x, a))
        plain.segments = [segment(0..<prefix, own: 0..<prefix), segment(prefix..<T, ctx: 0..<prefix, own: prefix..<T)]
        let b = try #require(plain.forward(pool, x))
        #expect(firstDifference(a.out, b.out) == nil)
        #expect(firstDifference(a.lse, b.lse) == nil)
        let split = try #require(plain.backward(pool, x, b))
        #expect(firstDifference(gradient.dq, split.dq) == nil)
        if isa == HK_AMX_BF16.rawValue {
            // Thirty-two queries are summed at a time, from the segment's first: the split moves the borders.
            #expect(relative(split.dk, gradient.dk.map(Double.init)) < 1e-6)
            #expect(relative(split.dv, gradient.dv.map(Double.init)) < 1e-6)
        } else if kvHeads == 4 {
            // One query head for every kv head: the queries add to dk and dv in the order of their rows either way.
            #expect(firstDifference(gradient.dk, split.dk) == nil && firstDifference(gradient.dv, split.dv) == nil)
        } else {
            // The heads of a group take turns segment by segment instead of once: other roundings of a sum of up to 628 terms.
            #expect(deviation(split.dk, gradient.dk.map(Double.init)) < 1e-6)
            #expect(deviation(split.dv, gradient.dv.map(Double.init)) < 1e-6)
        }
        // decode: the last row alone
        plain.segments = [segment((T - 1)..<T, ctx: 0..<prefix, own: prefix..<T)]
        let last = try #require(plain.forward(pool, x))
        #expect(firstDifference(Array(last.out[((T - 1) * plain.ldq)...]), Array(a.out[((T - 1) * plain.ldq)...])) == nil)
    }

    @Test("branches behind one prefix have the bits that each has alone", arguments: everyAttentionISA, [17, 64, 128])
    func branchesTogether(isa: UInt32, d: Int) throws {
        let pool = try attentionPool(isa)
        // Decoding: a query each for six branches of one prefix, then two of another; and branches of several rows.
        var segments = (0..<6).map { segment($0..<($0 + 1), ctx: 0..<90, own: (100 + 10 * $0)..<(103 + 11 * $0)) }
        segments += (6..<8).map { segment($0..<($0 + 1), ctx: 200..<230, own: (300 + $0)..<(309 + $0)) }
        segments += [segment(8..<20, ctx: 0..<90, own: 320..<332), segment(20..<25, ctx: 0..<90, own: 332..<337)]
        var c = AttentionCase(heads: 4, kvHeads: 2, headDim: d, segments: segments, qRows: 25, kRows: 340)
        let x = c.inputs(seed: d)
        let together = try #require(c.forward(pool, x))
        for s in segments {
            c.segments = [s]
            let alone = try #require(c.forward(pool, x))
            let rows = s.q_start..<(s.q_start + s.q_count)
            #expect(
                firstDifference(
                    Array(alone.out[(rows.lowerBound * c.ldq)..<(rows.upperBound * c.ldq)]),
                    Array(together.out[(rows.lowerBound * c.ldq)..<(rows.upperBound * c.ldq)])) == nil)
            #expect(
                firstDifference(
                    Array(alone.lse[(rows.lowerBound * 4)..<(rows.upperBound * 4)]),
                    Array(together.lse[(rows.lowerBound * 4)..<(rows.upperBound * 4)])) == nil)
        }
    }

    @Test(
        "few rows have the bits they have among many, several heads taken together", arguments: everyAttentionISA,
        [(33, 3, 3), (64, 3, 3), (128, 3, 3), (208, 10, 5), (64, 18, 9)])
    func fewRows(isa: UInt32, shape: (Int, Int, Int)) throws {
        let (d, heads, kvHeads) = shape
        let pool = try attentionPool(isa)
        // A context that ends within a step of keys, scores far from zero, and rows on both sides of the border of a block.
        let T = 150
        var c = AttentionCase(
            heads: heads, kvHeads: kvHeads, headDim: d, segments: [segment(0..<T, own: 0..<T)], qRows: T, kRows: T, pad: 5,
            scale: 9)
        let x = c.inputs(seed: 77 + d)
        let all = try #require(c.forward(pool, x))
        for (first, count) in [(0, 1), (1, 4), (62, 4), (63, 5), (70, 8), (80, 9), (100, 3), (149, 1)] {
            for context in [0, first / 2, first] {
                let rows = first..<(first + count)
                c.segments = [segment(rows, ctx: 0..<context, own: context..<(first + count))]
                let few = try #require(c.forward(pool, x))
                let out = (rows.lowerBound * c.ldq)..<(rows.upperBound * c.ldq - c.pad)
                #expect(firstDifference(Array(few.out[out]), Array(all.out[out])) == nil, "rows \(rows), context \(context)")
                let lse = (rows.lowerBound * heads)..<(rows.upperBound * heads)
                #expect(firstDifference(Array(few.lse[lse]), Array(all.lse[lse])) == nil)
            }
        }
    }

    @Test(
        "keys and values in fp16 and bf16 give the bits of the same numbers in fp32", arguments: everyAttentionISA,
        [HK_F16.rawValue, HK_BF16.rawValue])
    func halves(isa: UInt32, code: UInt32) throws {
        let pool = try attentionPool(isa)
        let dtype = hk_dtype(rawValue: code)
        // What attention rounds in any case may be rounded before.
        let rounded = hk_cache_dtype(pool.raw) == dtype
        #expect(rounded == (isa == HK_AMX_BF16.rawValue && dtype == HK_BF16))
        for c in Self.cases {
            var raw = c.inputs(seed: 5)
            // Subnormal against large ones, which AMX takes for zero: 0.3 of a score otherwise.
            for row in 0..<c.kRows {
                for kv in 0..<c.kvHeads { raw.k[row * c.ldk + kv * c.headDim] = Float(bitPattern: 0x7f_0000) }
            }
            for row in 0..<c.qRows { for h in 0..<c.heads { raw.q[row * c.ldq + h * c.headDim] = 3e37 } }
            let (k, kHalves) = stored(raw.k, dtype)
            let (v, vHalves) = stored(raw.v, dtype)
            let x = AttentionCase.Inputs(q: raw.q, k: rounded ? raw.k : k, v: rounded ? raw.v : v, dout: raw.dout)
            let wide = try #require(c.forward(pool, x))
            let out = Guarded(zeros: c.qRows * c.ldq)
            let status = hk_attention_forward(
                pool.raw, c.segments, c.segments.count, c.heads, c.kvHeads, c.headDim, c.scale, x.q, c.ldq, kHalves.pointer,
                c.ldk,
                vHalves.pointer, c.ldk, dtype, out.pointer, c.ldq, nil)
            #expect(status == 0 && out.intact && firstDifference(out.values, wide.out) == nil)
        }
    }

    @Test(
        "rows of a cache that no query sees may hold anything", arguments: everyAttentionISA,
        [HK_F32.rawValue, HK_F16.rawValue, HK_BF16.rawValue])
    func unseenRows(isa: UInt32, code: UInt32) throws {
        let pool = try attentionPool(isa)
        let dtype = hk_dtype(rawValue: code)
        for keys in [1, 31, 33, 36, 64] {
            let rows = min(keys, 3)
            let c = AttentionCase(
                heads: 2, kvHeads: 1, headDim: 64, segments: [segment(0..<rows, own: 0..<keys)], qRows: rows, kRows: keys + 40,
                pad: 0,
                scale: 0.3)
            var x = c.inputs(seed: 9)
            var found: [[Float]] = []
            for unseen in [0, Float.nan] {
                for i in (keys * c.ldk)..<(c.kRows * c.ldk) { (x.k[i], x.v[i]) = (unseen, unseen) }
                let (k, v) = (stored(x.k, dtype).bytes, stored(x.v, dtype).bytes)
                let out = Guarded(zeros: c.qRows * c.ldq)
                let status = hk_attention_forward(
                    pool.raw, c.segments, c.segments.count, c.heads, c.kvHeads, c.headDim, c.scale, x.q, c.ldq, k.pointer, c.ldk,
                    v.pointer, c.ldk, dtype, out.pointer, c.ldq, nil)
                #expect(status == 0 && out.intact)
                found.append(out.values)
            }
            #expect(firstDifference(found[0], found[1]) == nil && found[0].contains { $0 != 0 }, "\(keys) keys")
        }
    }

    @Test("a cache in int8 gives the bits of the numbers it holds in fp32", arguments: everyAttentionISA)
    func cache8(isa: UInt32) throws {
        let pool = try attentionPool(isa)
        var taken = 0
        for c in Self.cases where c.headDim % 16 == 0 && c.kvHeads * c.headDim % 32 == 0 {
            var c = c
            c.pad = 0
            let raw = c.inputs(seed: 6)
            let k = try #require(Cached(pool, raw.k, columns: c.ldk))
            let v = try #require(Cached(pool, raw.v, columns: c.ldk))
            // Half a step of the largest of 32 numbers of size 1, and the scale's own rounding.
            #expect(zip(k.values, raw.k).allSatisfy { abs($0 - $1) <= 1 / 254 + 1e-3 })
            let wide = try #require(c.forward(pool, AttentionCase.Inputs(q: raw.q, k: k.values, v: v.values, dout: raw.dout)))
            let out = Guarded(zeros: c.qRows * c.ldq)
            let status = hk_attention_forward(
                pool.raw, c.segments, c.segments.count, c.heads, c.kvHeads, c.headDim, c.scale, raw.q, c.ldq, k.bytes.pointer,
                k.rowBytes, v.bytes.pointer, k.rowBytes, HK_CACHE8, out.pointer, c.ldq, nil)
            #expect(status == 0 && out.intact && k.bytes.intact && firstDifference(out.values, wide.out) == nil)
            taken += 1
        }
        #expect(taken >= 4)
    }

    @Test("one thread and several give the same bits", arguments: everyAttentionISA)
    func threadsDoNotShow(isa: UInt32) throws {
        let one = try attentionPool(isa, threads: 1)
        let many = try attentionPool(isa, threads: 4)
        let segments = (0..<40).flatMap { i -> [hk_segment] in
            let r = i * 50
            return [
                segment(r..<(r + 20), own: r..<(r + 20)),
                segment((r + 20)..<(r + 37), ctx: r..<(r + 20), own: (r + 20)..<(r + 37)),
                segment((r + 37)..<(r + 50), ctx: r..<(r + 20), own: (r + 37)..<(r + 50)),
            ]
        }
        let c = AttentionCase(heads: 4, kvHeads: 2, headDim: 32, segments: segments, qRows: 2000, kRows: 2000)
        let x = c.inputs(seed: 9)
        let a = try #require(c.forward(one, x))
        let b = try #require(c.forward(many, x))
        #expect(firstDifference(a.out, b.out) == nil && firstDifference(a.lse, b.lse) == nil)
        let g = try #require(c.backward(one, x, a))
        let h = try #require(c.backward(many, x, b))
        #expect(firstDifference(g.dq, h.dq) == nil && firstDifference(g.dk, h.dk) == nil && firstDifference(g.dv, h.dv) == nil)
        // How many heads few rows take together depends on the threads: four, four and one.
        let rows = (0..<3).map { segment(($0 * 3)..<($0 * 3 + $0 + 1), own: ($0 * 90)..<($0 * 90 + 90)) }
        let few = AttentionCase(heads: 18, kvHeads: 9, headDim: 64, segments: rows, qRows: 9, kRows: 270)
        let y = few.inputs(seed: 10)
        let expected = try #require(few.forward(one, y))
        for threads: Int32 in [2, 9] {
            let pool = try attentionPool(isa, threads: threads)
            let found = try #require(few.forward(pool, y))
            #expect(firstDifference(found.out, expected.out) == nil && firstDifference(found.lse, expected.lse) == nil)
        }
    }

    @Test("large scores do not overflow")
    func largeScores() throws {
        let pool = try Pool(HK_AUTO.rawValue)
        let c = AttentionCase(heads: 1, headDim: 8, segments: [segment(0..<20, own: 0..<20)], qRows: 20, kRows: 20, scale: 1e4)
        let x = c.inputs(seed: 3)
        let f = try #require(c.forward(pool, x))
        // Scores up to 8e4 carry an fp32 error of 5e-3, which the softmax passes on.
        #expect(deviation(f.out, c.reference(x).out) < 2e-2)
        let g = try #require(c.backward(pool, x, f))
        #expect((g.dq + g.dk + g.dv).allSatisfy { $0.isFinite })
    }
}
