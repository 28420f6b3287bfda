#!/usr/bin/env python3
"""Writes Tests/Fuzz/corpus/<reader>/: the inputs that coverage-guided fuzzing begins with. The same bytes every time.

Standard library only. From fixtures where they are small, otherwise written here by each format's rules. What the fuzzer finds by
itself later goes to build/fuzz/corpus and is not kept.
"""

import hashlib
import io
import json
import pathlib
import re
import shutil
import struct
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "Tests" / "Fixtures"
CORPUS = ROOT / "Tests" / "Fuzz" / "corpus"


def text(value):
    return json.dumps(value, ensure_ascii=False, indent=None).encode()


def lines(*values):
    return b"".join(text(value) + b"\n" for value in values)


def fixture(name):
    return (FIXTURES / name).read_bytes()


def safetensors(tensors, metadata=None):
    """name -> (type, shape, bytes)"""
    header, data = {}, b""
    if metadata:
        header["__metadata__"] = metadata
    for name, (kind, shape, content) in tensors.items():
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    head = text(header)
    return struct.pack("<Q", len(head)) + head + data


def pickle_of(name):
    with zipfile.ZipFile(io.BytesIO(fixture(name))) as archive:
        return next(archive.read(entry) for entry in archive.namelist() if entry.endswith("data.pkl"))


def sentencepiece(pieces):
    """ModelProto: pieces of text, score and kind; a BPE trainer that falls back to bytes."""
    def varint(number):
        out = b""
        while number > 127:
            out += bytes([number & 127 | 128])
            number >>= 7
        return out + bytes([number])

    def field(number, content):
        return varint(number << 3 | 2) + varint(len(content)) + content

    model = b""
    for piece, score, kind in pieces:
        model += field(1, field(1, piece.encode()) + b"\x15" + struct.pack("<f", score) + b"\x18" + varint(kind))
    return model + field(2, b"\x18\x02") + field(3, b"")


NUMBERS = [0, -1, 0.5, 1e308, 2**63 - 1, -2**63, 1e-300]
QUESTIONS = [{"question_id": 1, "image": "a.jpg", "text": "Is there a dog in the image?", "label": "yes"},
             {"question_id": 2, "image": "b.jpg", "text": "Is there a cat in the image?", "label": "no"}]
ANSWERS = [{"question": "Is there a dog in the image?", "answer": "Yes, there is.", "question_id": 1, "yes_minus_no": 1.5},
           {"question": "Is there a cat in the image?", "answer": "No.", "question_id": 2}]
COCO = {"info": {}, "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "segmentation": [[1, 2]]},
                        {"id": 2, "image_id": 1, "category_id": 2}, {"id": 3, "image_id": 2, "category_id": 1, "iscrowd": 1},
                        {"id": 4, "image_id": 2, "category_id": 2}],
        "categories": [{"id": 1, "name": "dog", "supercategory": "animal"}, {"id": 2, "name": "cat"}]}
REGIONS = [{"id": 1, "regions": [{"region_id": 5, "image_id": 1, "x": 1, "y": -2, "width": 30, "height": 40, "phrase": "a dog"}]},
           {"id": 2, "regions": []}]
SIZES = [{"image_id": 1, "width": 100, "height": 50, "url": "https://x/VG_100K/1.jpg", "coco_id": None},
         {"image_id": "2", "width": 7, "height": 9, "url": "https://x/VG_100K_2/2.jpg"}]


def reply(identifier, content, **body):
    return {"custom_id": identifier, "request_key": "0123", "error": None, "response": {"status_code": 200, "body": {
        "model": "judge", "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}],
        **body}}}


VERDICTS = "Judgement:\n1. hallucination (a dog): yes\n2. correct: a cat is there\n3. cannot judge\n"
SENTENCE = {"run": "run0", "image_id": "1", "sentence": 0, "text": "A dog.", "classification": "correct", "judgement": "1. correct",
            "upstream": "correct", "outcome": "judged"}
STEP = {"event": "step", "step": 1, "loss": 0.69, "margin": 0.0, "accuracy": 0.5, "learning_rate": 2e-4, "grad_norm": 1.5, "seconds": 0.1}
CHAIR = {"image_id": "1", "caption": "A dog and a cat.", "outcome": "scored", "mscoco_generated_words": ["dog", "cat"],
         "mscoco_gt_words": ["dog"], "mscoco_hallucinated_words": [["cat", "cat"]], "metrics": {"Len": 5}}
