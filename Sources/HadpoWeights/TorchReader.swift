import HadpoBase
import HadpoTensor

// Files of torch.save. Both forms hold a pickle that names storages by key, and the storages' raw bytes: the zip form as entries
// of their own, the legacy form one behind the other after the pickles.

extension WeightFile {
    static func readTorchZip(_ file: ByteFile) throws(HadpoError) -> WeightFile {
        let directory = try ZipDirectory(file)
        var entries: [String: Range<Int>] = [:]
        for entry in directory.entries { entries[entry.name] = entry.range }
        // The folder inside has the name the file had when it was saved.
        guard let pickle = directory.entries.first(where: { $0.name.hasSuffix("/data.pkl") }) else {
            throw HadpoError(
                .format, "a zip archive, but not one that torch.save wrote", at: file.path, expected: "an entry data.pkl")
        }
        let root = String(pickle.name.dropLast("data.pkl".count))
        if let order = entries[root + "byteorder"] {
            let isLittle = try file.bytes(at: order.lowerBound, count: order.count).withBytes { $0.elementsEqual("little".utf8) }
            guard isLittle else { throw bigEndian(file) }
        }
        guard pickle.range.count <= PickleMachine.byteLimit else {
            throw HadpoError(
                .format, "torch file: the pickle is too long", at: file.path, found: "\(pickle.range.count) bytes",
                expected: "at most \(PickleMachine.byteLimit)")
        }
        let run = try file.bytes(at: pickle.range.lowerBound, count: pickle.range.count)
        let named = try run.withBytes { (bytes) throws(HadpoError) -> [NamedTensor] in
            var machine = PickleMachine(bytes, path: file.path)
            let value = try machine.run()
            return try namedTensors(value, machine, file.path)
        }
        let tensors = try infos(named, file) { storage in entries[root + "data/" + storage.key] }
        return WeightFile(
            file: file, format: .torchZip, tensors: tensors, headers: [directory.range, pickle.range])
    }

    /// Five pickles (a magic number, the version, the machine, the object, the storages' keys), then for every key the number of
    /// elements as 64 bits and the bytes.
    static func readTorchLegacy(_ file: ByteFile) throws(HadpoError) -> WeightFile {
        let window = try file.bytes(at: 0, count: min(file.byteCount, PickleMachine.byteLimit))
        var named: [NamedTensor] = []
        var widths: [String: Int] = [:]
        var keys: [String] = []
        var end = 0
        try window.withBytes { (bytes) throws(HadpoError) in
            var machine = PickleMachine(bytes, path: file.path)
            guard case .bytes([0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19]) = try machine.run() else {
                throw HadpoError(
                    .format, "a pickle, but not one that torch.save wrote", at: file.path, expected: "torch's magic number")
            }
            guard case .int(1001) = try machine.run() else {
                throw HadpoError(.format, "torch file: not version 1001 of the legacy format", at: file.path)
            }
            if case .dictionary(let system) = try machine.run(), case .bool(false)? = machine.value("little_endian", in: system) {
                throw bigEndian(file)
            }
            let object = try machine.run()
            named = try namedTensors(object, machine, file.path)
            for storage in machine.storages {
                let width = storage.dtype?.byteCount ?? 1
                guard widths.updateValue(width, forKey: storage.key) ?? width == width else {
                    throw HadpoError(.format, "torch file: storage \(storage.key) has two element types", at: file.path)
                }
            }
            guard case .sequence(let list) = try machine.run() else {
                throw HadpoError(.format, "torch file: the list of storages is missing", at: file.path)
            }
            for element in machine.sequences[list] {
                guard case .string(let key) = element else {
                    throw HadpoError(.format, "torch file: a storage's key is not text", at: file.path)
                }
                keys.append(key)
            }
            end = machine.position
        }
        let places = try legacyStorages(keys, widths, from: end, file)
        let tensors = try infos(named, file) { storage in places[storage.key] }
        return WeightFile(file: file, format: .torchLegacy, tensors: tensors, headers: [0..<end])
    }

    private static func legacyStorages(
        _ keys: [String], _ widths: [String: Int], from start: Int, _ file: ByteFile
    ) throws(HadpoError) -> [String: Range<Int>] {
        var places: [String: Range<Int>] = [:]
        var position = start
        for key in keys {
            guard let width = widths[key] else {
                throw HadpoError(.unsupported, "torch file: storage \(key) has an element type that is not read", at: file.path)
            }
            let count = try file.bytes(at: position, count: 8).withBytes { $0.integer(Int64.self, at: 0) } ?? -1
            position += 8
            let (bytes, overflow) = Int(count).multipliedReportingOverflow(by: width)
            guard count >= 0, !overflow, bytes <= file.byteCount - position else {
                throw HadpoError(
                    .format, "torch file: storage \(key) reaches behind the end of the file", at: file.path,
                    found: "\(count) elements of \(width) bytes at offset \(position)", expected: "\(file.byteCount) bytes in all"
                )
            }
            guard places.updateValue(position..<position + bytes, forKey: key) == nil else {
                throw HadpoError(.format, "torch file: storage \(key) comes twice", at: file.path)
            }
            position += bytes
        }
        return places
    }

