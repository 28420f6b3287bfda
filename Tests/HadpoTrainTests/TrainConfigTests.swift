import HadpoBase
import HadpoModels
import HadpoTrain
import Testing

private func read(_ json: JSON, _ family: ModelFamily = .llava) throws(HadpoError) -> (config: TrainConfig, resolved: JSON) {
    try ConfigReader.read(json, schema: "hadpo.train/1") { r throws(HadpoError) in try TrainConfig(&r, family: family) }
}

/// A configuration of pairs with some keys more, `{"a": {"b": 1}}` beside those of `data`.
private func asked(_ text: String) throws -> JSON {
    var json: JSON = ["schema": "hadpo.train/1", "data": ["format": "pairs", "pairs": "p.jsonl"]]
    let adapter = File.join(File.folder(of: File.folder(of: #filePath)), "Fixtures/llava/dpo/adapter")
    let text = text.split(separator: "ADAPTER", omittingEmptySubsequences: false).joined(separator: adapter)
    for member in try JSON.parse(Array("{\(text)}".utf8), source: "test").objectValue ?? [] {
        if member.key == "data", var data = json["data"], let more = member.value.objectValue {
            for each in more { data[each.key] = each.value }
            json["data"] = data
        } else {
            json[member.key] = member.value
        }
    }
    return json
}

private func refusal(_ json: JSON, _ family: ModelFamily = .llava) -> HadpoError? {
    do throws(HadpoError) {
        _ = try read(json, family)
        return nil
    } catch { return error }
}

@Suite struct TrainConfigTests {
    private static let supervised = #""method": "sft", "data": {"format": "samples", "pairs": null, "samples": "s"}, "#

    @Test(
        "a key that has no effect beside the others is refused by its name",
        arguments: [
            (#""data": {"desc": "d.json"}"#, "/data/desc"), (#""data": {"pope": "d.json"}"#, "/data/pope"),
            (#""data": {"samples": "s"}"#, "/data/samples"), (#""data": {"cc_sbu_align": "c"}"#, "/data/cc_sbu_align"),
            (#""data": {"image_data": "i"}"#, "/data/image_data"),
            (#""data": {"question_repeats": 3}"#, "/data/question_repeats"),
            (#""data": {"description_repeats": 3}"#, "/data/description_repeats"), (#""data": {"seed": 1}"#, "/data/seed"),
            (#""data": {"newlines": "deleted"}"#, "/data/newlines"),
            (#""data": {"description_questions": "each-time"}"#, "/data/description_questions"),
            (#""data": {"format": "hadpo", "desc": "d"}"#, "/data/pairs"),
            (#""data": {"format": "hadpo", "desc": "d", "pairs": null, "question_repeats": 3}"#, "/data/question_repeats"),
            (#""data": {"format": "samples", "samples": "s"}"#, "/data"), (#""method": "sft""#, "/data"),
            (supervised + #""beta": 0.2"#, "/beta"), (supervised + #""gamma": 0.2"#, "/gamma"),
            (supervised + #""reference": {"cache": "c"}"#, "/reference/cache"),
            (supervised + #""reference": {"frontend": "policy"}"#, "/reference/frontend"),
            (#""method": "sft", "data": {"format": "samples", "samples": "s"}"#, "/data/pairs"),
            (#""reference": {"cache": "c", "frontend": "policy"}"#, "/reference/cache"),
            (#""reference": {"prompts": "own"}"#, "/reference/prompts"),
            (supervised + #""all_weights": true, "lora": {"rank": 4}"#, "/lora/rank"),
            (supervised + #""vision_tower": true, "lora": {"init": "ADAPTER"}"#, "/vision_tower"),
            (supervised + #""vision_tower": true, "feature_cache_bytes": 4"#, "/feature_cache_bytes"),
            (#""lora": {"rank": 0, "alpha": 4}"#, "/lora/alpha"), (#""lora": {"rank": 0, "target": ["q_proj"]}"#, "/lora/target"),
            (#""epochs": 1, "steps": 5"#, "/epochs"),
            (#""schedule": {"warmup_steps": 3, "warmup_ratio": 0.1}"#, "/schedule/warmup_ratio"),
            (#""schedule": {"warmup_steps": 0, "warmup_ratio": 0.1}"#, "/schedule/warmup_ratio"),
            (#""optimizer": {"epsilon": 0}"#, "/optimizer/epsilon"),
            (#""optimizer": {"epsilon": 1e-60}"#, "/optimizer/epsilon"),
            (#""data": {"order": "file"}, "lora": {"init": "ADAPTER"}, "seed": 7"#, "/seed"),
        ])
    func withoutEffect(_ text: String, _ place: String) throws {
        let error = refusal(try asked(text))
        #expect(error?.status == .config && error?.place == place, "\(text): \(error.map(\.description) ?? "accepted")")
    }

    @Test(
        "what cannot move is refused before anything is read",
        arguments: [
            (#""optimizer": {"learning_rate": 0}"#, "/optimizer"), (#""optimizer": {"beta1": 1}"#, "/optimizer"),
            (#""optimizer": {"beta2": 1}"#, "/optimizer"), (#""beta": 0"#, "/beta"), (#""lora": {"alpha": 0}"#, "/lora"),
            (#""lora": {"target": []}"#, "/lora"), (#""lora": {"rank": 0}, "projector": false"#, "/lora"),
            (#""epochs": 0"#, "/steps"),
        ])
    func standstill(_ text: String, _ place: String) throws {
        let error = refusal(try asked(text))
        #expect(error?.status == .config && error?.place == place, "\(text): \(error.map(\.description) ?? "accepted")")
    }

    @Test("epochs and a warm-up that are given count more than the recipe's steps and warm-up")
    func givenLengths() throws {
        let epochs = try read(asked(#""epochs": 3"#), .minigpt4).config
        #expect(epochs.steps == 0 && epochs.epochs == 3)
        let ratio = try read(asked(#""schedule": {"warmup_ratio": 0.1}"#), .minigpt4).config
        #expect(ratio.schedule.warmupSteps == nil && ratio.schedule.warmupRatio == 0.1)
        #expect(try read(asked(#""schedule": {"warmup_ratio": 0}"#), .minigpt4).config.schedule.warmupSteps == 100)
        // 0 is a number of steps like any other, in place of the recipe's ratio.
        for family in ModelFamily.allCases {
            let (config, resolved) = try read(asked(#""gamma": 0, "schedule": {"warmup_steps": 0}"#), family)
            #expect(config.schedule.warmupSteps == 0 && config.schedule.warmupRatio == 0)
            let plan = TrainingPlan(config, samples: 5000)
            #expect(plan.schedule.warmupSteps == 0 && plan.note?.contains("warm-up") != true)
            #expect(TrainingPlan(try read(resolved, family).config, samples: 5000) == plan)
            #expect(try read(resolved, family).resolved == resolved)
        }
        var whole = try read(asked("")).resolved
        whole["schedule"]?["warmup_steps"] = 0
        #expect(TrainingPlan(try read(whole).config, samples: 5000).schedule.warmupSteps == 0)
        #expect(try read(asked(#""schedule": {"warmup_steps": 2}"#)).config.schedule.warmupRatio == 0)
    }

    @Test("a configuration with its defaults written out means the same", arguments: ModelFamily.allCases)
    func writtenOut(_ family: ModelFamily) throws {
        for text in ["", #""epochs": 2"#, #""steps": 7"#, #""batch": 3"#, #""schedule": {"warmup_steps": 2}"#, #""gamma": 0"#] {
            // MiniGPT-4's recipe has a loss on captions beside, which are not needed to read a configuration.
            let (config, resolved) = try read(asked(text), family)
            let (again, resolvedAgain) = try read(resolved, family)
            #expect(resolved == resolvedAgain)
            for samples in [3, 100, 10_000] {
                #expect(TrainingPlan(config, samples: samples) == TrainingPlan(again, samples: samples), "\(text), \(samples)")
            }
            // The defaults alone: data are missing in them, which is put in.
            var defaults = try ConfigReader.describe("hadpo.train/1") { r throws(HadpoError) in
                try TrainConfig(&r, family: family)
            }.defaults
            defaults["data"]?["format"] = "pairs"
            defaults["data"]?["pairs"] = "p.jsonl"
            #expect(try read(defaults, family).resolved == read(asked(""), family).resolved)
        }
    }
}

@Suite struct TrainingPlanTests {
    private func plan(_ text: String, _ samples: Int, _ family: ModelFamily = .llava) throws -> TrainingPlan {
        TrainingPlan(try read(asked(text), family).config, samples: samples)
    }

    // transformers' Trainer: the data loader's last batch has what is left, and the next epoch begins with a batch of its own.
    @Test("the last step of an epoch takes what is left of it")
    func shortLast() throws {
        let four = try plan(#""batch": 128, "epochs": 1, "schedule": {"warmup_ratio": 0}"#, 4)
        #expect(four.steps == 1 && four.draws(of: 0) == 0..<4 && four.epochs(after: 1) == 1)
        let ten = try plan(#""batch": 2, "accumulation": 2, "epochs": 3"#, 10)
        #expect(ten.steps == 9)
        #expect((0..<6).map { ten.draws(of: $0) } == [0..<4, 4..<8, 8..<10, 10..<14, 14..<18, 18..<20])
        #expect((1...9).map { ten.epochs(after: $0) } == [0.4, 0.8, 1, 1.4, 1.8, 2, 2.4, 2.8, 3])
        let steps = try plan(#""batch": 4, "steps": 4"#, 10)
        #expect(steps.steps == 4 && steps.draws(of: 3) == 10..<14)
        let filled = try plan(#""batch": 4, "steps": 4, "last_batch": "filled""#, 10)
        #expect((0..<4).map { filled.draws(of: $0) } == [0..<4, 4..<8, 8..<12, 12..<16])
    }

    @Test("the published batch and warm-up become smaller with the data, and what is given stays as it is")
    func fitted() throws {
        let hundred = try plan("", 100)
        #expect(hundred.perStep == 6 && hundred.steps == 17 && hundred.schedule.warmupSteps == 1)
        #expect(hundred.note?.contains("6 samples a step and not 128") == true && hundred.hasRate(1))
        let few = try plan("", 20)
        #expect(few.perStep == 1 && few.steps == 20)
        let five = try plan(#""epochs": 1"#, 5)
        #expect(five.steps == 5 && five.schedule.warmupSteps == 0 && five.note?.contains("0 warm-up steps and not 1") == true)
        let published = try plan("", 2048)
        #expect(published.perStep == 128 && published.note == nil && published.json["note"] == nil)
        let given = try plan(#""batch": 128"#, 100)
        #expect(given.perStep == 128 && given.steps == 1 && given.schedule.warmupSteps == 0 && given.hasRate(1))
        let warm = try plan(#""batch": 128, "schedule": {"warmup_steps": 1}"#, 100)
        #expect(warm.schedule.warmupSteps == 1 && !warm.hasRate(1))
        let minigpt4 = try plan(#""gamma": 0, "steps": 50"#, 10_000, .minigpt4)
        #expect(minigpt4.perStep == 32 && minigpt4.schedule.warmupSteps == 5)
        #expect(try plan(#""gamma": 0"#, 10_000, .minigpt4).schedule.warmupSteps == 100)
    }

    @Test("what is given beside written out defaults counts as it does without them")
    func besideDefaults() throws {
        var whole = try read(asked("")).resolved
        whole["batch"] = 5
        whole["schedule"]?["warmup_steps"] = 3
        let found = TrainingPlan(try read(whole).config, samples: 40)
        #expect(found == (try plan(#""batch": 5, "schedule": {"warmup_steps": 3}"#, 40)))
        #expect(found.perStep == 5 && found.schedule.warmupSteps == 3)
        whole["steps"] = 9
        #expect(try read(whole).config.steps == 9)
    }

    @Test("a rate above 0 is found at the first three steps or nowhere")
    func rates() throws {
        for kind in ["cosine", "linear", "constant"] {
            for steps in 1...12 {
                for warmup in 0...14 {
                    let plan = try plan(
                        #""steps": \#(steps), "schedule": {"kind": "\#(kind)", "warmup_ratio": 0, "warmup_steps": \#(warmup)}"#, 9
                    )
                    let has = (0..<steps).contains { plan.schedule.factor($0) > 0 }
                    #expect(plan.hasRate(1) == has, "\(kind), \(steps) steps, \(warmup) of them warm-up")
                }
            }
        }
    }
}
