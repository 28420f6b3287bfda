"""The comparisons: for each row the command of ours, the peer's, and how each one's rate is read from its JSON lines.

Rates are "more is better"; a peer's seconds are turned round. `layers` cuts the 7B decoder for a quick look.
"""
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BENCH = ROOT / "build" / "bench"
TOOL = ROOT / "build" / "bin" / "hadpo"
PEERS = ROOT / "Tests" / "Bench" / "peers"
PYTHON = sys.executable


@dataclass
class Side:
    command: list
    rates: dict  # figure -> function of the records


@dataclass
class Row:
    ours: Side
    peer: Side | None
    wanted: dict  # figure -> ratio that is asked for
    models: list = field(default_factory=list)  # (model, dtype) folders that are needed


def first(records, **wanted):
    for record in records:
        if all(record.get(key) == value for key, value in wanted.items()):
            return record
    raise SystemExit(f"no record with {wanted} among {len(records)}")


def folder(model, dtype, layers):
    return BENCH / f"{model}-{dtype}{f'-{layers}' if layers else ''}"


def hadpo(model, dtype, layers, *more):
    return [TOOL, "bench", "-m", folder(model, dtype, layers), "--numerics", "fast", "--json", "--quiet", "--repeat", "1", *more]


def peer(script, *more):
    return [PYTHON, PEERS / script, *more]


def bench_rate(name):
    return lambda records: first(records, bench=name)["per_second"]


def linear(dtype):
    """Three shapes, 512 and 1024 rows; one process calls both sides in turns."""
    shapes = [f"{m}x{n}x{k}" for m in (512, 1024) for n, k in ((4096, 4096), (11008, 4096), (4096, 11008))]
    command = peer("torch_linear.py", "--dtype", dtype, "--repeat", "21", "--beside", BENCH / "libkernels.so")
    ours = {s: lambda r, s=s: first(r, shape=s)["our_gflops"] for s in shapes}
    theirs = {s: lambda r, s=s: first(r, shape=s)["gflops"] for s in shapes}
    return Row(Side(command, ours), Side(command, theirs), {s: 1.4 for s in shapes})


def inference(name, dtype, weights, layers):
    """Prompt of 640 positions and decoding: against PyTorch with a picture, against llama.cpp, which has none here, without."""
    kept = [*([] if weights == "stored" else ["--weights", weights]), *([] if name == "torch" else ["--no-picture"])]
    ours = Side(hadpo("llava-7b", dtype, layers, "--prompt-tokens", "640", "-n", "33", "--beams", "0", "--only", "generate", *kept),
                {"prompt tok/s": bench_rate("prompt"), "decode tok/s": bench_rate("decode")})
    few = ["--layers", str(layers)] if layers else []
    if name == "torch":
        theirs = Side(peer("torch_llava.py", "infer", "--size", "7b", "--dtype", dtype, *few),
                      {"prompt tok/s": lambda r: r[-1]["prefill_tok_s"], "decode tok/s": lambda r: r[-1]["decode_tok_s"]})
        return Row(ours, theirs, {"prompt tok/s": 1.3}, [("llava-7b", dtype)])
    theirs = Side(peer("llama_cpp.py", "--types", name, "--keep", *few),
                  {"prompt tok/s": lambda r: first(r, test="prompt")["prompt_tok_s"],
                   "decode tok/s": lambda r: first(r, test="decode")["decode_tok_s"]})
    wanted = {"bf16": {"prompt tok/s": 1.5, "decode tok/s": 0.97}, "f16": {"prompt tok/s": 1.5, "decode tok/s": 0.97},
              "q8_0": {"decode tok/s": 1.25}, "q4_0": {"decode tok/s": 1.15}}[name]
    return Row(ours, theirs, wanted, [("llava-7b", dtype)])


