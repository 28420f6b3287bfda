import HadpoBase

/// The texts of HA-DPO's sentence-level evaluation, byte for byte: sentences, region lines, the judge's prompt.
package enum SHRText {
    /// A description cut at every full stop, whatever it stands for, each sentence with the stop again. A sentence that an earlier
    /// one contains is left out.
    package static func sentences(_ description: String) -> [String] {
        let pieces = description.pythonSplit(".").map(\.pythonStripped).filter { !$0.isEmpty }
        // What stands inside a sentence that was itself left out stands inside an earlier one that was kept.
        return zip(pieces, FirstOccurrences.of(pieces)).filter(\.1).map { $0.0 + "." }
    }

    /// The same sentences numbered for the prompt, without their stops.
    package static func numbered(_ sentences: [String], from first: Int = 1) -> String {
        sentences.enumerated().map { "\($0.offset + first). \(String($0.element.unicodeScalars.dropLast()))\n" }.joined()
    }

    /// Words as upstream counts them: parts between single spaces.
    package static func wordCount(_ sentence: String) -> Int { sentence.pythonSplit(" ").count }

    /// One region in the prompt: corners as parts of the picture with two decimals, then written as a Python list of floats.
    package static func regionLine(_ region: SHRRegion, width: Double, height: Double) -> String {
        let corners = [
            region.x / width, region.y / height, (region.x + region.width) / width, (region.y + region.height) / height,
        ]
        let numbers = corners.map { (Double(fixed($0, 2)) ?? $0).description }
        return "[\(numbers.joined(separator: ", "))]: \(region.phrase)\n"
    }

    /// Distinct n-grams over n-grams, after five marks are deleted; nil with fewer than n words, where upstream divides by zero.
    /// Upstream's files call this repetition, but more of it is less repetition.
    package static func distinctGrams(_ description: String, _ n: Int) -> Double? {
        let marks = Set<Unicode.Scalar>([".", ":", "\n", "?", ","])
        let words = String(String.UnicodeScalarView(description.unicodeScalars.filter { !marks.contains($0) })).pythonWords
            .map { Array($0.utf8) }
        guard n > 0, words.count >= n else { return nil }
        let grams = (0...(words.count - n)).map { Array(words[$0..<($0 + n)]) }
        return Double(Set(grams).count) / Double(grams.count)
    }

    /// An answer without the drafts that reasoning models write between <think> and </think>. A draft that nothing ends goes to the
    /// end of the text; one that nothing begins, because the prompt did, comes from its beginning. judge_reply.c does the same.
    package static func withoutDrafts(_ reply: String) -> String {
        let bytes = Array(reply.utf8)
        var kept: [UInt8] = []
        var depth = 0
        var at = 0
        while at < bytes.count {
            guard let tag = draftTag(bytes[at...]) else {
                if depth == 0 { kept.append(bytes[at]) }
                at += 1
                continue
            }
            if tag.closes, depth == 0 { kept = [] }
            depth = tag.closes ? max(0, depth - 1) : depth + 1
            at += tag.count
        }
        return String(decoding: kept, as: UTF8.self)
    }

    private static let draftNames = ["think", "thinking", "thought", "reasoning"].map { Array($0.utf8) }

    /// <think>, </think>, [THINK] and the like.
    private static func draftTag(_ bytes: ArraySlice<UInt8>) -> (closes: Bool, count: Int)? {
        guard let first = bytes.first, first == UInt8(ascii: "<") || first == UInt8(ascii: "[") else { return nil }
        let inner = bytes.dropFirst()
        let closes = inner.first == UInt8(ascii: "/")
        let name = closes ? inner.dropFirst() : inner
        let end = first == UInt8(ascii: "<") ? UInt8(ascii: ">") : UInt8(ascii: "]")
        for known in draftNames where name.prefix(known.count).elementsEqual(known, by: { $0 | 0x20 == $1 }) {
            if name.dropFirst(known.count).first == end { return (closes, (closes ? 2 : 1) + known.count + 1) }
        }
        return nil
    }

    package static func prompt(regions: String, factual: String, sentences: String) -> String {
        template[0] + regions + template[1] + factual + template[2] + sentences + template[3]
    }

    /// What stands around the three slots of upstream's prompt, misspellings and trailing blanks included: its answers depend on
    /// every byte.
    package static let template = [
        """

        Please help me judge if the comment of this image is hallucination or correct.\u{20}
        I will give you a list of region description of a image. The format is [x1, y1, x2, y2]: region description, where \
        [x1, y1, x2, y2] is the bounding box of the region. Highly overlapping bounding boxes may refer to the same object. \
        This is the ground truth information of the image. Besides, I give you some factual information about the content of \
        the image (which is 100% accurate). Your judgement should base on this information. However, this information only \
        descibe the objects in the region of image, so it cannot descibe the subjective part of the image, e.g., atmosphere, \
        style, emotion. In that case, you can return "Cannot judge".
        Also, I will give you a list of comments of the image for you to judge if it is hallucination. Please give a judgement \
        one by one along with the reason.

        Your output should be:
        Judgement:
        1. hallucination or correct or cannot judge: <reason>
        2. ...

        Here are the region descriptions of the image:

        """, "\n\nFactual Information:\n",
        "\n\nHere is the comment for you to judge (hallucination, correct, or cannot judge): \n", "\n",
    ]
}
