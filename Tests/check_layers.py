#!/usr/bin/env python3
"""Checks Sources against the layer table in Package.swift and the few rules a compiler does not know.

- a target imports only what the table lists for it; the table lists only lower layers;
- no Foundation and no Dispatch: they would make the library ten times as large;
- nothing that ends the process or prints: the host is not ours to kill or to write to;
- numbers of a file or a host: a floating-point number becomes an integer by `Int(exactly:)` alone, as `Int(_:)` ends the process where it
  is infinite, no number or too large; an integer of a JSON text is not computed with where it is read, but checked first;
- `public` only at the edge: other layers see each other through `package`;
- the command-line tool shows text through plain.c alone, which keeps strangers' control characters from the terminal.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
SYSTEM = {"Glibc", "Synchronization"}
FORBIDDEN = {"Foundation", "FoundationEssentials", "Dispatch"}
IMPORT = re.compile(r"^\s*(?:@\w+\s+)*(?:(?:public|package|internal|fileprivate|private)\s+)?"
                    r"import\s+(?:(?:struct|class|enum|protocol|func|var|let|typealias)\s+)?(\w+)", re.M)
TRAPS = re.compile(r"\bfatalError\(|\bpreconditionFailure\(|\bprecondition\(|\bassertionFailure\(|\btry!|\bas!|"
                   r"\bprint\(|\bdebugPrint\(|\bexit\(|\babort\(")
FROM_FLOAT = re.compile(r"(?<![\w.])U?Int(?:8|16|32|64)?\((?!\w+:)")
COMPUTED = re.compile(r"\bintValue\b(?:\s*\?\?\s*[\w.]+)?\s*\)*\s*(?:[-+*/%]=?|<<)\s|[-+*/%]\s+\w+(?:\[[^\]\n]*\])*\??\.intValue\b")
TERMINAL = re.compile(r"(?<!\w)(?:v?f?printf|f?puts|putchar|f?putc|fwrite|perror)\(")
# One pattern for strings and comments, so that `//` inside a string is not taken for a comment.
STRING_OR_COMMENT = re.compile(r'"""(?:\\.|.)*?"""|"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?\*/', re.S)


def layer_table():
    """target -> what it may import, in the order of Package.swift."""
    text = (ROOT / "Package.swift").read_text()
    table = re.search(r"let layers[^\n]*= \[\n(.*?)\n\]", text, re.S).group(1)
    return {name: re.findall(r'"(\w+)"', imports) for name, imports in re.findall(r'\(\s*"(\w+)",\s*\[(.*?)\]', table, re.S)}


def code_of(path):
    """The file without comments and string contents, line numbers kept."""
    def blank(match):
        keep = "\n" * match.group().count("\n")
        return keep if match.group().startswith("/") else '"' + keep + '"'
    return STRING_OR_COMMENT.sub(blank, path.read_text())


FLOATING = re.compile(r"\.rounded\(|\.squareRoot\(|log10\(|log2\(|\blog\(|pow\(|floor\(|ceil\(|sqrt\(|\bDouble\(|\bFloat\(|doubleValue")


def within_call(code, opening, pattern):
    """Whether `pattern` stands between the parenthesis at `opening` and the one that closes it."""
    depth = 0
    for place in range(opening, len(code)):
        depth += {"(": 1, ")": -1}.get(code[place], 0)
        if depth == 0:
            return pattern.search(code, opening, place) is not None
    return False


def check_file(path, target, allowed, problems):
    code = code_of(path)

    def report(position, text):
        line = code.count("\n", 0, position) + 1
        problems.append(f"{path.relative_to(ROOT)}:{line}: {text}")

    for match in IMPORT.finditer(code):
        module = match.group(1)
        if module in FORBIDDEN:
            report(match.start(1), f"imports {module}; the library does without")
        elif module not in allowed and module not in SYSTEM:
            report(match.start(1), f"{target} imports {module}; Package.swift allows {', '.join(allowed)}")
    for match in TRAPS.finditer(code):
        report(match.start(), f"{match.group()} ends the host or prints; throw a HadpoError instead")
    for match in FROM_FLOAT.finditer(code):
        if within_call(code, match.end() - 1, FLOATING):
            report(match.start(), f"{match.group()}...) of a floating-point number ends the process where it does not fit; Int(exactly:)")
    for match in COMPUTED.finditer(code):
        report(match.start(), "computes with a file's integer before it is checked")
    if target != "HadpoCAPI":
        for match in re.finditer(r"\bpublic\s+(?!import)|\bopen\s+class\b", code):
            report(match.start(), "public below the edge; use package")


def main():
    problems, files, lower = [], 0, set()
    table = layer_table()
    for folder in sorted((ROOT / "Sources").glob("Hadpo*")):
        if folder.name not in table:
            problems.append(f"Package.swift: {folder.name} is not in the layer table")
    for target, allowed in table.items():
        for module in allowed:
            if module not in lower and not module.startswith("CHadpo"):
                problems.append(f"Package.swift: {target} lists {module}, which is not a lower layer")
        lower.add(target)
        for path in sorted((ROOT / "Sources" / target).rglob("*.swift")):
            files += 1
            check_file(path, target, allowed, problems)
    for path in sorted((ROOT / "bindings/c/cli").glob("*.c")):
        code = code_of(path)
        for match in TERMINAL.finditer(code if path.name != "plain.c" else ""):
            line = code.count("\n", 0, match.start()) + 1
            problems.append(f"{path.relative_to(ROOT)}:{line}: {match.group()} shows text as it is; use say or complain")
    for problem in problems:
        print(problem)
    print(f"check_layers: {files} files in {len(lower)} layers, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