def dpo(checkpointing, dtype):
    ours = Side(hadpo("llava-1b", dtype, None, "--only", "train", "--pairs", BENCH / "data/pairs.jsonl", "-i", BENCH / "data/pictures",
                      "--rank", "128", "--set", f"checkpointing={'true' if checkpointing else 'false'}"),
                {"steps/s, reference cold": bench_rate("DPO step"), "steps/s, reference known": bench_rate("DPO step, reference known")})
    def rate(records):
        return 1 / records[-1]["dpo_step_s"]
    theirs = Side(peer("torch_llava.py", "dpo", "--size", "1b", "--dtype", dtype, "--steps", "1",
                       *([] if checkpointing else ["--no-checkpointing"])),
                  {"steps/s, reference cold": rate, "steps/s, reference known": rate})
    return Row(ours, theirs, {"steps/s, reference cold": 3.2, "steps/s, reference known": 4.0}, [("llava-1b", dtype)])


def evaluation(task, dtype, layers):
    data = BENCH / "data"
    if task == "pope":
        # What ours asks in one call: all three splits, whose repeated questions it answers once.
        splits = [x for s in ("random", "popular", "adversarial") for x in ("-q", data / f"pope_{s}.json", "-o", BENCH / f"out_{s}.jsonl")]
        command = [TOOL, "pope", "-m", folder("llava-7b", dtype, layers), *splits, "-i", data / "pictures", "-n", "10"]

        def distinct():
            return len({(r["image"], r["text"]) for s in ("random", "popular", "adversarial")
                        for r in map(json.loads, (data / f"pope_{s}.json").read_text().splitlines())})

        rates = {"questions/min, distinct": lambda r: distinct() * 60 / r[-1]["wall_seconds"],
                 "questions/min, all three splits": lambda r: 360 * 60 / r[-1]["wall_seconds"]}
        wanted = {"questions/min, distinct": 10}
    else:
        command = [TOOL, "shr", "describe", "-m", folder("llava-7b", dtype, layers), "--val-images", data / "shr.json", "-i",
                   data / "pictures", "-o", BENCH / "out_shr.jsonl", "-n", "128", "-b", "5", "--batch", "6"]  # 30 rows a step
        rates = {"descriptions/min": lambda r: 20 * 60 / r[-1]["wall_seconds"]}
        wanted = {"descriptions/min": 5}
    command += ["--numerics", "fast", "--json", "--quiet"]
    # At full depth transformers needs minutes an answer, and its rate does not depend on how many there are: one, unwarmed as ours.
    few = [] if layers else ["--count", "1"]
    theirs = Side(peer("transformers_answers.py", task, folder("llava-7b", dtype, layers), data, "--dtype", dtype, "--cold", *few),
                  {figure: lambda r: r[-1]["answers_a_minute"] for figure in rates})
    return Row(Side(command, rates), theirs, wanted, [("llava-7b", dtype)])


def memory(weights, limit):
    ours = Side(hadpo("llava-7b", "bf16", None, "--only", "train", "--pairs", BENCH / "data100/pairs.jsonl", "-i", BENCH / "data100/pictures",
                      "--rank", "128", *([] if weights == "stored" else ["--weights", weights])),
                {"steps/s, reference cold": bench_rate("DPO step"), f"GiB below {limit}": lambda r: limit - r[-1]["peak_bytes"] / 2**30})
    return Row(ours, None, {}, [("llava-7b", "bf16")])


def all_rows(layers):
    return {
        "linear-bf16": linear("bf16"), "linear-fp16": linear("fp16"),
        "torch-bf16": inference("torch", "bf16", "stored", layers), "torch-fp16": inference("torch", "fp16", "stored", layers),
        "llama-bf16": inference("bf16", "bf16", "stored", layers), "llama-f16": inference("f16", "fp16", "stored", layers),
        "llama-q8": inference("q8_0", "bf16", "int8", layers), "llama-q4": inference("q4_0", "bf16", "int4", layers),
        "dpo": dpo(True, "bf16"), "dpo-no-checkpointing": dpo(False, "bf16"), "dpo-fp16": dpo(True, "fp16"),
        "pope": evaluation("pope", "fp16", layers), "shr": evaluation("shr", "fp16", layers),
        "memory-bf16": memory("stored", 20), "memory-int4": memory("int4", 11),
    }
