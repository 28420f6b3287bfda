#!/usr/bin/env python3
"""transformers on a LLaVA folder as an evaluation harness runs it: POPE's questions, SHR's descriptions.

usage: transformers_answers.py pope FOLDER DATA [--count 3] [--dtype fp16]     one question at a time, greedy, 10 forced tokens
       transformers_answers.py shr  FOLDER DATA [--count 1] [--dtype fp16]     one picture at a time, 5 beams, 128 forced tokens

DATA is a folder written by Tests/Bench/data.py. `generate` reads the picture again for every question, so the rate does not depend
on how many questions are asked (--count). The first question, which warms up, is left out unless --cold. One JSON line.
"""
import argparse
import json
import time
from pathlib import Path

from environment import TORCH, enter, peak_bytes

enter(TORCH)
import torch  # noqa: E402
import transformers  # noqa: E402
from PIL import Image  # noqa: E402

SYSTEM = ("A chat between a curious human and an artificial intelligence assistant. "
          "The assistant gives helpful, detailed, and polite answers to the human's questions.")
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=["pope", "shr"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--count", type=int)
    parser.add_argument("--dtype", default="fp16", choices=list(DTYPES))
    parser.add_argument("--tokens", type=int)
    parser.add_argument("--beams", type=int)
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--threads", type=int)
    o = parser.parse_args()
    if o.threads:
        torch.set_num_threads(o.threads)
    tokens, beams = o.tokens or {"pope": 10, "shr": 128}[o.task], o.beams or {"pope": 1, "shr": 5}[o.task]
    count = o.count or {"pope": 3, "shr": 1}[o.task]
    if o.task == "pope":
        asked = [(r["image"], r["text"]) for r in map(json.loads, (o.data / "pope_random.json").read_text().splitlines())]
    else:
        asked = [(r["image"], "Describe this image in detail.") for r in json.loads((o.data / "shr.json").read_text())]
    model = transformers.LlavaForConditionalGeneration.from_pretrained(o.folder, dtype=DTYPES[o.dtype]).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(o.folder)
    preprocess = transformers.CLIPImageProcessor.from_pretrained(o.folder)
    rows = (preprocess.crop_size["height"] // 14) ** 2

    def answer(picture, question):
        pixels = preprocess(Image.open(o.data / "pictures" / picture).convert("RGB"), return_tensors="pt").pixel_values.to(DTYPES[o.dtype])
        before, after = f"{SYSTEM} USER: <image>\n{question} ASSISTANT:".split("<image>")
        ids = (tokenizer(before).input_ids + [model.config.image_token_id] * rows + tokenizer(after, add_special_tokens=False).input_ids)
        ids = torch.tensor([ids])
        model.generate(input_ids=ids, pixel_values=pixels, attention_mask=torch.ones_like(ids), do_sample=False, num_beams=beams,
                       max_new_tokens=tokens, min_new_tokens=tokens)
        return ids.shape[1]

    seconds, positions = [], 0
    with torch.inference_mode():
        for picture, question in asked[:count + (0 if o.cold else 1)]:
            start = time.perf_counter()
            positions = answer(picture, question)
            seconds.append(time.perf_counter() - start)
    seconds = seconds if o.cold else seconds[1:]
    each = sum(seconds) / len(seconds)
    print(json.dumps({
        "peer": f"torch {torch.__version__}, transformers {transformers.__version__}", "task": o.task, "dtype": o.dtype,
        "threads": torch.get_num_threads(), "positions": positions, "tokens": tokens, "beams": beams, "answers": len(seconds),
        "seconds_an_answer": round(each, 3), "answers_a_minute": round(60 / each, 3), "peak_bytes": peak_bytes()}))


if __name__ == "__main__":
    main()
