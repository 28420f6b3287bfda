"""Ctrl-C in Python: a real SIGINT to a process that is deep in a call. It gets KeyboardInterrupt within two seconds, and
training goes on to the same bits."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
FIXTURES = ROOT / "Tests" / "Fixtures" / "llava"
sys.path.insert(0, str(ROOT / "bindings" / "python"))
import hadpo  # noqa: E402

# Seconds, the promise; a step of these models takes milliseconds, the library's next event at most 0.5 s. A sanitizer's build is
# many times slower, and only that the call ends is asked of it.
LIMIT = 60.0 if "HADPO_SANITIZED" in os.environ else 2.0

# With a test's work in place of WORK. It says "busy" once it is, what became of it, and that the same objects still work.
CHILD = """
import sys
sys.path.insert(0, sys.argv[1])
import hadpo
model_path, folder, pictures, pairs = sys.argv[2:6]
engine = hadpo.Engine(threads=2)
model = hadpo.Model(engine, model_path)
once = []
def busy(record):
    if not once:
        once.append(True)
        print("busy", flush=True)
try:
    WORK
    print("ended", flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
print(len(model.generate(pictures + "/wide.jpg", question="What?", max_new_tokens=4)["ids"]), flush=True)
"""
KEYS = """dict(data={"format": "pairs", "pairs": pairs, "images": pictures}, steps=100000, batch=2, lora={"rank": 2, "alpha": 4},
          schedule={"kind": "constant", "warmup_steps": 0}, optimizer={"learning_rate": 1e-3})"""


class Interrupt(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)

    def make_world(self, images):
        with hadpo.Engine() as engine:
            engine.world_make(self.folder / "world", evaluation_images=images, training_images=0)
        return self.folder / "world"

    def interrupt(self, work, model=FIXTURES / "old-f32", after=0.3):
        program = CHILD.replace("WORK", textwrap.indent(work, "    ").strip())
        child = subprocess.Popen(
            [sys.executable, "-c", program, str(ROOT / "bindings/python"), str(model), str(self.folder),
             str(FIXTURES / "pictures"), str(FIXTURES / "dpo/pairs.jsonl")], stdout=subprocess.PIPE, text=True)
        self.assertEqual(child.stdout.readline(), "busy\n")
        time.sleep(after)  # from the callback's Python back into C
        start = time.monotonic()
        child.send_signal(signal.SIGINT)
        self.assertEqual(child.stdout.readline(), "interrupted\n")
        seconds = time.monotonic() - start
        output, _ = child.communicate(timeout=60)
        self.assertEqual(child.returncode, 0, output)
        self.assertTrue(output.strip().isdigit(), output)
        self.assertLess(seconds, LIMIT)
        print(f"{self._testMethodName}: {seconds:.3f} s", flush=True)

    def test_describing_stops(self):
        world = self.make_world(4)
        picture = next((world / "coco2014/val2014").glob("*.png"))
        self.interrupt(f"""
print("busy", flush=True)
while True:
    model.generate({str(picture)!r}, question="Describe this image in detail.", max_new_tokens=120, num_beams=5)
""", model=world / "model")

    def test_a_stream_stops(self):
        self.interrupt("""
while True:
    for piece in model.stream(pictures + "/wide.jpg", question="What is there?", max_new_tokens=200):
        busy(piece)
""")

    def test_pope_stops_and_asks_the_rest_later(self):
        world = self.make_world(120)
        questions, pictures = world / "POPE/output/coco/coco_pope_random.json", world / "coco2014/val2014"
        answers, total = self.folder / "answers.jsonl", len(questions.read_text().splitlines())
        self.interrupt(f"""
for record in iter(int, 1):  # asked over and over, should all be answered before the signal comes
    model.pope({str(questions)!r}, {str(pictures)!r}, answers=folder + "/answers.jsonl", max_new_tokens=16,
               on_event=lambda record: busy(record) if record["event"] == "progress" else None)
    __import__("os").remove(folder + "/answers.jsonl")
""", model=world / "model", after=0.1)
        answered = len(answers.read_text().splitlines())
        with hadpo.Engine() as engine, hadpo.Model(engine, world / "model") as model:
            report = model.pope(questions, pictures, answers=answers, max_new_tokens=16)
        self.assertEqual((report["resumed"], report["asked"], report["n"]), (answered, total - answered, total))

    def test_training_stops_and_goes_on_to_the_same_bits(self):
        # Wherever in a step the signal came: stopped, saved, resumed in another process for the steps that are left.
        self.interrupt(f"""
trainer = hadpo.Trainer(model, **{KEYS})
try:
    # From the first step on: on a slow machine the signal would come before it, and there would be nothing to go on from.
    trainer.run(on_event=lambda record: busy(record) if record["event"] == "step" else None)
finally:
    trainer.save(folder + "/stopped")
    trainer.close()
""")
        keys = eval(KEYS, {"pairs": str(FIXTURES / "dpo/pairs.jsonl"), "pictures": str(FIXTURES / "pictures")})
        taken = 0
        for way in ("resumed", "whole"):
            with hadpo.Engine(threads=1) as engine, hadpo.Model(engine, FIXTURES / "old-f32") as model, \
                    hadpo.Trainer(model, **keys) as trainer:
                if way == "resumed":
                    trainer.resume(self.folder / "stopped")
                    taken = trainer.run(3)["step"]
                else:
                    trainer.run(taken)
                trainer.save(self.folder / way)
        self.assertGreater(taken, 3)
        names = [path.name for path in (self.folder / "whole").glob("*.safetensors")]
        self.assertIn("trainer_state.safetensors", names)
        for name in names:
            self.assertEqual((self.folder / "whole" / name).read_bytes(), (self.folder / "resumed" / name).read_bytes(), name)

    def test_a_handler_of_the_host_s_own_stops_a_call_with_its_exception(self):
        def expire(_number, _frame):
            raise TimeoutError

        before = signal.signal(signal.SIGALRM, expire)
        self.addCleanup(signal.signal, signal.SIGALRM, before)
        with hadpo.Engine(threads=1) as engine, hadpo.Model(engine, FIXTURES / "old-f32") as model:
            keys = eval(KEYS, {"pairs": str(FIXTURES / "dpo/pairs.jsonl"), "pictures": str(FIXTURES / "pictures")})
            with hadpo.Trainer(model, **keys) as trainer:
                trainer.run(1)  # something to go on from, however slow the machine is
                signal.setitimer(signal.ITIMER_REAL, 0.3)
                with self.assertRaises(TimeoutError):
                    trainer.run()
                self.assertGreater(trainer.run(1)["step"], 1)


if __name__ == "__main__":
    unittest.main()
