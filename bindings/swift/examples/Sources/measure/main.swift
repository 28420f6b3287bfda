// measure - HA-DPO on the world in the box: POPE, a training on the model's own mistakes, POPE again.
//
//   swift run -c release measure FOLDER          a new folder, for the world and what is made of it
import Calls
import Foundation

func run(_ folder: String) throws {
    let engineConfig = try config("hadpo.engine/1")
    let engine = try make { hadpo_engine_open(engineConfig, engineConfig.count, nil, nil, &$0, &$1) }
    defer { hadpo_engine_free(engine) }
    let worldConfig = try config("hadpo.world/1", ["output": folder, "evaluation_images": 100])
    _ = try object(make { hadpo_world_make(engine, worldConfig, worldConfig.count, &$0, &$1) })
    let modelConfig = try config("hadpo.model/1", ["path": folder + "/model"])
    let model = try make { hadpo_model_open(engine, modelConfig, modelConfig.count, &$0, &$1) }
    defer { hadpo_model_free(model) }

    func pope(_ name: String) throws {
        let questions = folder + "/POPE/output/coco/coco_pope_adversarial.json"
        let pope = try config(
            "hadpo.pope/1",
            ["questions": questions, "images": folder + "/coco2014/val2014", "answers": "\(folder)/\(name).jsonl"])
        let score = try object(make { hadpo_pope_run(model, pope, pope.count, &$0, &$1) })
        let figures = ["accuracy", "precision", "recall", "f1", "yes_ratio"].map {
            "\($0) " + String(format: "%.4f", score[$0] as? Double ?? .nan)
        }
        print("\(name): \(figures.joined(separator: ", "))")
    }

    try pope("before")
    let pairs = try config("hadpo.world-pairs/1", ["world": folder, "output": folder + "/pairs"])
    _ = try object(make { hadpo_world_pairs(model, pairs, pairs.count, &$0, &$1) })
    let training = try config(
        "hadpo.train/1",
        [
            "steps": 50, "batch": 32, "last_batch": "filled", "projector": false, "lora": ["rank": 16, "alpha": 32],
            "optimizer": ["learning_rate": 2e-4, "max_grad_norm": 1.0], "schedule": ["warmup_steps": 5],
            "data": [
                "desc": folder + "/pairs/desc_data.json", "pope": folder + "/pairs/pope_data.json", "question_repeats": 2,
                "image_data": folder + "/VG/image_data.json", "images": folder + "/VG",
            ],
        ])
    let trainer = try make { hadpo_trainer_open(model, training, training.count, &$0, &$1) }
    let report = try object(make { hadpo_trainer_run(trainer, 0, &$0, &$1) })
    _ = try make { hadpo_trainer_save(trainer, folder + "/adapter", &$1) }
    hadpo_trainer_free(trainer)  // the adapter belonged to it
    print("trained \(report["step"] ?? 0) steps on \(report["samples"] ?? 0) pairs")
    _ = try make { hadpo_adapter_load(model, folder + "/adapter", &$1) }
    try pope("after")
}

do {
    try run(CommandLine.arguments.count > 1 ? CommandLine.arguments[1] : "world")
} catch {
    print("measure: \(error)")
    exit(1)
}
