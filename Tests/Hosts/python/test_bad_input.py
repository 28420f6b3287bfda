"""Bad input gets a clear error, nothing is lost, the process lives and nothing is printed.

Each case damages one thing of a working folder. The runs are made in a child process whose descriptors 1 and 2 are files: a
trap would be seen as its death, a print as their contents.
"""

import json
import os
import pathlib
import pickle
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[3]
FIXTURES = ROOT / "Tests" / "Fixtures" / "llava"
sys.path.insert(0, str(ROOT / "bindings" / "python"))

# What the child does: open, answer, train two steps, save. It prints the outcome into a file of its own.
CHILD = """
import json, sys
sys.path.insert(0, sys.argv[1])
import hadpo
plan = json.loads(sys.argv[2])
outcome = {"status": 0, "stage": "end", "record": {}}
try:
    outcome["stage"] = "open"
    engine = hadpo.Engine(threads=1)
    model = hadpo.Model(engine, **plan["model"])
    if "generate" in plan:
        outcome["stage"] = "generate"
        with open(plan["picture"], "rb") as file:
            image = hadpo.Image.decode(file.read())
        model.generate(image, **plan["generate"])
    if "adapter" in plan:
        outcome["stage"] = "adapter"
        model.load_adapter(plan["adapter"])
    if "pope" in plan:
        outcome["stage"] = "pope"
        model.pope(**plan["pope"])
    if "train" in plan:
        outcome["stage"] = "train"
        trainer = hadpo.Trainer(model, **plan["train"])
        trainer.run()
        if "save" in plan:
            outcome["stage"] = "save"
            trainer.save(plan["save"])
    outcome["stage"] = "end"
except hadpo.Error as error:
    outcome["status"], outcome["record"] = error.status, error.record
json.dump(outcome, open(sys.argv[3], "w"))
"""

IO, FORMAT, WEIGHTS, CONFIG, JSON, NUMERICS, UNSUPPORTED = 30, 31, 32, 21, 20, 50, 41
FILES = (IO, FORMAT, WEIGHTS, JSON, UNSUPPORTED)


def read_safetensors(path):
    data = path.read_bytes()
    size, = struct.unpack_from("<Q", data)
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def write_safetensors(path, header, data):
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


