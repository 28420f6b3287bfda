// What every call of the C interface has in common: JSON in, a status, a result or an error out.
@_exported import CHadpo
import Foundation

public struct Failure: Error, CustomStringConvertible {
    public let status: hadpo_status
    public let description: String
}

/// Calls a function with a place for its result and one for its error.
public func make(
    _ call: (_ result: inout OpaquePointer?, _ error: inout OpaquePointer?) -> hadpo_status
) throws -> OpaquePointer? {
    var result: OpaquePointer?
    var error: OpaquePointer?
    let status = call(&result, &error)
    defer { hadpo_error_free(error) }
    guard status == 0 else { throw Failure(status: status, description: String(cString: hadpo_error_json(error))) }
    return result
}

/// A configuration of `schema` as the library reads it: UTF-8 and its size.
public func config(_ schema: String, _ keys: [String: Any] = [:]) throws -> [CChar] {
    let object = keys.merging(["schema": schema]) { _, schema in schema }
    return try JSONSerialization.data(withJSONObject: object).map { CChar(bitPattern: $0) }
}

/// Reads a result and frees it.
public func object(_ bytes: OpaquePointer?) throws -> [String: Any] {
    defer { hadpo_bytes_free(bytes) }
    let data = Data(bytes: hadpo_bytes_data(bytes), count: hadpo_bytes_size(bytes))
    return try JSONSerialization.jsonObject(with: data) as? [String: Any] ?? [:]
}
