"""The HTML page: it loads nothing, nothing of the host's is markup, every figure is that of the results, every outcome has its name."""

import base64
import html.parser
import json
import pathlib
import re
import struct
import sys
import unittest
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "bindings/python"))
import hadpo  # noqa: E402
from tool import ToolTest  # noqa: E402

VOID = {"meta", "link", "img", "br", "line", "circle", "path"}
HOSTILE = "</td><script>alert(1)</script>\"'><img src=http://evil.invalid/x onerror=alert(1)>\u202eabc\u0001&amp;"


class Page(html.parser.HTMLParser):
    """Reads a page as strictly as it is written: every element closed in its order, attributes in quotes."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.figures, self.words, self.faults = [], [], [], [], []
        self.feed(text)
        self.close()
        if self.open:
            self.faults.append(f"never closed: {self.open}")

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.elements.append((tag, attributes))
        if "data-of" in attributes:
            self.figures.append((attributes["data-of"], attributes.get("value")))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def at(results, pointer):
    for part in pointer.split("/")[1:]:
        part = part.replace("~1", "/").replace("~0", "~")
        try:
            results = results[int(part)] if isinstance(results, list) else results[part]
        except (KeyError, IndexError, TypeError):
            return None
    return results


def png(width, height, shade):
    rows = b"".join(b"\0" + bytes((shade * (x + y)) % 256 for x in range(width) for _ in range(3)) for y in range(height))
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


class Report(ToolTest):
    def file(self, name, content):
        return str(super().file(name, content))

    def check(self, path, results):
        """What holds of every page."""
        text = pathlib.Path(path).read_text()
        page = Page(text)
        self.assertEqual(page.faults, [])
        tags = {tag for tag, _ in page.elements}
        self.assertFalse(tags & {"script", "iframe", "object", "embed", "form", "base", "video", "audio", "image", "use"}, tags)
        for tag, attributes in page.elements:
            for name, value in attributes.items():
                self.assertFalse(name.startswith("on"), (tag, name))
                if name in ("src", "href", "srcset", "data", "action", "poster", "xlink:href", "background"):
                    self.assertRegex(value, r"^(#[a-z0-9-]*|data:,|data:image/png;base64,[A-Za-z0-9+/]*=*)$", (tag, name))
            if tag == "img":
                self.assertTrue(attributes.get("alt"))
            if tag == "svg":
                self.assertTrue(attributes.get("aria-label") or attributes.get("aria-hidden"))
        for word in ("url(", "@import", "expression(", "image-set("):
            self.assertNotIn(word, re.sub(r"<[^s].*?>", "", text.split("</style>")[0]))
        policy = [a["content"] for tag, a in page.elements if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"]
        self.assertEqual(policy, ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"])
        ids = [a["id"] for _, a in page.elements if "id" in a]
        self.assertEqual(len(ids), len(set(ids)))
        targets = [a["href"][1:] for tag, a in page.elements if tag == "a"]
        self.assertFalse(set(targets) - set(ids))
        self.assertEqual(sum(tag == "table" for tag, _ in page.elements), sum(tag == "caption" for tag, _ in page.elements))
        self.assertGreater(len(page.figures), 0)
        for pointer, value in page.figures:
            found = at(results, pointer)
            if "\ufffd" in pointer:  # a name that cannot stand in HTML
                continue
            if value is None:
                self.assertTrue(found is None or isinstance(found, str), pointer)
            else:
                self.assertEqual(json.loads(value), found, pointer)
        return page

    def figures_of(self, page, prefix):
        return {pointer[len(prefix):]: value for pointer, value in page.figures if pointer.startswith(prefix)}

    # ---- inputs

    def pope(self, name="random", images=8, wrong=(), scores=True, hostile=""):
        """Questions and answers; question i is answered wrongly when i is in `wrong`."""
        questions = [{"question_id": i, "image": f"{i // 4}.png{hostile}", "text": f"Is there a thing{i} in the image?{hostile}",
                      "label": "no" if i % 2 else "yes"} for i in range(4 * images)]
        answers = []
        for i in range(4 * images):
            yes = (i % 2 == 0) != (i in wrong)
            record = {"question_id": i, "answer": ("Yes, there is." if yes else "No, there is not.") + hostile}
            if scores:
                record["yes_minus_no"] = (1.5 if yes else -1.5) + i / 100
            answers.append(record)
        return self.lines(f"{name}.json", questions), answers

    def scored(self, name, descriptions, replies=None, **keys):
        """SHR scored by hand-made replies, or by annotations."""
        answers = self.file(f"{name}.json", descriptions)
        if replies is not None:
            keys["replies"] = self.lines(f"{name}.replies.jsonl", [
                {"custom_id": f"run1/{image}", "error": None, "response": {"status_code": 200, "body": {
                    "model": keys.get("model", "gpt-4-test"),
                    "choices": [{"finish_reason": "stop", "message": {"content": text}}]}}} for image, text in replies.items()])
        keys.pop("model", None)
        hadpo.shr_score(answers=answers, output=str(self.folder / name), resamples=200, **keys)
        return str(self.folder / name)

    # ---- what must hold

    def test_a_page_of_everything_shows_the_figures_of_the_results(self):
        splits = []
        for name in ("random", "adversarial"):
            questions, answers = self.pope(name, wrong={3, 5, 8})
            _, before = self.pope(name, wrong={1, 3, 5, 7, 9, 11})
            splits.append({"questions": questions, "answers": self.lines(f"{name}.after.jsonl", answers),
                           "baseline": self.lines(f"{name}.before.jsonl", before)})
        before = self.scored("before", {"0": "A cat. A dog. A cup", "1": "A tree"},
                             {"0": "Judgement:\n1. correct: a\n2. hallucination: no dog\n3. cannot judge: b",
                              "1": "Judgement:\n1. hallucination: no tree"})
        after = self.scored("after", {"0": "A cat. A cup", "1": "A bus"},
                            {"0": "Judgement:\n1. correct: a\n2. correct: b", "1": "Judgement:\n1. hallucination: c"})
        captions = [{"image_id": 0, "caption": "Two puppies and a kitten."}, {"image_id": 1, "caption": "A dog."}]
        synonyms = self.file("synonyms.txt", "dog, puppy\ncat, kitten\n")
        hadpo.chair_score(captions=self.file("c.json", captions), synonyms=synonyms, resamples=100,
                          objects=self.file("o.json", {"0": ["dog"], "1": ["dog"]}), records=str(self.folder / "words.jsonl"))
        log = self.lines("training.jsonl", [
            {"event": "step", "step": s, "epoch": s / 10, "loss": 0.7 - s / 50, "rewards/margins": s / 20, "rewards/chosen": s / 30,
             "rewards/rejected": -s / 60, "rewards/accuracies": 0.5, "learning_rate": 1e-6 * s, "grad_norm": 1.0, "seconds": 0.5}
            for s in range(1, 11)])
        for i in range(8):
            self.file(f"pictures/{i}.png", png(12, 9, i + 1))
        out = self.folder / "report.html"
        results = hadpo.report_write(
            out, pope={"splits": splits, "rules": ["official", "lmms-eval"], "resamples": 300},
            shr={"scored": after, "baseline": before}, chair={"records": str(self.folder / "words.jsonl")}, training=[log],
            pictures=[str(self.folder / "pictures")], resamples=100)
        page = self.check(out, results)
        # The figures themselves are those that the evaluators give for the same files.
        alone = hadpo.pope_evaluate(splits=splits, rules=["official", "lmms-eval"], resamples=300)
        self.assertEqual(results["pope"], alone)
        self.assertEqual(results["shr"]["run"]["report"], json.loads((self.folder / "after/report.json").read_text()))
        self.assertEqual(results["chair"]["run"]["hallucinated_mentions"], 1)
        # Every column of the papers is there, for both runs.
        shown = {pointer for pointer, _ in page.figures}
        for split in range(2):
            for role in ("run", "baseline"):
                for rule in ("official", "lmms-eval"):
                    for figure in ("accuracy", "precision", "recall", "f1", "yes_ratio", "n"):
                        self.assertIn(f"/pope/splits/{split}/{role}/rules/{rule}/{figure}", shown)
                for count in ("unparsed", "ambiguous", "answer_count", "roc_area"):
                    self.assertIn(f"/pope/splits/{split}/{role}/{count}", shown)
                for count in ("tp", "fp", "tn", "fn"):
                    self.assertIn(f"/pope/splits/{split}/{role}/rules/official/{count}", shown)
        for role in ("run", "baseline"):
            for figure in ("sents_per_image", "words_per_image", "hal_sents_per_image", "hal_words_per_image", "hal_sents_ratio",
                           "hal_words_ratio"):
                self.assertIn(f"/shr/{role}/report/corrected/{figure}", shown)
                self.assertIn(f"/shr/{role}/report/upstream/run1/{figure}", shown)
            for count in ("verdicts_read_after_trimming", "verdicts_read_by_number", "images_that_upstream_leaves_out"):
                self.assertIn(f"/shr/{role}/report/differences/{count}", shown)
        self.assertIn("Upstream drops a verdict with a blank before its colon", page.text)
        for figure in ("chair_s", "chair_i", "recall", "length"):
            self.assertIn(f"/chair/run/{figure}", shown)
        self.assertIn("/training/0/figures/rewards~1margins/last", shown)
        for words in ("gpt-4-test", "official", "lmms-eval", "Reward margin", "ROC curve", "At equal length", "no tree"):
            self.assertIn(words, page.text)
        self.assertIn("Judge: the model gpt-4-test", page.text)
        pictures = [a["src"] for tag, a in page.elements if tag == "img"]
        self.assertEqual(len(pictures), results["gallery"]["embedded"])
        self.assertTrue(all(base64.b64decode(source.split(",")[1]).startswith(b"\x89PNG") for source in pictures))
        # No clock, no random names: the same bytes again.
        again = hadpo.report_write(
            self.folder / "again.html", pope={"splits": splits, "rules": ["official", "lmms-eval"], "resamples": 300},
            shr={"scored": after, "baseline": before}, chair={"records": str(self.folder / "words.jsonl")}, training=[log],
            pictures=[str(self.folder / "pictures")], resamples=100)
        self.assertEqual(again["sha256"], results["sha256"])

    def test_nothing_of_the_host_is_markup(self):
        questions, answers = self.pope("hostile", wrong={1, 2}, hostile=HOSTILE)
        _, before = self.pope("hostile", wrong={1, 2, 3}, hostile=HOSTILE)
        after = self.scored("after", {HOSTILE: f"A cat{HOSTILE}. A dog", "7": "A cup"},
                            {HOSTILE: f"Judgement:\n1. hallucination: {HOSTILE}\n2. correct: a\n3. correct: b", "7": HOSTILE},
                            model=HOSTILE, partial=True)
        records = self.lines("words.jsonl", [
            {"image_id": HOSTILE, "caption": HOSTILE, "outcome": HOSTILE, "mscoco_hallucinated_words": [[HOSTILE, HOSTILE]],
             "mscoco_gt_words": [HOSTILE], "mscoco_generated_words": [HOSTILE], "words": [], "metrics": {"Len": 3}}])
        log = self.lines("log.jsonl", [{"event": HOSTILE, "step": 1, HOSTILE: HOSTILE, "a": {HOSTILE: [HOSTILE]}},
                                       {"event": "step", "step": 1, "loss": 1.0}])
        self.file("pictures/0.png", png(4, 4, 9))
        out = self.folder / "report.html"
        results = hadpo.report_write(
            out, title=HOSTILE, name=HOSTILE, baseline_name=HOSTILE,
            pope={"splits": [{"name": HOSTILE, "questions": questions, "answers": self.lines("a.jsonl", answers),
                              "baseline": self.lines("b.jsonl", before)}], "resamples": 50},
            shr={"scored": after}, chair={"records": records}, training=[log], pictures=[str(self.folder / "pictures")], resamples=50,
            partial=True)
        page = self.check(out, results)
        text = out.read_text()
        for piece in ("<script", "<img src=http", "evil.invalid/x onerror=alert(1)>", "\u202e", "\u0001"):
            self.assertNotIn(piece, text)
        self.assertIn("alert(1)", page.text)  # as words, for all to see

    def test_names_do_not_lead_out_of_the_picture_folders(self):
        self.file("secret.png", png(5, 5, 3))
        self.file("pictures/0.png", png(5, 5, 4))
        questions = self.lines("q.json", [{"question_id": i, "image": image, "text": "Is there a cup?", "label": "no"} for i, image in
                                          enumerate(("../secret.png", str(self.folder / "secret.png"), "pictures/../../secret.png", "0.png"))])
        answers = self.lines("a.jsonl", [{"question_id": i, "answer": "Yes"} for i in range(4)])
        out = self.folder / "report.html"
        keys = dict(pope={"splits": [{"questions": questions, "answers": answers}], "resamples": 0},
                    pictures=[str(self.folder / "pictures")])
        with self.assertRaises(hadpo.Error) as refused:
            hadpo.report_write(out, **keys)
        self.assertIn("1 of 4 pictures", refused.exception.found)
        results = hadpo.report_write(out, **keys, partial=True)
        page = self.check(out, results)
        self.assertEqual((results["gallery"]["embedded"], results["gallery"]["missing"]), (1, 3))
        self.assertIn("3 were not in the folders given", page.text)
        self.assertEqual(page.text.count("its name leads out of the folders given"), 3)
        wide = hadpo.report_write(out, pope={"splits": [{"questions": questions, "answers": answers}], "resamples": 0},
                                  pictures=[str(self.folder / "pictures")], outside=True, partial=True)
        # Two names of one picture; the third climbs from a folder that is not there.
        self.assertEqual((wide["gallery"]["embedded"], wide["gallery"]["missing"]), (2, 1))

    def test_pictures_are_found_by_their_number(self):
        def page(name, *files, **keys):
            for old in (self.folder / "pictures").rglob("*.*"):
                old.unlink()
            for number, file in enumerate(files):
                self.file(f"pictures/{file}", png(5, 5, number))
            questions = self.lines("q.json", [{"question_id": 0, "image": name, "text": "Is there a cup?", "label": "no"}])
            answers = self.lines("a.jsonl", [{"question_id": 0, "answer": "Yes"}])
            return hadpo.report_write(self.folder / "report.html", pictures=[str(self.folder / "pictures")],
                                      pope={"splits": [{"questions": questions, "answers": answers}], "resamples": 0}, **keys)["gallery"]

        names = ("7", "000000000007.jpg", "COCO_val2014_000000000007.jpg", "val2014/COCO_val2014_000000000007.jpg")
        for name in names:
            for file in ("COCO_val2014_000000000007.jpg", "val2014/COCO_val2014_000000000007.jpg", "000000000007.jpg", "7.png",
                         "val2014/COCO_val2014_000000000007.png"):
                with self.subTest(name=name, file=file):
                    self.assertEqual((page(name, file, "8.png")["embedded"]), 1)
        # The set that a name speaks of is looked in alone; a number in two sets has no meaning, unless the files are the same.
        train, val = "COCO_train2014_000000000007.jpg", "COCO_val2014_000000000007.jpg"
        self.assertEqual(page(val, train, val)["embedded"], 1)
        for name in ("7", "000000000007.jpg"):
            with self.assertRaises(hadpo.FormatError) as refused:
                page(name, train, val)
            self.assertIn("two meanings", str(refused.exception))
        for keys in ({}, {"partial": True}):
            self.file("pictures/x.png", png(5, 5, 1))
            if keys:
                self.assertEqual(page(val, train, **keys)["missing"], 1)
                continue
            with self.assertRaises(hadpo.FormatError) as refused:
                page(val, train)
            self.assertIn(f"nothing called '{val}'", str(refused.exception))

    def test_another_data_set_s_pictures_are_not_taken_for_a_number(self):
        questions = self.lines("q.json", [{"question_id": 0, "image": "COCO_val2014_000000000004.jpg", "text": "Is there a cup?",
                                           "label": "no"}])
        answers = self.lines("a.jsonl", [{"question_id": 0, "answer": "Yes"}])
        for folder, found in (("VG_100K", 0), ("VG_100K_2", 0), ("train2014", 0), ("val2014", 1), ("pictures", 1)):
            with self.subTest(folder=folder):
                self.file(f"{folder}/4.png", png(5, 5, 1))
                gallery = hadpo.report_write(self.folder / "report.html", pictures=[str(self.folder / folder)], partial=True,
                                             pope={"splits": [{"questions": questions, "answers": answers}], "resamples": 0})["gallery"]
                self.assertEqual((gallery["embedded"], gallery["missing"]), (found, 1 - found))

    def test_runs_of_other_pictures_do_not_pass_for_before_and_after(self):
        def words(name, *images):
            return self.lines(name, [{"image_id": image, "caption": "a dog", "outcome": "scored", "mscoco_hallucinated_words": [],
                                      "mscoco_gt_words": ["dog"], "mscoco_generated_words": ["dog"], "words": ["a", "dog"]} for image in images])
        def page(run, baseline, **keys):
            return hadpo.report_write(self.folder / "report.html", chair={"records": run, "baseline": baseline}, resamples=10, **keys)
        one, same, other = words("a", "7", "8"), words("b", "000000000008.jpg", "val2014/COCO_val2014_000000000007.jpg"), words("c", "7", "9")
        result = page(one, same)["chair"]["run"]
        self.assertEqual((result["asked"], result["scored"], result["missing"]), (2, 2, 0))
        with self.assertRaises(hadpo.FormatError) as refused:
            page(one, other)
        self.assertIn("1 of 3 pictures scored; missing only in the run: 8", str(refused.exception))
        page(one, other, partial=True)
        with self.assertRaises(hadpo.FormatError):
            page(words("d", "7", "COCO_val2014_000000000007.jpg"), one, partial=True)

    def test_nothing_of_a_file_that_is_no_picture_stands_on_the_page(self):
        self.file("pictures/0.png", b"zeppelin:x:0:0")
        questions = self.lines("q.json", [{"question_id": 0, "image": "0.png", "text": "Is there a cup?", "label": "no"}])
        out = self.folder / "report.html"
        hadpo.report_write(out, pope={"splits": [{"questions": questions, "answers": self.lines("a.jsonl", [
            {"question_id": 0, "answer": "Yes"}])}], "resamples": 0}, pictures=[str(self.folder / "pictures")])
        text = out.read_text()
        self.assertIn("cannot be read: neither a PNG nor a JPEG file", text)
        for piece in ("zeppelin", "7a 65"):
            self.assertNotIn(piece, text)

    def test_pictures_are_scaled_down_and_capped_and_what_is_left_out_is_said(self):
        questions, answers = self.pope(wrong=range(32))
        for i in range(6):
            self.file(f"pictures/{i}.png", png(640, 320, i + 1))
        self.file("pictures/6.png", b"not a picture")
        out = self.folder / "report.html"
        keys = dict(pope={"splits": [{"questions": questions, "answers": self.lines("a.jsonl", answers)}], "resamples": 0},
                    pictures=[str(self.folder / "pictures")], picture_width=64, partial=True)
        whole = hadpo.report_write(out, **keys)
        page = self.check(out, whole)
        source = next(a["src"] for tag, a in page.elements if tag == "img")
        data = base64.b64decode(source.split(",")[1])
        self.assertEqual(struct.unpack(">II", data[16:24]), (64, 32))
        self.assertEqual((whole["gallery"]["embedded"], whole["gallery"]["missing"], whole["gallery"]["broken"]), (6, 1, 1))
        capped = hadpo.report_write(out, **keys, picture_bytes=whole["gallery"]["bytes"] // 2)
        self.assertGreater(capped["gallery"]["left_out"], 0)
        self.assertLessEqual(capped["gallery"]["bytes"], whole["gallery"]["bytes"] // 2)
        self.assertIn("would be too large", self.check(out, capped).text)
        few = hadpo.report_write(out, **keys, cards=2)
        self.assertIn("2 of the 8 pictures with something wrong", self.check(out, few).text)

    def test_every_bad_input_has_its_name_in_the_report(self):
        # SHR: wrong number of lines, another language, no regions, empty description, no description, described twice.
        self.file("image_data.json", [{"image_id": i, "url": f"x/VG/{i}.jpg", "width": 10, "height": 10} for i in range(1, 8)])
        region = {"region_id": 1, "x": 0, "y": 0, "width": 4, "height": 4, "phrase": "a dog"}
        self.file("regions.json", [{"id": i, "regions": [] if i == 3 else [{**region, "image_id": i}]} for i in (1, 2, 3, 4, 5)])
        self.file("val.json", [{"image_id": i} for i in (1, 2, 4, 5, 6, 7)])
        descriptions = self.lines("d.jsonl", [
            {"image_id": 1, "description": "A dog. A cat"}, {"image_id": 2, "description": "A dog. A cat"},
            {"image_id": 4, "description": "  "}, {"image_id": 5, "description": "A dog"}, {"image_id": 5, "description": "A dog"},
            {"image_id": 7, "description": "A dog"}, {"image_id": 9, "description": "A dog"}])
        replies = self.lines("r.jsonl", [
            {"custom_id": f"run1/{image}", "response": {"status_code": 200, "body": {"model": "m", "choices": [
                {"finish_reason": finish, "message": {"content": text}}]}}}
            for image, text, finish in ((1, "Judgement:\n1. correct: a", "stop"), (2, "Urteil:\n1. richtig\n2. falsch", "stop"),
                                        (5, "Judgement:\n1. correct: a", "stop"), (7, "Judgement:\n1. corr", "length"))])
        command = ["shr", "-A", descriptions, "--replies", replies, "--val-images", "val.json", "-o", "judged", "--report", "judged.html"]
        self.assertIn("1 of 6 descriptions", self.said(*command, code=4))
        self.said(*command, "--partial")
        self.assertIn("1 of 6 descriptions", self.said("report", "-o", "shr.html", "--shr", "judged", code=4))
        results = json.loads(self.said("report", "-o", "shr.html", "--shr", "judged", "--json", "--partial"))
        page = self.check(self.folder / "shr.html", results)
        self.assertEqual((self.folder / "judged.html").read_bytes(), (self.folder / "shr.html").read_bytes())
        counts = self.figures_of(page, "/shr/run/report/outcomes/")
        self.assertEqual({name: value for name, value in counts.items()},
                         {f"{name}/count": str(count) for name, count in (
                             ("count_mismatch", 1), ("foreign_reply", 1), ("empty_description", 1), ("described_twice", 1),
                             ("no_description", 1), ("truncated", 1), ("not_in_the_evaluation", 1), ("judged", 1))})
        for words in ("more or fewer lines than sentences", "in another language", "a description without a sentence",
                      "an image described twice", "was not described", "was cut off", "no verdict; not in the ratio, but in its bounds"):
            self.assertIn(words, page.text)
        sentences = self.figures_of(page, "/shr/run/report/corrected/sentences/")
        self.assertEqual((sentences["correct"], sentences["unjudged"], sentences["total"]), ("1", "5", "6"))
        # An image without regions, under the judge that needs them.
        self.said("shr", "-A", self.file("d3.json", {"1": "A dog", "3": "A dog"}), "-J", "annotations", "--regions", "regions.json",
                      "-o", "annotated", "--report", "annotated.html", "--partial")
        text = (self.folder / "annotated.html").read_text()
        self.assertIn("no regions", Page(text).text)
        self.assertIn("there is nothing to judge by", text)
        self.assertIn("no model read the descriptions", text)
        # POPE: another order (harmless), duplicate question ids, missing, surplus, another language.
        questions = [{"question_id": i, "image": "a.png", "text": f"Is there a q{i}?", "label": "no" if i % 2 else "yes"}
                     for i in (1, 2, 3, 4, 4, 5)]
        answers = [{"question_id": i, "answer": text} for i, text in (
            (4, "No."), (3, "Ja, da ist eins."), (2, "Yes"), (9, "Yes"), (2, "Yes"), (4, "Yes"), (1, "no"))]
        self.said("pope", "score", "-q", self.lines("q.json", questions), "-A", self.lines("a.jsonl", answers), "--report", "pope.html",
                      "--partial")
        results = hadpo.report_write(self.folder / "again.html", partial=True, pope={"splits": [
            {"questions": str(self.folder / "q.json"), "answers": str(self.folder / "a.jsonl")}]})
        page = self.check(self.folder / "pope.html", results)
        counts = self.figures_of(page, "/pope/splits/0/run/outcomes/")
        self.assertEqual(counts, {"scored": "5", "missing_answer/count": "1", "question_id_shared/count": "1",
                                  "answered_twice/count": "1", "unknown_question/count": "1"})
        self.assertEqual(self.figures_of(page, "/pope/splits/0/run/")["unparsed"], "1")
        for words in ("an id that several questions carry", "a question without an answer", "in any language",
                      "None of: answer without id, other question"):
            self.assertIn(words, page.text)
        straight = self.lines("straight.jsonl", sorted(answers, key=lambda a: a["question_id"]))
        ordered = hadpo.pope_evaluate(splits=[{"questions": str(self.folder / "q.json"), "answers": straight}], partial=True)
        for rule in ordered["splits"][0]["run"]["rules"].values():
            self.assertEqual(rule["n"], results["pope"]["splits"][0]["run"]["rules"]["official"]["n"])
        # CHAIR: an unknown image, captioned twice, no words.
        self.said("chair", "-A", self.file("c.json", [{"image_id": 1, "caption": "A dog."}, {"image_id": 1, "caption": "A dog."},
                                                          {"image_id": 2, "caption": "A cat."}, {"image_id": 3, "caption": " "}]),
                      "-s", self.file("s.txt", "dog\ncat\n"), "--objects", self.file("o.json", {"1": ["dog"], "3": ["cat"]}),
                      "--records", "w.jsonl", "--report", "chair.html", "--partial")
        results = hadpo.report_write(self.folder / "chair2.html", chair={"records": str(self.folder / "w.jsonl")}, partial=True)
        counts = self.figures_of(self.check(self.folder / "chair.html", results), "/chair/run/outcomes/")
        self.assertEqual(counts, {f"{name}/count": "1" for name in
                                  ("scored", "captioned_twice", "image_without_annotations", "empty_caption")})

    def test_a_log_with_records_of_other_kinds_is_drawn_and_listed(self):
        records = [{"event": "training", "samples": 4, "steps": 6}]
        for s in range(1, 7):
            records.append({"event": "step", "step": s, "loss": None if s == 2 else 1 / s, "learning_rate": 1e-6})
            if s % 2 == 0:
                records.append({"event": "guard", "step": s, "figures": {
                    "chosen_logprob": -s / 7, "rejected_logprob": -s / 3, "pope.accuracy": 0.5 + s / 100, "describe.words": 40.5 - s}})
                records.append({"event": "probe", "step": s, "heat": {"core": s / 2}, "note": "as it was"})
        records += [{"event": "step", "step": 6, "loss": 0.25, "learning_rate": 1e-6},
                    {"event": "guard_stop", "step": 6, "figure": "describe.words", "value": 34.5, "rule": "below", "limit": 35,
                     "patience": 1, "message": "describe.words is 34.5000 at step 6, below 35.0000"}]
        log = self.file("log.jsonl", "".join(json.dumps(r) + "\n" for r in records) + '{"event": "step", "st')
        out = self.folder / "report.html"
        results = hadpo.report_write(out, training=[log])
        page = self.check(out, results)
        self.assertEqual((results["training"][0]["steps"], results["training"][0]["logged_twice"]), (6, 1))
        self.assertEqual(results["training"][0]["figures"]["loss"]["last"], 0.25)
        self.assertEqual(results["training"][0]["other_records"], {"training": 1, "probe": 3})
        guard = results["training"][0]["guard"]
        self.assertEqual([r["step"] for r in guard["records"]], [2, 4, 6])
        self.assertEqual(self.figures_of(page, "/training/0/guard/records/1/figures/"), {
            "chosen_logprob": str(-4 / 7), "rejected_logprob": str(-4 / 3), "pope.accuracy": "0.54", "describe.words": "36.5"})
        for words in ("Stopped by the guard: describe.words is 34.5000 at step 6, below 35.0000", "POPE accuracy",
                      "probe: heat.core", "as it was", "stand in the log twice"):
            self.assertIn(words, page.text)
        self.assertNotIn("gallery", results)

    def test_numbers_of_any_size_neither_end_the_host_nor_hide(self):
        huge = [1e308, -1e308, 5e-324, -5e-324, 0, 9223372036854775807, -9223372036854775808, 1e300, 1e-300, 2.5]
        for values in (huge, huge[:2], [5e-324, 1e-323], [1e308, 1.0000001e308], [7], [1e100, -1e100], [1e-13, 2e-13]):
            log = self.lines("log.jsonl", [
                {"event": "step", "step": step, "loss": value, "learning_rate": value, "rewards/margins": value / 2, "seconds": value}
                for step, value in zip((1, 2, 9223372036854775807, -9223372036854775808, 5, 6, 7, 8, 9, 10), values)]
                + [{"event": "guard", "step": step, "x": value} for step, value in enumerate(values)])
            out = self.folder / "report.html"
            self.check(out, hadpo.report_write(out, training=[log]))
        answers = self.lines("a.jsonl", [{"question_id": i, "answer": "Yes", "yes_minus_no": value} for i, value in enumerate(huge)])
        questions = self.lines("q.json", [{"question_id": i, "image": "a", "text": "?", "label": "no" if i % 2 else "yes"}
                                          for i in range(len(huge))])
        self.check(out, hadpo.report_write(out, pope={"splits": [{"questions": questions, "answers": answers}], "resamples": 9}))
        words = {"image_id": "1", "caption": "a", "mscoco_hallucinated_words": [], "mscoco_gt_words": [], "mscoco_generated_words": []}
        with self.assertRaises(hadpo.Error):
            hadpo.report_write(out, chair={"records": self.lines("w.jsonl", [{**words, "metrics": {"Len": 2**63 - 1}}] * 3)})
        for kind, text in (("shr", '{"run": "run1"}'), ("shr", "[]"), ("shr", "7"), ("training", "[1]"), ("training", "nonsense\n{}")):
            with self.assertRaises(hadpo.Error):
                path = self.file("bad.jsonl", text)
                hadpo.report_write(out, **({"shr": {"scored": path}} if kind == "shr" else {"training": [path]}))

    def test_both_schemes_have_contrast(self):
        """WCAG 2: 4.5 to 1 for text, on the page, on cards and on the washes."""
        log = self.lines("log.jsonl", [{"event": "step", "step": 1, "loss": 1.0}])
        hadpo.report_write(self.folder / "r.html", training=[log])
        style = (self.folder / "r.html").read_text().split("<style>")[1].split("</style>")[0]
        blocks = re.findall(r":root\{([^}]*)\}", style)
        self.assertEqual(len(blocks), 3)  # light, dark, print

        def light(colour):
            colour = "".join(c * 2 for c in colour) if len(colour) == 3 else colour
            parts = [int(colour[i:i + 2], 16) / 255 for i in (0, 2, 4)]
            return sum(w * (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4) for w, c in zip((0.2126, 0.7152, 0.0722), parts))

        for block in blocks:
            colours = dict(re.findall(r"--([a-z-]+):#([0-9a-f]+)", block))
            pairs = [(ink, ground) for ground in ("paper", "card") for ink in ("ink", "soft", "before", "after", "bad", "open", "good")]
            for ink, ground in pairs + [("ink", "bad-wash"), ("ink", "open-wash")]:
                a, b = sorted((light(colours[ink]), light(colours[ground])))
                self.assertGreaterEqual((b + 0.05) / (a + 0.05), 4.5, (ink, ground, block))

    def test_scores_without_their_report_are_taken_and_the_judge_is_not_made_up(self):
        folder = self.scored("one", {"0": "A cat. A dog"}, {"0": "Judgement:\n1. correct: a\n2. hallucination: b"})
        out = self.folder / "report.html"
        for path in (folder + "/judgement.json", self.lines("sentences-alone/sentences.jsonl", [
                json.loads(line) for line in pathlib.Path(folder, "sentences.jsonl").read_text().splitlines()])):
            results = hadpo.report_write(out, shr={"scored": path}, resamples=50)
            page = self.check(out, results)
            self.assertEqual(results["shr"]["run"]["report"]["corrected"]["hal_sents_ratio"], 0.5)
            self.assertIn("Judge: unknown", page.text)

    def test_the_command_line_teaches_and_refuses(self):
        text = self.said("report", "--help")
        for words in ("usage: hadpo report", "examples", "--shr-baseline", "--picture-bytes", "loads nothing"):
            self.assertIn(words, text)
        self.assertLessEqual(max(map(len, text.splitlines())), 130)
        self.assertIn("\n  report ", self.said("--help"))
        self.assertEqual(json.loads(self.said("config", "hadpo.report/1"))["schema"], "hadpo.report/1")
        self.said("report", "-q", "q.json", code=2)
        self.said("report", "-o", "x.html", "-q", "q.json", code=2)
        self.assertIn("nothing to report", self.said("report", "-o", "x.html", code=3))
        self.said("report", "-o", "x.html", "--training", "absent.jsonl", code=4)
        questions, answers = self.pope(wrong={1})
        path = self.lines("a.jsonl", answers)
        for command in (("shr", "-A", path, "--replies", path), ("chair", "-A", path, "-s", path, "--objects", path),
                        ("train", "-m", ".", "-o", "adapter"), ("pope", "-m", ".", "-q", questions, "-i", ".")):
            self.assertIn("--report needs", self.said(*command, "--report", "x.html", code=2))
        self.assertFalse((self.folder / "x.html").exists())
        refused = self.said("report", "-o", "x.html", "-q", questions, "-A", path, "-B", self.lines("copy.jsonl", answers), code=3)
        self.assertIn("run and baseline are the same file", refused)
        before = self.lines("b.jsonl", self.pope(wrong={1, 2})[1])
        said = self.said("report", "-o", "x.html", "-q", questions, "-A", path, "-B", before, "--name", "mine", "--resamples", "50")
        self.assertIn("report: x.html", said)
        self.assertIn("mine", Page((self.folder / "x.html").read_text()).text)
        self.assertIn("report: y.html", self.said("pope", "-q", questions, "--score", path, "--report", "y.html"))


if __name__ == "__main__":
    unittest.main()
