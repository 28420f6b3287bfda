/// One step through bytes that are meant to be UTF-8.
enum UTF8Step: Equatable {
    /// A well-formed scalar of this many bytes.
    case scalar(Int)
    /// The bytes end inside what could still become a scalar.
    case incomplete
    /// The first byte cannot begin, or does not continue as, a scalar.
    case invalid
}

/// What begins at `start`, by table 3-7 of the Unicode standard (no overlong forms, no surrogates, nothing past U+10FFFF).
func utf8Step(_ bytes: some RandomAccessCollection<UInt8>, at start: Int) -> UTF8Step {
    func byte(_ offset: Int) -> UInt8? {
        guard start &+ offset < bytes.count else { return nil }
        return bytes[bytes.index(bytes.startIndex, offsetBy: start &+ offset)]
    }
    guard let first = byte(0) else { return .incomplete }
    let length: Int
    var secondRange: ClosedRange<UInt8> = 0x80...0xBF
    switch first {
    case 0x00...0x7F: return .scalar(1)
    case 0xC2...0xDF: length = 2
    case 0xE0: (length, secondRange) = (3, 0xA0...0xBF)
    case 0xED: (length, secondRange) = (3, 0x80...0x9F)
    case 0xE1...0xEF: length = 3
    case 0xF0: (length, secondRange) = (4, 0x90...0xBF)
    case 0xF4: (length, secondRange) = (4, 0x80...0x8F)
    case 0xF1...0xF3: length = 4
    default: return .invalid
    }
    guard let second = byte(1) else { return .incomplete }
    guard secondRange.contains(second) else { return .invalid }
    for offset in 2..<max(length, 2) {
        guard let next = byte(offset) else { return .incomplete }
        guard (0x80...0xBF).contains(next) else { return .invalid }
    }
    return .scalar(length)
}

/// True when every byte belongs to a well-formed scalar.
func isValidUTF8(_ bytes: some RandomAccessCollection<UInt8>) -> Bool {
    var position = 0
    while position < bytes.count {
        guard case .scalar(let length) = utf8Step(bytes, at: position) else { return false }
        position &+= length
    }
    return true
}

/// U+2581, the visible space of SentencePiece, and U+FFFD, the replacement character.
let spaceSymbol: [UInt8] = [0xE2, 0x96, 0x81]
let replacementCharacter: [UInt8] = [0xEF, 0xBF, 0xBD]

/// `bytes` with each space as U+2581 (HF `Replace " " -> "▁"`).
func escapingSpaces(_ bytes: some Sequence<UInt8>) -> [UInt8] {
    var result: [UInt8] = []
    for byte in bytes {
        if byte == 0x20 { result.append(contentsOf: spaceSymbol) } else { result.append(byte) }
    }
    return result
}

/// `bytes` with each U+2581 as a space.
func unescapingSpaces(_ bytes: some Sequence<UInt8>) -> [UInt8] {
    var result: [UInt8] = []
    for byte in bytes {
        result.append(byte)
        if byte == 0x81, result.count >= 3, result[result.count - 2] == 0x96, result[result.count - 3] == 0xE2 {
            result.removeLast(3)
            result.append(0x20)
        }
    }
    return result
}
