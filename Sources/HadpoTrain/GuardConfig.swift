import HadpoBase

/// "guard" of `hadpo.train/1`: what is measured while training, and when to stop.
///
///     "guard": {
///       "every": 50, "pairs": 16,
///       "pope": {"questions": "coco_pope_adversarial.json", "images": "val2014", "limit": 60},
///       "describe": {"images": "val2014", "limit": 8},
///       "stop": [{"figure": "chosen_logprob", "falls": 0.5}, {"figure": "pope.recall", "below": 0.8, "patience": 2}],
///       "keep": "best", "best": "pope.accuracy", "best_is": "highest"
///     }
package struct GuardConfig: Sendable {
    package enum Keep: String, Sendable, CaseIterable { case last, best }
    package enum Ranking: String, Sendable, CaseIterable { case highest, lowest }

    package struct Pope: Sendable {
        package static let figures = ["accuracy", "precision", "recall", "f1", "yes_ratio", "roc_area"]
        package let questions: String
        package let images: String
        package let outside: Bool
        package let limit: Int
        package let maxNewTokens: Int

        init(_ r: inout ConfigReader) throws(HadpoError) {
            questions = try r.string("questions", help: "POPE question file, of pictures that are not trained on")
            images = try r.string("images", help: "folder that its pictures are in")
            outside = try r.bool(
                "outside", default: false,
                help: "also pictures whose names are absolute or have .. in them; else those are refused")
            limit = try r.int("limit", default: 60, in: 0...1 << 30, help: "only the first so many questions; 0: all")
            maxNewTokens = try r.int("max_new_tokens", default: 16, in: 1...1 << 20, help: "at most this many tokens an answer")
        }
    }

    package struct Describe: Sendable {
        package static let figures = ["words", "repetition"]
        package let images: String
        package let limit: Int
        package let question: String
        package let maxNewTokens: Int

        init(_ r: inout ConfigReader) throws(HadpoError) {
            images = try r.string("images", help: "folder of pictures to describe, taken in the order of their names")
            limit = try r.int("limit", default: 8, in: 1...1 << 30, help: "only the first so many pictures")
            question = try r.string("question", default: "Describe this image in detail.", help: "what is asked")
            maxNewTokens = try r.int(
                "max_new_tokens", default: 128, in: 1...1 << 20, help: "at most this many tokens a description")
        }
    }

    /// One figure and what must not happen to it.
    package struct Rule: Sendable {
        package enum Kind: String, Sendable, CaseIterable {
            case below, above
            /// From the highest, or the lowest, value so far.
            case falls, rises
        }

        package let figure: String
        package let kind: Kind
        package let limit: Double
        package let patience: Int

        init(_ r: inout ConfigReader) throws(HadpoError) {
            figure = try r.string("figure", help: "such as pope.accuracy, describe.words or chosen_logprob")
            let helps = [
                "stop when the figure is below this", "stop when it is above this",
                "stop when it is more than this below its highest value so far",
                "stop when it is more than this above its lowest value so far",
            ]
            var given: [(kind: Kind, limit: Double)] = []
            for (kind, help) in zip(Kind.allCases, helps) {
                // What falls or rises by less than nothing has always done so.
                let range = kind == .below || kind == .above ? -Double.infinity...Double.infinity : 0...Double.infinity
                if let limit = try r.optionalDouble(kind.rawValue, in: range, help: help) { given.append((kind, limit)) }
            }
            patience = try r.int("patience", default: 1, in: 1...1 << 30, help: "so many measurements in a row")
            let names = Kind.allCases.map(\.rawValue).joined(separator: ", ")
            try r.check(
                given.count == 1, "figure", "a rule has one limit", found: given.map(\.kind.rawValue).joined(separator: ", "),
                expected: "one of \(names)")
            (kind, limit) = given.first ?? (.below, 0)
        }
    }

    package let every: Int
    package let pairs: Int
    package let pope: Pope?
    package let describe: Describe?
    package let rules: [Rule]
    package let keep: Keep
    /// What the best step is best in.
    package let best: String
    package let bestIs: Ranking

    init(_ r: inout ConfigReader, _ method: TrainConfig.Method) throws(HadpoError) {
        every = try r.int(
            "every", default: 50, in: 1...1_000_000_000,
            help: "steps between measurements; also before the first and after the last step")
        pairs = try r.int(
            "pairs", default: 16, in: 1...1 << 30,
            help: "samples, spread over the training data, whose answers' log-probability is measured")
        let pope = try r.optionalObject("pope", help: "a small POPE, answered greedily") { r throws(HadpoError) in try Pope(&r) }
        let describe = try r.optionalObject("describe", help: "descriptions, greedy: their length and how much they repeat") {
            r throws(HadpoError) in try Describe(&r)
        }
        (self.pope, self.describe) = (pope, describe)
        rules = try r.objects("stop", help: "the training ends when one of these happens", Rule.init)
        keep = try r.choice(
            "keep", default: .last, help: "best: the training as it was at its best measurement is kept in output/best")
        best = try r.string(
            "best", default: pope != nil ? "pope.accuracy" : "chosen_logprob", help: "the figure that says which step is best")
        bestIs = try r.choice("best_is", default: .highest, help: "whether a high or a low figure is good")
        let known =
            Self.ownFigures(method) + (pope == nil ? [] : Pope.figures.map { "pope." + $0 })
            + (describe == nil ? [] : Describe.figures.map { "describe." + $0 })
        for (key, name) in rules.map({ ("stop", $0.figure) }) + [("best", best)] {
            try r.check(
                known.contains(name), key, "a figure that nothing measures", found: "'\(name)'",
                expected: known.joined(separator: ", "))
        }
    }

    /// What the trainer measures itself: the mean over samples of the answers' log-probability, in nats.
    static func ownFigures(_ method: TrainConfig.Method) -> [String] {
        method == .dpo ? ["chosen_logprob", "rejected_logprob"] : ["chosen_logprob"]
    }
}
