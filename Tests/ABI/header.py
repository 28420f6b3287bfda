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
    names: list  # of the parameters
    schema: str  # of its config or request, where the comment above it names one
    comment: str  # above it, or at the end of its line
    group: str  # of functions in the header, such as "engine and images"
    threads: str  # "any" or "one", by its mark or its group's; "one" without

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


def words(comment):
    """A comment's text, its marks and line ends gone."""
    return re.sub(r"\s+", " ", re.sub(r"^\s*/?\*+/?|\*/$", " ", comment, flags=re.M)).strip()


def manners(path=HEADER):
    """`threads` -> what the header's first comment says about it."""
    lines = re.match(r"/\*.*?\*/", path.read_text(), flags=re.S).group().removesuffix("*/").splitlines()
    found = {}
    for line in lines[2:]:
        name, text = line[3:12].strip(), line[12:].strip()
        name = name or list(found)[-1]
        found[name] = f"{found.get(name, '')} {text}".strip()
    return found


def handles(path=HEADER):
    """`hadpo_engine` -> what its comment says it is."""
    return dict(re.findall(r"typedef struct \w+\s+(\w+);\s*/\* (.*?) \*/", path.read_text()))


def callback(path=HEADER):
    """The callback's declaration and the comment above it."""
    comment, declared = re.search(r"(/\*[^/]*?\*/)\n(typedef \w+ \(\*hadpo_event_fn\).*?;)", path.read_text()).groups()
    return declared, words(comment)


def functions(path=HEADER):
    """Every exported function, in the header's order."""
    text = path.read_text()
    found, since, group, mark, above = [], None, "", "", ""
    for part in re.split(r"(/\*.*?\*/)", text, flags=re.S):
        if part.startswith("/*"):
            release = re.search(r"-- (.*), since (\d+\.\d+)( \[any\])?", part)
            group, since, mark = release.groups() if release else (group, since, mark)
            above = "" if release else words(part)
            if found and at_end_of_line:
                found[-1] = found[-1]._replace(comment=f"{found[-1].comment} {above}".strip())
                above = ""
            continue
        at_end_of_line = False
        for match in re.finditer(r"HADPO_API\s+([\w\s]+?[\s*]+)(hadpo_\w+)\(([^)]*)\);", part):
            result, name, parameters = match.groups()
            listed = [] if parameters.strip() == "void" else parameters.split(",")
            schema = re.search(r'(?:config|request): "(hadpo\.[\w-]+/\d+)"', above)
            found.append(Function(name, since, normal(result), [parameter_type(p) for p in listed],
                                  [re.search(r"\w+$", p.strip()).group() for p in listed], schema.group(1) if schema else "",
                                  above, group, "any" if mark else "one"))
            above, at_end_of_line = "", "\n" not in part[match.end():]
    return [f._replace(threads="any" if "[any]" in f.comment else f.threads) for f in found]


def constants(path=HEADER):
    """`HADPO_E_BUSY` -> 12 and the version macros."""
    text = path.read_text()
    pairs = re.findall(r"(HADPO_(?:OK|E_\w+))\s*=\s*(\d+)", text)
    pairs += re.findall(r"#define (HADPO_(?:VERSION_\w+|ABI)) (\d+)", text)
    return {name: int(value) for name, value in pairs}
