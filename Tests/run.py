#!/usr/bin/env python3
"""Runs every test and sums them up: Swift, the check scripts, C programs and Python against an installed tree.

Standard library only. `make test` calls it with --stage, the tree that `make install` wrote.
The last line reads `N passed, N failed`; the exit status is 0 when nothing failed.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[1]
CC = os.environ.get("CC", "clang")
SWIFT = os.environ.get("SWIFT", "swift")
SANITIZED = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]


# Skips that may happen, by what is skipped and the reason it gives: what the machine lacks, and what does not come with the repository.
# Any other skip is a failure: a test that did not run proves nothing.
MAY_BE_SKIPPED = [
    (r"CHadpoKernelsTests\.|this processor has them not", "an instruction set that this processor lacks"),
    (r"HadpoTextTests\.|HadpoEvalTests\.(CHAIRAgainstTheOriginal|PublishedPopeFigures/generation)",
     "a published file that is not in the repository (HADPO_SHARED names their folder)"),
    (r"full.?disk|fullDisk|small tmpfs", "mounting a file system, which needs root"),
    (r"make test-demo", "every seed of the demo: make test-demo"),
    (r"(numpy|PIL|torch|tensorboard|transformers)\S* is not installed", "a Python package: make parity, make wheel-check"),
    (r"strace is missing", "strace"),
    (r"no abidiff", "abidiff: make check-abi"),
    (r"libhadpo is installed in this system", "a libhadpo of the system's"),
]


class Tally:
    def __init__(self):
        self.passed, self.failed, self.failures = 0, 0, []
        self.skips = {}  # reason -> how many
        self.parts = []  # (part, seconds)

    def record(self, name, ok, output=""):
        self.passed += ok
        self.failed += not ok
        if not ok:
            self.failures.append(name)
            print(f"FAILED: {name}\n{output}", flush=True)

    def skip(self, name, why="", whole=True):
        """`whole`: the test itself, and not some of its arguments."""
        for pattern, reason in MAY_BE_SKIPPED:
            if re.search(pattern, f"{name}: {why}"):
                if whole:
                    self.skips[reason] = self.skips.get(reason, 0) + 1
                return
        self.record(f"{name} was skipped ({why or 'no reason given'}), which Tests/run.py does not expect", False)


def heading(text):
    print(f"\n== {text}", flush=True)


def swift_tests(tally):
    """`swift test` tells what happened in a file of events; a run that died counts as a failure. A cancelled test, or one of which every
    argument was cancelled, is a skip, which the results for xUnit do not show."""
    heading("Swift")
    with tempfile.TemporaryDirectory() as folder:
        events = pathlib.Path(folder) / "events.jsonl"
        run = subprocess.Popen([SWIFT, "test", "-c", "release", "--event-stream-output-path", str(events),
                                "--event-stream-version", "6.3"], cwd=ROOT, text=True,
                               encoding="utf-8", errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for line in run.stdout:
            if not line.startswith(("\u25c7", "\u2714 Test case", "\U00100135")):  # what starts, each argument's success
                print(line, end="", flush=True)
        run.wait()
        failed_before = tally.failed
        functions, ended, failed, started, cancelled, skipped = {}, set(), set(), {}, {}, {}
        for line in events.read_text().splitlines() if events.exists() else []:
            record = json.loads(line)
            payload = record["payload"]
            if record["kind"] == "test":
                if payload["kind"] == "function":
                    functions[payload["id"]] = payload.get("displayName") or payload["name"]
                continue
            test, kind = payload.get("testID"), payload["kind"]
            if kind == "testEnded":
                ended.add(test)
            elif kind == "issueRecorded" and payload["issue"].get("isFailure", True):
                failed.add(test)
            elif kind == "testCaseStarted":
                started[test] = started.get(test, 0) + 1
            elif kind == "testCaseCancelled":
                cancelled[test] = cancelled.get(test, 0) + 1
            elif kind in ("testSkipped", "testCancelled"):
                skipped[test] = " ".join(message["text"] for message in payload["messages"])
        for test in functions:
            if test in failed or test not in ended | skipped.keys():
                tally.record(f"{test}: {functions[test]}", False)
            elif test in skipped or cancelled.get(test, 0) and cancelled[test] == started.get(test):
                tally.skip(test, skipped.get(test, ""))
            else:
                if test in cancelled:
                    tally.skip(test, whole=False)
                tally.record(test, True)
        if not functions or (run.returncode != 0 and tally.failed == failed_before):
            tally.record(f"swift test ended with status {run.returncode}", False)
        if cancelled:
            print(f"{sum(cancelled.values())} of {sum(started.values())} sets of arguments were not tried here")


def check_scripts(tally, stage):
    heading("Layers, header, symbols, ctypes, reference")
    library = str(next((stage / "lib").glob("libhadpo.so.*.*")))
    for command in (["Tests/check_layers.py"], ["Tests/ABI/check_header.sh"], ["Tests/ABI/check_symbols.py", library],
                    ["Tests/ABI/check_ctypes.py"], ["Tests/ABI/make_reference.py", library]):
        program = [sys.executable, *command] if command[0].endswith(".py") else command
        run = subprocess.run(program, cwd=ROOT, capture_output=True, text=True)
        print(run.stdout.strip(), flush=True)
        tally.record(command[0], run.returncode == 0, run.stderr)
    if shutil.which("abidiff"):
        run = subprocess.run([sys.executable, "Tests/ABI/check_abi.py"], cwd=ROOT, capture_output=True, text=True)
        print(run.stdout.strip(), flush=True)
        tally.record("Tests/ABI/check_abi.py", run.returncode == 0, run.stderr)
    else:
        tally.skip("Tests/ABI/check_abi.py", "no abidiff")


def c_tests(tally, stage):
    """Each Tests/Hosts/c/test_*.c is a program of its own, built as a stranger would: pkg-config and nothing else.

    A program prints `ok NAME` or `not ok NAME: why` for each of its checks and exits 0."""
    heading("C programs through pkg-config")
    environment = dict(os.environ, PKG_CONFIG_PATH=str(stage / "lib" / "pkgconfig"), LD_LIBRARY_PATH=str(stage / "lib"))
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "hadpo"], env=environment, capture_output=True, text=True)
    tally.record("pkg-config finds hadpo", flags.returncode == 0, flags.stderr)
    if flags.returncode != 0:
        return
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, str(ROOT / "Tests/Hosts/make_calls.py"), f"{folder}/null_calls.h"], check=True)
        for source in sorted((ROOT / "Tests/Hosts/c").glob("test_*.c")):
            program = pathlib.Path(folder) / source.stem
            # The address sanitizer watches the program's own heap and, through its malloc, what the library frees.
            build = [CC, "-std=c99", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-fuse-ld=lld", *SANITIZED, f"-I{folder}",
                     str(source), "-o", str(program), *flags.stdout.split(), "-lpthread", "-lm"]
            built = subprocess.run(build, capture_output=True, text=True)
            tally.record(f"{source.name} compiles", built.returncode == 0, built.stderr)
            if built.returncode != 0:
                continue
            run = subprocess.run([str(program), str(ROOT / "Tests/Fixtures")], cwd=folder, env=environment,
                                 capture_output=True, text=True, timeout=300)
            for line in run.stdout.splitlines():
                if line.startswith(("ok ", "not ok ")):
                    tally.record(f"{source.stem}: {line.removeprefix('not ').removeprefix('ok ')}", line.startswith("ok "))
                elif line.startswith("skipped "):
                    tally.skip(f"{source.stem}: {line.removeprefix('skipped ')}")
            print(f"{source.stem}: exit status {run.returncode}", flush=True)
            if run.returncode != 0:
                tally.record(f"{source.stem} ended with status {run.returncode}", False, run.stdout[-2000:] + run.stderr[-6000:])


def python_tests(tally, stage):
    heading("Python through ctypes")
    os.environ["HADPO_LIBRARY"] = str(stage / "lib" / "libhadpo.so")
    os.environ["HADPO_TOOL"] = str(stage / "bin" / "hadpo")
    suite = unittest.defaultTestLoader.discover(str(ROOT / "Tests/Hosts/python"), top_level_dir=str(ROOT / "Tests/Hosts/python"))
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    bad = result.failures + result.errors
    for test, why in result.skipped:
        tally.skip(str(test), why)
    tally.passed += result.testsRun - len(result.skipped) - len(bad)
    tally.failed += len(bad)
    tally.failures += [str(test) for test, _ in bad]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stage", required=True, type=pathlib.Path, help="prefix that `make install` wrote to")
    parser.add_argument("--no-swift", action="store_true", help="only the tests of the installed tree")
    options = parser.parse_args()
    stage = options.stage.resolve()
    # A shell starts its background jobs with Ctrl-C ignored, which their children inherit: the tests of Ctrl-C would wait for ever.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    tally = Tally()
    for part, run in (("Swift", None if options.no_swift else lambda: swift_tests(tally)), ("check scripts", lambda: check_scripts(tally, stage)),
                      ("C programs", lambda: c_tests(tally, stage)), ("Python", lambda: python_tests(tally, stage))):
        if run:
            start = time.monotonic()
            run()
            tally.parts.append((part, time.monotonic() - start))
    heading("seconds: " + ", ".join(f"{part} {seconds:.0f}" for part, seconds in tally.parts))
    for reason, count in sorted(tally.skips.items()):
        print(f"{count:4} skipped for want of {reason}")
    for name in tally.failures:
        print(f"failed: {name}")
    skipped = sum(tally.skips.values())
    print(f"{tally.passed} passed, {tally.failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
