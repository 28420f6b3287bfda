import HadpoBase

// Which of the keys of "hadpo.model/1" that name files a family's layout takes: one that was given and is not read is refused.

extension ModelFiles {
    func refuseUnused(by folder: any ModelFolder) throws(HadpoError) {
        let isOriginal = (folder as? LLaVAFolder)?.layout == .original
        let isLAVIS = (folder as? InstructBLIPFolder)?.layout == .lavis
        let isApart = folder.family == .minigpt4 || isLAVIS
        let uses: [(key: String, value: String?, isUsed: Bool)] = [
            ("vision_tower", visionTower, isOriginal || isApart), ("checkpoint", checkpoint, isApart), ("bert", bert, isLAVIS),
            ("image_size", imageSize > 0 ? "\(imageSize)" : nil, folder.family != .llava),
        ]
        let taken = uses.filter(\.isUsed).map(\.key)
        for use in uses where !use.isUsed {
            guard let value = use.value else { continue }
            throw HadpoError(
                .config, "a key that this model does not use", at: "/" + use.key,
                found: "'\(value)', and a model of family \(folder.family.rawValue), layout \(folder.layoutName)",
                expected: taken.isEmpty ? "path alone" : "path, and \(taken.joined(separator: ", ")) where needed")
        }
        guard isOriginal, let visionTower, (folder as? LLaVAFolder)?.towerPath != visionTower else { return }
        throw HadpoError(
            .io, "the vision tower that was named is no folder", at: "/vision_tower", found: visionTower,
            expected: "a folder like openai/clip-vit-large-patch14-336")
    }
}

extension ModelFolder {
    /// What generation_config.json says of an answer's length, which is the request's to say.
    package func lengthNotes() throws(HadpoError) -> [String] {
        let file = File.join(path, "generation_config.json")
        guard File.exists(file) else { return [] }
        let json = try File.readJSON(file, limits: .checkpoint)
        var notes: [String] = []
        for key in ["max_new_tokens", "max_length"] {
            guard let value = json[key], !value.isNull else { continue }
            notes.append(
                "\(key) \(value.shortText()) of generation_config.json is not used: max_new_tokens of each request counts, and its default"
            )
        }
        return notes
    }
}
