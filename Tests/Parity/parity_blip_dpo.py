#!/usr/bin/env python3
"""The library's trainer against PyTorch + peft on MiniGPT-4 (with its auxiliary loss) and InstructBLIP in both layouts.

Twenty DPO steps from the same adapter; the same with one gradient's sign flipped, which must be noticed; one language-model
step with every weight of every part trainable; and peft reading the adapter that the library saved.
"""
import copy
import sys
import tempfile
import warnings
from pathlib import Path

import torch
import transformers
from peft import PeftModel

import blip
import blip_cases
import dpo
import host
import parity_dpo

LIMITS = parity_dpo.LIMITS | {"auxiliary loss": 1e-4, "we load peft's adapter: log-probs": 1e-4, "peft loads our adapter: log-probs": 1e-4}
CASES = [("minigpt4", dict(kind="minigpt4"), 0.5), ("lavis", dict(kind="lavis", pickled=True), 0.0),
         ("hf f32", dict(kind="hf", dtype="float32"), 0.0), ("transformers5 f16", dict(kind="transformers5", image_token=True), 0.0)]
SAMPLES = [("tall444.jpg", "Describe this image in detail.", "A man on a horse is riding down the street."),
           ("wide.png", "Take a look at this image and describe what you notice.", "A table with a red cup and 3 chairs."),
           ("small.png", "Describe this image in detail.", "A café.")]


def score(subject, path, row, template):
    with host.hadpo.Image.open(path) as image:
        return torch.tensor(subject.score(image, question=row["question"], template=template, completion=row["chosen"]))


def adapted_by_peft(case, saved):
    """The oracle with the library's adapter: on the language model, as upstream's, or on the whole model of transformers."""
    if case.kind in ("minigpt4", "lavis"):
        model = copy.deepcopy(case.model)
        model.language_model = PeftModel.from_pretrained(model.language_model, saved)
        return model.eval()
    whole = transformers.InstructBlipForConditionalGeneration.from_pretrained(
        case.folder, dtype=torch.float32, attn_implementation="eager")
    model = blip.Blip(whole.vision_model, whole.language_projection, whole.language_model, whole.qformer, whole.query_tokens)
    PeftModel.from_pretrained(whole, saved)  # puts its layers into the parts
    return model.eval()


def compare(table, case, engine, events, files, scratch, gamma):
    template, where = case.templates[0], case.name
    rows = [dict(id=str(n), image=i, question=q, chosen=c, rejected=r) for n, (i, q, c, r) in enumerate(parity_dpo.PAIRS)]
    samples = [dict(image=i, question=q, answer=a) for i, q, a in SAMPLES]
    parity_dpo.write_rows(scratch / "pairs.jsonl", rows)
    parity_dpo.write_rows(scratch / "samples.jsonl", samples)
    pixels = {name: case.pixels(path) for name, path in files.items()}

    def sequence(row, side):
        prompt, instruction, answer = case.ids(template, row["question"], row[side])
        return pixels[row["image"]], prompt, instruction, answer

    def policy():
        return blip.attach(case.model, rank=4, alpha=8, seed=11)

    sides = [[sequence(row, side) for side in ("chosen", "rejected")] for row in rows]
    more = dict(steps=parity_dpo.STEPS, logps=blip.token_logps, samples=[sequence(s, "answer") for s in samples], gamma=gamma)
    result = dpo.run(policy(), sides, **more)
    start, saved = case.folder / "start", case.folder / "saved"
    policy().language_model.save_pretrained(start)
    with host.hadpo.Model(engine, **case.open) as subject:
        bare = score(subject, files[rows[0]["image"]], rows[0], template)
        config = parity_dpo.settings(scratch, scratch / "pictures", start=start, template=template, gamma=gamma)
        shown = parity_dpo.compare_run(table, events, subject, config, result, case.folder, where)
        for step, (found, expected) in enumerate(zip((r for r in events if "loss" in r and "step" in r),
                                                     result["record"].get("language_modeling_loss", []))):
            table.add("auxiliary loss", abs(found["language_modeling_loss"] - expected), f"{where} step {step + 1}")
        strongest = max(result["gradients"], key=lambda n: float(result["gradients"][n].norm()))
        flipped = dpo.run(policy(), sides, flip=strongest, **more)
        if not parity_dpo.assert_flip_is_seen(*shown, result, flipped):
            table.fail(f"{where}: a flipped sign would pass")
        with torch.no_grad():
            subject.load_adapter(str(start))
            first = score(subject, files[rows[0]["image"]], rows[0], template)
            table.add("we load peft's adapter: log-probs", float((first - blip.token_logps(policy(), sides[0][0])).abs().max()), where)
            subject.unload_adapter()
            subject.load_adapter(str(saved))
            adapted = score(subject, files[rows[0]["image"]], rows[0], template)
            assert float((adapted - bare).abs().max()) > 1e-2, "the adapter changes nothing"
            peft = blip.token_logps(adapted_by_peft(case, saved), sides[0][0])
            table.add("peft loads our adapter: log-probs", float((adapted - peft).abs().max()), where)
    loss, weights = dpo.language_model_step(case.model, [sequence(s, "answer") for s in samples[:2]], blip.token_logps)
    parity_dpo.compare_language_model(table, engine, case.open, scratch, where, (loss, parts_of(case, weights)), template)


def parts_of(case, gradients):
    """As the library names weights: q, k and v apart. The Q-Former and its queries are not among what it trains; the gradients of
    EVA, which came through it, are."""
    out = {}
    for name, gradient in gradients.items():
        if name.startswith(("qformer.", "query_tokens")):
            continue
        if ".qkv." in name:
            out |= {name.replace("qkv", part): g for part, g in zip("qkv", gradient.chunk(3))}
        elif "vision_model.embeddings" in name and name.endswith("embedding"):
            out[name] = gradient.squeeze(0).squeeze(0)  # files have leading ones
        else:
            out[name.replace("language_projection", "llama_proj" if case.kind == "minigpt4" else "language_projection")] = gradient
    return out


def main():
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    table, events = host.Table("Training MiniGPT-4 and InstructBLIP, exact, against PyTorch + peft", LIMITS), []
    with tempfile.TemporaryDirectory() as scratch, host.hadpo.Engine(on_event=events.append, threads=2, numerics="exact") as engine:
        scratch = Path(scratch)
        files = host.pictures(scratch / "pictures")
        for number, (name, more, gamma) in enumerate(CASES):
            case = blip_cases.Case(name, scratch / f"model{number}", 600 + number, **more)
            try:
                compare(table, case, engine, events, files, scratch, gamma)
            except (host.hadpo.Error, AssertionError, KeyError) as error:  # one layout's failure must not hide the others' figures
                table.fail(f"{name}: {type(error).__name__}: {error}")
    return table.report()


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
