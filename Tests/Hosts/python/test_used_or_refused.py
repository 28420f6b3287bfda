"""What a caller gives is used or refused by its name, through the library and the tool alike: configurations, trainings that cannot move,
pictures that cannot be read, places for output."""

import json
import pathlib
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
FIXTURES = ROOT / "Tests" / "Fixtures"
LLAVA, PICTURES = FIXTURES / "llava/old-f32", FIXTURES / "llava/pictures"
PAIRS = FIXTURES / "llava/dpo/pairs.jsonl"
sys.path.insert(0, str(ROOT / "bindings" / "python"))
import hadpo  # noqa: E402
from tool import ToolTest  # noqa: E402

MODELS = {"llava": {"path": LLAVA}, "instructblip": {"path": FIXTURES / "instructblip/hf"},
          "minigpt4": {"path": FIXTURES / "minigpt4/model"}}
# What a schema cannot do without.
NEEDED = {
    "model": {"path": "x"}, "generate": {"question": "q"}, "score": {"question": "q", "completion": "c"}, "inspect": {"question": "q"},
    "export": {"output": "x"}, "train": {"data": {"format": "pairs", "pairs": "p"}}, "pope": {"questions": "q", "images": "i"},
    "pope-score": {"splits": [{"questions": "q", "answers": "a"}]}, "pope-build": {"annotations": "a", "output": "o"},
    "chair-score": {"captions": "c", "synonyms": "s", "objects": "o"}, "shr-describe": {"images": "i", "output": "o", "shr": "s"},
    "shr-requests": {"answers": "a", "output": "o", "vg": "v"}, "shr-score": {"answers": "a", "replies": "r"},
    "shr-agree": {"a": "a", "b": "b"}, "report": {"output": "o", "training": ["l"]}, "world": {"output": "o"},
    "world-pairs": {"world": "w", "output": "o"}, "world-base": {"output": "o"}, "engine": {},
}


def merged(base, more):
    """Nested keys of `more` over those of `base`."""
    result = dict(base)
    for key, value in more.items():
        result[key] = merged(result.get(key) or {}, value) if isinstance(value, dict) else value
    return result


class Edges(ToolTest):
    def refused(self, function, *words):
        with self.assertRaises(hadpo.HadpoError) as caught:
            function()
        for word in words:
            self.assertIn(word, str(caught.exception))
        return caught.exception


