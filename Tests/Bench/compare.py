#!/usr/bin/env python3
"""Ours and a peer on one machine, in turns: the table that may be quoted.

usage: compare.py ROW... [--rounds 5] [--layers N] [--json FILE] [--no-peer]
       compare.py --list
       compare.py --prepare ROW...         models, data, peers; no measurement

Each round runs the probe, ours, the probe, the peer, the probe; for the rows linear-* one process calls both in turns. A figure's bound is
the read rate for decoding, and what the processor multiplies for all else. A round in which the probe of a figure's bound moved by more
than --tolerance (0.05) counts for nothing there and, up to twice --rounds, another is run. Medians over the rounds that stay; where none
does, of all, marked ~. Peak memory is VmHWM of each process (ru_maxrss). One table, and JSON lines of every round with --json.
--layers cuts the 7B decoder on both sides: minutes instead of hours, and both models stay in the page cache.
"""
import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import data
import rows as table

# A control group of version 1 (memory alone) or 2: folder, file of the limit.
GROUP, LIMIT = ((Path("/sys/fs/cgroup/memory/hadpo-bench"), "memory.limit_in_bytes") if Path("/sys/fs/cgroup/memory").exists()
                else (Path("/sys/fs/cgroup/hadpo-bench"), "memory.max"))


def build(linear):
    table.BENCH.mkdir(parents=True, exist_ok=True)
    probe, here = table.BENCH / "probe", table.ROOT / "Tests" / "Bench"
    subprocess.run([os.environ.get("CC", "cc"), "-O2", here / "probe.c", here / "peaks.c", "-lpthread", "-o", probe], check=True)
    if linear:
        subprocess.run(["make", "-s", "-C", table.ROOT, "build/bench/libkernels.so"], check=True)
    return probe


def limited(limit):
    """Puts the process that calls it under `limit` bytes of memory, mapped files included (control group, root)."""
    def enter():
        (GROUP / "cgroup.procs").write_text(str(os.getpid()))
    if not limit:
        return None
    GROUP.mkdir(exist_ok=True)
    (GROUP / LIMIT).write_text(str(limit))
    return enter


def measured(command, clean=(), limit=0):
    """Records, wall seconds and peak bytes of one process."""
    for path in clean:
        path.unlink(missing_ok=True)
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen([str(part) for part in command], stdout=out, stderr=err, preexec_fn=limited(limit))
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - start
        out.seek(0), err.seek(0)
        if process.returncode != 0:
            raise SystemExit(f"{' '.join(map(str, command))}\nended with {process.returncode}:\n{err.read()[-2000:]}")
        records = []
        for line in out.read().splitlines():
            try:
                records.append(json.loads(line))
            except ValueError:
                pass
    records.append({"wall_seconds": seconds} | (records[-1] if records and isinstance(records[-1], dict) else {}))
    return records, seconds, usage.ru_maxrss * 1024


def prepare(name, row, layers, python):
    for model, dtype in row.models:
        cut = None if model == "llava-1b" or name.startswith("memory") else layers
        folder = table.folder(model, dtype, cut)
        if not (folder / "model.safetensors.index.json").exists():
            script = table.ROOT / "Tests/Bench/make_model.py"
            subprocess.run([python, script, model, folder, "--dtype", dtype, *(["--layers", str(cut)] if cut else [])], check=True)
    if not (table.BENCH / "data" / "shr.json").exists():
        data.make(table.BENCH / "data")
    if name.startswith("memory") and not (table.BENCH / "data100" / "shr.json").exists():
        data.make(table.BENCH / "data100", pictures=3, pairs=3, answer=100, prompt=9)
    if row.peer is not None and "llama_cpp.py" in str(row.peer.command[1]):
        subprocess.run([str(part) for part in row.peer.command if part != "--keep"] + ["--prepare"], check=True, stdout=subprocess.DEVNULL)


def moved(before, after):
    """How far each bound moved between two probes."""
    def of(*keys):
        return max((abs(after[k] / before[k] - 1) for k in keys if before.get(k)), default=0)
    return {"compute": of("fp32_gflops", "bf16_gflops", "int8_gops", "amx_bf16_gflops"), "read": of("read_gbytes_per_s")}


def bound(figure):
    return "read" if "decode" in figure else "compute"


def quiet(records, figure, tolerance):
    return [record for record in records if record["drift"][bound(figure)] <= tolerance]