MODEL = {"family": "llava-1.5", "checkpoint": "a1", "network": "b2", "weights": "stored", "adapter": None, "projector": None,
         "trained_weights": None, "image_pipeline": "resize", "tokenizer": "c3", "prompts": "d4", "kv_cache": "fp32", "numerics": "exact"}
MODEL_DIGEST = hashlib.sha256("".join(f"{len(record)}:{record}" for record in (
    f"{key}=" + (f"'{MODEL[key]}'" if MODEL[key] else "none") for key in (
        "family", "checkpoint", "network", "weights", "adapter", "projector", "trained_weights", "image_pipeline", "tokenizer", "prompts",
        "kv_cache", "numerics"))).encode()).hexdigest()
ORIGIN = {"identity": {"digest": MODEL_DIGEST, **MODEL, "last_bits": {"kernels": "avx512", "version": "0.1.0"}},
          "settings": {"num_beams": 1}, "about": {}}
CACHE = [{"key": "a", "logps": [-1.5, -2.25]}, {"key": "b", "logps": [-0.5]}]
PAIR = {"image": "a.jpg", "question": "What is there?", "chosen": "A dog.", "rejected": "A cat.", "id": "p1"}
CONFIGS = [
    {"schema": "hadpo.train/1", "data": {"format": "pairs", "pairs": "a", "images": "b"}, "beta": 0.1, "steps": 45,
     "optimizer": {"learning_rate": 2e-4, "max_grad_norm": 1.0}, "lora": {"rank": 16, "alpha": 32, "target": ["q_proj"]}},
    {"schema": "hadpo.generate/1", "question": "a\u00e9\U0001f600", "stop": ["a", "b"], "top_p": 0.5, "seed": 7},
    {"schema": "hadpo.engine/1", "threads": 2, "kernels": "auto", "memory_limit": 1000000000},
    {"schema": "hadpo.model/1", "path": "m", "weights": "int4"}, {"schema": "hadpo.pope/1", "questions": "q", "images": "i"},
    {"schema": "hadpo.pope-score/1", "splits": [{"questions": "q", "answers": "a"}], "rules": ["official"]},
    {"schema": "hadpo.pope-build/1", "annotations": "a", "output": "o"},
    {"schema": "hadpo.report/1", "output": "o", "training": ["l"], "shr": {"scored": "s"}, "chair": {"records": "r"}},
    {"schema": "hadpo.shr-score/1", "answers": "a", "replies": "r"}, {"schema": "hadpo.chair-score/1", "captions": "c", "synonyms": "s",
                                                                    "objects": "o"},
    {"schema": "hadpo.export/1", "path": "p"}, {"schema": "hadpo.world/1", "output": "o"},
]
ADAPTER = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"], "lora_dropout": 0.05, "bias": "none",
           "use_rslora": False, "rank_pattern": {}, "modules_to_save": None, "base_model_name_or_path": "x", "task_type": "CAUSAL_LM"}
FLOATS = struct.pack("<4f", 0, 1, -2, 0.5)


