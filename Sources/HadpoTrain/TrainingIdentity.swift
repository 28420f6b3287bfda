import HadpoBase
import HadpoModels

/// What a saved training goes on with: everything that moves a number, by name. Paths and sizes of caches may differ between a run and
/// its continuation, as may what only looks on.
package struct TrainingIdentity: Sendable, Equatable {
    /// The opened model, without what the training puts on it.
    package let model: ModelIdentity
    /// Of the numbers that are trained, as they are before the first step: drawn, or an adapter's.
    package let start: String
    /// The configuration's keys that move a number.
    package let settings: JSON
    package let data: Data

    package struct Data: Sendable, Equatable {
        package let samples: Int
        /// Of all prompts and answers as tokens.
        package let texts: String
        /// Of the files' bytes.
        package let pictures: String
    }

    /// - Parameters:
    ///   - resolved: the configuration with its defaults.
    ///   - start: trainable parameters, none of which has moved.
    init(
        _ model: ModelIdentity, resolved: JSON, start: [TrainableParameter], samples: [TrainingSample], progress: any Progress
    ) throws(HadpoError) {
        self.model = model
        self.start = ContentHash.of(start.map { ($0.name, $0.value.data) }) ?? ""
        settings = Self.settings(resolved)
        data = try Data(samples, progress: progress)
    }

    /// What says where things lie, or is in `data` and `start` by its content.
    private static let free: [String: Set<String>] = [
        "": ["schema", "output", "log", "save_every", "feature_cache_bytes", "guard", "overwrite"],
        "reference": ["cache"],
        "lora": ["init"],
        "data": [
            "desc", "pope", "image_data", "images", "outside", "pairs", "samples", "cc_sbu_align", "format",
            "decode",
        ],
    ]

    private static func settings(_ resolved: JSON) -> JSON {
        .object(
            (resolved.objectValue ?? []).compactMap { member in
                if free[""]?.contains(member.key) ?? false { return nil }
                guard let inner = free[member.key], let members = member.value.objectValue else { return member }
                return .init(member.key, .object(members.filter { !inner.contains($0.key) }))
            })
    }
}

extension TrainingIdentity.Data {
    fileprivate init(_ samples: [TrainingSample], progress: any Progress) throws(HadpoError) {
        var texts = SHA256()
        var pictures = SHA256()
        var hashes: [String: String] = [:]
        for sample in samples {
            try progress.tick()
            for turn in [TrainingSample.Turn(prompt: sample.prompt, branches: sample.branches)] + sample.turns {
                for piece in turn.prompt {
                    switch piece {
                    case .tokens(let ids): texts.update(ids: ids)
                    case .picture(let instruction): texts.update(ids: [-200] + instruction)
                    }
                }
                for branch in turn.branches { texts.update(ids: branch) }
            }
            texts.update(record: "\(sample.augmentation)")
            if sample.weight != 1 { texts.update(record: "weight \(sample.weight)") }
            guard let path = sample.imagePath else {
                pictures.update(record: "none")
                continue
            }
            let hash: String
            if let known = hashes[path] {
                hash = known
            } else {
                var bytes = XXHash64()
                try File.bytes(path).withBytes { (raw) throws(HadpoError) in bytes.update(raw) }
                hash = bytes.text
                hashes[path] = hash
            }
            pictures.update(record: hash)
        }
        self.init(samples: samples.count, texts: texts.hexDigest(), pictures: pictures.hexDigest())
    }

    fileprivate var json: JSON { ["samples": JSON(samples), "texts": .string(texts), "pictures": .string(pictures)] }

    fileprivate init?(_ json: JSON?) {
        guard let samples = json?["samples"]?.intValue, let texts = json?["texts"]?.stringValue,
            let pictures = json?["pictures"]?.stringValue
        else { return nil }
        self.init(samples: samples, texts: texts, pictures: pictures)
    }
}

extension SHA256 {
    /// With the count first: [1][2 3] and [1 2][3] are two things.
    fileprivate mutating func update(ids: [Int32]) {
        update("\(ids.count):")
        ids.withUnsafeBytes { update($0) }
    }
}

// MARK: in a saved training

extension TrainingIdentity {
    package var json: JSON {
        ["model": model.json, "start": .string(start), "settings": settings, "data": data.json]
    }

    package init(_ text: String, at place: String) throws(HadpoError) {
        let json: JSON
        do throws(HadpoError) { json = try JSON.parse(text, source: place) } catch { throw Self.malformed(text, place) }
        guard let start = json["start"]?.stringValue, let settings = json["settings"], let data = Data(json["data"]) else {
            throw Self.malformed(text, place)
        }
        model = try ModelIdentity(json["model"] ?? .null, at: place)
        self.start = start
        self.settings = settings
        self.data = data
    }

    private static func malformed(_ text: String, _ place: String) -> HadpoError {
        HadpoError(
            .format, "the saved training does not say what it was made with: an older version's, or damaged", at: place,
            found: String(text.prefix(80)), expected: "the model, the settings and the data as this version writes them")
    }

    /// What is not as it was, a sentence each.
    package func differences(from earlier: TrainingIdentity) -> [String] {
        let these = "its steps"
        var sentences = model.differences(from: earlier.model, these)
        if settings != earlier.settings { sentences += settings.differences(from: earlier.settings, these) }
        if start != earlier.start, sentences.isEmpty {
            sentences.append(
                "what the training starts from: content \(shortened(hash: earlier.start)) then, \(shortened(hash: start)) now; "
                    + "another adapter, or none")
        }
        if data.samples != earlier.data.samples {
            sentences.append("the data: \(earlier.data.samples) samples then, \(data.samples) now")
        } else if data.texts != earlier.data.texts {
            sentences.append(
                "the questions and answers: content \(shortened(hash: earlier.data.texts)) then, \(shortened(hash: data.texts)) now"
            )
        }
        if data.pictures != earlier.data.pictures {
            sentences.append(
                "the pictures' bytes: content \(shortened(hash: earlier.data.pictures)) then, \(shortened(hash: data.pictures)) now"
            )
        }
        return sentences
    }
}
