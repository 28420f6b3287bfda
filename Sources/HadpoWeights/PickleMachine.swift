import HadpoBase
import HadpoTensor

/// Interprets the pickle opcodes that torch.save emits, and reads tensors, dictionaries and plain values out of them. It has no
/// way to call anything: a callable that is not in `PickleGlobal` leaves an opaque value. Everything it holds is bounded by the
/// pickle's length, and that is limited.
struct PickleMachine {
    /// A 7B checkpoint's pickle has some 100 KB.
    static let byteLimit = 32 << 20
    static let valueLimit = 4 << 20
    /// With an optimizer's state a 13B checkpoint has some thousands.
    static let tensorLimit = 1 << 17

    private let bytes: UnsafeRawBufferPointer
    private let path: String
    /// Of the next opcode, from the start of `bytes`.
    private(set) var position: Int
    private var stack: [PickleValue] = []
    /// Heights of the stack at each open MARK.
    private var marks: [Int] = []
    private var memo: [Int: PickleValue] = [:]
    private var memoized = 0
    private(set) var sequences: [[PickleValue]] = []
    private(set) var dictionaries: [[(key: PickleValue, value: PickleValue)]] = []
    private(set) var storages: [PickleStorage] = []
    private(set) var tensors: [PickleTensor] = []
    /// Elements that were copied rather than moved off the stack; these alone could grow faster than the pickle is long.
    private var copied = 0

    /// - Parameter bytes: the file or entry; the pickle starts at `position` and may be followed by other things.
    init(_ bytes: UnsafeRawBufferPointer, at position: Int = 0, path: String) {
        self.bytes = bytes
        self.position = position
        self.path = path
    }

    /// Runs one pickle to its STOP; `position` is then behind it, and the tables may be looked into.
    mutating func run() throws(HadpoError) -> PickleValue {
        let end = min(bytes.count, position + PickleMachine.byteLimit)
        (stack, marks, memo, memoized) = ([], [], [:], 0)
        while true {
            guard position < end else {
                throw malformed(position < bytes.count ? "the pickle is too long" : "the pickle is cut off")
            }
            let opcode = try take(UInt8.self)
            if opcode == UInt8(ascii: ".") { return try pop() }
            try execute(opcode)
            guard stack.count <= PickleMachine.valueLimit, marks.count <= PickleMachine.valueLimit,
                memo.count <= PickleMachine.valueLimit, sequences.count + dictionaries.count <= PickleMachine.valueLimit,
                tensors.count <= PickleMachine.tensorLimit, storages.count <= PickleMachine.tensorLimit
            else { throw malformed("the pickle holds too many values") }
        }
    }

