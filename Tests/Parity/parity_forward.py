#!/usr/bin/env python3
"""The library against transformers and Pillow on random LLaVA models: pixels, every block, logits, log-probs, ids.

Layouts x attention (grouped or not) x pictures x padded or not, in numerics "exact". Ids must be identical except where
the oracle itself rates both within 1e-5; such places are printed as ties.
"""
import sys
import tempfile
from pathlib import Path

import torch

import host
import llava
import oracle

NEW_TOKENS = 24
TIE = 1e-5
TEXT = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=4,
            rms_norm_eps=1e-5, max_position_embeddings=2048, rope_theta=10000.0)
VISION = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=4, num_attention_heads=2, image_size=56, patch_size=14,
              projection_dim=16)
#            layout         weights     key-value heads, rope base, other vision sizes
MODELS = [("old", "float32", 4, 10000.0, {}), ("old", "float16", 2, 10000.0, {"patch_size": 8}),
          ("new", "bfloat16", 4, 500000.0, {}), ("new", "float32", 2, 500000.0, {}),
          ("transformers5", "float16", 4, 1000000.0, {}), ("transformers5", "bfloat16", 1, 1000000.0, {"patch_size": 8}),
          ("original", "float16", 4, 10000.0, {"image_size": 42}), ("original", "bfloat16", 2, 10000.0, {})]
ANSWERS = {"hadpo-eval": "No, there is no dog in the image.", "hadpo-train": "The image features a café, 中 and 3 cats.",
           "hf": "Yes"}
QUESTIONS = {"hadpo-eval": "Is there a dog in the image?", "hadpo-train": "Describe this image in detail.",
             "hf": "What is on the table?\nAnswer in one word."}
LIMITS = {"pixels": 0.0, "prompt ids": 0.0, "vision blocks": 1e-4, "vision features": 1e-4, "projected": 1e-4,
          "decoder blocks": 1e-4, "logits": 1e-4, "log-probs": 1e-4, "score": 1e-4, "greedy ids": 0.0,
          "5-beam ids, hf-4.57": 0.0, "5-beam ids, hf-4.31": 0.0}


def make(folder, words, layout, dtype, heads, theta, vision, seed):
    """Writes the folder; returns the oracle's model."""
    original = layout == "original"
    rows = words.size if original else words.rows
    # The original vocabulary has no <image>: byte 0, which no text here contains, marks its rows for transformers.
    model = llava.build(TEXT | dict(num_key_value_heads=heads, rope_theta=theta, vocab_size=rows), VISION | vision,
                        3 if original else words.image, dtype=dtype, seed=seed, tokens=words.size, end_gain=2.4 if words.real else 1.4)
    if original:
        llava.save_original(model, folder, dtype, words.size)
    elif layout == "transformers5":
        llava.save_transformers5(model, folder, dtype)
    else:
        llava.save_hf(model, folder, dtype, layout, shards=2 if layout == "new" else 1)
    llava.write_tokenizer(folder, None if original else words.image, model_file=words.model if layout in ("old", "original") else None,
                          json_file=words.json if layout in ("new", "transformers5") else None)
    return model


def compare_inspect(table, found, expected, prompt, image, where, unused=1):
    """`found`: the file of hadpo_model_inspect; `expected`: the oracle's figures of the same sequence.

    `unused`: so many of the last vision blocks need not be computed."""
    table.add("pixels", 0.0 if torch.equal(found["pixel_values"], expected["pixel_values"])
              else host.relative(found["pixel_values"], expected["pixel_values"]) or float("inf"), where)
    table.same("prompt ids", collapse(found["prompt_ids"].tolist(), image), prompt, where)
    # The library may stop after the selected layer; up to there every block must be shown.
    shown = [n for n in found if n.startswith("vision.block.")]
    needed = sum(n.startswith("vision.block.") for n in expected) - unused
    assert len(shown) >= needed, f"{where}: {len(shown)} vision blocks of {needed}"
    for name in shown:
        table.add("vision blocks", host.relative(found[name], expected[name]), f"{where} {name}")
    table.add("vision features", host.relative(found["vision.features"], expected["vision.features"]), where)
    for name in expected:
        if name.startswith("qformer."):
            table.add("Q-Former output" if name.endswith("output") else "Q-Former blocks", host.relative(found[name], expected[name]),
                      f"{where} {name}")
    table.add("projected", host.relative(found["projected"], expected["projected"]), where)
    # The last token of a completion need not be fed: rows beyond what the library computed are not compared.
    rows = len(found["logits"])
    assert len(expected["logits"]) - rows in (0, 1), f"{where}: {rows} rows of {len(expected['logits'])}"
    for name in expected:
        if name.startswith("decoder.block."):
            table.add("decoder blocks", host.relative(found[name], expected[name][:rows]), f"{where} {name}")
    columns = expected["logits"].shape[1]
    table.add("logits", host.relative(found["logits"][:, :columns], expected["logits"][:rows]), where)
    table.add("log-probs", float((found["logps"] - expected["logps"]).abs().max()), where)


