import HadpoBase
import HadpoVision
import Testing

@Suite struct PreprocessorConfigTests {
    /// openai/clip-vit-large-patch14-336 in the old style.
    private let oldStyle: JSON = [
        "crop_size": 336, "do_center_crop": true, "do_normalize": true, "do_resize": true,
        "feature_extractor_type": "CLIPFeatureExtractor", "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711], "resample": 3, "size": 336,
    ]

    private func with(_ base: JSON, _ key: String, _ value: JSON?) -> JSON {
        var config = base
        config[key] = value
        return config
    }

    private func error(_ config: JSON) -> HadpoError? { failure { _ = try ImagePipeline(preprocessorConfig: config) } }

    @Test("integers of the old style mean the shortest edge and a square crop")
    func old() throws {
        #expect(try ImagePipeline(preprocessorConfig: oldStyle) == .clip(size: 336, pad: false))
    }

    @Test("objects of the new style say the same")
    func new() throws {
        let config: JSON = [
            "image_processor_type": "CLIPImageProcessorFast", "size": ["shortest_edge": 336],
            "crop_size": ["height": 336, "width": 336], "do_convert_rgb": true, "do_rescale": true, "resample": 3,
            "rescale_factor": 0.00392156862745098, "processor_class": "LlavaProcessor", "data_format": "channels_first",
            "image_mean": nil, "pad_size": nil,
        ]
        #expect(try ImagePipeline(preprocessorConfig: config) == .clip(size: 336, pad: false))
        #expect(try ImagePipeline(preprocessorConfig: ["image_processor": config]) == .clip(size: 336, pad: false))
    }

    @Test("a class alone brings its defaults")
    func defaults() throws {
        #expect(
            try ImagePipeline(preprocessorConfig: ["image_processor_type": "CLIPImageProcessor"]) == .clip(size: 224, pad: false))
        #expect(try ImagePipeline(preprocessorConfig: ["image_processor_type": "BlipImageProcessor"]) == .blip(size: 384))
        #expect(
            try ImagePipeline(preprocessorConfig: ["image_processor_type": "BlipImageProcessor", "size": 224]) == .blip(size: 224)
        )
        #expect(
            try ImagePipeline(preprocessorConfig: [
                "image_processor_type": "BlipImageProcessor", "size": ["height": 224, "width": 224],
            ]) == .blip(size: 224))
    }

    @Test("do_pad of LlavaImageProcessor pads to a square; for other classes it is refused")
    func padding() throws {
        let llava: JSON = ["image_processor_type": "LlavaImageProcessor", "size": 336, "crop_size": 336, "do_pad": true]
        #expect(try ImagePipeline(preprocessorConfig: llava) == .clip(size: 336, pad: true))
        #expect(try ImagePipeline(preprocessorConfig: with(llava, "do_pad", false)) == .clip(size: 336, pad: false))
        #expect(error(with(oldStyle, "do_pad", true))?.place == "/do_pad")
    }

    @Test("steps switched off are left out")
    func flags() throws {
        let size = ImagePipeline.Size(height: 336, width: 336)
        var expected = try ImagePipeline(
            pad: false, resize: .none, resample: .bicubic, crop: size, rescale: 1 / 255,
            normalization: ImagePipeline.clipNormalization)
        #expect(try ImagePipeline(preprocessorConfig: with(oldStyle, "do_resize", false)) == expected)
        expected = try ImagePipeline(
            pad: false, resize: .shortestEdge(336), resample: .box, crop: size, rescale: nil, normalization: nil)
        let bare = with(with(with(oldStyle, "do_rescale", false), "do_normalize", false), "resample", 4)
        #expect(try ImagePipeline(preprocessorConfig: bare) == expected)
        expected = try ImagePipeline(
            pad: false, resize: .exact(height: 20, width: 30), resample: .bicubic, crop: nil, rescale: 0.5,
            normalization: .init(mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25]))
        var scalar = with(with(oldStyle, "do_center_crop", false), "size", ["height": 20, "width": 30])
        scalar = with(with(with(scalar, "rescale_factor", 0.5), "image_mean", 0.5), "image_std", 0.25)
        #expect(try ImagePipeline(preprocessorConfig: scalar) == expected)
    }

    @Test("an unknown image processor is named in the error")
    func unknownClass() {
        let found = error(["image_processor_type": "Qwen2VLImageProcessor"])
        #expect(found?.status == .unsupported && found?.found == "Qwen2VLImageProcessor")
        #expect(error(["size": 336])?.found == "no image_processor_type")
        #expect(error([1, 2])?.status == .config)
        #expect(error(["image_processor": "no"])?.status == .config)
    }

    @Test("a step this library does not know is refused when it is on and ignored when it is off")
    func unknownStep() {
        #expect(error(with(oldStyle, "do_flip_channel_order", true))?.place == "/do_flip_channel_order")
        #expect(error(with(oldStyle, "do_flip_channel_order", false)) == nil)
    }

    @Test("wrong types and senseless values are errors that say where")
    func wrongTypes() {
        let wrong: [(String, JSON)] = [
            ("size", "big"), ("size", ["longest_edge": 336]), ("size", ["shortest_edge": 1, "longest_edge": 2]), ("size", 336.5),
            ("size", [1, 2, 3]), ("crop_size", ["shortest_edge": 336]), ("resample", 6), ("resample", -1),
            ("resample", "bicubic"),
            ("do_resize", 1), ("image_mean", [0.5, "x", 0.5]), ("image_std", true), ("feature_extractor_type", 3),
        ]
        for (key, value) in wrong {
            let found = error(with(oldStyle, key, value))
            #expect(found?.status == .config && found?.place == "/" + key && found?.found != nil, "\(key) \(value)")
        }
        for (key, value) in [("size", 0), ("size", -7), ("crop_size", Int.max), ("image_std", 0)] {
            #expect(error(with(oldStyle, key, JSON(value)))?.status == .config, "\(key) \(value)")
        }
        #expect(error(with(oldStyle, "do_center_crop", false))?.message == "the image processor leaves images of different sizes")
    }
}
