#!/usr/bin/env python3
"""Writes Tests/Fixtures/llava: tiny random LLaVA checkpoints in every on-disk layout, and what transformers computes.

Needs the packages of Tests/Parity/requirements.txt. Deterministic for given package versions; expected.json names them.

Per case  expected.safetensors (fp32; ids int64)
  prompt_ids [n]            one -200 for the picture (upstream's placeholder)
  input_ids [T]             the same with the picture expanded, followed by the completion
  pixel_values [3,S,S]      as the checkpoint's own settings say
  vision.block.N [P+1,E]    output of vision block N (all blocks, also those behind the selected layer)
  vision.features [P,E]     selected layer without the class row
  projected [P,D]
  decoder.block.N [T,D]     output of decoder layer N, before the final norm
  logits [T,V]              prompt and completion
  completion_ids [k]        tokens of the completion, end token included
  logps [k]                 their log-probabilities in nats
  greedy_ids, beam5_ids (transformers of today), beam5_ids.hf-4.31    up to 24 new ids, end token included if reached
pixels.safetensors holds {wide,tall}.{pad,crop} [3,32,32]. The folder dpo is written by make_llava_dpo.py.
"""
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import sentencepiece
import tokenizers
import torch
import transformers
from PIL import Image
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "Parity"))
import llava  # noqa: E402
import oracle  # noqa: E402
import spm  # noqa: E402

HERE = Path(__file__).resolve().parent / "llava"
TOKENS = 340  # of the SentencePiece vocabulary; <image> 340, <pad> 341, two rows that no token has
NEW_TOKENS = 24
TEXT = dict(hidden_size=32, intermediate_size=56, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
            vocab_size=TOKENS + 4, rms_norm_eps=1e-5, max_position_embeddings=1024, rope_theta=10000.0)
VISION = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2, image_size=32, patch_size=8,
              projection_dim=16)
CASES = {
    "old-f32": dict(dtype="float32", text={}, vision={}, pad=False, picture="wide.jpg", seed=13,
                    question="What is on the table?", completion="A red cup and a cat."),
    "new-bf16": dict(dtype="bfloat16", text=dict(num_hidden_layers=2, num_key_value_heads=4, rope_theta=500000.0), vision={}, pad=True,
                     picture="tall.png", seed=14, question="Is there a dog in the image?", completion="No, there is no dog."),
    "tf5-f16": dict(dtype="float16", text=dict(num_hidden_layers=2, num_key_value_heads=1, rope_theta=1000000.0), vision={}, pad=False,
                    picture="tall.png", seed=7, question="Describe this image in detail.",
                    completion="An é中\n here."),
    "original-f16": dict(dtype="float16", text=dict(num_hidden_layers=2, num_key_value_heads=4, vocab_size=TOKENS),
                         vision=dict(image_size=42, patch_size=14), pad=True,
                         picture="wide.jpg", seed=2, question="Describe this image in detail.",
                         completion="A man on a horse."),
}
SENTENCES = [
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and "
    "polite answers to the user's questions. USER: ",
    "A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, detailed, and "
    "polite answers to the human's questions. USER: ",
    "Describe this image in detail. ASSISTANT: The image shows a table with a red cup, a chair and a cat.",
    "Is there a dog in the image? ASSISTANT: No, there is no dog.", "Is there a chair? ASSISTANT: Yes, there is a chair.",
    "What is on the table? ASSISTANT: A blue book and two apples.", "How many people are there? ASSISTANT: 3 or 4, in 2019.",
    "A man on a horse; the quick brown fox jumps over the lazy dog.", "Which colour is the ball? Green!",
]


def pictures(folder):
    """Two smooth, non-square pictures: a JPEG with subsampled colour and a PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, w, h, seed in (("wide.jpg", 97, 61, 5), ("tall.png", 45, 70, 6)):
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[0:h, 0:w] / max(w, h)
        waves = [np.sin(rng.uniform(3, 25) * x + rng.uniform(3, 25) * y + rng.uniform(0, 6)) for _ in range(9)]
        rgb = np.stack([sum(waves[c::3]) / 3 for c in range(3)], -1)
        image = Image.fromarray(np.round(127.5 + 127.5 * rgb).astype(np.uint8))
        image.save(folder / name, **({"quality": 85, "subsampling": 2} if name.endswith("jpg") else {"optimize": True}))


def tokenizer(folder):
    """tokenizer.model and tokenizer.json, and a check that both encode alike."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.model").write_bytes(spm.train(SENTENCES * 3, TOKENS))
    (folder / "tokenizer.json").write_text(spm.tokenizer_json((folder / "tokenizer.model").read_bytes(), {TOKENS: "<image>", TOKENS + 1: "<pad>"}))
    slow = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    fast = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert slow.vocab_size() == TOKENS
    rng = np.random.default_rng(0)
    for text in SENTENCES + ["".join(rng.choice(list("aeinst .,\nThIUSER é中"), 40)) for _ in range(200)]:
        assert slow.encode(text) == fast.encode(text, add_special_tokens=False).ids, text
    return slow.encode