class Configurations(Edges):
    def test_defaults_that_are_written_out_mean_the_same_in_every_schema(self):
        for name, needed in NEEDED.items():
            with self.subTest(name):
                schema = f"hadpo.{name}/1"
                short = hadpo.config_resolve({"schema": schema, **needed})
                self.assertEqual(hadpo.config_resolve(short), short)
                whole = merged(hadpo.config_default(schema), needed)
                self.assertEqual(hadpo.config_resolve(whole), short)

    def test_every_key_that_has_no_effect_is_named(self):
        cases = [
            ("generate", {"temperature": 0.5}), ("generate", {"top_k": 3}), ("generate", {"top_p": 0.5}), ("generate", {"seed": 3}),
            ("generate", {"length_penalty": 2}), ("generate", {"early_stopping": "true"}), ("generate", {"early_stopping": True}),
            ("generate", {"beam_rule": "hf-4.57"}), ("generate", {"num_beams": 2, "seed": 3}),
            ("generate", {"do_sample": True, "length_penalty": 2}), ("pope", {"length_penalty": 2}),
            ("shr-describe", {"num_beams": 1, "length_penalty": 2}), ("shr-describe", {"regions": "r"}), ("shr-describe", {"factual": ["f"]}),
            ("shr-score", {"synonyms": "s"}), ("shr-score", {"vg": "v"}), ("shr-score", {"resamples": 0, "seed": 3}),
            ("shr-score", {"judge": "annotations", "vg": "v", "replies": "r"}), ("shr-requests", {"image_data": "i", "regions": "r"}),
            ("chair-score", {"resamples": 0, "seed": 3}), ("pope-score", {"resamples": 0, "seed": 3}), ("report", {"baseline_name": "x"}),
            ("report", {"picture_width": 40}), ("report", {"outside": True}), ("report", {"seed": 4}), ("report", {"resamples": 4}),
            ("train", {"data": {"desc": "d"}}), ("train", {"data": {"samples": "s"}}), ("train", {"epochs": 2, "steps": 3}),
        ]
        for name, keys in cases:
            with self.subTest(name, **keys):
                config = {"schema": f"hadpo.{name}/1", **merged(NEEDED[name], keys)}
                error = self.refused(lambda: hadpo.config_resolve(config))
                self.assertEqual(error.status, 21)
        for keys in ({"do_sample": True, "temperature": 0.5, "top_k": 3, "top_p": 0.5, "seed": 3},
                     {"num_beams": 2, "length_penalty": 2, "early_stopping": True, "beam_rule": "hf-4.57"},
                     {"temperature": 1, "seed": 0, "length_penalty": 1}):
            hadpo.config_resolve({"schema": "hadpo.generate/1", "question": "q", **keys})

    def test_the_model_says_whose_defaults(self):
        expected = {"llava": ("hadpo-llava", 128, 0, None), "instructblip": ("hadpo-instructblip", 64, 0, None),
                    "minigpt4": ("hadpo-minigpt4", 64, 1000, None)}
        with hadpo.Engine(threads=1) as engine:
            for family, (recipe, rank, steps, epochs) in expected.items():
                with hadpo.Model(engine, **MODELS[family]) as model:
                    found = hadpo.config_default("hadpo.train/1", model)
                    self.assertEqual((found["recipe"], found["lora"]["rank"], found["steps"], found["epochs"]),
                                     (recipe, rank, steps, epochs))
                    beams = 5 if family == "instructblip" else 1
                    self.assertEqual(hadpo.config_default("hadpo.pope/1", model)["num_beams"], beams)
                printed = self.run_tool("config", "hadpo.train/1", "-m", MODELS[family]["path"])
                self.assertEqual(json.loads(printed.stdout), found)
        self.assertEqual(hadpo.config_default("hadpo.train/1")["recipe"], "hadpo-llava")

    def test_config_does_what_set_says(self):
        printed = json.loads(self.run_tool("config", "hadpo.train/1", "--set", "optimizer.beta2=0.5", "--set", "epochs=3").stdout)
        self.assertEqual((printed["optimizer"]["beta2"], printed["epochs"], printed["steps"]), (0.5, 3, 0))
        self.assertIn("/optimizer/beta3", self.run_tool("config", "hadpo.train/1", "--set", "optimizer.beta3=0.5", code=3).stderr)
        self.assertIn("/epochs", self.run_tool("config", "hadpo.train/1", "--set", "epochs=3", "--set", "steps=4", code=3).stderr)
        self.assertIn("/temperature", self.run_tool("config", "hadpo.generate/1", "--set", "temperature=0.4", code=3).stderr)
        self.run_tool("config", "hadpo.train/1", "--set", "engine.threads=2", code=2)
        self.run_tool("config", "hadpo.train/1", "--set", "schema=hadpo.pope/1", code=2)
        (self.folder / "t.json").write_text(self.run_tool("config", "hadpo.train/1", "--set", "data.format=pairs", "--set", "data.pairs=p").stdout)
        self.assertEqual(self.run_tool("config", "-c", "t.json").stdout, (self.folder / "t.json").read_text())

    def test_files_that_a_layout_does_not_have_are_refused(self):
        blip = FIXTURES / "instructblip/lavis"
        cases = [("llava", {"image_size": 28}), ("llava", {"vision_tower": "x"}), ("llava", {"bert": "x"}), ("llava", {"checkpoint": "x"}),
                 ("instructblip", {"bert": "x"}), ("instructblip", {"vision_tower": "x"}), ("instructblip", {"checkpoint": "x"}),
                 ("minigpt4", {"bert": blip / "bert-base-uncased"})]
        with hadpo.Engine(threads=1) as engine:
            for family, keys in cases:
                with self.subTest(family, **keys):
                    error = self.refused(lambda: hadpo.Model(engine, **MODELS[family], **keys), f"/{next(iter(keys))}")
                    self.assertEqual(error.status, 21)
            self.refused(lambda: hadpo.Model(engine, FIXTURES / "llava/original-f16", vision_tower="nowhere"), "nowhere")
        self.assertIn("/bert", self.run_tool("inspect", "-m", LLAVA, "--bert", "x", code=3).stderr)

    def test_the_folders_own_length_of_answers_is_named(self):
        folder = self.folder / "model"
        folder.mkdir()
        for path in LLAVA.iterdir():
            (folder / path.name).symlink_to(path)
        config = folder / "generation_config.json"
        config.unlink(missing_ok=True)
        config.write_text(json.dumps({"max_new_tokens": 7, "eos_token_id": 2}))
        with hadpo.Engine(threads=1) as engine, hadpo.Model(engine, folder) as model:
            self.assertTrue(any("max_new_tokens 7" in note for note in model.describe()["notes"]), model.describe()["notes"])


