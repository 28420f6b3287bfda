"""No key of a configuration is accepted and ignored. The keys come from the library itself (`hadpo_config_default`), so that a key that is
added is tried without a change here, or asks for a line in VALUES.

Each key of each schema is given another value, alone, in several configurations. Then the outcome is another one (the result, or the bytes of
a file that was written), or the call is refused and the error names the key. What may change and move no bit stands in MOVES_NOTHING, and
there the bits must be the same.

An outcome is the result and the files written, without seconds, dates and the name of the scratch folder.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import re
import shutil
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "bindings" / "python"))
import hadpo  # noqa: E402

FIXTURES = ROOT / "Tests/Fixtures"
LLAVA = FIXTURES / "llava"
PICTURES = LLAVA / "pictures"
ASK = {"question": "What is there?", "template": "hf"}

# Speed, memory, files beside: the same bits come out. At most fifteen.
MOVES_NOTHING = {
    "engine/threads", "engine/memory_limit", "model/load", "generate/stream", "pope/batch", "shr-describe/batch",
    "train/feature_cache_bytes", "train/pack_rows", "train/checkpointing",
    # Pictures and places are looked at more closely, or less: test_used_or_refused.
    "train/data/decode", "train/overwrite",
    # Whose files are continued: test_identity.
    "pope/mix", "shr-describe/mix",
}


def write_lines(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


class Space:
    """One scratch folder with the inputs that the configurations name; `files` is where a call may write."""

    def __init__(self, folder):
        self.folder = folder
        self.files = folder / "out"
        self.engine = hadpo.Engine(threads=1)
        self.world = folder / "world"
        self.engine.world_make(self.world, evaluation_images=4, training_images=6)
        names = ["wide.jpg", "tall.png"]
        questions = [{"question_id": number + 1, "image": names[number % 2], "text": f"Is there a {thing} in the image?",
                      "label": "yes" if number % 2 else "no"} for number, thing in enumerate(["cat", "dog", "cup", "horse"])]
        write_lines(folder / "questions.json", questions)
        write_lines(folder / "more.json", [{**question, "text": question["text"].replace("a ", "a big ")} for question in questions])
        write_lines(folder / "answers.jsonl", [{"question_id": q["question_id"], "question": q["text"],
                                                "answer": "Yes" if q["question_id"] < 3 else "No"} for q in questions])
        write_lines(folder / "half.jsonl", [{"question_id": q["question_id"], "question": q["text"], "answer": "No"} for q in questions[:2]])
        write_lines(folder / "other.jsonl", [{"question_id": q["question_id"], "question": q["text"], "answer": "Yes, it is."} for q in questions])
        write_lines(folder / "absolute.json", [{**question, "image_id": question["question_id"], "image": str(PICTURES / question["image"])}
                                               for question in questions])
        (folder / "evaluated.json").write_text(json.dumps([{"image_id": 1}]))
        (folder / "image_data.json").write_text(json.dumps([{"image_id": 1, "url": "https://example.org/VG/../tall.png"}]))
        shutil.copy(PICTURES / "tall.png", folder)
        write_lines(folder / "absolute.jsonl", [{"image": str(PICTURES / "wide.jpg"), "question": "What is there?", "chosen": "A cup.",
                                                 "rejected": "A dog."}] * 2)
        write_lines(folder / "pairs.jsonl", [json.loads(line) for line in (LLAVA / "dpo/pairs.jsonl").read_text().splitlines()][:4])
        write_lines(folder / "pairs2.jsonl", [json.loads(line) for line in (LLAVA / "dpo/pairs.jsonl").read_text().splitlines()][1:5])
        with hadpo.Model(self.engine, self.world / "model") as model:
            model.world_pairs(self.world, folder / "pairs")
            self.model_descriptions = folder / "descriptions.jsonl"
            model.shr_describe(self.model_descriptions, shr=self.world / "shr", vg=self.world / "VG", images=self.world / "VG", num_beams=1,
                               max_new_tokens=48)
        images = json.loads((self.world / "annotations.json").read_text())["images"]
        named = {str(image["image_id"]): sorted({thing["category"] for thing in image["objects"]}) for image in images}
        (folder / "objects.json").write_text(json.dumps(named))
        (folder / "few.json").write_text(json.dumps({"2000001": named["2000001"]}))
        everywhere = sorted({thing for things in named.values() for thing in things})
        (folder / "objects2.json").write_text(json.dumps({image: everywhere for image in named}))
        (folder / "synonyms2.txt").write_text("".join((self.world / "synonyms.txt").read_text().splitlines(keepends=True)[:4]))
        described = json.loads((folder / "pairs/desc_data.json").read_text())
        for texts in described.values():
            texts["chosen"] = [text.replace(". ", ".\n") for text in texts["chosen"]]
        (folder / "pairs/desc_data.json").write_text(json.dumps(described))
        hadpo.shr_requests(answers=self.model_descriptions, vg=self.world / "VG", shr=self.world / "shr", output=folder / "requests.jsonl")
        captions = {"captions": self.model_descriptions, "synonyms": self.world / "synonyms.txt", "objects": folder / "objects.json"}
        hadpo.chair_score(**captions, records=folder / "chair.jsonl")
        hadpo.shr_score(answers=self.model_descriptions, vg=self.world / "VG", shr=self.world / "shr", judge="annotations",
                        synonyms=self.world / "synonyms.txt", objects=folder / "objects.json", output=folder / "scored")
        sentences = [json.loads(line)["image_id"] for line in (folder / "scored/sentences.jsonl").read_text().splitlines()]
        requests = [json.loads(line) for line in (folder / "requests.jsonl").read_text().splitlines()]
        for name, verdict in (("replies.jsonl", "correct"), ("replies2.jsonl", "hallucination")):
            lines = []
            for request in requests:
                count = sum(image == request["custom_id"].split("/")[-1] for image in sentences)
                text = "Judgement:\n" + "".join(f"{number}. {verdict}: as seen\n" for number in range(1, count + 1))
                lines.append({"custom_id": request["custom_id"], "response": {"status_code": 200, "body": {
                    "choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": text}}]}}})
            write_lines(folder / name, lines)
            write_lines(folder / f"few_{name}", lines[1:])

    @contextlib.contextmanager
    def fresh(self):
        shutil.rmtree(self.files, ignore_errors=True)
        self.files.mkdir()
        with contextlib.chdir(self.files) if hasattr(contextlib, "chdir") else working_in(self.files):
            yield

    def outcome(self, result):
        """Comparable: the result and what was written."""
        def clean(value):
            if isinstance(value, dict):
                return {key: clean(item) for key, item in value.items() if not key.endswith(("seconds", "_path", "per_second", "_bytes"))
                        and key not in ("path", "date", "created", "memory")}
            return [clean(item) for item in value] if isinstance(value, list) else value

        written = {}
        for path in sorted(self.files.rglob("*")):
            # What a save says of its configuration is no use of it.
            if path.is_file() and path.name not in ("train_config.json", "hadpo_save.json"):
                content = path.read_bytes()
                if path.name == "trainer_state.safetensors":
                    content = content[8 + int.from_bytes(content[:8], "little"):]
                text = re.sub(rb'"(seconds|elapsed)[a-z_]*": ?[0-9.e+-]+', b"", content).replace(bytes(self.folder), b"")
                written[str(path.relative_to(self.files))] = hashlib.sha256(text).hexdigest()
        return json.dumps([clean(result), written], sort_keys=True, default=repr)


@contextlib.contextmanager
def working_in(folder):
    here = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(here)


# ---- one function for each schema: a configuration to an outcome --------------------------------------------------------------------

def with_model(space, path, keys, do, engine=None):
    with hadpo.Model(engine or space.engine, path, **keys) as model:
        return do(model)


def everything(model):
    """What a model opened this way computes."""
    picture = PICTURES / "wide.jpg"
    return {"description": {key: value for key, value in model.describe().items() if key != "path"},
            "score": model.score(picture, completion="A red cup.", **ASK), "answer": model.generate(picture, max_new_tokens=6, **ASK)}


def run_engine(space, keys):
    with hadpo.Engine(**{"threads": 1, **keys}) as engine:
        return with_model(space, LLAVA / "old-f32", {}, lambda model: {**everything(model), "description": None}, engine)


def run_model(space, keys):
    return with_model(space, keys["path"], {key: value for key, value in keys.items() if key != "path"}, everything)


def asking(name):
    def run(space, keys):
        path, picture = LLAVA / "old-f32", PICTURES / "wide.jpg"
        if keys.pop("_model", "") == "world":
            path, picture = space.world / "model", sorted((space.world / "coco2014/val2014").iterdir())[0]
        if keys.get("prompt") == "One two":
            picture = None

        def do(model):
            if name == "inspect":
                return model.inspect("inspected.safetensors", picture, **keys)
            if name == "score":
                return model.score(picture, **keys)
            result = model.generate(picture, **keys)
            result.pop("seconds", None)
            return result
        return with_model(space, path, {}, do)
    return run


def run_train(space, keys):
    def do(model):
        steps = []
        with hadpo.Trainer(model, **{"output": "adapter", **keys}) as trainer:
            report = trainer.run(2, on_event=lambda event: steps.append({k: v for k, v in event.items() if k in ("loss", "step", "learning_rate")}))
            trainer.save("saved")
        return {"steps": steps, "report": report}
    family = keys.pop("_model", "llava")
    path = {"llava": LLAVA / "old-f32", "minigpt4": FIXTURES / "minigpt4/model/llm", "world": space.world / "model"}[family]
    parts = {"vision_tower": FIXTURES / "minigpt4/model/eva_vit_g.pth",
             "checkpoint": FIXTURES / "minigpt4/model/pretrained_minigpt4_llama2_7b.pth"} if family == "minigpt4" else {}
    return with_model(space, path, parts, do)


def run_export(space, keys):
    if keys.pop("_model", "") == "world":
        return with_model(space, space.world / "model", {}, lambda model: model.export(**keys))
    return with_model(space, LLAVA / "old-f32", {"adapter": LLAVA / "dpo/adapter"}, lambda model: model.export(**keys))


def run_pope(space, keys):
    path = space.world / "model" if keys.pop("_model", "") == "world" else LLAVA / "old-f32"
    return with_model(space, path, {}, lambda model: model.pope(**keys))


def run_describe(space, keys):
    return with_model(space, space.world / "model", {}, lambda model: model.shr_describe(**keys))


def run_world_pairs(space, keys):
    return with_model(space, space.world / "model", {}, lambda model: model.world_pairs(**keys))


RUN = {
    "engine": run_engine, "model": run_model, "generate": asking("generate"), "score": asking("score"), "inspect": asking("inspect"),
    "export": run_export, "train": run_train, "pope": run_pope, "shr-describe": run_describe, "world-pairs": run_world_pairs,
    "pope-score": lambda space, keys: hadpo.pope_evaluate(**keys), "pope-build": lambda space, keys: hadpo.pope_build(**keys),
    "chair-score": lambda space, keys: hadpo.chair_score(**keys), "shr-requests": lambda space, keys: hadpo.shr_requests(**keys),
    "shr-score": lambda space, keys: hadpo.shr_score(**keys), "shr-agree": lambda space, keys: hadpo.shr_agree(**keys),
    "report": lambda space, keys: hadpo.report_write(**keys), "world": lambda space, keys: space.engine.world_make(**keys),
}
# Needs hours; its keys are looked at by BaseTests.
NOT_RUN = {"world-base"}


def bases(space):
    """The configurations in which a key is tried: a key does something in at least one of them."""
    f, w = space.folder, space.world
    minigpt4 = FIXTURES / "minigpt4/model"
    lavis = FIXTURES / "instructblip/lavis"
    dpo = {"data": {"format": "pairs", "pairs": f / "pairs.jsonl", "images": PICTURES}, "template": "hf", "batch": 2, "steps": 3,
           "lora": {"rank": 2, "alpha": 4}, "optimizer": {"learning_rate": 1e-3}, "schedule": {"warmup_ratio": 0.0}, "max_length": 512}
    upstream = {**dpo, "_model": "world", "template": "hadpo-train", "data": {
        "format": "hadpo", "desc": f / "pairs/desc_data.json", "pope": f / "pairs/pope_data.json", "image_data": w / "VG/image_data.json",
        "images": w / "VG"}}
    sft = {**dpo, "method": "sft", "data": {"format": "samples", "samples": LLAVA / "dpo/samples.jsonl", "images": PICTURES}}
    pope = {"questions": f / "questions.json", "images": PICTURES, "answers": "answers.jsonl", "template": "hf", "max_new_tokens": 4}
    shr = {"vg": w / "VG", "shr": w / "shr"}
    describe = {**shr, "images": w / "VG", "output": "descriptions.jsonl", "max_new_tokens": 8}
    split = {"name": "random", "questions": f / "questions.json", "answers": f / "answers.jsonl"}
    chair = {"captions": space.model_descriptions, "synonyms": w / "synonyms.txt", "objects": f / "objects.json"}
    scored = {"answers": space.model_descriptions, **shr, "judge": "annotations", "synonyms": w / "synonyms.txt",
              "objects": f / "objects.json", "output": "scored"}
    return {
        "engine": [{}],
        "model": [{"path": LLAVA / "old-f32"},
                  {"path": minigpt4 / "llm", "vision_tower": minigpt4 / "eva_vit_g.pth", "checkpoint": minigpt4 / "pretrained_minigpt4_llama2_7b.pth"},
                  {"path": lavis / "llm", "vision_tower": minigpt4 / "eva_vit_g.pth", "bert": lavis / "bert-base-uncased",
                   "checkpoint": lavis / "instruct_blip_vicuna13b_trimmed.pth"}],
        "generate": [{**ASK, "max_new_tokens": 12}, {**ASK, "max_new_tokens": 12, "num_beams": 3},
                     {**ASK, "max_new_tokens": 12, "do_sample": True, "seed": 5, "temperature": 2.0},
                     {"_model": "world", "question": "Is there a cat in the image?", "max_new_tokens": 40},
                     {"_model": "world", "question": "Describe this image in detail.", "max_new_tokens": 60, "num_beams": 4, "length_penalty": -4.0},
                     {"_model": "world", "question": "Describe this image in detail.", "max_new_tokens": 60, "num_beams": 8, "length_penalty": 2.0,
                      "beam_rule": "hf-4.57"}],
        "score": [{**ASK, "completion": "A red cup."}], "inspect": [{**ASK, "completion": "A red cup."}],
        "export": [{"output": "merged"}, {"output": "merged", "_model": "world"}],
        "train": [dpo, upstream, sft, {**upstream, "_model": "minigpt4", "gamma": 0.0, "max_length": 2048},
                  {**dpo, "steps": 0, "epochs": 3}, {**dpo, "save_every": 1}, {key: value for key, value in dpo.items() if key not in ("batch", "steps", "schedule")} | {"epochs": 2}, {**dpo, "max_length": 70, "on_long": "truncate"},
                  {**dpo, "data": {**dpo["data"], "pairs": f / "absolute.jsonl", "outside": True}}],
        "pope": [pope, {**pope, "num_beams": 2}, {**pope, "questions": f / "absolute.json", "outside": True},
                 {**pope, "_model": "world", "template": "hadpo-eval"}],
        "shr-describe": [describe, {**describe, "num_beams": 1},
                         {"image_data": f / "image_data.json", "val_images": f / "evaluated.json", "images": f / "pairs", "output": "descriptions.jsonl",
                          "max_new_tokens": 8, "outside": True}],
        "pope-score": [{"splits": [split]}, {"splits": [{**split, "answers": f / "half.jsonl"}], "partial": True}], "pope-build": [{"annotations": w / "POPE/segmentation/coco_ground_truth_segmentation.json", "output": "built", "images": 3, "per_image": 1}],
        "chair-score": [chair, {**chair, "objects": f / "few.json", "partial": True}], "shr-requests": [{"answers": space.model_descriptions, **shr, "output": "requests.jsonl"}],
        "shr-score": [scored, {"answers": space.model_descriptions, "replies": f / "replies.jsonl", "requests": f / "requests.jsonl",
                              "output": "scored"},
                      {"answers": space.model_descriptions, "replies": f / "few_replies.jsonl", "output": "scored", "partial": True}], "shr-agree": [],
        "report": [{"output": "page.html", "pope": {"splits": [split]}},
                   {"output": "page.html", "pope": {"splits": [{**split, "baseline": f / "other.jsonl"}]}, "pictures": [PICTURES]},
                   {"output": "page.html", "shr": {"scored": f / "scored"}, "chair": {"records": f / "chair.jsonl"},
                    "pictures": [w / "VG"], "cards": 2},
                   {"output": "page.html", "pope": {"splits": [{**split, "questions": f / "absolute.json"}]}, "pictures": [PICTURES],
                    "outside": True},
                   {"output": "page.html", "pope": {"splits": [{**split, "answers": f / "half.jsonl"}]}, "partial": True}],
        "world": [{"output": "world", "evaluation_images": 2, "training_images": 2}], "world-pairs": [{"world": w, "output": "pairs"}],
    }


# ---- other values --------------------------------------------------------------------------------------------------------------------

def given(space):
    """Values of keys whose default says nothing of what may stand there; paths above all."""
    f, w = space.folder, space.world
    return {
        "model/path": [LLAVA / "new-bf16"], "model/adapter": [LLAVA / "dpo/adapter"], "model/vision_tower": [f / "nowhere"],
        "model/checkpoint": [f / "nowhere"], "model/bert": [f / "nowhere"],
        "model/image_size": [56], "*/question": ["What is it?"], "*/prompt": ["One two"], "*/completion": ["A blue cup."],
        "generate/min_new_tokens": [12, 30], "export/max_shard_bytes": [1 << 20], "generate/stop": [["a", "e", "i", "o", "u", " "]], "pope/stop": [["a", "e", "i", "o", "u", " "]], "shr-describe/stop": [["is"]],
        "train/data/desc": [f / "nowhere"], "train/data/pope": [f / "nowhere"], "train/data/image_data": [f / "nowhere"],
        "train/data/images": [f], "train/data/pairs": [f / "pairs2.jsonl"], "train/data/samples": [f / "nowhere"],
        "train/data/cc_sbu_align": [f / "nowhere"], "train/lora/target": [["q_proj"]], "train/lora/init": [f / "nowhere"],
        "train/reference/cache": ["cache.jsonl"], "train/output": ["another"], "train/log": ["log.jsonl"], "train/save_every": [1],
        "train/guard": [{"every": 1, "pairs": 2}], "train/max_length": [20], "train/max_prompt": [4], "train/max_answer": [2],
        "train/steps": [5], "train/schedule/warmup_steps": [2], "train/beta": [0.5], "train/seed": [7],
        "pope/questions": [f / "more.json"], "pope/images": [f / "nowhere"], "pope/answers": ["others.jsonl"],
        "pope/further": [[{"questions": f / "more.json", "answers": "further.jsonl"}]], "pope/limit": [2],
        "shr-describe/vg": [f / "nowhere"], "shr-describe/shr": [f / "nowhere"], "*/image_data": [f / "nowhere"], "*/regions": [f / "nowhere"],
        "*/factual": [[f / "nowhere"]], "*/val_images": [f / "nowhere"], "shr-describe/images": [f / "nowhere"], "*/vg": [f / "nowhere"],
        "*/shr": [f / "nowhere"], "*/output": ["elsewhere"],
        "pope-score/splits": [[{"name": "random", "questions": f / "questions.json", "answers": f / "other.jsonl"}]],
        "pope-score/rules": [["first-word"], ["official", "lmms-eval"]], "*/records": ["records.jsonl"],
        "pope-build/annotations": [f / "nowhere"], "pope-build/strategies": [["random"]], "pope-build/template": ["Can you see a {}?"],
        "pope-build/dataset": ["mine"], "pope-build/images": [2], "pope-build/per_image": [2],
        "chair-score/captions": [f / "answers.jsonl"], "*/synonyms": [f / "synonyms2.txt"], "*/objects": [f / "objects2.json"],
        "chair-score/instances": [[f / "nowhere"]], "chair-score/references": [[f / "nowhere"]],
        "*/answers": [f / "nowhere"], "shr-requests/judge/stop": [["@@"]], "shr-requests/judge/model": ["another"],
        "shr-requests/judge/max_tokens_key": ["max_completion_tokens"], "shr-requests/longest_prompt": [10],
        "shr-score/replies": [f / "replies2.jsonl"], "shr-score/requests": [f / "nowhere"], "*/baseline": [f / "other.jsonl"],
        "shr-score/model_path": ["some/model"],
        "report/picture_width": [16], "report/picture_bytes": [0], "report/title": ["Another"], "report/name": ["later"], "report/baseline_name": ["earlier"],
        "report/pope": [None], "report/shr": [f / "nowhere", {"score": f / "nowhere"}], "report/chair": [f / "nowhere", {"score": f / "nowhere"}],
        "report/training": [[{"name": "a", "log": f / "nowhere"}]], "report/pictures": [[f]],
        "world-pairs/world": [f / "nowhere"], "world-pairs/images": [2],
        "engine/memory_limit": [1 << 34], "engine/threads": [2],
    }


def changed(value):
    """Other values of the same type."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value * 2 + 3, max(0, value // 2)]
    if isinstance(value, float):
        return [value * 0.5 + 0.01, value + 0.25, 0.5]
    return []


