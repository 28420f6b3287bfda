import HadpoBase

/// A training's log read back: a record a step, and records of other kinds between them, whatever they are.
struct TrainingLog {
    /// A record that is neither a step nor the guard's.
    struct Other {
        let step: Int?
        let kind: String
        let fields: [(name: String, value: JSON)]
    }

    let path: String
    private let sha256: String
    private(set) var steps: [(step: Int, record: JSON)] = []
    private(set) var others: [Other] = []
    /// Records of `TrainingGuard`: what it saw, and the last reason to stop.
    private var looks: [(step: Int, record: JSON)] = []
    private var stop: JSON = .null
    private var loggedTwice = 0

    init(_ path: String) throws(HadpoError) {
        let lines = try JSONLineReader(path, dropTornLine: true, isHashed: true)
        self.path = path
        var places: [Int: Int] = [:]
        var lookPlaces: [Int: Int] = [:]
        var first: JSON?
        while let line = try lines.next() {
            let record = line.value
            let kind = (record["event"] ?? record["kind"] ?? record["type"])?.stringValue
            let step = record["step"]?.intValue
            if first == nil { first = record }
            guard record.objectValue != nil else {
                throw HadpoError(
                    .format, "no record of a training", at: "\(path):\(line.number)", found: record.kind, expected: "an object")
            }
            if let step, kind == "step" || kind == nil {
                // A step that is logged again was taken again after a resumption; the later one is what the weights hold.
                if let place = places[step] {
                    loggedTwice += 1
                    steps[place].record = record
                } else {
                    places[step] = steps.count
                    steps.append((step, record))
                }
            } else if kind == "guard", let step, record["figures"]?.objectValue != nil {
                let look: JSON = ["step": JSON(step), "figures": record["figures"] ?? nil]
                // Looked at again after a resumption.
                if let place = lookPlaces[step] {
                    looks[place].record = look
                } else {
                    lookPlaces[step] = looks.count
                    looks.append((step, look))
                }
            } else if kind == "guard_stop" {
                stop = record
            } else {
                others.append(Other(step: step, kind: kind ?? "record", fields: Self.flat(record, "")))
            }
        }
        sha256 = lines.sha256 ?? ""
        guard steps.contains(where: { step in Self.figures.contains { step.record[$0] != nil } }) else {
            throw HadpoError(
                .format, "no log of a training", at: path, found: first.map(Self.kind) ?? "a file without records",
                expected: "the file that a training's key \"log\" (--log) names: records with step and loss")
        }
        steps.sort { $0.step < $1.step }
    }

    /// What a file is whose first record this is, and which is no log.
    private static func kind(_ record: JSON) -> String {
        let known: [(keys: [String], what: String)] = [
            (["key", "logps"], "a reference cache"), (["key", "identity"], "a reference cache"),
            (["question_id", "answer"], "answers to POPE questions"), (["question_id", "label"], "POPE questions"),
            (["image_id", "description"], "descriptions"), (["image_id", "caption"], "captions"),
            (["chosen", "rejected"], "preference pairs"), (["origin"], "what lies beside answers"),
        ]
        let what = known.first { $0.keys.allSatisfy { record[$0] != nil } }?.what ?? "no step among its records"
        return "\(what); it begins with \(record.shortText(80))"
    }

    /// Steps with a loss that is null or no finite number, as of a training that has run away.
    private var lossless: [Int] {
        steps.filter { $0.record["loss"].map { !($0.doubleValue?.isFinite ?? false) } ?? false }.map(\.step)
    }

    /// Members of members by their path; arrays and objects without end are cut, and so is what a path repeats for every member.
    private static func flat(_ record: JSON, _ prefix: String, depth: Int = 0) -> [(name: String, value: JSON)] {
        var fields: [(name: String, value: JSON)] = []
        for member in record.objectValue ?? [] where depth > 0 || !["event", "kind", "type", "step"].contains(member.key) {
            let name = prefix + member.key
            if member.value.objectValue != nil, depth < 3 {
                fields += flat(member.value, prefix + shortened(member.key, 60) + ".", depth: depth + 1)
            } else {
                fields.append((name, member.value))
            }
        }
        return fields
    }

    func series(_ key: String) -> [(x: Double, y: Double)] {
        steps.compactMap { step in
            guard let value = step.record[key]?.doubleValue, value.isFinite else { return nil }
            return (Double(step.step), value)
        }
    }

    /// Numbers of the other records by kind and name, where there are at least two to draw.
    var otherSeries: [(kind: String, name: String, points: [(x: Double, y: Double)])] {
        var order: [String] = []
        var points: [String: (kind: String, name: String, points: [(x: Double, y: Double)])] = [:]
        for other in others {
            guard let step = other.step else { continue }
            for field in other.fields {
                guard let value = field.value.doubleValue, value.isFinite else { continue }
                let key = other.kind + "\u{0}" + field.name
                if points[key] == nil {
                    order.append(key)
                    points[key] = (other.kind, field.name, [])
                }
                points[key]?.points.append((Double(step), value))
            }
        }
        return order.compactMap { points[$0] }.filter { series in
            series.points.count > 1 && series.points.contains { $0.y != series.points[0].y }
                && !Self.contains(series.name, "second")
        }
    }

    /// By bytes: the standard library's search goes back by characters, and looks at all of a long row of flags for each.
    private static func contains(_ name: String, _ word: String) -> Bool {
        let (name, word) = (Array(name.utf8), Array(word.utf8))
        return name.indices.contains { name[$0...].starts(with: word) }
    }

    static let figures = [
        "loss", "dpo_loss", "language_modeling_loss", "rewards/margins", "rewards/chosen", "rewards/rejected",
        "rewards/accuracies",
        "policy_logps/chosen", "policy_logps/rejected", "learning_rate", "grad_norm",
    ]

    /// What the page's table shows: each figure at the first and the last step, its lowest and its highest.
    var json: JSON {
        var figures: JSON = [:]
        for key in Self.figures {
            let values = series(key).map(\.y)
            guard let first = values.first, let last = values.last, let low = values.min(), let high = values.max() else {
                continue
            }
            figures[key] = [
                "steps": JSON(values.count), "first": .double(first), "last": .double(last), "lowest": .double(low),
                "highest": .double(high),
            ]
        }
        var kinds: [String] = []
        var kindCounts: [String: Int] = [:]
        for other in others {
            if kindCounts[other.kind] == nil { kinds.append(other.kind) }
            kindCounts[other.kind, default: 0] += 1
        }
        let seconds = series("seconds").map(\.y)
        return [
            "path": .string(path), "sha256": .string(sha256), "steps": JSON(steps.count), "first_step": JSON(steps.first?.step),
            "last_step": JSON(steps.last?.step), "logged_twice": JSON(loggedTwice), "steps_without_loss": JSON(lossless.count),
            "first_step_without_loss": JSON(lossless.first),
            "other_records": .object(kinds.map { .init($0, JSON(kindCounts[$0] ?? 0)) }),
            "seconds": JSON(seconds.isEmpty ? nil : seconds.reduce(0, +)),
            "epoch": JSON(steps.last?.record["epoch"]?.doubleValue),
            "figures": figures,
            "guard": looks.isEmpty && stop.isNull
                ? .null
                : ["records": .array(looks.sorted { $0.step < $1.step }.map(\.record)), "stopped": stop],
        ]
    }
}
