"""What check_scaling.py doubles: for each file that a stranger may hand over, a builder that makes it with n of something.

A builder writes into a folder and returns (function of host.c, config, model folder or None). n counts what the case's name says.
"""

import json
import pathlib
import shutil
import struct
import zipfile

FIXTURES = pathlib.Path(__file__).resolve().parents[1] / "Fixtures"
CASES = {}


def case(name, n):
    """Registers a builder; n is the smallest of the three sizes."""

    def register(build):
        CASES[name] = (n, build)
        return build

    return register


def write(path, content):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def lines(path, records):
    return write(path, "".join(json.dumps(record) + "\n" for record in records))


# -- POPE ---------------------------------------------------------------------------------------------------------------


def pope_build(folder, annotations, images, **more):
    path = write(folder / "annotations", json.dumps(annotations))
    return "pope_build", {"schema": "hadpo.pope-build/1", "annotations": path, "output": str(folder / "out"), "images": images,
                          "per_image": 3, **more}, None


@case("pope build: pictures", 60)
def _(folder, n):
    return pope_build(folder, {f"{i}.jpg": [f"o{(i + 7 * k) % 40}" for k in range(8)] for i in range(n)}, n)


@case("pope build: different objects", 60)
def _(folder, n):
    return pope_build(folder, {f"{i}.jpg": [f"o{4 * i + k}" for k in range(4)] for i in range(n)}, n)


@case("pope build: annotations of one picture", 4000)
def _(folder, n):
    coco = {"images": [{"id": 1, "file_name": "a"}, {"id": 2, "file_name": "b"}],
            "annotations": [{"image_id": 1 + i % 2, "category_id": 1 + i % 9} for i in range(n)],
            "categories": [{"id": i + 1, "name": f"o{i}"} for i in range(20)]}
    return pope_build(folder, coco, 2, format="coco")


def pope_score(folder, questions, answers, **more):
    return "pope_evaluate", {
        "schema": "hadpo.pope-score/1", "resamples": 0, "rules": ["official", "llava", "lmms-eval", "vlmevalkit", "opera"],
        "splits": [{"questions": lines(folder / "q", questions), "answers": lines(folder / "a", answers)}], **more}, None


def question(i, image):
    return {"question_id": i, "image": image, "text": f"Is there a thing {i}?", "label": "yes" if i % 2 else "no"}


@case("pope score: questions and pictures", 100)
def _(folder, n):
    return pope_score(folder, [question(i, f"{i}.jpg") for i in range(n)],
                      [{"question_id": i, "answer": "Yes, it is."} for i in range(n)], records=str(folder / "records"))


@case("pope score: questions of one id", 150)
def _(folder, n):
    return pope_score(folder, [question(1, "a.jpg") for i in range(n)], [{"question_id": 1, "answer": "No"} for i in range(n)])


@case("pope score: records and origins of the identity beside", 100)
def _(folder, n):
    write(folder / "a.identity", "".join(json.dumps({"origin": {"about": i}}) + "\n" + json.dumps({"record": f"{i:016x}"}) + "\n"
                                         for i in range(n)))
    return pope_score(folder, [question(i, f"{i}.jpg") for i in range(n)], [{"question_id": i, "answer": "Yes."} for i in range(n)])


@case("pope score: words of an answer", 4000)
def _(folder, n):
    return pope_score(folder, [question(1, "a.jpg")], [{"question_id": 1, "answer": "there, is; " * n}])


# -- CHAIR --------------------------------------------------------------------------------------------------------------


def chair(folder, captions, synonyms="dog, puppy\n", objects=None, **more):
    keys = {"schema": "hadpo.chair-score/1", "captions": lines(folder / "captions", captions), "resamples": 0,
            "synonyms": write(folder / "synonyms", synonyms), "records": str(folder / "records"), **more}
    if objects is not None:
        keys["objects"] = write(folder / "objects", json.dumps(objects))
    return "chair_score", keys, None


@case("chair: captions", 100)
def _(folder, n):
    return chair(folder, [{"image_id": i, "caption": "A puppy and a cat."} for i in range(n)], objects={str(i): ["dog"] for i in range(n)})


