import HadpoBase

/// CC-SBU-Align, MiniGPT-4's second-stage data, which HA-DPO learns from beside the preference pairs: a folder with
/// `filter_cap.json`, {"annotations": [{"image_id", "caption"}]}, and `image/<image_id>.jpg`. Captions are taken as they are.
package enum AlignedCaptions {
    package static func read(_ folder: String, outside: Bool) throws(HadpoError) -> SampleSet<CaptionSample> {
        let path = File.join(folder, "filter_cap.json")
        guard let entries = try File.readJSON(path)["annotations"]?.arrayValue else {
            throw HadpoError(
                .format, "no aligned captions", at: path, found: "no list 'annotations'",
                expected: "{\"annotations\": [{\"image_id\", \"caption\"}]}")
        }
        var checks = SampleChecks(pictures: PictureFolder(folder, outside: outside))
        var set = SampleSet<CaptionSample>()
        for (index, entry) in entries.enumerated() {
            let source = SampleSource(file: path, index: index)
            guard let id = entry["image_id"]?.stringValue ?? entry["image_id"]?.intValue.map(String.init),
                !id.isEmpty, let caption = entry["caption"]?.stringValue
            else {
                set.problems.append(.init(source, id: "\(index)", "'image_id' and 'caption' are not both there"))
                continue
            }
            let picture = checks.picture("image/\(id).jpg")
            guard let imagePath = picture.path else {
                set.problems.append(.init(source, id: id, picture.reason ?? "no picture"))
                continue
            }
            let sample = CaptionSample(
                id: id, imagePath: imagePath, prompt: .question(UpstreamPairs.questionTemplates[0]),
                answer: caption, drawsQuestion: true, source: source)
            if let reason = SampleChecks.reason(sample) {
                set.problems.append(.init(source, id: id, reason))
            } else {
                set.samples.append(sample)
            }
        }
        return set
    }
}
