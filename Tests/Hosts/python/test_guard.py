"""The guard of a training, through the shared library and the tool: it asks, describes, stops, and survives being killed."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "bindings" / "python"))
TOOL = os.environ.get("HADPO_TOOL", str(ROOT / "build/bin/hadpo"))
FIXTURES = ROOT / "Tests" / "Fixtures" / "llava"
PICTURES = FIXTURES / "pictures"

import hadpo  # noqa: E402

STEPS, EVERY = 24, 4

# Saves after every step and resumes what it finds; says each step and each look.
CHILD = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
import hadpo
config = json.loads(sys.argv[3])
say = lambda record: print(record["event"], flush=True) if record["event"] in ("step", "guard") else None
model = hadpo.Model(hadpo.Engine(on_event=say), path=sys.argv[2])
trainer = hadpo.Trainer(model, **config)
if os.path.exists(os.path.join(config["output"], "trainer_state.safetensors")):
    trainer.resume(config["output"])
trainer.run()
trainer.save(config["output"])
"""


class Guard(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        words = (("cat", "yes"), ("dog", "no"), ("cup", "yes"), ("car", "no"), ("bus", "yes"), ("hat", "no"))
        self.questions = self.folder / "questions.json"
        self.questions.write_text("".join(
            json.dumps({"question_id": i, "image": ("wide.jpg", "tall.png")[i // 3], "text": f"Is there a {word} in the image?",
                        "label": label}) + "\n" for i, (word, label) in enumerate(words)))

    def keys(self, name, **guard):
        return {"data": {"format": "pairs", "pairs": str(FIXTURES / "dpo/pairs.jsonl"), "images": str(PICTURES)}, "steps": STEPS,
                "batch": 2, "lora": {"rank": 2, "alpha": 4}, "optimizer": {"learning_rate": 1e-2}, "save_every": 1,
                "output": str(self.folder / name), "log": str(self.folder / f"{name}.jsonl"),
                **({"guard": {"every": EVERY, **guard}} if guard else {})}

    def asking(self):
        return {"pope": {"questions": str(self.questions), "images": str(PICTURES), "limit": 5},
                "describe": {"images": str(PICTURES), "limit": 2, "max_new_tokens": 12}}

    def train(self, keys, **events):
        with hadpo.Engine(**events) as engine, hadpo.Model(engine, path=str(FIXTURES / "old-f32")) as model:
            with hadpo.Trainer(model, **keys) as trainer:
                report = trainer.run()
                trainer.save(keys["output"])
                return report

    def log(self, name):
        records = [json.loads(line) for line in (self.folder / f"{name}.jsonl").read_text().splitlines()]
        return [{key: value for key, value in record.items() if key != "seconds"} for record in records]

    def adapter(self, name):
        return (self.folder / name / "adapter_model.safetensors").read_bytes()

    def test_looks_do_not_change_the_training_and_are_in_the_log(self):
        self.train(self.keys("plain"))
        report = self.train(self.keys("watched", keep="best", best="describe.words", **self.asking()))
        self.assertEqual(self.adapter("plain"), self.adapter("watched"))
        looks = [record for record in self.log("watched") if record["event"] == "guard"]
        self.assertEqual([look["step"] for look in looks], list(range(0, STEPS + 1, EVERY)))
        self.assertEqual(looks, report["guard"]["records"])
        self.assertEqual([record for record in self.log("watched") if record["event"] == "step"], self.log("plain"))
        for look in looks:
            self.assertEqual(list(look["figures"]), [
                "chosen_logprob", "rejected_logprob", "pope.accuracy", "pope.precision", "pope.recall", "pope.f1",
                "pope.yes_ratio", "pope.roc_area", "describe.words", "describe.repetition"])
            self.assertLess(look["figures"]["chosen_logprob"], 0)
            self.assertIn(look["figures"]["pope.accuracy"], [n / 5 for n in range(6)])  # five of the six questions
        best = report["guard"]["best"]
        self.assertEqual(best["value"], max(look["figures"]["describe.words"] for look in looks[1:]))
        with hadpo.Engine() as engine, hadpo.Model(engine, path=str(FIXTURES / "old-f32")) as model:
            model.load_adapter(best["folder"])

    def test_what_the_guard_says_is_what_the_evaluators_say(self):
        report = self.train(self.keys("watched", **self.asking()))
        last = report["guard"]["records"][-1]["figures"]
        with hadpo.Engine() as engine, hadpo.Model(engine, path=str(FIXTURES / "old-f32")) as model:
            model.load_adapter(self.folder / "watched")
            pope = model.pope(questions=str(self.questions), images=str(PICTURES), limit=5, max_new_tokens=16)
            words = []
            for name in ("tall.png", "wide.jpg"):
                with hadpo.Image.open(PICTURES / name) as image:
                    text = model.generate(image, question="Describe this image in detail.", max_new_tokens=12)["text"]
                    words.append(len(text.split()))
        for key in ("accuracy", "recall", "yes_ratio", "f1"):
            self.assertEqual(last[f"pope.{key}"], pope[key])
        self.assertEqual(last["describe.words"], sum(words) / 2)

    def test_kills_leave_the_same_looks_and_the_same_bits(self):
        self.train(self.keys("whole", **self.asking()))
        keys = self.keys("broken", **self.asking())
        command = [sys.executable, "-c", CHILD, str(ROOT / "bindings/python"), str(FIXTURES / "old-f32"), json.dumps(keys)]
        for lines in (2, 3, 6, 7, 9, 5):  # the first step is saved before it is said; in steps, before and after looks
            child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            for _ in range(lines):
                child.stdout.readline()
            child.kill()
            child.communicate()
        self.assertEqual(subprocess.run(command, stdout=subprocess.DEVNULL, timeout=120).returncode, 0)
        self.assertEqual(self.adapter("whole"), self.adapter("broken"))
        self.assertEqual(self.log("whole"), self.log("broken"))
        self.assertEqual((self.folder / "whole/trainer_state.safetensors").read_bytes(),
                         (self.folder / "broken/trainer_state.safetensors").read_bytes())

    def test_a_host_can_stop_a_look_and_go_on(self):
        class Enough(Exception):
            pass

        asked = []

        def stop(record):
            asked.append(record["event"])
            if record["event"] == "progress" and record.get("task") == "pope" and asked.count("step") == EVERY:
                raise Enough

        keys = self.keys("stopped", **self.asking())
        with hadpo.Engine(on_event=stop) as engine, hadpo.Model(engine, path=str(FIXTURES / "old-f32")) as model:
            with hadpo.Trainer(model, **keys) as trainer:
                with self.assertRaises(Enough):
                    trainer.run()
                self.assertEqual([r["step"] for r in self.log("stopped") if r["event"] == "guard"], [0])
                asked.append("step")
                trainer.run()
        self.train(self.keys("whole", **self.asking()))
        self.assertEqual(self.log("stopped"), self.log("whole"))

    def test_what_is_missing_is_found_before_the_training(self):
        lost = self.folder / "lost.json"
        lost.write_text(json.dumps({"question_id": 1, "image": "none.jpg", "text": "Is there a cat?", "label": "no"}) + "\n")
        for guard, word in (({"pope": {"questions": str(lost), "images": str(PICTURES)}}, "none.jpg"),
                            ({"describe": {"images": str(self.folder / "nowhere")}}, "nowhere"),
                            ({"describe": {"images": str(self.folder)}}, "no pictures"),
                            ({"stop": [{"figure": "pope.accuracy", "below": 0.5}]}, "pope.accuracy")):
            with self.assertRaises(hadpo.Error) as caught:
                self.train(self.keys("bad", **guard))
            self.assertIn(word, str(caught.exception))
        self.assertFalse((self.folder / "bad.jsonl").exists())

    # ---- the tool

    def run_tool(self, *more, code=0):
        run = subprocess.run(
            [TOOL, "train", "-m", str(FIXTURES / "old-f32"), "--pairs", str(FIXTURES / "dpo/pairs.jsonl"), "-i", str(PICTURES),
             "-o", str(self.folder / "tool"), "--rank", "2", "--batch", "2", "--steps", "12", "--learning-rate", "1e-2", *more],
            capture_output=True, text=True, timeout=120)
        self.assertEqual(run.returncode, code, run.stdout + run.stderr)
        return run

    def test_the_tool_stops_says_why_and_keeps_the_best(self):
        # Three of five steps after the first look move the answers' log-probability by more than a thousandth.
        run = self.run_tool("--guard-every", "5", "--guard-stop", "chosen_logprob rises 0.001", "--guard-stop",
                            "chosen_logprob falls 0.001", "--guard-best", "chosen_logprob", "--json")
        self.assertIn("guard: step 0", run.stderr)
        self.assertIn("the guard stops the training: chosen_logprob is", run.stderr)
        report = json.loads(run.stdout)
        self.assertEqual(report["step"], 5)
        self.assertIn(report["guard"]["stopped"]["rule"], ("rises", "falls"))
        self.assertTrue((self.folder / "tool/best/adapter_model.safetensors").exists())
        self.assertTrue((self.folder / "tool/adapter_model.safetensors").exists())

    def test_the_tool_names_a_rule_it_cannot_read(self):
        for rule in ("chosen_logprob", "chosen_logprob falls much", "falls 3", "chosen_logprob falls 1 2"):
            self.assertIn("guard-stop", self.run_tool("--guard-stop", rule, code=2).stderr)
        self.assertIn("stop", self.run_tool("--guard-stop", "chosen_logprob sinks 1", code=3).stderr)


if __name__ == "__main__":
    unittest.main()