class BadInput(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.model = self.folder / "model"
        shutil.copytree(FIXTURES / "old-f32", self.model)
        self.weights = self.model / "model.safetensors"
        self.picture = self.folder / "picture.png"
        shutil.copy(FIXTURES / "pictures" / "tall.png", self.picture)

    def outcome(self, **plan):
        plan.setdefault("model", {"path": str(self.model)})
        plan.setdefault("picture", str(self.picture))
        result = self.folder / "outcome.json"
        captured = self.folder / "captured"
        with open(captured, "w") as output:
            child = subprocess.run([sys.executable, "-c", CHILD, str(ROOT / "bindings/python"), json.dumps(plan), str(result)],
                                   stdout=output, stderr=output, timeout=120)
        self.assertEqual((child.returncode, captured.read_text()), (0, ""))
        return json.loads(result.read_text())

    def refused(self, statuses, stage, *words, **plan):
        outcome = self.outcome(**plan)
        self.assertIn(outcome["status"], statuses, outcome)
        self.assertEqual(outcome["stage"], stage, outcome)
        self.assertTrue(outcome["record"].get("message"), outcome)
        for word in words:
            self.assertIn(word, json.dumps(outcome["record"]), f"the error does not say {word}")

    answer = {"generate": {"question": "What is there?", "max_new_tokens": 2}}

    def train(self, pairs, **more):
        """A plan that trains two steps on these pairs."""
        path = self.folder / "pairs.jsonl"
        path.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
        keys = {"data": {"format": "pairs", "pairs": str(path), "images": str(FIXTURES / "pictures")}, "steps": 2, "batch": 1,
                "lora": {"rank": 2, "alpha": 4}}
        keys.update(more)
        return {"train": keys}

    good = {"image": "wide.jpg", "question": "What?", "chosen": "A cup.", "rejected": "A dog."}

    def test_the_undamaged_folder_works(self):
        outcome = self.outcome(**self.answer, **self.train([self.good]), save=str(self.folder / "adapter"))
        self.assertEqual((outcome["status"], outcome["stage"]), (0, "end"), outcome)

    # ---- weights

    def test_no_folder(self):
        self.refused([IO], "open", "absent", model={"path": str(self.folder / "absent")})

    def test_no_weights(self):
        self.weights.unlink()
        self.refused(FILES, "open")

    def test_weights_cut_anywhere(self):
        data = self.weights.read_bytes()
        for size in (0, 1, 7, 8, 9, 100, 2000, len(data) // 2, len(data) - 1):
            with self.subTest(size):
                self.weights.write_bytes(data[:size])
                self.refused(FILES, "open", "model.safetensors")

    def test_a_header_larger_than_the_file(self):
        data = self.weights.read_bytes()
        for size in (2**63 - 1, 2**64 - 1, 2**32, len(data)):
            with self.subTest(size):
                self.weights.write_bytes(struct.pack("<Q", size) + data[8:])
                self.refused(FILES, "open", "model.safetensors")

    def damage_one_tensor(self, change):
        header, data = read_safetensors(self.weights)
        name = next(key for key in header if key.endswith("q_proj.weight") and "language_model" in key)
        change(header[name])
        write_safetensors(self.weights, header, data)
        return name

    def test_absurd_offsets(self):
        original = self.weights.read_bytes()
        for offsets in ([-8, 8], [8, 0], [0, 2**63], [2**63 - 8, 2**63 + 8], [0, 2**64], [0.5, 8.5], ["0", "8"], [0], None,
                        [2**62, 2**62 + 4096]):
            with self.subTest(offsets):
                self.weights.write_bytes(original)
                self.damage_one_tensor(lambda entry: entry.update(data_offsets=offsets))
                self.refused(FILES, "open")

    def test_absurd_shapes(self):
        original = self.weights.read_bytes()
        for shape in ([2**32, 2**32], [2**63, 1], [-4, -4], [0, 0], [], [16], [3, 5, 7], "x", None, [1e300, 1]):
            with self.subTest(shape):
                self.weights.write_bytes(original)
                self.damage_one_tensor(lambda entry: entry.update(shape=shape))
                self.refused(FILES, "open")

    def test_wrong_and_unknown_dtypes(self):
        original = self.weights.read_bytes()
        for dtype in ("F16", "I64", "F8_E4M3", "X", "", None, 5):
            with self.subTest(dtype):
                self.weights.write_bytes(original)
                self.damage_one_tensor(lambda entry: entry.update(dtype=dtype))
                self.refused(FILES, "open")

    def test_a_missing_tensor_is_named(self):
        header, data = read_safetensors(self.weights)
        name = next(key for key in header if key.endswith("down_proj.weight"))
        header["spare"] = header.pop(name)  # its bytes stay: a hole would be another mistake
        write_safetensors(self.weights, header, data)
        self.refused([WEIGHTS], "open", "down_proj")

    def test_the_tensors_of_another_model(self):
        write_safetensors(self.weights, {"bert.embeddings.weight": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}},
                          bytes(16))
        self.refused([WEIGHTS], "open")

    def test_a_config_with_other_sizes(self):
        config = json.loads((self.model / "config.json").read_text())
        for change in ({"hidden_size": 48}, {"num_hidden_layers": 10**9}, {"num_attention_heads": 0}, {"hidden_size": -1},
                       {"vocab_size": 2**62}, {"num_key_value_heads": 3}, {"hidden_size": "64"}):
            with self.subTest(change):
                damaged = json.loads(json.dumps(config))
                damaged["text_config"].update(change)
                (self.model / "config.json").write_text(json.dumps(damaged))
                self.refused((*FILES, CONFIG), "open")

    def test_a_pickle_that_wants_to_run_something(self):
        class Hostile:
            def __reduce__(self):
                return os.system, (f"touch {witness}",)

        witness = self.folder / "witness"
        shutil.rmtree(self.model)
        shutil.copytree(FIXTURES / "original-f16", self.model)
        files = sorted(self.model.glob("*.bin"))
        if not files:
            self.skipTest("SKIPPED: the fixture has no .bin files")
        with zipfile.ZipFile(files[0], "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps({"weight": Hostile()}, protocol=2))
            archive.writestr("archive/version", "3\n")
        self.refused(FILES, "open")
        self.assertFalse(witness.exists())

    # ---- the folder's other files

    def test_damaged_json_names_its_file(self):
        for name in ("config.json", "tokenizer_config.json", "preprocessor_config.json"):
            for text in ("", "{", "[]", "null", '{"a": 1, "a": 2}', "\xff"):
                with self.subTest((name, text)):
                    original = (self.model / name).read_bytes()
                    (self.model / name).write_text(text, encoding="latin-1")
                    outcome = self.outcome()
                    if name == "config.json":
                        self.assertIn(outcome["status"], FILES, outcome)
                    if outcome["status"] != 0:
                        self.assertIn(name, json.dumps(outcome["record"]))
                    (self.model / name).write_bytes(original)

    def test_a_damaged_tokenizer(self):
        data = (self.model / "tokenizer.model").read_bytes()
        for text in (b"", b"x", data[: len(data) // 2], data[:-1], b"\xff" * 100):
            with self.subTest(len(text)):
                (self.model / "tokenizer.model").write_bytes(text)
                self.refused(FILES, "open")

    def test_broken_pictures(self):
        data = self.picture.read_bytes()
        for damaged in (b"", b"GIF89a", data[:50], data[: len(data) // 2], data[:30] + b"\0\0\0\0" + data[34:]):
            with self.subTest(len(damaged)):
                self.picture.write_bytes(damaged)
                self.refused([FORMAT, UNSUPPORTED], "generate", **self.answer)

    # ---- preference data

    def test_an_empty_answer_is_named_with_its_line(self):
        self.refused([FORMAT, CONFIG], "train", "2", **self.train([self.good, {**self.good, "rejected": ""}]))

    def test_a_missing_picture_is_named(self):
        self.refused([IO, FORMAT], "train", "absent.jpg", **self.train([{**self.good, "image": "absent.jpg"}]))

    def test_a_picture_outside_its_folder(self):
        for name, reason in (("../dpo/pairs.jsonl", "leads out of its folder"), ("/etc/passwd", "leads out of its folder"),
                             ("", "not the name of a picture"), ("a\0.png", "no file can have"), ("x" * 10_000, "no file can have"),
                             (".", "a folder"), ("x/../wide.jpg", "leads out of its folder")):
            with self.subTest(name[:20]):
                self.refused([FORMAT], "train", reason, **self.train([{**self.good, "image": name}]))
        keys = self.train([{**self.good, "image": "../dpo/pairs.jsonl"}])
        keys["train"]["data"]["outside"] = True
        self.refused([FORMAT], "train", "neither a PNG nor a JPEG file", **keys)

    def test_an_answer_longer_than_the_context(self):
        self.refused([FORMAT, CONFIG], "train", **self.train([{**self.good, "chosen": "cup " * 5000}]))

    def test_mistyped_and_missing_keys_of_a_pair(self):
        for pair in ({**self.good, "chosen": 5}, {"image": "wide.jpg"}, [], 7):
            with self.subTest(str(pair)):
                self.refused([FORMAT, JSON, CONFIG], "train", **self.train([pair]))

    def test_no_pairs_at_all(self):
        self.refused([FORMAT, CONFIG], "train", **self.train([]))

    def test_a_loss_that_is_not_finite(self):
        self.refused([NUMERICS], "train", **self.train([self.good], optimizer={"learning_rate": 10}, steps=50,
                                                       schedule={"kind": "constant"}, beta=1000))

    # ---- evaluation and adapters

    def test_answers_of_other_questions(self):
        questions, answers = self.folder / "q.json", self.folder / "a.jsonl"
        questions.write_text(json.dumps({"question_id": 1, "image": "wide.jpg", "text": "Is there a cup?", "label": "yes"}) + "\n")
        answers.write_text(json.dumps({"question_id": 77, "question": "Another?", "answer": "Yes"}) + "\n")
        self.refused([FORMAT, CONFIG], "pope", pope={"questions": str(questions), "images": str(FIXTURES / "pictures"),
                                                     "answers": str(answers), "max_new_tokens": 2})

    def test_an_adapter_for_another_base(self):
        adapter = self.folder / "adapter"
        shutil.copytree(FIXTURES / "dpo" / "adapter", adapter)
        header, data = read_safetensors(adapter / "adapter_model.safetensors")
        for name in [key for key in header if key != "__metadata__"]:
            header[name.replace("layers.0.", "layers.40.")] = header.pop(name)
        write_safetensors(adapter / "adapter_model.safetensors", header, data)
        self.refused([WEIGHTS, FORMAT, CONFIG], "adapter", adapter=str(adapter))

    # ---- a full disk

    def test_a_full_disk_while_saving_keeps_the_old_save(self):
        disk = self.folder / "disk"
        disk.mkdir()
        if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "none", disk]).returncode != 0:
            self.skipTest("SKIPPED: mounting a small tmpfs needs root")
        self.addCleanup(subprocess.run, ["umount", disk])
        plan = self.train([self.good], lora={"rank": 2, "alpha": 4}, projector=False)
        adapter = disk / "adapter"
        self.assertEqual(self.outcome(**plan, save=str(adapter))["status"], 0)
        before = {path.name: path.read_bytes() for path in adapter.iterdir() if path.is_file()}
        filler = disk / "filler"
        with open(filler, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1024))
            except OSError:
                pass
        self.refused([IO], "save", **plan, save=str(adapter))
        self.assertEqual({path.name: path.read_bytes() for path in adapter.iterdir() if path.is_file()}, before)


if __name__ == "__main__":
    unittest.main()
