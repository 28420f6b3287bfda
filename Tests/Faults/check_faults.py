#!/usr/bin/env python3
"""At every file operation of a command: kill -9, half a write, a full disk, an I/O error, a signal, no more descriptors.

usage: check_faults.py FAULT_INJECTION.so TOOL [--stride N] [--only NAME]      (make check-faults)

After each fault: no file under its final name is torn or mixed; a run that failed said so, in words, with a status. Then the same
command without a fault: the bits of a run that nothing happened to, and no file more. Standard library only; the last line counts.
"""

import argparse
import collections
import dataclasses
import errno
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import commands
import trees

WRITES = {"write", "pwrite"}
READS = {"read", "pread"}
OPENS = {"open", "create", "opendir"}
SYNCS = {"fsync", "fdatasync"}
RENAMES = {"rename", "renameat", "renameat2"}
REMOVALS = {"unlink", "unlinkat", "rmdir", "remove"}
CHANGES = WRITES | SYNCS | RENAMES | REMOVALS | {"create", "close", "posix_fallocate", "ftruncate", "mkdir", "mkdirat", "link",
                                                 "linkat", "symlink"}
# How an operation goes wrong, and which operations can go wrong that way.
MODES = {
    "kill": CHANGES,
    "kill-half": WRITES,
    "short": READS | WRITES,
    "full": WRITES | SYNCS | {"create", "posix_fallocate", "ftruncate", "mkdir", "mkdirat", "link", "linkat"},
    "EIO": CHANGES | READS | OPENS | {"stat", "lstat", "fstat", "readdir"},
    "EINTR": READS | WRITES | SYNCS | {"open", "create", "posix_fallocate", "ftruncate", "flock", "close"},
    "EMFILE": OPENS,
}
HARMLESS = {"short", "EINTR"}  # the program asks again
CLEANS_UP = {"full", "EIO"}  # the program lives on and can take its temporary files away
TIME_LIMIT = 60  # seconds for a run of a tenth: what takes longer hangs
CRASHES = ("Fatal error", "Stack dump", "Current stack trace", "Sanitizer", "runtime error", "Traceback")


@dataclasses.dataclass
class State:
    """What a folder holds, and what the tool says about its units."""

    tree: dict
    said: dict


class Bench:
    def __init__(self, injection, tool, folder):
        self.injection, self.tool, self.folder = injection, tool, folder
        self.inputs, self.place, self.before = folder / "inputs", folder / "run", folder / "before"
        self.inputs.mkdir()
        self.world = commands.World(tool, self.inputs)
        self.counts, self.failures = collections.Counter(), []
        self.said_after, self.repeats_known = {}, set()  # by the state of the folder

    def run(self, command, more=(), **fault):
        environment = dict(os.environ, LANG="C", LD_PRELOAD=str(self.injection), FAULT_UNDER=str(self.folder), **command.environment,
                           **fault)
        try:
            return subprocess.run([self.tool, *map(str, command.arguments), *more, "--quiet"], cwd=self.place, env=environment,
                                  capture_output=True, text=True, errors="replace", timeout=TIME_LIMIT)
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess([], None, "", "hangs")

    def reset(self, source=None):
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.copytree(source, self.place) if source else self.place.mkdir()

    def state_after(self, command, more=()):
        self.reset(self.before)
        result = self.run(command, more)
        if result.returncode != 0:
            raise SystemExit(f"check_faults: {command.name}: a run without a fault ended with {result.returncode}\n{result.stderr}")
        return State(trees.read_tree(self.place), self.said(command))

    def said(self, command):
        """What a reader of each unit says; None: it does not open."""
        answers = {}
        for unit, arguments in command.units.items():
            result = self.run(dataclasses.replace(command, arguments=arguments))
            answers[unit] = result.stdout if result.returncode == 0 else None
        return answers

    def operations(self, command):
        log = self.folder / "operations"
        log.unlink(missing_ok=True)
        self.reset(self.before)
        self.run(command, FAULT_LOG=str(log))
        return [line.split(" ", 2)[1:] for line in log.read_text().splitlines()]


def chosen(operations):
    """The numbers of the operations to try: of a row of the same operation on the same file the first two and the last."""
    numbers = []
    for index, operation in enumerate(operations):
        same_before = index >= 2 and operations[index - 1] == operations[index - 2] == operation
        same_after = index + 1 < len(operations) and operations[index + 1] == operation
        if not (same_before and same_after):
            numbers.append(index + 1)
    return numbers


def words_of_failure(result, mode, name):
    """What is wrong with the way in which the run with the fault ended."""
    if result.returncode is None:
        return ["the run hangs"]
    if mode in ("kill", "kill-half"):
        return [] if result.returncode == -9 else [f"ended with {result.returncode} and not by the signal"]
    faults = [f"prints a stack: {word}" for word in CRASHES if word in result.stderr]
    if result.returncode < 0:
        faults.append(f"ended by signal {-result.returncode}")
    elif result.returncode > 0:
        if mode in HARMLESS:
            faults.append(f"is not tried again: {result.stderr.strip()[:200]}")
        if not result.stderr.startswith("hadpo") or len(result.stderr) > 4096:
            faults.append(f"the message: {result.stderr[:200]!r}")
    elif mode not in HARMLESS and name in WRITES | RENAMES:
        faults.append("the fault is not noticed: status 0")
    return faults


