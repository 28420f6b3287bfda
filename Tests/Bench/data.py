#!/usr/bin/env python3
"""Writes what the benchmarks read: pictures, preference pairs, POPE questions, SHR's list of pictures.

usage: data.py DIRECTORY [--pictures 20] [--pairs 4] [--answer 96] [--prompt 0]

  pictures/N.png             640 x 480, as COCO's
  pairs.jsonl                one picture a pair, answers of --answer words, a token each, no two alike; --prompt words before the question
  pope_{random,popular,adversarial}.json   six questions a picture and split; objects of the three splits overlap as POPE's do:
                             three of the six are the same in all (the objects that are there)
  shr.json                   val_images_final.json with the pictures' names
"""
import argparse
import json
import random
import struct
import zlib
from pathlib import Path

# Each is one token of Llama's vocabulary behind a space.
WORDS = ("the and for that with this from have are was will not can all one has more when which there what about out also time "
         "like people into some only other new could first after over any than two even most way made many such may back through "
         "year where work must well good day part found home here same world life water food room house table street city man "
         "woman child dog cat car bus train boat tree river road light dark red blue green white black small large open old young").split()
OBJECTS = ("person bicycle car bus train truck boat bench bird cat dog horse sheep cow bear umbrella bottle cup fork knife bowl banana "
           "apple orange pizza cake chair couch bed table television laptop mouse keyboard phone microwave oven toaster sink clock "
           "vase book scissors").split()
WIDTH, HEIGHT = 640, 480


def png(path, rng):
    """Blocks of colour and some noise: decodes and resizes as a photograph does."""
    rows = bytearray()
    colours = [[bytes(rng.randrange(256) for _ in range(3)) for _ in range(WIDTH // 40)] for _ in range(HEIGHT // 40)]
    for y in range(HEIGHT):
        rows += b"\0"
        for x in range(WIDTH // 40):
            rows += colours[y // 40][x] * 36 + rng.randbytes(12)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0))
                     + chunk(b"IDAT", zlib.compress(bytes(rows), 1)) + chunk(b"IEND", b""))


def make(folder, pictures=20, pairs=4, answer=96, prompt=0):
    rng = random.Random(7)
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    names = [f"{n}.png" for n in range(max(pictures, pairs))]
    for name in names:
        if not (folder / "pictures" / name).exists():
            png(folder / "pictures" / name, rng)

    def words(count):
        return " ".join(rng.choice(WORDS) for _ in range(count))

    def lines(name, records):
        (folder / name).write_text("".join(json.dumps(record) + "\n" for record in records))

    question = "Describe this image in detail."
    lines("pairs.jsonl", [{"image": names[n], "question": (words(prompt) + " " + question).strip(), "chosen": words(answer),
                           "rejected": words(answer)} for n in range(pairs)])
    present = {name: rng.sample(OBJECTS, 3) for name in names[:pictures]}
    for split in ("random", "popular", "adversarial"):
        records = []
        for name, there in present.items():
            absent = rng.sample([o for o in OBJECTS if o not in there], 3)
            for thing, label in [pair for both in zip(there, absent) for pair in zip(both, ("yes", "no"))]:
                records.append({"question_id": len(records) + 1, "image": name, "text": f"Is there a {thing} in the image?",
                                "label": label})
        lines(f"pope_{split}.json", records)
    (folder / "shr.json").write_text(json.dumps([{"image_id": n + 1, "image": name} for n, name in enumerate(names[:pictures])]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    for name, value in (("pictures", 20), ("pairs", 4), ("answer", 96), ("prompt", 0)):
        parser.add_argument(f"--{name}", type=int, default=value)
    a = parser.parse_args()
    make(a.directory, a.pictures, a.pairs, a.answer, a.prompt)


if __name__ == "__main__":
    main()
