#!/usr/bin/env python3
"""The library against PyTorch on random MiniGPT-4 and InstructBLIP models: pixels, every block, logits, log-probs, ids.

The oracle is blip.py, which parity_upstream.py holds against HA-DPO's own code; for the HF layouts it is transformers'
InstructBlipForConditionalGeneration as a whole. Figures are compared with fp64, so that the oracle adds no rounding of its own.
Numerics "exact".
"""
import copy
import sys
import tempfile
from pathlib import Path

import torch
import transformers
from PIL import Image

import blip
import blip_cases
import host
import oracle
import parity_forward

NEW_TOKENS, LONG = 24, 255  # InstructBLIP's max_length 256 counts BOS
CASES = [("minigpt4", dict(kind="minigpt4")),
         ("minigpt4 legacy .bin", dict(kind="minigpt4", legacy=True, pickled=True, sizes=dict(image_size=64, patch_size=16))),
         ("lavis", dict(kind="lavis", pickled=True)), ("lavis patch 16", dict(kind="lavis", sizes=dict(image_size=64, patch_size=16))),
         ("hf f32", dict(kind="hf", dtype="float32")), ("hf f16 <image>", dict(kind="hf", image_token=True)),
         ("transformers5 f16", dict(kind="transformers5", image_token=True)),
         ("transformers5 f32", dict(kind="transformers5", dtype="float32", image_token=True, sizes=dict(image_size=64, patch_size=16)))]
LIMITS = {"pixels": 0.0, "prompt ids": 0.0, "instruction ids": 0.0, "completion ids": 0.0, "vision blocks": 1e-4, "vision features": 1e-4,
          "Q-Former blocks": 1e-4, "Q-Former output": 1e-4, "projected": 1e-4, "decoder blocks": 1e-4, "logits": 1e-4,
          "log-probs": 1e-4, "score": 1e-4, "greedy ids": 0.0, "5-beam ids, hf-4.57": 0.0, "5-beam ids, hf-4.31": 0.0,
          "transformers' own prompt": 0.0, "transformers' own logits": 1e-5, "transformers' own ids": 0.0}


def check_transformers(table, case, expected, path, question, prompt, instruction, answer, where):
    """The HF oracle is blip.py's split of the model; here the model of transformers runs as a whole, read from the folder."""
    if not hasattr(case, "hf"):
        case.hf = transformers.InstructBlipForConditionalGeneration.from_pretrained(
            case.folder, dtype=torch.float32, attn_implementation="eager").eval()
        case.precise_hf = copy.deepcopy(case.hf).double()
        for each in (case.hf, case.precise_hf):  # the early layout's config has none
            each.config.image_token_index = case.model.hf.config.image_token_index
        case.processor = transformers.InstructBlipProcessor.from_pretrained(case.folder)
    # The processor always registers <image>; ids of the early layout are those behind its rows.
    asked = case.processor(images=Image.open(path).convert("RGB"), text=question, return_tensors="pt")
    table.same("transformers' own prompt", prompt[1:] + instruction,
               asked["input_ids"][0, blip_cases.QUERIES:].tolist() + asked["qformer_input_ids"][0].tolist(), where)
    image, model = case.model.hf.config.image_token_index, case.hf
    start = [image] * blip_cases.QUERIES + prompt[1:]
    given = dict(pixel_values=expected["pixel_values"][None], qformer_input_ids=torch.tensor([instruction]))
    with torch.no_grad():
        precise = dict(given, pixel_values=given["pixel_values"].double())
        logits = case.precise_hf(input_ids=torch.tensor([start + answer]), **precise).logits[0].float()
        table.add("transformers' own logits", host.relative(expected["logits"], logits), where)
        for beams in (1, 5):
            out = model.generate(input_ids=torch.tensor([start]), do_sample=False, num_beams=beams, max_new_tokens=NEW_TOKENS,
                                 eos_token_id=2, bos_token_id=1, pad_token_id=0, **given)[0].tolist()
            new = out[len(start):] if out[:len(start)] == start else out
            new = new[:new.index(2) + 1] if 2 in new else new
            table.same("transformers' own ids", blip.generate(case.model, expected["pixel_values"], prompt, instruction, beams, NEW_TOKENS),
                       new, f"{where} {beams} beams")


