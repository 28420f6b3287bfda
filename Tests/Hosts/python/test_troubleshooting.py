"""docs/troubleshooting.md: every status of hadpo.h has its section, and what the section quotes is what the library says.

Each case below makes a program's mistake on the world in the box; its message must stand in the section of its status."""

import ctypes
import fcntl
import json
import os
import pathlib
import re
import resource
import shutil
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "bindings" / "python"), str(ROOT / "Tests" / "ABI")]
import hadpo  # noqa: E402
from hadpo import _c  # noqa: E402
from header import constants  # noqa: E402

PAGE = ROOT / "docs" / "troubleshooting.md"
STATUSES = {name: number for name, number in constants().items() if name.startswith("HADPO_E_")}
PICTURE = "world/coco2014/val2014/COCO_val2014_000000000001.png"
QUESTIONS = "world/POPE/output/coco/coco_pope_random.json"
DATA = {"desc": "pairs/desc_data.json", "pope": "pairs/pope_data.json", "image_data": "world/VG/image_data.json",
        "images": "world/VG", "augmentation": "none"}
SMALL = {"data": DATA, "batch": 2, "steps": 3, "lora": {"rank": 2, "alpha": 4}, "projector": False}


def folder_like_the_worlds(name, change):
    """A copy of the world's model with its config.json changed."""
    shutil.copytree("world/model", name)
    path = pathlib.Path(name, "config.json")
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))
    return name


def resolve(text):
    _c.answer("hadpo_config_resolve", text, len(text))


def from_a_callback(model):
    def listen(_):
        model.describe()
    model.generate(PICTURE, question="What is there?", stream=True, on_event=listen)


def with_a_callback_that_says_7():
    function = _c.EventFunction(lambda record, size, user: 7)
    engine, handle = ctypes.c_void_p(), ctypes.c_void_p()
    text = b'{"schema": "hadpo.engine/1"}'
    _c.call("hadpo_engine_open", text, len(text), function, None, ctypes.byref(engine))
    text = b'{"schema": "hadpo.model/1", "path": "world/model"}'
    try:
        _c.call("hadpo_model_open", engine, text, len(text), ctypes.byref(handle))
        text = b'{"schema": "hadpo.generate/1", "prompt": "Hello", "stream": true, "max_new_tokens": 4}'
        _c.answer("hadpo_model_generate", handle, text, len(text), None)
    finally:
        _c.library().hadpo_model_free(handle)
        _c.library().hadpo_engine_free(engine)


