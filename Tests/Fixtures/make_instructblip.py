#!/usr/bin/env python3
"""Writes Tests/Fixtures/instructblip: tiny random InstructBLIPs in two layouts, and what PyTorch computes.

Needs the packages of Tests/Parity/requirements.txt, Tests/Fixtures/llava and Tests/Fixtures/minigpt4.

lavis/       the files of LAVIS and HA-DPO: llm/ (Vicuna, two .bin shards), bert-base-uncased/ (config.json, vocab.txt),
             instruct_blip_vicuna13b_trimmed.pth; the EVA file is ../minigpt4/model/eva_vit_g.pth. ln_vision has epsilon 1e-5,
             row [PAD] of embedding and head is zero. `lavis.safetensors` (template hadpo-train)
hf/          Salesforce/instructblip-vicuna-*: fp16, no <image> in the vocabulary. `hf.safetensors` (template hf)
Each file holds what make_minigpt4.py lists, with these differences (Q queries, L instruction ids, W Q-Former width):
  prompt_ids                -200, then </s> (2) and the bare question
  instruction_ids [L]       what the Q-Former reads: [CLS] question [SEP]
  vision.features [1+P,C]   ln_vision
  qformer.block.N [Q+L,W]   output of layer N, queries first
  qformer.output [Q,W]      the queries of the last layer
  projected [Q,D]
  beam5_ids.hf-4.31         lavis: repetition_penalty 1.5, over BOS (1) and the new ids; no greedy_ids, beam5_ids
  eval.*                    lavis: the template hadpo-eval, which is the same
dpo/         on lavis, gamma 0; the files of make_minigpt4.make_dpo
"""
import shutil
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "Parity"))
import blip  # noqa: E402
import blip_files  # noqa: E402
import blip_text  # noqa: E402
import make_minigpt4 as base  # noqa: E402

HERE = Path(__file__).resolve().parent / "instructblip"
TEXT = base.TEXT | dict(rms_norm_eps=1e-6, vocab_size=base.TOKENS + 1)
QFORMER = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4, max_position_embeddings=64,
               cross_attention_frequency=2, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
HF_VISION = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, image_size=20, patch_size=5)
BYTE_0 = 3  # marks the picture's rows for transformers: no text has it, and the early layout has no <image>
WORDS = [q for _, q, _, _ in base.PAIRS] + [q for _, q, _ in base.SAMPLES] + ["table dog cat image picture describe detail"]


def build_lavis(vocab_size):
    """The weights of the EVA file are those of Tests/Fixtures/minigpt4: in both originals it is the same file."""
    model = blip.instructblip(TEXT, base.EVA, QFORMER | dict(vocab_size=vocab_size), 4, BYTE_0, seed=22,
                              stored=lambda n: torch.float16,
                              tokens=base.TOKENS)
    shared = {name: w for name, w in base.build().vision_model.state_dict().items() if "post_layernorm" not in name}
    missing = model.vision_model.load_state_dict(shared, strict=False)
    assert all("post_layernorm" in name for name in missing.missing_keys) and not missing.unexpected_keys
    return model


def main():
    torch.set_num_threads(1)
    shutil.rmtree(HERE, ignore_errors=True)
    vocab = HERE / "vocab.txt"
    size = blip_files.write_vocabulary(vocab, WORDS) + 1  # and [DEC]
    encode = blip_text.Llama431(base.TOKENIZER, legacy=True)
    words = blip_text.InstructBLIP(encode, vocab)

    lavis = build_lavis(size)
    blip_files.save_lavis(lavis, HERE / "lavis", base.TOKENS, base.TOKENIZER, vocab, pickled=True, dtype="float16")
    (HERE / "lavis" / blip_files.EVA).unlink()
    hf = blip.instructblip(TEXT, HF_VISION, QFORMER | dict(vocab_size=size, num_hidden_layers=2), 4, BYTE_0, seed=23, original=False,
                           stored=lambda n: torch.float16, tokens=base.TOKENS)
    blip_files.save_instructblip_hf(hf, HERE / "hf", "float16", base.TOKENIZER, vocab)
    with torch.no_grad():
        base.expectations(HERE / "lavis", lavis, words, penalty=1.5)
        base.expectations(HERE / "hf", hf, words, template="hf", also=(), question="What is on the table?")
        check_transformers(hf, words)
    vocab.unlink()
    for name in ("lavis", "hf"):
        for kind in ("safetensors", "json"):
            (HERE / name / f"expected.{kind}").rename(HERE / f"{name}.{kind}")
    base.make_dpo(HERE / "dpo", lavis, words, gamma=0.0)


def check_transformers(model, words):
    """The figures of hf are those of InstructBlipForConditionalGeneration as a whole."""
    from safetensors.torch import load_file
    found = load_file(HERE / "hf" / "expected.safetensors")
    ids = [BYTE_0] * 4 + found["prompt_ids"].tolist()[1:] + found["completion_ids"].tolist()
    logits = model.hf(pixel_values=found["pixel_values"][None], input_ids=torch.tensor([ids]),
                      qformer_input_ids=found["instruction_ids"][None]).logits[0]
    assert float((logits - found["logits"]).abs().max()) < 1e-5, float((logits - found["logits"]).abs().max())


if __name__ == "__main__":
    main()
