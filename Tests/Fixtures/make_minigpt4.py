#!/usr/bin/env python3
"""Writes Tests/Fixtures/minigpt4: a tiny random MiniGPT-4 in the files of the released one, and what PyTorch computes.

Needs the packages of Tests/Parity/requirements.txt and Tests/Fixtures/llava (vocabulary and pictures). Deterministic for
given package versions; expected.json names them. C vision width, P patches, D width, T positions, V vocabulary.

model/llm/                                  Llama-2-chat: fp16, two safetensors shards, tokenizer with legacy false
model/eva_vit_g.pth                         flat, fp16 and fp32, with the head of its pretraining, which nobody reads;
                                            the qkv and proj weights of both blocks share a storage
model/pretrained_minigpt4_llama2_7b.pth     {"model": {llama_proj.*}, "optimizer", "config": argparse.Namespace, ...}
expected.safetensors (fp32; ids int64), for `question` and `completion` of expected.json, template hadpo-train
  prompt_ids [n]            BOS first, one -200 for the picture
  completion_ids [k]        end token included
  pixel_values [3,S,S]
  vision.block.N [1+P,C]    output of EVA block N, class row first
  vision.features [P/4,4C]  ln_vision, class row dropped, four patches a row
  projected [P/4,D]
  decoder.block.N [T,D]     prompt and completion
  logits [T,V]
  logps [k]                 log-probabilities of the completion in nats
  greedy_ids, beam5_ids (transformers of today), beam5_ids.hf-4.31    new ids, end token included if reached
  eval.*                    the same ids and logps for the template hadpo-eval
dpo/                        twenty steps of DPO + gamma * language-model loss, see make_dpo
"""
import json
import shutil
import sys
from pathlib import Path

import peft
import tokenizers
import torch
import transformers
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "Parity"))
import blip  # noqa: E402
import blip_files  # noqa: E402
import blip_text  # noqa: E402
import dpo  # noqa: E402
import oracle  # noqa: E402

HERE = Path(__file__).resolve().parent / "minigpt4"
LLAVA = HERE.parent / "llava"
TOKENIZER, PICTURES = LLAVA / "tokenizer" / "tokenizer.model", LLAVA / "pictures"
TOKENS, NEW_TOKENS, STEPS = 340, 24, 20
TEXT = dict(hidden_size=32, intermediate_size=56, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=4,
            vocab_size=TOKENS, rms_norm_eps=1e-5, max_position_embeddings=1024)
# Two heads of 88: EVA's file does not say how many heads there are, upstream divides the width by 88.
EVA = dict(hidden_size=176, intermediate_size=40, num_hidden_layers=2, num_attention_heads=2, image_size=16, patch_size=4)
QUESTION, COMPLETION, PICTURE = "Describe this image in detail.", "A red cup and a cat.", "wide.jpg"
PAIRS = [
    ("wide.jpg", "Describe this image in detail.", "The image shows a table with a red cup.",
     "The image shows a table with a red cup, a chair and a cat."),
    ("tall.png", "Is there a dog in the image?", "No, there is no dog.", "Yes, there is a dog."),
    ("tall.png", "Describe this image in detail.", "Two apples and a blue book.", "A man on a horse é中 is there."),
    ("wide.jpg", "Is there a chair?", "Yes, there is a chair.", "No, there is no chair in the image."),
    ("wide.jpg", "What is on the table?", "A blue book.", "A cat."),
    ("tall.png", "Which colour is the ball?", "Green!", "The ball is red and blue."),
]
SAMPLES = [("tall.png", "Describe this image in detail.", "A man on a horse."),
           ("wide.jpg", "Take a look at this image and describe what you notice.", "The quick brown fox, a cat and 3 chairs."),
           ("tall.png", "What is there?", "A lazy dog.")]


