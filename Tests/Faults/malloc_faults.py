#!/usr/bin/env python3
"""Fails every large allocation of every function of hadpo.h, one at a time, and looks at what the call makes of it.

usage: malloc_faults.py --preload build/faults/malloc_fault.so [--size BYTES] [--inputs small|large|both] [--only NAME] [--list]

Each function is called once to count the allocations of at least --size bytes. Then, in a process of its own each, it is called again
with the first, the second, ... of them failing. Wanted: a status with an error that says why, or success where the library could do
without; nothing printed; the results NULL; and the same call made once more, in that process, succeeds.

Handles do not survive a fork, so every process opens its own engine and model. `small` is a world with two pictures to evaluate and four
to train on; `large` has the same calls on inputs ten times larger or more: pictures ten times as wide and high, thousands of records.
"""
import argparse
import collections
import ctypes
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bindings/python"))
from hadpo import _c  # noqa: E402

MiB = 1 << 20
SECONDS = 120  # of one call


# ---- inputs

def png(side, level):
    """A picture that does not compress to nothing; level 0 makes a file as large as its pixels."""
    rows = b"".join(b"\0" + bytes((x * y >> 3) + 40 * c & 255 for x in range(side) for c in range(3)) for y in range(side))
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows, level)) + chunk(b"IEND", b""))


