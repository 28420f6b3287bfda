"""Reads the schema structs in Sources: every key with its type, what it may be and its help.

A schema is a struct whose initialiser asks a ConfigReader for its keys (Sources/HadpoBase/ConfigReader.swift). The calls are
regular enough to be read as text; make_reference.py compares what is found here with what the library answers.
"""

import re
from typing import NamedTuple

from header import ROOT

TYPES = {"bool": "boolean", "int": "integer", "double": "number", "string": "string", "choice": "string",
         "strings": "array of strings", "ints": "array of integers", "doubles": "array of numbers",
         "object": "object", "optionalObject": "object or null", "objects": "array of objects",
         "optionalInt": "integer or null", "optionalDouble": "number or null", "optionalBool": "boolean or null",
         "optionalString": "string or null"}
CLOSING = {"(": ")", "[": "]", "{": "}"}


class Key(NamedTuple):
    path: tuple  # of names; "[]" stands for an element of an array
    type: str
    default: str  # as the source writes it, None for a required key
    allowed: str
    help: str


def without_comment(line):
    """A line of Swift up to a // that no string holds."""
    return next((line[: m.start()] for m in re.finditer("//", line) if line[: m.start()].count('"') % 2 == 0), line)


def skip_string(text, at):
    """The index after the string literal that begins at `at`."""
    at += 1
    while text[at] != '"':
        if text.startswith("\\(", at):
            at = closing(text, at + 1)
        elif text[at] == "\\":
            at += 1
        at += 1
    return at + 1


def closing(text, at):
    """The index of the bracket that closes the one at `at`."""
    want = CLOSING[text[at]]
    at += 1
    while text[at] != want:
        if text[at] == '"':
            at = skip_string(text, at)
        elif text[at] in CLOSING:
            at = closing(text, at) + 1
        else:
            at += 1
    return at


def arguments(text):
    """The arguments of a call as (label or "", text)."""
    found, start, at = [], 0, 0
    while at <= len(text):
        if at == len(text) or text[at] == ",":
            part = text[start:at].strip()
            label = re.match(r"(\w+):\s+", part)
            if part:
                found.append((label.group(1), part[label.end():]) if label else ("", part))
            start = at = at + 1
        elif text[at] == '"':
            at = skip_string(text, at)
        elif text[at] in CLOSING:
            at = closing(text, at) + 1
        else:
            at += 1
    return found


