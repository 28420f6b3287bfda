import HadpoBase

/// One pass of the judge over all images, as upstream stores it.
struct SHRRun: Sendable {
    struct Stored: Sendable {
        let id: String
        let reply: String
        let description: String
        let sentences: [String]
        let verdicts: SHRVerdicts.Upstream
    }

    let name: String
    var stored: [Stored] = []
}

/// judgement.json and metrics.json as HA-DPO's scripts write them; null where they divide by zero.
struct SHRUpstream {
    let runs: [SHRRun]
    let ids: [String]
    let texts: [String: String]

    /// The response stands under both names that upstream's scripts use, one of them a misspelling.
    var judgement: JSON {
        .object(
            runs.map { run in
                .init(
                    run.name,
                    .object(
                        run.stored.map { image in
                            .init(
                                image.id,
                                [
                                    "raw_judgement": .string(image.reply), "model_response": .string(image.description),
                                    "mode_response": .string(image.description), "judgement": Self.sentences(image),
                                ])
                        }))
            })
    }

    private static func sentences(_ image: SHRRun.Stored) -> JSON {
        .array(
            image.sentences.enumerated().map { index, sentence in
                var verdict: SHRVerdicts.Sentence?
                if case .judged(let verdicts) = image.verdicts { verdict = verdicts[index] }
                return [
                    "model_response": .string(sentence), "judgement": JSON(verdict?.line),
                    "classification": JSON(verdict?.classification),
                ]
            })
    }

    func metrics(modelPath: String?) -> JSON {
        var metrics: JSON = [:]
        var ratios: [Double] = []
        for run in runs {
            let (figures, ratio) = Self.figures(run)
            metrics[run.name] = figures
            if let ratio { ratios.append(ratio) }
        }
        for n in 1...4 {
            // One description of fewer than n words ends upstream's whole evaluation.
            let values = ids.map { id in texts[id].flatMap { SHRText.distinctGrams($0, n) } }
            let known = values.compactMap { $0 }
            metrics["gram-\(n)-repetition"] =
                known.count == ids.count && !ids.isEmpty
                ? .double(pythonRound(known.reduce(0, +) / Double(ids.count), 3)) : .null
        }
        metrics["mean_hal_ratio"] =
            ratios.count == runs.count && !runs.isEmpty
            ? .double(pythonRound(ratios.reduce(0, +) / Double(runs.count), 3)) : .null
        if let modelPath { metrics["model_path"] = .string(modelPath) }
        return metrics
    }

    /// The seven figures of a run, and the ratio that the mean is made of, which is rounded already.
    private static func figures(_ run: SHRRun) -> (JSON, Double?) {
        var (sentences, words, hallucinated, hallucinatedWords, known, knownWords) = (0, 0, 0, 0, 0, 0)
        for image in run.stored {
            for (index, sentence) in image.sentences.enumerated() {
                let count = SHRText.wordCount(sentence)
                sentences += 1
                words += count
                guard case .judged(let verdicts) = image.verdicts,
                    ["hallucination", "correct", "cannot judge"].contains(where: verdicts[index].classification.hasSameBytes)
                else { continue }
                known += 1
                knownWords += count
                if verdicts[index].classification.hasSameBytes("hallucination") {
                    hallucinated += 1
                    hallucinatedWords += count
                }
            }
        }
        func rounded(_ part: Int, _ whole: Int) -> Double? { ratio(part, whole).map { pythonRound($0, 3) } }
        let images = run.stored.count
        let sentenceRatio = rounded(hallucinated, known)
        return (
            [
                "num_images": JSON(images), "sents_per_image": JSON(rounded(sentences, images)),
                "words_per_image": JSON(rounded(words, images)), "hal_sents_per_image": JSON(rounded(hallucinated, images)),
                "hal_words_per_image": JSON(rounded(hallucinatedWords, images)), "hal_sents_ratio": JSON(sentenceRatio),
                "hal_words_ratio": JSON(rounded(hallucinatedWords, knownWords)),
            ], sentenceRatio
        )
    }
}
