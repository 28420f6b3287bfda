import HadpoBase

/// Progress records of long work: how much is done, how fast, how long yet.
package struct GenerationPace {
    private let task: String
    private let unit: String
    private let start = Clock.now()
    private var last: Double

    package init(task: String, unit: String) {
        self.task = task
        self.unit = unit
        last = start
    }

    package var seconds: Double { Clock.now() - start }

    /// At most four records a second, and one at the end.
    package mutating func report(_ done: Int, of total: Int, _ progress: any Progress) throws(HadpoError) {
        let now = Clock.now()
        guard now - last >= 0.25 || done >= total else { return }
        last = now
        let rate = now > start ? Double(done) / (now - start) : 0
        try progress.emit([
            "event": "progress", "task": .string(task), "done": JSON(done), "total": JSON(total), "unit": .string(unit),
            "rate": .double(rate), "eta_seconds": rate > 0 ? .double(Double(total - done) / rate) : nil,
        ])
    }
}
