"""bindings/c/examples as a stranger builds them: pkg-config on the installed tree, all warnings, the sanitizers.

A report of a sanitizer ends a program with a status that no example uses."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import unittest

EXAMPLES = pathlib.Path(__file__).resolve().parents[3] / "bindings/c/examples"
LIBRARY = pathlib.Path(os.environ["HADPO_LIBRARY"])
CC = os.environ.get("CC", "clang")
ENVIRONMENT = dict(os.environ, PKG_CONFIG_PATH=str(LIBRARY.parent / "pkgconfig"), LD_LIBRARY_PATH=str(LIBRARY.parent))
FLAGS = ["-g", "-O1", "-Wall", "-Wextra", "-Werror", "-pedantic", "-fuse-ld=lld", "-fsanitize=address,undefined"]
if "HADPO_SANITIZED" in os.environ:
    FLAGS.append("-shared-libasan")  # the runtime that the library has, of which there can be one
else:
    ENVIRONMENT.update(ASAN_OPTIONS="exitcode=86", UBSAN_OPTIONS="halt_on_error=1:exitcode=86")


class Examples(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp())
        tool = os.environ["HADPO_TOOL"]
        subprocess.run([tool, "world", "make", "-o", "world", "--evaluation-images", "4", "--training-images", "6", "--quiet"],
                       cwd=cls.folder, env=ENVIRONMENT, check=True, capture_output=True)
        cls.pictures = cls.folder / "world/coco2014/val2014"
        cls.picture = sorted(cls.pictures.iterdir())[0]

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def build(self, source):
        packages = subprocess.run(["pkg-config", "--cflags", "--libs", "hadpo", "json-c"], env=ENVIRONMENT, check=True,
                                  capture_output=True, text=True).stdout.split()
        is_cpp = source.endswith(".cpp")
        language = ["--driver-mode=g++", "-std=c++17"] if is_cpp else ["-std=c99"]
        program = self.folder / source.replace(".", "-")
        built = subprocess.run([CC, *language, *FLAGS, str(EXAMPLES / source), "-o", str(program), *packages],
                               capture_output=True, text=True)
        self.assertEqual(built.returncode, 0, built.stderr)
        return str(program)

    def run_example(self, source, *arguments, expected=0):
        run = subprocess.run([self.build(source), *map(str, arguments)], cwd=self.folder, env=ENVIRONMENT, capture_output=True,
                             text=True, timeout=120)
        self.assertEqual(run.returncode, expected, run.stdout + run.stderr)
        return run

    def test_none_is_longer_than_80_lines(self):
        for path in sorted(EXAMPLES.iterdir()):
            self.assertLessEqual(len(path.read_text().splitlines()), 80, path.name)

    def test_the_words_of_a_description_come_before_its_end_in_c_and_in_cpp(self):
        texts = []
        for source in ("describe.c", "describe.cpp"):
            streamed, answer = self.run_example(source, "world/model", self.picture).stdout.strip().split("\n")
            self.assertEqual(streamed, json.loads(answer)["text"])
            texts.append(streamed)
        self.assertIn("There is", texts[0])
        self.assertEqual(texts[0], texts[1])

    def test_a_picture_that_is_none_is_an_error_that_says_so(self):
        for source in ("describe.c", "describe.cpp"):
            run = self.run_example(source, "world/model", EXAMPLES / "describe.c", expected=1)
            self.assertIn("PNG", run.stderr)

    def test_pope_over_a_folder_prints_figures_and_goes_on_from_its_answers(self):
        questions = "world/POPE/output/coco/coco_pope_random.json"
        runs = [self.run_example("pope.c", "world/model", questions, self.pictures, "answers.jsonl") for _ in range(2)]
        self.assertRegex(runs[0].stdout, r"accuracy +0\.[5-9]|accuracy +1")
        self.assertEqual(runs[0].stdout, runs[1].stdout)
        asked = len((self.folder / questions).read_text().splitlines())
        self.assertEqual(len((self.folder / "answers.jsonl").read_text().splitlines()), asked)

    def test_two_answers_are_scored_on_raw_pixels(self):
        (self.folder / "grey.rgb").write_bytes(b"\x80" * (48 * 40 * 3))
        run = self.run_example("score.c", "world/model", "grey.rgb", 48, 40, "Is there a dog in the image?", "Yes", "No")
        lines = run.stdout.splitlines()
        self.assertEqual(len(lines), 2, run.stdout)
        for line, answer in zip(lines, ("Yes", "No")):
            self.assertRegex(line, rf"^ *-\d+\.\d+ nats, \d+ tokens: {answer}$")

    def test_ctrl_c_saves_a_training_and_the_same_command_ends_on_the_same_bits(self):
        subprocess.run([os.environ["HADPO_TOOL"], "world", "pairs", "-m", "world/model", "-w", "world", "-o", "pairs", "--quiet"],
                       cwd=self.folder, env=ENVIRONMENT, check=True, capture_output=True)
        config = {"schema": "hadpo.train/1", "steps": 40, "batch": 1, "lora": {"rank": 2, "alpha": 4}, "projector": False,
                  "optimizer": {"learning_rate": 1e-3},
                  "data": {"format": "hadpo", "desc": "pairs/desc_data.json", "pope": "pairs/pope_data.json",
                           "image_data": "world/VG/image_data.json", "images": "world/VG", "augmentation": "none"}}
        (self.folder / "train.json").write_text(json.dumps(config))
        program = self.build("train.c")
        run = subprocess.Popen([program, "world/model", "train.json", "stopped"], cwd=self.folder, env=ENVIRONMENT,
                               stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.assertIn("step 1", run.stderr.readline())
        run.send_signal(signal.SIGINT)
        output, events = run.communicate(timeout=60)
        self.assertEqual((run.returncode, output), (0, ""), events)
        self.assertIn("the same command goes on", events)
        self.assertNotIn("step 40 ", events)
        for folder in ("stopped", "straight"):
            finished = self.run_example("train.c", "world/model", "train.json", folder)
            self.assertTrue(json.loads(finished.stdout)["finished"])
        adapters = [(self.folder / name / "adapter_model.safetensors").read_bytes() for name in ("stopped", "straight")]
        self.assertEqual(*adapters)


if __name__ == "__main__":
    unittest.main()
