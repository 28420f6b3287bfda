import HadpoAutograd
import HadpoBase
import HadpoModels

// Preference training has a healthy point and goes on past it: answers turn to "no" and descriptions fall short or apart while the
// loss still falls. The guard looks at the model itself every so many steps. It reads and never writes: a training that it does not
// stop ends with the same bits as without it.

/// What one look found.
package struct GuardRecord: Sendable, Equatable {
    package let step: Int
    package let figures: [Figure]

    package struct Figure: Sendable, Equatable {
        package let name: String
        package let value: Double?
    }

    package subscript(name: String) -> Double? { figures.first { $0.name == name }?.value }

    /// Without times: the same training has the same records.
    package var json: JSON {
        ["event": "guard", "step": JSON(step), "figures": .object(figures.map { .init($0.name, JSON($0.value)) })]
    }

    init(step: Int, figures: [Figure]) {
        self.step = step
        self.figures = figures
    }

    init(_ json: JSON, source: String) throws(HadpoError) {
        guard let step = json["step"]?.intValue, step >= 0, let members = json["figures"]?.objectValue else {
            throw HadpoError(
                .format, "no record of the guard", at: source, found: json.kind, expected: "an object with step and figures")
        }
        self.step = step
        var figures: [Figure] = []
        for member in members {
            let value = member.value.doubleValue
            guard value?.isFinite ?? member.value.isNull else {
                throw HadpoError(
                    .format, "a figure of the guard is no number", at: source, found: String(member.value.text().prefix(120)),
                    expected: "a number or null for \(member.key)")
            }
            figures.append(Figure(name: member.key, value: value))
        }
        self.figures = figures
    }
}

/// Which rule ended the training, and with what.
package struct GuardStop: Sendable {
    package let step: Int
    package let rule: GuardConfig.Rule
    package let value: Double
    /// What `falls` and `rises` count from.
    package let extreme: Double?
    /// The rule was broken before the first step already, and ever since.
    package let isFromStart: Bool

    package var json: JSON {
        var members: [JSON.Member] = [
            .init("event", "guard_stop"), .init("step", JSON(step)), .init("figure", .string(rule.figure)),
            .init("value", JSON(value)), .init("rule", .string(rule.kind.rawValue)), .init("limit", JSON(rule.limit)),
            .init("patience", JSON(rule.patience)),
        ]
        if let extreme { members.append(.init(rule.kind == .falls ? "highest" : "lowest", JSON(extreme))) }
        members.append(.init("message", .string(message)))
        return .object(members)
    }

    private var message: String {
        func short(_ value: Double) -> String { fixed(value, 4) }
        let start = isFromStart ? ": so it was before step 1, and the training has not brought it about" : ""
        let what = "\(rule.figure) is \(short(value)) at step \(step)"
        switch rule.kind {
        case .below, .above: return "\(what), \(rule.kind.rawValue) \(short(rule.limit))\(start)"
        case .falls: return "\(what), more than \(short(rule.limit)) below its highest value, \(short(extreme ?? value))"
        case .rises: return "\(what), more than \(short(rule.limit)) above its lowest value, \(short(extreme ?? value))"
        }
    }
}

