#!/usr/bin/env python3
"""Runs every test and sums them up: Swift, the check scripts, C programs and Python against an installed tree.

Standard library only. `make test` calls it with --stage, the tree that `make install` wrote.
The last line reads `N passed, N failed`; the exit status is 0 when nothing failed.
"""

import argparse
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[1]
CC = os.environ.get("CC", "clang")
SWIFT = os.environ.get("SWIFT", "swift")
SANITIZED = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]


class Tally:
    def __init__(self):
        self.passed, self.failed, self.skipped, self.failures = 0, 0, 0, []

    def record(self, name, ok, output=""):
        self.passed += ok
        self.failed += not ok
        if not ok:
            self.failures.append(name)
            print(f"FAILED: {name}\n{output}", flush=True)


def heading(text):
    print(f"\n== {text}", flush=True)


def swift_tests(tally):
    """`swift test` writes its results as xUnit files; a run that died leaves none and counts as one failure."""
    heading("Swift")
    with tempfile.TemporaryDirectory() as folder:
        results = pathlib.Path(folder) / "results.xml"
        run = subprocess.Popen([SWIFT, "test", "-c", "release", "--xunit-output", str(results)], cwd=ROOT, text=True,
                               encoding="utf-8", errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for line in run.stdout:
            if not line.startswith(("\u25c7", "\u2714 Test case", "\U00100135")):  # what starts, each argument's success
                print(line, end="", flush=True)
        run.wait()
        failed_before = tally.failed
        for path in pathlib.Path(folder).glob("results*.xml"):
            for case in xml.etree.ElementTree.parse(path).iter("testcase"):
                name = f"{case.get('classname')}: {case.get('name')}"
                if case.find("skipped") is not None:
                    tally.skipped += 1
                else:
                    tally.record(name, case.find("failure") is None and case.find("error") is None)
        if run.returncode != 0 and tally.failed == failed_before:
            tally.record(f"swift test ended with status {run.returncode}", False)


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
        print("check_abi: skipped, there is no abidiff (make check-abi installs it)", flush=True)
        tally.skipped += 1


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
                    print(line, flush=True)
                    tally.skipped += 1
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
    tally.skipped += len(result.skipped)
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
    tally, start = Tally(), time.monotonic()
    if not options.no_swift:
        swift_tests(tally)
    check_scripts(tally, stage)
    c_tests(tally, stage)
    python_tests(tally, stage)
    heading(f"{time.monotonic() - start:.0f} s")
    for name in tally.failures:
        print(f"failed: {name}")
    print(f"{tally.passed} passed, {tally.failed} failed" + (f", {tally.skipped} skipped" if tally.skipped else ""))
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
