#!/usr/bin/env python3
"""PyTorch, transformers and PEFT on LLaVA-1.5 with random weights: prefill, decoding, DPO steps.

usage: torch_llava.py infer [--size 7b] [--dtype bf16] [--prompt 640] [--generate 32] [--layers N]
       torch_llava.py dpo   [--size 1b] [--dtype bf16] [--prompt 640] [--answer 96] [--pairs 1] [--steps 3] [--no-checkpointing]

infer: seconds from pixels and ids to the first token, tokens a second after it, both with transformers' `generate`.
dpo:   seconds of one step: the reference with the adapter off, the policy forward and back, AdamW. LoRA (r 128) on all linear
       layers of the decoder, B not zero, other pairs in every step, the first step (which allocates) left out.
One JSON line.
"""
import argparse
import json
import time

from environment import TORCH, enter, peak_bytes

enter(TORCH)
import torch  # noqa: E402
import transformers  # noqa: E402
from random_llava import DTYPES, TokenTimes, make, pictures, prompt_ids  # noqa: E402


def infer(model, o):
    ids, pixels = prompt_ids(o.prompt), pictures(1, DTYPES[o.dtype])
    common = dict(input_ids=ids, pixel_values=pixels, attention_mask=torch.ones_like(ids), do_sample=False)
    clock = time.perf_counter
    with torch.inference_mode():
        start = clock()
        model.model.get_image_features(pixel_values=pixels)
        vision = clock() - start
        prefill = []
        for _ in range(o.repeat + 1):
            start = clock()
            model.generate(**common, max_new_tokens=1)
            prefill.append(clock() - start)
        times = TokenTimes(clock)
        model.generate(**common, max_new_tokens=o.generate + 1, min_new_tokens=o.generate + 1, streamer=times)
    # times: the prompt, the first token (prefill), then the others
    decoded = len(times.times) - 2
    best = sorted(prefill[1:] or prefill)
    return {"vision_s": vision, "prefill_s": best[len(best) // 2], "prefill_tok_s": o.prompt / best[len(best) // 2],
            "decode_tok_s": decoded / (times.times[-1] - times.times[1])}


def adapted(model, o):
    from peft import LoraConfig, get_peft_model
    model = get_peft_model(model, LoraConfig(
        r=o.rank, lora_alpha=2 * o.rank, lora_dropout=0.0,
        target_modules=r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 1e-3)
    model.train()
    if o.checkpointing:
        model.enable_input_require_grads()
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return model


def dpo(model, o):
    dtype = DTYPES[o.dtype]
    model = adapted(model, o)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=2e-6)
    times = []
    for _ in range(o.steps + 1):
        prompts, answers = prompt_ids(o.prompt, o.pairs).repeat_interleave(2, 0), torch.randint(5, 31000, (2 * o.pairs, o.answer))
        ids, pixels = torch.cat([prompts, answers], 1), pictures(o.pairs, dtype).repeat_interleave(2, 0)

        def log_probs():
            logits = model(input_ids=ids, pixel_values=pixels, attention_mask=torch.ones_like(ids)).logits
            chosen = logits[:, -o.answer - 1:-1].float().log_softmax(-1).gather(2, answers[..., None])
            return chosen.sum((1, 2))

        start = time.perf_counter()
        with torch.no_grad(), model.disable_adapter():
            reference = log_probs()
        policy = log_probs()
        margin = (policy[0::2] - policy[1::2]) - (reference[0::2] - reference[1::2])
        (-torch.nn.functional.logsigmoid(0.1 * margin)).mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.perf_counter() - start)
    times = times[1:] or times
    return {"dpo_step_s": sorted(times)[len(times) // 2], "steps_s": times, "trainable": sum(p.numel() for p in trained),
            "checkpointing": o.checkpointing}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=["infer", "dpo"])
    parser.add_argument("--size", choices=["7b", "1b", "tiny"])
    parser.add_argument("--dtype", default="bf16", choices=list(DTYPES))
    parser.add_argument("--layers", type=int, help="decoder layers, for a quick look")
    parser.add_argument("--prompt", type=int, default=640, help="positions of the prompt, 576 of the picture among them")
    parser.add_argument("--generate", type=int, default=32)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--answer", type=int, default=96)
    parser.add_argument("--pairs", type=int, default=1)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rank", type=int, default=128)
    parser.add_argument("--no-checkpointing", dest="checkpointing", action="store_false")
    parser.add_argument("--threads", type=int)
    o = parser.parse_args()
    if o.threads:
        torch.set_num_threads(o.threads)
    size = o.size or ("7b" if o.task == "infer" else "1b")
    model = make(size, DTYPES[o.dtype], o.layers)
    result = infer(model, o) if o.task == "infer" else dpo(model, o)
    rounded = {k: round(v, 4) if isinstance(v, float) else [round(x, 3) for x in v] if isinstance(v, list) else v
               for k, v in result.items()}
    print(json.dumps({"peer": f"torch {torch.__version__}, transformers {transformers.__version__}", "task": o.task, "size": size,
                      "dtype": o.dtype, "layers": o.layers, "threads": torch.get_num_threads(), "peak_bytes": peak_bytes(), **rounded}))


if __name__ == "__main__":
    main()
