"""What tests of the tool have in common: a scratch folder, and runs in it whose exit status is asked for."""

import json
import os
import pathlib
import subprocess
import tempfile
import unittest

TOOL = os.environ["HADPO_TOOL"]


class ToolTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def run_tool(self, *arguments, code=0):
        run = subprocess.run([TOOL, *map(str, arguments)], capture_output=True, text=True, cwd=self.folder, timeout=120)
        self.assertEqual(run.returncode, code, run.stdout + run.stderr)
        return run

    def said(self, *arguments, code=0):
        """What it prints, or what it complains of."""
        run = self.run_tool(*arguments, code=code)
        return run.stdout if code == 0 else run.stderr

    def file(self, name, content):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    def lines(self, name, records):
        return self.file(name, "".join(json.dumps(record) + "\n" for record in records))