def collapse(ids, image):
    """Image ids, repeated or not, become one placeholder."""
    out = []
    for i in ids:
        i = oracle.IMAGE if i in (image, oracle.IMAGE) else i
        if not (i == oracle.IMAGE and out and out[-1] == oracle.IMAGE):
            out.append(i)
    return out


def compare_ids(table, quantity, found, expected, step, where, length_of):
    """Equal, or the oracle's scores of both differ by less than TIE. `length_of(ids)` divides a sequence's log-prob."""
    if found == expected:
        table.add(quantity, 0.0, where)
        return

    def score(ids):
        return sum(float(step([ids[:n]])[0][ids[n]]) for n in range(len(ids))) / length_of(ids)

    gap = abs(score(found) - score(expected))
    if gap < TIE:
        table.add(quantity, 0.0, where)
        table.note(f"tie: {quantity}, {where}, scores differ by {gap:.1e}")
    else:
        table.same(quantity, found, expected, f"{where} (scores differ by {gap:.1e})")


def main():
    torch.set_num_threads(1)
    words = host.Vocabulary()
    table = host.Table("Forward pass, exact, against transformers", LIMITS)
    with tempfile.TemporaryDirectory() as scratch, host.engine() as engine:
        scratch = Path(scratch)
        files = host.pictures(scratch / "pictures")
        for number, (layout, dtype, heads, theta, vision) in enumerate(MODELS):
            name = f"{layout} {dtype} kv{heads}"
            folder = scratch / f"model{number}"
            model = make(folder, words, layout, dtype, heads, theta, vision, seed=100 + number)
            size = model.config.vision_config.image_size
            for mode in ("pad", "crop"):
                with host.hadpo.Model(engine, path=str(folder), processor=mode) as subject:
                    for index, (picture, path) in enumerate(files.items()):
                        template = list(QUESTIONS)[index % 3]
                        where = f"{name} {mode} {picture}"
                        pixels = oracle.pixels(path, size, mode == "pad")
                        text = oracle.prompt_text(template, QUESTIONS[template])
                        prompt = oracle.prompt_ids(words.encode, text)
                        answer = oracle.answer_ids(words.encode, text, ANSWERS[template])
                        expected = oracle.inspect(model, pixels, prompt + answer)
                        expected["logps"] = oracle.logps(expected["logits"], answer)
                        with host.hadpo.Image.open(path) as image:
                            request = dict(question=QUESTIONS[template], template=template, completion=ANSWERS[template])
                            subject.inspect(scratch / "inspect.safetensors", image, **request)
                            found = host.tensors(scratch / "inspect.safetensors")
                            compare_inspect(table, found, expected, prompt, words.image, where)
                            scores = torch.tensor(subject.score(image, **request))
                            table.add("score", float((scores - expected["logps"]).abs().max())
                                      if scores.shape == expected["logps"].shape else float("inf"), where)
                            if index % 3 != (number + (mode == "pad")) % 3:
                                continue  # generation on a third of the pictures
                            step = oracle.StepByStep(model, oracle.embed(model, pixels, prompt))
                            ask = dict(prompt=text, template="raw", max_new_tokens=NEW_TOKENS, do_sample=False)
                            compare_ids(table, "greedy ids", subject.generate(image, num_beams=1, **ask)["ids"],
                                        oracle.generate(model, pixels, prompt, 1, NEW_TOKENS), step, where, len)
                            compare_ids(table, "5-beam ids, hf-4.57",
                                        subject.generate(image, num_beams=5, beam_rule="hf-4.57", **ask)["ids"],
                                        oracle.generate(model, pixels, prompt, 5, NEW_TOKENS), step, where, len)
                            compare_ids(table, "5-beam ids, hf-4.31",
                                        subject.generate(image, num_beams=5, beam_rule="hf-4.31", **ask)["ids"],
                                        oracle.beam_431(step, len(prompt), 5, NEW_TOKENS)[0], step, where,
                                        lambda ids, n=len(prompt): n + len(ids) - (ids[-1] == 2))
    return table.report()


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
