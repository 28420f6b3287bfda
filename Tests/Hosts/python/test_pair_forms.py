"""Preference files of other tools: every sample line of docs/pairs.md is read as the form beside it, and the same pair trains to the same
bits in every form."""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "bindings/python"))
import hadpo  # noqa: E402

LLAVA = ROOT / "Tests/Fixtures/llava"
TOOL = os.environ.get("HADPO_TOOL", str(ROOT / "build/bin/hadpo"))
FORMS = [(name, json.loads(record.replace("a.jpg", "wide.jpg"))) for name, record in re.findall(
    r"^\| `([a-z-]+)` \| [^|]* \| `(.*)` \|$", (ROOT / "docs/pairs.md").read_text(), re.M)]


class PairForms(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def check(self, path, *flags, code=0):
        run = subprocess.run([TOOL, "check", "-m", LLAVA / "old-f32", "--pairs", path, "-i", LLAVA / "pictures", "--batch", "1",
                              "--epochs", "3", "--json", *flags], capture_output=True, text=True, cwd=self.folder, timeout=120)
        self.assertEqual(run.returncode, code, run.stdout + run.stderr)
        return json.loads(run.stdout) if run.stdout else run.stderr

    def files(self, record):
        """As lines and as an array."""
        lines, array = self.folder / "pairs.jsonl", self.folder / "pairs.json"
        lines.write_text(json.dumps(record) + "\n")
        array.write_text(json.dumps([record], indent=2))
        return lines, array

    def test_the_page_lists_every_form(self):
        with self.assertRaises(hadpo.Error) as refused:
            hadpo.config_resolve({"schema": "hadpo.train/1", "data": {"format": "nothing"}})
        known = set(refused.exception.expected.removeprefix("one of ").split(", ")) - {"auto", "hadpo", "samples"}
        self.assertEqual({name for name, _ in FORMS}, known)
        self.assertGreaterEqual(len(FORMS), 9)

    def test_every_form_is_recognised_and_named(self):
        for name, record in FORMS:
            for path in self.files(record):
                for flags in ((), ("--format", "auto"), ("--format", name)):
                    with self.subTest(form=name, path=path.suffix, flags=flags):
                        report = self.check(path, *flags)
                        self.assertEqual((report["format"], report["pairs"], report["samples"], report["problems"]), (name, 1, 1, []))

    def test_every_form_trains_to_the_same_bits(self):
        states = set()
        with hadpo.Engine(threads=1) as engine, hadpo.Model(engine, LLAVA / "old-f32") as model:
            for number, (name, record) in enumerate(FORMS):
                path, _ = self.files({**record, "id": "same", "idx": "same"})
                data = {"pairs": str(path), "images": str(LLAVA / "pictures"), "format": name}
                with hadpo.Trainer(model, data=data, steps=2, batch=1, template="hf", lora={"rank": 2, "alpha": 4}, schedule={"warmup_ratio": 0.0},
                                   optimizer={"learning_rate": 1e-3}) as trainer:
                    trainer.run(2)
                    trainer.save(self.folder / str(number))
                states.add((self.folder / str(number) / "adapter_model.safetensors").read_bytes())
        self.assertEqual(len(states), 1)

    def test_what_is_no_pair_is_named(self):
        record = dict(FORMS)["trl"]
        path, array = self.files({**record, "images": ["wide.jpg", "tall.png"]})
        for file, place in ((path, 1), (array, None)):
            report = self.check(file, code=4)
            # The reason, then what follows from it.
            self.assertEqual([each["message"] for each in report["refused"]],
                             ["1 samples cannot be trained on", "there is nothing to train on"])
            self.assertIn("'images' has 2 pictures", report["problems"][0]["reason"])
            self.assertEqual(report["problems"][0]["line"], place)
        path.write_text('{"picture": "wide.jpg", "better": "a", "worse": "b"}\n')
        text = self.check(path, code=4)
        for word in ("pairs.jsonl:1", "keys picture, better, worse", "trl", "llama-factory", "ms-swift", "rlhf-v", "rlaif-v", "povid"):
            self.assertIn(word, text)
        path.write_bytes(b"PAR1\x15\x04\x15\x10")
        self.assertIn("a Parquet file", self.check(path, code=3))
        self.files(record)
        report = self.check(path, "--format", "povid", code=4)
        self.assertIn("read as povid; the record looks like trl", report["problems"][0]["reason"])


if __name__ == "__main__":
    unittest.main()
