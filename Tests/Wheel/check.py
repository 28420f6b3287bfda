#!/usr/bin/env python3
"""Installs the wheel in a clean Debian root and runs it there: the program of docs/getting-started-python.md, and the demo.

usage: check.py FOLDER-OF-THE-WHEEL ROOT        run as root; ROOT is made by debootstrap when it is not there

The root has Debian's python3 and python3-venv. pip is not allowed to ask an index: the wheel needs nothing.
"""

import argparse
import pathlib
import re
import shutil
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "getting-started-python.md"
# What the wheel must bring along or do without.
ABSENT = ("libjson-c.so*", "libpng16.so*", "libjpeg.so*", "libcurl*.so*", "libopenblas*", "libswift*", "bin/swift*", "bin/cc",
          "bin/gcc")


def program():
    """The guide's Python up to the figures after training; later blocks need packages that are not ours."""
    blocks = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.M | re.S)
    last = next(i for i, block in enumerate(blocks) if "after:" in block)
    return "\n".join(blocks[: last + 1]) + "\nassert after['accuracy'] > before['accuracy'] + 0.02\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheels", type=pathlib.Path)
    parser.add_argument("root", type=pathlib.Path)
    options = parser.parse_args()
    wheel, = options.wheels.glob("*.whl")
    root = options.root.resolve()
    if not (root / "usr/bin/python3").exists():
        subprocess.run(["debootstrap", "--variant=minbase", "--include=python3,python3-venv", "bookworm", str(root)], check=True)
    for pattern in ABSENT:
        found = [path for place in ("usr", "opt") for path in (root / place).rglob(pattern)]
        if found:
            raise SystemExit(f"the root is not clean: {found}")
    work = root / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    shutil.copy(wheel, work)
    (work / "guide.py").write_text(program())

    def run(command, code=0, shown=True):
        start = time.monotonic()
        # /proc, by which the loader finds what lies beside a program, is mounted for the command alone.
        ran = subprocess.run(["unshare", "--mount", "sh", "-c", 'mount -t proc proc "$1/proc" && shift && exec chroot "$@"', "sh",
                              str(root), str(root), "/usr/bin/env", "-i", "PATH=/usr/bin:/bin", "HOME=/work", "/bin/sh", "-c",
                              "cd /work && " + command], capture_output=True, text=True)
        print(f"$ {command}    [{time.monotonic() - start:.0f} s]", flush=True)
        if shown or ran.returncode != code:
            print(ran.stdout + ran.stderr, flush=True)
        if ran.returncode != code:
            raise SystemExit(f"ended with {ran.returncode}, not {code}")
        return ran.stdout + ran.stderr

    python = "venv/bin/python"
    run("python3 -m venv venv", shown=False)
    run(f"venv/bin/pip install --no-index {wheel.name}")
    run("venv/bin/hadpo version")
    run(f"{python} guide.py")
    output = run(f"{python} -m hadpo demo --images 60 --training-images 100 --quiet -o demo")
    if "adversarial" not in output:
        raise SystemExit("the demo printed no table")
    for name in ("hadpo.libs", "hadpo/lib"):
        if not list((work / "venv/lib").glob(f"python3*/site-packages/{name}")):
            raise SystemExit(f"{name} is not in the environment")
    (work / "maps.py").write_text("import hadpo; hadpo.Engine(); print(open('/proc/self/maps').read())")
    mapped = run(f"{python} maps.py", shown=False)
    if "blas" in mapped or "hadpo.libs/libpng16" not in mapped:
        raise SystemExit("the process has other libraries than the wheel's")
    (work / "requests.jsonl").write_text('{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {}}\n')
    if "libcurl" not in run(f"{python} -m hadpo judge requests.jsonl -o replies.jsonl", code=1):
        raise SystemExit("the judge does not name what it misses")
    print(f"wheel-check: {wheel.name} works in {root}")


if __name__ == "__main__":
    main()
