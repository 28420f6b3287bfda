"""What strangers wrote reaches the terminal without what a terminal obeys. HADPO_TOOL names the tool."""

import json
import os
import pathlib
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
TOOL = os.environ.get("HADPO_TOOL", str(ROOT / "build/bin/hadpo"))
MODEL = ROOT / "Tests/Fixtures/llava/old-f32"
# Escape sequences, C1 controls, a carriage return, directions of writing, tags, bytes that are no UTF-8.
EVIL = "a\x1b[31mb\x9b2Jc\x07d\re\x7ff\u202eg\u2066h\u200fi\u061cj\u2028k\U000e0041l\ufeffm"
COMMANDS = {point for first, last in ((0, 0x1f), (0x7f, 0x9f), (0x61c, 0x61c), (0x200e, 0x200f), (0x2028, 0x202e), (0x2060, 0x206f),
                                      (0xfeff, 0xfeff), (0xfff9, 0xfffb), (0xe0000, 0xe007f)) for point in range(first, last + 1)}


class PlainText(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def run_tool(self, *arguments):
        return subprocess.run([TOOL, *arguments], capture_output=True, cwd=self.folder, timeout=60)

    def shown(self, *arguments):
        """What people see, once it is known to be harmless; the evil text must be in it, or the test proves nothing."""
        run = self.run_tool(*arguments)
        text = (run.stdout + run.stderr).decode()  # UTF-8, or this throws
        found = {hex(ord(letter)) for letter in text if ord(letter) in COMMANDS and letter != "\n"}
        self.assertEqual(found, set(), ascii(text))
        self.assertIn("31mb", text)
        return text

    def evil_file(self, content):
        (self.folder / EVIL).write_bytes(content)
        return EVIL

    def test_names_and_arguments(self):
        for arguments in ([EVIL], ["train", f"--{EVIL}"], ["train", "--steps", EVIL], ["config", EVIL], ["inspect", "-m", EVIL],
                          ["describe", "-m", MODEL, EVIL], ["train", "--set", EVIL], ["train", "--config", EVIL],
                          ["judge", EVIL, "-o", "r"]):
            with self.subTest(arguments):
                self.shown(*arguments)

    def test_bytes_that_are_no_utf_8(self):
        run = self.run_tool(b"\x1b[31m\xff\xc3\xe2\x80")
        self.assertIn("no command  [31m??", run.stderr.decode())

    def test_content_of_files(self):
        (self.folder / "config.json").write_text(json.dumps({"schema": EVIL, EVIL: EVIL}, ensure_ascii=False))
        self.shown("config", "--config", "config.json")
        (self.folder / "config.json").write_text(json.dumps({EVIL: EVIL}, ensure_ascii=False))
        self.shown("judge", "x", "--config", "config.json")
        line = {"custom_id": EVIL, "method": "POST", "url": "/v1/chat/completions", "body": {
            "model": "m", "messages": [{"role": "user", "content": "q"}]}}
        (self.folder / "requests.jsonl").write_text(json.dumps(line) + "\n")
        self.shown("judge", "requests.jsonl", "-o", "r.jsonl", "-u", "http://127.0.0.1:9", "--retries", "0")

    def test_a_line_end_in_a_name_does_not_begin_a_line_of_ours(self):
        text = self.run_tool("inspect", "-m", "x\nhadpo: all is well").stderr.decode()
        self.assertFalse(any(line.startswith("hadpo: all") for line in text.splitlines()), text)

    def test_json_carries_them_escaped(self):
        line = {"custom_id": EVIL, "method": "POST", "url": "/v1/chat/completions", "body": {
            "model": "m", "messages": [{"role": "user", "content": "q"}]}}
        (self.folder / "requests.jsonl").write_text(json.dumps(line) + "\n")
        run = self.run_tool("judge", "requests.jsonl", "-o", "r.jsonl", "-u", "http://127.0.0.1:9", "--retries", "0", "--json")
        text = run.stdout.decode()
        self.assertEqual([letter for letter in text if ord(letter) in COMMANDS], ["\n"])
        self.assertEqual(json.loads(text)["unanswered"][0]["custom_id"], EVIL)


if __name__ == "__main__":
    unittest.main()
