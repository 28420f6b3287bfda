"""Reads include/hadpo.h: the functions, their types, and the release each appeared in."""

import pathlib
import re
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parents[2]
HEADER = ROOT / "include" / "hadpo.h"


class Function(NamedTuple):
    name: str
    since: str
    result: str
    parameters: list  # of types, without names

    def signature(self):
        return f"{self.result} ({', '.join(self.parameters) or 'void'})"


def normal(text):
    """One spelling for a type: `const char *`, `hadpo_bytes **`."""
    text = re.sub(r"\s+", " ", text).strip()
    return re.sub(r"\s*(\*+)", r" \1", text.replace("* *", "**"))


def parameter_type(text):
    """`const hadpo_image *image` -> `const hadpo_image *`."""
    match = re.fullmatch(r"(.*?)(\w+)", normal(text))
    return normal(match.group(1))


def functions(path=HEADER):
    """Every exported function, in the header's order."""
    text = path.read_text()
    found, since = [], None
    for part in re.split(r"(/\*.*?\*/)", text, flags=re.S):
        if part.startswith("/*"):
            release = re.search(r"-- .*since (\d+\.\d+)", part)
            since = release.group(1) if release else since
            continue
        for match in re.finditer(r"HADPO_API\s+([\w\s]+?[\s*]+)(hadpo_\w+)\(([^)]*)\);", part):
            result, name, parameters = match.groups()
            listed = [] if parameters.strip() == "void" else [parameter_type(p) for p in parameters.split(",")]
            found.append(Function(name, since, normal(result), listed))
    return found


def constants(path=HEADER):
    """`HADPO_E_BUSY` -> 12 and the version macros."""
    text = path.read_text()
    pairs = re.findall(r"(HADPO_(?:OK|E_\w+))\s*=\s*(\d+)", text)
    pairs += re.findall(r"#define (HADPO_(?:VERSION_\w+|ABI)) (\d+)", text)
    return {name: int(value) for name, value in pairs}