def words_of_tree(tree, command, known, mode):
    """What is torn: every file of a final name holds what a run leaves there."""
    faults = []
    for name, content in tree.items():
        held = [state.tree[name] for state in known if name in state.tree]
        if content is None or not held or content in held:
            continue
        if name in command.of_a_failure and mode not in ("kill", "kill-half") and trees.opens(name, content):
            continue
        why = trees.torn_lines(content, known[-1].tree[name]) if name in command.lines else "neither the old nor the new content"
        if why:
            faults.append(f"{name}: {why}{'' if trees.opens(name, content) else ', and it does not open'}")
    return faults


def words_of_units(said, command, known, reached):
    """What is mixed or lost: a unit reads as one that a run leaves, and not as an older one than after an earlier fault."""
    faults = []
    for unit in command.units:
        steps = [number for number, state in enumerate(known) if state.said[unit] == said[unit]]
        if not steps:
            faults.append(f"{unit} {'does not open' if said[unit] is None else 'reads as none of the saved steps'}")
        elif reached is not None:
            if max(steps) < reached[unit]:
                faults.append(f"{unit} is older than after a fault before this one")
            reached[unit] = max(reached[unit], min(steps))
    return faults


def try_point(bench, command, known, reached, point):
    number, mode, name, path = point
    final = known[-1].tree
    bench.reset(bench.before)
    how = str(getattr(errno, mode)) if mode.startswith("E") else mode
    result = bench.run(command, FAULT_AT=str(number), FAULT_HOW=how)
    tree = trees.read_tree(bench.place)
    faults = words_of_failure(result, mode, name) + words_of_tree(tree, command, known, mode)
    if mode in CLEANS_UP and name not in REMOVALS:
        names = set().union(*(state.tree for state in known))
        faults += [f"{left} was left behind by the failed run" for left in tree if left not in names and not trees.is_committed(left)]
    if result.returncode == 0:
        faults += ["status 0, but " + words for words in trees.differences(tree, final)]
    else:
        # Most faults of reading leave the folder as it was: one reading and one repetition for each state of the folder is enough.
        state = hashlib.sha256(repr([(trees.without_process(k), v) for k, v in tree.items()]).encode()).digest()
        if state not in bench.said_after:
            bench.said_after[state] = bench.said(command)
        said = bench.said_after[state]
        faults += words_of_units(said, command, known, reached if mode == "kill" else None)
        if state not in bench.repeats_known and (command.repeats_when_done or tree != final):
            again = bench.run(command, command.go_on(bench.place, said))
            repeated = [] if again.returncode == 0 else [f"status {again.returncode}: {again.stderr.strip()[:300]}"]
            repeated += trees.differences(trees.read_tree(bench.place), final)
            faults += ["the next run: " + words for words in repeated]
            if not repeated:
                bench.repeats_known.add(state)
    bench.counts[command.name, mode] += 1
    if faults:
        bench.failures.append((command.name, number, mode, name, path, faults))
        print(f"not ok {command.name}, operation {number} ({name} {path}), {mode}: {'; '.join(faults)}", flush=True)


def check(bench, command, stride, offset):
    bench.reset()
    command.prepare(bench.world, bench.place)
    shutil.rmtree(bench.before, ignore_errors=True)
    shutil.copytree(bench.place, bench.before)
    known = [State(trees.read_tree(bench.place), bench.said(command))]
    known += [bench.state_after(command, stop) for stop in command.stops] + [bench.state_after(command)]
    if any(known[-1].said[unit] is None for unit in command.units):
        raise SystemExit(f"check_faults: {command.name}: what it wrote does not open: {known[-1].said}")
    differ = trees.differences(bench.state_after(command).tree, known[-1].tree)
    if differ:
        raise SystemExit(f"check_faults: {command.name}: two runs without a fault differ: {'; '.join(differ)}")
    operations = bench.operations(command)
    if not any(name in WRITES for name, _ in operations):
        raise SystemExit(f"check_faults: {command.name}: no write was seen; is FAULT_INJECTION.so loaded?")
    points = [(number, mode, *operations[number - 1]) for number in chosen(operations) for mode, names in MODES.items()
              if operations[number - 1][0] in names]
    bench.said_after, bench.repeats_known = {}, set()
    reached = dict.fromkeys(command.units, 0)
    for point in points[offset % stride::stride]:
        try_point(bench, command, known, reached, point)
    done = {mode: bench.counts[command.name, mode] for mode in MODES}
    print(f"{command.name}: {len(operations)} operations; " + ", ".join(f"{mode} {count}" for mode, count in done.items()), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("injection", type=pathlib.Path)
    parser.add_argument("tool", type=pathlib.Path)
    parser.add_argument("--stride", type=int, default=1, help="every so many of the points")
    parser.add_argument("--only", help="the command of this name")
    options = parser.parse_args()
    memory = pathlib.Path("/dev/shm")  # a disk that is brought up to date after every write would take most of the time
    with tempfile.TemporaryDirectory(prefix="hadpo-faults-", dir=memory if os.access(memory, os.W_OK) else None) as folder:
        bench = Bench(options.injection.resolve(), options.tool.resolve(), pathlib.Path(folder))
        table = [command for command in bench.world.commands() if options.only in (None, command.name)]
        for index, command in enumerate(table):
            check(bench, command, options.stride, index)
    points = sum(bench.counts.values())
    print(f"{points} fault points of {len(table)} commands, {len(bench.failures)} not ok")
    return 1 if bench.failures or not points else 0


if __name__ == "__main__":
    sys.exit(main())
