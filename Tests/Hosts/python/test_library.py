"""libhadpo through ctypes, as a Python host uses it. HADPO_LIBRARY names the library (`make test` sets it)."""

import json
import os
import pathlib
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
FIXTURES = ROOT / "Tests" / "Fixtures" / "llava"
sys.path.insert(0, str(ROOT / "bindings" / "python"))

import hadpo  # noqa: E402

PAIRS = {"data": {"format": "pairs", "pairs": str(FIXTURES / "dpo/pairs.jsonl"), "images": str(FIXTURES / "pictures")},
         "batch": 1, "lora": {"rank": 2, "alpha": 4}}


class Configs(unittest.TestCase):
    def test_every_schema_has_defaults_that_name_it(self):
        for name in ("engine", "model", "generate", "score", "inspect", "train", "export", "pope", "world", "world-pairs",
                     "world-base"):
            schema = f"hadpo.{name}/1"
            self.assertEqual(next(iter(hadpo.config_default(schema).items())), ("schema", schema))

    def test_defaults_are_upstreams_effective_values(self):
        # Tests state the published recipe of LLaVA-1.5 by its numbers, not by reading the library's own table.
        train = hadpo.config_default("hadpo.train/1")
        self.assertEqual(train["beta"], 0.1)
        self.assertEqual(train["optimizer"]["learning_rate"], 2e-6)
        self.assertEqual(train["optimizer"]["weight_decay"], 0)
        self.assertEqual((train["lora"]["rank"], train["lora"]["alpha"]), (128, 256))
        self.assertIs(train["projector"], True)

    def test_an_unknown_key_is_named_with_the_nearest_known_one(self):
        with self.assertRaises(hadpo.Error) as caught:
            hadpo.config_resolve({"schema": "hadpo.train/1", "data": {"desc": "d"}, "optimizer": {"learning_rat": 1}})
        self.assertEqual(caught.exception.status, 21)
        text = json.dumps(caught.exception.record)
        self.assertIn("/optimizer/learning_rat", text)
        self.assertIn("learning_rate", text.replace("/optimizer/learning_rat\"", ""))


class WithModel(unittest.TestCase):
    def setUp(self):
        self.records = []
        self.engine = hadpo.Engine(on_event=self.records.append, threads=2, numerics="exact")
        self.model = hadpo.Model(self.engine, path=str(FIXTURES / "old-f32"))
        self.image = hadpo.Image.open(FIXTURES / "pictures" / "wide.jpg")
        self.folder = tempfile.TemporaryDirectory()

    def tearDown(self):
        self.image.close()
        self.model.close()
        self.engine.close()
        self.folder.cleanup()

    def test_greedy_tokens_are_those_of_transformers(self):
        expected = json.loads((FIXTURES / "old-f32" / "expected.json").read_text())
        answer = self.model.generate(self.image, question=expected["question"], template=expected["template"],
                                     max_new_tokens=expected["max_new_tokens"])
        ids = [token for token in answer["ids"] if token != 2]
        self.assertEqual(ids, [token for token in expected["greedy_ids"] if token != 2])

    def test_streamed_tokens_make_up_the_answer(self):
        answer = self.model.generate(self.image, question="What is there?", max_new_tokens=12, stream=True)
        streamed = "".join(record["text"] for record in self.records if record["event"] == "token")
        self.assertEqual(streamed.strip(), answer["text"].strip())

    def test_log_probabilities_count_the_end_token(self):
        logps = self.model.score(self.image, question="Is there a cat?", completion="No.")
        self.assertGreater(len(logps), 1)
        self.assertTrue(all(value < 0 for value in logps))

    def test_an_exception_of_the_callback_comes_out_as_itself(self):
        def interrupt(_record):
            raise KeyboardInterrupt

        with hadpo.Engine(on_event=interrupt) as engine, self.assertRaises(KeyboardInterrupt):
            with hadpo.Model(engine, path=str(FIXTURES / "old-f32")) as model, hadpo.Trainer(model, steps=1, **PAIRS) as trainer:
                trainer.run()

    def test_training_starts_at_log_two_saves_and_loads(self):
        with hadpo.Trainer(self.model, steps=2, **PAIRS) as trainer:
            trainer.run()
            trainer.save(os.path.join(self.folder.name, "adapter"))
        first = next(record for record in self.records if record["event"] == "step")
        # log sigmoid(0): policy and reference are the same before the first update; fp32 sums of log-probs leave 1e-6.
        self.assertAlmostEqual(first["dpo_loss"], 0.693147, places=5)
        self.model.load_adapter(os.path.join(self.folder.name, "adapter"))
        self.model.unload_adapter()

    def test_a_second_training_starts_where_the_first_one_did(self):
        for _ in range(2):
            del self.records[:]
            with hadpo.Trainer(self.model, steps=2, **{**PAIRS, "projector": True}) as trainer:
                trainer.run()
            first = next(record for record in self.records if record["event"] == "step")
            # The first one's projector is not the second one's start: the reference would be another model (0.69297 was seen).
            self.assertAlmostEqual(first["dpo_loss"], 0.693147, places=5)

    def test_pope_runs_over_a_folder_and_a_second_run_asks_nothing(self):
        questions = os.path.join(self.folder.name, "questions.json")
        with open(questions, "w") as file:
            for number, label in enumerate(("yes", "no", "yes", "no"), 1):
                file.write(json.dumps({"question_id": number, "image": "wide.jpg", "text": f"Is there a {label}?", "label": label})
                           + "\n")
        keys = {"questions": questions, "images": str(FIXTURES / "pictures"), "max_new_tokens": 4,
                "answers": os.path.join(self.folder.name, "answers.jsonl")}
        first = self.model.pope(**keys)
        with open(keys["answers"], "rb") as file:
            answers = file.read()
        self.assertEqual(len(answers.splitlines()), 4)
        second = self.model.pope(**keys)
        self.assertEqual(first["accuracy"], second["accuracy"])
        with open(keys["answers"], "rb") as file:
            self.assertEqual(file.read(), answers)


if __name__ == "__main__":
    unittest.main()
