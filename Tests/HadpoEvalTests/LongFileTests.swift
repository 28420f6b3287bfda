import HadpoBase
import HadpoEval
import HadpoTestSupport
import Testing

/// Counts that a stranger's file may have. Each of these took a minute and more when the cost grew with the square of the count.
@Suite struct LongFiles {
    @Test("a thousand objects on a picture are built, four thousand have too many pairs to be written") func objects() throws {
        func scenes(_ count: Int) -> [PopeBuilder.Scene] {
            [count, count + 1].map { n in PopeBuilder.Scene(image: "\(n)", objects: (0..<n).map { "o\($0)" }) }
        }
        let error = #expect(throws: HadpoError.self) {
            try PopeBuilder(scenes: scenes(4000), imageCount: 2, perScene: 1, seed: 1)
        }
        #expect(error?.message == "too many objects stand together on pictures" && error?.status == .format)
        let builder = try PopeBuilder(scenes: scenes(1000), imageCount: 2, perScene: 1, seed: 1)
        #expect(builder.coOccurrence["o0"]?.arrayValue?.count == 1000)
    }

    @Test("companions stand by how often they accompany, then by first sight") func companions() throws {
        var random = MT19937(seed: 5)
        let scenes = (0..<40).map { i in
            PopeBuilder.Scene(image: "\(i)", objects: random.sample(12, 3 + random.below(6)).map { "o\($0)" })
        }
        let builder = try PopeBuilder(scenes: scenes, imageCount: 40, perScene: 3, seed: 1)
        for (object, written) in (builder.coOccurrence.objectValue ?? []).map({ ($0.key, $0.value) }) {
            var order: [String] = []
            var counts: [String: Int] = [:]
            for scene in builder.scenes where scene.objects.contains(object) {
                for other in scene.objects where other != object {
                    if counts[other] == nil { order.append(other) }
                    counts[other, default: 0] += 1
                }
            }
            let sorted = order.enumerated().sorted { a, b in
                (-(counts[a.element] ?? 0), a.offset) < (-(counts[b.element] ?? 0), b.offset)
            }
            #expect(written == JSON(sorted.map(\.element)))
        }
    }

    @Test("an object's name has a bound, because questions and companions repeat it") func longNames() throws {
        let folder = try TemporaryFolder()
        try File.writeAtomically(folder["a"], JSON.object([.init("1", [.string(String(repeating: "x", count: 257))])]).text())
        let error = #expect(throws: HadpoError.self) { try PopeScenes.read(folder["a"], format: .map) }
        #expect(error?.message == "a name is too long")
    }

    @Test("sentences inside earlier ones are left out as a search for each would") func sentences() {
        var random = MT19937(seed: 3)
        for _ in 0..<200 {
            let letters = (0..<60).map { _ in ["a", "b", ".", " ", "\u{E9}"][random.below(5)] }
            let text = letters.joined()
            var kept: [String] = []
            for piece in text.split(separator: ".", omittingEmptySubsequences: true) {
                let bytes = Array(piece.utf8)
                guard let start = bytes.firstIndex(where: { $0 != 0x20 }), let end = bytes.lastIndex(where: { $0 != 0x20 }) else {
                    continue
                }
                let sentence = Array(bytes[start...end])
                let isKnown = kept.contains { earlier in
                    let earlier = Array(earlier.utf8)
                    return earlier.indices.contains { earlier[$0...].starts(with: sentence) }
                }
                if !isKnown { kept.append(String(decoding: sentence, as: UTF8.self) + ".") }
            }
            #expect(SHRText.sentences(text) == kept, "\(text)")
        }
    }

    @Test("20,000 sentences, all different and all that begin alike") func manySentences() {
        #expect(SHRText.sentences((0..<20_000).map { "There is thing \($0)" }.joined(separator: ". ")).count > 15_000)
        let alike = (1...600).map { String(repeating: "a", count: $0) }.joined(separator: ".")
        #expect(SHRText.sentences(alike).count == 600)
    }

    @Test("the reasons of a verdict may have any number of lines") func reasons() throws {
        let reply = "Judgement:\n1. correct: yes\n" + String(repeating: "and so on\n", count: 200_000)
        let outcome = SHRVerdicts.corrected(reply, sentences: 1)
        let lines: [String]? = if case .judged(let verdicts) = outcome { verdicts.map(\.line) } else { nil }
        #expect(lines == ["correct: yes" + String(repeating: " and so on", count: 200_000)])
    }

    @Test("a word of apostrophes is put into the singular without a call for each") func apostrophes() {
        #expect(Singular.of("dogs'''") == "dog's's's")
        #expect(Singular.of(String(repeating: "'", count: 1_000_000)).utf8.count == 2_000_000)
    }

    @Test("a table row of flags ends where its text ends") func flags() {
        var table = TextTable(["", "x"])
        let flags = String(repeating: "\u{1F1E6}", count: 20_000)
        table.add([flags, ""])
        #expect(table.text.hasSuffix(flags + "\n"))
    }
}
