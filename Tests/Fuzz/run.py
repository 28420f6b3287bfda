#!/usr/bin/env python3
"""Fuzzing of the interface and of every reader, and a table of what it did. `make fuzz` calls it.

Standard library only. Each reader begins with Tests/Fuzz/corpus/<reader> and with what earlier runs found (build/fuzz/corpus), so
that runs add up. The exit status is 1 when an input crashed, leaked, took more than ten seconds or more than 2 GiB.

usage: run.py PROGRAM [--interface PROGRAM ...] [--seconds N] [--only NAME ...] [--runs N] [--jobs N]
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
KEPT = ROOT / "build" / "fuzz"
LIMITS = ["-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1", "-detect_leaks=1"]
# What the outcomes of libFuzzer are called in the names of the files it leaves.
KINDS = ("crash", "timeout", "oom", "leak")


def prepare(program, name):
    """Where this reader's inputs are kept; those that the present code makes are put there."""
    corpus = KEPT / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    subprocess.run([program, "--seeds", name, str(corpus)], cwd=ROOT, check=True)
    return corpus


def fuzz(program, name, options):
    found = KEPT / "found" / name
    shutil.rmtree(found, ignore_errors=True)
    found.mkdir(parents=True)
    folders = [prepare(program, name)] + [path for path in [ROOT / "Tests" / "Fuzz" / "corpus" / name] if path.is_dir()]
    # No seed is cut.
    longest = max([options.longest] + [path.stat().st_size + 512 for folder in folders for path in folder.iterdir()])
    limit = [f"-max_len={longest}", f"-max_total_time={options.seconds}"] + ([f"-runs={options.runs}"] if options.runs else [])
    # With its backtraces the Swift runtime catches a trap before libFuzzer does, and waits for ever: neither a file nor an end.
    environment = {**os.environ, "HADPO_FUZZ_PARSER": name, "SWIFT_BACKTRACE": "enable=no"}
    run = subprocess.run([program, *LIMITS, *limit, f"-artifact_prefix={found}/", *map(str, folders)], cwd=ROOT, errors="replace", text=True,
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)
    (found / "log.txt").write_text(run.stderr)

    def number(pattern, default=0):
        values = re.findall(pattern, run.stderr)
        return int(values[-1]) if values else default

    bad = [path.name for path in sorted(found.iterdir()) if path.name.startswith(KINDS)]
    if run.returncode != 0 and not bad:
        bad = [f"exit status {run.returncode}, see {found / 'log.txt'}"]
    return {"name": name, "runs": number(r"stat::number_of_executed_units: (\d+)") or number(r"\n#(\d+)"),
            "edges": number(r" cov: (\d+)"), "features": number(r" ft: (\d+)"), "slowest": number(r"slowest input: (\d+) ms", None),
            "bad": bad, "log": run.stderr}


def interface(program, options):
    """A program of Tests/Fuzz/fuzz_*.c: blind mutations, so there are no edges to count; it dies when an input kills it."""
    run = subprocess.run([program, str(options.seconds)], cwd=ROOT, capture_output=True, text=True, errors="replace")
    runs = re.search(r"(\d+) inputs", run.stdout)
    return {"name": pathlib.Path(program).name, "runs": int(runs[1]) if runs else 0, "edges": "", "features": "", "slowest": None,
            "bad": [] if run.returncode == 0 else [f"exit status {run.returncode}, see build/fuzz/crash.bin"], "log": run.stderr}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("--interface", action="append", default=[], help="a program of Tests/Fuzz/fuzz_*.c")
    parser.add_argument("--seconds", type=int, default=20, help="for each reader")
    parser.add_argument("--runs", type=int, default=0, help="executions for each reader, where that ends it sooner")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--longest", type=int, default=4096, help="bytes of an input")
    parser.add_argument("--only", nargs="*", default=[])
    options = parser.parse_args()
    program = str(pathlib.Path(options.program).resolve())
    names = subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split()
    unknown = set(options.only) - set(names)
    if unknown:
        parser.error(f"no reader {', '.join(sorted(unknown))}")
    names = [name for name in names if name in options.only or not options.only]
    print(f"{'reader':24}{'executions':>12}{'edges':>8}{'features':>10}{'slowest ms':>12}  found", flush=True)
    work = [] if options.only else [lambda program=program: interface(program, options) for program in options.interface]
    work += [lambda name=name: fuzz(program, name, options) for name in names]
    total, failed = 0, []
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for row in pool.map(lambda task: task(), work):
            total += row["runs"]
            slowest = "" if row["slowest"] is None else row["slowest"]
            print(f"{row['name']:24}{row['runs']:12}{row['edges']:>8}{row['features']:>10}{slowest:>12}  {', '.join(row['bad']) or '-'}", flush=True)
            if row["bad"]:
                failed.append(row["name"])
                lines = row["log"].splitlines()
                told = [index for index, line in enumerate(lines) if re.search(r"ERROR:|VIOLATED|Fatal error", line)]
                print("\n".join("    " + line[:200] for line in lines[told[0]:told[0] + 25]) if told else "    " + "\n    ".join(lines[-5:]))
    print(f"{total} executions over {len(work)} readers and programs, {len(failed)} with faults" + (f": {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