def corpus():
    small = [value for value in sorted((FIXTURES / "images").iterdir()) if value.stat().st_size < 900]
    yield from (("png", path.read_bytes()) for path in small if path.suffix == ".png")
    yield from (("jpeg", path.read_bytes()) for path in small if path.suffix == ".jpg")
    for content in (text({"a": [1, -2.5e3, "\u00e9\U0001f600\\n", None, True, {"": []}]}), text(NUMBERS), b'"\\u0000\\ud83d\\ude00"', b"[[[[]]]]"):
        yield "json", content
    yield "json-lines", lines({"a": 1}, [2], "3") + b"\n \n{\"torn\":"
    yield "json-array", text([1, "a", [2, {"b": None}], 18446744073709551615.0])
    yield "json-stream", text(COCO)
    yield "json-stream", text(SIZES)
    yield from (("config", text(value)) for value in CONFIGS)
    yield "safetensors", safetensors({"a": ("F32", [2, 2], FLOATS), "b": ("BF16", [2], b"\0\1\2\3"), "c": ("I64", [0, 3], b"")}, {"format": "pt"})
    yield "torch-zip", fixture("weights/nested-module.pth")
    yield "torch-zip", fixture("weights/nested-state_dict.pth")
    for name in ("weights/zip.bin", "weights/protocol4.bin", "weights/nested-model.pth", "weights/hostile.bin"):
        yield "torch-pickle", pickle_of(name)
    yield "torch-legacy", fixture("weights/legacy.bin")
    yield "weight-index", fixture("weights/sharded/pytorch_model.bin.index.json")
    yield "adapter-config", text(ADAPTER)
    yield "adapter-config", text({**ADAPTER, "target_modules": ".*\\.(q_proj|v_proj)"})
    yield "adapter-config", text({**ADAPTER, "rank_pattern": {"[kq]_proj$": 4, "v_proj": 2}, "alpha_pattern": {"^model\\.layers\\.\\d{1,2}": 3},
                                  "exclude_modules": ["fc1"], "layers_to_transform": [0], "modules_to_save": ["mm_projector"]})
    layer = "base_model.model.model.layers.0.self_attn.q_proj.lora_"
    yield "adapter-weights", safetensors({layer + "A.weight": ("F32", [1, 4], FLOATS), layer + "B.weight": ("F32", [4, 1], FLOATS)})
    yield "projector", safetensors({"mm_projector.0.weight": ("F32", [2, 2], FLOATS), "mm_projector.0.bias": ("F16", [2], b"\0\0\0\0")})

    pieces = [("<unk>", 0, 2), ("<s>", 0, 3), ("</s>", 0, 3)] + [(f"<0x{byte:02X}>", 0, 6) for byte in range(256)]
    pieces += [("\u2581", -1, 1), ("\u2581d", -2, 1), ("og", -3, 1), ("d", -4, 1), ("o", -5, 1), ("g", -6, 1), ("\u2581A", -7, 1), ("A", -8, 1)]
    yield "sentencepiece", sentencepiece(pieces)
    yield "sentencepiece", sentencepiece([piece for piece in pieces if piece[2] != 6])
    bpe = {"version": "1.0", "added_tokens": [
        {"id": index, "content": name, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        for index, name in enumerate(("<unk>", "<s>", "</s>"))],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"},
                                                           {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]},
        "pre_tokenizer": None,
        "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                                                                    {"Sequence": {"id": "A", "type_id": 0}}],
                           "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
        "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
                                                     {"type": "ByteFallback"}, {"type": "Fuse"},
                                                     {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
                  "vocab": {"<unk>": 0, "<s>": 1, "</s>": 2, "<0x41>": 3, "\u2581": 4, "d": 5, "o": 6, "g": 7, "og": 8, "dog": 9},
                  "merges": ["o g", ["d", "og"]]}}
    yield "tokenizer-json", text(bpe)
    yield "tokenizer-config", fixture("text/slow-map/tokenizer_config.json")
    yield "tokenizer-config", fixture("text/slow-modern/tokenizer_config.json")
    yield "special-tokens", fixture("text/slow-map/special_tokens_map.json")
    yield "added-tokens", fixture("text/slow-map/added_tokens.json")
    yield "vocab-txt", b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\ndog\n##s\n##og\nd\n'\n,\n"
    yield "wordpiece-json", text({"added_tokens": [{"id": 1, "content": "[UNK]", "special": True}], "normalizer": {"type": "BertNormalizer",
                                  "lowercase": True}, "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                                  "max_input_chars_per_word": 100, "vocab": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4,
                                                                             "dog": 5, "##s": 6}}})

    yield "pope-questions", lines(*QUESTIONS)
    yield "pope-questions", text(QUESTIONS)
    yield "pope-answers", lines(*ANSWERS)
    yield "pope-answers", lines({"question_id": 1, "text": "yes", "answer_id": "x"}, {"answer": "Nope", "question": "?"})
    scenes = [{"image": "a.jpg", "objects": ["dog", "cat", "cup"]}, {"image": "b.jpg", "objects": ["cat", "hat"]}, {"image": "c", "objects": ["dog", "owl"]}]
    yield "pope-scenes", lines(*scenes)
    yield "pope-scenes", text({scene["image"]: scene["objects"] for scene in scenes})
    yield "pope-scenes", text(COCO)
    yield "coco-instances", text(COCO)
    yield "pairs", lines({"schema": "hadpo.pairs/1"}, PAIR, {"image": "b.png", "prompt": "USER: <image> x", "chosen": "a", "rejected": "b"})
    for form in re.findall(r"^\| `[a-z-]+` \| [^|]* \| `(.*)` \|$", (ROOT / "docs/pairs.md").read_text(), re.M):
        yield "pairs", form.encode()
    yield "samples", lines({"image": "a.jpg", "question": "What?", "answer": "A dog.", "weight": 0.5}, {"image": "b", "prompt": "<image>", "answer": "b"})
    yield "upstream-descriptions", text({"1": {"chosen": ["A dog.\n"], "rejected": ["A cat.", "B"]}, "2": {"chosen": [], "rejected": ["x"]}})
    yield "upstream-descriptions", text([{"image_id": 3, "chosen": ["A"], "rejected": ["B"]}])
    yield "upstream-questions", text([{"image_id": 1, "question": "Is there?", "chosen": "Yes", "reject": "No", "correct": False}, {"image_id": "2"}])
    yield "image-data", text(SIZES)
    yield "aligned-captions", text({"annotations": [{"image_id": "1", "caption": "A dog."}, {"image_id": 2, "caption": "A cat."}]})
    yield "reference-cache", lines(*CACHE)
    yield "answers-identity", lines({"origin": ORIGIN}, {"record": "0123456789abcdef", "picture": "fedcba9876543210"}, {"record": "00"})
    yield "shr-descriptions", text({"1": "A dog. A cat.", "2": ""})
    yield "shr-descriptions", lines({"image_id": 1, "caption": "A dog."}, {"image": "2", "answer": "A cat!\n\nB"})
    yield "image-sizes", text(SIZES)
    yield "regions", text(REGIONS)
    yield "shr-images", text([1, {"image_id": 2}, "3"])
    yield "shr-factual", lines({"1": ["A fact.", "Another."]}, {"2": []})
    yield "shr-replies", lines(reply("run0/1", VERDICTS), reply("run0/2", None), {"custom_id": "run0/3", "error": {"code": 429}})
    yield "shr-requests", lines({"custom_id": "run0/1", "method": "POST", "url": "/v1/chat/completions", "request_key": "0123",
                                 "body": {"model": "judge", "messages": [{"role": "user", "content": "Judge."}], "temperature": 0}})
    yield "shr-verdicts", VERDICTS.encode()
    yield "shr-verdicts", b"1. A dog. -> hallucination\n\n3. ok - correct\n**2)** Cannot judge"
    yield "shr-sentences", lines(SENTENCE, {**SENTENCE, "sentence": 1, "classification": "hallucination"})
    yield "shr-scored", lines(SENTENCE, {**SENTENCE, "sentence": 1, "classification": "hallucination"})
    yield "chair-captions", text({"1": "A dog and a cat.", "2": "Puppies."})
    yield "chair-captions", lines({"image_id": 1, "caption": "A dog."}, {"image_id": "COCO_val2014_000000000002.jpg", "caption": "Cats"})
    yield "chair-references", text({"images": [{"id": 1}], "annotations": [{"image_id": 1, "id": 1, "caption": "A puppy sits."}]})
    yield "chair-objects", text({"1": ["dog"], "2": []})
    yield "chair-synonyms", b"dog, puppy, beagle\ncat, kitten\nhot dog\n"
    yield "caption-text", "The dogs' kitten isn't here; hot dogs (two) are... 3.5 children?".encode()
    yield "training-log", lines(STEP, {**STEP, "step": 2}, {"event": "guard", "step": 2, "figures": {"accuracy": 0.5}}, {"event": "save", "to": {"a": {"b": 1}}},
                                {"event": "guard_stop", "step": 2, "reason": "x"})
    yield "chair-records", lines(CHAIR, {"image_id": "2", "caption": "x", "outcome": "image_without_annotations"})
    yield "report-pope", lines(*ANSWERS)

    yield "preprocessor", fixture("llava/old-f32/preprocessor_config.json")
    yield "preprocessor", fixture("instructblip/hf/preprocessor_config.json")
    for name, path in (("config-llava", "llava/old-f32/config.json"), ("config-llava-original", "llava/original-f16/config.json"),
                       ("config-minigpt4", "minigpt4/model/llm/config.json"), ("config-instructblip", "instructblip/hf/config.json"),
                       ("config-lavis", "instructblip/lavis/llm/config.json"), ("config-bert", "instructblip/lavis/bert-base-uncased/config.json"),
                       ("generation-config", "llava/old-f32/generation_config.json"), ("processor-config", "llava/old-f32/preprocessor_config.json")):
        yield name, fixture(path)


def main():
    shutil.rmtree(CORPUS, ignore_errors=True)
    counts, total = {}, 0
    for name, content in corpus():
        counts[name] = counts.get(name, 0) + 1
        folder = CORPUS / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{counts[name]}").write_bytes(content)
        total += len(content)
    print(f"{sum(counts.values())} inputs for {len(counts)} readers, {total} bytes")


if __name__ == "__main__":
    main()
