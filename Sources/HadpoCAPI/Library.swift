import CHadpo
import HadpoBase
import HadpoEval
import HadpoModels
import HadpoVision

// -- library and results: hadpo.h, first part

@_cdecl("hadpo_abi") @implementation
public func hadpo_abi() -> UInt32 { UInt32(HADPO_ABI) }

@_cdecl("hadpo_version") @implementation
public func hadpo_version() -> UnsafePointer<CChar>? { text(Library.versionText) }

@_cdecl("hadpo_status_name") @implementation
public func hadpo_status_name(_ status: hadpo_status) -> UnsafePointer<CChar>? { text(statusText(status)) }

@_cdecl("hadpo_error_json") @implementation
public func hadpo_error_json(_ error: OpaquePointer?) -> UnsafePointer<CChar>? {
    guard let error else { return text("{}") }
    return UnsafePointer(
        Unmanaged<ErrorHandle>.fromOpaque(UnsafeRawPointer(error)).takeUnretainedValue().json.storage.baseAddress)
}

@_cdecl("hadpo_error_free") @implementation
public func hadpo_error_free(_ error: OpaquePointer?) { release(error, ErrorHandle.self) }

@_cdecl("hadpo_bytes_data") @implementation
public func hadpo_bytes_data(_ bytes: OpaquePointer?) -> UnsafePointer<CChar>? {
    guard let bytes else { return text("") }
    return UnsafePointer(Unmanaged<BytesHandle>.fromOpaque(UnsafeRawPointer(bytes)).takeUnretainedValue().storage.baseAddress)
}

@_cdecl("hadpo_bytes_size") @implementation
public func hadpo_bytes_size(_ bytes: OpaquePointer?) -> Int {
    guard let bytes else { return 0 }
    return Unmanaged<BytesHandle>.fromOpaque(UnsafeRawPointer(bytes)).takeUnretainedValue().storage.count - 1
}

@_cdecl("hadpo_bytes_free") @implementation
public func hadpo_bytes_free(_ bytes: OpaquePointer?) { release(bytes, BytesHandle.self) }

@_cdecl("hadpo_config_default") @implementation
public func hadpo_config_default(
    _ schema: UnsafePointer<CChar>?, _ json: UnsafeMutablePointer<OpaquePointer?>?, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> hadpo_status {
    json?.pointee = nil
    return status(error) { () throws(HadpoError) in
        let result = try place(json, "json")
        result.pointee = retained(BytesHandle(try Schemas.defaults(try string(schema, "schema")).text(indent: 2)))
    }
}

@_cdecl("hadpo_config_resolve") @implementation
public func hadpo_config_resolve(
    _ config: UnsafePointer<CChar>?, _ size: Int, _ json: UnsafeMutablePointer<OpaquePointer?>?,
    _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> hadpo_status {
    json?.pointee = nil
    return status(error) { () throws(HadpoError) in
        let result = try place(json, "json")
        let parsed = try JSON.parse(try bytes(config, size, "config"), source: "config")
        result.pointee = retained(BytesHandle(try Schemas.resolved(parsed).text(indent: 2)))
    }
}

@_cdecl("hadpo_config_complete") @implementation
public func hadpo_config_complete(
    _ config: UnsafePointer<CChar>?, _ size: Int, _ model: OpaquePointer?, _ json: UnsafeMutablePointer<OpaquePointer?>?,
    _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> hadpo_status {
    json?.pointee = nil
    return status(error) { () throws(HadpoError) in
        let result = try place(json, "json")
        let parsed = try JSON.parse(try bytes(config, size, "config"), source: "config")
        let family = model == nil ? .llava : try handle(model, ModelHandle.self, "model").model.family
        result.pointee = retained(BytesHandle(try Schemas.completed(parsed, family: family).text(indent: 2)))
    }
}

// -- images

@_cdecl("hadpo_image_from_rgb8") @implementation
public func hadpo_image_from_rgb8(
    _ pixels: UnsafePointer<UInt8>?, _ width: Int, _ height: Int, _ rowBytes: Int, _ image: UnsafeMutablePointer<OpaquePointer?>?,
    _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> hadpo_status {
    image?.pointee = nil
    return status(error) { () throws(HadpoError) in
        let result = try place(image, "image")
        guard let pixels else { throw HadpoError(.argument, "pixels is NULL", expected: "rows of RGB bytes") }
        result.pointee = retained(ImageHandle(try RGBImage(rgb8: pixels, width: width, height: height, rowBytes: rowBytes)))
    }
}

@_cdecl("hadpo_image_decode") @implementation
public func hadpo_image_decode(
    _ data: UnsafeRawPointer?, _ size: Int, _ image: UnsafeMutablePointer<OpaquePointer?>?,
    _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> hadpo_status {
    image?.pointee = nil
    return status(error) { () throws(HadpoError) in
        let result = try place(image, "image")
        guard let data else { throw HadpoError(.argument, "data is NULL", expected: "a PNG or JPEG file's contents") }
        guard size >= 0 else { throw HadpoError(.argument, "the size is absurd", found: "\(UInt(bitPattern: size))") }
        result.pointee = retained(ImageHandle(try RGBImage.decode(UnsafeRawBufferPointer(start: data, count: size))))
    }
}

@_cdecl("hadpo_image_free") @implementation
public func hadpo_image_free(_ image: OpaquePointer?) { release(image, ImageHandle.self) }

// -- scoring files without a model

@_cdecl("hadpo_pope_score") @implementation
public func hadpo_pope_score(
    _ questions: UnsafePointer<CChar>?, _ questionsSize: Int, _ answers: UnsafePointer<CChar>?, _ answersSize: Int,
    _ report: UnsafeMutablePointer<OpaquePointer?>?, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> hadpo_status {
    report?.pointee = nil
    return status(error) { () throws(HadpoError) in
        let result = try place(report, "report")
        let questions = try bytes(questions, questionsSize, "questions_jsonl")
        let answers = try bytes(answers, answersSize, "answers_jsonl")
        let score = try PopeScore(
            questions: PopeQuestion.read(questions, source: "questions"), answers: PopeAnswer.read(answers, source: "answers"))
        result.pointee = retained(BytesHandle(score.report.text(indent: 2)))
    }
}

/// Static text for the host; literals are NUL-terminated.
private func text(_ literal: StaticString) -> UnsafePointer<CChar>? {
    UnsafeRawPointer(literal.utf8Start).assumingMemoryBound(to: CChar.self)
}

private func statusText(_ status: Int32) -> StaticString {
    switch Status(rawValue: status) {
    case .ok: "HADPO_OK"
    case .internal: "HADPO_E_INTERNAL"
    case .noMemory: "HADPO_E_NO_MEMORY"
    case .argument: "HADPO_E_ARGUMENT"
    case .state: "HADPO_E_STATE"
    case .busy: "HADPO_E_BUSY"
    case .json: "HADPO_E_JSON"
    case .config: "HADPO_E_CONFIG"
    case .io: "HADPO_E_IO"
    case .format: "HADPO_E_FORMAT"
    case .weights: "HADPO_E_WEIGHTS"
    case .device: "HADPO_E_DEVICE"
    case .unsupported: "HADPO_E_UNSUPPORTED"
    case .numerics: "HADPO_E_NUMERICS"
    case .cancelled: "HADPO_E_CANCELLED"
    case .callback: "HADPO_E_CALLBACK"
    case nil: "HADPO_E_UNKNOWN"
    }
}

func statusName(_ status: Int32) -> String { "\(statusText(status))" }
