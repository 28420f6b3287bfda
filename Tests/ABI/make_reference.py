#!/usr/bin/env python3
"""Writes docs/reference.md: every function of hadpo.h, every key of every schema.

usage: make_reference.py LIBRARY            compare the page, the structs and the library
       make_reference.py LIBRARY --write    write the page

Functions come from the header, keys and their help from the schema structs, defaults from the library, which also says whether the
structs were read rightly: the same schemas with the same keys.
"""

import ctypes
import json
import re
import sys

from header import ROOT, constants, functions
from schemas import Sources

PAGE = ROOT / "docs" / "reference.md"
FAMILY_KEYS = ("recipe", "protocol")  # whose value other defaults follow
# What no single key requires and a configuration does.
NEEDED = {"hadpo.train/1": {"data": {"desc": "x"}}, "hadpo.shr-describe/1": {"shr": "x"}}


class Library:
    def __init__(self, path):
        self.c = ctypes.CDLL(path)
        self.c.hadpo_bytes_data.restype = self.c.hadpo_status_name.restype = self.c.hadpo_error_json.restype = ctypes.c_char_p
        for name in ("bytes_data", "bytes_free", "error_json", "error_free"):
            getattr(self.c, f"hadpo_{name}").argtypes = [ctypes.c_void_p]

    def _json(self, function, *arguments):
        result, error = ctypes.c_void_p(), ctypes.c_void_p()
        if function(*arguments, ctypes.byref(result), ctypes.byref(error)) != 0:
            raise SystemExit(f"make_reference: {arguments[0].decode()}: {self.c.hadpo_error_json(error).decode()}")
        text = self.c.hadpo_bytes_data(result).decode()
        self.c.hadpo_bytes_free(result)
        return json.loads(text)

    def defaults(self, schema):
        return self._json(self.c.hadpo_config_default, schema.encode())

    def resolved(self, config):
        return self._json(self.c.hadpo_config_resolve, json.dumps(config).encode(), ctypes.c_size_t(-1))

    def schemas(self):
        """The names of all schemas, from what the library says about one that does not exist."""
        error = ctypes.c_void_p()
        self.c.hadpo_config_default(b"?", ctypes.byref(ctypes.c_void_p()), ctypes.byref(error))
        names = json.loads(self.c.hadpo_error_json(error))["expected"].split(", ")
        self.c.hadpo_error_free(error)
        return names

    def status_name(self, number):
        return self.c.hadpo_status_name(number).decode()


def flat(value, path=()):
    """Path -> value of everything in an object."""
    found = {}
    for key, inner in value.items():
        found[(*path, key)] = inner
        if isinstance(inner, dict):
            found.update(flat(inner, (*path, key)))
    return found


def compare(schema, keys, defaults, problems):
    """The keys that the structs and the library do not share; below null and in arrays the library shows none."""
    hidden = [k.path for k in keys if defaults.get(k.path, None) is None or k.type == "array of objects"]
    listed = {k.path for k in keys if not any(k.path != h and k.path[: len(h)] == h for h in hidden)}
    for path in sorted(listed ^ (set(defaults) - {("schema",)})):
        problems.append(f"{schema}: /{'/'.join(path)} is only in the {'structs' if path in listed else 'library'}")


def by_family(library, schema, keys, defaults):
    """Key path -> its defaults under each value of the schema's recipe or protocol, where they differ."""
    leading = next((k for k in keys if k.path in [(name,) for name in FAMILY_KEYS]), None)
    if not leading or leading.path not in defaults:
        return None, [], {}
    required = {k.path[0]: "x" for k in keys if len(k.path) == 1 and k.default is None}
    config = {"schema": schema, **required, **NEEDED.get(schema, {})}
    names = leading.allowed.split()
    each = [flat(library.resolved({**config, leading.path[0]: name})) for name in names]
    rows = {path: [e[path] for e in each] for path in each[0]
            if path != leading.path and not isinstance(each[0][path], dict) and any(e[path] != each[0][path] for e in each)}
    return leading.path[0], names, rows


def sentence(comment):
    if comment and not comment.startswith(("config:", "request:")):
        comment = comment[0].upper() + comment[1:]
    return f"{comment.rstrip('.')}. " if comment else ""


def cell(text):
    return text.replace("|", "\\|").replace("\n", " ")


