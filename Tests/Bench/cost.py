#!/usr/bin/env python3
"""What a DPO step costs against the length of the prompt, the length of the answers, the pairs and the pictures in a batch.

usage: cost.py MODEL [--answers 24,48,96,192] [--prompts 0,64,128,256] [--batches 1,2,4] [--numerics fast] [--json FILE]

Each row runs `hadpo bench --only train` on pairs made for it (two passes: reference cold, reference known). A batch of several pairs
is shown with a picture each and with one picture for all. `per unit` is the median step divided by what grows (answer tokens, prompt
positions, pairs) with the row before taken off: where the cost is linear it stays the same from row to row.
"""
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import data

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "build" / "bin" / "hadpo"


def step(o, folder, pairs, answer, prompt, batch, shared):
    data.make(folder, pictures=0, pairs=pairs, answer=answer, prompt=prompt)
    file = folder / "pairs.jsonl"
    if shared:
        records = [json.loads(line) for line in file.read_text().splitlines()]
        file.write_text("".join(json.dumps(r | {"image": "0.png"}) + "\n" for r in records))
    done = subprocess.run([str(TOOL), "bench", "-m", str(o.model), "--only", "train", "--pairs", str(file), "-i", str(folder / "pictures"),
                           "--batch", str(batch), "--numerics", o.numerics, "--json", "--quiet", *o.more],
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    cold, known = (next(r for r in records if r["bench"] == name) for name in ("DPO step", "DPO step, reference known"))
    return {"cold_s": cold["seconds"], "known_s": known["seconds"], "peak_bytes": known["peak_bytes"], "size": cold["size"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--answers", default="24,48,96,192")
    parser.add_argument("--prompts", default="0,64,128,256")
    parser.add_argument("--batches", default="1,2,4")
    parser.add_argument("--steps", type=int, default=3, help="steps of a pass")
    parser.add_argument("--numerics", default="fast")
    parser.add_argument("--json", type=Path)
    o, o.more = parser.parse_known_args()
    sweeps = [("answer tokens", [dict(answer=int(n)) for n in o.answers.split(",")], "answer"),
              ("prompt words", [dict(prompt=int(n)) for n in o.prompts.split(",")], "prompt"),
              ("pairs, a picture each", [dict(batch=int(n)) for n in o.batches.split(",")], "batch"),
              ("pairs, one picture", [dict(batch=int(n), shared=True) for n in o.batches.split(",")], "batch")]
    log = open(o.json, "w") if o.json else None
    print(f"{'what grows':24} {'value':>6} {'cold s':>9} {'known s':>9} {'known, per unit':>16} {'peak GiB':>9}  size")
    with tempfile.TemporaryDirectory() as temporary:
        for name, cases, key in sweeps:
            before = None
            for case in cases:
                chosen = dict(answer=96, prompt=0, batch=1, shared=False) | case
                found = step(o, Path(temporary) / "data", pairs=o.steps * chosen["batch"], **chosen)
                grown = "" if before is None else f"{(found['known_s'] - before[1]) / (case[key] - before[0]):.4f}"
                print(f"{name:24} {case[key]:6} {found['cold_s']:9.3f} {found['known_s']:9.3f} {grown:>16} "
                      f"{found['peak_bytes'] / 2**30:9.2f}  {found['size']}", flush=True)
                if log:
                    print(json.dumps({"sweep": name, "value": case[key], **found}), file=log, flush=True)
                before = (case[key], found["known_s"])


if __name__ == "__main__":
    sys.exit(main())
