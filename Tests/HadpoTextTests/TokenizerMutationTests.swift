import HadpoBase
import HadpoText
import Testing

/// Files changed at random places must give a tokenizer or an error, never a trap; a tokenizer must still give ids inside its
/// vocabulary. The generator is seeded, so a failure is found again.
@Suite("Mutated tokenizer files")
struct TokenizerMutationTests {
    static func mutated(_ bytes: [UInt8], _ random: inout Philox) -> [UInt8] {
        var bytes = bytes
        for _ in 0...random.below(4) where !bytes.isEmpty {
            let at = random.below(bytes.count)
            switch random.below(6) {
            case 0: bytes[at] = UInt8(random.below(256))
            case 1: bytes[at] ^= 1 << UInt8(random.below(8))
            case 2: bytes.removeSubrange(at..<min(bytes.count, at + 1 + random.below(8)))
            case 3: bytes.insert(contentsOf: bytes[at..<min(bytes.count, at + 1 + random.below(24))], at: at)
            case 4: bytes.replaceSubrange(at..<at + 1, with: [0xFF, 0xFF, 0xFF, 0xFF, 0x7F])
            default: bytes.removeLast(random.below(min(bytes.count, 64)))
            }
        }
        return bytes
    }

    static let text = "<s>A dog\n  and a<0x0A> caf\u{E9} </s> <image> \u{4E2D}\u{1F600}<unk>abcd abc <obj>x"

    static func check(_ tokenizer: any Tokenizer) {
        let ids = tokenizer.encode(text, addBOS: true)
        #expect(ids.allSatisfy { $0 >= 0 && Int($0) < tokenizer.vocabularyCount })
        _ = tokenizer.decode(ids + ids.reversed(), skipSpecial: false)
        _ = tokenizer.decode(0..<64, skipSpecial: true)
    }

    @Test("tokenizer.model: 3000 mutations", arguments: ["llama", "options"])
    func model(_ name: String) throws {
        let sound = try File.read(Files.fixture("\(name)/tokenizer.model"))
        var random = Philox(seed: 11)
        var (read, refused) = (0, 0)
        for _ in 0..<3000 {
            do {
                Self.check(try LlamaTokenizer(try SentencePieceModel(Self.mutated(sound, &random), source: "m")))
                read += 1
            } catch {
                refused += 1
            }
        }
        #expect(read > 20 && refused > 20, "\(read) read, \(refused) refused: the mutations reach both sides")
    }

    @Test("tokenizer.json: 1500 mutations", arguments: ["fast-legacy", "fast-strings"])
    func json(_ name: String) throws {
        let sound = try File.read(Files.fixture("\(name)/tokenizer.json"))
        var random = Philox(seed: 12)
        var (read, refused) = (0, 0)
        for _ in 0..<1500 {
            do {
                Self.check(try FastLlamaTokenizer(try JSON.parse(Self.mutated(sound, &random), source: "t"), source: "t"))
                read += 1
            } catch {
                refused += 1
            }
        }
        #expect(read > 20 && refused > 20, "\(read) read, \(refused) refused: the mutations reach both sides")
    }

    /// Scalars deleted and doubled in the values of a file that stays JSON: further in than byte mutations reach.
    @Test("configuration files: mutated values")
    func configuration() throws {
        let model = try SentencePieceModel(try File.read(Files.fixture("llama/tokenizer.model")), source: "m")
        var random = Philox(seed: 13)
        for _ in 0..<500 {
            var settings = LlamaTokenizer.Settings()
            let texts = ["<s>", "</s>", "", "dog", " ", "\u{2581}", "<0x0A>", "[PAD]", String(repeating: "x", count: 5000)]
            func text() -> String { texts[random.below(texts.count)] }
            (settings.bos, settings.eos, settings.unk, settings.pad) = (text(), text(), text(), text())
            (settings.legacy, settings.addsEOS) = (random.below(2) == 0, random.below(2) == 0)
            settings.rule = random.below(2) == 0 ? .v431 : .v457
            for _ in 0..<random.below(4) {
                let ids: [Int32] = [-1, 0, 1, 465, 466, 9000, .max, .min]
                settings.added.append(
                    AddedToken(
                        text(), id: ids[random.below(ids.count)], stripsLeft: random.below(2) == 0,
                        stripsRight: random.below(2) == 0,
                        special: random.below(2) == 0))
            }
            do { Self.check(try LlamaTokenizer(model, settings: settings)) } catch {}
        }
    }
}
