#!/usr/bin/env python3
"""What a stranger's large file can cost: seconds and peak memory of each reader, as a Markdown table.

usage: cost_of_files.py [--megabytes 100] [--library build/lib/libhadpo.so] [NAME ...]

Each file is filled to its size with as many of its records as fit, which is what costs most, and read in a process of its own by
host.c. A file that is refused says so: the bound is then what protects.
"""

import argparse
import json
import os
import pathlib
import shutil
import struct
import sys
import tempfile
import time
import zipfile
import zlib

import cases
from cases import FIXTURES, changed, chair, checked, model, opened, pair, report, shr
from check_scaling import build_host, command

SECONDS = 600
FILES = {}


def file(name):
    def register(build):
        FILES[name] = build
        return build

    return register


def fill(path, size, records, before="", after="", between=""):
    """Records until the file has its size."""
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as out:
        written = out.write(before)
        for i, record in enumerate(records):
            written += out.write((between if i else "") + record)
            if written >= size - len(after):
                break
        out.write(after)
    return str(path)


def numbers():
    i = 0
    while True:
        yield i
        i += 1


@file("configuration")
def _(folder, size):
    return "config_resolve", pathlib.Path(fill(folder / "c", size, (f', "key{i}": {i}' for i in numbers()),
                                               '{"schema": "hadpo.engine/1"', "}")).read_text(), None


@file("pairs (JSON Lines)")
def _(folder, size):
    function, config, path = checked(folder, FIXTURES / "llava" / "old-f32", [])
    fill(folder / "pairs.jsonl", size, (json.dumps(pair("A red car.", i)) + "\n" for i in numbers()))
    return function, config, path


@file("samples (JSON Lines)")
def _(folder, size):
    function, config, path = checked(folder, FIXTURES / "llava" / "old-f32", [])
    config["data"] = {"format": "samples", "images": config["data"]["images"], "samples": fill(
        folder / "samples", size, (json.dumps({"image": "tall.png", "question": "What?", "answer": f"Car {i}."}) + "\n" for i in numbers()))}
    return function, {**config, "method": "sft"}, path


def upstream(folder, size, descriptions=None, questions=None, images=None):
    one = json.dumps([{"image_id": 1, "url": "x/VG_100K/1.jpg"}])
    write = cases.write
    data = {"format": "hadpo",
            "desc": descriptions or write(folder / "d", json.dumps({"1": {"chosen": ["a"], "rejected": ["b"]}})),
            "pope": questions or write(folder / "p", "[]"), "image_data": images or write(folder / "i", one), "images": str(folder)}
    return "data_check", {"schema": "hadpo.train/1", "steps": 1, "batch": 1, "data": data}, str(FIXTURES / "llava" / "old-f32")


@file("HA-DPO's desc_data.json")
def _(folder, size):
    return upstream(folder, size, descriptions=fill(
        folder / "desc", size, (f'"{i}": {{"chosen": ["a"], "rejected": ["b"]}}' for i in numbers()), "{", "}", ", "))


@file("HA-DPO's pope_data.json")
def _(folder, size):
    return upstream(folder, size, questions=fill(
        folder / "pope", size, (f'{{"image_id": {i}, "question": "q", "chosen": "a", "reject": "b"}}' for i in numbers()), "[", "]", ", "))


@file("Visual Genome's image_data.json")
def _(folder, size):
    return upstream(folder, size, images=fill(
        folder / "image_data", size, (f'{{"image_id": {i}, "url": "x/VG_100K/{i}.jpg"}}' for i in numbers()), "[", "]", ", "))


def requests(folder, texts, **paths):
    return "shr_requests", {"schema": "hadpo.shr-requests/1", "output": str(folder / "out"), **shr(folder, texts), **paths}, None


@file("Visual Genome's region_descriptions.json")
def _(folder, size):
    region = '{"image_id": %d, "x": 1, "y": 2, "width": 3, "height": 4, "phrase": "a dog"}'
    return requests(folder, {"1": "A dog."}, regions=fill(
        folder / "r", size, ('{"id": %d, "regions": [%s]}' % (i, region % i) for i in numbers()), "[", "]", ", "))


@file("descriptions: pictures")
def _(folder, size):
    return requests(folder, {"1": "A dog."}, answers=fill(
        folder / "a", size, (f'"{i}": "A dog. A cat runs."' for i in numbers()), "{", "}", ", "))


@file("descriptions: sentences of one")
def _(folder, size):
    return requests(folder, {"1": "A dog."}, answers=fill(
        folder / "a", size, (f"There is thing {i}. " for i in numbers()), '{"1": "', '"}'))


