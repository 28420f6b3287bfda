"""What a folder holds, with what differs between two runs of one command taken out, and what no run may leave."""

import json
import re
import struct

TIMES = {"seconds", "date", "Date", "created", "elapsed", "latency", "tokens_per_second"}


def without_times(value):
    if isinstance(value, dict):
        return {key: without_times(item) for key, item in value.items() if key not in TIMES}
    return [without_times(item) for item in value] if isinstance(value, list) else value


def normal_line(line):
    try:
        return json.dumps(without_times(json.loads(line))).encode()
    except ValueError:
        return line


def normal(name, content):
    """The content without times; bytes that are not JSON as they are."""
    if name.endswith((".json", ".jsonl")):
        try:
            return json.dumps(without_times(json.loads(content))).encode()
        except ValueError:
            return b"\n".join(normal_line(line) for line in content.split(b"\n"))
    return content


def read_tree(folder):
    """Relative name: content of files, None of folders."""
    tree = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        tree[name] = None if path.is_dir() else normal(name, path.read_bytes())
    return tree


def without_process(name):
    """Temporary names hold the number of a process."""
    return re.sub(r"\d{2,}", "N", name)


def lines_of(content):
    return content.split(b"\n")


def torn_lines(content, whole):
    """Why the lines are no beginning of the lines of a whole file with at most a torn last one; None: they are."""
    known = set(lines_of(whole))
    *complete, last = lines_of(content)
    for line in complete:
        if line not in known:
            return f"a line that no run writes: {line[:80]!r}"
    start = last.replace(b" ", b"")[:24]  # whole lines were written again, with other blanks
    if start and not any(line.replace(b" ", b"").startswith(start) for line in known):
        return f"a last line that no run begins: {last[:80]!r}"
    return None


def is_committed(name):
    """Files of a save that is whole and waits to be put in its place: the next run does it."""
    return "hadpo_save.next" in name.split("/")


def differences(found, expected):
    """In words: what is missing, what is more, what differs."""
    words = [f"{name} is missing" for name in expected if name not in found]
    words += [f"{name} was left behind" for name in found if name not in expected]
    words += [f"{name} differs" for name in found if name in expected and found[name] != expected[name]]
    return words


def opens(name, content):
    """Whether a file of tensors says what it holds and holds it."""
    if not name.endswith(".safetensors"):
        return True
    size = struct.unpack_from("<Q", content)[0] if len(content) >= 8 else len(content)
    try:
        header = json.loads(content[8:8 + size])
    except ValueError:
        return False
    ends = [entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"]
    return 8 + size + max(ends, default=0) == len(content)
