#!/usr/bin/env python3
"""Writes docs/reference.md: every function of hadpo.h, every key of every schema.

usage: make_reference.py [LIBRARY]          compare the page, the structs and the library (nothing without a library)
       make_reference.py LIBRARY --write    write the page

Functions come from the header, keys and their help from the schema structs, defaults from the library, which also says whether the
structs were read rightly: the same schemas with the same keys.
"""

import ctypes
import json
import re
import sys

from header import ROOT, callback, constants, functions, handles, manners
from schemas import Sources

PAGE = ROOT / "docs" / "reference.md"
RESULTS = ROOT / "docs" / "results.md"  # has a section for each function that answers with JSON
WIDTH = 100  # of a declaration
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


def link(schema):
    return f"[{schema}](#{re.sub(r'[^a-z0-9-]', '', schema)})"


def declaration(function):
    """As the header would write it: wrapped behind the bracket."""
    parameters = [f"{t}{'' if t.endswith('*') else ' '}{n}" for t, n in zip(function.parameters, function.names)] or ["void"]
    start = f"{function.result}{'' if function.result.endswith('*') else ' '}{function.name}("
    lines = [start]
    for index, parameter in enumerate(parameters):
        piece = parameter + (");" if index + 1 == len(parameters) else ",")
        if len(lines[-1]) + len(piece) > WIDTH and lines[-1].strip():
            lines[-1] = lines[-1].rstrip()
            lines.append(" " * len(start))
        lines[-1] += piece + " "
    return [line.rstrip() for line in lines]


def sentences(function):
    """The header's comment without its marks, which stand in a line of their own."""
    text = re.sub(r",? ?\[(any|one)\],? ?", " ", function.comment).strip()
    if function.name.endswith("_free"):
        return "NULL is accepted."
    text = re.sub(r'^(config|request): "(hadpo\.[\w-]+/\d+)"', lambda m: f"`{m.group(1)}`: {link(m.group(2))}", text)
    text = text[:1].upper() + text[1:] if text and not text.startswith("`") else text
    return prose(text and text.rstrip(".") + ".")


def manner(function):
    """What a caller with several threads has to know."""
    if function.name.endswith("_free"):
        return "Any thread, once no call uses it"
    return "Any thread" if function.threads == "any" else "One call at a time per engine"


def function_part(declared):
    lines, group = ["| group | functions |", "|---|---|"], None
    answering = set(re.findall(r"^### (hadpo_\w+)$", RESULTS.read_text(), flags=re.M))
    for name in dict.fromkeys(f.group for f in declared):
        lines.append(f"| {name} | {', '.join(f'[`{f.name}`](#{f.name})' for f in declared if f.group == name)} |")
    for function in declared:
        if function.group != group:
            group = function.group
            lines += ["", f"### {group[0].upper()}{group[1:]}"]
        lines += ["", f"#### {function.name}", "", "```c", *declaration(function), "```", ""]
        answer = f"[What it answers](results.md#{function.name}). " if function.name in answering else ""
        lines.append(f"{sentences(function)} {answer}{manner(function)}. Since {function.since}.".strip())
    return lines


def type_part(declared):
    lines = ["| handle | what | made by |", "|---|---|---|"]
    for name, what in handles().items():
        made = [f.name for f in declared if f"{name} **" in f.parameters]
        most = {"hadpo_error": "any call that fails", "hadpo_bytes": "any call with a text for a result"}.get(name)
        lines.append(f"| `{name}` | {cell(what)} | {most or ', '.join(f'[`{m}`](#{m})' for m in made)} |")
    declared, comment = callback()
    return [*lines, "", "```c", declared, "```", "", comment]


def manner_part():
    lines = ["| | |", "|---|---|"]
    return lines + [f"| {name} | {cell(text)} |" for name, text in manners().items()]


def prose(text):
    """Markdown takes `<image>` for a tag and shows nothing."""
    return text.replace("<", "&lt;")


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


def schema_part(library, schema, keys, problems):
    defaults = flat(library.defaults(schema)) if schema in library.schemas() else {}
    if defaults:
        compare(schema, keys, defaults, problems)
    lines = [f"### {schema}", "",
             "| key | type | default | what |", "|---|---|---|---|"]
    for key in keys:
        is_range = "..." in key.allowed or key.allowed.endswith(" or more")
        allowed = f" ({key.allowed if is_range else key.allowed.replace(' ', ', ')})" if key.allowed else ""
        lines.append(f"| `{pointer(key.path)}` | {cell(key.type + allowed)} | {cell(shown(key, defaults))} | {cell(prose(key.help))} |")
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
    lines = ["# Reference", "",
             "Written by `make reference` from `include/hadpo.h`, the schema structs in `Sources` and the built library; `make check`",
             "compares. [results.md](results.md) lists what calls answer and what events hold, [abi.md](abi.md) what of it stays.", "", "## What holds for every call", "", *manner_part(), "",
             "## Types", "", *type_part(declared), "",
             "## Functions", "", *function_part(declared), "", "## Status", "", "| number | name |", "|---|---|"]
    for name, number in constants().items():
        if name == "HADPO_OK" or name.startswith("HADPO_E_"):
            shown = f"`{name}`" if number == 0 else f"[`{name}`](troubleshooting.md#{name.lower()})"
            lines.append(f"| {number} | {shown} |")
            if library.status_name(number) != name:
                problems.append(f"{number} is {name} in the header, {library.status_name(number)} in the library")
    lines += ["", "## Schemas", "",
              "A configuration is a JSON object whose key `schema` names one of these. A key that is left out has its default; a key that is",
              "not listed is an error. `hadpo config SCHEMA` and `hadpo_config_default` print all keys. `a/b` is the key `b` in the object `a`,",
              "`a[]/b` the key `b` in each object of the array `a`.", "", "| schema | read by |", "|---|---|"]
    readers = {schema: [f.name for f in declared if f.schema == schema] for schema in sources}
    lines += [f"| {link(schema)} | {', '.join(f'[`{r}`](#{r})' for r in readers[schema])} |" for schema in sources] + [""]
    for schema, keys in sources.items():
        if not readers[schema]:
            problems.append(f"{schema}: no function of the header reads it")
        problems += [f"{schema}: /{pointer(k.path)} has no help" for k in keys if not k.help]
        lines += schema_part(library, schema, keys, problems)
    return "\n".join(lines).rstrip() + "\n"


def main(arguments):
    if not arguments:
        print("make_reference: docs/reference.md NOT compared, there is no library (make builds it)")
        return 0
    library, problems = Library(arguments[0]), []
    text = page(library, problems)
    if arguments[1:] == ["--write"]:
        PAGE.write_text(text)
    elif not PAGE.exists() or PAGE.read_text() != text:
        problems.append("docs/reference.md is not what header, structs and library say: make reference")
    for problem in problems:
        print(problem)
    print(f"make_reference: {len(functions())} functions, {text.count('### hadpo.')} schemas, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