def lines(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


class Inputs:
    """Files of one size. `n` questions, captions, log lines."""

    def __init__(self, folder, is_large):
        self.folder, self.large, self.n = folder, is_large, 20000 if is_large else 24
        self.described = self.n // 10 if is_large else self.n
        self.world = folder / "world"
        self.model = str(self.world / "model")
        self.count = 0

    def output(self, name):
        """A new place, so that a call does not find what one before it wrote."""
        self.count += 1
        path = self.folder / "out" / f"{os.getpid()}-{self.count}"
        path.mkdir(parents=True)
        return str(path / name)

    def write(self):
        """Everything that can be made without a model."""
        if self.large:
            small = png(640, 6)
            for path in self.world.rglob("*.png"):
                path.write_bytes(small)
            for path in list(self.world.rglob("COCO_*.png"))[:1]:
                path.write_bytes(png(640, 0))
        (self.folder / "out").mkdir()
        n, images = self.n, sorted(p.name for p in (self.world / "VG/VG_100K").glob("*.png"))
        questions = [{"question_id": i, "image": images[i % len(images)], "text": f"Is there a thing{i // 50} in the image?",
                      "label": "no" if i % 2 else "yes"} for i in range(n)]
        self.questions = lines(self.folder / "questions.json", questions)
        self.few_questions = lines(self.folder / "few.json", questions[:4])
        self.answers, self.before = (lines(self.folder / name, [
            {"question_id": i, "answer": "Yes, there is." if (i % 2 == 0) != (i % wrong == 0) else "No, there is not.",
             "yes_minus_no": 1.5 - i % 3} for i in range(n)]) for name, wrong in (("after.jsonl", 11), ("before.jsonl", 5)))
        self.synonyms = self.folder / "synonyms.txt"
        self.synonyms.write_text("dog, puppy\ncat, kitten\n")
        self.captions = self.folder / "captions.json"
        self.captions.write_text(json.dumps([{"image_id": i, "caption": "Two puppies and a kitten on a red bench."} for i in range(n)]))
        self.objects = self.folder / "objects.json"
        self.objects.write_text(json.dumps({str(i): ["dog", "cat"][: i % 2 + 1] for i in range(n)}))
        self.many_objects = self.folder / "many.json"
        self.many_objects.write_text(json.dumps({f"{i}.jpg": [f"thing{(7 * i + k * k) % 90}" for k in range(3)] for i in range(n)}))
        self.descriptions = self.folder / "descriptions.json"
        self.descriptions.write_text(json.dumps({str(i): "A dog on a bench. A red car. " + "The sky is blue" * 40 for i in range(self.described)}))
        self.replies = lines(self.folder / "replies.jsonl", [
            {"custom_id": f"run1/{i}", "error": None, "response": {"status_code": 200, "body": {"model": "m", "choices": [
                {"finish_reason": "stop", "message": {"content":
                    "Judgement:\n1. correct: a dog\n2. hallucination: no car\n3. correct: " + "sky" * 200}}]}}} for i in range(self.described)])
        self.log = lines(self.folder / "log.jsonl", [
            {"event": "step", "step": s, "epoch": s / n, "loss": 0.7, "rewards/margins": s / 20, "learning_rate": 1e-6,
             "grad_norm": 1.0, "seconds": 0.5} for s in range(1, n + 1)])
        self.pairs = lines(self.folder / "pairs.jsonl", [
            {"image": images[i % len(images)], "question": "What?", "chosen": "A red car.", "rejected": "A blue bus."}
            for i in range(n // 20 if self.large else 4)])
        self.samples = lines(self.folder / "samples.jsonl", [
            {"image": images[i % len(images)], "question": "What?", "answer": "A red car."} for i in range(n // 20 if self.large else 4)])
        self.scored = str(self.folder / "scored")
        self.records = str(self.folder / "words.jsonl")
        self.adapter = str(self.folder / "adapter")

    def derive(self):
        """Files that the library writes; in a process of its own, as everything that opens a handle."""
        run("hadpo_shr_score", {"answers": str(self.descriptions), "replies": self.replies, "output": self.scored, "resamples": 10},
            "hadpo.shr-score/1")
        run("hadpo_chair_score", {"captions": str(self.captions), "synonyms": str(self.synonyms), "objects": str(self.objects),
                                  "records": self.records, "resamples": 10}, "hadpo.chair-score/1")
        model = self.opened()
        trainer = made("hadpo_trainer_open", model, *text(self.training(), "hadpo.train/1"))
        checked("hadpo_trainer_run", trainer, 1, ctypes.byref(ctypes.c_void_p()))
        checked("hadpo_trainer_save", trainer, self.adapter.encode())

    def training(self, **more):
        return {"data": {"format": "pairs", "pairs": self.pairs, "images": str(self.world / "VG/VG_100K")}, "steps": 2, "batch": 2,
                "lora": {"rank": 4, "alpha": 8}, **more}

    def engine(self):
        return made("hadpo_engine_open", *text({"threads": 1}, "hadpo.engine/1"), _c.EventFunction(), None)

    def opened(self, path=None, **keys):
        return made("hadpo_model_open", self.engine(), *text({"path": path or self.model, **keys}, "hadpo.model/1"))

    def picture(self):
        data = next((self.world / "VG/VG_100K").glob("*.png")).read_bytes()
        return made("hadpo_image_decode", data, len(data))


# ---- calls

def text(keys, schema):
    data = json.dumps({"schema": schema, **keys}).encode()
    return data, len(data)


class Failure(Exception):
    pass


def checked(name, *arguments):
    error = ctypes.c_void_p()
    status = getattr(_c.library(), name)(*arguments, ctypes.byref(error))
    if status:
        raise Failure(f"{name}: {_c.library().hadpo_error_json(error)}")


def made(name, *arguments):
    result = ctypes.c_void_p()
    checked(name, *arguments, ctypes.byref(result))
    return result


def run(name, keys, schema):
    return made(name, *text(keys, schema))


class Prepared:
    """A call with its arguments. `out`: places for results that must be empty after a failure."""

    def __init__(self, name, *arguments, out=1):
        self.name, self.arguments = name, arguments
        self.out = [ctypes.c_void_p() for _ in range(out)]
        self.error = ctypes.c_void_p()
        self.function = getattr(_c.library(), name)
        self.all = [*arguments, *map(ctypes.byref, self.out), ctypes.byref(self.error)]

    def __call__(self):
        return self.function(*self.all)


def cases(i):
    """name -> what prepares the call, in the process that makes it."""
    def on_config(name, schema, keys):
        return lambda: Prepared(name, *text(keys(), schema))

    def on_model(name, schema, keys, **opening):
        return lambda: Prepared(name, i.opened(**opening), *text(keys(), schema))

    def asking(name, **keys):
        return lambda: Prepared(name, i.opened(), *text({"question": "Is there a car?", **keys}, f"hadpo.{name.split('_')[-1]}/1"),
                                i.picture())

    def scoring():
        numbers, count = (ctypes.c_float * 64)(), ctypes.c_size_t()
        return Prepared("hadpo_model_score", i.opened(), *text({"question": "Is there a car?", "completion": "Yes."}, "hadpo.score/1"),
                        i.picture(), numbers, 64, ctypes.byref(count), out=0)

    def trained(name, *arguments, steps=0, out=0, **keys):
        def prepare():
            trainer = made("hadpo_trainer_open", i.opened(), *text(i.training(**keys), "hadpo.train/1"))
            if steps:
                checked("hadpo_trainer_run", trainer, steps, ctypes.byref(ctypes.c_void_p()))
            return Prepared(name, trainer, *(a() if callable(a) else a for a in arguments), out=out)
        return prepare

    def adapted(name):
        def prepare():
            model = i.opened(adapter=i.adapter)
            return Prepared(name, model, *([] if name == "hadpo_adapter_unload" else text({"output": i.output("model")}, "hadpo.export/1")),
                            out=0)
        return prepare

    side = 6400 if i.large else 640
    pixels = bytes(3 * side) * side if i.large else bytes(3 * side * side)
    data = png(640 if i.large else 64, 0)
    questions, answers = (pathlib.Path(p).read_bytes() for p in (i.questions, i.answers))
    shr = {"answers": str(i.descriptions)}
    split = lambda **more: {"splits": [{"questions": i.questions, "answers": i.answers, "baseline": i.before}], "resamples": 10, **more}
    found = {
        "config_default": lambda: Prepared("hadpo_config_default", b"hadpo.train/1"),
        "config_resolve": lambda: Prepared("hadpo_config_resolve", *text(
            {"path": "x" * (20 * MiB if i.large else 1000)}, "hadpo.model/1")),
        "engine_open": lambda: Prepared("hadpo_engine_open", *text({"threads": 2}, "hadpo.engine/1"), _c.EventFunction(), None),
        "image_from_rgb8": lambda: Prepared("hadpo_image_from_rgb8", pixels, side, side, 3 * side),
        "image_decode": lambda: Prepared("hadpo_image_decode", data, len(data)),
        "model_describe": lambda: Prepared("hadpo_model_describe", i.opened()),
        "model_generate": asking("hadpo_model_generate", max_new_tokens=4),
        "model_generate, beams": asking("hadpo_model_generate", max_new_tokens=4, num_beams=3),
        "model_score": scoring,
        "model_inspect": lambda: Prepared("hadpo_model_inspect", i.opened(), *text({"question": "Is there a car?"}, "hadpo.inspect/1"),
                                          i.picture(), i.output("all.safetensors").encode(), out=0),
        "adapter_load": lambda: Prepared("hadpo_adapter_load", i.opened(), i.adapter.encode(), out=0),
        "adapter_unload": adapted("hadpo_adapter_unload"),
        "export": adapted("hadpo_export"),
        "trainer_open": on_model("hadpo_trainer_open", "hadpo.train/1", i.training),
        "trainer_run": trained("hadpo_trainer_run", 1, out=1),
        "trainer_run, tower": trained("hadpo_trainer_run", 1, out=1, vision_tower=True, method="sft", lora={}, data={
            "format": "samples", "samples": i.samples, "images": str(i.world / "VG/VG_100K")}),
        "trainer_save": trained("hadpo_trainer_save", lambda: i.output("saved").encode(), steps=1),
        "trainer_resume": trained("hadpo_trainer_resume", i.adapter.encode()),
        "trainer_inspect": trained("hadpo_trainer_inspect", lambda: i.output("step.safetensors").encode()),
        "data_check": on_model("hadpo_data_check", "hadpo.train/1", i.training),
        "pope_run": on_model("hadpo_pope_run", "hadpo.pope/1", lambda: {
            "questions": i.few_questions, "images": str(i.world / "VG/VG_100K"), "answers": i.output("a.jsonl"), "max_new_tokens": 2}),
        "pope_score": lambda: Prepared("hadpo_pope_score", questions, len(questions), answers, len(answers)),
        "pope_evaluate": on_config("hadpo_pope_evaluate", "hadpo.pope-score/1", lambda: split(records=i.output("records.jsonl"))),
        "pope_build": on_config("hadpo_pope_build", "hadpo.pope-build/1", lambda: {
            "annotations": str(i.many_objects), "output": i.output("built"), "images": i.n // 2, "per_image": 1}),
        "chair_score": on_config("hadpo_chair_score", "hadpo.chair-score/1", lambda: {
            "captions": str(i.captions), "synonyms": str(i.synonyms), "objects": str(i.objects), "records": i.output("w.jsonl"),
            "resamples": 10}),
        "shr_describe": on_model("hadpo_shr_describe", "hadpo.shr-describe/1", lambda: {
            "vg": str(i.world / "VG"), "shr": str(i.world / "shr"), "images": str(i.world / "VG"), "output": i.output("d.json"),
            "max_new_tokens": 3, "num_beams": 1}),
        "shr_requests": on_config("hadpo_shr_requests", "hadpo.shr-requests/1", lambda: {
            **shr, **i.annotated, "output": i.output("requests.jsonl")}),
        "shr_score": on_config("hadpo_shr_score", "hadpo.shr-score/1", lambda: {
            **shr, "replies": i.replies, "output": i.output("scored"), "resamples": 10}),
        "shr_agree": on_config("hadpo_shr_agree", "hadpo.shr-agree/1", lambda: {
            "a": i.scored + "/sentences.jsonl", "b": i.scored + "/sentences.jsonl"}),
        "report_write": on_config("hadpo_report_write", "hadpo.report/1", lambda: {
            "output": i.output("report.html"), "pope": split(), "shr": {"scored": i.scored}, "chair": {"records": i.records},
            "training": [i.log], "pictures": [str(i.world / "VG/VG_100K")], "resamples": 10, "partial": True,
            **({"picture_width": 640, "picture_bytes": 1 << 24} if i.large else {})}),
        "world_make": lambda: Prepared("hadpo_world_make", i.engine(), *text(
            {"output": i.output("world"), "evaluation_images": 20 if i.large else 2, "training_images": 20 if i.large else 2},
            "hadpo.world/1")),
        "world_pairs": on_model("hadpo_world_pairs", "hadpo.world-pairs/1", lambda: {
            "world": str(i.world), "output": i.output("pairs"), "images": 2}),
        "world_train": lambda: Prepared("hadpo_world_train", i.engine(), *text(
            {"output": i.output("base"), "scale": 0.001, "stages": ["recognise"]}, "hadpo.world-base/1")),
    }
    for family, path in i.models.items():
        for label, keys in (("", {}), (", read", {"load": "read"}), (", int8", {"weights": "int8"})):
            found[f"model_open, {family}{label}"] = (lambda path=path, keys=keys: Prepared(
                "hadpo_model_open", i.engine(), *text({"path": path, **keys}, "hadpo.model/1")))
    return found


# ---- one process a call

class Outcome:
    def __init__(self, record, printed, signal_number):
        self.record, self.printed, self.signal = record or {}, printed, signal_number


def apart(body):
    """What `body` returns, made in a child; what the child printed; the signal that ended it."""
    reading, writing = os.pipe()
    with tempfile.TemporaryFile() as printed:
        child = os.fork()
        if child == 0:
            os.dup2(printed.fileno(), 1)
            os.dup2(printed.fileno(), 2)
            signal.alarm(SECONDS)
            try:
                record = body()
            except BaseException as problem:
                record = {"problem": f"{type(problem).__name__}: {problem}"}
            os.write(writing, json.dumps(record).encode()[:60000])
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            answer = pipe.read()
        _, status = os.waitpid(child, 0)
        printed.seek(0)
        return Outcome(json.loads(answer) if answer else None, printed.read(), os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0)


def attempt(faults, prepare, size, number, again):
    call = prepare()
    faults.fault_begin(size, number)
    status = call()
    count = faults.fault_end()
    record = {"status": status, "count": count, "out": [bool(out) for out in call.out], "error": bool(call.error),
              "sizes": [faults.fault_size(n) for n in range(1, count + 1)][:4000] if number == 0 else []}
    if status and call.error:
        record["message"] = json.loads(_c.library().hadpo_error_json(call.error))["message"][:300]
    if again and status:
        record["again"] = call()
        if record["again"]:
            record["message again"] = _c.library().hadpo_error_json(call.error).decode()[:300]
    return record


def judged(outcome):
    """None, or what is wrong."""
    r = outcome.record
    if outcome.signal:
        return "hangs" if outcome.signal == signal.SIGALRM else f"ended by signal {outcome.signal}"
    if "problem" in r:
        return r["problem"]
    if outcome.printed:
        return "prints"
    if r["status"] == 1:
        return "INTERNAL: " + r.get("message", "")
    if r["status"] and (any(r["out"]) or not r["error"]):
        return "a result beside a failure" if any(r["out"]) else "no error object"
    if r.get("again"):
        return f"the same call again: {r['message again']}"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preload", required=True)
    parser.add_argument("--size", type=int, default=MiB)
    parser.add_argument("--inputs", choices=["small", "large", "both"], default="both")
    parser.add_argument("--only", default="")
    parser.add_argument("--most", type=int, default=0, help="points of a call at most, spread evenly over all of them; 0: all")
    parser.add_argument("--trace", action="store_true", help="print where each failing point is")
    parser.add_argument("--allow", action="store_true", help="exit 0 whatever is found: a table for information")
    options = parser.parse_args()
    preload = os.path.abspath(options.preload)
    if os.environ.get("LD_PRELOAD") != preload:
        more = {"LD_PRELOAD": preload, "SWIFT_BACKTRACE": "enable=no", **({"FAULT_TRACE": "1"} if options.trace else {})}
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **more})
    faults = ctypes.CDLL(preload)
    faults.fault_size.restype = faults.fault_begin.argtypes = None
    faults.fault_begin.argtypes, faults.fault_end.restype = [ctypes.c_size_t, ctypes.c_long], ctypes.c_long
    faults.fault_size.restype, faults.fault_size.argtypes = ctypes.c_size_t, [ctypes.c_long]
    total, bad = collections.Counter(), 0
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("small", "large"):
            if options.inputs in (kind, "both"):
                bad += campaign(faults, prepared(pathlib.Path(folder) / kind, kind == "large"), options, total)
    print(f"{total['calls']} calls, {total['points']} allocations of {options.size} bytes or more failed once: "
          f"{total['status']} answered with a status, {total['success']} succeeded all the same, {bad} bad")
    return 1 if bad and not options.allow else 0


def prepared(folder, is_large):
    folder.mkdir()
    inputs = Inputs(folder, is_large)
    inputs.models = {}

    def make():
        for family in ("minigpt4", "instructblip", "llava-1.5"):
            place = inputs.world if family == "llava-1.5" else folder / family
            run_on = made("hadpo_engine_open", *text({"threads": 1}, "hadpo.engine/1"), _c.EventFunction(), None)
            made("hadpo_world_make", run_on, *text(
                {"family": family, "output": str(place), "evaluation_images": 2, "training_images": 4}, "hadpo.world/1"))
        return {}
    ended(apart(make))
    for family in ("minigpt4", "instructblip"):
        inputs.models[family] = str(folder / family / "model")
    inputs.models["llava-1.5"] = inputs.model
    regions = json.loads((inputs.world / "VG/region_descriptions.json").read_text())
    pictures = json.loads((inputs.world / "VG/image_data.json").read_text())
    inputs.write()
    # Judges are asked about pictures of their own, one for each description.
    one = regions[0]["regions"][:2]
    (folder / "image_data.json").write_text(json.dumps([{**pictures[0], "image_id": n} for n in range(inputs.described)]))
    (folder / "regions.json").write_text(json.dumps(
        [{"id": n, "regions": [{**region, "image_id": n} for region in one]} for n in range(inputs.described)]))
    inputs.annotated = {"image_data": str(folder / "image_data.json"), "regions": str(folder / "regions.json")}
    ended(apart(lambda: inputs.derive() or {}))
    return inputs


def ended(outcome):
    if outcome.signal or "problem" in outcome.record:
        raise SystemExit(f"the inputs cannot be made: {outcome.record} {outcome.printed[:2000]}")


def campaign(faults, inputs, options, total):
    bad, scratch = 0, inputs.folder / "out"
    print(f"== {'large' if inputs.large else 'small'} inputs", flush=True)
    for name, prepare in cases(inputs).items():
        if options.only not in name:
            continue
        whole = apart(lambda: attempt(faults, prepare, options.size, 0, False))
        if whole.signal or whole.printed or whole.record.get("problem") or whole.record["status"]:
            print(f"{name}: cannot be called: {whole.record} {whole.printed[:500]!r}", flush=True)
            bad += 1
            continue
        count, sizes = whole.record["count"], whole.record["sizes"]
        step = max(1, -(-count // options.most)) if options.most else 1
        faulty = []
        for number in range(1, count + 1, step):
            outcome = apart(lambda: attempt(faults, prepare, options.size, number, True))
            problem = judged(outcome)
            total["points"] += 1
            total["status"] += problem is None and outcome.record["status"] != 0
            total["success"] += problem is None and outcome.record["status"] == 0
            if problem:
                faulty.append((sizes[number - 1] if number <= len(sizes) else 0, number, problem, outcome.printed))
            shutil.rmtree(scratch)
            scratch.mkdir()
        total["calls"] += 1
        bad += len(faulty)
        print(f"{name}: {count} allocations, {len(faulty)} bad", flush=True)
        for size, number, problem, printed in faulty[:100 if options.trace else 6]:
            print(f"    {number}: {size} bytes: {problem}", flush=True)
            if options.trace:
                print(printed.decode(errors="replace"), flush=True)
    return bad


if __name__ == "__main__":
    sys.exit(main())