@file("judge's replies")
def _(folder, size):
    record = ('{"custom_id": "run1/%d", "response": {"status_code": 200, "body": {"model": "m", "choices": [{"finish_reason": "stop",'
              ' "message": {"content": "Judgement:\\n1. correct: yes"}}]}}}\n')
    return "shr_score", {"schema": "hadpo.shr-score/1", "resamples": 0, **shr(folder, {"1": "A dog."}), "replies": fill(
        folder / "replies", size, (record % i for i in numbers()))}, None


@file("judge's requests")
def _(folder, size):
    record = '{"custom_id": "run1/%d", "body": {"model": "m", "messages": [{"role": "user", "content": "Judge this."}]}}\n'
    return "shr_score", {"schema": "hadpo.shr-score/1", "resamples": 0, **shr(folder, {"1": "A dog."}),
                         "replies": cases.write(folder / "replies", ""),
                         "requests": fill(folder / "requests", size, (record % i for i in numbers()))}, None


@file("sentences.jsonl (agreement)")
def _(folder, size):
    path = fill(folder / "a", size, (json.dumps(
        {"run": "run1", "image_id": str(i), "sentence": 1, "text": "A dog.", "class": "correct"}) + "\n" for i in numbers()))
    return "shr_agree", {"schema": "hadpo.shr-agree/1", "a": path, "b": path}, None


@file("COCO instances")
def _(folder, size):
    head = '{"images": [{"id": 1, "file_name": "a"}], "categories": [{"id": 1, "name": "dog"}], "annotations": ['
    return chair(folder, [{"image_id": 1, "caption": "a dog"}], instances=[fill(
        folder / "coco", size, ('{"image_id": 1, "category_id": 1, "segmentation": [[1.5, 2.5, 3.5, 4.5]]}' for _ in numbers()),
        head, "]}", ", ")])


@file("captions (CHAIR)")
def _(folder, size):
    function, config, _ = chair(folder, [], objects={"1": ["dog"]})
    del config["records"]
    fill(folder / "captions", size, (f'{{"image_id": {i}, "caption": "a dog runs"}}\n' for i in numbers()))
    return function, config, None


def pope(folder, size, questions=None, answers=None):
    one = json.dumps({"question_id": 0, "image": "a.jpg", "text": "Is it?", "label": "yes"}) + "\n"
    return "pope_evaluate", {"schema": "hadpo.pope-score/1", "resamples": 0, "splits": [{
        "questions": questions or cases.write(folder / "q", one),
        "answers": answers or cases.write(folder / "a", '{"question_id": 0, "answer": "yes"}\n')}]}, None


@file("POPE questions")
def _(folder, size):
    return pope(folder, size, questions=fill(
        folder / "q", size, (f'{{"question_id": {i}, "image": "{i}.jpg", "text": "Is it?", "label": "yes"}}\n' for i in numbers())))


@file("POPE answers")
def _(folder, size):
    return pope(folder, size, answers=fill(folder / "a", size, (f'{{"question_id": {i}, "answer": "yes"}}\n' for i in numbers())))


@file("annotations to build POPE from")
def _(folder, size):
    path = fill(folder / "m", size, (f'"{i}.jpg": ["dog", "cat", "o{i}"]' for i in numbers()), "{", "}", ", ")
    return "pope_build", {"schema": "hadpo.pope-build/1", "annotations": path, "output": str(folder / "out")}, None


@file("training log (report)")
def _(folder, size):
    return report(folder, training=[fill(
        folder / "log", size, (f'{{"event": "step", "step": {i}, "loss": 0.5, "rewards/margins": 0.25}}\n' for i in numbers()))])


@file("records of CHAIR (report)")
def _(folder, size):
    record = ('{"image_id": "%d", "caption": "a dog", "outcome": "scored", "mscoco_hallucinated_words": [["dog", "dog"]],'
              ' "mscoco_generated_words": ["dog"], "mscoco_gt_words": ["cat"], "words": ["a", "dog"]}\n')
    return report(folder, chair={"records": fill(folder / "records", size, (record % i for i in numbers()))})


