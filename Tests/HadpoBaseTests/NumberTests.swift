import Glibc
import HadpoBase
import Testing

@Suite struct Hashing {
    @Test("SHA-256 gives NIST's example digests") func nist() {
        #expect(SHA256.hex([]) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        #expect(SHA256.hex(Array("abc".utf8)) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        let two = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"
        #expect(SHA256.hex(Array(two.utf8)) == "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1")
        let million = [UInt8](repeating: UInt8(ascii: "a"), count: 1_000_000)
        #expect(SHA256.hex(million) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
    }

    @Test("pieces of any length give the digest of the whole") func pieces() {
        let bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0) }
        var random = Philox(seed: 3)
        for _ in 0..<50 {
            var hash = SHA256()
            var rest = bytes[...]
            while !rest.isEmpty {
                let piece = rest.prefix(random.below(150))
                hash.update(Array(piece))
                rest = rest.dropFirst(piece.count)
            }
            #expect(hash.hexDigest() == SHA256.hex(bytes))
        }
    }
}

@Suite struct Decimals {
    @Test("fixed decimals are those of C's printf in the C locale") func printf() {
        var random = Philox(seed: 4)
        func expected(_ x: Double, _ digits: Int) -> String {
            var buffer = [CChar](repeating: 0, count: 512)
            _ = withVaList([Int32(digits), x]) { vsnprintf(&buffer, buffer.count, "%.*f", $0) }
            return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
        for x in [
            0, -0.0, 0.5, 1.5, 2.5, 0.125, 0.375, 0.05, 1e22, .leastNonzeroMagnitude, .greatestFiniteMagnitude, 51.13, 99.995,
            -0.0001,
        ] {
            for digits in [0, 1, 2, 3, 10, 20] { #expect(fixed(x, digits) == expected(x, digits)) }
        }
        for _ in 0..<3000 {
            let x = (random.uniform() - 0.5) * pow(10, Double(random.below(30) - 12))
            let digits = random.below(8)
            #expect(fixed(x, digits) == expected(x, digits))
        }
        #expect(fixed(.nan, 2) == "nan")
        #expect(fixed(-.infinity, 2) == "-inf")
    }
}

@Suite struct RandomNumbers {
    @Test("Philox4x32-10 gives the published known answers") func known() {
        let all = UInt32.max
        #expect(Philox.numbers(counter: [0, 0, 0, 0], key: [0, 0]) == [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8])
        #expect(
            Philox.numbers(counter: [all, all, all, all], key: [all, all]) == [
                0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd,
            ])
        #expect(
            Philox.numbers(counter: [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], key: [0xa409_3822, 0x299f_31d0])
                == [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1])
    }

    @Test("a saved position continues as if nothing had happened") func position() {
        var whole = Philox(seed: 7, stream: 3)
        let numbers = (0..<100).map { _ in whole.nextUInt32() }
        for cut in [0, 1, 2, 3, 4, 50, 99] {
            var resumed = Philox(seed: 7, stream: 3, position: UInt64(cut))
            #expect((cut..<100).map { _ in resumed.nextUInt32() } == Array(numbers[cut...]))
        }
        var other = Philox(seed: 7, stream: 4)
        #expect((0..<100).map { _ in other.nextUInt32() } != numbers)
    }

    @Test("uniform, normal, below and permutation have their distributions") func distributions() {
        var random = Philox(seed: 8)
        let n = 200_000
        // Standard errors: mean of uniform 0.00065, of normal 0.0022, variance of normal 0.0032; the bounds are five of them.
        let uniforms = (0..<n).map { _ in random.uniform() }
        #expect(uniforms.allSatisfy { $0 >= 0 && $0 < 1 })
        #expect(abs(uniforms.reduce(0, +) / Double(n) - 0.5) < 0.0033)
        let normals = (0..<n).map { _ in random.normal() }
        #expect(abs(normals.reduce(0, +) / Double(n)) < 0.011)
        #expect(abs(normals.reduce(0) { $0 + $1 * $1 } / Double(n) - 1) < 0.016)
        var counts = [Int](repeating: 0, count: 7)
        for _ in 0..<n { counts[random.below(7)] += 1 }
        // Standard deviation of a count: 156.
        #expect(counts.allSatisfy { abs($0 - n / 7) < 800 })
        #expect(random.permutation(50).sorted() == Array(0..<50))
        #expect(random.permutation(50) != random.permutation(50))
        #expect(random.below(0) == 0 && random.below(1) == 0 && random.below(-5) == 0)
        #expect(random.permutation(-1).isEmpty)
    }