    private mutating func execute(_ opcode: UInt8) throws(HadpoError) {
        switch opcode {
        case 0x80:  // PROTO
            let version = try take(UInt8.self)
            guard (2...5).contains(version) else { throw malformed("pickle protocol \(version) is not read") }
        case 0x95: _ = try takeBytes(8)  // FRAME

        // Constants
        case UInt8(ascii: "N"): stack.append(.none)
        case 0x88: stack.append(.bool(true))
        case 0x89: stack.append(.bool(false))
        case UInt8(ascii: "J"): stack.append(.int(Int(try take(Int32.self))))
        case UInt8(ascii: "K"): stack.append(.int(Int(try take(UInt8.self))))
        case UInt8(ascii: "M"): stack.append(.int(Int(try take(UInt16.self))))
        case 0x8A: stack.append(try longInteger(try takeBytes(Int(try take(UInt8.self)))))
        case UInt8(ascii: "G"): stack.append(.double(Double(bitPattern: UInt64(bigEndian: try take(UInt64.self).littleEndian))))
        case UInt8(ascii: "X"): stack.append(try text(Int(try take(UInt32.self))))
        case 0x8C: stack.append(try text(Int(try take(UInt8.self))))
        // Python 2's str: the keys of older files.
        case UInt8(ascii: "U"): stack.append(try text(Int(try take(UInt8.self))))
        case UInt8(ascii: "T"): stack.append(try text(Int(try take(Int32.self))))
        case UInt8(ascii: "C"): stack.append(.bytes(Array(try takeBytes(Int(try take(UInt8.self))))))
        case UInt8(ascii: "B"): stack.append(.bytes(Array(try takeBytes(Int(try take(UInt32.self))))))

        // Containers
        case UInt8(ascii: "("): marks.append(stack.count)
        case UInt8(ascii: ")"): try pushSequence([])
        case UInt8(ascii: "]"): try pushSequence([])
        case UInt8(ascii: "}"): pushDictionary([])
        case UInt8(ascii: "t"): try pushSequence(try popMark())
        case 0x85: try pushSequence(try pop(1))
        case 0x86: try pushSequence(try pop(2))
        case 0x87: try pushSequence(try pop(3))
        case UInt8(ascii: "a"): try append(try pop(1))
        case UInt8(ascii: "e"): try append(try popMark())
        case UInt8(ascii: "s"): try setItems(try pop(2))
        case UInt8(ascii: "u"): try setItems(try popMark())

        // The stack and the memo
        case UInt8(ascii: "0"):  // POP takes an open mark when nothing lies above it
            if let mark = marks.last, mark == stack.count { marks.removeLast() } else { _ = try pop() }
        case UInt8(ascii: "2"): stack.append(try top())
        case UInt8(ascii: "q"): try remember(Int(try take(UInt8.self)))
        case UInt8(ascii: "r"): try remember(Int(try take(UInt32.self)))
        case 0x94: try remember(memoized)  // MEMOIZE
        case UInt8(ascii: "h"): stack.append(try recall(Int(try take(UInt8.self))))
        case UInt8(ascii: "j"): stack.append(try recall(Int(try take(UInt32.self))))

        // Names, objects, tensors
        case UInt8(ascii: "c"):
            let module = try line()
            try pushGlobal(module: module, name: try line())
        case 0x93:  // STACK_GLOBAL
            let names = try pop(2)
            guard case .string(let module) = names[0], case .string(let name) = names[1] else {
                throw malformed("a global's name is not text")
            }
            try pushGlobal(module: module, name: name)
        case UInt8(ascii: "R"), 0x81:  // REDUCE, NEWOBJ
            let call = try pop(2)
            try pushResult(of: call[0], call[1])
        case UInt8(ascii: "b"): _ = try pop(1)  // BUILD: an object's attributes; OrderedDict's _metadata
        case UInt8(ascii: "Q"): try pushStorage(try pop())

        default: throw malformed("opcode 0x\(String(opcode, radix: 16)) is not read")
        }
    }

    // MARK: bytes

    private func malformed(_ what: String) -> HadpoError {
        HadpoError(.format, "torch file: \(what)", at: path, found: "byte \(position) of the pickle")
    }

    private mutating func take<T: FixedWidthInteger>(_ type: T.Type) throws(HadpoError) -> T {
        guard let value = bytes.integer(T.self, at: position) else { throw malformed("the pickle is cut off") }
        position += MemoryLayout<T>.size
        return value
    }

    private mutating func takeBytes(_ count: Int) throws(HadpoError) -> UnsafeRawBufferPointer {
        guard count >= 0 else { throw malformed("a length is negative") }
        guard count <= bytes.count - position else { throw malformed("the pickle is cut off") }
        defer { position += count }
        return UnsafeRawBufferPointer(rebasing: bytes[position..<position + count])
    }

    private mutating func text(_ count: Int) throws(HadpoError) -> PickleValue {
        guard let text = String(validating: try takeBytes(count), as: UTF8.self) else {
            throw malformed("text is not UTF-8")
        }
        guard CombiningMarks.areOrdered(text) else { throw malformed("a text is nothing but combining marks") }
        return .string(text)
    }

