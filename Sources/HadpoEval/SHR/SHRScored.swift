import HadpoBase

/// A score of SHR read back: the folder that `hadpo.shr-score/1` writes, or its sentences alone (sentences.jsonl, or upstream's
/// judgement.json).
package struct SHRScored: Sendable {
    package let path: String
    package let sha256: String
    package let records: [SHRRecord]
    /// The score's own report; made of the sentences where they came without one.
    package let report: JSON
    /// As the score counted it; of sentences that came without one, what their outcomes say.
    package let coverage: Coverage

    package init(_ path: String, resamples: Int, seed: Int) throws(HadpoError) {
        let isFolder = File.isDirectory(path)
        self.path = isFolder ? File.join(path, SHRScored.sentencesName) : path
        let stored: JSON?
        if isFolder || File.name(of: path).hasSameBytes(SHRScored.sentencesName) {
            let folder = isFolder ? path : File.folder(of: path)
            (sha256, records, stored) = try SavedFolder.read(folder, progress: SilentProgress()) {
                (saved) throws(HadpoError) -> (String, [SHRRecord], JSON?) in
                let sentences = try saved.path(SHRScored.sentencesName) ?? File.join(folder, SHRScored.sentencesName)
                let report = try saved.path("report.json")
                try saved.check([SHRScored.sentencesName, "report.json"], progress: SilentProgress())
                return (
                    SHA256.hex(try File.read(sentences)), try SHRRecord.read(sentences), try SHRScored.report(report)
                )
            }
        } else {
            sha256 = SHA256.hex(try File.read(path))
            records = try SHRRecord.read(path)
            stored = nil
        }
        if let stored, let asked = stored["asked"]?.intValue, let scored = stored["scored"]?.intValue,
            (0...asked).contains(scored)
        {
            report = stored
            coverage = Coverage(asked: asked, scored: scored)
            return
        }
        var outcomes = SHROutcomes()
        let descriptions = SHRDescriptionRecords(records).ordered
        for sentences in descriptions {
            guard let first = sentences.first else { continue }
            let isUnread = first.outcome.hasSameBytes("judged") && !sentences.allSatisfy(\.isJudged)
            outcomes.add(isUnread ? "unread_verdicts" : first.outcome, first.image)
        }
        coverage = Coverage(asked: descriptions.count, scored: outcomes.count("judged"))
        if let stored {
            report = stored
            return
        }
        let figures = SHRFigures(records: records, resamples: resamples, seed: seed)
        report = [
            "schema": "hadpo.shr-report/1", "judge": nil, "images": JSON(Set(records.map(\.image)).count),
            "asked": JSON(coverage.asked), "scored": JSON(coverage.scored), "missing": JSON(coverage.missing),
            "outcomes": outcomes.json, "corrected": figures.json, "length_matched": figures.lengthMatched,
        ]
    }

    private static let sentencesName = "sentences.jsonl"

    private static func report(_ path: String?) throws(HadpoError) -> JSON? {
        guard let path, File.isFile(path) else { return nil }
        let stored = try File.readJSON(path)
        guard stored["schema"]?.stringValue == "hadpo.shr-report/1", stored["corrected"] != nil else {
            throw HadpoError(.format, "not the report of an SHR score", at: path, expected: "schema hadpo.shr-report/1")
        }
        return stored
    }

    /// - Parameter partial: whether descriptions that only one of them has may be left out.
    package func comparison(
        with baseline: SHRScored, resamples: Int, seed: Int, partial: Bool
    ) throws(HadpoError) -> JSON {
        let theirs = try SHRRecord.named(baseline.records, as: records, in: baseline.path, of: path)
        try ScoredOrigin.requireTwoFiles(
            (path, sha256, report["origin"]), (baseline.path, baseline.sha256, baseline.report["origin"]))
        let comparison = SHRComparison(
            run: records, baseline: theirs, path: baseline.path, resamples: resamples, seed: seed,
            judges: SHRJudges(run: report["judge"] ?? .null, baseline: baseline.report["judge"] ?? .null))
        try comparison.requireSame(partial: partial)
        return comparison.json
    }
}