class Flags(Edges):
    def test_flags_that_contradict_each_other(self):
        picture, train = PICTURES / "wide.jpg", ["train", "-m", LLAVA, "-i", PICTURES, "-o", "out", "--pairs", PAIRS]
        for code, arguments in [
            (3, ["describe", "-m", LLAVA, picture, "--temperature", "0.5"]), (3, ["describe", "-m", LLAVA, picture, "--top-k", "3"]),
            (3, ["describe", "-m", LLAVA, picture, "--seed", "3"]), (3, ["describe", "-m", LLAVA, picture, "--early-stopping"]),
            (3, ["describe", "-m", LLAVA, picture, "--length-penalty", "2"]), (3, [*train, "--desc", "nope.json"]),
            (3, [*train, "--samples", "nope.jsonl"]), (3, [*train, "--image-data", "nope.json"]), (3, [*train, "--epochs", "2", "--steps", "2"]),
            (3, [*train, "--method", "sft"]), (3, [*train, "--learning-rate", "0"]), (2, [*train, "--stop-after", "0"]),
            *[(2, [*train, "--inspect-step", "f", *more]) for more in (
                ["--log", "l"], ["--overwrite"], ["--save-every", "2"], ["--guard-every", "2"])],
            (2, [*train, "--inspect-step", "f", "--stop-after", "1"]), (2, [*train, "--events", "--quiet"]),
            (2, ["check", "-m", LLAVA, "--pairs", PAIRS, "stray"]), (2, ["export", "-m", LLAVA, "-o", "x", "stray"]),
            (2, ["pope", "-q", "q", "--score", "a", "-m", LLAVA]), (2, ["pope", "-q", "q", "--score", "a", "-n", "3"]),
            (2, ["pope", "-q", "q", "--score", "a", "-q", "r"]), (2, ["chair", "--pictures", PICTURES]),
            (2, ["world", "make", "-o", "w", "-m", LLAVA]), (2, ["inspect", "-m", LLAVA, "-Q", "What?"]),
        ]:
            with self.subTest(" ".join(map(str, arguments))):
                self.run_tool(*arguments, code=code)
        self.assertFalse((self.folder / "out").exists())

    def test_flags_that_fit_together(self):
        self.run_tool("describe", "-m", LLAVA, PICTURES / "wide.jpg", "-n", "3", "-b", "2", "--early-stopping", "--length-penalty", "2")
        self.run_tool("describe", "-m", LLAVA, PICTURES / "wide.jpg", "-n", "3", "--sample", "--temperature", "0.5", "--seed", "3")


