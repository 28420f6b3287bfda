"""Files that are no files, and JSON of a stranger's size: refused at once, within the memory there is, in few words.

Each group runs in a child process whose descriptors 1 and 2 are files. A child that waits for a pipe is killed after two minutes,
which fails its test; nothing else depends on time.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
FIXTURES = ROOT / "Tests" / "Fixtures"
NO_MEMORY, JSON, CONFIG, IO = 2, 20, 21, 30

BEGIN = """
import json, os, resource, sys
sys.path.insert(0, sys.argv[1])
import hadpo
from hadpo import _c
arguments = json.loads(sys.argv[2])
outcomes = []
def resolve(text):
    _c.answer("hadpo_config_resolve", text, len(text))
def note(name, body):
    try:
        body()
        outcomes.append([name, 0, {}])
    except hadpo.Error as error:
        outcomes.append([name, error.status, error.record])
"""
END = """
json.dump(outcomes, open(sys.argv[3], "w"))
"""

# Every file of a folder becomes a pipe, one after the other, and the folder is opened.
OPEN = """
engine = hadpo.Engine(threads=1)
for root, folders, files in os.walk(arguments["path"]):
    for name in files:
        path = os.path.join(root, name)
        os.rename(path, path + ".kept")
        os.mkfifo(path)
        note(os.path.relpath(path, arguments["path"]), lambda: hadpo.Model(engine, **arguments["model"]))
        os.remove(path)
        os.rename(path + ".kept", path)
note("", lambda: hadpo.Model(engine, **arguments["model"]))
"""

# Every function that reads a file gets a pipe, a socket, a device and a folder.
FILES = """
import socket
os.mkfifo("pipe")
bound = socket.socket(socket.AF_UNIX)
bound.bind("socket")
os.mkdir("folder")
open("synonyms", "w").write("car, bus\\n")
for path in ["pipe", "socket", "/dev/zero", "folder"]:
    note(path, lambda: hadpo.pope_evaluate(splits=[{"questions": path, "answers": path}]))
    note(path, lambda: hadpo.pope_build(annotations=path, output="built"))
    note(path, lambda: hadpo.shr_requests(answers=path, image_data=path, regions=path, output="requests"))
    note(path, lambda: hadpo.chair_score(captions=path, synonyms="synonyms", objects=path))
    note(path, lambda: hadpo.chair_score(captions="synonyms", synonyms=path, objects=path))
"""

# A configuration under a limit of the address space, which the values of the text would pass and the text itself does not.
MEMORY = """
import ctypes
text = b'{"schema": "hadpo.train/1", "steps": [' + b"0," * 15_000_000 + b"0]}"
string = b'{"schema": "hadpo.train/1", "steps": "' + b"x" * 100_000_000 + b'"}'
with open("/proc/self/statm") as file:
    mapped = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (mapped + 60_000_000,) * 2)
note("array", lambda: resolve(text))
note("string", lambda: resolve(string))
"""

LONG = """
key = "k" * 5_000_000
note("unknown key", lambda: resolve(json.dumps({"schema": "hadpo.train/1", key: 1}).encode()))
note("duplicate key", lambda: resolve(('{"%s": 1, "%s": 2}' % (key, key)).encode()))
note("broken", lambda: resolve(('{"%s": [1, {"%s": nul}]}' % (key, key)).encode()))
note("schema", lambda: resolve(json.dumps({"schema": key}).encode()))
"""


class StrangeFiles(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def outcomes(self, body, **arguments):
        result, printed = self.folder / "outcomes.json", self.folder / "printed"
        environment = dict(os.environ)
        if "HADPO_LIBRARY" in environment:  # the child works in another folder
            environment["HADPO_LIBRARY"] = os.path.abspath(environment["HADPO_LIBRARY"])
        with printed.open("w") as output:
            child = subprocess.run(
                [sys.executable, "-c", BEGIN + body + END, ROOT / "bindings" / "python", json.dumps(arguments), result],
                stdout=output, stderr=subprocess.STDOUT, cwd=self.folder, env=environment, timeout=120)
        self.assertEqual(printed.read_text(), "")
        self.assertEqual(child.returncode, 0)
        return json.loads(result.read_text())

    def open_with_pipes(self, source, unread, **keys):
        model = self.folder / "model"
        shutil.copytree(FIXTURES / source, model)
        keys = {key: str(model / name) for key, name in (keys or {"path": ""}).items()}
        outcomes = self.outcomes(OPEN, path=str(model), model=keys)
        self.assertEqual(outcomes.pop(), ["", 0, {}])  # the folder is as it was
        refused = set()
        for name, status, record in outcomes:
            if status:
                self.assertEqual((status, record["message"], record["found"]), (IO, "not a regular file", "a pipe"), name)
                self.assertTrue(record["where"].endswith(name), (name, record))
                refused.add(name)
        self.assertEqual({name for name, *_ in outcomes} - refused, set(unread))

    def test_pipes_in_the_folders_of_every_family_are_refused(self):
        # Last what opening does not read: figures of the fixture, and files that stand behind others.
        lavis = {"path": "llm", "checkpoint": "instruct_blip_vicuna13b_trimmed.pth", "bert": "bert-base-uncased",
                 "vision_tower": FIXTURES / "minigpt4" / "model" / "eva_vit_g.pth"}
        for source, keys, unread in [
            ("llava/old-f32", {}, ["expected.json", "expected.safetensors"]),
            ("llava/original-f16", {}, ["expected.json", "expected.safetensors"]),
            ("minigpt4/model", {}, []),
            ("instructblip/hf", {}, ["tokenizer.model", "qformer_tokenizer/special_tokens_map.json"]),
            ("instructblip/lavis", lavis, []),
        ]:
            with self.subTest(source):
                self.open_with_pipes(source, unread, **keys)
            shutil.rmtree(self.folder / "model", ignore_errors=True)

    def test_readers_refuse_what_is_no_regular_file(self):
        outcomes = self.outcomes(FILES)
        self.assertEqual(len(outcomes), 20)
        for name, status, record in outcomes:
            self.assertEqual((status, record.get("message")), (IO, "not a regular file"), (name, record))

    def test_a_configuration_that_does_not_fit_into_memory_is_refused(self):
        for name, status, record in self.outcomes(MEMORY):
            self.assertEqual(status, NO_MEMORY, (name, record))
            self.assertIn("no memory", record["message"])

    def test_errors_are_short_whatever_they_quote(self):
        for name, status, record in self.outcomes(LONG):
            self.assertIn(status, (JSON, CONFIG), name)
            for part, text in record.items():
                self.assertLessEqual(len(str(text).encode()), 2048, (name, part))


if __name__ == "__main__":
    unittest.main()
