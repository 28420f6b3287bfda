#!/usr/bin/env python3
"""Writes null_calls.h: every function of hadpo.h called with NULL in each position, and with NULL in all of them.

usage: make_calls.py OUTPUT

Made from the header at each run of the tests, so that a new function cannot be forgotten. test_threads.c includes it.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "ABI"))
from header import functions  # noqa: E402

HANDLES = ("engine", "model", "trainer", "image", "bytes", "error")
# Where NULL is a value: no error wanted, no callback, nothing for it, a prompt without a picture, only the count asked.
MAY_BE_NULL = {("hadpo_error **", "error"), ("hadpo_event_fn", "on_event"), ("void *", "user"), ("const hadpo_image *", "image"),
               ("float *", "logps")}
MAY_BE_NULL_IN = {("hadpo_config_complete", "model")}
# More than the schema, so that a call reaches the check of its later arguments.
KEYS = {"hadpo.generate/1": ',\\"max_new_tokens\\":1', "hadpo.score/1": ',\\"question\\":\\"q\\",\\"completion\\":\\"a\\"',
        "hadpo.inspect/1": ',\\"question\\":\\"q\\"'}


def argument(function, type_, name, is_null, locals_):
    """The C text of one argument; what a call makes goes to `locals_` as (declaration, release, is untouched)."""
    if type_.endswith("**"):
        kind = type_.replace("*", "").strip().removeprefix("hadpo_")
        locals_.append((f"hadpo_{kind} *{name} = NULL;", f"hadpo_{kind}_free({name});", f"{name} == NULL", kind))
        return "NULL" if is_null else f"&{name}"
    if type_ == "size_t *":
        locals_.append((f"size_t {name} = 1;", f"(void){name};", f"{name} == 0", "count"))
        return "NULL" if is_null else f"&{name}"
    if type_ == "float *":
        return "NULL" if is_null else "(float[64]){0}"
    if is_null or (type_, name) in {("hadpo_event_fn", "on_event"), ("void *", "user")}:
        return "NULL"
    if type_ == "size_t":
        return {"width": "2", "height": "2", "row_bytes": "6", "capacity": "64"}.get(name, "HADPO_NUL")
    if type_ == "uint64_t":
        return "1"
    if type_ == "hadpo_status":
        return "0"
    if type_ == "const uint8_t *":
        return "(const uint8_t[12]){0}"
    if type_ == "const void *":
        return '"no picture"'
    base = type_.replace("const ", "").replace(" *", "").removeprefix("hadpo_")
    if base in HANDLES:
        return f"h->{base}"
    if type_ == "const char *":
        if name in ("config", "request"):
            return f'"{{\\"schema\\":\\"{function.schema}\\"{KEYS.get(function.schema, "")}}}"'
        return '"hadpo.engine/1"' if name == "schema" else '"no-such-folder/x"' if name in ("path", "directory") else '"{}"'
    raise SystemExit(f"make_calls: {function.name}: no value for {type_} {name}")


def call(function, null, number):
    """One C function that makes the call; it answers whether everything is as promised."""
    locals_, arguments = [], []
    for position, (type_, name) in enumerate(zip(function.parameters, function.names)):
        arguments.append(argument(function, type_, name, position in null, locals_))
    may = all((function.parameters[p], function.names[p]) in MAY_BE_NULL or (function.name, function.names[p]) in MAY_BE_NULL_IN for p in null)
    lines = [f"static int call_{number}(const handles *h)", "{", "    (void)h;", *(f"    {d}" for d, *_ in locals_)]
    made = f"{function.name}({', '.join(arguments)})"
    if function.result == "hadpo_status":
        lines.append(f"    hadpo_status status = {made};")
        untouched = " && ".join(["1"] + [u for _, _, u, kind in locals_ if kind not in ("error", "count")])
        lines.append(f"    int holds = status == HADPO_OK || ({untouched});")
        if not may:
            lines.append("    holds = holds && status == HADPO_E_ARGUMENT;")
        if any(kind == "error" and p not in null for p, kind in enumerate(self_kinds(function))):
            lines.append("    holds = holds && (status == HADPO_OK) == (error == NULL);")
    elif function.result == "const char *":
        lines.append(f"    int holds = {made} != NULL;")
    elif function.result == "void":
        lines += [f"    {made};", "    int holds = 1;"]
    else:
        lines.append(f"    int holds = {made} == 0 || {int(not null)};")
    return "\n".join([*lines, *(f"    {r}" for _, r, *_ in locals_), "    return holds;", "}"])


def self_kinds(function):
    return ["error" if t == "hadpo_error **" else "" for t in function.parameters]


def pointers(function):
    return [p for p, type_ in enumerate(function.parameters) if type_.endswith("*") or type_ == "hadpo_event_fn"]


def main(output):
    calls, table = [], []
    for function in functions():
        places = pointers(function)
        for null in [*([p] for p in places), *([places] if len(places) != 1 else [])]:
            names = "+".join(function.names[p] for p in null) if len(null) < 2 else "everything"
            table.append(f'    {{"{function.name}: {names or "nothing"}", call_{len(calls)}}},')
            calls.append(call(function, null, len(calls)))
    pathlib.Path(output).write_text("\n\n".join(
        ["/* Written by make_calls.py from hadpo.h. */", *calls,
         "static const struct {\n    const char *name;\n    int (*make)(const handles *h);\n} null_calls[] = {\n"
         + "\n".join(table) + "\n};"]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
