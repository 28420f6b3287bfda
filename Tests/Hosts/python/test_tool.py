"""The command-line tool from outside: exit codes, both kinds of output, Ctrl-C. HADPO_TOOL names it."""

import json
import pathlib
import signal
import subprocess
import time
import unittest

from tool import TOOL, ToolTest

ROOT = pathlib.Path(__file__).resolve().parents[3]
FIXTURES = ROOT / "Tests" / "Fixtures" / "llava"
MODEL = ["-m", str(FIXTURES / "old-f32")]
PICTURE = str(FIXTURES / "pictures" / "wide.jpg")
COMMANDS = ("demo", "describe", "score", "pope", "judge", "check", "train", "export", "inspect", "bench", "world", "config", "version")


class Tool(ToolTest):
    def train_flags(self, *more):
        return ["train", *MODEL, "--pairs", FIXTURES / "dpo/pairs.jsonl", "-i", FIXTURES / "pictures",
                "-o", self.folder / "adapter", "--rank", "2", "--batch", "1", *more]

    # ---- help and usage

    def test_every_command_explains_itself(self):
        listed = self.run_tool("--help").stdout
        for command in COMMANDS:
            self.assertIn(f"\n  {command} ", listed)
            text = self.run_tool(command, "--help").stdout
            self.assertIn(f"usage: hadpo {command}", text)
            self.assertLessEqual(max(map(len, text.splitlines())), 120)
            self.assertEqual(self.run_tool("help", command).stdout, text)

    def test_exit_codes_are_in_the_help(self):
        text = self.run_tool("--help").stdout
        for code in range(10):
            self.assertIn(f"  {code}  ", text)

    def test_a_wrong_command_line_ends_with_2(self):
        for arguments in ([], ["fly"], ["train", "--bogus"], ["train", "--steps"], ["train", "--steps", "many"], ["train", *MODEL],
                          ["world"], ["pope", "stray"], ["judge"], ["judge", "absent.jsonl"], ["describe", "--json=1"], ["config"], ["train", "--set", "novalue"]):
            with self.subTest(arguments):
                self.run_tool(*arguments, code=2)

    def test_a_wrong_config_ends_with_3_and_names_the_place(self):
        error = self.run_tool("config", "-c", self.file("a.json", '{"schema": "hadpo.engine/1",\n "threads": }'), code=3).stderr
        self.assertIn(":2:13", error)  # line and column
        error = self.run_tool("describe", *MODEL, PICTURE, "--set", "max_new_token=4", code=3).stderr
        self.assertIn("max_new_tokens", error)

    def test_missing_files_end_with_4(self):
        self.run_tool("describe", *MODEL, "absent.png", code=4)
        self.run_tool("describe", "-m", "absent", PICTURE, code=4)
        self.run_tool("train", "-c", "absent.json", code=4)
        self.run_tool("describe", *MODEL, self.file("text.png", "no picture"), code=4)

    def test_a_full_disk_under_standard_output_ends_with_4(self):
        with open("/dev/full", "w") as full:
            run = subprocess.run([TOOL, "version"], stdout=full, stderr=subprocess.PIPE, timeout=60)
        self.assertEqual(run.returncode, 4)

    # ---- config

    def test_config_prints_defaults_that_can_be_given_back(self):
        defaults = self.run_tool("config", "hadpo.pope/1").stdout
        self.assertEqual(json.loads(defaults)["schema"], "hadpo.pope/1")

    def test_later_settings_win_and_sections_go_to_engine_and_model(self):
        config = {"schema": "hadpo.generate/1", "max_new_tokens": 9, "model": {"path": str(FIXTURES / "old-f32")},
                  "engine": {"threads": 1}}
        path = self.file("c.json", json.dumps(config))
        answer = json.loads(self.run_tool("describe", "-c", path, PICTURE, "--json", "-n", "2").stdout)
        self.assertLessEqual(len(answer["ids"]), 2)

    # ---- a model

    def test_describe_prints_the_answer_or_a_json_line_for_each_picture(self):
        plain = self.run_tool("describe", *MODEL, PICTURE, "-n", "6").stdout
        lines = self.run_tool("describe", *MODEL, PICTURE, PICTURE, "-n", "6", "--json").stdout.splitlines()
        self.assertEqual(len(lines), 2)
        self.assertEqual(json.loads(lines[0])["text"].strip(), plain.strip())

    def test_bench_times_answers_of_the_length_that_was_asked_for(self):
        run = self.run_tool("bench", *MODEL, PICTURE, "-n", "20", "--prompt-tokens", "180", "--repeat", "2", "--beams", "3", "--json",
                            "--pairs", FIXTURES / "dpo/pairs.jsonl", "-i", FIXTURES / "pictures", "--rank", "2")
        rows = {row["bench"]: row for row in map(json.loads, run.stdout.splitlines())}
        self.assertEqual(set(rows), {"model", "load", "prompt", "decode", "decode beams", "score an answer", "DPO step",
                                     "DPO step, reference known"})
        self.assertEqual(rows["decode"]["amount"], 19)  # greedy ends sooner where it may
        self.assertEqual(rows["decode beams"]["amount"], 57)
        self.assertEqual(len(rows["decode"]["runs"]), 2)
        for name, row in rows.items():
            if name != "model":
                self.assertGreater(row["seconds"], 0)
                self.assertGreater(row["peak_bytes"], 1 << 20)
        table = self.run_tool("bench", *MODEL, "--only", "generate", "-n", "4").stdout
        self.assertIn("decode beams", table)
        blind = self.run_tool("bench", *MODEL, "--no-picture", "-n", "4", "-b", "0", "--prompt-tokens", "40").stdout
        self.assertIn("40 positions without picture", blind)
        for wrong in (["--only", "all"], ["--only", "train"], ["--repeat", "0"], ["--prompt-tokens", "3"], [PICTURE, PICTURE],
                      ["--no-picture", PICTURE]):
            with self.subTest(wrong):
                self.run_tool("bench", *MODEL, *wrong, code=2)

    def test_inspect_understands_a_folder_and_writes_tensors(self):
        self.assertIn("llava", self.run_tool("inspect", *MODEL, "--json").stdout.lower())
        self.run_tool("inspect", *MODEL, PICTURE, "-Q", "What?", "-o", "blocks.safetensors")
        data = (self.folder / "blocks.safetensors").read_bytes()
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        for name in ("pixel_values", "prompt_ids", "logits"):
            self.assertIn(name, header)

    def test_score_adds_up(self):
        result = json.loads(self.run_tool("score", *MODEL, PICTURE, "-Q", "Is there a cat?", "-C", "No.", "--json").stdout)
        self.assertAlmostEqual(sum(result["logps"]), result["logprob"], places=5)  # printed as decimal text

    def test_training_reports_events_and_writes_an_adapter(self):
        run = self.run_tool(*self.train_flags("--steps", "2", "--events", "--json"))
        json.loads(run.stdout)
        events = [json.loads(line)["event"] for line in run.stderr.splitlines()]
        self.assertEqual(events.count("step"), 2)
        self.assertTrue((self.folder / "adapter" / "adapter_config.json").exists())
        self.run_tool("describe", *MODEL, "-a", "adapter", PICTURE, "-n", "4")
        self.run_tool("export", *MODEL, "-a", "adapter", "-o", "merged")
        self.run_tool("describe", "-m", "merged", PICTURE, "-n", "4")

    def test_a_model_saved_quantised_answers_as_the_one_quantised_while_loading(self):
        for weights in ("int8", "int4"):
            self.run_tool("export", *MODEL, "--save-as", weights, "-o", weights)
            saved = self.run_tool("describe", "-m", weights, PICTURE, "-n", "8", "--kv-cache", "fp16").stdout
            loaded = self.run_tool("describe", *MODEL, "--weights", weights, PICTURE, "-n", "8", "--kv-cache", "fp16").stdout
            self.assertEqual(saved, loaded)
            names = b"".join(p.read_bytes()[:200_000] for p in (self.folder / weights).glob("*.safetensors"))
            self.assertIn(b".hadpo-q8" if weights == "int8" else b".hadpo-q4", names)
        wrong = subprocess.run([TOOL, "describe", "-m", "int8", "--weights", "int4", str(PICTURE)], cwd=self.folder,
                               capture_output=True, text=True, timeout=60)
        self.assertNotEqual(wrong.returncode, 0)
        self.assertIn("saved quantised", wrong.stderr)

    def test_ctrl_c_saves_what_was_trained(self):
        command = [TOOL, *map(str, self.train_flags("--steps", "100000", "--events"))]
        run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.folder)
        for line in run.stderr:
            if '"step"' in line:
                break
        run.send_signal(signal.SIGINT)
        start = time.monotonic()
        run.communicate(timeout=60)
        self.assertEqual(run.returncode, 5)
        self.assertLess(time.monotonic() - start, 30)  # a step of this model takes milliseconds
        self.assertTrue((self.folder / "adapter" / "adapter_config.json").exists())

    def test_check_names_what_would_be_rejected(self):
        pairs = self.file("pairs.jsonl", json.dumps({"image": "wide.jpg", "question": "What?", "chosen": "", "rejected": "b"}) + "\n")
        run = subprocess.run([TOOL, "check", *MODEL, "--pairs", str(pairs), "-i", str(FIXTURES / "pictures")],
                             capture_output=True, text=True, timeout=60)
        self.assertIn("chosen", run.stdout + run.stderr)

    def test_minigpt4s_protocol_brings_its_weights_unless_others_are_named(self):
        self.run_tool("world", "make", "-o", "world", "--evaluation-images", "2", "--training-images", "0", "--set",
                      "family=minigpt4")
        asked = ["pope", "-m", "world/model", "-q", "world/POPE/output/coco/coco_pope_random.json", "-i",
                 "world/coco2014/val2014", "-n", "8", "--json"]
        for flags, weights in (([], "stored"), (["--protocol", "hadpo-minigpt4"], "bnb-fp4"),
                               (["--protocol", "hadpo-minigpt4", "--weights", "stored"], "stored")):
            run = self.run_tool(*asked, *flags)
            used = json.loads(run.stdout)["protocol"]["weights"]
            self.assertEqual("FP4" in used.upper(), weights == "bnb-fp4", used)
            self.assertEqual("takes the weights as bnb-fp4" in run.stderr, weights == "bnb-fp4", run.stderr)

    def test_an_export_holds_a_trained_projection_in_the_file_it_came_from(self):
        self.run_tool("world", "make", "-o", "world", "--evaluation-images", "2", "--training-images", "0", "--set",
                      "family=minigpt4")
        picture = next((self.folder / "world/coco2014/val2014").iterdir())
        pairs = self.file("pairs.jsonl", json.dumps({"image": picture.name, "question": "Is there a car in the image?",
                                                     "chosen": "Yes, there is a car.", "rejected": "No, there is no car."}) + "\n")
        self.run_tool("train", "-m", "world/model", "--pairs", pairs, "-i", picture.parent, "-o", "adapter", "--steps", "8",
                      "--batch", "1", "--rank", "4", "--learning-rate", "3e-3", "--gamma", "0", "--accumulation", "1", "--set",
                      "projector=true")
        self.run_tool("export", "-m", "world/model", "-a", "adapter", "-o", "merged")
        name = "pretrained_minigpt4_llama2_7b.pth"
        self.assertNotEqual((self.folder / "merged" / name).read_bytes(), (self.folder / "world/model" / name).read_bytes())

        def logprob(*model):
            return json.loads(self.run_tool("score", *model, picture, "-Q", "Is there a car in the image?", "-C",
                                            "Yes, there is a car.", "--json").stdout)["logprob"]

        tower = ["--vision-tower", "world/model/eva_vit_g.pth"]
        base, trained = logprob("-m", "world/model"), logprob("-m", "world/model", "-a", "adapter")
        merged = logprob("-m", "merged", *tower, "--checkpoint", f"merged/{name}")
        language_only = logprob("-m", "merged", *tower, "--checkpoint", f"world/model/{name}")
        # Rounded to fp16 once: 2^-11 of each weight moves a sum over a few tokens by far less than training did.
        self.assertLess(abs(merged - trained), 0.02 * abs(trained - base))
        self.assertGreater(abs(language_only - trained), abs(merged - trained))

    def test_pope_scores_an_answers_file_without_a_model(self):
        questions = self.file("q.json", "".join(
            json.dumps({"question_id": i, "image": "a.jpg", "text": "Is there a cat in the image?", "label": label}) + "\n"
            for i, label in enumerate(("yes", "no", "yes", "no"))))
        answers = self.file("a.jsonl", "".join(
            json.dumps({"question_id": i, "question": "Is there a cat in the image?", "answer": answer}) + "\n"
            for i, answer in enumerate(("Yes.", "Yes.", "Yes.", "No."))))
        report = json.loads(self.run_tool("pope", "-q", questions, "--score", answers, "--json").stdout)
        self.assertAlmostEqual(report["accuracy"], 0.75)
        self.assertIn("75.00", self.run_tool("pope", "-q", questions, "--score", answers).stdout)


if __name__ == "__main__":
    unittest.main()
