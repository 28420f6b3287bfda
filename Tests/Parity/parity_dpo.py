#!/usr/bin/env python3
"""The library's trainer against PyTorch + peft from the same adapter, with the real vocabulary.

Twenty DPO steps with the projector frozen and trained, and one language-model step with every weight trainable. The
comparison is then repeated with one gradient's sign flipped, and must fail: figures that pass either way prove nothing.
"""
import json
import sys
import tempfile
import warnings
from pathlib import Path

import torch

import dpo
import host
import llava
import oracle
import parity_forward

STEPS = 20
LIMITS = {"gradient at step 1": 1e-3, "loss": 1e-4, "change after 20 steps": 1e-3, "LM loss": 1e-4, "LM gradient": 1e-3}
ZERO = 1e-5  # a gradient this much smaller than the largest is rounding (the key bias of CLIP's attention)
PAIRS = [
    ("wide420.jpg", "Describe this image in detail.", "The image shows a table with a red cup.",
     "The image shows a table with a red cup, a chair and a cat."),
    ("wide.png", "Is there a dog in the image?", "No, there is no dog.", "Yes, there is a dog in the image."),
    ("tall444.jpg", "Describe this image in detail.", "Two apples and a blue book lie on the café's counter.",
     "A man on a horse is riding down the street, 中."),
    ("small.png", "Is there a chair?", "Yes, there is a chair.", "No."),
    ("tall444.jpg", "What is on the table?", "A blue book.", "A cat."),
    ("palette.png", "Which colour is the ball?", "Green!", "The ball is red.\nAnd blue."),
]


def settings(folder, pictures, *, start, projector=False, steps=STEPS, template="hadpo-train", gamma=0.0):
    """hadpo.train/1 with the values of dpo.run."""
    extra = dict(samples=str(folder / "samples.jsonl")) if gamma else {}
    return dict(
        method="dpo", template=template, beta=0.1, gamma=gamma, batch=2, accumulation=1, steps=steps, projector=projector,
        data=dict(format="pairs", pairs=str(folder / "pairs.jsonl"), images=str(pictures), order="file", augmentation="none", **extra),
        optimizer=dict(learning_rate=1e-3, beta1=0.9, beta2=0.999, epsilon=1e-8, weight_decay=0.0, max_grad_norm=0.0),
        schedule=dict(kind="constant", warmup_steps=0, warmup_ratio=0.0), lora=dict(rank=4, alpha=8, init=str(start)))


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def plain(name):
    """One spelling of a weight's name for every layout: layers.N.module.lora_A, layers.N.module.weight, ..."""
    for prefix in ("base_model.model.", "model.language_model.", "language_model.model.", "language_model.", "model."):
        name = name.removeprefix(prefix)
    if "lora_" in name:
        name = name.removesuffix(".weight")
    for index, own in ((0, "linear_1"), (2, "linear_2")):  # upstream's names, under which trained projectors are saved
        name = name.replace(f"mm_projector.{index}.", f"{dpo.PROJECTOR}{own}.")
    return name.replace("vision_tower.vision_model.", "vision_tower.")


def gradients(path):
    """Name -> gradient in the file of hadpo_trainer_inspect."""
    return {name.removeprefix("gradient/"): t for name, t in host.tensors(path).items() if name.startswith("gradient/")}


def saved_weights(folder):
    """Adapter and projector that a trainer saved, as the files spell them."""
    files = [path for path in sorted(folder.glob("*.safetensors")) if path.name != "trainer_state.safetensors"]
    return {name: t.float() for path in files for name, t in host.tensors(path).items()}


def compare_named(table, quantity, found, expected, where):
    found, expected = ({plain(name): t for name, t in side.items()} for side in (found, expected))
    missing = sorted(expected.keys() - found.keys())
    assert not missing, f"{where}: {len(missing)} tensors are missing, e.g. {missing[:3]} of {sorted(found)[:3]}"
    for name in expected:
        table.add(quantity, host.distance(found[name], expected[name]), f"{where} {name}")


def losses_of(records):
    return [r["loss"] for r in records if "loss" in r and "step" in r]


def compare_run(table, engine_events, subject, config, result, scratch, where):
    engine_events.clear()
    with host.hadpo.Trainer(subject, **config) as trainer:
        trainer.inspect(scratch / "step.safetensors")
        found = gradients(scratch / "step.safetensors")
        compare_named(table, "gradient at step 1", found, result["gradients"], where)
        trainer.run(0)
        trainer.save(scratch / "saved")
    losses = losses_of(engine_events)
    assert len(losses) == STEPS, f"{len(losses)} step records of {STEPS}"
    expected = result["record"]["loss"]
    assert abs(expected[0] - expected[-1]) >= 0.1, "the loss hardly moves: this comparison would prove nothing"
    for step, pair in enumerate(zip(losses, expected)):
        table.add("loss", abs(pair[0] - pair[1]), f"{where} step {step + 1}")
    after = saved_weights(scratch / "saved")
    after = {plain(name): t for name, t in after.items()}
    change = {name: after[plain(name)] - start for name, start in result["start"].items() if plain(name) in after}
    compare_named(table, "change after 20 steps", change, result["change"], where)
    return found, losses, change


