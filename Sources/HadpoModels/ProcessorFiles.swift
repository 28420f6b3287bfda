import HadpoBase
import HadpoVision

/// The image processor of a folder, as transformers 5 finds it: `image_processor` of processor_config.json, else preprocessor_config.json.
enum ProcessorFiles {
    /// - Parameter prefix: what `unread` puts before the files' names, of a folder beside the model's.
    /// - Returns: nil where the folder has no such file.
    static func pipeline(in folder: String, prefix: String = "", _ reading: FolderReading) throws(HadpoError) -> ImagePipeline? {
        let (whole, own) = (try file("processor_config.json", folder), try file("preprocessor_config.json", folder))
        if let whole {
            let fields = reading.fields(whole, prefix + "processor_config.json", in: folder)
            fields.ignore(HarmlessKeys.processor)
            if let inner = try fields.optionalObject("image_processor") {
                if let own, own != inner.json {
                    reading.note("\(prefix)preprocessor_config.json is not read: processor_config.json has an image_processor")
                }
                return try pipeline(whole, prefix + "processor_config.json", folder, reading)
            }
        }
        guard let own else { return nil }
        return try pipeline(own, prefix + "preprocessor_config.json", folder, reading)
    }

    private static func file(_ name: String, _ folder: String) throws(HadpoError) -> JSON? {
        let path = File.join(folder, name)
        // A JSON may be written as nil too, and is then its null.
        return File.exists(path) ? try File.readJSON(path) : Optional<JSON>.none
    }

    /// What is wrong with the settings is wrong in this file.
    private static func pipeline(_ json: JSON, _ name: String, _ folder: String, _ reading: FolderReading) throws(HadpoError)
        -> ImagePipeline
    {
        do throws(HadpoError) {
            return try ImagePipeline(preprocessorConfig: json, keys: reading.keys(of: json, name))
        } catch {
            var failure = error
            failure.place = File.join(folder, File.name(of: name)) + (error.place.map { ": \($0)" } ?? "")
            throw failure
        }
    }
}
