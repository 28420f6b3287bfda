"""Saves and exports whose process is killed, or whose disk fails, at every single operation on files: what can be opened afterwards is
the old save or the new one, and the next run tidies up."""

import errno
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
HERE = pathlib.Path(__file__).resolve().parent
COMPILER = shutil.which(os.environ.get("CC", "clang")) or shutil.which("cc")

# Forks for every operation: the child does the work and is killed in it, the parent looks at what it left. {work} and {look} are the
# test's; `fault` is file_faults.c's function.
DRIVER = """
import ctypes, json, os, pathlib, shutil, signal, sys
sys.path.insert(0, sys.argv[1])
import hadpo
fixtures, folder = pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
fault = ctypes.CDLL(None).file_fault
fault.argtypes, fault.restype = (ctypes.c_long, ctypes.c_int), ctypes.c_long
KEYS = dict(data={"format": "pairs", "pairs": str(fixtures / "dpo/pairs.jsonl"), "images": str(fixtures / "pictures")}, steps=4, batch=2,
            lora={"rank": 2, "alpha": 4, "target": ["q_proj"]}, optimizer={"learning_rate": 1e-2})

def opened(**keys):
    model = hadpo.Model(hadpo.Engine(threads=1), fixtures / "old-f32")
    return model, hadpo.Trainer(model, **{**KEYS, **keys})

def files(place, but=()):
    return {str(path.relative_to(place)): path.read_bytes() for path in sorted(place.rglob("*"))
            if path.is_file() and str(path.relative_to(place)) not in but}

def tree(place):
    return sorted(str(path.relative_to(place)) for path in place.rglob("*"))

def in_child(work, n, code=0):
    '''What became of a child whose n-th operation fails: "ended" when there were fewer, "done" when it did its work all the same (where
    only a folder could not be synced, for example), or "stopped".'''
    child = os.fork()
    if child == 0:
        try:
            work(lambda: fault(n, code))
            os._exit(0 if fault(0, 0) < n else 3)
        except hadpo.HadpoError as error:
            os._exit(4 if error.status == 30 else 5)
        except BaseException:
            os._exit(6)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL, status
        return "stopped"
    return {0: "ended", 3: "done", 4: "stopped"}[os.WEXITSTATUS(status)]
"""

SAVES = """
model, trainer = opened()
reader = hadpo.Model(hadpo.Engine(threads=1), fixtures / "old-f32")
expected = []
for step in (1, 2):
    trainer.run(1)
    trainer.save(folder / f"step{step}")
    expected.append(files(folder / f"step{step}"))
USERS = {"README.md": b"mine", "best/note": b"mine", "log.jsonl": b"{}"}

def work(start):
    _, trainer = opened(overwrite=True)
    trainer.resume(folder / "step2")
    start()
    trainer.save(place)

kinds = set()
points = 0
for code in map(int, sys.argv[4:]):
    n = 0
    while True:
        n += 1
        place = folder / "x"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(folder / "step1", place)
        for name, data in USERS.items():
            (place / name).parent.mkdir(exist_ok=True)
            (place / name).write_bytes(data)
        how = in_child(work, n, code)
        points += 1
        if code:
            assert not list(place.rglob("*.partial")), (n, tree(place))
        # What a host opens is one of the two steps in all parts.
        reader.load_adapter(place)
        trainer.resume(place)
        trainer.save(folder / "opened")
        found = files(folder / "opened")
        kinds.add(expected.index(found))
        assert how == "stopped" or found == expected[1]
        assert all((place / name).read_bytes() == data for name, data in USERS.items())
        # The next save leaves its files and the user's, and nothing else.
        trainer.save(place)
        assert files(place, USERS) == found, tree(place)
        assert tree(place) == sorted([*found, *USERS, "best"]), tree(place)
        if how == "ended":
            break
print(json.dumps({"points": points, "kinds": sorted(kinds)}))
"""

EXPORTS = """
adapter = folder / "adapter"
_, trainer = opened()
trainer.run(1)
trainer.save(adapter)
model = hadpo.Model(hadpo.Engine(threads=1), fixtures / "old-f32")
model.load_adapter(adapter)
model.export(folder / "whole")
whole = files(folder / "whole")
place = folder / "x"

def work(start):
    model = hadpo.Model(hadpo.Engine(threads=1), fixtures / "old-f32")
    model.load_adapter(adapter)
    start()
    model.export(place)

kinds = set()
points = 0
for code in map(int, sys.argv[4:]):
    n = 0
    while True:
        n += 1
        shutil.rmtree(place, ignore_errors=True)
        how = in_child(work, n, code)
        points += 1
        try:
            hadpo.Model(model.engine, place).close()
            kinds.add("opened")
            assert files(place, ["hadpo_save.json", "hadpo_save.next/hadpo_save.json"]) == whole
        except hadpo.HadpoError:
            kinds.add("refused")
            assert how == "stopped"
        if how != "stopped":
            assert tree(place) == sorted(whole)
        if how == "ended":
            break
        if how == "done":
            continue
        model.export(place)
        assert files(place) == whole and tree(place) == sorted(whole), (n, tree(place))
print(json.dumps({"points": points, "kinds": sorted(kinds)}))
"""


@unittest.skipUnless(COMPILER, "needs a C compiler")
class Saves(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(scratch.cleanup)
        cls.faults = pathlib.Path(scratch.name) / "file_faults.so"
        subprocess.run([COMPILER, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(cls.faults),
                        str(HERE / "file_faults.c"), "-ldl"], check=True)

    def at_every_operation(self, program, *codes):
        # In memory where there is such a place: a disk takes its time to sync, and every point syncs many times.
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        with tempfile.TemporaryDirectory(dir=memory) as folder:
            done = subprocess.run(
                [sys.executable, "-c", DRIVER + program, str(ROOT / "bindings/python"), str(FIXTURES), folder, *map(str, codes)],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=600,
                env={**os.environ, "LD_PRELOAD": str(self.faults)})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr, "")
        return json.loads(done.stdout)

    def test_a_save_is_of_one_step_wherever_the_process_is_killed(self):
        found = self.at_every_operation(SAVES, 0)
        self.assertEqual(found["kinds"], [0, 1])  # some before the moment that counts, some after
        self.assertGreater(found["points"], 30)

    def test_a_save_is_of_one_step_wherever_the_disk_fails(self):
        found = self.at_every_operation(SAVES, errno.ENOSPC)
        self.assertEqual(found["kinds"], [0, 1])

    def test_an_export_opens_when_it_is_whole_and_can_be_made_again_wherever_it_is_killed(self):
        found = self.at_every_operation(EXPORTS, 0)
        self.assertEqual(found["kinds"], ["opened", "refused"])
        self.assertGreater(found["points"], 30)

    def test_an_export_whose_disk_fails_can_be_made_again(self):
        self.at_every_operation(EXPORTS, errno.ENOSPC)


if __name__ == "__main__":
    unittest.main()