    private static func bigEndian(_ file: ByteFile) -> HadpoError {
        HadpoError(.unsupported, "torch file: saved on a big-endian machine", at: file.path)
    }

    // MARK: from the pickle to tensors

    struct NamedTensor {
        let name: String
        let tensor: PickleTensor
    }

    /// The state dict: the root itself, or what lies under one of the keys that training scripts use.
    private static func namedTensors(
        _ root: PickleValue, _ machine: PickleMachine, _ path: String
    ) throws(HadpoError) -> [NamedTensor] {
        guard case .dictionary(var dictionary) = root else {
            throw HadpoError(.format, "torch file: its object is not a dictionary of tensors", at: path)
        }
        // Each step goes one level down; a dictionary may contain itself.
        for _ in 0..<4 {
            let inner = ["model", "state_dict", "module"].lazy.compactMap { key -> Int? in
                if case .dictionary(let inner)? = machine.value(key, in: dictionary) { inner } else { nil }
            }.first
            guard let inner else { break }
            dictionary = inner
        }
        var tensors: [NamedTensor] = []
        for member in machine.dictionaries[dictionary] {
            guard case .string(let name) = member.key, case .tensor(let index) = member.value else { continue }
            tensors.append(NamedTensor(name: name, tensor: machine.tensors[index]))
        }
        guard !tensors.isEmpty || machine.dictionaries[dictionary].isEmpty else {
            let keys = machine.dictionaries[dictionary].compactMap { if case .string(let key) = $0.key { key } else { nil } }
            throw HadpoError(
                .format, "torch file: no tensors by name", at: path,
                found: "keys " + keys.prefix(8).joined(separator: ", "),
                expected: "tensors at the root, or under model, state_dict or module")
        }
        return tensors
    }

    /// Checks every tensor against its storage, and the storage against the file.
    private static func infos(
        _ named: [NamedTensor], _ file: ByteFile, _ place: (PickleStorage) -> Range<Int>?
    ) throws(HadpoError) -> [TensorInfo] {
        var infos: [TensorInfo] = []
        for entry in named {
            let (name, tensor) = (entry.name, entry.tensor)
            func malformed(_ what: String, found: String? = nil, expected: String? = nil) -> HadpoError {
                HadpoError(.format, "torch file: tensor \(name): \(what)", at: file.path, found: found, expected: expected)
            }
            let width = tensor.dtype.byteCount
            guard let range = place(tensor.storage) else { throw malformed("storage \(tensor.storage.key) is not in the file") }
            // In elements of the tensor. Untyped storages count bytes.
            let held = tensor.storage.dtype == nil ? tensor.storage.count / width : tensor.storage.count
            let (viewEnd, viewOverflow) = held.addingReportingOverflow(tensor.storage.viewOffset)
            guard !viewOverflow, viewEnd <= range.count / width else {
                throw malformed(
                    "storage \(tensor.storage.key) is shorter than said", found: "\(range.count) bytes",
                    expected: "\(viewEnd) elements of \(width) bytes")
            }
            guard denseByteCount(tensor.shape, tensor.dtype) != nil else {
                throw malformed("the shape is too large", found: "\(tensor.shape)")
            }
            guard let end = span(tensor), end <= held else {
                throw malformed(
                    "offset, sizes and strides reach out of storage \(tensor.storage.key)",
                    found: "offset \(tensor.offset), sizes \(tensor.shape), strides \(tensor.strides)",
                    expected: "within \(held) elements")
            }
            // An axis of length 0 or 1 takes no step, whatever its stride says.
            let strides = zip(tensor.shape, tensor.strides).map { $0 > 1 ? $1 : 0 }
            let first = tensor.shape.contains(0) ? 0 : tensor.storage.viewOffset + tensor.offset
            infos.append(
                TensorInfo(
                    name: name, dtype: tensor.dtype, shape: tensor.shape, path: file.path,
                    byteOffset: range.lowerBound + first * width, strides: isDense(tensor.shape, strides) ? nil : strides))
        }
        return infos
    }

    /// One more than the largest element index, 0 for a tensor without elements, nil on overflow.
    private static func span(_ tensor: PickleTensor) -> Int? {
        if tensor.shape.contains(0) { return 0 }
        var last = tensor.offset
        for (size, stride) in zip(tensor.shape, tensor.strides) {
            let (step, overflow) = (size - 1).multipliedReportingOverflow(by: stride)
            let (sum, sumOverflow) = last.addingReportingOverflow(step)
            guard !overflow, !sumOverflow else { return nil }
            last = sum
        }
        return last.addingReportingOverflow(1).overflow ? nil : last + 1
    }

    private static func isDense(_ shape: [Int], _ strides: [Int]) -> Bool {
        if shape.contains(0) { return true }
        var expected = 1
        for (size, stride) in zip(shape, strides).reversed() where size > 1 {
            if stride != expected { return false }
            expected *= size
        }
        return true
    }
}