def save_case(folder, name, case, model, texts):
    if name.startswith("original"):
        llava.save_original(model, folder, case["dtype"], TOKENS, pad=case["pad"])
        llava.write_tokenizer(folder, None, model_file=texts / "tokenizer.model")
    elif name.startswith("tf5"):
        llava.save_transformers5(model, folder, case["dtype"], pad=case["pad"])
        llava.write_tokenizer(folder, TOKENS, json_file=texts / "tokenizer.json")
    else:
        old = name.startswith("old")
        llava.save_hf(model, folder, case["dtype"], "old" if old else "new", pad=case["pad"], shards=1 if old else 2)
        llava.write_tokenizer(folder, TOKENS, model_file=texts / "tokenizer.model" if old else None,
                              json_file=None if old else texts / "tokenizer.json")


def case_model(name):
    case = CASES[name]
    # The original vocabulary has no <image>: byte 0, which no text here contains, marks the rows for transformers.
    return llava.build(TEXT | case["text"], VISION | case["vision"], 3 if name.startswith("original") else TOKENS,
                       dtype=case["dtype"], seed=case["seed"], tokens=TOKENS)


def expectations(folder, case, model, encode):
    size = model.config.vision_config.image_size
    pixels = oracle.pixels(HERE / "pictures" / case["picture"], size, case["pad"])
    text = oracle.prompt_text("hf", case["question"])
    prompt = oracle.prompt_ids(encode, text)
    completion = oracle.answer_ids(encode, text, case["completion"])
    out = oracle.inspect(model, pixels, prompt + completion)
    out["logps"] = oracle.logps(out["logits"], completion)
    greedy = oracle.generate(model, pixels, prompt, 1, NEW_TOKENS)
    beam = oracle.generate(model, pixels, prompt, 5, NEW_TOKENS)
    step = oracle.StepByStep(model, oracle.embed(model, pixels, prompt))
    beam_431, scores_431 = oracle.beam_431(step, len(prompt), 5, NEW_TOKENS)
    margins = oracle.greedy_margins(step, greedy)
    for key, ids in {"prompt_ids": prompt, "input_ids": oracle.expand(prompt + completion, model),
                     "completion_ids": completion, "greedy_ids": greedy, "beam5_ids": beam,
                     "beam5_ids.hf-4.31": beam_431}.items():
        out[key] = torch.tensor(ids)
    save_file({key: value.contiguous() for key, value in out.items()}, folder / "expected.safetensors")
    (folder / "expected.json").write_text(json.dumps({
        "picture": "pictures/" + case["picture"], "processor": "pad" if case["pad"] else "crop", "dtype": case["dtype"],
        "template": "hf", "question": case["question"], "prompt": text, "completion": case["completion"],
        "completion_text": " " + case["completion"] + "</s>", "max_new_tokens": NEW_TOKENS,
        "prompt_positions": len(oracle.expand(prompt, model)), "positions": len(out["input_ids"]),
        "greedy_ids": greedy, "beam5_ids": beam, "beam5_ids.hf-4.31": beam_431, "beam5_scores.hf-4.31": scores_431,
        "smallest_greedy_margin": min(margins), "logits_std": float(out["logits"].std()),
        "versions": {p.__name__: p.__version__ for p in (torch, transformers, tokenizers, sentencepiece)},
    }, indent=1, ensure_ascii=False) + "\n")
    print(f"{folder.name:14} greedy {len(greedy)} beam {len(beam)}/{len(beam_431)} "
          f"{'equal' if beam == beam_431 else 'differ'} margin {min(margins):.4f} logits std {float(out['logits'].std()):.2f}")


def check_readable(folder, name, model):
    """What was written is what `model` holds, read back by the original packages."""
    if name.startswith("original"):
        index = json.loads((folder / "pytorch_model.bin.index.json").read_text())["weight_map"]
        shards = {shard: torch.load(folder / shard, weights_only=True) for shard in set(index.values())}
        stored = {llava.original_name(n): w for n, w in llava.base_tensors(model).items() if "vision_tower" not in n}
        for key, weight in stored.items():
            assert torch.equal(shards[index[key]][key].float(), weight), key
        return
    loaded = transformers.LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    expected = dict(model.named_parameters())
    for key, weight in loaded.named_parameters():
        assert torch.equal(weight, expected.pop(key)), key
    assert not expected, sorted(expected)


def main():
    torch.set_num_threads(1)
    for name in list(CASES) + ["tokenizer", "pictures"]:
        shutil.rmtree(HERE / name, ignore_errors=True)
    pictures(HERE / "pictures")
    encode = tokenizer(HERE / "tokenizer")
    for name, case in CASES.items():
        model = case_model(name)
        save_case(HERE / name, name, case, model, HERE / "tokenizer")
        check_readable(HERE / name, name, model)
        expectations(HERE / name, case, model, encode)
    save_file({f"{picture.split('.')[0]}.{mode}": oracle.pixels(HERE / "pictures" / picture, 32, mode == "pad")
               for picture in ("wide.jpg", "tall.png") for mode in ("pad", "crop")}, HERE / "pixels.safetensors")


if __name__ == "__main__":
    main()
