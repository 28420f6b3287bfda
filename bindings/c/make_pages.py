#!/usr/bin/env python3
"""Writes the manual page and the shell completions of the command-line tool from what its --help says.

usage: make_pages.py TOOL FOLDER     writes FOLDER/hadpo.1, hadpo.bash, _hadpo (zsh), hadpo.fish

Made at every build, so that they cannot drift from the tool. `make install` puts them in their places.
"""

import pathlib
import re
import subprocess
import sys
from typing import NamedTuple


class Flag(NamedTuple):
    letter: str
    name: str
    metavar: str
    help: str


class Command(NamedTuple):
    name: str
    summary: str
    usage: str
    parts: list  # (title, [Flag])
    teaching: str

    def flags(self):
        return [flag for _, flags in self.parts for flag in flags]


def help_of(tool, *words):
    return subprocess.run([tool, *words, "--help"], check=True, capture_output=True, text=True).stdout


def read_command(tool, name, summary):
    text = help_of(tool, *name.split())
    usage = re.search(r"^usage: (.*)$", text, re.M).group(1)
    parts, teaching, flags = [], [], None
    for block in text.split("\n\n")[2:]:
        lines = block.splitlines()
        if not teaching and len(lines) > 1 and re.match(r"  (-\w|  ) --\w", lines[1]):
            flags = []
            for line in lines[1:]:
                found = re.match(r"  (?:-(\w)|  ) --([\w-]+)(?: (\S+))?(?:\s{2,}(.*))?$", line)
                if found:
                    flags.append(Flag(*[group or "" for group in found.groups()]))
                else:  # a help of several lines
                    flags[-1] = flags[-1]._replace(help=f"{flags[-1].help} {line.strip()}".strip())
            parts.append((lines[0], flags))
        else:
            teaching.append(block)
    if flags is None:
        raise SystemExit(f"make_pages: `hadpo {name} --help` lists no flags")
    return Command(name, summary, usage, parts, "\n\n".join(teaching).rstrip())


def read_tool(tool):
    text = help_of(tool)
    listed = re.findall(r"^  (\w+(?: \w+)?) {2,}(\S.*)$", text.split("\n\nBegin")[0], re.M)
    rest = text[text.index("\nBegin"):].strip()
    return [read_command(tool, *entry) for entry in listed], rest


# ---- manual page


def roff(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.M)


def verbatim(text):
    return f".PP\n.nf\n{roff(text)}\n.fi"


def manual(commands, rest, version):
    lines = [f'.TH HADPO 1 "" "hadpo {version}" "User Commands"', ".SH NAME",
             "hadpo \\- measure how much a vision\\-language model invents, and train it to invent less", ".SH SYNOPSIS",
             ".B hadpo", "COMMAND [flags]", ".PP", ".B hadpo", "COMMAND \\-\\-help", ".SH COMMANDS"]
    for command in commands:
        lines += [".TP", f".B {roff(command.name)}", roff(command.summary)]
    lines += [".SH DESCRIPTION", verbatim(rest)]
    for command in commands:
        lines += [f'.SH "HADPO {command.name.upper()}"', roff(command.summary) + ".", ".PP", roff(command.usage)]
        for title, flags in command.parts:
            lines.append(f'.SS "{roff(title)}"')
            for flag in flags:
                letter = f"\\-{flag.letter}, " if flag.letter else ""
                lines += [".TP", f"{letter}\\fB\\-\\-{roff(flag.name)}\\fR \\fI{roff(flag.metavar)}\\fR", roff(flag.help)]
        if command.teaching:
            lines.append(verbatim(command.teaching))
    lines += [".SH SEE ALSO", "The header hadpo.h documents the library; https://arxiv.org/abs/2311.16839 the method."]
    return "\n".join(lines) + "\n"


# ---- completions


def names(command):
    return [f"--{flag.name}" for flag in command.flags()] + [f"-{flag.letter}" for flag in command.flags() if flag.letter]


