"""Evaluation from the command line and through ctypes: POPE rules and questions, CHAIR, SHR, a description run that is killed."""

import json
import pathlib
import signal
import subprocess
import sys
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "bindings/python"))
import hadpo  # noqa: E402
from tool import TOOL, ToolTest  # noqa: E402

FIXTURES = ROOT / "Tests" / "Fixtures"
COMMANDS = ("pope score", "pope build", "chair", "shr", "shr describe", "shr requests", "shr agree")
REGION = {"region_id": 1, "x": 0, "y": 0, "width": 4, "height": 4}


class Evaluation(ToolTest):
    def test_commands_of_two_words_explain_themselves(self):
        listed = self.said("--help")
        for command in COMMANDS:
            self.assertIn(f"\n  {command} ", listed)
            text = self.said(*command.split(), "--help")
            self.assertIn(f"usage: hadpo {command} ", text)
            self.assertIn("example", text)
            self.assertLessEqual(max(map(len, text.splitlines())), 130)
            self.assertEqual(self.said("help", *command.split()), text)
        for schema in ("pope-score", "pope-build", "chair-score", "shr-describe", "shr-requests", "shr-score", "shr-agree"):
            self.assertEqual(json.loads(self.said("config", f"hadpo.{schema}/1"))["schema"], f"hadpo.{schema}/1")

    def test_pope_score_compares_rules_and_runs(self):
        questions = self.lines("q.json", [
            {"question_id": i, "image": f"{i // 2}.jpg", "text": f"Is there a q{i}?", "label": "no" if i % 2 else "yes"}
            for i in range(40)])
        good = self.lines("a.jsonl", [{"question_id": i, "answer": "No." if i % 2 else "Yes"} for i in range(40)])
        bad = self.lines("b.jsonl", [{"question_id": i, "answer": "Yes"} for i in range(39)])
        arguments = ["pope", "score", "-q", questions, "-A", good, "-B", bad, "-r", "official", "-r", "lmms-eval"]
        self.assertIn("39 of 40 questions", self.said(*arguments, code=4))
        arguments.append("--partial")
        report = json.loads(self.said(*arguments, "--json"))
        rules = report["splits"][0]["run"]["rules"]
        self.assertEqual(rules["official"]["accuracy"], 1)
        self.assertEqual(rules["lmms-eval"]["other_no"], 20)
        self.assertEqual(report["splits"][0]["baseline"]["outcomes"]["missing_answer"], {"count": 1, "first": [39]})
        text = self.said(*arguments)
        self.assertIn("McNemar", text)
        for coverage in ("40 of 40", "39 of 40"):
            self.assertIn(coverage, text)
        self.assertIn("missing_answer", text)
        self.assertEqual(hadpo.pope_evaluate(splits=[{"questions": str(questions), "answers": str(good)}], resamples=0)
                         ["splits"][0]["run"]["complete"], True)
        self.said("pope", "score", "-q", questions, code=2)

    def test_pope_score_takes_contents_and_says_so(self):
        for arguments in (("q.json", b""), (b"", "a.jsonl"), (pathlib.Path("q.json"), b"")):
            with self.assertRaises(hadpo.ArgumentError) as caught:
                hadpo.pope_score(*arguments)
            self.assertIn("bytes", caught.exception.expected)
            self.assertIn("is not the contents of a file", str(caught.exception))

    def test_several_question_files_are_asked_in_one_call(self):
        def questions(name, nouns):
            return self.lines(name, [{"question_id": i + 1, "image": "wide.jpg", "text": f"Is there a {noun} in the image?",
                                      "label": "yes"} for i, noun in enumerate(nouns)])
        first, second = questions("a.json", ["dog", "cat"]), questions("b.json", ["cat", "cup"])
        command = ["pope", "-m", FIXTURES / "llava/old-f32", "-i", FIXTURES / "llava/pictures", "-n", "4", "--quiet",
                   "-q", first, "-o", "a.jsonl", "-q", second, "-o", "b.jsonl"]
        report = json.loads(self.said(*command, "--json"))
        self.assertEqual((report["asked"], [split["n"] for split in report["splits"]]), (3, [2, 2]))
        text = self.said(*command)
        self.assertIn("asked 0, found in the answers files 4", text)
        self.assertIn("\nb ", text)
        self.said("pope", "-q", first, "-q", second, "-o", "a.jsonl", code=2)

    def test_pope_build_writes_questions_that_can_be_scored(self):
        objects = {f"{i}.jpg": ["dog", "cat", "cup", "car", "apple", "bus", "tree"][i % 3 : i % 3 + 4] for i in range(9)}
        path = self.file("objects.json", objects)
        report = json.loads(self.said("pope", "build", "-f", path, "-o", "out", "--images", "5", "--per-image", "2", "--json"))
        again = hadpo.pope_build(annotations=str(path), output=str(self.folder / "again"), images=5, per_image=2)
        self.assertEqual([f["sha256"] for f in report["files"]], [f["sha256"] for f in again["files"]])
        self.assertEqual(report["files"][0]["questions"], 20)
        self.assertIn("20 questions", self.said("pope", "build", "-f", path, "-o", "out", "--images", "5", "--per-image", "2"))
        self.said("pope", "build", "-f", path, "-o", "out", "--images", "50", code=1)

    def test_chair_prints_its_figures(self):
        synonyms = self.file("synonyms.txt", "dog, puppy\ncat, kitten\n")
        self.file("objects.json", {"1": ["dog"]})
        self.file("captions.json", {"1": "Two puppies and a kitten."})
        arguments = ["chair", "-A", "captions.json", "-s", synonyms, "--objects", "objects.json"]
        self.assertIn("50.00", self.said(*arguments))
        self.assertEqual(json.loads(self.said(*arguments, "--json"))["chair_s"], 1)

    def test_shr_goes_from_descriptions_to_scores_and_agreement(self):
        self.file("image_data.json", [{"image_id": i, "url": f"x/VG/{i}.jpg", "width": 10, "height": 10} for i in (1, 2)])
        self.file("region_descriptions.json", [
            {"id": i, "regions": [{**REGION, "image_id": i, "phrase": phrase}]} for i, phrase in ((1, "a dog"), (2, "a red car"))])
        answers = self.file("d.json", {"1": "A dog. A car", "2": "A car"})
        self.said("shr", "requests", "-A", answers, "--image-data", "image_data.json", "--regions", "region_descriptions.json",
                      "-o", "r.jsonl")
        requests = [json.loads(line) for line in (self.folder / "r.jsonl").read_text().splitlines()]
        self.assertEqual([r["custom_id"] for r in requests], ["run1/1", "run1/2"])
        self.lines("replies.jsonl", [
            {"custom_id": r["custom_id"], "error": None, "response": {"status_code": 200, "body": {"model": "m", "choices": [
                {"finish_reason": "stop", "message": {"content": text}}]}}}
            for r, text in zip(requests, ("Judgement:\n1. correct: a\n2. hallucination: b", "Judgement:\n1. correct: a"))])
        report = json.loads(self.said("shr", "-A", answers, "--replies", "replies.jsonl", "--requests", "r.jsonl", "-o", "judged",
                                          "--json"))
        self.assertAlmostEqual(report["corrected"]["hal_sents_ratio"], 1 / 3)
        annotated = self.said("shr", "-A", answers, "-J", "annotations", "--regions", "region_descriptions.json", "-o", "checked",
                                  "-B", "judged/sentences.jsonl")
        self.assertIn("judge: annotations, no model", annotated)
        self.assertIn("same number of sentences", annotated)
        self.assertIn("note: two judges on the same descriptions", annotated)
        self.assertIn("have no key of their request", self.said("shr", "-A", answers, "--replies", "replies.jsonl", "--requests", "r.jsonl"))
        other = self.file("other.json", {"1": "A dog. A bus", "2": "A car"})
        refused = self.said("shr", "-A", other, "--replies", "replies.jsonl", "--requests", "r.jsonl", "--partial", code=4)
        self.assertIn("asked about another description", refused)
        loose = self.said("shr", "-A", other, "--replies", "replies.jsonl")
        self.assertIn("note: no requests are given", loose)
        self.assertRegex(loose, r"sentences with a verdict +3 of 3\n")
        agreement = self.said("shr", "agree", "judged/sentences.jsonl", "checked/sentences.jsonl")
        self.assertIn("kappa 1.000", agreement)
        self.assertEqual(hadpo.shr_agree(str(self.folder / "judged/judgement.json"),
                                         str(self.folder / "checked/sentences.jsonl"))["sentences"], 3)

    def test_a_killed_description_run_goes_on_to_the_same_file(self):
        pictures = FIXTURES / "llava" / "pictures"
        names = ["wide.jpg", "tall.png"]
        self.file("val.json", [{"image_id": i, "image": names[i % 2]} for i in range(120)])
        self.kill_and_resume(["-m", FIXTURES / "llava/old-f32", "-i", pictures, "--val-images", "val.json"], 120)

    def test_a_killed_run_of_the_world_s_minigpt4_goes_on_to_the_same_file(self):
        self.said("world", "make", "-o", "world", "--evaluation-images", "100", "--training-images", "0", "--set", "family=minigpt4",
                      "--quiet")
        self.kill_and_resume(["-m", "world/model", "-i", "world/VG", "--image-data", "world/VG/image_data.json", "--shr", "world/shr"],
                             100)

    def kill_and_resume(self, source, images):
        command = ["shr", "describe", *source, "-n", "40", "--batch", "1", "--quiet"]
        self.said(*command, "-o", "whole.jsonl")
        whole = (self.folder / "whole.jsonl").read_bytes()
        self.assertEqual(len(whole.splitlines()), images)
        cut = self.folder / "cut.jsonl"
        run = subprocess.Popen([TOOL, *map(str, command), "-o", str(cut)], cwd=self.folder)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and (not cut.exists() or cut.read_bytes().count(b"\n") < 5):
            time.sleep(0.002)
        run.send_signal(signal.SIGKILL)
        run.wait()
        there = cut.read_bytes().count(b"\n")
        self.assertTrue(5 <= there < images, there)
        report = json.loads(self.said(*command, "-o", cut, "--json"))
        self.assertEqual(report["resumed"], there)
        self.assertEqual(cut.read_bytes(), whole)


if __name__ == "__main__":
    unittest.main()
