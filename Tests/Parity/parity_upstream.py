#!/usr/bin/env python3
"""The oracle of MiniGPT-4 and InstructBLIP (blip.py) against HA-DPO's own code under transformers 4.31.

Needs HADPO_SOURCE, a checkout of opendatalab/HA-DPO, and HADPO_SOURCE_PACKAGES, a folder with upstream.txt; without them it
says so and passes: the other comparisons then rest on blip.py alone.
"""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file

import blip
import blip_cases
import dpo
import host
import oracle

NEW_TOKENS = 40
LIMITS = {"EVA blocks": 1e-5, "ln_vision": 1e-5, "Q-Former blocks": 1e-5, "projected": 1e-5, "answer ids": 0.0, "logits": 1e-5,
          "greedy ids": 0.0, "5-beam ids": 0.0, "DPO loss": 1e-5, "DPO gradients": 1e-4}
ROW = {"image": "wide420.jpg", "question": "Is there a dog in the image?", "chosen": "No, there is no dog.",
       "rejected": "Yes, there is a dog and a café in the image."}
SAMPLE = {"image": "tall444.jpg", "question": "Describe this image in detail.", "answer": "A man on a horse rides down the street."}


def compare(table, case, found, pictures, adapter, gamma, where):
    model, pixels = case.model, pictures[ROW["image"]]
    for side in ("chosen", "rejected"):
        prompt, instruction, answer = case.ids("hadpo-train", ROW["question"], ROW[side])
        table.same("answer ids", found[f"labels.{side}"].tolist(), answer, f"{where} {side}")
        expected = blip.inspect(model, pixels, prompt + answer, instruction)
        table.add("logits", host.relative(found[f"logits.{side}"], expected["logits"]), f"{where} {side}")
    for name, value in expected.items():
        for part, quantity in (("vision.block.", "EVA blocks"), ("qformer.block.", "Q-Former blocks"), ("projected", "projected")):
            if name.startswith(part):
                table.add(quantity, host.relative(found[name], value), f"{where} {name}")
    features = found["ln_vision"] if case.kind == "lavis" else found["ln_vision"][1:].reshape(expected["vision.features"].shape)
    table.add("ln_vision", host.relative(features, expected["vision.features"]), where)
    question = blip_cases.QUESTIONS[0]
    prompt, instruction = case.words.prompt("hadpo-eval", question), case.words.instruction(question)
    step = blip.step_by_step(model, pixels, prompt, instruction)
    beams = case.beam_431(step, NEW_TOKENS)
    if case.kind == "minigpt4":
        table.same("greedy ids", found["greedy_ids"].tolist(), blip.generate(model, pixels, prompt, instruction, 1, NEW_TOKENS), where)
        table.same("5-beam ids", found["beam5_ids"].tolist(), beams, where)
    else:  # upstream returns BOS, and turns id 0 into 2
        table.same("5-beam ids", found["beam5_ids"].tolist(), [1] + [i or 2 for i in beams], where)

    def sequence(row, side):
        prompt, instruction, answer = case.ids("hadpo-train", row["question"], row[side])
        return pictures[row["image"]], prompt, instruction, answer

    policy = blip.attach(model, rank=4, alpha=8, seed=5)
    result = dpo.run(policy, [[sequence(ROW, "chosen"), sequence(ROW, "rejected")]], steps=1, batch=1, logps=blip.token_logps,
                     samples=[sequence(SAMPLE, "answer")], gamma=gamma)
    table.add("DPO loss", abs(float(found["loss"]) - result["record"]["loss"][0]), where)
    for name, value in result["gradients"].items():
        table.add("DPO gradients", host.distance(found[f"gradient/{name}"], value), f"{where} {name}")


def main():
    torch.set_num_threads(1)
    source, packages = os.environ.get("HADPO_SOURCE"), os.environ.get("HADPO_SOURCE_PACKAGES")
    if not source or not packages:
        print("SKIPPED: HA-DPO's own code (HADPO_SOURCE and HADPO_SOURCE_PACKAGES are not set, see parity_upstream.py)")
        return True
    table = host.Table("HA-DPO's own code against blip.py", LIMITS)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        files = host.pictures(scratch / "pictures")
        for number, (name, kind, more) in enumerate((
                ("minigpt4", "minigpt4", {}), ("minigpt4 legacy, .bin", "minigpt4", dict(legacy=True, pickled=True)),
                ("lavis", "lavis", dict(pickled=True)), ("lavis patch 16", "lavis", dict(sizes=dict(image_size=64, patch_size=16))))):
            case = blip_cases.Case(name, scratch / f"model{number}", 500 + number, kind=kind, **more)
            folder, gamma = case.folder, 0.5 if kind == "minigpt4" else 0.0
            blip.attach(case.model, rank=4, alpha=8, seed=5).language_model.save_pretrained(folder / "adapter")
            pictures = {n: case.pixels(files[n]) for n in (ROW["image"], SAMPLE["image"])}
            save_file(pictures, folder / "pictures.safetensors")
            vision = case.model.vision_model.config
            (folder / "job.json").write_text(json.dumps(dict(
                source=source, packages=packages, family=kind, folder=str(folder), adapter=str(folder / "adapter"), rows=[ROW],
                samples=[SAMPLE], gamma=gamma, pictures=str(folder / "pictures.safetensors"), question=blip_cases.QUESTIONS[0],
                new_tokens=NEW_TOKENS, tokens=case.tokens, queries=blip_cases.QUERIES, out=str(folder / "found.safetensors"),
                eva={key: getattr(vision, key) for key in ("hidden_size", "intermediate_size", "num_hidden_layers", "image_size", "patch_size")})))
            subprocess.run([sys.executable, str(Path(__file__).with_name("upstream.py")), str(folder / "job.json")], check=True,
                           stdout=subprocess.DEVNULL)
            compare(table, case, host.tensors(folder / "found.safetensors"), pictures, folder / "adapter", gamma, name)
    return table.report()


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
