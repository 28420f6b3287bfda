"""Trainings that continue an adapter, and adapters over a whole model, from the tool and from Python. Fixtures by peft."""

import json
import pathlib
import shutil
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "bindings" / "python"))
import hadpo  # noqa: E402
from tool import ToolTest  # noqa: E402

FIXTURES = ROOT / "Tests" / "Fixtures"
MODEL = FIXTURES / "llava" / "old-f32"
PICTURES = FIXTURES / "llava" / "pictures"
ADAPTER = FIXTURES / "adapters" / "llava-all"  # pairs on language model, tower and projector; r 2, alpha 3
ROWS = [json.loads(line) for line in (FIXTURES / "llava" / "dpo" / "pairs.jsonl").read_text().splitlines()]
TRAIN = {"data": {"format": "pairs", "pairs": FIXTURES / "llava" / "dpo" / "pairs.jsonl", "images": PICTURES, "order": "file"},
         "batch": 2, "accumulation": 1, "steps": 3, "optimizer": {"learning_rate": 1e-3}}


class Continued(ToolTest):
    def train(self, *more, code=0):
        return self.run_tool("train", "-m", MODEL, "--pairs", FIXTURES / "llava/dpo/pairs.jsonl", "-i", PICTURES, "-o", "out", "--batch", "2",
                             "--accumulation", "1", "--steps", "2", *more, code=code)

    def model(self, **keys):
        engine = hadpo.Engine(threads=1, numerics="exact")
        self.addCleanup(engine.close)
        model = hadpo.Model(engine, MODEL, processor="pad", **keys)
        self.addCleanup(model.close)
        return model

    def scores(self, model, side):
        """Mean over the first batch of the summed log-probability of an answer."""
        return sum(sum(model.score(PICTURES / row["image"], question=row["question"], completion=row[side], template="hadpo-train"))
                   for row in ROWS[:2]) / 2

    def test_the_first_step_is_what_score_says_under_both_references(self):
        base, adapted = self.model(), self.model(adapter=ADAPTER)
        expected = {side: (self.scores(base, side), self.scores(adapted, side)) for side in ("chosen", "rejected")}
        self.assertGreater(abs(expected["chosen"][0] - expected["chosen"][1]), 0.1)
        for reference, place in (("base", 0), ("start", 1)):
            with self.subTest(reference):
                steps = []
                with self.model(adapter=ADAPTER).trainer(**TRAIN, reference={"model": reference}) as trainer:
                    report = trainer.run(1, on_event=lambda record: steps.append(record) if record["event"] == "step" else None)
                for side in ("chosen", "rejected"):
                    # The sum of a dozen fp32 numbers of some nats.
                    self.assertAlmostEqual(steps[0][f"policy_logps/{side}"], expected[side][1], delta=1e-5)
                    self.assertAlmostEqual(steps[0][f"reference_logps/{side}"], expected[side][place], delta=1e-5)
                self.assertEqual((report["reference"], report["start"]["path"]), (reference, str(ADAPTER)))
                self.assertEqual((report["start"]["trained"], report["start"]["frozen"]), (21, 20))

    def test_the_tool_continues_and_says_so(self):
        said = self.train("-a", ADAPTER).stderr
        self.assertIn(f"starts from {ADAPTER}: 21 pairs of matrices are trained, 20 before the language model stay", said)
        self.assertIn("reference: base, the model without an adapter", said)
        config = json.loads((self.folder / "out/adapter_config.json").read_text())
        self.assertEqual((config["r"], config["lora_alpha"], config["use_rslora"]), (2, 3, True))
        self.assertEqual(config["alpha_pattern"], json.loads((ADAPTER / "adapter_config.json").read_text())["alpha_pattern"])
        self.assertIn("reference: start, the adapter", self.train("-a", "out", "--reference", "start", "-o", "next").stderr)
        self.assertNotIn("starts from", self.train("-o", "fresh").stderr)

    def test_what_contradicts_the_adapter_ends_with_3_and_is_named(self):
        for flags, place in ((["-a", ADAPTER, "--rank", "4"], "/lora/rank"), (["-a", ADAPTER, "--alpha", "4"], "/lora/alpha"),
                             (["-a", ADAPTER, "--set", "lora.init=x"], "/lora/init"), (["--reference", "start"], "/reference/model"),
                             (["-a", ADAPTER, "--reference", "first"], "/reference/model")):
            with self.subTest(flags):
                self.assertIn(place, self.train(*flags, code=3).stderr)
                check = [flag for flag in flags]
                self.assertIn(place, self.run_tool("check", "-m", MODEL, "--pairs", FIXTURES / "llava/dpo/pairs.jsonl", "-i", PICTURES,
                                                   *check, code=3).stderr)
        self.assertFalse((self.folder / "out").exists())

    def test_resuming_asks_for_the_same_start_and_the_same_reference(self):
        self.train("-a", ADAPTER, "--stop-after", "1")
        for flags, word in (([], "started from another adapter"), (["-a", ADAPTER, "--reference", "start"], "another reference"),
                            (["-a", "out"], "started from another adapter")):
            self.assertIn(word, self.train(*flags, "--resume", "out", code=3).stderr)
        moved = shutil.copytree(ADAPTER, self.folder / "moved", copy_function=shutil.copyfile)
        self.train("-a", moved, "--resume", "out")

    def test_unknown_fields_are_told_and_listed(self):
        strange = shutil.copytree(ADAPTER, self.folder / "strange", copy_function=shutil.copyfile)
        config = json.loads((strange / "adapter_config.json").read_text())
        (strange / "adapter_config.json").write_text(json.dumps({**config, "use_something_new": True, "nothing_new": None}))
        run = self.run_tool("score", "-m", MODEL, "-a", strange, "-C", "A cat.", "-Q", "What?", PICTURES / "wide.jpg")
        self.assertIn("use_something_new", run.stderr)
        self.assertNotIn("nothing_new", run.stderr)
        self.assertEqual(self.model(adapter=strange).describe()["adapter"]["unread"], ["use_something_new"])

    def test_every_kind_that_is_not_computed_is_refused_by_name(self):
        config = json.loads((ADAPTER / "adapter_config.json").read_text())
        kinds = {"use_dora": True, "bias": "all", "fan_in_fan_out": True, "peft_type": "PROMPT_TUNING", "modules_to_save": ["lm_head"],
                 "trainable_token_indices": [3], "layers_to_transform": [0], "exclude_modules": ["fc1"], "target_modules": ["q_proj"],
                 "init_lora_weights": "pissa", "lora_bias": True, "r": 3, "alpha_pattern": {"(?<!x)q_proj": 3}}
        model = self.model()
        for key, value in kinds.items():
            with self.subTest(key):
                other = shutil.copytree(ADAPTER, self.folder / key, copy_function=shutil.copyfile)
                (other / "adapter_config.json").write_text(json.dumps({**config, key: value}))
                with self.assertRaises(hadpo.HadpoError) as failure:
                    model.load_adapter(other)
                self.assertIn(failure.exception.status, (41, 32))  # unsupported, weights
                self.assertTrue(failure.exception.found)
                self.assertIsNone(model.describe()["adapter"])


if __name__ == "__main__":
    unittest.main()
