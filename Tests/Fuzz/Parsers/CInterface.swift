import CHadpo
import HadpoBase

/// Calls through hadpo.h, for readers that are parts of a command: nothing below it is named here.
enum CInterface {
    typealias Out = UnsafeMutablePointer<OpaquePointer?>

    /// A failed call leaves no result and says why; INTERNAL is nobody's outcome.
    static func call(_ function: (Out, Out) -> hadpo_status) throws {
        var result: OpaquePointer?
        var error: OpaquePointer?
        let status = function(&result, &error)
        defer {
            hadpo_bytes_free(result)
            hadpo_error_free(error)
        }
        try check(status, error)
        if result == nil { violated("a call that went well gives nothing") }
    }

    static func check(_ status: hadpo_status, _ error: OpaquePointer?) throws {
        if status == HADPO_OK {
            if error != nil { violated("a call that went well gives an error") }
            return
        }
        guard let error, let text = hadpo_error_json(error) else { violated("status \(status) without an error") }
        let record = String(cString: text)
        if status == HADPO_E_INTERNAL { violated("INTERNAL: \(record)") }
        throw HadpoError(.format, record)
    }

    static func run(
        _ function: (UnsafePointer<CChar>?, Int, Out?, Out?) -> hadpo_status, _ config: JSON
    ) throws {
        let text = config.text()
        try call { function(text, text.utf8.count, $0, $1) }
    }
}