package final class TrainingGuard {
    package let config: GuardConfig
    private let gauge: (any ModelGauge)?
    package private(set) var history: [GuardRecord] = []

    package init(_ config: GuardConfig, gauge: (any ModelGauge)?) throws(HadpoError) {
        guard gauge != nil || (config.pope == nil && config.describe == nil) else {
            throw HadpoError(.internal, "a guard that asks, without its gauge", at: "/guard")
        }
        self.config = config
        self.gauge = gauge
    }

    /// Whether the model is to be looked at now; a look that was interrupted is taken again.
    func isDue(_ trainer: Trainer) -> Bool {
        (trainer.step % config.every == 0 || trainer.isFinished) && history.last?.step != trainer.step
    }

    func measure(_ trainer: Trainer, progress: any Progress) throws(HadpoError) -> GuardRecord {
        let quiet = GuardProgress(progress)
        var figures: [GuardRecord.Figure] = []
        let own = try trainer.answerLogProbs(samples: config.pairs, progress: quiet)
        for (name, value) in zip(GuardConfig.ownFigures(trainer.config.method), own) {
            figures.append(.init(name: name, value: value.isFinite ? value : nil))
        }
        if let gauge {
            for (name, value) in zip(gauge.figures, try gauge.measure(progress: quiet)) {
                figures.append(.init(name: name, value: value))
            }
        }
        return GuardRecord(step: trainer.step, figures: figures)
    }

    func add(_ record: GuardRecord) { history.append(record) }

    /// Whether `record` would be the best so far. The model before training is never kept; of equals the earlier stays.
    func isBest(_ record: GuardRecord) -> Bool {
        guard record.step > 0, let value = record[config.best] else { return false }
        guard let best = best?[config.best] else { return true }
        return config.bestIs == .highest ? value > best : value < best
    }

    package var best: GuardRecord? {
        var best: (record: GuardRecord, value: Double)?
        for record in history where record.step > 0 {
            guard let value = record[config.best] else { continue }
            if let known = best, config.bestIs == .highest ? value <= known.value : value >= known.value { continue }
            best = (record, value)
        }
        return best?.record
    }

    /// The first rule that the last record breaks.
    func verdict(at step: Int) -> GuardStop? {
        guard let last = history.last, last.step == step else { return nil }
        for rule in config.rules {
            var broken = 0
            var isFromStart = history.first?.step == 0
            var extreme: Double?
            for record in history {
                guard let value = record[rule.figure] else {
                    broken = 0
                    isFromStart = false
                    continue
                }
                let isBroken: Bool
                switch rule.kind {
                case .below: isBroken = value < rule.limit
                case .above: isBroken = value > rule.limit
                case .falls:
                    extreme = max(extreme ?? value, value)
                    isBroken = (extreme ?? value) - value > rule.limit
                case .rises:
                    extreme = min(extreme ?? value, value)
                    isBroken = value - (extreme ?? value) > rule.limit
                }
                broken = isBroken ? broken + 1 : 0
                isFromStart = isFromStart && isBroken
            }
            if broken >= rule.patience, let value = last[rule.figure] {
                return GuardStop(step: step, rule: rule, value: value, extreme: extreme, isFromStart: isFromStart)
            }
        }
        return nil
    }

    // MARK: in a saved training

    var stored: String { JSON.array(history.map(\.json)).text() }

    /// Looks of a saved training in the order in which they were taken.
    /// - Parameter text: nil when the saved training had no guard.
    func records(_ text: String?, until last: Int, source: String) throws(HadpoError) -> [GuardRecord] {
        guard let text else { return [] }
        let json = try JSON.parse(Array(text.utf8), source: source)
        guard let elements = json.arrayValue else {
            throw HadpoError(.format, "no records of the guard", at: source, found: json.kind, expected: "an array")
        }
        var records: [GuardRecord] = []
        for element in elements {
            let record = try GuardRecord(element, source: source)
            guard record.step > records.last?.step ?? -1, record.step <= last else {
                throw HadpoError(
                    .format, "the guard has looked at a step that does not follow", at: source, found: "step \(record.step)",
                    expected: "rising steps, at most \(last)")
            }
            records.append(record)
        }
        return records
    }

    func restore(_ records: [GuardRecord]) { history = records }

    func report(stopped: GuardStop?, bestFolder: String?) -> JSON {
        var best: JSON = .null
        if let record = self.best {
            best = [
                "step": JSON(record.step), "figure": .string(config.best), "value": JSON(record[config.best]),
                "folder": JSON(bestFolder),
            ]
        }
        return ["records": .array(history.map(\.json)), "best": best, "stopped": stopped?.json ?? .null]
    }
}

/// Lets the host see how far a look is and stop it, but not what a run of its own would say: warnings at every look.
private final class GuardProgress: Progress {
    private let host: any Progress
    init(_ host: any Progress) { self.host = host }
    func tick() throws(HadpoError) { try host.tick() }
    func emit(_ record: JSON) throws(HadpoError) {
        if record["event"]?.stringValue == "progress" { try host.emit(record) }
    }
}

extension Trainer {
    /// Mean log-probability of each answer over samples spread over the data, as the policy stands: chosen and rejected, or the one answer.
    func answerLogProbs(samples wanted: Int, progress: any Progress) throws(HadpoError) -> [Double] {
        let count = min(wanted, samples.count)
        let probe = (0..<count).map { place in
            let index = place * samples.count / count
            return samples[index].drawn(seed: UInt64(config.seed), index: index, epoch: 0, count: samples.count)
        }
        var sums = [Double](repeating: 0, count: config.method == .dpo ? 2 : 1)
        for pack in SamplePack.make(probe, imageRows: model.imageRows, limit: config.packRows) {
            let tape = Tape(device: model.device, progress: progress)
            let values = try model.logProbs(tape, pack.rows, features: try seen(pack, tape)).data.floats()
            for ranges in pack.targets {
                for branch in sums.indices where branch < ranges.count { sums[branch] += sum(values, ranges[branch]) }
            }
        }
        return sums.map { $0 / Double(count) }
    }
}
