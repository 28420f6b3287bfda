"""What a training changed is in the folder that an export writes, wherever the checkpoint keeps it.

All weights of each family's fixture are trained for a step, vision tower and projector too; the exported folder, opened alone, must
give the log-probabilities that the trained model gives.
"""

import json
import os
import pathlib
import shutil
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "bindings" / "python"))

import hadpo

FIXTURES = ROOT / "Tests" / "Fixtures"
PICTURE = FIXTURES / "llava/pictures/tall.png"


class ExportOfTrainedParts(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        (self.folder / "samples.jsonl").write_text(
            json.dumps({"image": PICTURE.name, "question": "Is there a car?", "answer": "There is a red car."}) + "\n")

    def check(self, path, parts, **rounded):
        """`parts`: keys of hadpo.train/1. `rounded`: what a file of fp16 numbers may change (the fixtures of fp32 change nothing)."""
        image = hadpo.Image.decode(PICTURE.read_bytes())
        ask = {"question": "Is there a car?", "completion": "There is a red car."}
        with hadpo.Engine(threads=1) as engine:
            model = hadpo.Model(engine, str(path))
            before = model.score(image, **ask)
            trainer = hadpo.Trainer(
                model, method="sft", steps=1, batch=1, accumulation=1, gamma=0.0, lora={"rank": 0},
                optimizer={"learning_rate": 0.01}, schedule={"kind": "constant", "warmup_ratio": 0.0},
                data={"format": "samples", "samples": str(self.folder / "samples.jsonl"), "images": str(PICTURE.parent)}, **parts)
            trainer.run()
            trained = model.score(image, **ask)
            del trainer
            model.export(str(self.folder / "exported"))
            exported = self.folder / "exported"
            for name in rounded.get("beside", ()):
                shutil.copytree(path / name, exported / name) if (path / name).is_dir() else shutil.copy(path / name, exported)
            opened = hadpo.Model(engine, str(exported)).score(image, **ask)
        self.assertGreater(max(abs(a - b) for a, b in zip(before, trained)), 1e-3, "the training changed nothing")
        worst = max(abs(a - b) for a, b in zip(trained, opened))
        self.assertLess(worst, rounded["tolerance"], f"{trained} trained, {opened} exported")

    # The fused bias of q, k and v is one axis of the file: each third must land in its own place.
    def test_the_vision_tower_of_instructblip_with_its_fused_bias(self):
        # The file is fp16: rounding moves this model's log-probabilities by up to 2e-3.
        self.check(FIXTURES / "instructblip/hf", {"vision_tower": True, "projector": True}, tolerance=1e-2)

    def test_the_vision_tower_of_llava(self):
        self.check(FIXTURES / "llava/old-f32", {"vision_tower": True, "projector": True}, tolerance=1e-5)


if __name__ == "__main__":
    unittest.main()