    /// Up to the next newline; module and class names are short.
    private mutating func line() throws(HadpoError) -> String {
        let window = bytes[position..<min(bytes.count, position + 1024)]
        guard let end = window.firstIndex(of: UInt8(ascii: "\n")) else { throw malformed("a global's name does not end") }
        let line = String(decoding: bytes[position..<end], as: UTF8.self)
        position = end + 1
        return line
    }

    /// Two's complement, little-endian.
    private func longInteger(_ bytes: UnsafeRawBufferPointer) throws(HadpoError) -> PickleValue {
        guard bytes.count <= 8 else { return .bytes(Array(bytes)) }
        var value = bytes.last.map { $0 >= 0x80 ? -1 : 0 } ?? 0
        for byte in bytes.reversed() { value = value << 8 | Int(byte) }
        return .int(value)
    }

    // MARK: the stack

    private func top() throws(HadpoError) -> PickleValue {
        guard stack.count > marks.last ?? 0, let value = stack.last else { throw malformed("the stack is empty") }
        return value
    }

    private mutating func pop() throws(HadpoError) -> PickleValue {
        let value = try top()
        stack.removeLast()
        return value
    }

    /// The upper `count` values, lowest first.
    private mutating func pop(_ count: Int) throws(HadpoError) -> [PickleValue] {
        guard stack.count - (marks.last ?? 0) >= count else { throw malformed("the stack is empty") }
        let values = Array(stack.suffix(count))
        stack.removeLast(count)
        return values
    }

    private mutating func popMark() throws(HadpoError) -> [PickleValue] {
        guard let mark = marks.popLast() else { throw malformed("a mark is missing") }
        let values = Array(stack[mark...])
        stack.removeLast(stack.count - mark)
        return values
    }

    private mutating func remember(_ index: Int) throws(HadpoError) {
        memo[index] = try top()
        memoized += 1
    }

    private func recall(_ index: Int) throws(HadpoError) -> PickleValue {
        guard let value = memo[index] else { throw malformed("memo \(index) was never set") }
        return value
    }

    // MARK: containers

    private mutating func pushSequence(_ elements: [PickleValue]) throws(HadpoError) {
        stack.append(.sequence(sequences.count))
        sequences.append(elements)
    }

    private mutating func pushDictionary(_ members: [(key: PickleValue, value: PickleValue)]) {
        stack.append(.dictionary(dictionaries.count))
        dictionaries.append(members)
    }

    private mutating func append(_ elements: [PickleValue]) throws(HadpoError) {
        switch try top() {
        case .sequence(let index): sequences[index].append(contentsOf: elements)
        case .opaque: break
        default: throw malformed("something is appended to what is no list")
        }
    }

    private mutating func setItems(_ items: [PickleValue]) throws(HadpoError) {
        guard items.count % 2 == 0 else { throw malformed("a key has no value") }
        switch try top() {
        case .dictionary(let index):
            for place in stride(from: 0, to: items.count, by: 2) {
                dictionaries[index].append((items[place], items[place + 1]))
            }
        case .opaque: break
        default: throw malformed("items are set in what is no dictionary")
        }
    }

    /// The last value under a key, as Python has it.
    func value(_ key: String, in dictionary: Int) -> PickleValue? {
        dictionaries[dictionary].last { member in if case .string(key) = member.key { true } else { false } }?.value
    }

    // MARK: objects

    private mutating func pushGlobal(module: String, name: String) throws(HadpoError) {
        stack.append(PickleGlobal(module: module, name: name).map { .global($0) } ?? .opaque)
    }

    private mutating func pushResult(of callee: PickleValue, _ arguments: PickleValue) throws(HadpoError) {
        guard case .global(let callee) = callee, case .sequence(let index) = arguments else {
            if case .opaque = callee { return stack.append(.opaque) }
            throw malformed("something is called that is no function")
        }
        let arguments = sequences[index]
        switch callee {
        case .orderedDictionary: try pushOrderedDictionary(arguments)
        case .size: stack.append(arguments.first ?? .opaque)
        case .rebuildParameter:
            // A tensor, or what stands for one that is not read.
            stack.append(arguments.first ?? .opaque)
        case .rebuildTensor(let version): try pushTensor(arguments, version)
        case .storageClass, .dtype: stack.append(.opaque)
        }
    }

