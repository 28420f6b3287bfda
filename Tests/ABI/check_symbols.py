#!/usr/bin/env python3
"""Compares the three places where the ABI is written down: include/hadpo.h, symbols.txt with status.txt, and the built library.

usage: check_symbols.py [LIBRARY]     compare (without LIBRARY only header and lists)
       check_symbols.py --write       make the lists from the header; read the difference before committing it
"""

import pathlib
import sys

from elf import DT_NEEDED, DT_RPATH, DT_RUNPATH, DT_SONAME, Elf
from header import constants, functions

LIST = pathlib.Path(__file__).with_name("symbols.txt")
STATUS = LIST.with_name("status.txt")
STATUS_HEAD = "# number\tname    (a number that was released never changes its meaning)\n"
HEAD = "# name\tsince\tsignature    (a line that was released never changes; see CONTRIBUTING.md)\n"
# What the library may ask of the machine: the C library, its C++ support (used by the Swift runtime), and the three
# readers. The Swift runtime is inside.
MAY_NEED = ("libc.so", "libm.so", "libpthread.so", "libdl.so", "librt.so", "ld-linux", "libgcc_s.so", "libstdc++.so",
            "libjson-c.so", "libpng16.so", "libjpeg.so")


def symbol_lines():
    return [f"{f.name}\t{f.since}\t{f.signature()}" for f in functions()]


def status_lines():
    return [f"{number}\t{name}" for name, number in constants().items() if name.startswith(("HADPO_OK", "HADPO_E_"))]


def check_list(path, written, problems):
    listed = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    problems += [f"{path.name}: in the list, not in the header: {line}" for line in listed if line not in written]
    problems += [f"{path.name}: in the header, not in the list: {line}" for line in written if line not in listed]


def check_library(path, problems):
    library = Elf(path)
    declared = {f.name for f in functions()}
    exported = set(library.exported())
    problems += [f"{path}: declared but not exported: {name}" for name in sorted(declared - exported)]
    problems += [f"{path}: exported but not declared: {name}" for name in sorted(exported - declared)]
    soname = f"libhadpo.so.{constants()['HADPO_ABI']}"
    if library.dynamic(DT_SONAME) != [soname]:
        problems.append(f"{path}: SONAME is {library.dynamic(DT_SONAME)}, expected {soname}")
    for need in library.dynamic(DT_NEEDED):
        if not need.startswith(MAY_NEED):
            problems.append(f"{path}: needs {need}, which a machine without Swift may lack")
    for tag, name in ((DT_RPATH, "RPATH"), (DT_RUNPATH, "RUNPATH")):
        if library.dynamic(tag):
            problems.append(f"{path}: has {name} {library.dynamic(tag)}")


def main(arguments):
    if arguments == ["--write"]:
        LIST.write_text(HEAD + "".join(f"{line}\n" for line in symbol_lines()))
        STATUS.write_text(STATUS_HEAD + "".join(f"{line}\n" for line in status_lines()))
        return 0
    problems = []
    check_list(LIST, symbol_lines(), problems)
    check_list(STATUS, status_lines(), problems)
    for path in arguments:
        check_library(path, problems)
    for problem in problems:
        print(problem)
    print(f"check_symbols: {len(functions())} functions, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
