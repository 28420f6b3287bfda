#!/usr/bin/env python3
"""SHR's preparation on a region file of Visual Genome's size: 700 MB in the real format, memory below 300 MB.

usage: shr_regions.py TOOL [MEGABYTES]     (make test-large)
The file is generated, so that nothing has to be downloaded; it goes away afterwards.
"""

import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

LIMIT = 300 * 1024  # kB
IMAGES, EVALUATED = 108_077, 200


def write_regions(path, megabytes, ids):
    """Regions of IMAGES images, keys in the order of the real file, until the size is reached on average."""
    r = random.Random(1)
    words = "the a man woman red blue car sky grass tree dog on of in with white black sign wall window is standing".split()
    phrases = [" ".join(r.choice(words) for _ in range(r.randint(2, 9))) for _ in range(5000)]
    each = megabytes * 1_000_000 / IMAGES
    with open(path, "w") as file:
        file.write("[")
        number = 0
        for i, image in enumerate(ids):
            regions, size = [], 40
            while size < each:
                number += 1
                regions.append('{"region_id": %d, "width": %d, "height": %d, "image_id": %d, "phrase": "%s", "y": %d, "x": %d}' % (
                    number, r.randint(1, 500), r.randint(1, 400), image, r.choice(phrases), r.randint(0, 400), r.randint(0, 500)))
                size += len(regions[-1]) + 2
            file.write((", " if i else "") + '{"regions": [%s], "id": %d}' % (", ".join(regions), image))
        file.write("]")


def main():
    # Absolute: the tool runs in a folder of its own.
    tool, megabytes = os.path.abspath(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 700
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        ids = [2_300_000 + 3 * i for i in range(IMAGES)]
        write_regions(folder / "region_descriptions.json", megabytes, ids)
        (folder / "image_data.json").write_text(json.dumps([
            {"width": 800, "url": f"https://cs.stanford.edu/people/rak248/VG_100K/{i}.jpg", "height": 600, "image_id": i,
             "coco_id": None, "flickr_id": None} for i in ids]))
        chosen = random.Random(2).sample(ids, EVALUATED)
        (folder / "val_images_final.json").write_text(json.dumps([{"image_id": i} for i in chosen]))
        for part in (1, 2):
            (folder / f"shr_factual_part{part}.jsonl").write_text("".join(
                json.dumps({str(i): ["There are two dogs."]}) + "\n" for i in chosen[part - 1 :: 3]))
        (folder / "descriptions.json").write_text(json.dumps({str(i): "A man stands. A dog runs. The sky is blue." for i in chosen}))
        size = os.path.getsize(folder / "region_descriptions.json")
        start = time.monotonic()
        run = subprocess.Popen([tool, "shr", "requests", "-A", "descriptions.json", "--vg", ".", "--shr", ".", "-o", "requests.jsonl",
                                "--json"], cwd=folder, stdout=subprocess.PIPE)
        output = run.stdout.read()
        _, status, usage = os.wait4(run.pid, 0)  # ru_maxrss is the kernel's high-water mark, VmHWM
        run.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - start
        report = json.loads(output) if run.returncode == 0 else {}
        print(f"{size / 1e6:.0f} MB of regions, {report.get('requests')} requests, {seconds:.1f} s, VmHWM {usage.ru_maxrss / 1024:.1f} MiB")
        ok = run.returncode == 0 and report["requests"] == EVALUATED and usage.ru_maxrss < LIMIT
        print("ok" if ok else f"FAILED: exit status {run.returncode}, at most {LIMIT / 1024:.0f} MiB expected")
        return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
