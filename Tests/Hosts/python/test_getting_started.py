"""docs/getting-started-c.md, run as a reader runs it: its C saved, its sh blocks in one shell in their order, on the installed tree.

A block `text` behind a block `sh` is what the reader is told to see: each of its lines must be printed, in that order."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "getting-started-c.md"
LIBRARY = pathlib.Path(os.environ["HADPO_LIBRARY"]).parent
CC = os.environ.get("CC", "clang")


def blocks():
    return re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text(), flags=re.M | re.S)


class GettingStartedWithC(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        for source in (ROOT / "bindings/c/examples").glob("*.c"):
            shutil.copy(source, self.folder)
        tools = self.folder / "tools"
        tools.mkdir()
        cc = shutil.which(CC)
        (tools / "cc").write_text(f'#!/bin/sh\nexec "{cc}" -Wall -Wextra -Werror -pedantic -fuse-ld=lld "$@"\n')
        (tools / "cc").chmod(0o755)
        self.environment = dict(os.environ, PKG_CONFIG_PATH=str(LIBRARY / "pkgconfig"), LD_LIBRARY_PATH=str(LIBRARY),
                                PATH=f"{tools}:{pathlib.Path(os.environ['HADPO_TOOL']).parent}:{os.environ['PATH']}")

    def test_every_block_does_what_the_page_says(self):
        commands, expected = [], {}
        for kind, text in blocks():
            if kind == "c":
                name = re.match(r"/\* (\S+\.c) ", text).group(1)
                (self.folder / name).write_text(text)
            elif kind == "sh":
                commands.append(text)
            elif kind == "text":
                expected[len(commands) - 1] = text
        self.assertGreaterEqual(len(expected), 6)
        script = "set -e\n" + "".join(f"echo '== block {number}'\n{text}" for number, text in enumerate(commands))
        run = subprocess.run(["bash", "-c", script], cwd=self.folder, env=self.environment, capture_output=True, text=True,
                             timeout=600)
        self.assertEqual(run.returncode, 0, run.stdout[-2000:] + run.stderr[-4000:])
        printed = re.split(r"^== block \d+\n", run.stdout, flags=re.M)[1:]
        for number, text in expected.items():
            lines = iter(printed[number].splitlines())
            for line in text.splitlines():
                self.assertIn(line, lines, f"block {number}: {commands[number]}\n{printed[number]}")


if __name__ == "__main__":
    unittest.main()
