import CHadpoKernels
import Glibc
import Testing

@Suite struct LossTests {
    static func logprob(_ row: [Double], _ id: Int) -> Double {
        let peak = row.max() ?? 0
        return row[id] - peak - log(row.reduce(0) { $0 + exp($1 - peak) })
    }

    @Test("log-probabilities of tokens and their gradients are the mathematical ones", arguments: everyISA)
    func logprobs(isa: UInt32) throws {
        let pool = try Pool(isa)
        for (R, V, pad) in [(1, 1, 0), (3, 17, 2), (5, 129, 0), (40, 1003, 1)] {
            var numbers = Numbers(V)
            let ld = V + pad
            let x = numbers.floats(R * ld, scale: 15)
            let dlogp = numbers.floats(R)
            let ids = (0..<R).map { _ in Int32(numbers.below(V)) }
            let logp = Guarded(unwritten: R)
            let lse = Guarded(unwritten: R)
            let logits = Guarded(x)
            #expect(hk_logprob_forward(pool.raw, R, V, x, ld, ids, logp.pointer, lse.pointer) == 0)
            let rows = (0..<R).map { r in x[(r * ld)..<(r * ld + V)].map(Double.init) }
            // Sums are in double; what remains is exp's 2 ulp, mostly averaged out, and the result's own rounding.
            #expect(deviation(logp.values, (0..<R).map { Self.logprob(rows[$0], Int(ids[$0])) }) < 2e-7)
            #expect(hk_logprob_backward(pool.raw, R, V, logits.pointer, ld, ids, lse.pointer, dlogp) == 0)
            let result = logits.values
            for r in 0..<R {
                #expect((V..<ld).allSatisfy { result[r * ld + $0] == x[r * ld + $0] })
                if r < 5 && V < 200 {
                    let exact = centralDifference(rows[r]) { Self.logprob($0, Int(ids[r])) * Double(dlogp[r]) }
                    #expect(deviation(Array(result[(r * ld)..<(r * ld + V)]), exact) < 2e-6)  // lse in fp32: 1 ulp of about 15
                }
                let total = result[(r * ld)..<(r * ld + V)].reduce(0.0) { $0 + Double($1) }
                #expect(abs(total) < 3e-6)  // a softmax gradient sums to zero
            }
            #expect(logp.intact && lse.intact && logits.intact)
        }
    }

    @Test("AdamW follows the formula of torch.optim over several steps", arguments: everyISA)
    func adamw(isa: UInt32) throws {
        let pool = try Pool(isa)
        for n in [1, 33, 50_001] {
            var numbers = Numbers(n)
            let start = numbers.floats(n)
            let p = Guarded(start)
            let m = Guarded(zeros: n)
            let v = Guarded(zeros: n)
            var pd = start.map(Double.init)
            var md = [Double](repeating: 0, count: n)
            var vd = md
            let (lr, b1, b2, eps, decay, scale) = (1e-2, 0.9, 0.999, 1e-8, 0.1, 0.25)
            for t in 1...4 {
                let g = numbers.floats(n)
                #expect(
                    hk_adamw(pool.raw, n, p.pointer, g, m.pointer, v.pointer, Float(scale), lr, b1, b2, eps, decay, UInt64(t))
                        == 0)
                for i in 0..<n {
                    let grad = Double(g[i]) * scale
                    pd[i] *= 1 - lr * decay
                    md[i] = b1 * md[i] + (1 - b1) * grad
                    vd[i] = b2 * vd[i] + (1 - b2) * grad * grad
                    pd[i] -=
                        lr / (1 - pow(b1, Double(t))) * md[i] / (vd[i].squareRoot() / (1 - pow(b2, Double(t))).squareRoot() + eps)
                }
            }
            // A step is at most about lr; its relative error is a few ulp, and p is rounded once per step.
            #expect(deviation(p.values, pd) < 5e-7)
            #expect(deviation(m.values, md) < 1e-7 && deviation(v.values, vd) < 1e-7)
            #expect(p.intact && m.intact && v.intact)
        }
    }
}
