import CHadpoKernels
import Glibc
import Testing

/// Deterministic numbers: SplitMix64.
struct Numbers {
    var state: UInt64
    init(_ seed: Int) { state = UInt64(bitPattern: Int64(seed)) &* 0x9E37_79B9_7F4A_7C15 &+ 1 }
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
    /// Uniform in -1..<1.
    mutating func unit() -> Float { Float(Int32(truncatingIfNeeded: next() >> 32)) * 0x1p-31 }
    mutating func below(_ n: Int) -> Int { Int(next() % UInt64(n)) }
    mutating func floats(_ n: Int, scale: Float = 1) -> [Float] { (0..<n).map { _ in unit() * scale } }
}

/// Memory with guard words on both sides, so that a write past an output is seen.
final class Guarded<Element: BitwiseCopyable> {
    static var margin: Int { 64 }
    let count: Int
    let bytes: UnsafeMutableRawBufferPointer
    init(_ values: [Element]) {
        count = values.count
        bytes = .allocate(byteCount: count * MemoryLayout<Element>.stride + 2 * Self.margin, alignment: 64)
        for i in bytes.indices { bytes[i] = 0xA5 }
        values.withUnsafeBytes { source in
            UnsafeMutableRawBufferPointer(rebasing: bytes[Self.margin..<(bytes.count - Self.margin)]).copyMemory(from: source)
        }
    }
    deinit { bytes.deallocate() }
    var pointer: UnsafeMutablePointer<Element> {
        UnsafeMutableRawBufferPointer(rebasing: bytes[Self.margin...]).assumingMemoryBound(to: Element.self).baseAddress
            .unsafelyUnwrapped
    }
    var values: [Element] { (0..<count).map { pointer[$0] } }
    var intact: Bool {
        (0..<Self.margin).allSatisfy { bytes[$0] == 0xA5 && bytes[bytes.count - 1 - $0] == 0xA5 }
    }
}
extension Guarded where Element == Float {
    convenience init(zeros n: Int) { self.init([Float](repeating: 0, count: n)) }
    /// NaN where nothing is written: an output that is not overwritten entirely shows.
    convenience init(unwritten n: Int) { self.init([Float](repeating: .nan, count: n)) }
}

/// The instruction sets this library has, for `arguments:`.
let everyISA: [UInt32] = [HK_PORTABLE.rawValue, HK_AVX2.rawValue, HK_AVX512.rawValue]
let everyMatmulISA: [UInt32] = everyISA + [HK_AVX512_BF16.rawValue, HK_AMX_BF16.rawValue]

/// A pool with the instruction set forced. Where this processor lacks it the test case is cancelled, which counts as skipped.
final class Pool {
    let raw: OpaquePointer
    init(_ isa: UInt32, threads: Int32 = 2, fast: Bool = false) throws {
        var why: UnsafePointer<CChar>?
        guard let pool = hk_pool_create(threads, hk_isa(rawValue: isa), fast ? HK_FAST : HK_EXACT, &why) else {
            try Test.cancel("instruction set \(isa): \(why.map { String(cString: $0) } ?? "no reason given")")
        }
        raw = pool
    }
    deinit { hk_pool_free(raw) }
}

func roundedToBF16(_ x: Float) -> Float {
    let u = x.bitPattern
    return Float(bitPattern: (u &+ 0x7fff &+ ((u >> 16) & 1)) & 0xffff_0000)
}

/// The values as the given type stores them, and its bytes.
func stored(_ values: [Float], _ dtype: hk_dtype) -> (values: [Float], bytes: Guarded<UInt16>) {
    switch dtype {
    case HK_F16:
        let halves = values.map { Float16($0) }
        return (halves.map { Float($0) }, Guarded(halves.map(\.bitPattern)))
    case HK_BF16:
        let rounded = values.map(roundedToBF16)
        return (rounded, Guarded(rounded.map { UInt16($0.bitPattern >> 16) }))
    default:
        return (values, Guarded(values.flatMap { [UInt16(truncatingIfNeeded: $0.bitPattern), UInt16($0.bitPattern >> 16)] }))
    }
}

/// The largest |a - b| / (1 + |b|).
func deviation(_ a: [Float], _ b: [Double]) -> Double {
    guard a.count == b.count else { return .infinity }
    var worst = 0.0
    for (x, y) in zip(a, b) {
        let e = abs(Double(x) - y) / (1 + abs(y))
        if !(e <= worst) { worst = e.isNaN ? .infinity : e }
    }
    return worst
}
/// The first place where two arrays differ in their bits; -1 for different lengths. An
/// expectation on this prints a number, where one on the arrays would print and compare 200 000 elements.
func firstDifference(_ a: [Float], _ b: [Float]) -> Int? {
    a.count == b.count ? a.indices.first { a[$0].bitPattern != b[$0].bitPattern } : -1
}
func firstDifference(_ a: [UInt16], _ b: [UInt16]) -> Int? {
    a.count == b.count ? a.indices.first { a[$0] != b[$0] } : -1
}
/// Distance in units of the last place of the exact result.
func ulps(_ x: Float, _ exact: Double) -> Double {
    let y = Float(exact)
    if y.isInfinite || y == 0 { return x == y ? 0 : abs(Double(x) - exact) / Double(Float.leastNonzeroMagnitude) }
    return abs(Double(x) - exact) / Double(y.ulp)
}
/// d f / d x[i] of a scalar function in Double, by central differences.
func centralDifference(_ x: [Double], step: Double = 1e-5, _ f: ([Double]) -> Double) -> [Double] {
    x.indices.map { i in
        var up = x
        var down = x
        up[i] += step
        down[i] -= step
        return (f(up) - f(down)) / (2 * step)
    }
}
