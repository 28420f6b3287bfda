#!/usr/bin/env python3
"""What fast, int8 and int4 change: log-probabilities of texts and greedy answers, against exact on the weights as stored.

usage: accuracy.py WORLD [--model DIR]... [--pictures 40] [--texts 4] [--json FILE]

WORLD is a folder that `hadpo world make` wrote; its pictures, questions and annotations are the text, its models the models (every
folder in it that opens; --model names others, with pictures of the world). For each way to compute:

  mean |d|, max |d|      of the log-probability of a token, nats
  d perplexity           of all tokens together, per cent
  agree                  share of texts' tokens whose answers' greedy tokens are the same (answers up to 24 tokens, up to the first
                         that differs), and of answers that are the same as a whole
  yes/no                 share of questions whose first token is the same

The library is found as the Python module finds it: HADPO_LIBRARY, then build/lib.
"""
import argparse
import json
import math
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
os.environ.setdefault("HADPO_LIBRARY", str(ROOT / "build" / "lib" / "libhadpo.so"))
sys.path.insert(0, str(ROOT / "bindings" / "python"))
import hadpo  # noqa: E402

WAYS = [("exact", "stored"), ("fast", "stored"), ("exact", "int8"), ("fast", "int8"), ("exact", "int4"), ("fast", "int4")]


def texts(world, count, each):
    """(picture, question, answer): the world's own descriptions where it has pairs, its questions otherwise."""
    found = []
    for file in sorted(world.rglob("*pope*.json*")) + sorted(world.rglob("*.jsonl")):
        for line in file.read_text().splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                break
            if not isinstance(record, dict) or "image" not in record or "text" not in record:
                break
            found.append((record["image"], record["text"], "Yes." if record.get("label") == "yes" else "No."))
    by_picture = {}
    for picture, question, answer in found:
        if len(by_picture.setdefault(picture, [])) < each:
            by_picture[picture].append((question, answer))
    pictures = {path.name: path for suffix in ("png", "jpg") for path in world.rglob(f"*.{suffix}")}
    chosen = [(pictures[p], q) for p, q in by_picture.items() if p in pictures][:count]
    if not chosen:
        raise SystemExit(f"no questions with pictures in {world}: is it a folder of `hadpo world make`?")
    return chosen


def models(world):
    return sorted({path.parent for path in world.rglob("config.json") if (path.parent / "preprocessor_config.json").exists()})


def computed(folder, numerics, weights, asked, described):
    """Log-probabilities of texts that exact wrote (`described`, made when None) and greedy ids."""
    logps, answers = [], []
    with hadpo.Engine(numerics=numerics) as engine, hadpo.Model(engine, path=str(folder), weights=weights) as model:
        made = described is None
        described = {} if made else described
        for path, questions in asked:
            image = hadpo.Image.open(str(path))
            long = model.generate(image, question="Describe this image in detail.", max_new_tokens=48)
            if made:
                described[path] = long["text"]
            answers.append(long["ids"])
            logps += model.score(image, question="Describe this image in detail.", completion=described[path] or "A picture.")
            for question, answer in questions:
                answers.append(model.generate(image, question=question, max_new_tokens=24)["ids"])
                logps += model.score(image, question=question, completion=answer)
    return logps, answers, described


def compare(name, way, base, found):
    (logps, answers), (new_logps, new_answers) = base, found
    d = [b - a for a, b in zip(logps, new_logps)]
    same, total = 0, 0
    for a, b in zip(answers, new_answers):
        equal = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
        same, total = same + equal, total + max(len(a), len(b))
    return {"model": name, "numerics": way[0], "weights": way[1], "tokens": len(d), "mean_abs": sum(map(abs, d)) / len(d),
            "max_abs": max(map(abs, d)), "perplexity_change": math.exp(-sum(d) / len(d)) - 1, "tokens_agree": same / total,
            "answers_agree": sum(a == b for a, b in zip(answers, new_answers)) / len(answers),
            "first_agree": sum(a[:1] == b[:1] for a, b in zip(answers, new_answers)) / len(answers)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("world", type=Path)
    parser.add_argument("--model", type=Path, action="append")
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--texts", type=int, default=4, help="questions a picture")
    parser.add_argument("--json", type=Path)
    o = parser.parse_args()
    asked = texts(o.world, o.pictures, o.texts)
    log = open(o.json, "w") if o.json else None
    print(f"{'model':18} {'numerics':8} {'weights':8} {'tokens':>7} {'mean |d|':>10} {'max |d|':>9} {'perplexity':>11} {'tokens =':>9} "
          f"{'answers =':>10} {'first =':>8}")
    for folder in o.model or models(o.world):
        try:
            logps, answers, described = computed(folder, *WAYS[0], asked, None)
        except hadpo.Error as error:
            print(f"{folder.name:18} does not open: {error}")
            continue
        for way in WAYS[1:]:
            try:
                found = computed(folder, *way, asked, described)
            except hadpo.Error as error:
                print(f"{folder.name:18} {way[0]:8} {way[1]:8} {error}")
                continue
            r = compare(folder.name, way, (logps, answers), found[:2])
            print(f"{r['model']:18} {r['numerics']:8} {r['weights']:8} {r['tokens']:7} {r['mean_abs']:10.5f} {r['max_abs']:9.4f} "
                  f"{100 * r['perplexity_change']:+10.3f}% {100 * r['tokens_agree']:8.2f}% {100 * r['answers_agree']:9.2f}% "
                  f"{100 * r['first_agree']:7.2f}%", flush=True)
            if log:
                print(json.dumps(r), file=log, flush=True)


if __name__ == "__main__":
    main()
