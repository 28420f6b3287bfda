import HadpoBase
import HadpoTensor
import HadpoWeights
import Testing
import HadpoTestSupport

/// A file in memory, in a block of exactly its size, so that a read behind its end is seen by the address sanitizer.
func memoryFile(_ bytes: [UInt8], _ name: String = "test.bin", arena: Arena = Arena(limit: 256 << 20)) -> ByteFile {
    let base = UnsafeMutableRawPointer.allocate(byteCount: max(1, bytes.count), alignment: 64)
    bytes.withUnsafeBytes { base.copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(base), byteCount: bytes.count) }
    let storage = Storage(base: base, byteCount: bytes.count, isWritable: false) { base.deallocate() }
    return ByteFile(memory: storage, path: name, arena: arena)
}

func littleEndian<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
}

/// A safetensors file from its header's text.
func safetensors(_ header: String, data: Int = 0) -> [UInt8] {
    littleEndian(UInt64(header.utf8.count)) + Array(header.utf8) + (0..<data).map { UInt8(truncatingIfNeeded: $0) }
}

func tensorBytes(_ tensor: Tensor) -> [UInt8] {
    withExtendedLifetime(tensor.storage) { Array(UnsafeRawBufferPointer(start: tensor.pointer, count: tensor.byteCount)) }
}

func floats(_ tensor: Tensor) -> [Float] {
    withExtendedLifetime(tensor.storage) {
        (0..<tensor.count).map { tensor.pointer.load(fromByteOffset: $0 * 4, as: Float.self) }
    }
}

func tensor(_ values: [Float], _ shape: [Int], arena: Arena = Arena()) throws -> Tensor {
    let storage = try arena.allocate(values.count * 4)
    values.withUnsafeBytes { if let base = $0.baseAddress { storage.base.copyMemory(from: base, byteCount: $0.count) } }
    return try Tensor(storage: storage, shape: shape, dtype: .f32)
}

/// The error of an attempt that must fail.
func failure<T>(_ body: () throws(HadpoError) -> T, at location: SourceLocation = #_sourceLocation) -> HadpoError? {
    do throws(HadpoError) {
        _ = try body()
        Issue.record("no error was thrown", sourceLocation: location)
        return nil
    } catch {
        return error
    }
}

/// Opening `bytes` must fail with an error whose message holds `words`.
func expectFailure(
    _ bytes: [UInt8], _ words: String, _ status: Status = .format, at location: SourceLocation = #_sourceLocation
) {
    let error = failure({ () throws(HadpoError) in try WeightFile.open(memoryFile(bytes)) }, at: location)
    #expect(error?.status == status && error?.message.contains(words) == true, "\(error as Any)", sourceLocation: location)
    #expect(
        error?.place?.contains("test.bin") == true, "the error does not name the file: \(error as Any)", sourceLocation: location)
}
