#!/usr/bin/env python3
"""Writes Tests/Fixtures/llava/dpo: a preference training and a language-model step by PyTorch + peft, on llava/old-f32.

pairs.jsonl            hadpo.pairs/1; pictures relative to Tests/Fixtures/llava/pictures
samples.jsonl          {"image", "question", "answer"} of the language-model step
adapter/               the start, as peft saves it: r 4, alpha 8, B ~ N(0, 0.02)
expected.json          settings; per step: loss, sums of log-probs; the reference's; what a flipped sign would do
logps.safetensors      {policy,reference}.PAIR.{chosen,rejected} [tokens]; the policy's before step 1, pairs 0 and 1
frozen.safetensors     projector frozen:  gradient/NAME at step 1, change/NAME = weight after 20 steps - before
projector.safetensors  projector trained: the same, and multi_modal_projector.*
lm.safetensors         gradient/NAME of the mean cross-entropy over the answer tokens of samples.jsonl, all weights
                       trainable, names as in the checkpoint; the head and the MLPs but those of the last layers are
                       left out for size
NAME is the key in a saved adapter, or the projector's name in the checkpoint.
"""
import json
import shutil
import sys
import warnings
from pathlib import Path

import peft
import sentencepiece
import torch
import transformers
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "Parity"))
import dpo  # noqa: E402
import llava  # noqa: E402
import make_llava  # noqa: E402
import oracle  # noqa: E402

HERE = make_llava.HERE / "dpo"
BASE = "old-f32"
STEPS = 20
FLIPPED = "base_model.model.model.language_model.layers.1.self_attn.v_proj.lora_B.weight"
PAIRS = [
    ("wide.jpg", "Describe this image in detail.", "The image shows a table with a red cup.",
     "The image shows a table with a red cup, a chair and a cat."),
    ("tall.png", "Is there a dog in the image?", "No, there is no dog.", "Yes, there is a dog."),
    ("tall.png", "Describe this image in detail.", "Two apples and a blue book.", "A man on a horse é中 is there."),
    ("wide.jpg", "Is there a chair?", "Yes, there is a chair.", "No, there is no chair in the image."),
    ("wide.jpg", "What is on the table?", "A blue book.", "A cat."),
    ("tall.png", "Which colour is the ball?", "Green!", "The ball is red.\nAnd blue."),
]


def stored(name):
    return "lm_head" not in name and ("mlp" not in name or "language_model.layers.2." in name or "encoder.layers.1." in name)


def main():
    warnings.filterwarnings("ignore", message="Could not find a config file")
    torch.set_num_threads(1)
    shutil.rmtree(HERE, ignore_errors=True)
    HERE.mkdir(parents=True)
    pairs = [{"id": str(n), "image": i, "question": q, "chosen": c, "rejected": r} for n, (i, q, c, r) in enumerate(PAIRS)]
    samples = [{"image": p["image"], "question": p["question"], "answer": p["chosen"]} for p in pairs[:2]]
    for name, rows in (("pairs", pairs), ("samples", samples)):
        (HERE / f"{name}.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    encode = sentencepiece.SentencePieceProcessor(model_file=str(make_llava.HERE / "tokenizer" / "tokenizer.model")).encode
    model = make_llava.case_model(BASE)
    size = model.config.vision_config.image_size
    # HA-DPO pads in training whatever the checkpoint's processor says.
    pictures = {p["image"]: oracle.pixels(make_llava.HERE / "pictures" / p["image"], size, pad=True) for p in pairs}

    sides = dpo.both_sides(encode, pairs, pictures)
    double_sides = dpo.both_sides(encode, pairs, {k: v.double() for k, v in pictures.items()})

    def start():
        return dpo.attach(model, rank=4, alpha=8, seed=11)

    start().save_pretrained(HERE / "adapter")
    (HERE / "adapter" / "README.md").unlink(missing_ok=True)
    records = {}
    for name, projector in (("frozen", False), ("projector", True)):
        result = dpo.run(start(), sides, steps=STEPS, projector=projector)
        flipped = dpo.run(start(), sides, steps=STEPS, projector=projector, flip=FLIPPED)
        double = dpo.run(start().double(), double_sides, steps=STEPS, projector=projector)
        # How far fp32 rounding alone carries the run: must leave room below the tolerances of the tests.
        rounding = {"worst_loss_difference": max(abs(a - b) for a, b in zip(result["record"]["loss"], double["record"]["loss"])),
                    "worst_gradient_difference": dpo.worst(result["gradients"], double["gradients"])[0],
                    "worst_change_difference": dpo.worst(result["change"], double["change"])[0]}
        assert rounding["worst_loss_difference"] < 2e-5 and rounding["worst_change_difference"] < 3e-4, rounding
        losses, wrong = result["record"]["loss"], flipped["record"]["loss"]
        assert abs(losses[0] - losses[-1]) >= 0.1, losses
        deviation = max(abs(a - b) for a, b in zip(losses, wrong))
        assert deviation > 1e-3, "a flipped sign would hardly be seen"
        records[name] = result["record"] | {"rounding": rounding, "flipped_sign": {
            "tensor": FLIPPED, "worst_loss_difference": deviation,
            "worst_change_difference": dpo.worst(flipped["change"], result["change"])[0]}}
        save_file({f"{kind[:-1] if kind == 'gradients' else kind}/{key}": value.contiguous()
                   for kind in ("gradients", "change") for key, value in result[kind].items()}, HERE / f"{name}.safetensors")
        if not projector:
            save_file(result["logps"], HERE / "logps.safetensors")
        print(f"{name:10} loss {losses[0]:.4f} -> {losses[-1]:.4f}, flipped sign moves a loss by {deviation:.4f} "
              f"and the change by {records[name]['flipped_sign']['worst_change_difference']:.2f}; rounding: {rounding}")
    loss, gradients = dpo.language_model_step(model, [dpo.with_picture(encode, s, "answer", pictures) for s in samples])
    names = {name: llava.old_name(name.replace("model.vision_tower.", "model.vision_tower.vision_model.", 1)
                                  if "vision_model" not in name else name) for name in gradients}
    # The key bias of an attention layer shifts all scores of a row alike: its gradient is zero but for rounding.
    zero = sorted(names[n] for n, g in gradients.items() if float(g.norm()) < 1e-6)
    assert all(n.endswith("k_proj.bias") for n in zero), zero
    save_file({f"gradient/{names[n]}": g.contiguous() for n, g in gradients.items() if stored(n) and names[n] not in zero},
              HERE / "lm.safetensors")
    (HERE / "expected.json").write_text(json.dumps({
        "base": BASE, "processor": "pad", "template": "hadpo-train", "rank": 4, "alpha": 8, "beta": 0.1, "batch": 2,
        "learning_rate": 1e-3, "schedule": "constant", "warmup": 0, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0,
        "clip": None, "steps": STEPS, "order": "file", **records, "lm": {"loss": loss, "zero_gradient": zero, "without_gradient": sorted(
            llava.old_name(n) for n in llava.base_tensors(model) if n not in gradients
            and n.replace("vision_model.", "") not in gradients)},
        "versions": {p.__name__: p.__version__ for p in (torch, transformers, peft)},
    }, indent=1) + "\n")
    print(f"lm         loss {loss:.4f}, {len(gradients)} gradients")


if __name__ == "__main__":
    main()
