// Foundation has a public name for canonical decomposition; the standard library has only this one, which Foundation itself uses.
@_spi(_Unicode) import Swift

/// What BERT's uncased tokenizer does with text before it looks for pieces: transformers 4.31, models/bert/tokenization_bert.py,
/// BasicTokenizer. Its NFC step is left out: decomposition follows, and it undoes composition.
package enum BertText {
    /// Control characters dropped, white space as single spaces' characters, ideographs between spaces, lower case, no accents.
    package static func normalized(_ bytes: some Collection<UInt8>) -> [UInt8] {
        var text = String.UnicodeScalarView()
        for scalar in String(decoding: bytes, as: UTF8.self).unicodeScalars {
            if isSpace(scalar) {
                text.append(" ")
            } else if isDropped(scalar) {
                continue
            } else if isIdeograph(scalar) {
                text.append(contentsOf: [" ", scalar, " "])
            } else {
                // One at a time, as upstream does: no final sigma.
                text.append(contentsOf: scalar.properties.lowercaseMapping.unicodeScalars)
            }
        }
        return withoutAccents(text, capacity: bytes.count)
    }

    /// Canonically decomposed, and non-spacing marks dropped. Scalar by scalar: the standard library sorts the marks behind a letter by
    /// insertion, so that a text of a hundred thousand would take half a minute.
    private static func withoutAccents(_ text: String.UnicodeScalarView, capacity: Int) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(capacity)
        var marks: [Unicode.Scalar] = []
        func append(_ scalar: Unicode.Scalar) {
            let order = scalar.properties.canonicalCombiningClass
            if order == .notReordered, !marks.isEmpty {
                // Swift's sort is stable: marks of one class stay in their order.
                marks.sort { $0.properties.canonicalCombiningClass < $1.properties.canonicalCombiningClass }
                for mark in marks { result.append(contentsOf: mark.utf8) }
                marks = []
            }
            if scalar.properties.generalCategory == .nonspacingMark { return }
            if order == .notReordered { result.append(contentsOf: scalar.utf8) } else { marks.append(scalar) }
        }
        for scalar in text {
            if scalar.isASCII {
                append(scalar)
            } else {
                for part in String(scalar)._nfd { append(part) }
            }
        }
        append(" ")  // for the marks at the end
        result.removeLast()
        return result
    }

    /// Words of normalised text: apart at white space, each punctuation character alone. Every word with its scalars' starts.
    static func words(_ text: [UInt8], _ range: Range<Int>) -> [Word] {
        var words: [Word] = []
        var word = Word()
        func close() {
            if !word.bytes.isEmpty { words.append(word) }
            word = Word()
        }
        for scalar in String(decoding: text[range], as: UTF8.self).unicodeScalars {
            if isSpace(scalar) {
                close()
            } else if isPunctuation(scalar) {
                close()
                word.append(scalar)
                close()
            } else {
                word.append(scalar)
            }
        }
        close()
        return words
    }

    struct Word {
        private(set) var bytes: [UInt8] = []
        /// Where each scalar begins.
        private(set) var starts: [Int] = []

        mutating func append(_ scalar: Unicode.Scalar) {
            starts.append(bytes.count)
            bytes.append(contentsOf: scalar.utf8)
        }
    }

    // MARK: classes of characters

    /// Tab and line ends are control characters to Unicode; upstream's split takes the two separators along with Zs.
    private static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case " ", "\t", "\n", "\r": true
        case "\u{0}"..."\u{7F}": false
        default:
            switch scalar.properties.generalCategory {
            case .spaceSeparator, .lineSeparator, .paragraphSeparator: true
            default: false
            }
        }
    }

    private static func isDropped(_ scalar: Unicode.Scalar) -> Bool {
        if scalar == "\u{FFFD}" { return true }
        switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned: return true
        default: return false
        }
    }

    private static func isPunctuation(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 33...47, 58...64, 91...96, 123...126: true  // the symbols of ASCII too
        case 0...127: false
        default:
            switch scalar.properties.generalCategory {
            case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
                .finalPunctuation, .otherPunctuation:
                true
            default: false
            }
        }
    }

    private static func isIdeograph(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x4E00...0x9FFF, 0x3400...0x4DBF, 0x20000...0x2A6DF, 0x2A700...0x2B73F, 0x2B740...0x2B81F, 0x2B820...0x2CEAF,
            0xF900...0xFAFF, 0x2F800...0x2FA1F:
            true
        default: false
        }
    }
}