class Trainings(Edges):
    keys = {"data": {"format": "pairs", "pairs": str(PAIRS), "images": str(PICTURES)}, "batch": 2, "steps": 3,
            "lora": {"rank": 2, "alpha": 4}, "optimizer": {"learning_rate": 1e-3}, "projector": False}

    def hundred(self, name="pairs.jsonl"):
        lines = [{"image": str(PICTURES / "tall.png"), "question": "Is there a cat in the image?",
                  "chosen": f"No, there is no cat. {number}", "rejected": f"Yes, there is a cat. {number}"} for number in range(100)]
        (self.folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
        return self.folder / name

    def test_the_recipe_moves_on_a_hundred_pairs(self):
        pairs = self.hundred()
        run = self.run_tool("train", "-m", LLAVA, "--pairs", pairs, "--outside", "--rank", "2", "--alpha", "4", "-o", "adapter", "--json",
                        "--log", "log.jsonl", "--stop-after", "2")
        plan = json.loads(run.stdout)["plan"]
        self.assertEqual((plan["samples_per_step"], plan["steps"], plan["epochs"]), (6, 17, 1))
        self.assertIn("6 samples a step and not 128", run.stderr)
        steps = [json.loads(line) for line in (self.folder / "log.jsonl").read_text().splitlines()]
        self.assertGreater(steps[1]["learning_rate"], 0)
        self.assertEqual([round(step["epoch"], 12) for step in steps], [0.06, 0.12])

    def test_what_cannot_move_is_refused_by_check_and_train(self):
        pairs = self.hundred()
        flags = ["-m", LLAVA, "--pairs", pairs, "--outside", "--batch", "128", "--warmup-steps", "1"]
        checked = self.run_tool("check", *flags, code=3)
        trained = self.run_tool("train", *flags, "-o", "adapter", code=3)
        for run in (checked, trained):
            self.assertIn("a training in which nothing can move", run.stderr)
            self.assertIn("all of it warm-up", run.stderr)
        self.assertFalse((self.folder / "adapter").exists())

    def test_a_template_that_no_sample_uses_is_refused(self):
        line = {"image": "wide.jpg", "prompt": "USER: <image>\nWhat? ASSISTANT:", "chosen": "A cup.", "rejected": "A dog."}
        (self.folder / "raw.jsonl").write_text(json.dumps(line) + "\n")
        keys = merged(self.keys, {"data": {"pairs": str(self.folder / "raw.jsonl")}})
        with hadpo.Engine(threads=1) as engine, hadpo.Model(engine, LLAVA) as model:
            self.assertEqual(model.check(**keys)["refused"], [])
            self.assertEqual(model.check(**keys, template="hf")["refused"][0]["where"], "/template")
            self.refused(lambda: model.trainer(**keys, template="hf"), "/template")

    def test_four_pairs_and_one_epoch_are_four_draws(self):
        (self.folder / "four.jsonl").write_text("".join(self.hundred().read_text().splitlines(True)[:4]))
        run = self.run_tool("train", "-m", LLAVA, "--pairs", "four.jsonl", "--outside", "--rank", "2", "--batch", "128", "--epochs", "1",
                        "-o", "adapter", "--json")
        report = json.loads(run.stdout)
        self.assertEqual((report["steps"], report["plan"]["epochs"]), (1, 1))
        self.assertGreater(report["last"]["learning_rate"], 0)

    def test_unreadable_pictures_are_all_named_before_the_first_step(self):
        good = (PICTURES / "tall.png").read_bytes()
        kinds = {"empty": b"", "cut": good[: len(good) // 2], "page": b"<html>404 Not Found</html>", "head": good[:20],
                 "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "text": b"no picture"}
        (self.folder / "pictures").mkdir()
        lines = []
        for name, data in {"good": good, **kinds}.items():
            (self.folder / "pictures" / f"{name}.png").write_bytes(data)
            lines.append({"image": f"{name}.png", "question": "What?", "chosen": "A cup.", "rejected": "A dog."})
        (self.folder / "p.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        flags = ["-m", LLAVA, "--pairs", "p.jsonl", "-i", "pictures", "--rank", "2", "--batch", "2"]
        for more in ([], ["--decode"]):
            report = json.loads(self.run_tool("check", *flags, "--json", *more, code=4).stdout)
            self.assertEqual([problem["line"] for problem in report["problems"]], list(range(2, 8)))
            self.assertEqual(report["refused"][0]["message"], "6 samples cannot be trained on")
        run = self.run_tool("train", *flags, "-o", "out", code=4)
        for name in kinds:
            self.assertIn(f"{name}.png", run.stderr)

    def test_the_guards_pictures_are_looked_at_too(self):
        (self.folder / "img").mkdir()
        good = (PICTURES / "tall.png").read_bytes()
        (self.folder / "img/a.png").write_bytes(good)
        (self.folder / "img/b.png").write_bytes(good[: len(good) // 2])
        questions = [{"question_id": number, "image": name, "text": "Is there a cup?", "label": "yes"}
                     for number, name in enumerate(["a.png", "b.png"])]
        (self.folder / "q.json").write_text("".join(json.dumps(line) + "\n" for line in questions))
        flags = ["-m", LLAVA, "--pairs", PAIRS, "-i", PICTURES, "--rank", "2", "--batch", "2", "--steps", "2", "--guard-pope", "q.json",
                 "--guard-images", "img"]
        self.assertIn("b.png", self.run_tool("check", *flags, code=4).stderr)
        self.assertIn("b.png", self.run_tool("train", *flags, "-o", "out", code=4).stderr)
        (self.folder / "img/b.png").write_bytes(good)
        self.run_tool("check", *flags)

    def test_the_adapter_and_log_of_another_training_stay(self):
        place, log = self.folder / "adapter", self.folder / "log.jsonl"
        flags = ["train", "-m", LLAVA, "--pairs", PAIRS, "-i", PICTURES, "--rank", "2", "--batch", "2", "--steps", "3"]
        self.run_tool(*flags, "-o", place, "--log", log, "--stop-after", "2")
        before = [(path.name, path.read_bytes()) for path in sorted(place.iterdir())] + [log.read_bytes()]
        self.assertIn("--overwrite", self.run_tool("train", "--help").stdout)
        for more in (["-o", place], ["-o", "other", "--log", log], ["-o", place, "--log", log]):
            self.assertIn("overwrite", self.run_tool(*flags, *more, code=4).stderr)
            self.run_tool("check", *flags[1:], *more, code=4)
        self.assertEqual([(path.name, path.read_bytes()) for path in sorted(place.iterdir())] + [log.read_bytes()], before)
        self.run_tool(*flags, "-o", place, "--log", log, "--resume", place)
        self.assertEqual(len(log.read_text().splitlines()), 3)
        self.run_tool(*flags, "-o", place, "--log", log, "--overwrite", "--stop-after", "1")
        self.assertEqual(len(log.read_text().splitlines()), 1)

        with hadpo.Engine(threads=1) as engine, hadpo.Model(engine, LLAVA) as model:
            with model.trainer(**self.keys) as trainer:
                trainer.run(1)
                self.refused(lambda: trainer.save(place), "overwrite")
                trainer.save(self.folder / "mine")
                trainer.save(self.folder / "mine")
            with model.trainer(**self.keys, output=str(place)) as trainer:
                self.refused(lambda: trainer.run(1), "overwrite")
                self.assertEqual(len(model.check(**self.keys, output=str(place))["refused"]), 1)

    def test_places_are_tried_before_the_first_step(self):
        (self.folder / "file").write_text("x")
        flags = ["train", "-m", LLAVA, "--pairs", PAIRS, "-i", PICTURES, "--rank", "2", "--batch", "2", "--steps", "3"]
        for more in (["-o", "file/out"], ["-o", "out", "--log", "file/log"], ["-o", "file"],
                     ["-o", "out2", "--log", "log", "--report", "file/page.html"], ["-o", "out3", "--log", "log", "--report", "."]):
            run = self.run_tool(*flags, "--events", *more, code=4)
            self.assertNotIn('"event": "step"', run.stderr)
            if "--report" not in more:
                self.run_tool("check", *flags[1:], *more, code=4)

    def test_a_failure_on_the_way_is_saved_and_resumed(self):
        # The pictures go away after the first step.
        (self.folder / "pictures").mkdir()
        for path in PICTURES.iterdir():
            (self.folder / "pictures" / path.name).write_bytes(path.read_bytes())
        data = {"format": "pairs", "pairs": str(PAIRS), "images": str(self.folder / "pictures"), "order": "file"}
        keys = {**self.keys, "data": data, "output": str(self.folder / "out"), "feature_cache_bytes": 0}
        with hadpo.Engine(threads=1) as engine, hadpo.Model(engine, LLAVA) as model:
            with model.trainer(**keys) as trainer:
                trainer.run(1)
                for path in (self.folder / "pictures").iterdir():
                    path.rename(path.with_name(path.name + ".gone"))
                self.refused(lambda: trainer.run(), "until step 1 is saved in")
            for path in (self.folder / "pictures").iterdir():
                path.rename(path.with_suffix(""))
            with model.trainer(**keys) as trainer:
                trainer.resume(self.folder / "out")
                self.assertTrue(trainer.run()["finished"])


if __name__ == "__main__":
    unittest.main()
