"""Every file that the library writes and reads again, with each number in it made extreme and each list too short or too long, one at a
time: the reader refuses it, or what it computes is what it computes from the file as it was written."""

import copy
import json
import pathlib
import shutil
import struct
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
FIXTURES = ROOT / "Tests" / "Fixtures" / "llava"
PICTURES = FIXTURES / "pictures"
sys.path.insert(0, str(ROOT / "bindings" / "python"))
import hadpo  # noqa: E402

# As they stand in the file: JSON has no NaN, and Python would not write some of the others.
NUMBERS = ["0", "-1", "2147483648", "9007199254740992", "9223372036854775807", "18446744073709551616", "1e308", "1e-320", "NaN", '"x"']
MARK = "@@"
# HADPO_E_NO_MEMORY, JSON, CONFIG, IO, FORMAT, WEIGHTS, UNSUPPORTED, NUMERICS: what a file can be blamed for.
MINE = {2, 20, 21, 30, 31, 32, 41, 50}


def variants(value):
    """Texts of a JSON value with one number or list in it changed."""
    def places(part, path):
        if isinstance(part, dict):
            for key, inner in part.items():
                yield from places(inner, (*path, key))
        elif isinstance(part, list):
            yield path, part
            for index, inner in enumerate(part[:3]):
                yield from places(inner, (*path, index))
        elif isinstance(part, (int, float)) and not isinstance(part, bool):
            yield path, part

    def with_token(path, token):
        changed = copy.deepcopy(value)
        if not path:
            return token
        inner = changed
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = MARK
        return json.dumps(changed).replace(f'"{MARK}"', token)

    for path, part in places(value, ()):
        if isinstance(part, list):
            lists = [[], part[:1], (part or [0]) * 3000]
            yield from (with_token(path, json.dumps(other)) for other in lists if other != part)
        else:
            yield from (with_token(path, token) for token in NUMBERS if token != json.dumps(part))


def read_safetensors(path):
    data = path.read_bytes()
    size, = struct.unpack_from("<Q", data)
    return json.loads(data[8:8 + size]), data[8 + size:]


def write_safetensors(path, header, data):
    header = header.encode() if isinstance(header, str) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)


