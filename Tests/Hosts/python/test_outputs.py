"""What the tool writes goes over none of the files that it reads; what it saves, it opens; what it would not use, it refuses."""

import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
LLAVA = ROOT / "Tests/Fixtures/llava"
TOOL = os.environ.get("HADPO_TOOL", str(ROOT / "build/bin/hadpo"))
sys.path.insert(0, str(ROOT / "bindings" / "python"))
import hadpo  # noqa: E402


class Outputs(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)
        shutil.copytree(LLAVA / "old-f32", self.folder / "fx")
        for path in (self.folder / "fx").iterdir():
            path.chmod(0o644)
        shutil.copy(LLAVA / "pictures/wide.jpg", self.folder / "p.jpg")
        shutil.copytree(LLAVA / "dpo/adapter", self.folder / "ad")
        self.write("q.json", [{"question_id": 1, "image": "p.jpg", "text": "Is there a cat in the image?", "label": "no"}])
        self.write("a.jsonl", [{"question_id": 1, "question": "Is there a cat in the image?", "answer": "No"}])
        self.write("pairs.jsonl", [{"image": "p.jpg", "question": "What?", "chosen": "A cup.", "rejected": "A dog."}])
        self.write("samples.jsonl", [{"image": "p.jpg", "question": "What?", "answer": "A cup."}])
        self.write("captions.jsonl", [{"image_id": 1, "caption": "A dog and a cat."}])
        (self.folder / "synonyms.txt").write_text("dog, puppy\ncat, kitten\n")
        (self.folder / "objects.json").write_text(json.dumps({"1": ["dog"]}))
        (self.folder / "sd.json").write_text(json.dumps({"1": "A dog. A cat."}))
        (self.folder / "regions.json").write_text(json.dumps([{"id": 1, "regions": [
            {"image_id": 1, "x": 0, "y": 0, "width": 2, "height": 2, "phrase": "a dog"}]}]))

    def write(self, name, records):
        (self.folder / name).write_text("".join(json.dumps(record) + "\n" for record in records))

    def run_tool(self, *arguments, code=0):
        run = subprocess.run([TOOL, *map(str, arguments)], capture_output=True, text=True, cwd=self.folder, timeout=120)
        if code is not None:
            self.assertEqual(run.returncode, code, f"{arguments}\n{run.stdout}{run.stderr}")
        return run

    def refused(self, *arguments, says="", keeps=()):
        """Refused, and no file is another than before."""
        before = {path: path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}
        run = self.run_tool(*arguments, code=None)
        self.assertNotEqual(run.returncode, 0, arguments)
        self.assertIn(says, run.stderr, arguments)
        for path, content in before.items():
            self.assertTrue(path.is_file() and path.read_bytes() == content, f"{arguments}: {path} was written over")

    def training(self, *more):
        return ["train", "-m", "fx", "--pairs", "pairs.jsonl", "-i", ".", "--batch", "1", "--steps", "2", "--set", "template=hf", "--set",
                "schedule.warmup_ratio=0", *more]

    def test_no_output_over_an_input(self):
        score = ["score", "-m", "fx", "p.jpg", "-Q", "What?", "-C", "A cup."]
        inspect = ["inspect", "-m", "fx", "p.jpg", "-Q", "x", "-o"]
        pope = ["pope", "-m", "fx", "-i", ".", "-n", "3", "-q", "q.json"]
        chair = ["chair", "-A", "captions.jsonl", "-s", "synonyms.txt", "--objects", "objects.json"]
        shr = ["shr", "-A", "sd.json", "--judge", "annotations", "--regions", "regions.json", "-o", "scored"]
        (self.folder / "link.json").symlink_to("q.json")
        self.run_tool(*self.training("-o", "tr", "--rank", "2", "--alpha", "4", "--log", "log.jsonl"))
        for arguments in [
            [*inspect, "fx/model.safetensors"], [*inspect, "fx/../fx/config.json"], [*inspect, "p.jpg"],
            ["inspect", "-m", "fx", "-a", "ad", "p.jpg", "-Q", "x", "-o", "ad/adapter_model.safetensors"],
            self.training("--inspect-step", "fx/model.safetensors"), self.training("--inspect-step", "pairs.jsonl"),
            [*pope, "-o", "new", "--report", "new"], [*pope, "-o", "new", "--report", "./new"],
            [*pope, "-o", "new", "--report", "q.json"], [*pope, "-o", "new", "--report", "link.json"],
            [*pope, "-o", "new", "--report", "fx/model.safetensors"],
            [*pope, "-a", "ad", "-o", "new", "--report", "ad/adapter_config.json"],
            ["pope", "-q", "q.json", "--score", "a.jsonl", "--report", "a.jsonl"],
            ["pope", "score", "-q", "q.json", "-A", "a.jsonl", "--report", "a.jsonl"],
            ["pope", "score", "-q", "q.json", "-A", "a.jsonl", "--records", "q.json"],
            [*chair, "--records", "captions.jsonl"], [*chair, "--records", "words", "--report", "words"],
            [*chair, "--records", "words", "--report", "objects.json"],
            [*shr, "--report", "sd.json"], [*shr, "--report", "scored/report.json"],
            ["shr", "requests", "-A", "sd.json", "--image-data", "sd.json", "--regions", "regions.json", "-o", "sd.json"],
            self.training("-o", "tr2", "--rank", "2", "--alpha", "4", "--log", "l2", "--report", "l2"),
            ["report", "-o", "log.jsonl", "--training", "log.jsonl"],
            ["report", "-o", "pairs.jsonl", "--training", "log.jsonl"],
        ]:
            with self.subTest(arguments=arguments):
                self.refused(*arguments)
        # Places of their own, and a page over an earlier page.
        self.run_tool(*score)
        self.run_tool(*inspect, "fx/new.safetensors")
        for _ in range(2):
            self.run_tool(*pope, "-a", "ad", "-o", "answers.jsonl", "--report", "ad/page.html")

    def test_a_world_over_another_is_refused(self):
        world = ["world", "make", "-o", "w", "--evaluation-images", "3", "--training-images", "2"]
        self.run_tool(*world, "--seed", "1")
        self.run_tool(*world, "--seed", "1")
        self.refused(*world, "--seed", "2", says="another world")

    def test_flags_without_effect_are_refused(self):
        export, picture = ["export", "-m", "fx", "-o", "new"], ["p.jpg", "-Q", "What?"]
        for arguments, flag in [
            ([*export, "--weights", "int4"], "--weights"), ([*export, "--weights", "bnb-fp4"], "--weights"),
            ([*export, "--weights", "int4", "--save-as", "int8"], "--weights"), ([*export, "--processor", "pad"], "--processor"),
            ([*export, "--kv-cache", "fp16"], "--kv-cache"),
            (["score", "-m", "fx", *picture, "-C", "A cup.", "--kv-cache", "int8"], "--kv-cache"),
            (["inspect", "-m", "fx", "--kv-cache", "int8"], "--kv-cache"),
        ]:
            with self.subTest(arguments=arguments):
                self.refused(*arguments, says=flag)
                self.assertFalse((self.folder / "new").exists())
        self.run_tool(*export, "--weights", "int8", "--save-as", "int8")
        with hadpo.Engine() as engine, hadpo.Model(engine, self.folder / "fx", weights="int4") as model:
            with self.assertRaises(hadpo.ConfigError) as caught:
                model.export(self.folder / "new2")
            self.assertEqual(caught.exception.where, "/weights")

    def test_a_projector_alone_is_opened(self):
        plain = self.run_tool("score", "-m", "fx", "p.jpg", "-Q", "What?", "-C", "A cup.", "--json").stdout
        run = self.run_tool(*self.training("-o", "tr0", "--rank", "0", "--learning-rate", "0.01"))
        self.assertIn("projector in tr0, which -a takes", run.stdout)
        self.assertFalse((self.folder / "tr0/adapter_config.json").exists())
        trained = self.run_tool("score", "-m", "fx", "-a", "tr0", "p.jpg", "-Q", "What?", "-C", "A cup.", "--json").stdout
        self.assertNotEqual(json.loads(plain)["logps"], json.loads(trained)["logps"])
        self.run_tool("export", "-m", "fx", "-a", "tr0", "-o", "merged")
        merged = self.run_tool("score", "-m", "merged", "p.jpg", "-Q", "What?", "-C", "A cup.", "--json").stdout
        self.assertEqual(json.loads(merged)["logps"], json.loads(trained)["logps"])
        self.run_tool("pope", "-m", "fx", "-a", "tr0", "-i", ".", "-n", "3", "-q", "q.json")
        self.run_tool(*self.training("-a", "tr0", "-o", "tr1", "--learning-rate", "0.01"))
        further = self.run_tool("score", "-m", "fx", "-a", "tr1", "p.jpg", "-Q", "What?", "-C", "A cup.", "--json").stdout
        self.assertNotEqual(json.loads(further)["logps"], json.loads(trained)["logps"])
        # Without anything that says who saved it, nobody knows what else belongs to it.
        (self.folder / "foreign").mkdir()
        shutil.copy(self.folder / "tr0/non_lora_trainables.safetensors", self.folder / "foreign")
        self.refused("score", "-m", "fx", "-a", "foreign", "p.jpg", "-Q", "What?", "-C", "A cup.", says="adapter_config.json")

    def test_all_weights_say_what_opens_them(self):
        run = self.run_tool("train", "-m", "fx", "--method", "sft", "--set", "data.format=samples", "--samples", "samples.jsonl", "-i", ".",
                            "--batch", "1", "--steps", "1", "--set", "template=hf", "--set", "all_weights=true", "--set",
                            "schedule.warmup_ratio=0", "-o", "all")
        self.assertIn("No -a opens it", run.stdout)
        self.assertNotIn("adapter in", run.stdout)

    def test_a_closed_terminal_saves_what_was_trained(self):
        command = [TOOL, *self.training("-o", "tr", "--rank", "2", "--alpha", "4", "--steps", "100000", "--events")]
        run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.folder)
        for line in run.stderr:
            if '"step"' in line:
                break
        run.send_signal(signal.SIGHUP)
        run.communicate(timeout=60)
        self.assertEqual(run.returncode, 5)
        self.assertTrue((self.folder / "tr/adapter_config.json").exists())

    def test_an_adapter_that_is_no_number_is_refused(self):
        path = self.folder / "ad/adapter_model.safetensors"
        whole = path.read_bytes()
        size = struct.unpack("<Q", whole[:8])[0]
        header = json.loads(whole[8:8 + size])
        name = next(key for key in header if "lora_B" in key)
        kind, start = header[name]["dtype"], 8 + size + header[name]["data_offsets"][0]
        for value in ("nan", "inf"):
            broken = {"F32": struct.pack("<f", float(value)), "F16": struct.pack("<e", float(value)),
                      "BF16": struct.pack("<f", float(value))[2:]}[kind]
            path.write_bytes(whole[:start] + broken + whole[start + len(broken):])
            for arguments in (["inspect", "-m", "fx", "-a", "ad"], ["check", "-a", "ad", *self.training()[1:]]):
                run = self.run_tool(*arguments, code=6)
                self.assertIn(name.removeprefix("base_model.model.").removesuffix(".weight"), run.stderr)

    def test_a_negative_alpha_is_the_adapters(self):
        path = self.folder / "ad/adapter_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "lora_alpha": -8}))
        run = self.run_tool(*self.training("-a", "ad", "-o", "new"), code=None)
        self.assertNotEqual(run.returncode, 0)
        self.assertIn("ad/adapter_config.json", run.stderr)
        self.assertIn("lora_alpha -8", run.stderr)
        self.assertNotIn("/lora/alpha", run.stderr)

    def test_numbers_out_of_python(self):
        with hadpo.Engine() as engine, hadpo.Model(engine, self.folder / "fx") as model:
            with self.assertRaises(hadpo.ConfigError) as caught:
                model.generate(question="What?", repetition_penalty=float("nan"))
            self.assertEqual(caught.exception.where, "/repetition_penalty")
            with model.trainer(data={"pairs": str(self.folder / "pairs.jsonl"), "images": str(self.folder), "format": "pairs"}, steps=1, batch=1,
                               template="hf", schedule={"warmup_ratio": 0}) as trainer:
                with self.assertRaises(ValueError) as caught:
                    trainer.run(-1)
                self.assertIsInstance(caught.exception, hadpo.ArgumentError)
                self.assertIn("steps", str(caught.exception))


if __name__ == "__main__":
    unittest.main()
