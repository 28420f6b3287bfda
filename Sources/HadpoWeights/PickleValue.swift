import HadpoTensor

/// What a pickle holds, as far as tensors need it. Containers are places in the machine's tables: no value owns another, so
/// neither cycles nor a nesting of a million lists can exhaust the stack.
enum PickleValue {
    case none
    case bool(Bool)
    case int(Int)
    case double(Double)
    case string(String)
    /// Byte strings, and integers of more than 64 bits (little-endian).
    case bytes([UInt8])
    /// Tuples and lists.
    case sequence(Int)
    case dictionary(Int)
    case global(PickleGlobal)
    case storage(Int)
    case tensor(Int)
    /// Anything else: an object of a class that is not on the list. Nothing was called, nothing is known of it.
    case opaque
}

/// The names that mean something here. None of them is ever executed: they are cases of a switch.
enum PickleGlobal {
    case orderedDictionary
    /// torch._utils._rebuild_tensor, _v2 and _v3.
    case rebuildTensor(version: Int)
    case rebuildParameter
    /// A typed storage class; nil for the untyped one, which counts bytes.
    case storageClass(DType?)
    case dtype(DType)
    case size

    init?(module: String, name: String) {
        switch (module, name) {
        case ("collections", "OrderedDict"): self = .orderedDictionary
        case ("torch._utils", "_rebuild_tensor"): self = .rebuildTensor(version: 1)
        case ("torch._utils", "_rebuild_tensor_v2"): self = .rebuildTensor(version: 2)
        case ("torch._utils", "_rebuild_tensor_v3"): self = .rebuildTensor(version: 3)
        case ("torch._utils", "_rebuild_parameter"), ("torch._utils", "_rebuild_parameter_with_state"):
            self = .rebuildParameter
        case ("torch", "UntypedStorage"), ("torch.storage", "UntypedStorage"): self = .storageClass(nil)
        case ("torch", "Size"): self = .size
        case ("torch", _):
            if let dtype = PickleGlobal.elementType(storageClass: name) {
                self = .storageClass(dtype)
            } else if let dtype = PickleGlobal.elementType(dtype: name) {
                self = .dtype(dtype)
            } else {
                return nil
            }
        default: return nil
        }
    }

    private static func elementType(storageClass name: String) -> DType? {
        switch name {
        case "FloatStorage": .f32
        case "HalfStorage": .f16
        case "BFloat16Storage": .bf16
        case "DoubleStorage": .f64
        case "LongStorage": .i64
        case "IntStorage": .i32
        case "ShortStorage": .i16
        case "CharStorage": .i8
        case "ByteStorage": .u8
        case "BoolStorage": .bool
        default: nil
        }
    }

    private static func elementType(dtype name: String) -> DType? {
        switch name {
        case "float32", "float": .f32
        case "float16", "half": .f16
        case "bfloat16": .bf16
        case "float64", "double": .f64
        case "int64", "long": .i64
        case "int32", "int": .i32
        case "int16", "short": .i16
        case "int8": .i8
        case "uint8": .u8
        case "bool": .bool
        default: nil
        }
    }
}

/// `("storage", class, key, location, count)`, and in legacy files where a view begins in the storage named.
struct PickleStorage {
    /// nil: untyped, `count` is in bytes.
    let dtype: DType?
    let key: String
    let count: Int
    /// Legacy files: a view into the storage `key`, from this element.
    let viewOffset: Int
}

/// The arguments of a tensor's rebuild call, not yet checked against its storage.
struct PickleTensor {
    let storage: PickleStorage
    let dtype: DType
    let offset: Int
    let shape: [Int]
    let strides: [Int]
}