def build():
    model = blip.minigpt4(TEXT, EVA, seed=21, stored=blip_files.published_stored, tokens=TOKENS)
    with torch.no_grad():  # the two large weights of both blocks are one storage in the file, which keeps it small
        first, second = model.vision_model.encoder.layers
        second.self_attn.qkv.weight.copy_(first.self_attn.qkv.weight)
        second.self_attn.projection.weight.copy_(first.self_attn.projection.weight)
    return model


def answers(model, words, template, question, completion, pixels, penalty=1.0, hf=False):
    """Ids, log-probabilities and generated ids of one request, by the names in this file's head."""
    prompt, instruction, answer = words.prompt(template, question), words.instruction(question), words.answer(completion)
    logps = blip.token_logps(model, (pixels, prompt, instruction, answer)).detach()
    step = blip.step_by_step(model, pixels, prompt, instruction)
    beam_431, scores = oracle.beam_431(step, 1, 5, NEW_TOKENS, repetition_penalty=penalty, seen=[blip_text.BOS])
    out = {"prompt_ids": prompt, "completion_ids": answer, "beam5_ids.hf-4.31": beam_431}
    if penalty == 1:
        out["greedy_ids"] = blip.generate(model, pixels, prompt, instruction, 1, NEW_TOKENS)
        out["beam5_ids"] = blip.generate(model, pixels, prompt, instruction, 5, NEW_TOKENS)
        print(f"  {template:12} greedy margin {min(oracle.greedy_margins(step, out['greedy_ids'])):.4f}", end="")
    print(f"  {template:12} lengths {({k: len(v) for k, v in out.items()})} 4.31 scores {scores[0]:.4f} {scores[1]:.4f}")
    return {"logps": logps} | {key: torch.tensor(ids) for key, ids in out.items()}


def expectations(folder, model, words, template="hadpo-train", penalty=1.0, also=("hadpo-eval",), question=QUESTION, **more):
    pixels = oracle.square_pixels(PICTURES / PICTURE, model.image_size)
    out = answers(model, words, template, question, COMPLETION, pixels, penalty)
    ids = out["prompt_ids"].tolist() + out["completion_ids"].tolist()
    out |= blip.inspect(model, pixels, ids, words.instruction(question))
    for other in also:
        found = answers(model, words, other, question, COMPLETION, pixels, penalty)
        out |= {f"{other.removeprefix('hadpo-')}.{key}": value for key, value in found.items()}
    if words.instruction(question) is not None:
        out["instruction_ids"] = torch.tensor(words.instruction(question))
    save_file({key: value.detach().contiguous() for key, value in out.items()}, folder / "expected.safetensors")
    (folder / "expected.json").write_text(json.dumps({
        "picture": f"../llava/pictures/{PICTURE}", "template": template, "question": question, "completion": COMPLETION,
        "max_new_tokens": NEW_TOKENS, "repetition_penalty": penalty, "logits_std": float(out["logits"].std()), **more,
        "versions": {p.__name__: p.__version__ for p in (torch, transformers, tokenizers)}}, indent=1, ensure_ascii=False) + "\n")
    print(f"{folder.name}: logits std {float(out['logits'].std()):.2f}, T {len(out['logits'])}")


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def sequences(words, rows, size, answer):
    """(pixels, prompt, instruction, answer ids) of each row, as blip.token_logps takes them."""
    return [(oracle.square_pixels(PICTURES / row["image"], size), words.prompt("hadpo-train", row["question"]),
             words.instruction(row["question"]), words.answer(row[answer])) for row in rows]


def double(sequence):
    return (sequence[0].double(), *sequence[1:])