def names_of(schema, path, now, base):
    """What a key with names for values takes, from the refusal of another."""
    keys = {key: value for key, value in base.items() if not key.startswith("_")}
    try:
        hadpo.config_resolve({"schema": f"hadpo.{schema}/1", **with_value(keys, path, "no such name")})
    except hadpo.Error as error:
        found = re.match(r"one of (.*)", error.expected or "")
        return [name for name in found.group(1).split(", ") if name != now] if found else []
    return []


def paths(value, prefix=()):
    """Every key of a dumped configuration; the keys of an object beside the object's own."""
    for key, inner in value.items():
        if key == "schema":
            continue
        if isinstance(inner, dict):
            yield from paths(inner, (*prefix, key))
        else:
            yield (*prefix, key), inner


def with_value(base, path, value):
    """A copy of `base` with one key changed."""
    result = dict(base)
    if len(path) == 1:
        result[path[0]] = value
    else:
        inner = base.get(path[0])
        result[path[0]] = with_value(inner if isinstance(inner, dict) else {}, path[1:], value)
    return result


def look_up(base, path):
    for part in path:
        if not isinstance(base, dict) or part not in base:
            return None
        base = base[part]
    return base


class EveryKey(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.space = Space(pathlib.Path(cls.scratch.name))
        cls.bases, cls.given = bases(cls.space), given(cls.space)

    @classmethod
    def tearDownClass(cls):
        cls.space.engine.close()
        cls.scratch.cleanup()

    def attempt(self, schema, keys):
        """The outcome, or the error."""
        with self.space.fresh():
            try:
                return self.space.outcome(RUN[schema](self.space, dict(keys)))
            except hadpo.Error as error:
                return error

    def values(self, schema, path, default, base):
        pointer = "/".join(path)
        for name in (f"{schema}/{pointer}", f"*/{path[-1]}"):
            if name in self.given:
                return self.given[name]
        now = look_up(base, path)
        now = default if now is None else now
        if isinstance(now, str):
            return names_of(schema, path, now, base)
        return changed(now)

    def try_key(self, schema, path, default, outcomes):
        """Why the key counts as used, or what is wrong."""
        pointer = f"{schema}/{'/'.join(path)}"
        tried = []
        for base, before in zip(self.bases[schema], outcomes):
            for value in self.values(schema, path, default, base):
                if value == look_up(base, path):
                    continue
                after = self.attempt(schema, with_value(base, path, value))
                tried.append(value)
                if isinstance(after, hadpo.Error):
                    # A bound of the key itself says nothing of its use; a refusal that names it does, or one that names the given file.
                    if "value out of range" in after.message:
                        continue
                    text = " ".join(str(part) for part in (after.message, after.where, after.found, after.expected))
                    names = [path[-1], path[-1].replace("_", " ")] + [str(item) for item in (value if isinstance(value, list) else [value])]
                    self.assertTrue(any(name in text for name in names), f"{pointer} = {value}: refused without a word of it: {text}")
                    self.assertNotIn(pointer, MOVES_NOTHING, text)
                    return "refused"
                if after != before:
                    if pointer in MOVES_NOTHING:
                        self.fail(f"{pointer} = {value} moved something\n{before}\n{after}")
                    return "used"
        self.assertTrue(tried, f"{pointer}: no other value is known; give it one in this test")
        if pointer in MOVES_NOTHING:
            return "same"
        self.fail(f"{pointer}: {tried} changed nothing and was not refused")

    def check(self, schema):
        outcomes = [self.attempt(schema, base) for base in self.bases[schema]]
        for base, outcome in zip(self.bases[schema], outcomes):
            self.assertIsInstance(outcome, str, f"{schema} {base}: {outcome}")
            self.assertEqual(self.attempt(schema, base), outcome, f"{schema}: the same twice")
        for path, default in paths(hadpo.config_default(f"hadpo.{schema}/1")):
            with self.subTest(key=f"{schema}/{'/'.join(path)}"):
                self.try_key(schema, path, default, outcomes)

    def test_every_schema_is_tried(self):
        try:
            hadpo.config_default("hadpo.nothing/1")
        except hadpo.Error as error:
            known = set(re.findall(r"hadpo\.([a-z-]+)/1", error.expected))
        self.assertEqual(known, set(RUN) | NOT_RUN)
        self.assertLessEqual(len(MOVES_NOTHING), 15)


for _schema in RUN:
    if _schema not in ("shr-agree",):
        def _test(self, schema=_schema):
            self.check(schema)
        setattr(EveryKey, f"test_{_schema.replace('-', '_')}", _test)


if __name__ == "__main__":
    unittest.main()
