import HadpoBase

/// A score of SHR read back: the folder that `hadpo.shr-score/1` writes, or its sentences alone (sentences.jsonl, or upstream's
/// judgement.json).
package struct SHRScored: Sendable {
    package let path: String
    package let sha256: String
    package let records: [SHRRecord]
    /// The score's own report; made of the sentences where they came without one.
    package let report: JSON

    package init(_ path: String, resamples: Int, seed: Int) throws(HadpoError) {
        let isFolder = File.isDirectory(path)
        let sentences = isFolder ? File.join(path, "sentences.jsonl") : path
        let beside = File.join(isFolder ? path : File.folder(of: path), "report.json")
        self.path = sentences
        sha256 = SHA256.hex(try File.read(sentences))
        records = try SHRRecord.read(sentences)
        if isFolder || File.name(of: path).hasSameBytes("sentences.jsonl"), File.isFile(beside) {
            let stored = try File.readJSON(beside)
            guard stored["schema"]?.stringValue == "hadpo.shr-report/1", stored["corrected"] != nil else {
                throw HadpoError(.format, "not the report of an SHR score", at: beside, expected: "schema hadpo.shr-report/1")
            }
            report = stored
            return
        }
        let figures = SHRFigures(records: records, resamples: resamples, seed: seed)
        var outcomes = SHROutcomes()
        var known: Set<String> = []
        for record in records where known.insert(record.run + "/" + record.image).inserted {
            outcomes.add(record.outcome, record.image)
        }
        report = [
            "schema": "hadpo.shr-report/1", "judge": nil, "images": JSON(Set(records.map(\.image)).count),
            "outcomes": outcomes.json, "corrected": figures.json, "length_matched": figures.lengthMatched,
        ]
    }

    package func comparison(with baseline: SHRScored, resamples: Int, seed: Int) -> JSON {
        SHRComparison(run: records, baseline: baseline.records, path: baseline.path, resamples: resamples, seed: seed).json
    }
}