    /// Empty with items set later, or (Python 2) from a list of pairs.
    private mutating func pushOrderedDictionary(_ arguments: [PickleValue]) throws(HadpoError) {
        var members: [(key: PickleValue, value: PickleValue)] = []
        if case .sequence(let list)? = arguments.first {
            copied += sequences[list].count
            guard copied <= PickleMachine.valueLimit else { throw malformed("the pickle holds too many values") }
            for pair in sequences[list] {
                guard case .sequence(let index) = pair, sequences[index].count == 2 else {
                    throw malformed("an ordered dictionary is not made of pairs")
                }
                members.append((sequences[index][0], sequences[index][1]))
            }
        }
        pushDictionary(members)
    }

    private mutating func pushStorage(_ identifier: PickleValue) throws(HadpoError) {
        guard case .sequence(let index) = identifier, sequences[index].count >= 5,
            case .string("storage") = sequences[index][0]
        else { throw malformed("a persistent id is not a storage") }
        let fields = sequences[index]
        guard case .global(.storageClass(let dtype)) = fields[1] else {
            // An element type that cannot be carried, such as complex numbers.
            guard case .opaque = fields[1] else { throw malformed("a storage has no class") }
            return stack.append(.opaque)
        }
        guard case .string(let key) = fields[2] else { throw malformed("a storage's key is not text") }
        guard case .int(let count) = fields[4], count >= 0 else { throw malformed("storage \(key) has no size") }
        var storage = PickleStorage(dtype: dtype, key: key, count: count, viewOffset: 0)
        if fields.count > 5, case .sequence(let view) = fields[5] {
            // Legacy: (key of the view, offset, size); the storage's own key and size stand before.
            guard sequences[view].count == 3, case .int(let offset) = sequences[view][1], offset >= 0,
                case .int(let size) = sequences[view][2], size >= 0, offset <= count, size <= count - offset
            else { throw malformed("a view lies outside of storage \(key)") }
            storage = PickleStorage(dtype: dtype, key: key, count: size, viewOffset: offset)
        }
        stack.append(.storage(storages.count))
        storages.append(storage)
    }

    /// (storage, offset, size, stride, requires_grad, hooks); version 3 has the element type behind these.
    private mutating func pushTensor(_ arguments: [PickleValue], _ version: Int) throws(HadpoError) {
        guard let first = arguments.first, case .storage(let index) = first else {
            if case .opaque? = arguments.first { return stack.append(.opaque) }
            throw malformed("a tensor has no storage")
        }
        let storage = storages[index]
        var dtype = storage.dtype
        if version == 3 {
            guard arguments.count > 6 else { throw malformed("a tensor has no element type") }
            guard case .global(.dtype(let named)) = arguments[6] else {
                guard case .opaque = arguments[6] else { throw malformed("a tensor has no element type") }
                return stack.append(.opaque)
            }
            dtype = named
        }
        guard let dtype, arguments.count >= 4, case .int(let offset) = arguments[1],
            let shape = naturals(arguments[2]), let strides = naturals(arguments[3]), shape.count == strides.count, offset >= 0
        else { throw malformed("a tensor's type, offset, sizes or strides are no such thing") }
        stack.append(.tensor(tensors.count))
        tensors.append(PickleTensor(storage: storage, dtype: dtype, offset: offset, shape: shape, strides: strides))
    }

    private mutating func naturals(_ value: PickleValue) -> [Int]? {
        // Sizes may be shared by the memo: a million tensors with one long shape must not multiply it.
        guard case .sequence(let index) = value, sequences[index].count <= 64 else { return nil }
        var numbers: [Int] = []
        for element in sequences[index] {
            guard case .int(let number) = element, number >= 0 else { return nil }
            numbers.append(number)
        }
        return numbers
    }
}