class Sources:
    def __init__(self, root=ROOT):
        self.structs = {}  # name -> bodies
        self.enums = {}  # name -> bodies; a nested enum also as Outer.Name
        for path in sorted((root / "Sources").rglob("*.swift")):
            text = "\n".join(map(without_comment, path.read_text().splitlines()))
            # Only what schemas are made of: other files may hold literals that this reader does not know.
            if "inout ConfigReader" not in text and "CaseIterable" not in text:
                continue
            outers = []  # (name, end) of the types around
            for match in re.finditer(r"\b(struct|enum|class)\s+(\w+)([^{\n]*)\{", text):
                end = closing(text, match.end() - 1)
                outers = [o for o in outers if o[1] > match.start()]
                kind = self.enums if match.group(1) == "enum" else self.structs
                names = {match.group(2), ".".join([*(o[0] for o in outers[-1:]), match.group(2)])}
                for name in names:
                    kind.setdefault(name, []).append(text[match.end() : end])
                outers.append((match.group(2), end))

    def schemas(self):
        """Name -> keys, in the order of the table in Sources/HadpoCAPI/Schemas.swift."""
        table = next(body for body in self.enums["Schemas"] if "static let names" in body)
        cases = re.findall(r'case "(hadpo\.[\w-]+/\d+)":\s+return try body\.use\(name(?:, |\) \{ r throws\(HadpoError\) in\s+try )(\w+)(?:\.init|\(&r)', table)
        return {name: self.keys(self.struct(type_, ""), ()) for name, type_ in cases}

    def struct(self, name, inside):
        """The body of a struct: the one that is nested in `inside`, else the only one that reads a configuration."""
        nested = re.search(rf"\bstruct\s+{name}\b[^{{\n]*\{{", inside)
        if nested:
            return inside[nested.end() : closing(inside, nested.end() - 1)]
        found = [body for body in self.structs.get(name, []) if "inout ConfigReader" in body]
        if len(found) != 1:
            raise SystemExit(f"schemas: {len(found)} structs {name} read a configuration")
        return found[0]

    def keys(self, struct, path):
        bodies, depth_0 = [], struct
        for nested in list(re.finditer(r"\b(?:struct|enum)\s+\w+[^{\n]*\{", struct))[::-1]:
            end = closing(struct, nested.end() - 1)
            depth_0 = depth_0[: nested.start()] + " " * (end + 1 - nested.start()) + depth_0[end + 1 :]
        for match in re.finditer(r"\binit\(\s*_ r: inout ConfigReader[^{]*\{", depth_0):
            bodies.append(struct[match.end() : closing(struct, match.end() - 1)])
        body = next((b for b in bodies if "self.init(&r" not in b), None)
        if body is None:
            raise SystemExit(f"schemas: no initialiser at /{'/'.join(path)}")
        return self.calls(body, struct, path)

    def calls(self, body, struct, path):
        found, at = [], 0
        pattern = re.compile(rf"\br\.({'|'.join(sorted(TYPES, key=len, reverse=True))})\(|\b([A-Z]\w*)\(&r\b")
        while match := pattern.search(body, at):
            if match.group(2):
                found += self.keys(self.struct(match.group(2), struct), path)
                at = match.end()
                continue
            end = closing(body, match.end() - 1)
            given, method = arguments(body[match.end() : end]), match.group(1)
            by_label = dict(reversed(given))
            at = end + 1
            if not given[0][1].startswith('"'):
                found += [Key((*path, name), TYPES[method], self.default(method, by_label), "", help_)
                          for name, help_ in self.looped(body[: match.start()], struct)]
                continue
            key = self.text(given[0][1], struct)
            inner = re.compile(r"\s*\{").match(body, at)
            here = (*path, key)
            allowed = self.allowed(method, by_label, body[: match.start()], struct)
            help_ = self.text(by_label.get("help", '""'), struct)
            found.append(Key(here, TYPES[method], self.default(method, by_label), allowed, help_))
            if not method.lower().endswith(("object", "objects")):
                continue
            below = (*here, "[]") if method == "objects" else here
            if inner:
                end = closing(body, inner.end() - 1)
                found += self.calls(body[inner.end() : end], struct, below)
                at = end + 1
            else:
                found += self.keys(self.struct(given[-1][1].removesuffix(".init"), struct), below)
        return found

    def looped(self, before, struct):
        """Keys asked for in a loop over an enum and as many helps."""
        loop = re.findall(r"for \(\w+, \w+\) in zip\((\w+)\.allCases, (\w+)\)", before)
        helps = loop and re.search(rf"let {loop[-1][1]} = (\[.*?\])", before, flags=re.S)
        if not helps:
            raise SystemExit("schemas: a key that is no literal")
        return list(zip(self.cases(loop[-1][0], struct), re.findall(r'"([^"]*)"', helps.group(1))))

    @staticmethod
    def default(method, by_label):
        if method in ("object", "objects"):
            return "{}" if method == "object" else "[]"
        return "null" if method.startswith("optional") else by_label.get("default")

    def allowed(self, method, by_label, before, struct):
        if method != "choice":
            return interval(by_label["in"]) if "in" in by_label else ""
        if "of" in by_label:
            return " ".join(re.findall(r'"([^"]*)"', by_label["of"]))
        # The type stands before the call, or at the default, or at the property that takes the value.
        target = re.search(r"(\w+)(?::\s*([\w.]+))?\s*=\s*try\s*$", before)
        default = re.match(r"((?:[A-Z]\w*\.)*[A-Z]\w*)[.(]", by_label.get("default", ""))
        property_ = target and re.search(rf"\blet {target.group(1)}: ([\w.]+)", struct)
        name = (target and target.group(2)) or (default and default.group(1)) or (property_ and property_.group(1))
        if not name:
            raise SystemExit(f"schemas: no type for the choice {by_label}")
        return " ".join(self.cases(name, struct))

    def cases(self, name, struct=""):
        nested = re.search(rf"\benum\s+{name}\b[^{{\n]*\{{", struct)
        if nested:
            bodies = [struct[nested.end() : closing(struct, nested.end() - 1)]]
        else:
            bodies = self.enums.get(".".join(name.split(".")[-2:])) or self.enums.get(name.split(".")[-1], [])
        if len(bodies) != 1:
            raise SystemExit(f"schemas: {len(bodies)} enums {name}")
        names = []
        for line in re.findall(r"^\s*case\s+(.+)$|\bcase\s+([\w\s,=\"`.-]+)$", bodies[0].split("\n\n")[0].strip(), flags=re.M):
            for case, raw in re.findall(r'`?(\w+)`?(?:\s*=\s*"([^"]*)")?', re.sub(r"//.*", "", line[0] or line[1])):
                names.append(raw or case)
        return names

    def text(self, literal, struct):
        """A string literal, or several added up; an enum's names put in."""
        pieces = []
        at = 0
        while (at := literal.find('"', at)) >= 0:
            end = skip_string(literal, at)
            pieces.append(literal[at + 1 : end - 1])
            at = end
        text = "".join(pieces)
        text = re.sub(r'\\\((\w+)\.allCases\.map\(\\\.rawValue\)\.joined\(separator: " "\)\)',
                      lambda m: " ".join(self.cases(m.group(1), struct)), text)
        # What the code computes stands among the defaults.
        text = re.sub(r":? *\\\(.*", "", text)
        return text.replace('\\"', '"')


def interval(text):
    """`0...1 << 20` as the library's own messages write it."""
    def number(part):
        part = part.strip().replace("_", "")
        shift = re.fullmatch(r"(\d+) << (\d+)", part)
        return str(int(shift.group(1)) << int(shift.group(2))) if shift else part
    low, high = (number(part) for part in text.split("..."))
    return f"{low} or more" if high == "Int.max" else f"{low}...{high}"
