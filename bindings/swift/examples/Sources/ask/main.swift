// ask - ask about a picture that is in memory; the words appear as the model finds them.
//
//   swift run -c release ask llava-1.5-7b-hf kitchen.jpg ["Is there a dog in the image?"]
import Calls
import Foundation

/// Runs on the thread that made the call, inside `hadpo_model_generate`. Anything but 0 would stop it.
func onEvent(_ record: UnsafePointer<CChar>?, _ size: Int, _ user: UnsafeMutableRawPointer?) -> Int32 {
    guard let record else { return 0 }
    let event = try? JSONSerialization.jsonObject(with: Data(bytes: record, count: size)) as? [String: Any]
    if event?["event"] as? String == "token", let text = event?["text"] as? String {
        FileHandle.standardOutput.write(Data(text.utf8))
    }
    return 0
}

func run(_ path: String, _ picture: String, _ question: String) throws {
    let engineConfig = try config("hadpo.engine/1")
    let engine = try make { hadpo_engine_open(engineConfig, engineConfig.count, onEvent, nil, &$0, &$1) }
    defer { hadpo_engine_free(engine) }
    let modelConfig = try config("hadpo.model/1", ["path": path])
    let model = try make { hadpo_model_open(engine, modelConfig, modelConfig.count, &$0, &$1) }
    defer { hadpo_model_free(model) }
    let file = [UInt8](try Data(contentsOf: URL(fileURLWithPath: picture)))
    let image = try make { hadpo_image_decode(file, file.count, &$0, &$1) }
    defer { hadpo_image_free(image) }
    let request = try config("hadpo.generate/1", ["question": question, "stream": true])
    let answer = try object(make { hadpo_model_generate(model, request, request.count, image, &$0, &$1) })
    print("\n\(answer["generated_tokens"] ?? 0) tokens, \(answer["finish_reason"] ?? "")")
}

let arguments = CommandLine.arguments
guard arguments.count > 2 else {
    print("usage: ask MODEL-FOLDER PICTURE [QUESTION]")
    exit(2)
}
do {
    try run(arguments[1], arguments[2], arguments.count > 3 ? arguments[3] : "Describe this image in detail.")
} catch {
    print("ask: \(error)")
    exit(1)
}