def assert_flip_is_seen(found, losses, change, result, flipped):
    """The same limits with one wrong sign: all three comparisons must break them."""
    name = max(result["gradients"], key=lambda n: float(result["gradients"][n].norm()))
    found = {plain(n): t for n, t in found.items()}
    wrong = {n: -found[plain(n)] if n == name else found[plain(n)] for n in result["gradients"]}
    checks = {
        "gradient": max(host.distance(wrong[n], g) for n, g in result["gradients"].items()) > LIMITS["gradient at step 1"],
        "loss": max(abs(a - b) for a, b in zip(losses, flipped["record"]["loss"])) > LIMITS["loss"],
        "change": max(host.distance(change[n], c) for n, c in flipped["change"].items()) > LIMITS["change after 20 steps"]}
    unseen = [what for what, seen in checks.items() if not seen]
    print(f"  {'ok  ' if not unseen else 'FAIL'} a flipped sign in one gradient is noticed" + (f", but not by {unseen}" if unseen else ""))
    return not unseen


def main():
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    words, events, good = host.Vocabulary(), [], True
    table = host.Table("Training, exact, against PyTorch + peft", LIMITS)
    with tempfile.TemporaryDirectory() as scratch, host.hadpo.Engine(on_event=events.append, threads=2, numerics="exact") as engine:
        scratch = Path(scratch)
        files = host.pictures(scratch / "pictures")
        pairs = [{"id": str(n), "image": i, "question": q, "chosen": c, "rejected": r} for n, (i, q, c, r) in enumerate(PAIRS)]
        samples = [{"image": p["image"], "question": p["question"], "answer": p["chosen"]} for p in pairs[:2]]
        write_rows(scratch / "pairs.jsonl", pairs)
        write_rows(scratch / "samples.jsonl", samples)
        for layout, dtype, heads in (("old", "float32", 2), ("transformers5", "float16", 4)):
            folder, where = scratch / layout, f"{layout} {dtype} kv{heads}"
            model = parity_forward.make(folder, words, layout, dtype, heads, 10000.0, {}, seed=200 + heads)
            size = model.config.vision_config.image_size
            pixels = {p["image"]: oracle.pixels(files[p["image"]], size, pad=True) for p in pairs}
            sides = dpo.both_sides(words.encode, pairs, pixels)
            start = scratch / f"{layout}-start"
            dpo.attach(model, rank=4, alpha=8, seed=11).save_pretrained(start)
            for projector in (False, True):
                def policy():
                    return dpo.attach(model, rank=4, alpha=8, seed=11)

                result = dpo.run(policy(), sides, steps=STEPS, projector=projector)
                with host.hadpo.Model(engine, path=str(folder), processor="pad") as subject:
                    config = settings(scratch, scratch / "pictures", start=start, projector=projector)
                    shown = compare_run(table, events, subject, config, result, scratch,
                                        f"{where} projector {'trained' if projector else 'frozen'}")
                if not projector:
                    strongest = max(result["gradients"], key=lambda n: float(result["gradients"][n].norm()))
                    flipped = dpo.run(policy(), sides, steps=STEPS, flip=strongest)
                    good &= assert_flip_is_seen(*shown, result, flipped)
            result = dpo.language_model_step(model, [dpo.with_picture(words.encode, s, "answer", pixels) for s in samples])
            compare_language_model(table, engine, dict(path=str(folder), processor="pad"), scratch, where, result)
    return table.report() and good


def compare_language_model(table, engine, opened, scratch, where, result, template="hadpo-train"):
    """`opened`: keys of hadpo.model/1. `result`: of dpo.language_model_step on samples.jsonl."""
    loss, expected = result
    largest = max(float(g.norm()) for g in expected.values())
    expected = {name: g for name, g in expected.items() if float(g.norm()) > ZERO * largest}
    config = dict(method="sft", template=template, batch=2, accumulation=1, steps=1, all_weights=True, projector=True, vision_tower=True,
                  gamma=0.0, data=dict(format="samples", samples=str(scratch / "samples.jsonl"), images=str(scratch / "pictures"),
                                       order="file", augmentation="none"),
                  lora=dict(rank=0), schedule=dict(kind="constant", warmup_steps=0, warmup_ratio=0.0))
    with host.hadpo.Model(engine, **opened) as subject, host.hadpo.Trainer(subject, **config) as trainer:
        trainer.inspect(scratch / "step.safetensors")
        shown = host.tensors(scratch / "step.safetensors")
        found = gradients(scratch / "step.safetensors")
    table.add("LM loss", abs(float(shown["loss"].reshape(-1)[0]) - loss), where)
    compare_named(table, "LM gradient", found, expected, where)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