def bash(commands):
    cases = "\n".join(f'        "{c.name}") words="{" ".join(names(c))}" ;;' for c in commands)
    seconds = {}
    for command in commands:
        if " " in command.name:
            first, second = command.name.split()
            seconds.setdefault(first, []).append(second)
    firsts = " ".join(dict.fromkeys(c.name.split()[0] for c in commands))
    nested = "\n".join(f'        {first}) seconds="{" ".join(words)}" ;;' for first, words in seconds.items())
    return f"""# bash completion for hadpo; written by make_pages.py from its --help
_hadpo() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} name=${{COMP_WORDS[1]:-}} words= seconds=
    COMPREPLY=()
    if [ "$COMP_CWORD" = 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "{firsts} --help" -- "$word")
        return
    fi
    case $name in
{nested}
    esac
    if [ "$COMP_CWORD" -gt 2 ] && [[ " $seconds " == *" ${{COMP_WORDS[2]}} "* ]]; then name="$name ${{COMP_WORDS[2]}}"; fi
    case $name in
{cases}
    esac
    if [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
    else
        [ "$COMP_CWORD" = 2 ] && mapfile -t COMPREPLY < <(compgen -W "$seconds" -- "$word")
        mapfile -t -O "${{#COMPREPLY[@]}}" COMPREPLY < <(compgen -f -- "$word")
    fi
}}
complete -o filenames -F _hadpo hadpo
"""


def quoted(text):
    return "'" + text.replace("'", "'\\''") + "'"


def zsh(commands):
    def spec(flag):
        text = flag.help.replace("[", "(").replace("]", ")").replace(":", "\\:")
        value = f":{flag.metavar}:_files" if flag.metavar else ""
        return "\n".join("            " + quoted(f"*{option}[{text}]{value}") + " \\"
                         for option in ([f"-{flag.letter}"] if flag.letter else []) + [f"--{flag.name}"])
    listed = "\n".join("        " + quoted(f"{c.name}:{c.summary}") for c in commands if " " not in c.name)
    cases = "\n".join(f"    {quoted(c.name)})\n        _arguments \\\n" + "\n".join(spec(f) for f in c.flags())
                      + "\n            '*:file:_files' ;;" for c in commands)
    pairs = "|".join(quoted(c.name) for c in commands if " " in c.name)
    return f"""#compdef hadpo
# zsh completion for hadpo; written by make_pages.py from its --help
local name=${{words[2]}}
if (( CURRENT == 2 )); then
    local -a commands
    commands=(
{listed}
    )
    _describe command commands
    return
fi
case "$name ${{words[3]}}" in
    ({pairs}) name="$name ${{words[3]}}" ;;
esac
case $name in
{cases}
esac
"""


def fish(commands):
    lines = ["# fish completion for hadpo; written by make_pages.py from its --help"]
    for command in commands:
        if " " not in command.name:
            lines.append(f"complete -c hadpo -n __fish_use_subcommand -f -a {command.name} -d {quoted(command.summary)}")
    for command in commands:
        words = command.name.split()
        test = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in words)
        if len(words) == 2:
            lines.append(f"complete -c hadpo -n '__fish_seen_subcommand_from {words[0]}' -a {words[1]} -d {quoted(command.summary)}")
        for flag in command.flags():
            letter = f" -s {flag.letter}" if flag.letter else ""
            value = " -r" if flag.metavar else ""
            lines.append(f"complete -c hadpo -n '{test}'{letter} -l {flag.name}{value} -d {quoted(flag.help)}")
    return "\n".join(lines) + "\n"


def main(tool, folder):
    commands, rest = read_tool(tool)
    version = subprocess.run([tool, "version"], check=True, capture_output=True, text=True).stdout.split()[1]
    out = pathlib.Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    (out / "hadpo.1").write_text(manual(commands, rest, version))
    (out / "hadpo.bash").write_text(bash(commands))
    (out / "_hadpo").write_text(zsh(commands))
    (out / "hadpo.fish").write_text(fish(commands))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