def shown(key, defaults):
    if key.default is None:
        return "required"
    if key.type == "object":
        return ""
    if key.path in defaults:
        return f"`{json.dumps(defaults[key.path], ensure_ascii=False)}`"
    return shown_source(key)


def shown_source(key):
    """The default of a key below null or in an array, which the library does not show: as the source has it."""
    either = re.fullmatch(r'(\w+) != nil \? (".*?") : (".*?")', key.default)
    if either:
        return f"`{either.group(2)}` with `{either.group(1)}`, else `{either.group(3)}`"
    text = re.sub(r"(?<=\d)_(?=\d)", "", key.default)
    text = re.sub(r"[\w.]+\.(\w+)\.rawValue", r'"\1"', text)
    if re.fullmatch(r"\w*(\.\w+)+", text) and not text[0].isdigit():
        text = f'"{text.split(".")[-1]}"'  # a case of an enum
    elif key.type == "number":
        text = json.dumps(float(text))
    return f"`{text}`"


def pointer(path):
    return "/".join(path).replace("/[]", "[]")


def schema_part(library, schema, keys, callers, problems):
    defaults = flat(library.defaults(schema)) if schema in library.schemas() else {}
    if defaults:
        compare(schema, keys, defaults, problems)
    lines = [f"### {schema}", "", f"Read by {', '.join(f'`{c}`' for c in callers)}.", "",
             "| key | type | default | what |", "|---|---|---|---|"]
    for key in keys:
        is_range = "..." in key.allowed or key.allowed.endswith(" or more")
        allowed = f" ({key.allowed if is_range else key.allowed.replace(' ', ', ')})" if key.allowed else ""
        lines.append(f"| `{pointer(key.path)}` | {cell(key.type + allowed)} | {cell(shown(key, defaults))} | {cell(key.help)} |")
    leading, names, rows = by_family(library, schema, keys, defaults)
    if rows:
        lines += ["", f"What follows `{leading}`:", "", f"| key | {' | '.join(names)} |", "|---|" + "---|" * len(names)]
        lines += [f"| `{pointer(p)}` | {' | '.join(cell(f'`{json.dumps(v)}`') for v in values)} |" for p, values in rows.items()]
    return [*lines, ""]


def page(library, problems):
    sources = Sources().schemas()
    if set(sources) != set(library.schemas()):
        problems.append(f"schemas only on one side: {set(sources) ^ set(library.schemas())}")
    declared = functions()
    lines = ["# Reference", "", "Written by `Tests/ABI/make_reference.py` from `include/hadpo.h` and the schema structs; `make",
             "check-reference` compares. The header's first comment says what holds for every call.", "", "## Functions", ""]
    for function in declared:
        parameters = ", ".join(f"{t}{'' if t.endswith('*') else ' '}{n}" for t, n in zip(function.parameters, function.names))
        result = function.result if function.result.endswith("*") else function.result + " "
        lines += ["```c", f"{result}{function.name}({parameters or 'void'});", "```", "",
                  f"{sentence(function.comment)}Since {function.since}.", ""]
    lines += ["## Status", "", "| number | name |", "|---|---|"]
    for name, number in constants().items():
        if name == "HADPO_OK" or name.startswith("HADPO_E_"):
            lines.append(f"| {number} | `{name}` |")
            if library.status_name(number) != name:
                problems.append(f"{number} is {name} in the header, {library.status_name(number)} in the library")
    lines += ["", "[troubleshooting.md](troubleshooting.md) says what to do about each.", "", "## Schemas", "",
              "A configuration is a JSON object whose key `schema` names one of these. A key that is left out has its default; a key that is",
              "not listed is an error. `hadpo config SCHEMA` and `hadpo_config_default` print all keys.", ""]
    for schema, keys in sources.items():
        lines += schema_part(library, schema, keys, [f.name for f in declared if f.schema == schema], problems)
    return "\n".join(lines).rstrip() + "\n"


def main(arguments):
    library, problems = Library(arguments[0]), []
    text = page(library, problems)
    if arguments[1:] == ["--write"]:
        PAGE.write_text(text)
    elif not PAGE.exists() or PAGE.read_text() != text:
        problems.append("docs/reference.md is not what header, structs and library say: make reference")
    for problem in problems:
        print(problem)
    print(f"make_reference: {len(functions())} functions, {text.count('### ')} schemas, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