class OwnFiles(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(scratch.cleanup)
        cls.folder = pathlib.Path(scratch.name)
        cls.engine = hadpo.Engine(threads=1)
        cls.model = hadpo.Model(cls.engine, FIXTURES / "old-f32")
        cls.reader = hadpo.Model(cls.engine, FIXTURES / "old-f32")  # a model takes no adapter while it is trained
        cls.keys = {"data": {"format": "pairs", "pairs": str(FIXTURES / "dpo/pairs.jsonl"), "images": str(PICTURES)}, "steps": 4,
                    "batch": 2, "lora": {"rank": 2, "alpha": 4}, "guard": {"every": 1, "pairs": 2}}
        trainer = hadpo.Trainer(cls.model, **cls.keys, log=str(cls.folder / "log.jsonl"))
        trainer.run(2)
        trainer.save(cls.folder / "saved")
        trainer.close()

    def setUp(self):
        self.place = self.folder / "x"
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.copytree(self.folder / "saved", self.place)

    def outcome(self, read):
        """What `read` gives, or None where it refuses."""
        try:
            return read()
        except hadpo.HadpoError as error:
            self.assertIn(error.status, MINE, str(error))
            return None

    def changed_bytes_are_refused_beside_the_list(self, name, texts, read):
        path = self.place / name
        original = path.read_bytes()
        refused = 0
        for text in texts:
            changed = text if isinstance(text, bytes) else text.encode()
            path.write_bytes(changed)
            self.assertIsNone(self.outcome(read), changed[:300])
            refused += 1
        path.write_bytes(original)
        self.assertIsNotNone(self.outcome(read))
        self.assertGreater(refused, 10)

    def load(self):
        self.reader.load_adapter(self.place)
        return True

    def test_the_list_of_a_save(self):
        path = self.place / "hadpo_save.json"
        self.changed_bytes_are_refused_beside_the_list(path.name, variants(json.loads(path.read_bytes())), self.load)

    def test_adapter_configuration(self):
        path = self.place / "adapter_config.json"
        written = json.loads(path.read_bytes())
        texts = list(variants(written))
        self.changed_bytes_are_refused_beside_the_list(path.name, texts, self.load)
        # Alone it is anybody's: what is taken is what it says, and must be something.
        (self.place / "hadpo_save.json").unlink()
        for text in texts:
            path.write_text(text)
            if self.outcome(self.load):
                found = json.loads(text)
                self.assertEqual(found["r"], written["r"])
                self.assertLess(abs(found["lora_alpha"]), 3.5e38)
                self.assertLessEqual(found["lora_dropout"], 1)
                logps = self.reader.score(str(PICTURES / "wide.jpg"), question="What?", completion="A cup")
                self.assertTrue(all(logp == logp and logp <= 0 for logp in logps) or found["lora_alpha"] not in (4, 0), text)

    def test_tensors_of_adapter_and_projector(self):
        for name in ("adapter_model.safetensors", "non_lora_trainables.safetensors"):
            header, data = read_safetensors(self.place / name)
            key = next(key for key in header if key != "__metadata__")
            listed = (self.place / "hadpo_save.json").read_bytes()
            original = (self.place / name).read_bytes()
            (self.place / "hadpo_save.json").unlink()
            for text in variants(header[key]):
                write_safetensors(self.place / name, json.dumps({**header, key: MARK}).replace(f'"{MARK}"', text), data)
                self.assertIsNone(self.outcome(self.load), text)
            (self.place / name).write_bytes(original)
            (self.place / "hadpo_save.json").write_bytes(listed)

    def test_state(self):
        path = self.place / "trainer_state.safetensors"
        header, data = read_safetensors(path)
        metadata = header["__metadata__"]
        trainer = hadpo.Trainer(self.model, **self.keys)
        self.addCleanup(trainer.close)

        def resume():
            trainer.resume(self.place)
            return trainer.run(1)["step"]

        def states():
            for token in NUMBERS + ["5", "007", "+1", "2.0", ""]:
                yield {**metadata, "step": token.strip('"')}
            for text in variants(json.loads(metadata["guard"])):
                yield {**metadata, "guard": text}
            for text in ("", "{}", "7", "null", "[[]]"):
                yield {**metadata, "guard": text}

        def texts():
            for state in states():
                write_safetensors(self.folder / "state", {**header, "__metadata__": state}, data)
                yield (self.folder / "state").read_bytes()

        self.changed_bytes_are_refused_beside_the_list(path.name, texts(), resume)
        # Without the list, which knows every byte: nothing that no training has.
        (self.place / "hadpo_save.json").unlink()
        for state in states():
            write_safetensors(path, {**header, "__metadata__": state}, data)
            step = self.outcome(resume)
            if step is not None:
                self.assertIn(int(state["step"]), range(5))
                self.assertEqual(step, min(4, int(state["step"]) + 1))
        # A number in the tensors.
        for name, number, taken in (("parameter.", float("nan"), False), ("m.", float("inf"), False), ("v.", -1.0, False), ("v.", 0.0, True)):
            key = next(key for key in header if key.startswith(name))
            start = header[key]["data_offsets"][0]
            write_safetensors(path, header, data[:start] + struct.pack("<f", number) + data[start + 4:])
            self.assertEqual(self.outcome(resume) is not None, taken, (name, number))

    def test_log(self):
        lines = (self.folder / "log.jsonl").read_text().splitlines()
        log = self.folder / "changed.jsonl"
        trainer = hadpo.Trainer(self.model, **self.keys, log=str(log))
        self.addCleanup(trainer.close)
        extra = json.dumps({**json.loads(lines[-1]), "step": 4})  # something to cut
        for place, line in enumerate(lines):
            for text in variants(json.loads(line)):
                changed = "\n".join([*lines[:place], text, *lines[place + 1:], extra]) + "\n"
                log.write_text(changed)

                def resume():
                    trainer.resume(self.folder / "saved")
                    return True

                if self.outcome(resume) is None:
                    self.assertEqual(log.read_text(), changed)
                else:
                    # Only whole lines went, and none of a step that the saved training has taken.
                    left = log.read_text().splitlines()
                    self.assertLessEqual(set(left), set(changed.splitlines()))
                    self.assertIn(text if place == len(lines) - 2 else lines[-2], left)  # how long a step took is not compared

    def test_reference_cache(self):
        cache = self.folder / "cache.jsonl"
        keys = {**self.keys, "guard": None, "reference": {"cache": str(cache)}}
        del keys["guard"]

        def losses():
            with hadpo.Trainer(self.model, **keys) as trainer:
                return trainer.run(1)["last"]["loss"]

        expected = losses()
        lines = cache.read_text().splitlines()
        self.assertEqual(len(lines), 3)
        origin = json.loads(lines[0])
        self.assertEqual(origin["key"], "origin")
        for text in variants(origin):
            cache.write_text("\n".join([text, *lines[1:]]) + "\n")
            self.assertIn(self.outcome(losses), (None, expected), text)
        lines = lines[1:]
        first = json.loads(lines[0])
        for text in [*variants(first), "{}", "7", json.dumps({**first, "key": "x"}), json.dumps({**first, "check": 7})]:
            cache.write_text("\n".join([text, lines[1]]) + "\n")
            self.assertIn(self.outcome(losses), (None, expected), text)
        # As older versions wrote it: other lengths are computed again.
        for logps in ([], [-1], [-1, -1, -1]):
            cache.write_text(json.dumps({"key": first["key"], "logps": logps}) + "\n")
            self.assertIn(self.outcome(losses), (None, expected))
        # Somebody else's file is not touched, and half a line of ours is.
        for text in ("hello", "hello\n", '{"image": 1}\n{"im', '{"image": 1}\n'):
            cache.write_text(text)
            self.assertIsNone(self.outcome(losses))
            self.assertEqual(cache.read_text(), text)
        cache.write_text(json.dumps(origin) + "\n" + lines[0] + "\n" + lines[1][:40])
        self.assertEqual(losses(), expected)
        self.assertEqual(cache.read_text().splitlines(), [json.dumps(origin), *lines])

    def test_answers_and_descriptions(self):
        questions = self.folder / "questions.jsonl"
        questions.write_text("".join(json.dumps({"question_id": i, "image": "wide.jpg", "text": f"Is there a {word} in the image?",
                                                 "label": "yes"}) + "\n" for i, word in enumerate(("cat", "dog"))))
        pictures = self.folder / "val.json"
        pictures.write_text(json.dumps([{"image_id": 1, "image": "wide.jpg"}, {"image_id": 2, "image": "tall.png"}]))
        answers, descriptions = self.folder / "answers.jsonl", self.folder / "descriptions.jsonl"
        self.reader.unload_adapter()

        def pope():
            return self.reader.pope(str(questions), str(PICTURES), answers=str(answers), max_new_tokens=2)["n"]

        def describe():
            return self.reader.shr_describe(str(descriptions), val_images=str(pictures), images=str(PICTURES), max_new_tokens=2)["images"]

        for path, read in ((answers, pope), (descriptions, describe)):
            expected = read()
            lines = path.read_text().splitlines()
            for text in variants(json.loads(lines[0])):
                path.write_text("\n".join([text, *lines[1:]]) + "\n")
                self.assertIn(self.outcome(read), (None, expected), text)

    def test_exported_model(self):
        self.reader.unload_adapter()
        place = self.folder / "exported"
        self.reader.export(place)
        for name in ("config.json", "generation_config.json", "preprocessor_config.json"):
            path = place / name
            if not path.exists():
                continue
            original = path.read_text()
            for text in variants(json.loads(original)):
                path.write_text(text)

                def read():
                    with hadpo.Model(self.engine, place) as model:
                        return model.generate(str(PICTURES / "wide.jpg"), question="What?", max_new_tokens=1)["ids"]

                self.outcome(read)
            path.write_text(original)


if __name__ == "__main__":
    unittest.main()
