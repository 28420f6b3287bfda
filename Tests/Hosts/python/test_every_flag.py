"""No flag of the tool is accepted and dropped. The flags come from each command's --help; every one is given alone beside a call that works, and
then something else reaches the library: a key of a configuration, an argument, a call. Or the tool refuses the flag by its name.

What reaches the library is recorded by a shared object in front of it, which the test writes out of hadpo.h. Whether the library uses a key is
test_every_key's question.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
TOOL = os.environ["HADPO_TOOL"]
CC = os.environ.get("CC", "clang")
FIXTURES = ROOT / "Tests/Fixtures"
LLAVA = FIXTURES / "llava"

# Of the tool itself: what is printed, and where a configuration comes from.
OF_THE_TOOL = {"--help", "--json", "--events", "--quiet", "--config", "--set", "--report"}
# Commands whose flags are not of the library: test_judge, test_demo, test_getting_started have them.
OTHER_COMMANDS = {"demo", "judge", "version", "config", "bench", "world"}
# What a flag's word for its value stands for where that is no number or path.
VALUES = {
    "--weights": "int8", "--kv-cache": "fp16", "--load": "read", "--processor": "crop", "--template": "hadpo-train", "--kernels": "portable",
    "--numerics": "fast", "--protocol": "hadpo-minigpt4", "--beam-rule": "hf-4.57", "--memory-limit": "8G", "--method": "sft", "--format": "trl",
    "--on-long": "skip", "--schedule": "linear", "--reference": "start", "--guard-stop": "chosen_logprob falls 0.5",
    "--guard-best": "chosen_logprob", "--rule": "llava", "--match": "position", "--judge": "replies", "--save-as": "int8",
    "--strategy": "random", "--picture-bytes": "1M", "--judge-model": "another", "--dataset": "mine",
}


def recorder():
    """C that writes each call of the library, with its configurations, texts and numbers, into the file that CALLS names."""
    header = (ROOT / "include/hadpo.h").read_text()
    out = ["#define _GNU_SOURCE", "#include <dlfcn.h>", "#include <stdio.h>", "#include <stdlib.h>", "#include <string.h>", "#include <hadpo.h>",
           "static void text(FILE *f, const char *t, size_t n) {",
           "    fprintf(f, \" %zu:\", n); fwrite(t, 1, n, f); }"]
    for kind, name, parameters in re.findall(r"HADPO_API (hadpo_status) (hadpo_\w+)\(([^;]*)\);", header):
        parts = [" ".join(part.split()) for part in parameters.split(",")]
        names = [re.search(r"(\w+)$", part).group(1) for part in parts]
        out.append(f"{kind} {name}({', '.join(parts)})\n{{\n    FILE *f = fopen(getenv(\"CALLS\"), \"a\");\n    fputs(\"{name}\", f);")
        for index, (part, argument) in enumerate(zip(parts, names)):
            if part.startswith("const char *"):
                sized = index + 1 < len(parts) and parts[index + 1].startswith("size_t ")
                size = f"{names[index + 1]} == HADPO_NUL ? strlen({argument}) : {names[index + 1]}" if sized else f"strlen({argument})"
                out.append(f"    if ({argument} != NULL) text(f, {argument}, {size});")
            elif part.startswith("uint64_t "):
                out.append(f"    fprintf(f, \" #%llu\", (unsigned long long){argument});")
        out.append("    fputs(\"\\n\", f);\n    fclose(f);")
        out.append(f"    {kind} (*real)({', '.join(parts)}) = ({kind} (*)({', '.join(parts)}))dlsym(RTLD_NEXT, \"{name}\");")
        out.append(f"    return real({', '.join(names)});\n}}")
    return "\n".join(out) + "\n"


class EveryFlag(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.scratch.name)
        source = cls.folder / "recorder.c"
        source.write_text(recorder())
        subprocess.run([shutil.which(CC), "-shared", "-fPIC", "-fuse-ld=lld", f"-I{ROOT}/include", str(source), "-o",
                        str(cls.folder / "recorder.so"), "-ldl"], check=True, capture_output=True)
        names = ["wide.jpg", "tall.png"]
        questions = [{"question_id": n + 1, "image": names[n % 2], "text": f"Is there a {thing} in the image?", "label": ["no", "yes"][n % 2]}
                     for n, thing in enumerate(["cat", "dog"])]
        cls.write("questions.json", questions)
        cls.write("answers.jsonl", [{"question_id": q["question_id"], "question": q["text"], "answer": "No"} for q in questions])
        cls.write("pairs.jsonl", [{"image": name, "question": "What is there?", "chosen": "A cup.", "rejected": "A dog."} for name in names])
        cls.write("captions.jsonl", [{"image_id": 1, "caption": "A dog and a cat."}])
        (cls.folder / "synonyms.txt").write_text("dog, puppy\ncat, kitten\n")
        (cls.folder / "objects.json").write_text(json.dumps({"1": ["dog"]}))
        (cls.folder / "descriptions.json").write_text(json.dumps({"1": "A dog. A cat."}))
        (cls.folder / "image_data.json").write_text(json.dumps([{"image_id": 1, "url": "a/pictures/tall.png", "width": 8, "height": 8}]))
        (cls.folder / "regions.json").write_text(json.dumps([{"id": 1, "regions": [
            {"image_id": 1, "x": 0, "y": 0, "width": 2, "height": 2, "phrase": "a dog"}]}]))
        (cls.folder / "images.json").write_text(json.dumps([{"image_id": 1}]))
        (cls.folder / "pictures").symlink_to(LLAVA / "pictures")

    @classmethod
    def write(cls, name, records):
        (cls.folder / name).write_text("".join(json.dumps(record) + "\n" for record in records))

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def bases(self):
        model, pictures = ["-m", LLAVA / "old-f32", "--quiet"], LLAVA / "pictures"
        training = [*model, "--pairs", "pairs.jsonl", "-i", pictures, "--batch", "1", "--steps", "1", "--rank", "2", "--alpha", "4",
                    "--set", "template=hf", "--set", "schedule.warmup_ratio=0"]
        annotated = ["--image-data", "image_data.json", "--regions", "regions.json"]
        return {
            "describe": [*model, pictures / "wide.jpg", "-n", "3"], "score": [*model, pictures / "wide.jpg", "-Q", "What?", "-C", "A cup."],
            "pope": [*model, "-q", "questions.json", "-i", pictures, "-n", "3", "-o", "out/answers.jsonl"],
            "pope score": ["-q", "questions.json", "-A", "answers.jsonl", "--report", "out/page.html"],
            "pope build": ["--annotations", "built.jsonl", "-o", "out/built"],
            "shr": ["-A", "descriptions.json", "--judge", "annotations", "--regions", "regions.json", "-o", "out/scored", "--report",
                    "out/page.html"],
            "shr describe": [*model, "--image-data", "image_data.json", "--val-images", "images.json", "-i", LLAVA, "-n", "3", "-o",
                             "out/described.jsonl"],
            "shr requests": ["-A", "descriptions.json", *annotated, "-o", "out/requests.jsonl"], "shr agree": ["a.jsonl", "b.jsonl"],
            "chair": ["-A", "captions.jsonl", "-s", "synonyms.txt", "--objects", "objects.json", "--records", "out/words.jsonl", "--report",
                      "out/page.html"],
            "report": ["-o", "out/page.html", "-q", "questions.json", "-A", "answers.jsonl"], "check": training,
            "train": [*training, "-o", "out/adapter"], "export": [*model, "-o", "out/exported"], "inspect": model,
        }

    def calls(self, command, arguments):
        """What reached the library; status and errors."""
        record = self.folder / "calls"
        record.write_text("")
        shutil.rmtree(self.folder / "out", ignore_errors=True)
        (self.folder / "out").mkdir()
        # Behind a sanitizer's runtime, which must come first.
        preload = f"{os.environ.get('LD_PRELOAD', '')} {self.folder}/recorder.so".strip()
        environment = dict(os.environ, LD_PRELOAD=preload, CALLS=str(record))
        run = subprocess.run([TOOL, *command.split(), *map(str, arguments)], cwd=self.folder, env=environment, capture_output=True, text=True,
                             timeout=120)
        return record.read_text(), run.returncode, run.stderr

    def value(self, flag, word):
        if flag in VALUES:
            return [VALUES[flag]]
        if word is None:
            return []
        if word in ("N", "X"):
            return ["5" if word == "N" else "0.25"]
        return ["nowhere"]

    def test_every_command_is_tried(self):
        listed = subprocess.run([TOOL, "--help"], capture_output=True, text=True).stdout
        commands = set(re.findall(r"^  ([a-z]+(?: [a-z]+)?)  +\w", listed.split("Begin with")[0], flags=re.M))
        self.assertEqual(commands, set(self.bases()) | OTHER_COMMANDS)

    def test_every_flag_reaches_the_library(self):
        tried = 0
        for command, base in self.bases().items():
            text = subprocess.run([TOOL, *command.split(), "--help"], capture_output=True, text=True).stdout
            before, _, _ = self.calls(command, base)
            self.assertIn("hadpo_", before, command)
            for flag, word in re.findall(r"^ +(?:-\w )?(--[a-z-]+)(?: ([A-Z]+|[A-Z]+=[A-Z]+))?  ", text, flags=re.M):
                if flag in OF_THE_TOOL:
                    continue
                with self.subTest(command=command, flag=flag):
                    tried += 1
                    after, status, errors = self.calls(command, [*base, flag, *self.value(flag, word)])
                    if after == before:
                        self.assertNotEqual(status, 0, f"{command} {flag}: nothing else reached the library, and the tool said nothing")
                        self.assertIn(flag.strip("-").split("-")[-1], errors.replace("_", "-"), f"{command} {flag}: {errors}")
        self.assertGreater(tried, 200)


if __name__ == "__main__":
    unittest.main()