@file("tokenizer.json")
def _(folder, size):
    path = model(folder, "llava/tf5-f16")

    def more(content):
        vocabulary = content["model"]["vocab"]
        first = 1 + max([*vocabulary.values(), *(token["id"] for token in content["added_tokens"])])
        vocabulary.update({f"piece{i}": first + i for i in range(size // 22)})
    changed(path / "tokenizer.json", more)
    return opened(path)


@file("tokenizer.model")
def _(folder, size):
    path = model(folder, "llava/old-f32")
    (path / "tokenizer.model").write_bytes((path / "tokenizer.model").read_bytes() + cases.pieces(size // 18))
    return opened(path)


@file("vocab.txt")
def _(folder, size):
    path = model(folder, "instructblip/hf")
    vocabulary = path / "qformer_tokenizer" / "vocab.txt"
    fill(vocabulary, size, (f"piece{i}\n" for i in numbers()), vocabulary.read_text())
    return opened(path)


@file("config.json of a model")
def _(folder, size):
    path = model(folder, "llava/old-f32")
    changed(path / "config.json", lambda content: content.update({f"key{i}": i for i in range(size // 22)}))
    return opened(path)


@file("safetensors header")
def _(folder, size):
    path = model(folder, "llava/old-f32")
    cases.safetensors(path / "model.safetensors", (size - (1 << 20)) // 75)
    return opened(path)


@file("index of shards")
def _(folder, size):
    path = model(folder, "llava/new-bf16")
    shard = "model-00001-of-00002.safetensors"
    cases.safetensors(path / shard, size // 60)
    changed(path / "model.safetensors.index.json",
            lambda content: content["weight_map"].update({f"more.{i}": shard for i in range(size // 60)}))
    return opened(path)


@file("torch zip: entries")
def _(folder, size):
    path = model(folder, "llava/original-f16")
    with zipfile.ZipFile(path / "pytorch_model-00001-of-00002.bin", "a") as archive:
        for i in range(size // 110):
            archive.writestr(zipfile.ZipInfo(f"more/{i}"), b"x")
    return opened(path)


@file("torch pickle: values")
def _(folder, size):
    path = model(folder, "llava/original-f16") / "pytorch_model-00001-of-00002.bin"
    with zipfile.ZipFile(path) as archive:
        entries = [(i.filename, archive.read(i)) for i in archive.infolist()]
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries:
            junk = b"\x80\x02](" + b"K\x01" * (size // 2) + b"e0"
            archive.writestr(zipfile.ZipInfo(name), junk + data[2:] if name.endswith("data.pkl") else data)
    return opened(path.parent)


@file("adapter: tensors")
def _(folder, size):
    shutil.copytree(FIXTURES / "weights" / "adapter-original", folder / "adapter")
    weights = next((folder / "adapter").glob("*.safetensors"))
    cases.safetensors(weights, (size - (1 << 20)) // 75)
    return "adapter_load", str(folder / "adapter") + "\n", str(FIXTURES / "llava" / "old-f32")


def png(size, side, raw):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)) + chunk(b"IDAT", raw)
            + chunk(b"IEND", b""))


@file("PNG: noise")
def _(folder, size):
    side = int((size / 3) ** 0.5)
    row = os.urandom(3 * side)
    packer = zlib.compressobj(0)
    data = b"".join(packer.compress(b"\0" + row) for _ in range(side)) + packer.flush()
    return "image_decode", png(size, side, data), None


def peak_memory(process):
    """Of the program itself; what wait4 says counts this one's memory, from which it was spawned."""
    try:
        lines = pathlib.Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


def run(host, build, size):
    with tempfile.TemporaryDirectory(prefix="hadpo-cost-") as name:
        folder = pathlib.Path(name)
        function, config, path = build(folder, size)
        if isinstance(config, bytes):
            (folder / "config").write_bytes(config)
            words = [str(host), function, str(folder / "config")]
        else:
            words = command(host, folder, (function, config, path))
        out = folder / "said"
        start = time.monotonic()
        child = os.posix_spawn(words[0], words, os.environ, file_actions=[
            (os.POSIX_SPAWN_OPEN, 1, str(out), os.O_WRONLY | os.O_CREAT, 0o600)])
        peak = 0
        while True:
            peak = peak_memory(child) or peak
            done, status, usage = os.wait4(child, os.WNOHANG)
            if done:
                break
            if time.monotonic() - start > SECONDS:
                os.kill(child, 9)
                os.wait4(child, 0)
                return SECONDS, 0, 0, f"not done after {SECONDS} s"
            time.sleep(0.01)
        seconds = time.monotonic() - start
        said = out.read_text(errors="replace").strip()
        return seconds, usage.ru_utime + usage.ru_stime, peak, said if status == 0 else f"status {status}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=float, default=100)
    parser.add_argument("--library", default="build/lib/libhadpo.so")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    size = int(arguments.megabytes * 1_000_000)
    with tempfile.TemporaryDirectory(prefix="hadpo-cost-") as folder:
        host = build_host(arguments.library, pathlib.Path(folder))
        print(f"| file of {arguments.megabytes:g} MB | processor seconds | peak memory (MB) | what comes of it |\n|---|---|---|---|")
        for name, build in FILES.items():
            if arguments.names and not any(wanted in name for wanted in arguments.names):
                continue
            seconds, processor, peak, said = run(host, build, size)
            status, _, error = said.partition(" ")
            outcome = "read" if status == "HADPO_OK" else said
            try:
                outcome = "refused: " + json.loads(error)["message"]
            except (ValueError, KeyError, TypeError):
                if status.startswith("HADPO_E"):
                    outcome = "refused: " + error[:100]
            print(f"| {name} | {processor:.1f} | {peak / 1e6:.0f} | {outcome.replace('|', '/')[:120]} |", flush=True)


if __name__ == "__main__":
    main()
