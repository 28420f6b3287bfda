import HadpoBase

/// Which of HF's image processors a `preprocessor_config.json` names, and what that class does when the file is silent.
private enum ProcessorClass: String {
    case clip = "CLIPImageProcessor"
    case llava = "LlavaImageProcessor"
    case blip = "BlipImageProcessor"

    /// "CLIPFeatureExtractor" is the old name; "Fast" and "Pil" are the same processor on other backends.
    init?(name: String) {
        var stem = name
        for suffix in ["Fast", "Pil"] where stem.hasSuffix(suffix) { stem.removeLast(suffix.count) }
        if stem.hasSuffix("FeatureExtractor") { stem = stem.dropLast("FeatureExtractor".count) + "ImageProcessor" }
        self.init(rawValue: stem)
    }

    var squareByDefault: Bool { self == .blip }
    var cropsByDefault: Bool { self != .blip }
    var defaultSize: Int { self == .blip ? 384 : 224 }
}

extension ImagePipeline {
    /// Reads `preprocessor_config.json`, or the `image_processor` object of a newer `processor_config.json`.
    /// - Parameter keys: where it is noted which members were read.
    package init(preprocessorConfig: JSON, keys: ReadKeys = ReadKeys()) throws(HadpoError) {
        var config = Fields(preprocessorConfig, at: "", keys)
        if let inner = preprocessorConfig["image_processor"], inner != .null {
            keys.enter("/image_processor")
            config = Fields(inner, at: "/image_processor", keys)
        }
        guard config.value.objectValue != nil else {
            throw HadpoError(.config, "the image processor is not an object", found: config.value.kind, expected: "an object")
        }

        config.ignore(Fields.harmless)
        let key = config["image_processor_type"] == nil ? "feature_extractor_type" : "image_processor_type"
        guard let name = try config.string(key), let processor = ProcessorClass(name: name) else {
            throw HadpoError(
                .unsupported, "the image processor is not one this library knows", at: config.place(key),
                found: try config.string(key) ?? "no image_processor_type",
                expected: "CLIPImageProcessor, LlavaImageProcessor or BlipImageProcessor")
        }
        // A step that is switched on but not known here would change the pixels silently.
        let known = ["do_pad", "do_resize", "do_center_crop", "do_rescale", "do_normalize"]
        for step in config.names where step.hasPrefix("do_") && !(known + Fields.harmless).contains(step) {
            if try config.bool(step) ?? false {
                throw HadpoError(.unsupported, "an image processing step is not supported", at: config.place(step))
            }
        }
        let pad = try config.bool("do_pad") ?? false
        if pad && processor != .llava {
            throw HadpoError(
                .unsupported, "padding is supported for LlavaImageProcessor only", at: config.place("do_pad"), found: name)
        }

        var resize = Resize.none
        if try config.bool("do_resize") ?? true {
            let size = try config.size("size")
            // It says what one number for both sides means; the classes here each know one answer.
            if case .side? = size, let square = try config.bool("default_to_square"), square != processor.squareByDefault {
                throw config.error(
                    "this image processor reads one number for both sides in the other way", "default_to_square",
                    expected: "\(processor.squareByDefault), or height and width in size")
            }
            config.ignore(["default_to_square"])
            switch size {
            case nil where processor.squareByDefault:
                resize = .exact(height: processor.defaultSize, width: processor.defaultSize)
            case nil: resize = .shortestEdge(processor.defaultSize)
            case .side(let side)? where processor.squareByDefault: resize = .exact(height: side, width: side)
            case .side(let side)?, .shortestEdge(let side)?: resize = .shortestEdge(side)
            case .exact(let height, let width)?: resize = .exact(height: height, width: width)
            }
        }
        var crop: Size?
        if try config.bool("do_center_crop") ?? processor.cropsByDefault {
            switch try config.size("crop_size") {
            case nil: crop = Size(height: 224, width: 224)
            case .side(let side)?: crop = Size(height: side, width: side)
            case .exact(let height, let width)?: crop = Size(height: height, width: width)
            case .shortestEdge?:
                throw config.error("a crop needs two sides", "crop_size", expected: "an integer, or height and width")
            }
        }
        let number = try config.integer("resample") ?? Resample.bicubic.rawValue
        guard let resample = Resample(rawValue: number) else {
            throw config.error("the resampling filter is unknown", "resample", expected: "0 to 5, Pillow's numbers")
        }
        let rescale = try config.bool("do_rescale") ?? true ? try config.number("rescale_factor") ?? 1 / 255 : nil
        var normalization: Normalization?
        if try config.bool("do_normalize") ?? true {
            normalization = Normalization(
                mean: try config.channels("image_mean") ?? Self.clipNormalization.mean,
                std: try config.channels("image_std") ?? Self.clipNormalization.std)
        }
        try self.init(
            pad: pad, resize: resize, resample: resample, crop: crop, rescale: rescale, normalization: normalization)
    }
}