def compare_generation(table, case, subject, image, pixels, prompt, instruction, ask, where, long=False):
    step = blip.step_by_step(case.model, pixels, prompt, instruction)
    ask, count = dict(ask, do_sample=False), LONG if long else NEW_TOKENS

    def found(beams, **more):
        return subject.generate(image, num_beams=beams, max_new_tokens=count, **ask, **more)["ids"]

    if case.penalty == 1:
        for rule, beams, quantity in (("hf-4.31", 1, "greedy ids"), ("hf-4.57", 5, "5-beam ids, hf-4.57")):
            parity_forward.compare_ids(table, quantity, found(beams, beam_rule=rule, repetition_penalty=1.0),
                                       blip.generate(case.model, pixels, prompt, instruction, beams, count), step, where, len)
    parity_forward.compare_ids(
        table, "5-beam ids, hf-4.31", found(5, beam_rule="hf-4.31", repetition_penalty=case.penalty, length_penalty=1.0),
        case.beam_431(step, count), step, where, lambda ids: 1 + len(ids) - (ids[-1] == 2))


def compare(table, case, engine, files, scratch, number):
    with host.hadpo.Model(engine, **case.open) as subject:
        for index, (picture, path) in enumerate(files.items()):
            question, answer_text = blip_cases.QUESTIONS[index % 3], blip_cases.ANSWERS[index % 3]
            template = case.templates[index % len(case.templates)]
            where = f"{case.name} {template} {picture}"
            pixels = case.pixels(path)
            prompt, instruction, answer = case.ids(template, question, answer_text)
            expected = blip.inspect(case.precise, pixels, prompt + answer, instruction)
            expected["logps"] = oracle.logps(expected["logits"], answer).float()
            if case.templates == ["hf"] and index < 3:
                check_transformers(table, case, expected, path, question, prompt, instruction, answer, where)
            with host.hadpo.Image.open(path) as image:
                request = dict(question=question, template=template, completion=answer_text)
                subject.inspect(scratch / "inspect.safetensors", image, **request)
                found = host.tensors(scratch / "inspect.safetensors")
                table.same("completion ids", found["completion_ids"].tolist(), answer, where)
                if instruction is not None:
                    table.same("instruction ids", found["instruction_ids"].tolist(), instruction, where)
                if found["completion_ids"].tolist() != answer:
                    continue
                parity_forward.compare_inspect(table, found, expected, prompt, oracle.IMAGE, where, unused=0)
                scores = torch.tensor(subject.score(image, **request))
                table.add("score", float((scores - expected["logps"]).abs().max())
                          if scores.shape == expected["logps"].shape else float("inf"), where)
                if index % 3 == number % 3:
                    compare_generation(table, case, subject, image, pixels, prompt, instruction,
                                       dict(question=question, template=template), where, long=case.kind == "lavis" and index < 3)


def main():
    torch.set_num_threads(1)
    table = host.Table("MiniGPT-4 and InstructBLIP, exact, against PyTorch", LIMITS)
    with tempfile.TemporaryDirectory() as scratch, host.engine() as engine, torch.no_grad():
        scratch = Path(scratch)
        files = host.pictures(scratch / "pictures")
        for number, (name, more) in enumerate(CASES):
            case = blip_cases.Case(name, scratch / f"model{number}", 400 + number, **more)
            try:
                compare(table, case, engine, files, scratch, number)
            except (host.hadpo.Error, AssertionError, KeyError) as error:  # one layout's failure must not hide the others' figures
                table.fail(f"{name}: {type(error).__name__}: {error}")
    return table.report()


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