def in_a_child(work):
    """What `work` raises in a forked child, as the child saw it."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            work()
        except hadpo.HadpoError as error:
            os.write(write, json.dumps([error.status, error.record]).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    if text:
        raise hadpo._errors.make_error(*json.loads(text))


def without_room_for_threads():
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, resource.RLIM_INFINITY))
    hadpo.Engine(threads=1024)


def interrupted(engine, model):
    engine.interrupt()
    model.generate(PICTURE, question="What is there?")


def adapter_while_training(model):
    with model.trainer(**SMALL):
        model.load_adapter("adapter")


def questions_about(picture):
    question = {"question_id": 1, "image": picture, "text": "Is there a cup in the image?", "label": "yes"}
    pathlib.Path("odd.json").write_text(json.dumps(question) + "\n")
    return "odd.json"


def two_runs_on_one_file(model):
    with open("answers.jsonl", "a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        model.pope(QUESTIONS, pathlib.Path(PICTURE).parent, answers="answers.jsonl")


def answers_among_notes(model):
    model.pope(QUESTIONS, pathlib.Path(PICTURE).parent, answers="notes.jsonl")
    with open("notes.jsonl", "a") as file:
        file.write("from my friend\n")
    model.pope(QUESTIONS, pathlib.Path(PICTURE).parent, answers="notes.jsonl")


def over_another_training(model):
    with model.trainer(**SMALL) as trainer:
        trainer.save("adapter")


def into_the_log_of_another_training(model):
    for _ in range(2):
        with model.trainer(**SMALL, log="log.jsonl") as trainer:
            trainer.run(1)


def provocations(engine, model):
    """(status, what a host did wrong)"""
    little = hadpo.Model(hadpo.Engine(memory_limit=1 << 20), "world/model")
    return [
        ("NO_MEMORY", lambda: little.generate(PICTURE, question="What is there?")),
        ("NO_MEMORY", lambda: little.trainer(**{**SMALL, "lora": {"rank": 64, "alpha": 4}})),
        ("ARGUMENT", lambda: _c.answer("hadpo_model_describe", None)),
        ("ARGUMENT", lambda: hadpo.Image.from_rgb8(b"", 0, 0)),
        ("ARGUMENT", lambda: model.generate(question="What is there?")),
        ("ARGUMENT", lambda: model.generate(PICTURE, prompt="Hello")),
        ("ARGUMENT", lambda: model.generate(PICTURE, question="What is there?", max_new_tokens=1024)),
        ("STATE", lambda: adapter_while_training(model)),
        ("STATE", lambda: in_a_child(lambda: _c.answer("hadpo_model_describe", model._handle))),
        ("BUSY", lambda: from_a_callback(model)),
        ("BUSY", lambda: two_runs_on_one_file(model)),
        ("JSON", lambda: resolve(b'{"schema": "hadpo.train/1", "beta": 0,1}')),
        ("JSON", lambda: resolve(b'{"schema": "hadpo.engine/1", "threads": 1, "threads": 2}')),
        ("CONFIG", lambda: hadpo.config_resolve({"schema": "hadpo.train/1", "data": {"desc": "d"}, "optimizer": {"learningrate": 1}})),
        ("CONFIG", lambda: hadpo.Engine(threads=-1)),
        ("CONFIG", lambda: hadpo.Engine(threads="2")),
        ("CONFIG", lambda: hadpo.Engine(numerics="fp16")),
        ("CONFIG", lambda: hadpo.pope_build(annotations="a.json")),
        ("CONFIG", lambda: hadpo.config_default("hadpo.train/2")),
        ("CONFIG", lambda: model.trainer(data={"format": "hadpo"})),
        ("CONFIG", lambda: model.generate(PICTURE, question="What is there?", temperature=0.2)),
        ("CONFIG", lambda: hadpo.Model(engine, "world/model", image_size=448)),
        ("CONFIG", lambda: model.trainer(**{**SMALL, "optimizer": {"learning_rate": 0}})),
        ("IO", lambda: over_another_training(model)),
        ("IO", lambda: into_the_log_of_another_training(model)),
        ("IO", lambda: hadpo.Model(engine, "llava-1.5-7b")),
        ("IO", lambda: model.load_adapter("world")),
        ("IO", lambda: model.pope(QUESTIONS, "world")),
        ("IO", lambda: model.pope(questions_about("VG"), "world")),
        ("IO", lambda: model.export("world/model")),
        ("FORMAT", lambda: hadpo.Image.decode(b"GIF89a")),
        ("FORMAT", lambda: hadpo.Image.decode(pathlib.Path(PICTURE).read_bytes()[:200])),
        ("FORMAT", lambda: model.pope(questions_about("../world/synonyms.txt"), "world")),
        ("FORMAT", lambda: answers_among_notes(model)),
        ("FORMAT", lambda: hadpo.Model(engine, "cut")),
        ("FORMAT", lambda: hadpo.pope_score(pathlib.Path(QUESTIONS).read_bytes(), b'{"answer": "Yes"}\n')),
        ("FORMAT", lambda: model.trainer(**{**SMALL, "data": {**DATA, "images": "world"}})),
        ("FORMAT", lambda: model.load_adapter("mixed")),
        ("WEIGHTS", lambda: hadpo.Model(engine, "world/VG")),
        ("WEIGHTS", lambda: hadpo.Model(engine, folder_like_the_worlds("deeper", lambda c: c["text_config"].update(
            num_hidden_layers=c["text_config"]["num_hidden_layers"] + 1)))),
        ("WEIGHTS", lambda: hadpo.Model(engine, folder_like_the_worlds("wider", lambda c: c["text_config"].update(
            intermediate_size=2 * c["text_config"]["intermediate_size"])))),
        ("WEIGHTS", lambda: model.load_adapter("alien")),
        # A sanitizer reserves terabytes of addresses: with a limit on them nothing starts at all.
        *([] if "HADPO_SANITIZED" in os.environ else [("DEVICE", lambda: in_a_child(without_room_for_threads))]),
        ("UNSUPPORTED", lambda: hadpo.Model(engine, folder_like_the_worlds(
            "gelu", lambda c: c["text_config"].update(hidden_act="gelu")))),
        ("UNSUPPORTED", lambda: hadpo.Model(engine, folder_like_the_worlds(
            "qwen", lambda c: c["text_config"].update(model_type="qwen2")))),
        ("NUMERICS", lambda: model.trainer(**{**SMALL, "steps": 20, "optimizer": {"learning_rate": 10}}).run()),
        ("CANCELLED", lambda: interrupted(engine, model)),
        ("CALLBACK", with_a_callback_that_says_7),
    ]


def make_world(engine):
    engine.world_make("world", evaluation_images=4, training_images=30)
    with hadpo.Model(engine, "world/model") as model:
        model.world_pairs("world", "pairs")
        with model.trainer(**SMALL) as trainer:
            trainer.save("adapter")
    shutil.copytree("world/model", "cut")
    weights = pathlib.Path("cut/model.safetensors")
    weights.write_bytes(weights.read_bytes()[:100000])
    shutil.copytree("adapter", "alien")
    config = pathlib.Path("alien/adapter_config.json")
    config.write_text(config.read_text().replace('"r": 2', '"r": 3'))
    shutil.copytree("alien", "mixed")
    pathlib.Path("alien/hadpo_save.json").unlink()  # as of another tool


def sections():
    """Status name -> its section of the page."""
    parts = re.split(r"^## (HADPO_E_\w+)$", PAGE.read_text(), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2]))


class Troubleshooting(unittest.TestCase):
    def test_every_status_of_the_header_has_its_section_with_its_number_and_its_exception(self):
        found = sections()
        self.assertEqual(list(found), list(STATUSES))
        for name, number in STATUSES.items():
            head = found[name].strip().split("\n")[0]
            self.assertTrue(head.startswith(f"{number} · "), head)
            self.assertIn(f"`hadpo.{hadpo._errors.BY_STATUS[number].__name__}`", head)

    def test_what_the_page_quotes_is_what_the_library_says(self):
        here, found = os.getcwd(), sections()
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            try:
                engine = hadpo.Engine(threads=2)
                make_world(engine)
                with hadpo.Model(engine, "world/model") as model:
                    for name, wrong in provocations(engine, model):
                        with self.assertRaises(hadpo.HadpoError) as caught:
                            wrong()
                        error = caught.exception
                        self.assertEqual(error.name, f"HADPO_E_{name}", str(error))
                        self.assertIn(error.message.replace("|", "\\|"), found[error.name], str(error))
            finally:
                os.chdir(here)


if __name__ == "__main__":
    unittest.main()
