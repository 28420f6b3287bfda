"""Files that hold something else are named in every reader, and what is no number never leaves as one. HADPO_TOOL names the tool."""

import json
import os
import pathlib
import shutil
import struct
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
FIXTURES = ROOT / "Tests/Fixtures"
MODEL = FIXTURES / "llava/old-f32"
PICTURE = FIXTURES / "llava/pictures/wide.jpg"
TOOL = os.environ.get("HADPO_TOOL", str(ROOT / "build/bin/hadpo"))
CONTENTS = {"git lfs pull": f"version https://git-lfs.github.com/spec/v1\noid sha256:{0:064d}\nsize 499723\n".encode(),
            "HTML": b"<!DOCTYPE html><html>Access to this model is restricted</html>\n",
            "UTF-16": '{"a": 1}\n'.encode("utf-16"), "gzip": bytes.fromhex("1f8b0800000000000203")}


class ForeignFiles(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def run_tool(self, *arguments):
        return subprocess.run([TOOL, *map(str, arguments)], capture_output=True, text=True, cwd=self.folder, timeout=60)

    def model(self):
        shutil.rmtree(self.folder / "model", ignore_errors=True)
        return shutil.copytree(MODEL, self.folder / "model", copy_function=shutil.copyfile)

    def test_each_file_of_a_model(self):
        for name in ("tokenizer.model", "tokenizer.json", "config.json", "generation_config.json", "preprocessor_config.json",
                     "tokenizer_config.json", "added_tokens.json", "special_tokens_map.json", "model.safetensors"):
            for word, content in CONTENTS.items():
                with self.subTest(name, kind=word):
                    (self.model() / name).write_bytes(content)
                    run = self.run_tool("describe", "-m", "model", PICTURE)
                    self.assertIn(run.returncode, (3, 4), run.stderr)
                    self.assertIn(word, run.stderr)
                    self.assertIn(name, run.stderr)

    def test_files_of_data(self):
        (self.folder / "good.jsonl").write_text('{"question_id": 1, "image": "a.png", "text": "Is there a cat?", "label": "yes"}\n')
        readers = {"pope questions": ["pope", "score", "-q", "x", "-A", "good.jsonl"], "pope answers": ["pope", "score", "-q", "good.jsonl", "-A", "x"],
                   "pairs": ["check", "-m", MODEL, "--pairs", "x", "-i", "."], "desc": ["check", "-m", MODEL, "--desc", "x", "--image-data", "x", "-i", "."],
                   "descriptions": ["shr", "-A", "x", "--replies", "good.jsonl"], "captions": ["chair", "-A", "x", "--synonyms", "x", "--instances", "x"],
                   "judge": ["judge", "x", "-o", "r.jsonl"], "config": ["config", "--config", "x"], "picture": ["describe", "-m", MODEL, "x"]}
        for reader, arguments in readers.items():
            for word, content in CONTENTS.items():
                with self.subTest(reader, kind=word):
                    (self.folder / "x").write_bytes(content)
                    run = self.run_tool(*arguments)
                    self.assertIn(run.returncode, (1, 3, 4), run.stderr)
                    self.assertIn(word, run.stderr)


class NotANumber(unittest.TestCase):
    setUp, run_tool, model = ForeignFiles.setUp, ForeignFiles.run_tool, ForeignFiles.model

    def spoiled(self):
        """A model whose last normalization is not a number."""
        path = self.model() / "model.safetensors"
        data = bytearray(path.read_bytes())
        size = struct.unpack("<Q", data[:8])[0]
        header = json.loads(data[8:8 + size])
        name = next(name for name in header if name.endswith("model.norm.weight"))
        begin, end = header[name]["data_offsets"]
        for at in range(8 + size + begin, 8 + size + end, 4):
            data[at:at + 4] = struct.pack("<f", float("nan"))
        path.write_bytes(data)
        return "model"

    def test_score_and_describe_refuse_instead_of_printing_it(self):
        model = self.spoiled()
        for arguments in (["score", "-m", model, PICTURE, "-Q", "what?", "-C", "a cat", "--json"], ["describe", "-m", model, PICTURE, "--json"]):
            run = self.run_tool(*arguments)
            self.assertEqual(run.returncode, 6, run.stdout + run.stderr)
            self.assertEqual(run.stdout, "")

    def test_export_refuses_to_write_it(self):
        adapter = shutil.copytree(FIXTURES / "llava/dpo/adapter", self.folder / "adapter", copy_function=shutil.copyfile)
        path = next(adapter.rglob("adapter_model.safetensors"))
        data = bytearray(path.read_bytes())
        size = struct.unpack("<Q", data[:8])[0]
        header = json.loads(data[8:8 + size])
        name = next(name for name in sorted(header) if "lora_B" in name)
        at = 8 + size + header[name]["data_offsets"][0]
        data[at:at + 4] = struct.pack("<f", float("inf"))
        path.write_bytes(data)
        run = self.run_tool("export", "-m", MODEL, "-a", adapter, "-o", "out")
        self.assertEqual(run.returncode, 6, run.stdout + run.stderr)
        self.assertIn("where", run.stderr)
        self.assertFalse((self.folder / "out/model.safetensors").exists())


if __name__ == "__main__":
    unittest.main()
