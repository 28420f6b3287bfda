"""Two runs on one file: the second is refused, and the lock goes with the first one's process, however that ends."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
FIXTURES = ROOT / "Tests" / "Fixtures" / "llava"
sys.path.insert(0, str(ROOT / "bindings" / "python"))

import hadpo  # noqa: E402

COMPILER = shutil.which("cc") or shutil.which("clang")
PICTURES = ("wide.jpg", "tall.png")

# Does the work named, and stops in it at the first sign of progress until its input ends.
RUN = """
import os, sys
sys.path.insert(0, sys.argv[1])
import hadpo
sys.path.insert(0, sys.argv[2])
import test_two_runs
def stop(record):
    if record["event"] == "warning" and sys.argv[5] == "run": print(record["message"], flush=True)
    if record["event"] not in ("progress", "step"): return
    if sys.argv[5] == "fork" and os.fork() == 0:
        os.close(1)
        os.read(0, 1)  # as a worker that outlives its parent
        os.write(2, b"ended")
        os._exit(0)
    print("stopped", flush=True)
    if sys.argv[5] != "run": os.read(0, 1)
work = test_two_runs.WORK[sys.argv[3]]
work(hadpo.Model(hadpo.Engine(threads=1, on_event=stop), str(test_two_runs.FIXTURES / "old-f32")), sys.argv[4])
"""


def write_lines(path, records):
    pathlib.Path(path).write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def pope(model, folder):
    questions = write_lines(os.path.join(folder, "questions.json"), [
        {"question_id": number, "image": picture, "text": "Is there a dog?", "label": "yes"} for number, picture in enumerate(PICTURES)])
    model.pope(questions, FIXTURES / "pictures", answers=os.path.join(folder, "file"), max_new_tokens=4, batch=1)


def describe(model, folder):
    val = os.path.join(folder, "val.json")
    pathlib.Path(val).write_text(json.dumps([{"image_id": number, "image": picture} for number, picture in enumerate(PICTURES)]))
    model.shr_describe(os.path.join(folder, "file"), images=str(FIXTURES / "pictures"), val_images=val, max_new_tokens=4,
                       num_beams=1, batch=1)


def train(model, **keys):
    with model.trainer(data={"format": "pairs", "pairs": str(FIXTURES / "dpo/pairs.jsonl"), "images": str(FIXTURES / "pictures")},
                       steps=2, batch=1, lora={"rank": 2, "alpha": 4}, **keys) as trainer:
        trainer.run()


def log(model, folder):
    train(model, log=os.path.join(folder, "file"), overwrite=True)


def cache(model, folder):
    train(model, reference={"cache": os.path.join(folder, "file")})


def output(model, folder):
    train(model, output=os.path.join(folder, "out"))


WORK = {"output": output, "pope": pope, "describe": describe, "log": log, "cache": cache}


class TwoRuns(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.file = pathlib.Path(folder.name) / "file"

    def start(self, work, how, **environment):
        child = subprocess.Popen(
            [sys.executable, "-c", RUN, str(ROOT / "bindings/python"), str(pathlib.Path(__file__).parent), work, self.folder, how],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment})
        self.addCleanup(lambda: [pipe.close() for pipe in (child.stdin, child.stdout, child.stderr) if not pipe.closed])
        self.addCleanup(child.kill)
        return child

    def model(self):
        return hadpo.Model(hadpo.Engine(threads=1), str(FIXTURES / "old-f32"))

    def test_the_second_is_refused_and_after_a_kill_the_next_goes_on(self):
        for name, work in WORK.items():
            if name == "output":
                continue
            with self.subTest(name):
                child = self.start(name, "wait")
                self.assertEqual(child.stdout.readline(), "stopped\n")
                before = self.file.read_bytes()
                with self.assertRaises(hadpo.BusyError) as caught:
                    work(self.model(), self.folder)
                self.assertEqual(caught.exception.record["where"], str(self.file))
                self.assertEqual(self.file.read_bytes(), before)
                self.assertIsNone(child.poll())
                child.kill()
                child.wait()
                work(self.model(), self.folder)
                if name in ("pope", "describe"):
                    whole = self.file.read_bytes()
                    self.file.unlink()
                    work(self.model(), self.folder)
                    self.assertEqual(self.file.read_bytes(), whole)
                self.file.unlink()

    def test_a_trainings_folder_is_its_own_until_its_process_ends(self):
        child = self.start("output", "wait")
        self.assertEqual(child.stdout.readline(), "stopped\n")
        place = os.path.join(self.folder, "out")
        with self.assertRaises(hadpo.BusyError) as caught:
            output(self.model(), self.folder)
        self.assertEqual(caught.exception.record["where"], place)
        child.kill()
        child.wait()
        self.assertEqual(os.listdir(place), [])
        output(self.model(), self.folder)
        self.assertEqual(os.listdir(place), [])

    def test_two_engines_of_one_process_keep_each_other_out(self):
        questions = write_lines(os.path.join(self.folder, "q.json"), [
            {"question_id": 1, "image": PICTURES[0], "text": "Is there a dog?", "label": "yes"}])
        seen = []

        def ask_again(record):
            if record["event"] == "progress" and not seen:
                with self.assertRaises(hadpo.BusyError) as caught:
                    self.model().pope(questions, FIXTURES / "pictures", answers=self.file, max_new_tokens=4)
                seen.append(caught.exception.record["where"])

        self.model().pope(questions, FIXTURES / "pictures", answers=self.file, max_new_tokens=4, on_event=ask_again)
        self.assertEqual(seen, [str(self.file)])

    def test_a_fork_of_a_killed_run_keeps_the_file_until_it_ends(self):
        child = self.start("pope", "fork")
        self.assertEqual(child.stdout.readline(), "stopped\n")
        child.kill()
        child.wait()
        with self.assertRaises(hadpo.BusyError):
            pope(self.model(), self.folder)
        child.stdin.close()
        self.assertEqual(child.stderr.read(), "ended")
        pope(self.model(), self.folder)

    @unittest.skipUnless(COMPILER, "NOT TESTED: a file system without locks; a C compiler is missing")
    def test_where_a_file_system_has_no_locks_the_run_says_so_and_goes_on(self):
        source, library = os.path.join(self.folder, "nolock.c"), os.path.join(self.folder, "nolock.so")
        pathlib.Path(source).write_text(
            "#include <errno.h>\nint flock(int file, int what) { (void)file; (void)what; errno = ENOLCK; return -1; }\n")
        subprocess.run([COMPILER, "-shared", "-fPIC", source, "-o", library], check=True)
        for name in ("pope", "describe", "log"):
            with self.subTest(name):
                child = self.start(name, "run", LD_PRELOAD=library)
                said, failure = child.communicate(timeout=100)
                self.assertEqual(child.returncode, 0, failure)
                self.assertIn(f"{self.file} cannot be locked (no lock: No locks available)", said)
                self.assertTrue(self.file.read_bytes())
                self.file.unlink()


if __name__ == "__main__":
    unittest.main()
