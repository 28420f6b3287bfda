"""kill -9 at twenty random moments of a training, then resume: the same final bits as without."""

import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
FIXTURES = ROOT / "Tests" / "Fixtures" / "llava"
STEPS, KILLS = 160, 20

# Resumes what it finds, saves after every step, says each step.
CHILD = """
import os, sys
sys.path.insert(0, sys.argv[1])
import hadpo
model_path, pairs, images, output, steps = sys.argv[2:7]
say = lambda record: print(record["step"], flush=True) if record["event"] == "step" else None
engine = hadpo.Engine(on_event=say, threads=int(sys.argv[7]))
model = hadpo.Model(engine, path=model_path)
trainer = hadpo.Trainer(model, data={"format": "pairs", "pairs": pairs, "images": images}, steps=int(steps), batch=2,
                        lora={"rank": 2, "alpha": 4}, optimizer={"learning_rate": 1e-3}, output=output, save_every=1,
                        log=output + ".jsonl")
if os.path.exists(os.path.join(output, "trainer_state.safetensors")):
    trainer.resume(output)
trainer.run()
trainer.save(output)
"""


class Resume(unittest.TestCase):
    def start(self, output, threads):
        return subprocess.Popen(
            [sys.executable, "-c", CHILD, str(ROOT / "bindings/python"), str(FIXTURES / "old-f32"),
             str(FIXTURES / "dpo/pairs.jsonl"), str(FIXTURES / "pictures"), str(output), str(STEPS), str(threads)],
            stdout=subprocess.PIPE, text=True)

    def test_twenty_kills_leave_the_same_bits(self):
        seed = random.randrange(10**6)
        draw = random.Random(seed)
        with tempfile.TemporaryDirectory() as folder:
            whole, broken = pathlib.Path(folder) / "whole", pathlib.Path(folder) / "broken"
            child = self.start(whole, 2)
            child.communicate(timeout=200)
            self.assertEqual(child.returncode, 0)
            for kill in range(KILLS):
                child = self.start(broken, 1 + kill % 2)  # the number of threads must not matter either
                for _ in range(draw.randint(1, 8)):
                    child.stdout.readline()
                time.sleep(draw.uniform(0, 0.02))
                self.assertIsNone(child.poll(), f"the training ended before kill {kill} (seed {seed})")
                child.kill()
                child.communicate()
            child = self.start(broken, 2)
            child.communicate(timeout=200)
            self.assertEqual(child.returncode, 0)
            names = sorted(path.name for path in whole.iterdir())
            self.assertIn("adapter_model.safetensors", names)
            self.assertIn("trainer_state.safetensors", names)
            for name in names:
                if name.endswith(".safetensors"):
                    self.assertEqual((whole / name).read_bytes(), (broken / name).read_bytes(), f"{name} differs (seed {seed})")
            steps = [json.loads(line)["step"] for line in (pathlib.Path(folder) / "broken.jsonl").read_text().splitlines()]
            self.assertEqual(steps, list(range(1, STEPS + 1)), f"the log has every step once (seed {seed})")


if __name__ == "__main__":
    unittest.main()
