#!/usr/bin/env python3
"""Compares the signatures in bindings/python/hadpo/_c.py with those read from include/hadpo.h."""

import ctypes
import sys

from header import ROOT, functions

sys.path.insert(0, str(ROOT / "bindings" / "python"))
from hadpo import _c  # noqa: E402

INTEGERS = {"int32_t": ctypes.c_int32, "uint32_t": ctypes.c_uint32, "uint64_t": ctypes.c_uint64, "size_t": ctypes.c_size_t,
            "hadpo_status": ctypes.c_int32, "void": None, "hadpo_event_fn": _c.EventFunction}
HANDLES = ("hadpo_error", "hadpo_bytes", "hadpo_engine", "hadpo_image", "hadpo_model", "hadpo_trainer")


def allowed(c_type):
    """The ctypes types that pass a value of a C type rightly."""
    if c_type in INTEGERS:
        return [INTEGERS[c_type]]
    base = c_type.replace("const ", "").strip()
    if base.endswith("**") and base[:-2].strip() in HANDLES:
        return [ctypes.POINTER(ctypes.c_void_p)]
    if base.endswith("*"):
        pointed = base[:-1].strip()
        if pointed == "char":
            return [ctypes.c_char_p, ctypes.c_void_p]
        if pointed in HANDLES or pointed in ("void", "uint8_t"):
            return [ctypes.c_void_p]
        return {"float": [ctypes.POINTER(ctypes.c_float)], "size_t": [ctypes.POINTER(ctypes.c_size_t)]}.get(pointed, [])
    return []


def main():
    problems, declared = [], functions()
    for name in set(_c.SIGNATURES) ^ {f.name for f in declared}:
        problems.append(f"{name}: only in {'_c.py' if name in _c.SIGNATURES else 'hadpo.h'}")
    for function in declared:
        if function.name not in _c.SIGNATURES:
            continue
        result, parameters = _c.SIGNATURES[function.name]
        wanted = [function.result, *function.parameters]
        given = [result, *parameters]
        if len(wanted) != len(given) or any(g not in allowed(w) for w, g in zip(wanted, given)):
            problems.append(f"{function.name}: header says {function.signature()}, _c.py says {result}, {parameters}")
    for problem in problems:
        print(problem)
    print(f"check_ctypes: {len(declared)} functions, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
