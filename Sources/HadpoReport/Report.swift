import HadpoBase
import HadpoEval

/// Writes the page and returns the results that it shows. The same files give the same bytes on the same day: no random names.
package struct Report {
    private let config: ReportConfig
    private let names: Names

    package static func run(_ config: ReportConfig) throws(HadpoError) -> JSON {
        try Report(config: config, names: Names(run: config.name, baseline: config.baselineName, isPair: config.isPair)).write()
    }

    private func write() throws(HadpoError) -> JSON {
        try requireOwnPlace()
        var results: JSON = [
            "schema": "hadpo.report-result/1", "output": .string(config.output),
            "names": ["run": .string(names.run), "baseline": names.isPair ? .string(names.baseline) : .null],
            "made": ["date": .string(try PageDate.today()), "version": .string(Library.version)],
        ]
        // Figures first, then the page out of them: what it shows is what the caller gets.
        var pope: PopeAnswers?
        if let part = config.pope {
            results["pope"] = try PopeEvaluation.run(part)
            pope = try PopeAnswers(part)
        }
        var scored: (run: SHRScored, baseline: SHRScored?)?
        if let part = config.shr {
            let run = try SHRScored(part.scored, resamples: config.resamples, seed: config.seed)
            var baseline: SHRScored?
            if let path = part.baseline { baseline = try SHRScored(path, resamples: config.resamples, seed: config.seed) }
            for scored in [run, baseline].compactMap({ $0 }) {
                try scored.coverage.require(
                    partial: config.partial, "descriptions without verdicts", at: scored.path, "descriptions",
                    missing: "\(scored.coverage.missing)", expected: "a score of every description")
            }
            try ScoredOrigin.requireDifferent(run.report["origin"], baseline?.report["origin"], at: part.baseline ?? part.scored)
            if let baseline {
                try ScoredOrigin.requireTwoFiles(
                    (run.path, run.sha256, run.report["origin"]), (baseline.path, baseline.sha256, baseline.report["origin"]))
            }
            results["shr"] = try SHRSection.results(run, baseline, config)
            scored = (run, baseline)
        }
        var captions: (run: CHAIRRecords, baseline: CHAIRRecords?)?
        if let part = config.chair {
            let run = try CHAIRRecords(part.records)
            var baseline: CHAIRRecords?
            if let path = part.baseline { baseline = try CHAIRRecords(path) }
            if let baseline {
                try ScoredOrigin.requireTwoFiles((run.path, run.sha256, nil), (baseline.path, baseline.sha256, nil))
            }
            try CHAIRSection.require(run, baseline, config)
            results["chair"] = CHAIRSection.results(run, baseline, config)
            captions = (run, baseline)
        }
        var logs: [TrainingLog] = []
        for path in config.training { logs.append(try TrainingLog(path)) }
        if !logs.isEmpty { results["training"] = .array(logs.map(\.json)) }
        var gallery = Gallery(names, try PictureFiles(config))
        if let pope, let part = config.pope { try gallery.add(pope, rule: part.rules.first ?? .official) }
        if let scored { try gallery.add(scored.run, scored.baseline) }
        if let captions { try gallery.add(captions.run, captions.baseline) }
        let (cards, galleryResults) = try gallery.html(most: config.cards, partial: config.partial)
        if config.pope != nil || config.shr != nil || config.chair != nil { results["gallery"] = galleryResults }

        let root = Place(results)
        var sections: [Section] = []
        var glances: [Glance] = []
        if let pope, let part = config.pope {
            let section = PopeSection(root["pope"], pope, names, rules: part.rules)
            sections.append(section.section)
            glances += section.glances
        }
        if config.shr != nil {
            let section = SHRSection(root["shr"], names)
            sections.append(section.section)
            glances += section.glances
        }
        if config.chair != nil {
            let section = CHAIRSection(root["chair"], names)
            sections.append(section.section)
            glances += section.glances
        }
        for (index, log) in logs.enumerated() {
            sections.append(TrainingSection(root["training"][index], log, number: logs.count > 1 ? index + 1 : nil).section)
        }
        if let cards { sections.append(Section(id: "gallery", title: "Pictures", body: cards)) }
        sections.append(OriginSection(root, names).section)
        sections.append(Section(id: "inputs", title: "Inputs", body: inputs(root)))

        let page = Document(
            title: config.title ?? (names.isPair ? "Hallucination: \(names.baseline) and \(names.run)" : "Hallucination report"),
            lede: lede, glances: glances, sections: sections
        ).html
        try File.makeDirectories(File.folder(of: config.output))
        let file = try AtomicFile(config.output)
        var hash = SHA256()
        try page.write { (bytes) throws(HadpoError) in
            try file.write(bytes)
            hash.update(bytes)
        }
        try file.commit()
        results["sha256"] = .string(hash.hexDigest())
        results["bytes"] = JSON(file.byteCount)
        return results
    }

    /// The page takes no input's place, and that of no other file than a page.
    private func requireOwnPlace() throws(HadpoError) {
        var inputs: [OutputPlace.Named] = config.training.map { ("/training", $0) }
        inputs += (config.pope?.inputs ?? []).map { ("/pope" + $0.key, $0.path) }
        inputs += [("/pope/records", config.pope?.records)]
        for (key, path) in [("/shr/scored", config.shr?.scored), ("/shr/baseline", config.shr?.baseline)] {
            guard let path else { continue }
            inputs += [(key, path)] + ["sentences.jsonl", "report.json"].map { (key, File.join(path, $0)) }
        }
        inputs += [("/chair/records", config.chair?.records), ("/chair/baseline", config.chair?.baseline)]
        try OutputPlace.require([("/output", config.output)], apartFrom: inputs)
        guard File.isFile(config.output), try File.size(config.output) > 0 else { return }
        let start = try File.read(config.output).prefix(256).drop { $0 <= 0x20 }
        guard String(decoding: start, as: UTF8.self).lowercased().hasPrefix("<!doctype html") else {
            throw HadpoError(
                .io, "a file that is no page lies where the page would be written", at: config.output,
                expected: "a path of its own, or an earlier page")
        }
    }

    private var lede: HTML {
        var parts: [String] = []
        if config.pope != nil { parts.append("POPE asks about objects that are there and objects that are not") }
        if config.shr != nil { parts.append("SHR counts the sentences of a description that a judge calls hallucinations") }
        if config.chair != nil { parts.append("CHAIR counts the objects that captions mention and the picture lacks") }
        if config.pope == nil, config.shr == nil, config.chair == nil { parts.append("How a training went, step by step") }
        let text: HTML = "\(parts.joined(separator: "; ")). "
        guard names.isPair else { return text }
        return "\(text)<span class=\"legend\">\(Chart.key(names.baseline, .before))\(Chart.key(names.run, .after))</span>"
    }

    /// Every file that a figure came from.
    private func inputs(_ root: Place) -> HTML {
        var rows: [HTML] = []
        let run = names.isPair ? ": " + names.run : ""
        func add(_ what: String, _ path: Place, _ sha: Place) {
            guard let name = path.json.stringValue else { return }
            let hash: HTML =
                sha.json.stringValue.map { "<code data-of=\"\(sha.pointer)\" title=\"\($0)\">\(shortened($0, 16))</code>" } ?? ""
            rows.append(
                "<tr><th scope=\"row\">\(what)</th><td class=\"long\"><code>\(said(name))</code></td><td class=\"text\">\(hash)</td></tr>\n"
            )
        }
        for split in root["pope"]["splits"].elements {
            let name = splitName(split["name"].json.stringValue ?? "")
            add("POPE \(name), questions", split["path"], split["sha256"])
            add("POPE \(name), answers\(run)", split["run"]["answers"], split["run"]["sha256"])
            add("POPE \(name), answers: \(names.baseline)", split["baseline"]["answers"], split["baseline"]["sha256"])
        }
        for (role, name) in [("run", run), ("baseline", ": " + names.baseline)] {
            let place = root["shr"][role]
            add("SHR, sentences\(name)", place["sentences"], place["sentences_sha256"])
            add("SHR, descriptions\(name)", place["report"]["answers"], place["report"]["answers_sha256"])
            add("CHAIR, records\(name)", root["chair"][role]["records"], root["chair"][role]["records_sha256"])
        }
        for log in root["training"].elements { add("training log", log["path"], log["sha256"]) }
        return Table.html(
            "What the figures were made of, and the SHA-256 by which one knows the files again.",
            head: ["What", "File", "SHA-256"], rows: rows, textColumns: 3)
    }
}
