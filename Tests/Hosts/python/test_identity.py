"""Whose number it is: through the tool, on the world in the box. Answers of one model are never another's, pages say whose each column is."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "bindings" / "python"))
TOOL = os.environ.get("HADPO_TOOL", str(ROOT / "build/bin/hadpo"))

import hadpo  # noqa: E402

QUESTIONS = "world/POPE/output/coco/coco_pope_adversarial.json"
PICTURES = "world/coco2014/val2014"


class Identity(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.shared = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.shared.cleanup)
        cls.folder = pathlib.Path(cls.shared.name)
        cls.run_in(cls.folder, "world", "make", "-o", "world", "--evaluation-images", "4", "--training-images", "4")
        cls.run_in(cls.folder, "world", "pairs", "-w", "world", "-m", "world/model", "-o", "pairs")
        cls.run_in(cls.folder, *cls.training(), "--steps", "10", "-o", "adapter")

    @staticmethod
    def training():
        return ["train", "-m", "world/model", "--desc", "pairs/desc_data.json", "--pope", "pairs/pope_data.json", "--image-data",
                "world/VG/image_data.json", "-i", "world/VG", "--batch", "4", "--rank", "4", "--learning-rate", "2e-3"]

    @staticmethod
    def run_in(folder, *arguments, status=0, **environment):
        result = subprocess.run([TOOL, *map(str, arguments), "--quiet"], cwd=folder, env={**os.environ, **environment},
                                capture_output=True, text=True)
        if status is not None and result.returncode != status:
            raise AssertionError(f"hadpo {' '.join(map(str, arguments))}: status {result.returncode}\n{result.stdout}{result.stderr}")
        return result

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.here = pathlib.Path(folder.name)
        for name in ("world", "pairs", "adapter"):
            (self.here / name).symlink_to(self.folder / name)

    def tool(self, *arguments, **keys):
        return self.run_in(self.here, *arguments, **keys)

    def pope(self, answers, *more, **keys):
        return self.tool("pope", "-m", "world/model", "-q", QUESTIONS, "-i", PICTURES, "-o", answers, *more, **keys)

    def describe(self, output, *more, **keys):
        return self.tool("shr", "describe", "-m", "world/model", "-i", "world/VG", "--image-data", "world/VG/image_data.json", "--shr",
                         "world/shr", "-o", output, "-n", "8", "-b", "1", *more, **keys)

    # -- a file of another model, or asked in another way

    def test_answers_of_another_model(self):
        self.pope("answers.jsonl")
        base = (self.here / "answers.jsonl").read_bytes()
        for more, says in (
                (["-a", "adapter"], "the adapter: these answers were made without one, now there is one of content "),
                (["--weights", "int4"], "(weights): these answers were made with stored, now it is int4"),
                (["--kv-cache", "int8"], "(kv_cache): these answers were made with fp32, now it is int8"),
                (["--numerics", "fast"], "the numerics: these answers were made with exact, now it is fast"),
                (["-b", "5"], "num_beams: these answers were made with 1, now it is 5"),
                (["-n", "1"], "max_new_tokens: these answers were made with "),
                (["--template", "hf"], "template: these answers were made with \"hadpo-eval\", now it is \"hf\""),
                (["--set", "repetition_penalty=1.5"], "repetition_penalty: these answers were made with "),
                (["--set", 'stop=["x"]'], "stop: these answers were made with []")):
            with self.subTest(more):
                for contents in (base, b"".join(base.splitlines(True)[:10])):
                    (self.here / "answers.jsonl").write_bytes(contents)
                    refused = self.pope("answers.jsonl", *more, status=4)
                    self.assertIn(says, refused.stderr)
                    self.assertIn("another output file", refused.stderr)
                    self.assertIn("--mix", refused.stderr)
                    self.assertEqual((self.here / "answers.jsonl").read_bytes(), contents)
        self.pope("answers.jsonl", "--threads", "1", "--batch", "1")
        self.assertEqual((self.here / "answers.jsonl").read_bytes(), base)
        # The adapter's own figures, and a deliberate mixture that says what it is.
        report = json.loads(self.pope("mixed.jsonl", "-a", "adapter", "--json").stdout)
        shutil.copy(self.here / "answers.jsonl", self.here / "mixed.jsonl")
        shutil.copy(self.here / "answers.jsonl.identity", self.here / "mixed.jsonl.identity")
        mixed = json.loads(self.pope("mixed.jsonl", "-a", "adapter", "--mix", "--json").stdout)
        self.assertIsNone(mixed["mixed_with"]["origins"][0]["identity"]["adapter"])
        self.assertEqual(mixed["identity"], report["identity"])
        self.assertEqual(len(report["identity"]["adapter"]), 64)

    def test_several_files_in_one_call(self):
        popular = QUESTIONS.replace("adversarial", "popular")
        more = ["-q", popular, "-o", "popular.jsonl"]
        self.pope("answers.jsonl", *more)
        before = {name: (self.here / name).read_bytes() for name in ("answers.jsonl", "popular.jsonl")}
        (self.here / "answers.jsonl").unlink()
        refused = self.pope("answers.jsonl", *more, "-a", "adapter", status=4)
        self.assertIn("popular.jsonl", refused.stderr)
        self.assertIn("the adapter: ", refused.stderr)
        self.assertEqual((self.here / "popular.jsonl").read_bytes(), before["popular.jsonl"])
        self.pope("answers.jsonl", *more)
        self.assertEqual((self.here / "answers.jsonl").read_bytes(), before["answers.jsonl"])

    def test_descriptions_of_another_model(self):
        self.describe("descriptions.jsonl")
        whole = (self.here / "descriptions.jsonl").read_bytes()
        self.assertNotIn(str(self.here).encode(), whole)
        self.assertNotIn(b'"image": "world', whole)
        for more, says in ((["-a", "adapter"], "the adapter: these descriptions were made without one"),
                           (["-Q", "What is it?"], "question: these descriptions were made with \"Describe"),
                           (["--weights", "int8"], "(weights): these descriptions were made with stored, now it is int8")):
            self.assertIn(says, self.describe("descriptions.jsonl", *more, status=4).stderr)
        self.assertEqual((self.here / "descriptions.jsonl").read_bytes(), whole)

    def test_pictures_and_questions(self):
        pictures = self.here / "pictures"
        shutil.copytree(self.folder / PICTURES, pictures)
        questions = self.here / "questions.json"
        lines = (self.folder / QUESTIONS).read_text().splitlines()
        questions.write_text("\n".join(lines) + "\n")
        arguments = ["pope", "-m", "world/model", "-q", "questions.json", "-i", "pictures", "-o", "answers.jsonl"]
        self.tool(*arguments)
        whole = (self.here / "answers.jsonl").read_bytes()
        names = sorted(pictures.iterdir())
        kept = names[0].read_bytes()
        names[0].write_bytes(names[1].read_bytes())
        refused = self.tool(*arguments, status=4)
        self.assertIn("the picture is another one than when this record was made", refused.stderr)
        names[0].write_bytes(kept)
        # The same question about another picture; another question under the same number; a question more.
        first = json.loads(lines[0])
        other = next(json.loads(line)["image"] for line in lines if json.loads(line)["image"] != first["image"])
        questions.write_text("\n".join([json.dumps({**first, "image": other}), *lines[1:]]) + "\n")
        self.assertIn("picture", self.tool(*arguments, status=4).stderr)
        questions.write_text("\n".join([json.dumps({**first, "text": "Is there a moon in the image?"}), *lines[1:]]) + "\n")
        self.assertIn("something else than answers to these questions", self.tool(*arguments, status=4).stderr)
        self.assertEqual((self.here / "answers.jsonl").read_bytes(), whole)
        questions.write_text("\n".join([*lines, json.dumps({**first, "question_id": 999})]) + "\n")
        self.assertEqual(json.loads(self.tool(*arguments, "--json").stdout)["resumed"], len(lines))

    def test_killed_between_the_two_writes(self):
        self.pope("answers.jsonl")
        whole = {name: (self.here / name).read_bytes() for name in ("answers.jsonl", "answers.jsonl.identity")}
        lines = whole["answers.jsonl"].splitlines(True)
        for left in (b"".join(lines[:-1]), b"".join(lines[:3]) + lines[3][:20], b""):
            (self.here / "answers.jsonl").write_bytes(left)
            self.pope("answers.jsonl")
            for name, contents in whole.items():
                self.assertEqual((self.here / name).read_bytes(), contents)

    def test_another_tools_answers(self):
        self.pope("answers.jsonl")
        (self.here / "answers.jsonl.identity").unlink()
        refused = self.pope("answers.jsonl", status=4)
        self.assertIn("another tool wrote it", refused.stderr)
        scored = self.tool("pope", "score", "-q", QUESTIONS, "-A", "answers.jsonl", "--resamples", "0")
        self.assertIn("note: nothing says which model made the records of answers.jsonl", scored.stdout)
        report = hadpo.pope_evaluate(splits=[{"questions": str(self.folder / QUESTIONS), "answers": str(self.here / "answers.jsonl")}],
                                     resamples=0)
        self.assertIsNone(report["splits"][0]["run"]["origin"]["identity"])
        # As an array, which is another tool's too.
        self.pope("array.jsonl")
        (self.here / "array.jsonl").write_text(json.dumps([json.loads(line) for line in (self.here / "array.jsonl").read_text().splitlines()], indent=1))
        self.assertIn("records of array.jsonl were written by another tool",
                      self.tool("pope", "score", "-q", QUESTIONS, "-A", "array.jsonl", "--resamples", "0").stdout)
        # A line that was changed, of a file that is ours.
        self.pope("own.jsonl")
        changed = (self.here / "own.jsonl").read_text().replace('"answer": "', '"answer": "No, ', 1)
        (self.here / "own.jsonl").write_text(changed)
        self.assertIn("another tool wrote it, or it was changed", self.pope("own.jsonl", status=4).stderr)
        self.assertEqual((self.here / "own.jsonl").read_text(), changed)
        scored = self.tool("pope", "score", "-q", QUESTIONS, "-A", "own.jsonl", "--resamples", "0").stdout
        self.assertIn("note: 1 records of own.jsonl were written by another tool, or changed", scored)

    # -- a training

    def test_training(self):
        begun = [*self.training(), "--steps", "4", "-o", "trained"]
        self.tool(*begun, "--stop-after", "1")
        for more, says in ((["--weights", "int4"], "(weights): its steps were made with stored, now it is int4"),
                           (["--numerics", "fast"], "the numerics: its steps were made with exact, now it is fast"),
                           (["--beta", "0.7"], "beta: its steps were made with ")):
            refused = self.tool(*begun, "--resume", "trained", *more, status=3)
            self.assertIn(says, refused.stderr)
        shutil.copytree(self.folder / "world/VG", self.here / "vg")
        pictures = sorted((self.here / "vg").rglob("*.jpg")) or sorted((self.here / "vg").rglob("*.png"))
        elsewhere = [*(argument if argument != "world/VG" else "vg" for argument in begun), "--resume", "trained"]
        kept = {picture: picture.read_bytes() for picture in pictures}
        for picture in pictures:
            picture.write_bytes(kept[pictures[0]])
        self.assertIn("the pictures' bytes: content ", self.tool(*elsewhere, status=3).stderr)
        for picture, contents in kept.items():
            picture.write_bytes(contents)
        self.tool(*elsewhere)

    # -- results and pages

    def test_results_and_page(self):
        for answers, more in (("before.jsonl", []), ("after.jsonl", ["-a", "adapter"])):
            self.pope(answers, *more)
        compare = ["report", "-o", "page.html", "-q", QUESTIONS, "-A", "after.jsonl", "-B", "before.jsonl", "--resamples", "0"]
        self.tool(*compare, SOURCE_DATE_EPOCH="86400")
        page = (self.here / "page.html").read_text()
        self.assertIn(">1970-01-02</time>", page)
        self.assertIn(f"with libhadpo {hadpo.version()}", page)
        with hadpo.Engine() as engine, hadpo.Model(engine, self.here / "world/model", adapter=self.here / "adapter") as model:
            identity = model.describe()["identity"]
            model.unload_adapter()
            base = model.describe()["identity"]
        self.assertIn(identity["adapter"], page)
        self.assertIn(base["checkpoint"], page)
        self.assertEqual({**base, "digest": 0}, {**identity, "adapter": None, "projector": None, "digest": 0})
        self.assertIn("max_new_tokens", page)
        self.tool(*compare, SOURCE_DATE_EPOCH="86400")
        self.assertEqual((self.here / "page.html").read_text(), page)
        self.assertIn("SOURCE_DATE_EPOCH", self.tool(*compare, SOURCE_DATE_EPOCH="tomorrow", status=3).stderr)
        # Before and after of one model.
        self.pope("again.jsonl")
        same = [argument if argument != "after.jsonl" else "again.jsonl" for argument in compare]
        self.assertIn("one model with the same settings", self.tool(*same, status=3).stderr)
        scored = self.tool("pope", "score", "-q", QUESTIONS, "-A", "after.jsonl", "--resamples", "0").stdout
        self.assertRegex(scored, re.escape(f"adapter {identity['adapter'][:12]}"))

    def test_a_page_shows_no_other_pictures_than_the_model_saw(self):
        pictures = self.here / "pictures"
        shutil.copytree(self.folder / PICTURES, pictures)
        ask = ["pope", "-m", "world/model", "-q", QUESTIONS, "-i", "pictures", "-o", "answers.jsonl"]
        self.tool(*ask)
        page = ["report", "-o", "page.html", "-q", QUESTIONS, "-A", "answers.jsonl", "--resamples", "0", "--pictures", "pictures"]
        self.tool(*page)
        names = sorted(pictures.iterdir())
        names[0].write_bytes(names[1].read_bytes())
        self.assertIn(names[0].name, (self.here / QUESTIONS).read_text())
        refused = self.tool(*page, status=4).stderr
        self.assertIn("a picture is another one than when the model was asked about it", refused)
        self.assertIn(names[0].name, refused)
        self.assertIn("another one", self.tool("pope", "score", "-q", QUESTIONS, "-A", "answers.jsonl", "--resamples", "0", "--report",
                                               "page.html", "--pictures", "pictures", status=4).stderr)
        # Nothing says what another tool saw.
        (self.here / "answers.jsonl.identity").unlink()
        self.tool(*page)

    def test_what_lies_beside_answers_is_unreadable(self):
        self.pope("answers.jsonl")
        for contents in (b"garbage\n", b"{\"origin\": {}}\n", b"\xff\xfe\n"):
            (self.here / "answers.jsonl.identity").write_bytes(contents)
            refused = self.tool("pope", "score", "-q", QUESTIONS, "-A", "answers.jsonl", "--resamples", "0", status=None)
            if contents.startswith(b"{"):
                continue  # An origin without records: those are another tool's.
            self.assertEqual(refused.returncode, 4)
            self.assertIn("the file that says which model made the records beside it cannot be read", refused.stderr)
            self.assertIn("remove this file to score the records as another tool's", refused.stderr)

    def test_two_question_files_name_one_answers_file(self):
        other = "world/POPE/output/coco/coco_pope_random.json"
        refused = self.tool("pope", "-m", "world/model", "-i", PICTURES, "-q", QUESTIONS, "-o", "one.jsonl", "-q", other, "-o",
                            "./one.jsonl", status=3).stderr
        self.assertIn("two question files name one answers file", refused)

    def test_what_a_training_leaves_on_the_model_is_part_of_it(self):
        with hadpo.Engine() as engine, hadpo.Model(engine, self.here / "world/model") as model:
            base = model.describe()["identity"]
            data = {"desc": str(self.here / "pairs/desc_data.json"), "image_data": str(self.here / "world/VG/image_data.json"),
                    "images": str(self.here / "world/VG")}
            with model.trainer(data=data, batch=2, steps=2, lora={"rank": 2, "alpha": 4}) as trainer:
                self.assertEqual(trainer.run()["identity"], base)
                trainer.save(self.here / "saved")
            trained = model.describe()["identity"]
            self.assertNotEqual(trained["digest"], base["digest"])
            model.load_adapter(self.here / "saved")
            self.assertEqual(model.describe()["identity"], trained)

    def test_scored_answers_of_one_picture(self):
        picture = sorted((self.folder / PICTURES).iterdir())[0]
        ask = ["score", "-m", "world/model", picture, "-Q", "What?", "-C", "A dog.", "--json"]
        base, trained = (json.loads(self.tool(*ask, *more).stdout)["identity"] for more in ([], ["-a", "adapter"]))
        self.assertIsNone(base["adapter"])
        self.assertEqual(len(trained["adapter"]), 64)

    def test_verify(self):
        shown = json.loads(self.tool("inspect", "-m", "world/model", "--verify", "--json").stdout)
        self.assertEqual(len(shown["identity"]["verified"]), 64)
        self.assertNotIn("verified", json.loads(self.tool("inspect", "-m", "world/model", "--json").stdout)["identity"])


if __name__ == "__main__":
    unittest.main()
