#!/usr/bin/env python3
"""Nothing is quadratic in a stranger's file: every count of every format is doubled twice and instructions are counted.

usage: check_scaling.py [-j JOBS] [--library build/lib/libhadpo.so] [NAME ...]    (make check-scaling)

Valgrind counts instructions, which repeat where seconds do not, on any machine (Debian package valgrind). Of three sizes n, 2n and
4n the growth is (I(4n) - I(2n)) / (I(2n) - I(n)): what does not depend on n falls out, a linear cost gives 2, n log n a little
more, a quadratic one 4. LIMIT lies between.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import cases

LIMIT = 2.6
# Growth below this is not told from the noise of hash tables that double: a quadratic cost of so few instructions harms no one.
LEAST = 300_000


def build_host(library, folder):
    library = pathlib.Path(library).resolve()
    root = pathlib.Path(__file__).resolve().parents[2]
    host = folder / "host"
    subprocess.run([os.environ.get("CC", "cc"), "-std=c99", "-O2", f"-I{root}/include", str(pathlib.Path(__file__).with_name("host.c")),
                    "-o", str(host), str(library), f"-Wl,-rpath,{library.parent}"], check=True)
    return host


def command(host, folder, call):
    function, config, model = call
    path = folder / "config"
    path.write_text(config if isinstance(config, str) else json.dumps(config))
    return [str(host), function, str(path)] + ([model] if model else [])


def instructions(host, build, n):
    with tempfile.TemporaryDirectory(prefix="hadpo-scaling-") as name:
        folder = pathlib.Path(name)
        run = subprocess.run(
            ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--branch-sim=no", f"--cachegrind-out-file={folder}/counts",
             *command(host, folder, build(folder, n))],
            capture_output=True, text=True, timeout=600, env={**os.environ, "SWIFT_DETERMINISTIC_HASHING": "1"})
        counted = re.search(r"I +refs:\s+([\d,]+)", run.stderr)
        if run.returncode or not counted:
            raise RuntimeError(f"{n}: status {run.returncode}\n{run.stdout}{run.stderr[-2000:]}")
        return int(counted[1].replace(",", "")), run.stdout.strip()


def measure(host, name):
    n, build = cases.CASES[name]
    counts, said = zip(*(instructions(host, build, n * factor) for factor in (1, 2, 4)))
    first, second = counts[1] - counts[0], counts[2] - counts[1]
    growth = second / max(first, 1) if second > LEAST else 0
    return n, counts, growth, said[-1]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-j", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--library", default="build/lib/libhadpo.so")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    if not shutil.which("valgrind"):
        sys.exit("valgrind is missing: apt-get install valgrind")
    names = [name for name in cases.CASES if not arguments.names or any(wanted in name for wanted in arguments.names)]
    failures = 0
    with tempfile.TemporaryDirectory(prefix="hadpo-scaling-") as folder, concurrent.futures.ThreadPoolExecutor(arguments.j) as pool:
        host = build_host(arguments.library, pathlib.Path(folder))
        print(f"{'what is doubled':46} {'n':>7} {'I(n)':>14} {'I(2n)':>14} {'I(4n)':>14} growth")
        for name, future in [(name, pool.submit(measure, host, name)) for name in names]:
            try:
                n, counts, growth, said = future.result()
            except Exception as fault:
                failures += 1
                print(f"{name:46} FAILED: {fault}")
                continue
            failures += growth >= LIMIT
            shown = f"{growth:6.2f}" if growth else "  flat"
            note = "" if said == "HADPO_OK" else "  " + said[:120]
            print(f"{name:46} {n:7} " + " ".join(f"{count:14,}" for count in counts) + f" {shown}"
                  + ("  TOO MUCH" if growth >= LIMIT else "") + note, flush=True)
    if failures:
        sys.exit(f"{failures} of {len(names)} grow faster than their files")


if __name__ == "__main__":
    main()
