#!/usr/bin/env python3
"""Compares the types of the interface with those of the last release, by abidiff.

usage: check_abi.py            compare hadpo.h with libhadpo.abi
       check_abi.py --write    make libhadpo.abi from hadpo.h: when a release is made, and with every new HADPO_ABI

abidiff reads types out of DWARF and sees none of them in the Swift library, so it is given a library of empty C functions
made from the header. New functions are no difference; whatever else differs breaks programs that are already linked.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

from header import HEADER, constants, functions

BASELINE = pathlib.Path(__file__).with_name("libhadpo.abi")
CC = os.environ.get("CC", "clang")
# One change of each kind that must be seen, as (text of the header, what it becomes).
CHANGES = [
    ("a parameter's type", ("uint64_t steps", "uint32_t steps")),
    ("a parameter less", (", float *logps, size_t capacity", ", float *logps")),
    ("a result's type", ("HADPO_API uint32_t    hadpo_abi", "HADPO_API uint64_t    hadpo_abi")),
    ("the callback's type", ("const char *record, size_t size, void *user);", "const char *record, void *user);")),
    ("the status type", ("typedef int32_t hadpo_status;", "typedef int64_t hadpo_status;")),
    ("a function less", ("hadpo_shr_agree(", "hadpo_shr_agreement(")),
]


def run(*command):
    return subprocess.run([str(c) for c in command], capture_output=True, text=True)


def describe(text, folder, name):
    """The types of a header as abidw writes them."""
    (folder / "hadpo.h").write_text(text)
    lines = ['#include "hadpo.h"']
    for function in functions(folder / "hadpo.h"):
        parameters = ", ".join(f"{type_} {name}" for type_, name in zip(function.parameters, function.names)) or "void"
        ignored = " ".join(f"(void){name};" for name in function.names)
        result = "" if function.result == "void" else " return 0;"
        lines.append(f"{function.result} {function.name}({parameters}) {{ {ignored}{result} }}")
    (folder / "stub.c").write_text("\n".join(lines) + "\n")
    library, description = folder / "libhadpo.so", folder / f"{name}.abi"
    soname = f"libhadpo.so.{constants(folder / 'hadpo.h')['HADPO_ABI']}"
    for command in ([CC, "-std=c99", "-g", "-fPIC", "-shared", f"-Wl,-soname,{soname}", folder / "stub.c", "-o", library],
                    ["abidw", "--no-corpus-path", "--no-comp-dir-path", "--no-show-locs", "--out-file", description, library]):
        made = run(*command)
        if made.returncode != 0:
            raise SystemExit(f"check_abi: {command[0]} failed\n{made.stderr}")
    # The folder's name is a new one at every run.
    description.write_text(description.read_text().replace(f"{folder}/", ""))
    return description


def differences(old, new):
    """What abidiff says, empty when programs linked against `old` run with `new`."""
    compared = run("abidiff", "--no-added-syms", old, new)
    if compared.returncode & 3:
        raise SystemExit(f"check_abi: abidiff failed\n{compared.stdout}{compared.stderr}")
    return compared.stdout if compared.returncode else ""


def main(arguments):
    text, problems = HEADER.read_text(), []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        now = describe(text, folder, "now")
        if arguments == ["--write"]:
            BASELINE.write_text(now.read_text())
            return 0
        found = differences(BASELINE, now)
        if found:
            problems.append(f"{found}\nhadpo.h breaks programs that are linked already: HADPO_ABI grows, or the change goes")
        for what, (before, after) in CHANGES:
            if before not in text:
                problems.append(f"CHANGES no longer fits hadpo.h: {before!r}")
            elif not differences(now, describe(text.replace(before, after, 1), folder, "changed")):
                problems.append(f"abidiff does not see a change of {what}")
        added = text.replace("typedef int32_t hadpo_status;", "typedef int32_t hadpo_status;\nHADPO_API void hadpo_new(void);")
        if added == text or differences(now, describe(added, folder, "added")):
            problems.append("abidiff takes a new function for a break")
    for problem in problems:
        print(problem)
    print(f"check_abi: {len(functions())} functions, {len(CHANGES)} kinds of break seen, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