def run_row(name, row, arguments, probe, log):
    clean = [table.BENCH / f"out_{s}.jsonl" for s in ("random", "popular", "adversarial", "shr")]
    every = []
    probe_now = measured([probe])[0][0]
    while len(every) < 2 * arguments.rounds and any(len(quiet(every, f, arguments.tolerance)) < arguments.rounds for f in row.ours.rates):
        result, drift, peaks = {"ours": {}, "peer": {}}, {"compute": 0.0, "read": 0.0}, {}
        for side in ("ours", "peer"):
            spec = getattr(row, side)
            if spec is None or (side == "peer" and arguments.no_peer):
                continue
            if side == "ours" or spec.command != row.ours.command:  # else one process called both in turns
                records, seconds, peak = measured(spec.command, clean if side == "ours" else ())
                peaks[side] = {"seconds": seconds, "peak_bytes": peak}
                probe_then = measured([probe])[0][0]
                drift = {key: max(drift[key], value) for key, value in moved(probe_now, probe_then).items()}
                probe_now = probe_then
            result[side] = {figure: rate(records) for figure, rate in spec.rates.items()}
        record = {"row": name, "layers": arguments.layers, "drift": drift, "probe": probe_now, **result, "processes": peaks}
        print(f"  round {len(every) + 1}: the probe's products moved {100 * drift['compute']:.1f} %, reading {100 * drift['read']:.1f} %",
              file=sys.stderr, flush=True)
        if log:
            log.write(json.dumps(record) + "\n")
            log.flush()
        every.append(record)
    return every


def show(name, row, every, tolerance):
    def middle(records, side, figure):
        values = [record[side][figure] for record in records if record[side]]
        return statistics.median(values) if values else None

    def peak(side):
        values = [record["processes"][side]["peak_bytes"] for record in every if side in record["processes"]]
        return f"{statistics.median(values) / 2**30:.2f}" if values else "-"

    for figure in row.ours.rates:
        kept = quiet(every, figure, tolerance)
        records, rounds = kept or every, f"{len(kept)}+{len(every) - len(kept)}{'' if kept else ' ~'}"
        ours, peer = middle(records, "ours", figure), middle(records, "peer", figure)
        # Of a round's two sides: their own medians may come from different hours.
        ratios = [record["ours"][figure] / record["peer"][figure] for record in records if record["peer"]]
        ratio = f"{statistics.median(ratios):.2f}" if ratios else "-"
        wanted = f"{row.wanted[figure]:.2f}" if figure in row.wanted else "-"
        print(f"{name:22} {figure:32} {ours:12.3f} {peer if peer is not None else float('nan'):12.3f} {ratio:>7} {wanted:>7} "
              f"{peak('ours'):>9} {peak('peer'):>9}  {rounds}", flush=True)


def show_limited(name, row, every, tolerance):
    """Ours once more with no more memory than its own peak: the weights must not be streamed from disk."""
    limit = int(statistics.median(record["processes"]["ours"]["peak_bytes"] for record in every))
    calm = [record for record in every if max(record["drift"].values()) <= tolerance] or every
    free = statistics.median(record["processes"]["ours"]["seconds"] for record in calm)
    _, seconds, _ = measured(row.ours.command, [table.BENCH / f"out_{s}.jsonl" for s in ("random", "popular", "adversarial", "shr")], limit)
    print(f"{name:22} under a limit of {limit / 2**30:.2f} GiB: {seconds:.1f} s, without {free:.1f} s ({seconds / free:.2f}, wanted 1.10)")


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tolerance", type=float, default=0.05)
    parser.add_argument("--layers", type=int)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--limit", action="store_true", help="ours once more under its own peak as a memory limit (root, control groups)")
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--prepare", action="store_true")
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    known = table.all_rows(arguments.layers)
    if arguments.list or not arguments.rows:
        for name, row in known.items():
            print(f"{name:22} {', '.join(f'{k} {v}x' for k, v in row.wanted.items()) or ', '.join(row.ours.rates)}")
        return
    unknown = [name for name in arguments.rows if name not in known]
    if unknown:
        raise SystemExit(f"no row {', '.join(unknown)}; --list names them")
    probe = build(any(name.startswith("linear") for name in arguments.rows))
    for name in arguments.rows:
        prepare(name, known[name], arguments.layers, make_model_python())
    if arguments.prepare:
        return
    print(f"{datetime.date.today()}, {processor()}, {os.cpu_count()} processors, {measured([probe])[0][0]}")
    print(f"{'row':22} {'figure':32} {'ours':>12} {'peer':>12} {'ratio':>7} {'wanted':>7} {'GiB ours':>9} {'GiB peer':>9}  rounds")
    with open(arguments.json, "a") if arguments.json else open(os.devnull, "w") as log:
        for name in arguments.rows:
            every = run_row(name, known[name], arguments, probe, log)
            show(name, known[name], every, arguments.tolerance)
            if arguments.limit:
                show_limited(name, known[name], every, arguments.tolerance)


def make_model_python():
    """numpy is in the peers' environment, if not here."""
    try:
        import numpy  # noqa: F401
        return sys.executable
    except ImportError:
        sys.path.insert(0, str(table.PEERS))
        import environment
        return environment.python_of(environment.TORCH)


if __name__ == "__main__":
    main()
