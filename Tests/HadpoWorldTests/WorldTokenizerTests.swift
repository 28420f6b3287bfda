import HadpoBase
import HadpoText
import HadpoWorld
import Testing

private func tokenizer() throws -> LlamaTokenizer {
    let checkpoint = WorldCheckpoint()
    var settings = LlamaTokenizer.Settings()
    settings.pad = "<pad>"
    settings.legacy = false
    settings.added = [
        AddedToken("<image>", id: Int32(checkpoint.imageTokenID)),
        AddedToken("<pad>", id: Int32(checkpoint.padTokenID)),
    ]
    return try LlamaTokenizer(SentencePieceModel(checkpoint.tokenizer.model(), source: "world"), settings: settings)
}

/// Words and marks of a text: "user's." is user, ', s, and the dot.
private func parts(_ text: String) -> [String] {
    text.split(separator: " ").flatMap { word -> [String] in
        let letters = word.prefix(while: \.isLetter)
        return ["\u{2581}" + letters] + word.dropFirst(letters.count).map { String($0) }
    }
}

@Test("every word of the world and of LLaVA's prompts is one token, and every mark another")
func wordsAreTokens() throws {
    let tokenizer = try tokenizer()
    for text in WorldLanguage.allSentences + WorldTokenizer.promptTexts {
        let ids = tokenizer.encode(text, addBOS: false)
        #expect(ids == parts(text).compactMap { tokenizer.id(ofPiece: $0) }, "\(text)")
        #expect(tokenizer.decode(ids, skipSpecial: false) == text)
    }
}

@Test("the vocabulary has LLaVA's layout: unk, s, /s, 256 bytes, then fewer than 700 pieces of which none occurs twice")
func layoutOfVocabulary() {
    let pieces = WorldTokenizer().pieces
    #expect(pieces.prefix(3).map(\.text) == ["<unk>", "<s>", "</s>"])
    #expect(pieces[3].text == "<0x00>" && pieces[13].text == "<0x0A>" && pieces[258].text == "<0xFF>")
    #expect(pieces.count < 259 + 700)
    #expect(Set(pieces.map(\.text)).count == pieces.count)
    #expect(WorldCheckpoint().imageTokenID == pieces.count && WorldCheckpoint().padTokenID == pieces.count + 1)
    #expect(WorldCheckpoint().embeddingRows.isMultiple(of: 8) && WorldCheckpoint().embeddingRows >= pieces.count + 2)
}

@Test("the whole of LLaVA's prompt is about sixty tokens, the word behind the newline included")
func fullPrompt() throws {
    let tokenizer = try tokenizer()
    let imageToken = Int32(WorldCheckpoint().imageTokenID)
    let system = WorldTokenizer.promptTexts[1].replacing("USER: ASSISTANT:", with: "")
    for request in WorldLanguage.descriptionRequests + [WorldLanguage.question(.umbrella)] {
        let ids = tokenizer.encode(system + "USER: <image>\n" + request + " ASSISTANT:", addBOS: true)
        #expect(ids.first == 1 && ids.count(where: { $0 == imageToken }) == 1)
        let first = request.prefix(while: \.isLetter)
        let newline = try #require(ids.firstIndex(of: 13))
        // Behind a newline no space joins the word: it has pieces of its own.
        #expect(tokenizer.id(ofPiece: String(first)) == ids[newline + 1])
        #expect(ids.count < 62, "\(ids.count)")
    }
}

@Test("what nobody ever says in this world still has tokens: letters, then bytes")
func unknownText() throws {
    let tokenizer = try tokenizer()
    for text in ["The zebra, 7 of them!", "thermos", "Türme 😀", "There there"] {
        let ids = tokenizer.encode(text, addBOS: false)
        #expect(!ids.contains(0))
        #expect(tokenizer.decode(ids, skipSpecial: false) == text)
    }
}