@case("chair: words of a caption", 1000)
def _(folder, n):
    return chair(folder, [{"image_id": 1, "caption": "a puppy sees cats. " * (n // 4)}], objects={"1": ["dog"]})


@case("chair: apostrophes of a word", 20000)
def _(folder, n):
    return chair(folder, [{"image_id": 1, "caption": "'" * n}], objects={"1": ["dog"]})


@case("chair: synonyms and objects of a picture", 1000)
def _(folder, n):
    return chair(folder, [{"image_id": 1, "caption": "a w7"}], "".join(f"w{i}, v{i}\n" for i in range(n)),
                 {"1": [f"v{i}" for i in range(n)]})


@case("chair: categories of one picture", 600)
def _(folder, n):
    coco = {"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 1, "category_id": i} for i in range(n)],
            "categories": [{"id": i, "name": f"w{i}"} for i in range(n)]}
    return chair(folder, [{"image_id": 1, "caption": "a w7"}], "".join(f"w{i}\n" for i in range(n)),
                 instances=[write(folder / "coco", json.dumps(coco))])


# -- SHR ----------------------------------------------------------------------------------------------------------------


def shr(folder, texts, regions=1, facts=1):
    """Descriptions and the annotations of their pictures."""
    return {
        "answers": write(folder / "answers.json", json.dumps(texts)),
        "image_data": write(folder / "image_data.json", json.dumps(
            [{"image_id": int(i), "width": 100, "height": 100, "url": f"http://x/VG_100K/{i}.jpg"} for i in texts])),
        "regions": write(folder / "regions.json", json.dumps([
            {"id": int(i), "regions": [{"image_id": int(i), "x": 1, "y": 2, "width": 3, "height": 4, "phrase": f"a dog {k}"}
                                       for k in range(regions)]} for i in texts])),
        "factual": [lines(folder / "facts.jsonl", ({i: [f"fact {k}" for k in range(facts)]} for i in texts))]}


def requests(folder, *arguments, **keys):
    return "shr_requests", {"schema": "hadpo.shr-requests/1", "output": str(folder / "requests"), **shr(folder, *arguments, **keys)}, None


@case("shr requests: sentences of a description", 400)
def _(folder, n):
    return requests(folder, {"1": " ".join(f"There is thing {i}." for i in range(n))})


@case("shr requests: sentences that begin alike", 8000)
def _(folder, n):
    parts, length = [], 0
    while length < n:  # a, aa, aaa: the longest first are kept
        parts.append("a" * (len(parts) + 1))
        length += len(parts)
    return requests(folder, {"1": ".".join(parts)})


@case("shr requests: images", 40)
def _(folder, n):
    return requests(folder, {str(i): "A dog. A cat." for i in range(n)})


@case("shr requests: regions and facts of an image", 200)
def _(folder, n):
    return requests(folder, {"1": "A dog."}, regions=n, facts=n)


def shr_score(folder, texts, replies, **more):
    records = [{"custom_id": i, "response": {"status_code": 200, "body": {"model": m, "choices": [
        {"finish_reason": "stop", "message": {"content": t}}]}}} for i, m, t in replies]
    return "shr_score", {"schema": "hadpo.shr-score/1", "output": str(folder / "out"), "resamples": 0,
                         "replies": lines(folder / "replies", records), **shr(folder, texts), **more}, None


@case("shr score: images and names of judges", 60)
def _(folder, n):
    return shr_score(folder, {str(i): "A dog. A cat." for i in range(n)},
                     [(f"run1/{i}", f"judge {i}", "Judgement:\n1. correct: yes\n2. hallucination: no") for i in range(n)])


@case("shr score: sentences of a reply", 150)
def _(folder, n):
    return shr_score(folder, {"1": " ".join(f"Thing {i}." for i in range(n))},
                     [("run1/1", "judge", "Judgement:\n" + "".join(f"{i + 1}. correct: yes\n" for i in range(n)))])


@case("shr score: lines of a reason", 3000)
def _(folder, n):
    return shr_score(folder, {"1": "A dog."}, [("run1/1", "judge", "Judgement:\n1. correct: yes\n" + "and so on\n" * n)])


@case("shr score: annotations as judge", 40)
def _(folder, n):
    function, keys, _ = shr_score(folder, {str(i): "A dog. A cat." for i in range(n)}, [])
    del keys["replies"]
    return function, {**keys, "judge": "annotations"}, None


def sentences(n, image="{}"):
    return [{"run": "run1", "image_id": image.format(i), "sentence": i, "text": f"Thing {i}.", "class": "correct"} for i in range(n)]


@case("shr agree: sentences", 200)
def _(folder, n):
    return "shr_agree", {"schema": "hadpo.shr-agree/1", "a": lines(folder / "a", sentences(n)),
                         "b": lines(folder / "b", sentences(n))}, None


# -- the report ---------------------------------------------------------------------------------------------------------


def report(folder, **keys):
    return "report_write", {"schema": "hadpo.report/1", "output": str(folder / "report.html"), "resamples": 0, **keys}, None


# Without one a file is no log.
STEP = {"event": "step", "step": 1, "loss": 1}


@case("report: kinds of events", 250)
def _(folder, n):
    return report(folder, training=[lines(folder / "log", ({"event": f"kind {i}" if i else "step", "step": i, "loss": 1, "x": i} for i in range(n)))])


@case("report: steps", 200)
def _(folder, n):
    return report(folder, training=[lines(folder / "log", ({"event": "step", "step": i, "loss": i % 7} for i in range(n)))])


@case("report: members of an event", 500)
def _(folder, n):
    return report(folder, training=[lines(folder / "log", [STEP, {"event": "x", "k" * n: {f"m{i}": i for i in range(n)}}])])


@case("report: figures of the guard", 500)
def _(folder, n):
    return report(folder, training=[lines(folder / "log", [STEP, {"event": "guard", "step": 1, "figures": {f"f{i}": i for i in range(n)}}])])


@case("report: questions on one picture", 100)
def _(folder, n):
    _, keys, _ = pope_score(folder, [question(i, "a.jpg") for i in range(n)], [{"question_id": i, "answer": "no"} for i in range(n)])
    return report(folder, pope={"splits": keys["splits"], "resamples": 0})


@case("report: outcomes of an shr score", 400)
def _(folder, n):
    lines(folder / "scored" / "sentences.jsonl", sentences(5))
    write(folder / "scored" / "report.json", json.dumps({
        "schema": "hadpo.shr-report/1", "corrected": {}, "outcomes": {f"kind {i}": {"count": i} for i in range(n)},
        "upstream": {f"run{i}": {"num_images": i} for i in range(n)}}))
    return report(folder, shr={"scored": str(folder / "scored")})


@case("report: captions and their outcomes", 120)
def _(folder, n):
    return report(folder, chair={"records": lines(folder / "records", (
        {"image_id": str(i), "caption": "a dog", "outcome": f"kind {i}", "mscoco_hallucinated_words": [[f"w{i}", f"n{i}"]],
         "mscoco_generated_words": [f"n{i}"], "mscoco_gt_words": ["cat"], "words": ["a", "dog"]} for i in range(n)))})


# -- configurations -----------------------------------------------------------------------------------------------------


@case("config: unknown keys", 1000)
def _(folder, n):
    return "config_resolve", {"schema": "hadpo.engine/1", **{f"step{i}": i for i in range(n)}}, None


@case("config: bytes of a key", 100000)
def _(folder, n):
    return "config_resolve", {"schema": "hadpo.engine/1", "s" * n: 1}, None


@case("config: objects of a list", 200)
def _(folder, n):
    return "config_resolve", {"schema": "hadpo.pope-score/1", "splits": [{"questions": "q", "answers": "a"}] * n}, None


# -- models -------------------------------------------------------------------------------------------------------------


def model(folder, fixture):
    shutil.copytree(FIXTURES / fixture, folder / "model")
    return folder / "model"


def changed(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def opened(folder):
    return "model_open", {}, str(folder)


def checked(folder, model, pairs):
    """The tokenizer at work: pairs are read and turned into tokens, and found too long."""
    picture = str(FIXTURES / "llava" / "pictures")
    return "data_check", {"schema": "hadpo.train/1", "steps": 1, "batch": 1, "data": {
        "format": "pairs", "pairs": lines(folder / "pairs.jsonl", pairs), "images": picture}}, str(model)


def pair(text, i=0):
    return {"id": str(i), "image": "tall.png", "question": "What?", "chosen": text, "rejected": "A bus."}


@case("tokenizer.json: pieces", 1000)
def _(folder, n):
    path = model(folder, "llava/tf5-f16")

    def more(content):
        vocabulary = content["model"]["vocab"]
        first = 1 + max([*vocabulary.values(), *(token["id"] for token in content["added_tokens"])])
        vocabulary.update({f"q{i}": first + i for i in range(n)})
    changed(path / "tokenizer.json", more)
    return opened(path)


@case("tokenizer.json: special tokens of the template", 250)
def _(folder, n):
    path = model(folder, "llava/tf5-f16")

    def more(content):
        content["post_processor"] = {
            "type": "TemplateProcessing", "single": [{"SpecialToken": {"id": f"s{i}", "type_id": 0}} for i in range(n)] + [
                {"Sequence": {"id": "A", "type_id": 0}}],
            "special_tokens": {f"s{i}": {"id": f"s{i}", "ids": [1], "tokens": ["x"]} for i in range(n)}}
    changed(path / "tokenizer.json", more)
    return opened(path)


@case("added_tokens.json: tokens", 1000)
def _(folder, n):
    path = model(folder, "llava/old-f32")
    changed(path / "added_tokens.json", lambda content: content.update({f"<more {i}>": 344 + i for i in range(n)}))
    return opened(path)


def pieces(n):
    """SentencePiece pieces to put behind those of a model: protobuf field 1, each with a text and a score."""
    def piece(i):
        text = f"zq{i}".encode()
        fields = b"\x0a" + bytes([len(text)]) + text + b"\x15" + struct.pack("<f", -float(i))
        return b"\x0a" + bytes([len(fields)]) + fields
    return b"".join(piece(i) for i in range(n))


@case("tokenizer.model: pieces", 2000)
def _(folder, n):
    path = model(folder, "llava/old-f32") / "tokenizer.model"
    path.write_bytes(path.read_bytes() + pieces(n))
    return opened(path.parent)


@case("tokenizer.model: characters of a word", 4000)
def _(folder, n):
    return checked(folder, FIXTURES / "llava" / "old-f32", [pair("a" * n)])


@case("tokenizer.json: characters of a word", 4000)
def _(folder, n):
    return checked(folder, FIXTURES / "llava" / "tf5-f16", [pair("a" * n)])


@case("added_tokens.json: a long token, begun everywhere", 1000)
def _(folder, n):
    path = model(folder, "llava/old-f32")
    changed(path / "added_tokens.json", lambda content: content.update({"a" * n + "b": 344}))
    return checked(folder, path, [pair("a" * (4 * n))])


@case("pairs: lines", 200)
def _(folder, n):
    return checked(folder, FIXTURES / "llava" / "old-f32", [pair("A car.", i) for i in range(n)])


@case("vocab.txt: pieces", 2000)
def _(folder, n):
    path = model(folder, "instructblip/hf")
    vocabulary = path / "qformer_tokenizer" / "vocab.txt"
    vocabulary.write_text(vocabulary.read_text().rstrip("\n") + "\n" + "".join(f"##zq{i}\n" for i in range(n)))
    return opened(path)


def safetensors(path, n):
    """More tensors without elements behind those of a file."""
    data = path.read_bytes()
    size, = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + size])
    end = len(data) - 8 - size
    header.update({f"more.{i}": {"dtype": "F32", "shape": [0], "data_offsets": [end, end]} for i in range(n)})
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size:])


@case("safetensors: tensors", 1000)
def _(folder, n):
    path = model(folder, "llava/old-f32")
    safetensors(path / "model.safetensors", n)
    return opened(path)


@case("index: tensors", 1000)
def _(folder, n):
    path = model(folder, "llava/new-bf16")
    shard = "model-00001-of-00002.safetensors"
    safetensors(path / shard, n)
    changed(path / "model.safetensors.index.json",
            lambda content: content["weight_map"].update({f"more.{i}": shard for i in range(n)}))
    return opened(path)


@case("torch zip: entries", 1000)
def _(folder, n):
    path = model(folder, "llava/original-f16")
    with zipfile.ZipFile(path / "pytorch_model-00001-of-00002.bin", "a") as archive:
        for i in range(n):
            archive.writestr(zipfile.ZipInfo(f"more/{i}"), b"x")
    return opened(path)


@case("torch pickle: values", 20000)
def _(folder, n):
    path = model(folder, "llava/original-f16") / "pytorch_model-00001-of-00002.bin"
    with zipfile.ZipFile(path) as archive:
        entries = [(i.filename, archive.read(i)) for i in archive.infolist()]
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries:
            # A list of n lists, put aside and forgotten, before what the file holds.
            junk = b"\x80\x02](" + b"]K\x01a" * n + b"e0"
            archive.writestr(zipfile.ZipInfo(name), junk + data[2:] if name.endswith("data.pkl") else data)
    return opened(path.parent)


# -- text that Swift's strings are slow with ------------------------------------------------------------------------------


@case("text: combining marks in disorder", 4000)
def _(folder, n):
    return pope_score(folder, [question(1, "a" + "\u0301\u0316" * (n // 2))], [{"question_id": 1, "answer": "No"}])


@case("text: flags", 2000)
def _(folder, n):
    flags = "\U0001F1E6" * n
    return report(folder, training=[lines(folder / "log", [STEP] + [{"event": flags, "step": i, flags: i} for i in range(3)])])
