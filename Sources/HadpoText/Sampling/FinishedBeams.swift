import Glibc

/// transformers 4.31, BeamHypotheses: the best B finished sequences without their EOS, in the order they came.
struct FinishedList: Sendable {
    let capacity: Int
    private(set) var hypotheses: [BeamSearch.Hypothesis] = []
    private(set) var worst = 1e9
    var isDone = false

    init(capacity: Int) { self.capacity = capacity }

    var isFull: Bool { hypotheses.count >= capacity }

    mutating func add(_ ids: [Int32], sum: Double, _ lengthPenalty: Double) {
        let score = sum / pow(Double(ids.count), lengthPenalty)
        guard !isFull || score > worst else { return }
        hypotheses.append(BeamSearch.Hypothesis(ids: ids, score: score))
        guard hypotheses.count > capacity else {
            worst = min(worst, score)
            return
        }
        // out goes the lowest score, the first among equals; the second lowest is the new worst
        let order = ascending()
        worst = hypotheses[order[1]].score
        hypotheses.remove(at: order[0])
    }

    /// Best first; the later one among equals.
    func best(_ count: Int) -> [BeamSearch.Hypothesis] { ascending().reversed().prefix(max(0, count)).map { hypotheses[$0] } }

    private func ascending() -> [Int] {
        hypotheses.indices.sorted {
            (hypotheses[$0].score, $0) < (hypotheses[$1].score, $1)
        }
    }
}

/// transformers 4.57: B slots, best first, that hold the prompt until a finished sequence takes one.
struct FinishedSlots: Sendable {
    struct Slot: Sendable {
        var ids: [Int32]
        var score: Float
        var isFinished: Bool
    }

    private(set) var slots: [Slot]
    /// An open beam may still beat a finished one; once false, nothing is added.
    var canImprove = true

    init(capacity: Int, prompt: [Int32]) {
        slots = Array(repeating: Slot(ids: prompt, score: -1e9, isFinished: false), count: capacity)
    }

    var isFull: Bool { slots.allSatisfy(\.isFinished) }

    /// What an open beam has to beat: any slot that is free, or else the lowest score.
    var worst: Float { isFull ? slots.last?.score ?? -1e9 : -1e9 }

    mutating func add(_ ids: [Int32], score: Float) {
        let place = slots.firstIndex { $0.score < score } ?? slots.count
        slots.insert(Slot(ids: ids, score: score, isFinished: true), at: place)
        slots.removeLast()
    }
}