/// Typed access to the members of a config object; `null` counts as absent, as in HF's code.
private struct Fields {
    enum Extent {
        case side(Int)
        case shortestEdge(Int)
        case exact(height: Int, width: Int)
    }

    /// Whose it is, how results are handed over, and that pictures are brought to RGB, which they always are here.
    static let harmless = [
        "processor_class", "feature_extractor_type", "do_convert_rgb", "data_format", "input_data_format", "return_tensors",
        "device",
        "disable_grouping", "image_seq_length", "_valid_processor_keys",
    ]

    let value: JSON
    private let pointer: String
    private let keys: ReadKeys

    init(_ value: JSON, at pointer: String, _ keys: ReadKeys) {
        self.value = value
        self.pointer = pointer
        self.keys = keys
    }

    func ignore(_ names: [String]) {
        for name in names { keys.note(ReadKeys.pointer(pointer, name), .harmless) }
    }

    var names: [String] { value.objectValue?.map(\.key) ?? [] }
    func place(_ key: String) -> String { "\(pointer)/\(key)" }

    subscript(_ key: String) -> JSON? {
        keys.note(ReadKeys.pointer(pointer, key), .read)
        let found = value[key]
        return found == .null ? nil : found
    }

    func error(_ message: String, _ key: String, expected: String) -> HadpoError {
        HadpoError(.config, message, at: place(key), found: self[key]?.shortText(), expected: expected)
    }

    private func read<T>(_ key: String, _ expected: String, _ convert: (JSON) -> T?) throws(HadpoError) -> T? {
        guard let found = self[key] else { return nil }
        guard let value = convert(found) else {
            throw error("an image processor setting has the wrong type", key, expected: expected)
        }
        return value
    }

    func bool(_ key: String) throws(HadpoError) -> Bool? { try read(key, "true or false", \.boolValue) }
    func string(_ key: String) throws(HadpoError) -> String? { try read(key, "a string", \.stringValue) }
    func integer(_ key: String) throws(HadpoError) -> Int? { try read(key, "an integer", \.intValue) }
    func number(_ key: String) throws(HadpoError) -> Double? { try read(key, "a number", \.doubleValue) }

    /// One number for all channels or one for each.
    func channels(_ key: String) throws(HadpoError) -> [Double]? {
        try read(key, "three numbers") { value in
            if let one = value.doubleValue { return [one, one, one] }
            let channels = value.arrayValue?.compactMap(\.doubleValue)
            return channels?.count == value.arrayValue?.count ? channels : nil
        }
    }

    /// 336, [336, 336], {"shortest_edge": 336} or {"height": 336, "width": 336}.
    func size(_ key: String) throws(HadpoError) -> Extent? {
        try read(key, "an integer, shortest_edge, or height and width") { value in
            if let side = value.intValue { return .side(side) }
            if let pair = value.arrayValue, pair.count == 2, let height = pair[0].intValue, let width = pair[1].intValue {
                return .exact(height: height, width: width)
            }
            let given = value.objectValue?.filter { !$0.value.isNull }.map(\.key).sorted()
            if given == ["shortest_edge"], let edge = value["shortest_edge"]?.intValue { return .shortestEdge(edge) }
            if given == ["height", "width"], let height = value["height"]?.intValue, let width = value["width"]?.intValue {
                return .exact(height: height, width: width)
            }
            return nil
        }
    }
}
