"""docs/results.md: every key that the calls answer with on the world stands on the page, and every key of the page is answered."""

import json
import os
import pathlib
import re
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "bindings" / "python"))
import hadpo  # noqa: E402

PAGE = ROOT / "docs" / "results.md"
QUESTIONS = "world/POPE/output/coco/coco_pope_{}.json"
PICTURES = "world/coco2014/val2014"


def flat(value, path=()):
    """Joined paths of everything in a result, `[]` for the elements of an array; an empty object or array of them stands alone."""
    if isinstance(value, dict):
        return {p for key, inner in value.items() for p in flat(inner, (*path, key))} or {"/".join(path)}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return {p for inner in value for p in flat(inner, (*path[:-1], f"{path[-1]}[]"))}
    return {"/".join(path)}


class Page:
    """Section -> its rows: (pattern, section that goes on below it or None, sometimes)."""

    def __init__(self, text):
        self.sections, self.seen = {}, set()
        for part in re.split(r"^### ", text, flags=re.M)[1:]:
            name, rest = part.split("\n", 1)
            rows = []
            for keys, what in re.findall(r"^\| (`.*?) \| (.*) \|$", rest, flags=re.M):
                link = re.search(r"(?:object|objects|rule|each)\S* ?(?:the last )?\[\w+\]\(#(\w+)\)", what)
                rows += [(key, link.group(1) if link else None, what.startswith("Only")) for key in re.findall(r"`([^`]+)`", keys)]
            self.sections[name] = rows

    def find(self, section, path):
        for key, below, _ in self.sections[section]:
            pattern = re.escape(key).replace(r"\*", "[^/]+")
            whole = re.match(rf"{pattern}(?:$|(?=/))", path)
            # A row that ends in * covers what lies below it, one with a link only what the other section has.
            if whole and below and whole.end() < len(path):
                found = self.find(below, path[whole.end() + 1:])
            else:
                found = bool(whole) and (whole.end() == len(path) or (key.endswith("*") and below is None))
            if found:
                self.seen.add((section, key))
                return True
        return False

    def unseen(self):
        return [f"{section}: {key}" for section, rows in self.sections.items() for key, below, sometimes in rows
                if not sometimes and (section, key) not in self.seen]


def everything(note):
    """Calls each function; `note(section, result)` gets what it answers, and the events."""
    def event(record):
        note(record["event"], record)
    engine = hadpo.Engine(on_event=event)
    note("hadpo_world_make", engine.world_make("world", evaluation_images=10, training_images=30))
    model = hadpo.Model(engine, "world/model")
    picture = f"{PICTURES}/COCO_val2014_000000000002.png"
    note("hadpo_model_generate", model.generate(picture, question="What is there?", stream=True))
    note("hadpo_world_pairs", model.world_pairs("world", "pairs"))
    data = {"desc": "pairs/desc_data.json", "pope": "pairs/pope_data.json", "image_data": "world/VG/image_data.json",
            "images": "world/VG"}
    train = {"data": data, "batch": 4, "steps": 6, "lora": {"rank": 2, "alpha": 4}, "optimizer": {"learning_rate": 1e-3}}
    note("hadpo_data_check", model.check(**train))
    note("hadpo_data_check", model.check(**{**train, "data": {**data, "images": "world"}}))
    note("hadpo_data_check", model.check(**train, output="world/model/config.json/adapter"))
    guard = {"every": 2, "pope": {"questions": QUESTIONS.format("random"), "images": PICTURES}, "describe": {"images": PICTURES},
             "keep": "best"}
    with model.trainer(**train, output="best", guard=guard) as trainer:
        note("hadpo_trainer_run", trainer.run())
        trainer.save("adapter")
    with model.trainer(**train, guard={**guard, "keep": "last", "stop": [{"figure": "chosen_logprob", "above": -1000.0}]}) as trainer:
        note("hadpo_trainer_run", trainer.run())
    note("hadpo_pope_run", model.pope(QUESTIONS.format("random"), PICTURES, answers="before.jsonl",
                                      further=[{"questions": QUESTIONS.format("popular")}]))
    note("hadpo_model_describe", model.describe())
    model.load_adapter("adapter")
    note("hadpo_model_describe", model.describe())
    further = {key: value for key, value in train.items() if key != "lora"}
    note("hadpo_data_check", model.check(**further))
    with model.trainer(**further, reference={"model": "start"}) as trainer:
        note("hadpo_trainer_run", trainer.run(1))
    model.load_adapter("adapter")
    for _ in range(2):  # the second finds the answers of the first
        note("hadpo_pope_run", model.pope(QUESTIONS.format("random"), PICTURES, answers="after.jsonl"))
    note("hadpo_shr_describe", model.shr_describe("descriptions.jsonl", images="world/VG", shr="world/shr",
                                                  image_data="world/VG/image_data.json"))
    files(note)


def files(note):
    """The calls that read files alone."""
    before, after = pathlib.Path("before.jsonl").read_bytes(), {"questions": QUESTIONS.format("random"), "answers": "after.jsonl"}
    note("hadpo_pope_score", hadpo.pope_score(pathlib.Path(QUESTIONS.format("random")).read_bytes(), before))
    split = {**after, "baseline": "before.jsonl"}
    note("hadpo_pope_evaluate", hadpo.pope_evaluate(splits=[split], rules=["official", "lmms-eval"]))
    note("hadpo_report_write", hadpo.report_write("page.html", pope={"splits": [split]}))
    objects = [json.loads(line) for line in pathlib.Path("world/POPE/segmentation/coco_ground_truth_segmentation.json")
               .read_text().splitlines()]
    note("hadpo_pope_build", hadpo.pope_build(output="built", images=5,
                                              annotations="world/POPE/segmentation/coco_ground_truth_segmentation.json"))
    folders = {"answers": "descriptions.jsonl", "vg": "world/VG", "shr": "world/shr"}
    note("hadpo_shr_requests", hadpo.shr_requests(output="requests.jsonl", **folders))
    note("hadpo_shr_score", hadpo.shr_score(judge="annotations", synonyms="world/synonyms.txt", output="scored", **folders))
    note("hadpo_shr_score", hadpo.shr_score(judge="annotations", baseline="scored/sentences.jsonl", **folders))
    note("hadpo_shr_agree", hadpo.shr_agree("scored/sentences.jsonl", "scored/sentences.jsonl"))
    pathlib.Path("objects.json").write_text(json.dumps({str(int(o["image"][-16:-4])): o["objects"] for o in objects}))
    captions = [{"image_id": int(o["image"][-16:-4]), "caption": "There is a ball."} for o in objects]
    pathlib.Path("captions.jsonl").write_text("".join(json.dumps(caption) + "\n" for caption in captions))
    note("hadpo_chair_score", hadpo.chair_score(captions="captions.jsonl", synonyms="world/synonyms.txt", objects="objects.json"))


class Results(unittest.TestCase):
    def test_what_is_answered_and_what_is_written_are_the_same_keys(self):
        page, unknown, here = Page(PAGE.read_text()), set(), os.getcwd()

        def note(section, result):
            if section not in page.sections:
                unknown.add(section)
            else:
                unknown.update(f"{section}: {path}" for path in flat(result)
                               if path.split("/")[-1] != "event" and not page.find(section, path))

        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            try:
                everything(note)
            finally:
                os.chdir(here)
        self.assertEqual(sorted(unknown), [], "answered, and not on the page")
        self.assertEqual(page.unseen(), [], "on the page, and never answered")


if __name__ == "__main__":
    unittest.main()