def make_dpo(folder, model, words, gamma):
    """pairs.jsonl, samples.jsonl   hadpo.pairs/1 and hadpo.samples/1; pictures relative to Tests/Fixtures/llava/pictures
    adapter/               the start, as peft saves it on the language model: r 4, alpha 8, q k v, B ~ N(0, 0.02)
    expected.json          settings; per step: loss, sums of log-probs; the reference's; what a flipped sign would do
    logps.safetensors      {policy,reference}.PAIR.{chosen,rejected} [tokens]; the policy's before step 1, pairs 0 and 1
    frozen.safetensors     gradient/NAME at step 1, change/NAME = weight after 20 steps - before; NAME as in the adapter
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    pairs = [{"id": str(n), "image": i, "question": q, "chosen": c, "rejected": r} for n, (i, q, c, r) in enumerate(PAIRS)]
    samples = [{"image": i, "question": q, "answer": a} for i, q, a in SAMPLES]
    write_rows(folder / "pairs.jsonl", pairs)
    if gamma:
        write_rows(folder / "samples.jsonl", samples)
    sides = list(zip(*(sequences(words, pairs, model.image_size, side) for side in ("chosen", "rejected"))))
    extra = sequences(words, samples, model.image_size, "answer") if gamma else []

    def start():
        return blip.attach(model, rank=4, alpha=8, seed=11)

    def run(policy, sides, extra, **more):
        return dpo.run(policy, sides, steps=STEPS, logps=blip.token_logps, samples=extra, gamma=gamma, **more)

    start().language_model.save_pretrained(folder / "adapter")
    (folder / "adapter" / "README.md").unlink(missing_ok=True)
    result = run(start(), sides, extra)
    precise = run(start().double(), [[double(s) for s in both] for both in sides], [double(s) for s in extra])
    wrong_name = next(n for n in result["gradients"] if "layers.1.self_attn.v_proj.lora_B" in n)
    wrong = run(start(), sides, extra, flip=wrong_name)
    losses = result["record"]["loss"]
    # How far fp32 rounding alone carries the run: must leave room below the tolerances of the tests.
    rounding = {"worst_loss_difference": max(abs(a - b) for a, b in zip(losses, precise["record"]["loss"])),
                "worst_gradient_difference": dpo.worst(result["gradients"], precise["gradients"])[0],
                "worst_change_difference": dpo.worst(result["change"], precise["change"])[0]}
    flipped = {"tensor": wrong_name, "worst_loss_difference": max(abs(a - b) for a, b in zip(losses, wrong["record"]["loss"])),
               "worst_change_difference": dpo.worst(wrong["change"], result["change"])[0]}
    assert rounding["worst_loss_difference"] < 2e-5 and rounding["worst_change_difference"] < 3e-4, rounding
    assert abs(losses[0] - losses[-1]) >= 0.1, losses
    assert flipped["worst_loss_difference"] > 1e-3, "a flipped sign would hardly be seen"
    save_file({f"{kind[:-1] if kind == 'gradients' else kind}/{key}": value.contiguous()
               for kind in ("gradients", "change") for key, value in result[kind].items()}, folder / "frozen.safetensors")
    save_file(result["logps"], folder / "logps.safetensors")
    (folder / "expected.json").write_text(json.dumps({
        "template": "hadpo-train", "rank": 4, "alpha": 8, "target": ["q_proj", "k_proj", "v_proj"], "beta": 0.1, "gamma": gamma,
        "batch": 2, "learning_rate": 1e-3, "schedule": "constant", "warmup": 0, "betas": [0.9, 0.999], "eps": 1e-8,
        "weight_decay": 0.0, "clip": None, "steps": STEPS, "order": "file", "augmentation": "none",
        "frozen": result["record"] | {"rounding": rounding, "flipped_sign": flipped},
        "versions": {p.__name__: p.__version__ for p in (torch, transformers, peft)}}, indent=1) + "\n")
    print(f"dpo: loss {losses[0]:.4f} -> {losses[-1]:.4f}, rounding {rounding}, flipped {flipped}")


def main():
    torch.set_num_threads(1)
    shutil.rmtree(HERE, ignore_errors=True)
    model = build()
    blip_files.save_minigpt4(model, HERE / "model", TOKENS, TOKENIZER)
    words = blip_text.MiniGPT4(blip_text.Llama431(TOKENIZER, legacy=False))
    with torch.no_grad():
        expectations(HERE, model, words)
    make_dpo(HERE / "dpo", model, words, gamma=0.5)


if __name__ == "__main__":
    main()