    @Test("MT19937 draws what Python draws after random.seed(42)") func python() {
        var random = MT19937(seed: 42)
        let first: [UInt32] = [
            2_746_317_213, 478_163_327, 107_420_369, 3_184_935_163, 1_181_241_943, 1_051_802_512, 958_682_846, 599_310_825,
        ]
        #expect(first.map { _ in random.nextUInt32() } == first)
        func choices(_ n: Int) -> [Int] {
            var random = MT19937(seed: 42)
            return (0..<20).map { _ in random.below(n) }
        }
        #expect(choices(3) == [2, 0, 0, 2, 1, 0, 0, 0, 2, 0, 2, 2, 2, 0, 2, 1, 0, 0, 0, 0])
        #expect(choices(4) == [0, 0, 2, 1, 1, 1, 0, 0, 3, 0, 0, 0, 1, 1, 0, 1, 3, 1, 3, 2])
        random = MT19937(seed: 42)
        let triples = (0..<12).map { _ in [random.below(3), random.below(3), random.below(4)] }
        #expect(
            triples == [
                [2, 0, 0], [2, 1, 1], [0, 0, 0], [2, 2, 0], [2, 1, 0], [0, 0, 1], [0, 2, 0], [2, 0, 3], [0, 1, 2], [0, 0, 3],
                [1, 1, 1], [0, 1, 0],
            ])
    }

    @Test("random, getrandbits, shuffle, sample and randrange follow CPython 3.11") func derived() {
        var random = MT19937(seed: 42)
        #expect(
            (0..<4).map { _ in random.random() } == [
                0.6394267984578837, 0.025010755222666936, 0.27502931836911926, 0.22321073814882275,
            ])
        random = MT19937(seed: -7)
        #expect((0..<3).map { _ in random.getrandbits(32) } == [1_390_851_128, 4_071_050_724, 647_892_279])
        random = MT19937(seed: (1 << 40) + 3)
        #expect([1, 33, 64, 8].map { random.getrandbits($0) } == [0, 4_556_240_432, 1_745_281_645_305_492_056, 144])
        random = MT19937(seed: 5)
        var items = Array(0..<10)
        random.shuffle(&items)
        #expect(items == [2, 3, 1, 0, 8, 7, 6, 5, 4, 9])
        random = MT19937(seed: 6)
        #expect(random.sample(30, 5) == [25, 18, 26, 2, 15])
        #expect(random.sample(1000, 4) == [780, 267, 37, 0])
        #expect(random.sample(60, 12) == [9, 42, 37, 30, 48, 47, 23, 20, 49, 1, 17, 31])
        #expect(
            random.sample(2000, 20) == [
                1642, 405, 1494, 1786, 847, 1864, 1102, 1104, 1396, 192, 395, 1153, 1133, 1432, 1648, 1492, 543, 1357, 1645, 1249,
            ])
        #expect(random.below(1_000_000_000_000) == 97_434_296_155)
        #expect(
            random.sample(60, 40) == [
                54, 27, 21, 5, 23, 51, 26, 59, 16, 28, 44, 6, 12, 49, 40, 18, 48, 2, 37, 47, 55, 31, 45, 32, 36, 1, 39, 15, 58, 9,
                11, 46, 3, 42, 52, 57, 25, 43, 38, 19,
            ])
    }
}
